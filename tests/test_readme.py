"""The commands of README, taken from its text, run in an empty folder as a new user does."""

import json
import os
import pathlib
import re
import shlex
import shutil
import sys
import time
import urllib.request

import pytest

from tests import processes

ROOT = processes.ROOT
README = (ROOT / "README.md").read_text()
# Makes the network of README small enough to train in seconds.
SMALL = (
    *("--model.dim", "32", "--model.num-layers", "1", "--model.num-heads", "1"),
    *("--data.batching.frames", "2048", "--data.batching.buckets", "1"),
)


def job(name: str) -> list[str]:
    """The commands in an entry of "I want to ..."."""
    (text,) = re.findall(rf"^- \*\*{re.escape(name)}\*\*: (.*?)^(?:- |$)", README, re.M | re.S)
    commands = [" ".join(c.split()) for c in re.findall(r"`([^`]+)`", text)]
    return [c for c in commands if re.match(r"(python|make|pip) ", c)]


def words(command: str) -> list[str]:
    first, *rest = shlex.split(command)
    return [sys.executable if first == "python" else first, *rest]


def environment(package: pathlib.Path = ROOT) -> dict[str, str]:
    # Below another make, make would print the folders that it enters.
    make = [name for name in os.environ if name.startswith("MAKE")]
    return processes.environment(*make, PYTHONPATH=str(package))


def printed(command: str, folder: pathlib.Path, *more: str) -> str:
    """What a command prints in a folder; it must succeed."""
    return processes.run([*words(command), *more], folder, env=environment()).succeeded()


def venv(folder: pathlib.Path) -> pathlib.Path:
    """The program pip of a new environment, with a Python for which JAX supports GPUs."""
    found = filter(None, (shutil.which(f"python3.{minor}") for minor in (12, 13)))
    for python in (*found, *pathlib.Path.home().glob(".pyenv/versions/3.1[23]*/bin/python")):
        if processes.run([python, "-m", "venv", folder]).status == 0:
            return folder / "bin" / "pip"
    pytest.skip("needs Python 3.12 or 3.13")


@pytest.mark.slow
def test_pip_finds_the_packages_of_the_gpu_install(tmp_path):
    (command,) = re.findall(r"^\| NVIDIA GPU.*\| `(pip .*)` \|$", README, re.MULTILINE)
    pip = venv(tmp_path / "venv")
    # Earlier versions of pip download whole wheels in a dry run.
    printed(f"{pip} install -q 'pip>=23.3'", tmp_path)
    dry = ("--dry-run", "--use-feature=fast-deps")
    lines = printed(re.sub("^pip", str(pip), command), ROOT, *dry).splitlines()
    (found,) = (line for line in lines if line.startswith("Would install"))
    names = {word.rpartition("-")[0].replace("_", "-") for word in found.split()[2:]}
    assert {"jax-cuda13-plugin", "tensorflow-cpu", "aslx"} <= names


@pytest.mark.slow
def test_films_become_a_data_set(film, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    for name in ("hello.mp4", "street.mp4"):
        shutil.copy(film, films / name)
    page = (ROOT / "docs" / "own-data.md").read_text()
    (table,) = re.findall(r"^```\n(path,phrase.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (films / "phrases.csv").write_text(table)
    first, second = job("train on my own films")
    assert json.loads(printed(first, tmp_path).splitlines()[-1])["made"] == 2
    # The film of a few letters has too few frames for the phrases of the page.
    printed(second, tmp_path, "--split", "none", "--frames-per-character", "0")
    assert (tmp_path / "data" / "mine" / "dataset_info.json").exists()


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory) -> pathlib.Path:
    """A folder with nothing but the data set of `make train`, here a small one."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "data").mkdir()
    (folder / "data" / "synthetic").symlink_to(dataset)
    return folder


@pytest.mark.slow
def test_a_network_is_trained_and_resumed(folder):
    (train,), (longer,) = job("train a network"), job("resume, or train longer")
    printed(train, folder, *SMALL, "--epochs", "2")
    said = printed(longer, folder, *SMALL)
    assert "going on from step" in said and "8 epochs, and it was 2" in said
    assert (folder / "runs" / "small" / "config.json").exists()


@pytest.mark.slow
def test_the_api_answers(folder):
    (command,) = job("serve an API")
    run = folder / "runs" / "small"
    if not run.exists():
        printed(job("train a network")[0], folder, *SMALL, "--epochs", "1")
    port = str(processes.free_port())
    command = command.replace("8000", port).replace("runs/quickstart", "runs/small")
    server = processes.start(words(command), folder, env=environment())
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


def test_the_page_is_opened_by_make_with_what_was_trained_or_the_reader(tmp_path):
    (command,) = job("spell at the camera")
    dry = ("-n", "PYTHON=python3", f"RUN={tmp_path}")
    assert printed(command, ROOT, *dry).rstrip().endswith("-m aslx.serve")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.json").touch()
    assert f"-m aslx.serve --workdir {tmp_path}" in printed(command, ROOT, *dry)


def test_make_train_exports_the_models_of_the_page_so_that_make_live_starts_at_once():
    said = printed("make train", ROOT, "-n", "PYTHON=python3")
    (export,) = [line for line in said.splitlines() if "-m aslx.export" in line]
    assert "--workdir runs/quickstart --web" in export


def test_make_train_scores_the_run_on_peoples_phrases_where_there_are_some(tmp_path):
    people = [
        [line for line in said.splitlines() if "data/people" in line]
        for folder in (tmp_path, tmp_path / "none")
        for said in [printed("make train", ROOT, "-n", "PYTHON=python3", f"PEOPLE={folder}")]
    ]
    (prepare, evaluate), nobody = people
    assert f"--source {tmp_path} --out data/people --split none" in prepare
    assert "-m aslx.evaluate --workdir runs/quickstart --data data/people" in evaluate
    assert not nobody


@pytest.mark.long
def test_one_test_runs():
    (command,) = job("run one test")
    assert "passed" in printed(command, ROOT)


def test_a_user_adds_a_network_as_one_file(tmp_path):
    page = (ROOT / "docs" / "models.md").read_text()
    files = re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert len(files) == 2
    leave = shutil.ignore_patterns("node_modules", "dist", "__pycache__")
    shutil.copytree(ROOT / "aslx", tmp_path / "aslx", ignore=leave)
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (command,) = job("add a network")
    done = processes.run(words(command), tmp_path, env=environment(tmp_path))
    assert done.last()["trainable_parameters"] > 100_000
