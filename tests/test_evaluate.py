"""The scores that an evaluation prints, and the folder that it writes."""

import errno
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from aslx import errors, evaluate
from aslx.data import records
from aslx.figures import plots
from aslx.runs import opening
from aslx.storage import files
from aslx.tasks import transcription
from tests import tiny, tiny_runs, trees


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    """A run of random weights on a data set whose metadata name its source."""
    folder = tmp_path_factory.mktemp("evaluated")
    data = prepared(folder / "set", {"train": [12], "validation": [6]}, "here")
    return tiny_runs.untrained(tiny.cfg(data), folder / "run")


@pytest.fixture(autouse=True)
def drawing(monkeypatch):
    """Draws no figures, which take seconds; tests/train/test_train.py covers them."""

    def draw(scores, directory):
        del scores
        files.write(directory / "scores.png", b"a figure")

    monkeypatch.setattr(plots, "transcription", draw)


def prepared(folder: pathlib.Path, counts: dict, source: str, seed: int = 0) -> pathlib.Path:
    """A data set whose metadata name its source."""
    folder.mkdir(parents=True)
    path = tiny.dataset(folder, counts, seed=seed) / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": source}))
    return folder


def evaluated(run, workdir: pathlib.Path, *arguments) -> dict:
    return run(evaluate, "--workdir", workdir, "--split", "validation", *arguments).last()


def test_scores_name_their_data_set_and_each_data_set_has_a_folder(run, workdir, tmp_path):
    own = evaluated(run, workdir)
    data = records.Records(workdir.parent / "set", "validation")
    trained_on = {"path": os.path.realpath(data.directory), "holds": data.index.fingerprint()}
    assert (own["step"], own["split"], own["data"]) == (1, "validation", trained_on)
    assert own["signers"] and "unseen_signers" in own and "unseen_phrases" in own
    folder = workdir / "evaluation-validation"
    assert json.loads((folder / "scores.json").read_text())["data"] == trained_on
    (folder / "notes.txt").write_text("a user's")
    before, counts = trees.contents(folder), {"train": [4], "validation": [5]}

    related = prepared(tmp_path / "set", counts, "here", seed=3)
    same = evaluated(run, workdir, "--data", related)
    assert same["data"]["path"] == str(related) and "unseen_signers" in same
    unrelated = prepared(tmp_path / "elsewhere" / "set", counts, "there", seed=3)
    strange = evaluated(run, workdir, "--data", unrelated)
    assert "unseen_signers" not in strange and "unseen_phrases" in strange
    assert trees.contents(folder) == before
    folders = sorted(workdir.glob("evaluation-validation-of-set*"))
    assert [json.loads((f / "scores.json").read_text())["clips"] for f in folders] == [5, 5]

    assert evaluated(run, workdir, "--data", workdir.parent / "set") == own
    assert (folder / "notes.txt").read_text() == "a user's"


def test_an_evaluation_is_written_whole_or_not_at_all(run, workdir, tmp_path, monkeypatch):
    out = tmp_path / "scored"
    evaluated(run, workdir, "--out", out)
    assert {"scores.json", "examples.jsonl", "scores.png"} == trees.contents(out).keys()
    (out / "scores.json").write_text("of an earlier evaluation")
    before = trees.contents(out)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plots, "transcription", full)
    done = run(evaluate, "--workdir", workdir, "--split", "validation", "--out", out)
    assert done.status == 75 and "No space left" in done.err.splitlines()[-1]
    assert json.loads(done.out.splitlines()[-1])["clips"] == 6  # The scores are not lost.
    assert trees.contents(out) == before
    assert os.listdir(tmp_path) == ["scored"]


def test_files_that_are_no_evaluation_are_not_overwritten(run, workdir, tmp_path):
    (tmp_path / "thesis.tex").touch()
    words = ("--workdir", workdir, "--split", "validation", "--out")
    assert "something else than an evaluation" in run(evaluate, *words, tmp_path).refusal()
    assert "is a file" in run(evaluate, *words, tmp_path / "thesis.tex").refusal()
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root")
def test_a_read_only_run_is_scored_and_the_error_says_what_was_not_written(run, workdir, tmp_path):
    there = tmp_path / "readonly"
    shutil.copytree(workdir, there)
    shutil.rmtree(there / "evaluation-validation", ignore_errors=True)
    mounted = subprocess.run(["mount", "--bind", there, there], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", there], check=True)
        done = run(evaluate, "--workdir", there, "--split", "validation")
        assert done.status == 2 and done.err.splitlines()[-1] == (
            f"error: {there}/evaluation-validation is on a disk that cannot be written: "
            "take another path"
        )
        assert "\nscore " in done.out and json.loads(done.out.splitlines()[-1])["clips"] == 6
        searched = ("--beams", 2, "--prior", 0.3)  # The counts of a prior would be cached there.
        assert evaluated(run, there, *searched, "--out", tmp_path / "scored")["clips"] == 6
    finally:
        subprocess.run(["umount", there], check=True)


def test_phrases_too_long_to_be_decoded_are_scored_counted_and_named(run, workdir, tmp_path):
    own, long = evaluated(run, workdir), tmp_path / "long"
    long.mkdir()
    tiny.dataset(long, {"train": [1], "validation": [4, 2]}, characters=(5, 12))
    done = run(evaluate, "--workdir", workdir, "--split", "validation", "--data", long)
    scores, phrases = done.last(), records.Records(long, "validation").index.characters
    assert own["too_long"] == 0 and scores["clips"] == 6
    assert scores["too_long"] == (phrases > 8).sum() > 0
    assert f"{scores['too_long']} phrases have more than task.max_tokens=8 characters" in done.out
    assert np.isfinite(scores["eval_loss"])


def test_a_run_of_an_alphabet_refuses_data_of_another_in_one_line(run, workdir, tmp_path):
    tiny.dataset(tmp_path, {"train": [2], "validation": [4]}, alphabet="їжak")
    done = run(evaluate, "--workdir", workdir, "--split", "validation", "--data", tmp_path)
    assert "its alphabet has 4 characters, and the model's 59 are without it" in done.refusal()
    cfg = tiny.cfg(tmp_path)
    own = tiny_runs.untrained(opening.settled(cfg), tmp_path / "run")
    scores = evaluated(run, own)
    assert scores["clips"] == 4
    assert (
        "has phrases with"
        in run(
            evaluate, "--workdir", own, "--split", "validation", "--data", workdir.parent / "set"
        ).refusal()
    )
    (tmp_path / "few").mkdir()
    few = tiny.dataset(tmp_path / "few", {"train": [2], "validation": [3]}, alphabet="ak")
    assert evaluated(run, own, "--data", few)["clips"] == 3


def test_a_run_that_goes_on_or_begins_from_another_keeps_its_alphabet(tmp_path):
    for name, letters in (("first", "їжak"), ("less", "ka"), ("more", "kaq")):
        (tmp_path / name).mkdir()
        tiny.dataset(tmp_path / name, {"train": [9], "validation": [2]}, alphabet=letters)
    first = tiny_runs.untrained(opening.settled(tiny.cfg(tmp_path / "first")), tmp_path / "run")
    for changes, workdir in (({}, first), ({"weights": str(first)}, None)):
        less = opening.settled(tiny.cfg(tmp_path / "less", **changes), workdir)
        assert isinstance(less.task, transcription.Task)
        assert less.task.alphabet.characters == "їжak"
        opening.training(less)
        more = opening.settled(tiny.cfg(tmp_path / "more", **changes), workdir)
        with pytest.raises(errors.BadInput, match=r"phrases with 'q': .* model's 4 are without"):
            opening.training(more)
