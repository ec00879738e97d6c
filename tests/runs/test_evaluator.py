"""Evaluations: corrupt records, phrases that are too long, and clips that CTC cannot align."""

import dataclasses
import json
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx import config, errors, evaluate, sharding
from aslx.data import plan, records
from aslx.inputs import phrase_features
from aslx.runs import evaluator, flat, trained_run
from aslx.tasks import heads
from aslx.train import notes, setup
from tests import tiny, tiny_runs


@pytest.fixture(scope="module")
def damaged(dataset, tmp_path_factory) -> tuple[pathlib.Path, str]:
    """A run on data with one damaged validation record, and the place of the record."""
    data = tmp_path_factory.mktemp("damaged") / "data"
    shutil.copytree(dataset, data)
    where = tiny.damage(data, "validation", 5)
    batching = plan.Bucketed(frames=512, buckets=1, multiple=4)
    cfg = tiny.with_data(tiny.cfg(data), batching=batching)
    return tiny_runs.untrained(cfg, data.parent / "run"), where


def test_a_corrupt_record_is_an_error_that_names_its_place_or_is_left_out_and_counted(
    damaged, run, caplog
):
    workdir, where = damaged
    words = "--workdir", workdir, "--split", "validation"
    assert where in run(evaluate, *words).refusal()
    done = run(evaluate, *words, "--skip-corrupt")
    scores = done.last()
    assert scores["corrupt"] == 1 and scores["clips"] == 23
    assert "left out, because they are corrupt: 1 records" in done.out
    assert where in caplog.text and "1 corrupt records of validation" in caplog.text
    rows = (workdir / "evaluation-validation" / "examples.jsonl").read_text().splitlines()
    found = {row["record"]: row["target"] for row in map(json.loads, rows)}
    assert set(found) == set(range(24)) - {5}
    phrases = records.Records(workdir.parent / "data", "validation").index.text.tolist()
    assert all(phrases[i].decode() == target for i, target in found.items())


def test_a_split_whose_records_are_all_corrupt_is_an_error(tmp_path):
    data = tiny.dataset(tmp_path, {"train": [8], "validation": [1]})
    cfg = tiny.with_data(tiny.cfg(data), skip_corrupt=True)
    records.Records(data, "validation")  # Writes the index, which damage does not change.
    tiny.damage(data, "validation", 0)
    evaluation = evaluator.Evaluation(cfg, sharding.make_mesh(cfg.mesh), "validation")
    with pytest.raises(errors.BadInput, match=r"every record of validation .* is corrupt"):
        evaluation.run(tiny_runs.network(cfg))


@pytest.mark.usefixtures("every_device")
def test_a_run_is_read_on_as_many_devices_as_its_batches_divide_over(damaged):
    assert len(jax.devices()) == 8 and trained_run.open_run(damaged[0]).mesh.size == 4
    assert [sharding.for_reading(rows).size for rows in (1, 3, 8, 12, 64)] == [1, 1, 8, 4, 8]


def test_phrases_that_are_too_long_are_an_error_for_every_split_before_training(tmp_path):
    counts = {"train": [8], "validation": [8]}
    short, long, both = (tmp_path / name for name in ("short", "long", "both-long"))
    for path, characters in ((short, (1, 3)), (long, (4, 6)), (both, (1, 3))):
        path.mkdir()
        tiny.dataset(path, counts, characters=characters)
    for path in long.glob("*-validation.tfrecord*"):
        shutil.copy(path, both)
    plain = tiny.cfg(short)
    plain = dataclasses.replace(plain, task=dataclasses.replace(plain.task, max_tokens=4))

    for split, changes in (
        ("train", {"path": str(long)}),
        ("train", {"also": (config.Source(path=str(long)),)}),
        ("validation", {"path": str(both)}),
    ):
        words = (
            rf"of the 8 phrases of {split} in \S*long do not fit task\.max_tokens=4, the "
            r"longest has 5 characters: train with --task\.max-tokens 5$"
        )
        with pytest.raises(errors.BadInput, match=words):
            setup.of(tiny.with_data(plain, **changes))


def test_clips_that_ctc_cannot_align_are_found_in_the_index_and_counted_by_the_loss(tmp_path):
    counts = {"train": [24], "validation": [24]}
    data = tiny.dataset(tmp_path, counts, frames=(1, 14), alphabet="ab")
    kind = phrase_features.Modern(max_frames=8, only_hands=False)  # Four positions.
    cfg = dataclasses.replace(tiny.cfg(data), features=kind)
    s = setup.of(cfg)
    lines = list(notes.of(cfg, s.abstract, s.pool, s.evaluation))
    assert lines[0].startswith("AdamW moves 100.0% of the parameters")
    found = [re.findall(r"^(\d+) of the 24 clips of (train|validation)", x) for x in lines[1:]]
    known = [int(count) for ((count, _),) in found]
    _, means = s.evaluation.run(tiny_runs.network(cfg))
    counted, held = 0.0, flat.Flat(s.init())
    with s.batches(0, 0) as batches:
        for _, batch in zip(range(s.steps_per_epoch), batches, strict=False):
            held, metrics = s.train(held, batch, s.key)
            counted += float(metrics["unaligned"])
    assert known == [counted, means["eval_unaligned"]] and min(known) > 0 and max(known) < 24
    alone = dataclasses.replace(cfg.task, head=heads.Autoregressive())
    assert alone.unaligned(s.abstract.best_model, kind, s.evaluation.data) == 0


def test_a_long_clip_does_not_lengthen_the_padding_of_others(dataset, monkeypatch):
    cfg = tiny.cfg(dataset)
    seen = []

    def predict(model: nnx.Module, batch: dict) -> jax.Array:
        seen.append((batch["landmarks"].shape[1], int(batch["length"][0])))
        return jnp.zeros((1, 2, 1))

    monkeypatch.setattr(evaluator, "predict_step", lambda cfg, mesh: predict)
    run = trained_run.Run(pathlib.Path(), cfg, sharding.make_mesh(cfg.mesh), nnx.Module(), 1, "")
    points = len(tiny.selection(cfg).points)
    clips = [np.zeros((frames, points, 3), np.float32) for frames in (40, 5, 7000, 90, 2048)]
    assert len(run.answers(clips)) == 5
    assert seen == [(92, 40), (92, 5), (7168, 7000), (92, 90), (2048, 2048)]
