"""The wheel, installed into an environment of its own, works in an empty folder."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import numpy as np
import pandas as pd
import pytest
import requests

import aslx
from aslx.export import exports
from aslx.schema import landmarks
from tests import test_installed, tiny

ROOT = pathlib.Path(__file__).parent.parent
WEB = ROOT / "aslx" / "serve" / "web"
PARTS = ("aslx", "configs", "pyproject.toml", "setup.py", "README.md", "LICENSE")
# quickstart with a network that compiles in seconds, for two steps of all 80 clips.
TRAIN = (
    *("train", "--config", "quickstart", "--workdir", "run", "--epochs", "2"),
    *("--model.dim", "16", "--model.num-layers", "1", "--mesh.cpu-devices", "1"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """Built from a copy: a build leaves files that the next one would take for its own."""
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
    line = [sys.executable, "-m", "pip", "-q", *words, "--no-deps", "--no-index"]
    subprocess.run(list(map(str, line)), check=True)


class Installed:
    """An environment that holds the wheel, and an empty folder."""

    def __init__(self, environment: pathlib.Path, folder: pathlib.Path):
        at = {"base": str(environment)}
        self.scripts, self.site = (
            pathlib.Path(sysconfig.get_path(name, "venv", at)) for name in ("scripts", "purelib")
        )
        self.folder = folder
        # As a user has it: what the tests set is not there.
        unset = ("PYTHONPATH", "JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL")
        self.env = {name: value for name, value in os.environ.items() if name not in unset}

    def start(self, command: str, *words: object) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        line = [str(self.scripts / command), *map(str, words)]
        return subprocess.Popen(line, cwd=self.folder, env=self.env, **pipes)

    def run(self, command: str, *words: object) -> str:
        """What a command prints; it ends well, and no library says anything of itself."""
        process = self.start(command, *words)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert not test_installed.NOISE.search(out + err), err
        return out


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    environment, folder = (tmp_path_factory.mktemp(name) for name in ("environment", "empty"))
    venv.create(environment)
    made = Installed(environment, folder)
    pip("--python", made.scripts / "python", "install", "--no-compile", wheel)
    # What aslx needs is that of the tests. Packages in a folder that a .pth names are found, and
    # the .pth files in it are not read: an editable aslx stays out.
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
    page |= {f"aslx/serve/{path.relative_to(WEB.parent)}" for path in WEB.glob("[rw]*/*.js")}
    assert configs | page | {"aslx/py.typed"} <= names
    assert not {name for name in names if name.startswith(("configs", "tests", "benchmarks"))}
    assert wheel.name == f"aslx-{aslx.__version__}-py3-none-any.whl"


def test_the_wheels_aslx_is_what_runs(installed):
    code = "import aslx; print(aslx.__file__, aslx.__version__)"
    path, version = installed.run("python", "-c", code).split()
    assert pathlib.Path(path).is_relative_to(installed.site)
    assert version == aslx.__version__
    assert installed.run("aslx", "--version") == f"aslx {version}\n"
    assert installed.run("aslx", "--help").startswith("usage: aslx COMMAND")


def test_it_trains_two_steps_and_predicts(installed, workdir):
    clip = landmarks.columns(tiny.clip(np.random.default_rng(0), "abc", 20))
    index = pd.Index([7] * len(clip), name="sequence_id")
    path = installed.folder / "clip.parquet"
    pd.DataFrame(clip, index, list(tiny.SELECTION.columns)).to_parquet(path)
    (line,) = installed.run("aslx", "predict", "--workdir", "run", path.name).splitlines()
    assert json.loads(line)["sequence_id"] == 7 and "text" in json.loads(line)


def test_it_exports_and_serves_the_page(installed, workdir):
    installed.run("aslx", "export", "--workdir", "run", "--clips", "0")
    out = workdir / "export"
    about = json.loads((out / exports.ABOUT).read_text())
    assert about["aslx"] == aslx.__version__
    # The page's models take minutes to convert, and no page runs here.
    every = {name: (out / name).read_bytes() for name in about.pop("files")}
    about["web"] = [{"file": "web/64.tflite"}]
    exports.write(out, about, {"made": {}}, every | {"web/64.tflite": b"of the page"})
    server = installed.start("aslx", "serve", "--workdir", "run", "--port", "0")
    try:
        line = server.stdout.readline()
        assert line.startswith("serving step 2 of run"), server.stderr.read()
        http = line.split()[-1]
        assert requests.get(f"{http}/health", timeout=30).json()["step"] == 2
        served(http, installed)
    finally:
        server.terminate()
        _, err = server.communicate(timeout=60)
    assert server.returncode == 0 and not err


def served(http: str, installed: Installed) -> None:
    """Asserts that the page and all of its files are answered."""
    if not (WEB / "dist" / "reader.js").exists():
        pytest.skip("needs the page's packages: make web")
    web = installed.site / "aslx" / "serve" / "web"
    files = {}
    for file in filter(pathlib.Path.is_file, web.rglob("*")):
        if file.name == "LICENSE":  # Of packages inside the bundles, too, which no page asks for.
            continue
        name = file.relative_to(web).as_posix()
        package = name.removeprefix("node_modules/")
        files[f"/web/{name}" if package == name else f"/vendor/{package}"] = file
    assert files.keys() > {"/web/dist/reader.js", "/vendor/@mediapipe/holistic/holistic.js"}
    files["/"] = web / "index.html"
    with requests.Session() as session:
        assert session.get(f"{http}/docs", timeout=30).status_code == 200
        for path, file in files.items():
            found = session.get(http + path, timeout=30)
            assert found.status_code == 200, path
            assert found.content == file.read_bytes(), path
