"""Unlabelled clips: a run reads them, and they are prepared with its confidence and trained on."""

import csv
import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from aslx import config, label
from aslx.data import records
from aslx.predict import __main__ as predict
from aslx.prepare import __main__ as prepare
from aslx.runs import opening, trained_run
from tests import tiny, tiny_runs
from tests.prepare import kaggle


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A dozen clips of up to 69 frames, in two parquet files."""
    frames = [5 + 6 * i % 67 for i in range(12)]
    some = zip(kaggle.some(12), frames, strict=True)
    lines = [dataclasses.replace(line, frames=count) for line, count in some]
    return kaggle.write(tmp_path_factory.mktemp("kaggle"), lines)


@pytest.fixture(scope="module")
def workdir(dataset, tmp_path_factory):
    return tiny_runs.untrained(tiny.cfg(dataset), tmp_path_factory.mktemp("run"))


def test_texts_that_a_run_reads_are_prepared_with_its_confidence_and_trained_on(
    run, source, workdir, dataset, tmp_path
):
    read = tmp_path / "read.csv"
    done = run(label, "--workdir", workdir, "--source", source, "--out", read)
    told = done.last()
    assert f"--phrases {read}" in done.out
    with open(read, newline="") as f:
        rows = {(row["path"], int(row["sequence_id"])): row for row in csv.DictReader(f)}
    assert len(rows) == told["clips"] == 12 - told["empty"] > 6
    words = ("fingerspelling", "--source", source, "--phrases", read, "--split", "none")
    options = ("--selection", "hands_arms", "--processes", 1, "--out", tmp_path / "set")
    run(prepare, *words, *options).succeeded()
    data = records.Records(tmp_path / "set", "train")
    signers = {line.id: line.signer for line in kaggle.some(12)}
    for i in range(len(data)):
        found = data[i]
        number = found["sequence_id"].int64_list.value[0]
        row = rows.pop((found["file"].bytes_list.value[0].decode(), number))
        assert found["phrase"].bytes_list.value[0].decode() == row["phrase"]
        assert data.index.confidence[i] == pytest.approx(float(row["confidence"]))
        assert data.index.characters[i] == len(row["phrase"])
        assert data.index.signer[i] == signers[number]
    assert not rows
    least = float(np.median(data.index.confidence))
    also = config.Source(path=str(tmp_path / "set"), min_confidence=least)
    cfg = tiny.with_data(tiny.cfg(dataset), also=(also,))
    longest = int(data.index.characters.max())
    cfg = dataclasses.replace(cfg, task=dataclasses.replace(cfg.task, max_tokens=longest))
    kept = opening.training(cfg).sources[1][0]
    assert 0 < len(kept) < len(data) and (kept.index.confidence >= np.float32(least)).all()


def test_clips_are_read_in_batches_as_each_alone(source, workdir):
    run = trained_run.open_run(str(workdir))
    clips = [
        (number, clip)
        for path in sorted(source.rglob("*.parquet"))
        for number, clip in run.cfg.features.source.clips(str(path))
    ]
    together = {name: text for name, text, _ in label.read(run, iter(clips))}
    assert len(together) == len(clips)
    alone = [answer.text for answer in run.answers([clip for _, clip in clips])]
    assert [together[number] for number, _ in clips] == alone


def test_a_clip_without_a_landmark_is_read_as_nothing(run, workdir, tmp_path):
    lines = kaggle.some(2, frames=9)
    values = [kaggle.columns(line) for line in lines]
    values[0][:] = np.nan
    table = kaggle.table(lines, values)
    order = np.r_[: lines[0].frames, table.num_rows - 1 : lines[0].frames - 1 : -1]
    source = tmp_path / "kaggle"
    source.mkdir()
    pq.write_table(table.take(order), source / "a.parquet")
    done = run(predict, "--workdir", workdir, source / "a.parquet")
    blank, other = done.lines()
    assert blank["note"] == "nothing was tracked in any of 9 frames"
    assert blank["text"] == "" and blank["confidence"] == 0 and "note" not in other
    assert done.err.startswith(f"{source / 'a.parquet'}: 1 clip had frames out of order: sorted\n")
    words = ("--workdir", workdir, "--source", source, "--out", tmp_path / "read.csv")
    told = run(label, *words).last()
    assert told["clips"] + told["empty"] == 2 and told["empty"] >= 1


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(run, tmp_path):
    (tmp_path / "file").touch()
    for out, words in (
        (tmp_path, f"{tmp_path} is a folder, and a file is wanted"),
        (tmp_path / "file" / "read.csv", f"{tmp_path / 'file'} is a file, and a folder is wanted"),
        ("/proc/read.csv", "/proc/read.csv is not there"),
    ):
        done = run(label, "--workdir", "no/run", "--source", tmp_path, "--out", out)
        assert done.refusal() == f"error: {words}\n"


def test_a_missing_source_or_table_is_refused(run, workdir, tmp_path):
    arguments = ("--out", tmp_path / "read.csv", "--source", tmp_path)
    done = run(label, "--workdir", workdir, *arguments)
    assert done.refusal() == f"error: --source {tmp_path} holds no parquet\n"
    table = tmp_path / "x.csv"
    words = ("fingerspelling", "--source", tmp_path, "--phrases", table, "--out", tmp_path / "set")
    assert run(prepare, *words).refusal() == f"error: {table} is missing\n"
