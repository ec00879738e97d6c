"""A data set is whole at --out or not there, whoever is killed, and nothing else is overwritten."""

import pathlib
import subprocess
import sys

import pytest

from aslx import prepare
from aslx.data import records
from aslx.datasets import shards
from tests.datasets import kaggle

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def source(tmp_path):
    return kaggle.write(tmp_path / "kaggle", kaggle.some(16, frames=9))


def test_an_existing_out_is_replaced_only_when_told(run, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()  # An empty folder is as good as none.
    arguments = ("fingerspelling", "--source", source, "--out", out, *kaggle.FLAGS)
    assert run(prepare, *arguments)[0] == 0
    (out / "note").touch()
    status, _, err = run(prepare, *arguments)
    assert status == 2 and err == f"error: {out} exists already: pass --overwrite to replace it\n"
    assert (out / "note").exists()
    assert run(prepare, *arguments, "--overwrite", "--split", "none")[0] == 0
    assert not (out / "note").exists() and records.splits(out) == ["train"]
    assert kaggle.left(tmp_path) == ["out"]


def test_what_is_no_data_set_is_never_replaced(run, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").touch()
    arguments = ("fingerspelling", "--source", source, "--overwrite", *kaggle.FLAGS, "--out")
    status, _, err = run(prepare, *arguments, out)
    assert status == 2 and "holds something else than a data set" in err
    status, _, err = run(prepare, *arguments, out / "thesis.tex")
    assert status == 2 and "is a file: choose another --out" in err
    status, _, err = run(prepare, *arguments, source.parent)
    assert status == 2 and "holds" in err
    assert (out / "thesis.tex").exists() and (source / "train.csv").exists()


def test_a_source_inside_out_is_not_overwritten(run, tmp_path):
    out = tmp_path / "out"
    run(prepare, "synthetic", "--sequences", "4", "--out", out, *kaggle.FLAGS, "--split", "none")
    status, _, err = run(
        prepare,
        "fingerspelling",
        "--source",
        out / "kaggle",
        "--out",
        out,
        "--overwrite",
        *kaggle.FLAGS,
    )
    assert status == 2 and "and would replace it" in err
    assert (out / "kaggle" / "train.csv").exists()


def test_two_at_once_do_not_write_the_same_out(run, source, tmp_path):
    out = tmp_path / "out"
    with shards.building(out) as scratch:
        status, _, err = run(
            prepare, "fingerspelling", "--source", source, "--out", out, *kaggle.FLAGS
        )
        assert status == 2 and "another process is preparing" in err
        assert scratch.exists()
        (scratch / "out").mkdir()
    assert kaggle.left(tmp_path) == ["out"]


def test_a_failed_write_leaves_the_old_data_set(run, source, tmp_path, monkeypatch):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    assert run(prepare, *arguments)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(shards, "_write_one", full)
    status, _, err = run(prepare, *arguments, "--overwrite")
    assert status == 2 and err.count("\n") == 1
    assert f"{tmp_path} is full" in err and "No space left on device" in err
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before
    assert kaggle.left(tmp_path) == ["out"]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from aslx import cli, prepare
cli.run(prepare.main)
"""


@pytest.mark.parametrize("limit", [20_000, 40_000])  # Of the spool, and of a shard.
def test_a_file_that_cannot_be_written_is_one_line(limit, source, tmp_path):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, arguments), "--split", "none"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert ran.stderr.startswith(f"error: {tmp_path} is full, make room and run again")
    assert kaggle.left(tmp_path) == []


KILLED = """
import os, signal
from aslx import cli, prepare
from aslx.data import records
records.write_index = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
cli.run(prepare.main)
"""


def test_a_killed_run_leaves_no_out_and_the_next_one_clears_up(run, source, tmp_path):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    ran = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], cwd=ROOT)
    assert ran.returncode == -9
    assert kaggle.left(tmp_path) == [".out.incomplete"]
    assert run(prepare, *arguments)[0] == 0
    assert kaggle.left(tmp_path) == ["out"]
