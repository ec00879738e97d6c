"""The wheel, installed into a new environment, works in an empty folder."""

import json
import pathlib
import shutil
import sysconfig
import venv
import zipfile

import numpy as np
import pytest
import requests

import aslx
from aslx.export import exports
from tests import processes, test_installed, tiny

pytestmark = pytest.mark.long

ROOT = processes.ROOT
WEB = ROOT / "aslx" / "serve" / "web"
PARTS = ("aslx", "configs", "pyproject.toml", "setup.py", "README.md", "LICENSE")
# Two steps of quickstart, each on all 80 clips, with a network that compiles in seconds.
TRAIN = (
    *("train", "--config", "quickstart", "--workdir", "run", "--epochs", "2"),
    *("--model.dim", "16", "--model.num-layers", "1", "--mesh.cpu-devices", "1"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """Built from a copy of the sources, because a build leaves files that the next one includes."""
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    for name in PARTS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    if (WEB / "node_modules").exists():
        (source / WEB.relative_to(ROOT) / "node_modules").symlink_to(WEB / "node_modules")
    pip("wheel", "--no-build-isolation", "--wheel-dir", out, source)
    (path,) = out.iterdir()
    return path


def pip(*words: object) -> None:
    line = processes.python("-m", "pip", "-q", *words, "--no-deps", "--no-index")
    processes.run(line).succeeded()


class Installed:
    """An environment with the wheel, and an empty folder."""

    def __init__(self, environment: pathlib.Path, folder: pathlib.Path):
        at = {"base": str(environment)}
        self.scripts, self.site = (
            pathlib.Path(sysconfig.get_path(name, "venv", at)) for name in ("scripts", "purelib")
        )
        self.folder = folder
        # Users do not have the variables that tests set.
        self.env = processes.environment("PYTHONPATH", "JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL")

    def run(self, command: str, *words: object) -> str:
        """What a command prints; it must succeed, without messages of libraries."""
        line = [self.scripts / command, *words]
        done = processes.run(line, self.folder, env=self.env, timeout=300)
        assert not test_installed.NOISE.search(done.succeeded() + done.err), done.err
        return done.out


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    environment, folder = (tmp_path_factory.mktemp(name) for name in ("environment", "empty"))
    venv.create(environment)
    made = Installed(environment, folder)
    pip("--python", made.scripts / "python", "install", "--no-compile", wheel)
    # The packages that aslx needs are those of the tests. A .pth file adds their folder without
    # reading the .pth files in it, so that an editable install of aslx stays out.
    (made.site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


@pytest.fixture(scope="module")
def workdir(installed, dataset) -> pathlib.Path:
    """A run of two steps."""
    said = installed.run("aslx", *TRAIN, "--data.path", dataset).splitlines()
    workdir = installed.folder / "run"
    assert json.loads(said[-1])["workdir"] == "run"
    assert "2" in {path.name for path in (workdir / "checkpoints").iterdir()}
    assert json.loads((workdir / "config.json").read_text())["aslx"] == aslx.__version__
    return workdir


def test_a_wheel_holds_the_configs_the_types_and_the_page(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"aslx/configs/{path.name}" for path in (ROOT / "configs").glob("*.py")}
    page = {f"aslx/serve/web/{path.name}" for path in WEB.glob("*.*")}
    for pattern in ("workers/*.js", "reader/*.js", "reader/readers/*.js", "reader/dist/*.js"):
        page |= {f"aslx/serve/{path.relative_to(WEB.parent)}" for path in WEB.glob(pattern)}
    reader = {f"aslx/export/reader/{name}" for name in ("model.json", "model.tflite")}
    assert configs | page | reader | {"aslx/py.typed"} <= names
    assert not [name for name in names if "web/reader/types" in name]
    assert wheel.stat().st_size <= 60_000_000
    assert not {name for name in names if name.startswith(("configs", "tests", "benchmarks"))}
    assert wheel.name == f"aslx-{aslx.__version__}-py3-none-any.whl"


def test_the_aslx_of_the_wheel_runs(installed):
    code = "import aslx; print(aslx.__file__, aslx.__version__)"
    path, version = installed.run("python", "-c", code).split()
    assert pathlib.Path(path).is_relative_to(installed.site)
    assert version == aslx.__version__
    assert installed.run("aslx", "--version") == f"aslx {version}\n"
    assert installed.run("aslx", "--help").startswith("usage: aslx COMMAND")


def test_it_trains_two_steps_and_predicts(installed, workdir):
    clip = tiny.clip(np.random.default_rng(0), "abc", 20)
    tiny.parquet(installed.folder / "clip.parquet", {7: clip})
    (line,) = installed.run("aslx", "predict", "--workdir", "run", "clip.parquet").splitlines()
    assert json.loads(line)["sequence_id"] == 7 and "text" in json.loads(line)


def test_it_exports(installed, workdir):
    installed.run("aslx", "export", "--workdir", "run", "--clips", "0")
    about = json.loads((workdir / "export" / exports.ABOUT).read_text())
    assert about["aslx"] == aslx.__version__


def test_it_reads_before_anything_is_trained(installed):
    clip = tiny.clip(np.random.default_rng(0), "abc", 20)
    tiny.parquet(installed.folder / "own.parquet", {7: clip})
    (line,) = installed.run("aslx", "predict", "own.parquet").splitlines()
    assert json.loads(line)["sequence_id"] == 7 and "text" in json.loads(line)


def test_it_serves_the_page_before_anything_is_trained(installed):
    words = [installed.scripts / "aslx", "serve", "--port", "0"]
    server = processes.start(words, installed.folder, env=installed.env)
    try:
        line = processes.output(server).readline()
        assert line.startswith("serving aslx's reader"), server.communicate()
        served(line.split()[-1], installed)
    finally:
        server.terminate()
        _, err = server.communicate(timeout=60)
    assert server.returncode == 0 and not err


def served(http: str, installed: Installed) -> None:
    """Asserts that the server answers with the page and all of its files."""
    if not (WEB / "dist" / "parquet.js").exists():
        pytest.skip("needs the page's packages: make web")
    web = installed.site / "aslx" / "serve" / "web"
    files = {}
    for file in filter(pathlib.Path.is_file, web.rglob("*")):
        if file.name == "LICENSE":  # No page requests a license.
            continue
        name = file.relative_to(web).as_posix()
        package = name.removeprefix("node_modules/")
        files[f"/web/{name}" if package == name else f"/vendor/{package}"] = file
    assert files.keys() > {"/web/reader/dist/model.js", "/vendor/@mediapipe/holistic/holistic.js"}
    files["/"] = web / "index.html"
    with requests.Session() as session:
        assert session.get(f"{http}/docs", timeout=30).status_code == 200
        for path, file in files.items():
            found = session.get(http + path, timeout=30)
            assert found.status_code == 200, path
            assert found.content == file.read_bytes(), path
