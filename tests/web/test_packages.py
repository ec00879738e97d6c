"""What the page is made of."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from tests import processes
from tests.web.conftest import WEB


def test_the_lockfile_records_no_address():
    lock = (WEB / "package-lock.json").read_text()
    assert '"resolved"' not in lock and "://" not in lock
    assert json.loads(lock)["packages"]["node_modules/@mediapipe/holistic"]["integrity"]


def test_the_page_names_nothing_of_another_host_and_writes_no_script_into_itself():
    html = (WEB / "index.html").read_text()
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", html)


def test_every_version_is_exact():
    package = json.loads((WEB / "package.json").read_text())
    for versions in (package["dependencies"], package["devDependencies"]):
        assert all(re.fullmatch(r"[\d.]+", version) for version in versions.values())


def test_make_builds_anew_where_a_bundled_module_changed(tmp_path):
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    bundled = []
    for folder in (WEB, WEB / "reader"):
        build = json.loads((folder / "package.json").read_text())["scripts"]["build"]
        bundled += [folder / name for name in re.findall(r"workers/\w+\.js", build)]
    meta = tmp_path / "meta.json"
    options = ["--bundle", f"--metafile={meta}", f"--outdir={tmp_path}", "--log-level=warning"]
    subprocess.run([WEB / "node_modules/.bin/esbuild", *bundled, *options], cwd=WEB, check=True)
    inputs = {WEB / name for name in json.loads(meta.read_text())["inputs"]}
    ours = {path for path in inputs if "node_modules" not in path.parts}
    assert len(ours) > len(bundled) >= 3
    rules = subprocess.run(
        ["make", "-pqr", "web"], cwd=processes.ROOT, capture_output=True, text=True
    ).stdout
    at = WEB.relative_to(processes.ROOT)
    rule = re.search(rf"^{at}/dist/.made: (.*)$", rules, re.MULTILINE)
    assert rule and {str(path.relative_to(processes.ROOT)) for path in ours} <= {*rule[1].split()}


def own(path: pathlib.Path) -> bool:
    return not {"node_modules", "dist"} & {*path.relative_to(WEB).parts}


def test_no_module_is_too_large():
    for path in filter(own, WEB.rglob("*.js")):
        assert len(path.read_text().splitlines()) <= 300, path


def test_the_modules_types_fit():
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    done = subprocess.run(["npm", "run", "check"], cwd=WEB, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
