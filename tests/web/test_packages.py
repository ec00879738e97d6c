"""What the page is made of."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

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
