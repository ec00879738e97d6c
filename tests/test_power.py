"""What stands under a final name survives a power cut once a command has said that it is there."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from aslx.prepare import building
from aslx.storage import files
from tests import power, tiny
from tests.prepare import kaggle

ROOT = pathlib.Path(__file__).parent.parent


def fill(place: pathlib.Path, text: str) -> None:
    """One of each way of writing, with new names and with old ones."""
    files.write(place / "new" / "deep" / "config.json", text)
    with files.replacing(place / "film.mp4") as partial:
        partial.write_text(text)
    with files.replacing_folder(place / "export", keeping=True) as folder:
        (folder / "web").mkdir()
        files.write(folder / "web" / "64.tflite", text)
        (folder / f"{text}.json").write_text(text)
    with building.scratch(place / "sets" / "set", overwrite=True) as scratch:
        (scratch / "out" / "figures").mkdir(parents=True)
        for name in ("dataset_info.json", "metadata.json", "figures/clips.gif"):
            (scratch / "out" / name).write_text(text)
    files.append(place / "metrics.jsonl", f"{text}\n")
    files.sync(place / "metrics.jsonl")
    files.sync(place)


@pytest.mark.parametrize("synced", [True, False])
def test_every_way_of_writing_survives_a_power_cut_and_only_because_it_syncs(
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


def ran(*command: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip


def lost(place: pathlib.Path, *command: object) -> set[str]:
    """The files that a command had written when it printed its last line, and that a power cut at
    that moment would have taken or spoilt."""
    with ran(*command) as child:
        assert child.stdout is not None and child.stderr is not None
        said = ""
        for line in child.stdout:
            said = line
            if line.startswith("{"):
                break
        child.send_signal(signal.SIGSTOP)
        wanted, found = power.held(place), power.cut(place)
        child.send_signal(signal.SIGCONT)
        _, err = child.communicate(timeout=300)
    assert child.returncode == 0 and said.startswith("{"), err
    assert wanted
    return {name for name in wanted if found.get(name) != wanted[name]}


@pytest.mark.slow
def test_what_each_command_wrote_survives_a_power_cut_after_its_last_line(tmp_path):
    source = kaggle.write(tmp_path / "kaggle", kaggle.some(16, frames=9))
    data = tmp_path / "data"
    data.mkdir()
    tiny.dataset(data)
    config = tmp_path / "tiny.py"
    tiny.config_file(config, data, save_every=3, epochs=1)
    (parquet,) = sorted(source.glob("train_landmarks/1.parquet"))
    with power.disk(tmp_path, 192) as place:
        run = place / "run"
        prepare = ("aslx.prepare", "fingerspelling", "--source", source, "--out", place / "set")
        assert lost(place, *prepare, *kaggle.FLAGS) == set()
        assert lost(place, *prepare, *kaggle.FLAGS, "--overwrite", "--seed", 3) == set()
        assert lost(place, "aslx.train", "--config", config, "--workdir", run) == set()
        at = ("--workdir", run)
        assert lost(place, "aslx.evaluate", *at, "--split", "validation") == set()
        assert lost(place, "aslx.predict", *at, parquet, "--draw") == set()
        assert lost(place, "aslx.label", *at, "--source", source, "--out", place / "a.csv") == set()
        assert lost(place, "aslx.export", *at, "--clips", 2, "--split", "validation") == set()
