"""README's commands, taken from its text, in an empty folder: a user's first hours."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence

import pytest

from tests import processes

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# A network that trains in seconds, instead of README's.
SMALL = (
    *("--model.dim", "32", "--model.num-layers", "1", "--model.num-heads", "1"),
    *("--data.batching.frames", "2048", "--data.batching.buckets", "1"),
)


def job(name: str) -> list[str]:
    """The commands of a line of "I want to ..."."""
    (text,) = re.findall(rf"^- \*\*{re.escape(name)}\*\*: (.*?)^(?:- |$)", README, re.M | re.S)
    commands = [" ".join(c.split()) for c in re.findall(r"`([^`]+)`", text)]
    return [c for c in commands if re.match(r"(python|make|pip) ", c)]


def words(command: str, *more: str) -> list[str]:
    first, *rest = shlex.split(command)
    return [sys.executable if first == "python" else first, *rest, *more]


def environment() -> dict[str, str]:
    # Below another make, make would print the folders that it enters.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return env | {"PYTHONPATH": str(ROOT)}


def does(command: Sequence[str], folder: pathlib.Path) -> str:
    """What a command prints, run in a folder; it must end well."""
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def venv(folder: pathlib.Path) -> pathlib.Path:
    """The folder of the programs of a new environment, of a Python that has JAX for GPUs."""
    found = filter(None, (shutil.which(f"python3.{minor}") for minor in (12, 13)))
    for python in (*found, *pathlib.Path.home().glob(".pyenv/versions/3.1[23]*/bin/python")):
        done = subprocess.run([python, "-m", "venv", folder], capture_output=True)
        if done.returncode == 0:
            return folder / "bin"
    pytest.skip("needs Python 3.12 or 3.13")


@pytest.mark.slow
def test_a_gpu_install_is_one_that_pip_finds(tmp_path):
    (command,) = re.findall(r"^\| NVIDIA GPU.*\| `(pip .*)` \|$", README, re.MULTILINE)
    programs = venv(tmp_path / "venv")
    # An earlier pip fetches whole wheels where it only has to say which.
    does([str(programs / "pip"), "install", "-q", "pip>=23.3"], tmp_path)
    found = does(
        [str(programs / "pip"), *words(command, "--dry-run", "--use-feature=fast-deps")[1:]], ROOT
    )
    said = next(line for line in found.splitlines() if line.startswith("Would install"))
    assert {"jax-cuda13-plugin", "tensorflow-cpu", "aslx"} <= {
        word.rpartition("-")[0].replace("_", "-") for word in said.split()[2:]
    }


@pytest.mark.slow
def test_films_become_a_data_set(film, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    for name in ("hello.mp4", "street.mp4"):
        shutil.copy(film, films / name)
    # As docs/own-data.md shows it.
    page = (ROOT / "docs" / "own-data.md").read_text()
    (table,) = re.findall(r"^```\n(path,phrase.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (films / "phrases.csv").write_text(table)
    first, second = job("train on my own films")
    assert json.loads(does(words(first), tmp_path).splitlines()[-1])["made"] == 2
    # A film of a few letters has few frames for the page's longer phrase.
    more = ("--split", "none", "--frames-per-character", "0")
    does(words(second, *more), tmp_path)
    assert (tmp_path / "data" / "mine" / "dataset_info.json").exists()


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory) -> pathlib.Path:
    """An empty folder but for what `make train` prepares, and that is small."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "data").mkdir()
    (folder / "data" / "synthetic").symlink_to(dataset)
    return folder


@pytest.mark.slow
def test_a_network_is_trained_and_resumed(folder):
    (train,), (longer,) = job("train a network"), job("resume, or train longer")
    does(words(train, *SMALL, "--epochs", "2"), folder)
    said = does(words(longer, *SMALL), folder)
    assert "going on from step" in said and "8 epochs, and it was 2" in said
    # The best is kept, and that is exported and served.
    assert (folder / "runs" / "small" / "config.json").exists()


@pytest.mark.slow
def test_the_api_answers(folder):
    (command,) = job("serve an API")
    run = folder / "runs" / "small"
    if not run.exists():
        does(words(job("train a network")[0], *SMALL, "--epochs", "1"), folder)
    port = str(processes.free_port())
    command = command.replace("8000", port).replace("runs/quickstart", "runs/small")
    server = subprocess.Popen(words(command), cwd=folder, env=environment())
    try:
        for _ in range(1200):
            assert server.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                    assert json.load(answer)["step"] >= 1
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")
    finally:
        server.terminate()
        server.wait()


def test_the_page_is_opened_by_make():
    (command,) = job("spell at the camera")
    said = does([*words(command), "-n", "PYTHON=python3"], ROOT)
    assert "-m aslx.serve --workdir runs/quickstart" in said


def test_one_test_runs():
    (command,) = job("run one test")
    assert "passed" in does(words(command), ROOT)


def test_a_network_of_ones_own_is_one_file(tmp_path):
    page = (ROOT / "docs" / "models.md").read_text()
    files = re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert len(files) == 2
    leave = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
    shutil.copytree(ROOT / "aslx", tmp_path / "aslx", ignore=leave)
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (command,) = job("add a network")
    env = environment() | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words(command), cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["trainable_parameters"] > 100_000
