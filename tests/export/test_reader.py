"""The reader that the package brings: small, whole, and good at hands that it never saw."""

import json

import jax
import numpy as np
import pytest

import aslx
from aslx.export import exported, exports
from aslx.predict import __main__ as predict
from aslx.prepare import __main__ as prepare
from aslx.readers import csv_files
from aslx.schema import landmarks
from aslx.tasks import metrics

if not (exports.READER / exports.ABOUT).exists():
    pytest.skip("this checkout has no reader", allow_module_level=True)


@pytest.fixture(scope="module")
def reader() -> exported.Export:
    return exported.open_reader()


def test_it_takes_six_megabytes_at_most_with_what_the_page_needs(reader):
    size = sum(path.stat().st_size for path in exports.READER.rglob("*") if path.is_file())
    assert size <= 6_000_000 and reader.about.web
    assert json.loads((exports.READER / exports.REPORT).read_text())["quantize"] == "int8"


def test_people_whom_it_never_saw_are_read(reader, shared):
    """The goals of phrases that were spliced from the letters of two people."""
    sample = shared / "fingerspelling_sample"
    columns = ("path", "sequence_id", "phrase")
    lines = [
        line
        for table in ("train.csv", "supplemental_metadata.csv")
        for line in csv_files.read(sample / table, columns)
    ]
    read = {}
    for path in {line.path() for line in lines}:
        read |= {p.name: p.text for p in aslx.read(reader, sample / path)}
    pairs = [(line["phrase"], read[line.integer("sequence_id")]) for line in lines]

    def score(strip: str) -> float:
        told, found = zip(*([t.replace(strip, "") for t in pair] for pair in pairs), strict=True)
        length = np.array([len(t) for t in told])
        return metrics.normalized_levenshtein(length, metrics.distances(told, found))

    assert len(pairs) == 44 and score(" ") >= 0.80 and score("\0") >= 0.72


def test_a_clip_without_hands_has_no_text(reader):
    clip = np.full((30, len(landmarks.POINTS), 3), np.nan, np.float32)
    assert aslx.read(reader, clip)[0].text == ""


@pytest.mark.long
def test_predict_reads_a_film_without_a_run(run, film):
    line = run(predict, film).last()
    assert line["frames_with_a_hand"] > 0 and line["text"]


def test_a_drawing_needs_a_run(run, tmp_path):
    said = "an exported file: pass the --workdir of a run"
    assert said in run(predict, tmp_path / "film.mp4", "--draw").refusal()


@pytest.mark.long
def test_the_cards_commands_make_the_same_bits_each_time(run, train, tmp_path):
    """With fewer clips, on another number of processes, and a smaller network."""
    texts = ("--generator", "2.0.0", "--texts", "spelled")
    kept = ("--whole-hands", "--selection", "hands_arms")
    small = ("--model.dim", 36, "--model.num-layers", 1, "--data.batching.buckets", 1)
    shards, weights = [], []
    for count in (1, 2):
        data, workdir = tmp_path / f"data{count}", tmp_path / f"run{count}"
        size = ("--sequences", 80, "--processes", count)
        run(prepare, "synthetic", "--out", data, *size, *texts, *kept).succeeded()
        where = ("--config", "reader", "--data.path", data, "--workdir", workdir)
        train(*where, *small, "--epochs", 1).succeeded()
        shards.append({p.name: p.read_bytes() for p in data.glob("*.tfrecord*")})
        weights.append(jax.tree.leaves(aslx.open_run(workdir).model))
    assert shards[0] and shards[0] == shards[1]
    assert all((a == b).all() for a, b in zip(*weights, strict=True))
