"""Files survive a power cut as soon as a command has reported that they are written."""

import os
import pathlib
import signal

import pytest

from aslx.prepare import building
from aslx.storage import files
from tests import power, processes, tiny
from tests.prepare import kaggle


def write(place: pathlib.Path, text: str) -> None:
    files.write(place / "new" / "deep" / "config.json", text)


def replace(place: pathlib.Path, text: str) -> None:
    with files.replacing(place / "film.mp4") as partial:
        partial.write_text(text)


def replace_folder(place: pathlib.Path, text: str) -> None:
    with files.replacing_folder(place / "export", keeping=True) as folder:
        (folder / "web").mkdir()
        (folder / "web" / "64.tflite").write_text(text)
        (folder / f"{text}.json").write_text(text)


def build(place: pathlib.Path, text: str) -> None:
    with building.scratch(place / "sets" / "set", overwrite=True) as scratch:
        (scratch / "out" / "figures").mkdir(parents=True)
        for name in ("dataset_info.json", "metadata.json", "figures/clips.gif"):
            (scratch / "out" / name).write_text(text)


def append(place: pathlib.Path, text: str) -> None:
    files.append(place / "metrics.jsonl", f"{text}\n")
    files.sync(place / "metrics.jsonl")
    files.sync(place)


WAYS = (write, replace, replace_folder, build, append)


def fill(place: pathlib.Path, text: str) -> None:
    """Writes in each way that aslx has, under new names and over old files."""
    for way in WAYS:
        way(place, text)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_writing_survives_a_power_cut_without_the_syncs_of_others(way, tmp_path):
    with power.disk(tmp_path, 24) as place:
        for text in ("old", "new"):
            way(place, text)
            assert power.cut(place) == power.held(place)


@pytest.mark.parametrize("synced", [True, False])
def test_every_way_of_writing_survives_a_power_cut_if_and_only_if_it_syncs(
    synced, tmp_path, monkeypatch
):
    with power.disk(tmp_path, 24) as place:
        if not synced:
            monkeypatch.setattr(os, "fsync", lambda opened: None)
        for text in ("old", "new"):
            fill(place, text)
            wanted = power.held(place)
            assert len(wanted) == (8 if text == "old" else 9)
            assert (power.cut(place) == wanted) == synced
        if not synced:
            assert not power.cut(place)


def lost(place: pathlib.Path, *command: object) -> set[str]:
    """The files that a command has written when it prints its last line, and that a power cut at
    that moment would lose or damage."""
    env = processes.environment(PYTHONPATH=str(processes.ROOT), TF_CPP_MIN_LOG_LEVEL="2")
    with processes.start(processes.command(*map(str, command)), env=env) as child:
        printed = any(line.startswith("{") for line in processes.output(child))
        child.send_signal(signal.SIGSTOP)
        wanted, found = power.held(place), power.cut(place)
        child.send_signal(signal.SIGCONT)
        _, err = child.communicate(timeout=300)
    assert child.returncode == 0 and printed and wanted, err
    return {name for name in wanted if found.get(name) != wanted[name]}


@pytest.mark.slow
def test_what_each_command_wrote_survives_a_power_cut_after_its_last_line(tmp_path):
    source = kaggle.write(tmp_path / "kaggle", kaggle.some(16, frames=9))
    (tmp_path / "data").mkdir()
    data = tiny.dataset(tmp_path / "data")
    config = tiny.config_file(tmp_path / "tiny.py", data, save_every=3, epochs=1)
    (parquet,) = sorted(source.glob("train_landmarks/1.parquet"))
    with power.disk(tmp_path, 192) as place:
        run = place / "run"
        prepare = ("prepare", "fingerspelling", "--source", source, "--out", place / "set")
        assert lost(place, *prepare, *kaggle.FLAGS) == set()
        assert lost(place, *prepare, *kaggle.FLAGS, "--overwrite", "--seed", 3) == set()
        assert lost(place, "train", "--config", config, "--workdir", run) == set()
        at = ("--workdir", run)
        assert lost(place, "evaluate", *at, "--split", "validation") == set()
        assert lost(place, "predict", *at, parquet, "--draw") == set()
        assert lost(place, "label", *at, "--source", source, "--out", place / "a.csv") == set()
        assert lost(place, "export", *at, "--clips", 2, "--split", "validation") == set()
