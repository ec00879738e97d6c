"""Training: exact, resumable, guarded."""

import dataclasses
import functools
import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

from aslx import checkpoint, config, logs, loop, sharding, step, stored
from aslx.data import plan, records
from aslx.tasks import transcription
from tests import tiny

TIMES = {"seq_per_s"}


def lines(workdir: pathlib.Path) -> list[dict]:
    """metrics.jsonl without what a clock says."""
    kept = logs.read(workdir / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in TIMES} for line in kept]


def state_of(cfg: config.Config, workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Every leaf of the newest checkpoint."""
    s = loop.setup(cfg)
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        found = saved.restore_latest(s.abstract)
    assert found is not None
    return {k: np.asarray(v) for k, v in stored.flatten(found[0]).items()}


def assert_identical(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope="module")
def cfg(dataset) -> config.Config:
    return tiny.cfg(dataset, save_every=3)


@pytest.fixture(scope="module")
def whole(cfg, tmp_path_factory) -> pathlib.Path:
    """A run from start to end: two epochs."""
    workdir = tmp_path_factory.mktemp("whole")
    loop.run(cfg, workdir)
    return workdir


def interrupted(cfg, workdir: pathlib.Path, *stops: int) -> None:
    for at in stops:
        loop.run(cfg, workdir, stop=lambda i, at=at: i == at)
    loop.run(cfg, workdir)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_is_bit_identical_in_an_epoch_and_across_its_end(
    cfg, whole, tmp_path, workers
):
    epoch = loop.setup(cfg).steps_per_epoch
    other = dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, workers=workers))
    interrupted(other, tmp_path, 2, epoch, epoch + 3)
    assert_identical(state_of(cfg, tmp_path), state_of(cfg, whole))
    assert lines(tmp_path) == lines(whole)


def test_an_ended_run_is_not_trained_on(cfg, whole):
    before = lines(whole)
    scores, ended = loop.run(cfg, whole)
    assert ended and lines(whole) == before
    assert scores["score"] == [line["score"] for line in before if "score" in line][-1]


def test_a_run_directory_holds_what_people_look_at(whole):
    assert {"checkpoints", "events", "metrics.jsonl", "plots", "samples.txt"} <= {
        p.name for p in whole.iterdir()
    }
    assert (whole / "plots" / "loss.png").stat().st_size > 1000
    assert "target" in (whole / "samples.txt").read_text()
    assert not [p for p in whole.rglob("*") if p.name.startswith(".metrics")]


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(cfg, whole, tmp_path, caplog):
    copy = shutil.copytree(whole, tmp_path / "run")
    with checkpoint.Checkpoints(copy / "checkpoints") as saved:
        newest = saved.steps[-1]
    for path in (copy / "checkpoints" / str(newest) / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    loop.run(cfg, copy)
    assert f"checkpoint {newest} is damaged" in caplog.text
    assert_identical(state_of(cfg, copy), state_of(cfg, whole))


@pytest.mark.parametrize("fsdp", [8])
def test_the_mesh_changes_no_result(cfg, whole, tmp_path, fsdp):
    other = dataclasses.replace(cfg, mesh=sharding.Config(fsdp=fsdp))
    loop.run(other, tmp_path)
    for a, b in zip(lines(tmp_path), lines(whole), strict=True):
        if "loss" in a:
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)


def test_a_run_goes_on_upon_another_mesh(cfg, whole, tmp_path):
    loop.run(cfg, tmp_path, stop=lambda i: i == 5)
    loop.run(dataclasses.replace(cfg, mesh=sharding.Config(fsdp=8)), tmp_path)
    last, expected = ([x["loss"] for x in lines(w) if "loss" in x][-1] for w in (tmp_path, whole))
    assert last == pytest.approx(expected, rel=1e-3)


def test_a_mesh_that_does_not_divide_a_batch_is_an_error(cfg):
    batching = plan.Bucketed(frames=512, buckets=2, multiple=3)
    other = dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, batching=batching))
    with pytest.raises(ValueError, match="multiple of 8"):
        loop.setup(other)


def first_batch(s: loop.Setup) -> dict:
    with s.batches(0, 0) as batches:
        return next(batches)


def accumulated(s: loop.Setup, microbatches: int, devices: int, spread=lambda parts: parts):
    """The compiled function of model, batch and key, and its results for the first batch."""
    state = s.init()
    run = jax.jit(
        functools.partial(
            step.accumulated,
            frozen=state.frozen,
            task=s.cfg.task,
            features=s.cfg.features,
            augment=None,
            microbatches=microbatches,
            devices=devices,
            spread=spread,
        )
    )
    arrays = {"model": state.model, "batch": first_batch(s), "key": s.key}
    return run.lower(**arrays).compile().as_text() or "", run(**arrays)


def assert_alike(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5, rtol=1e-3)


def test_accumulated_microbatches_are_one_batch(cfg):
    # No dropout, so that both see the same network.
    s = loop.setup(dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, dropout=0.0)))
    (one, a), (four, b) = accumulated(s, 1, 1)[1], accumulated(s, 8, 2)[1]  # In four turns.
    assert_alike(one, four)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)


def test_microbatches_are_the_same_on_every_mesh_and_travel_once(cfg):
    batching = plan.Bucketed(frames=1024, buckets=1, multiple=16)
    s = loop.setup(dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, batching=batching)))
    place = sharding.batch(s.mesh)
    spread = functools.partial(jax.lax.with_sharding_constraint, shardings=place)
    program, eight = accumulated(s, 16, 8, spread)
    assert_alike(eight, accumulated(s, 16, 2)[1])
    assert " while(" in program
    bodies = re.findall(r"body=(%[\w.-]+)", program)
    for body in bodies:
        (lines,) = re.findall(rf"^{re.escape(body)} .*?^}}", program, re.DOTALL | re.MULTILINE)
        assert "all-reduce" not in lines and "all-gather" not in lines


def test_microbatches_that_do_not_divide_over_the_devices_are_an_error(cfg):
    with pytest.raises(ValueError, match="make microbatches 1 or a multiple of 8"):
        loop.setup(dataclasses.replace(cfg, microbatches=4))


def test_the_step_compiles_once_a_bucket(cfg, tmp_path, monkeypatch):
    s = loop.setup(cfg)
    monkeypatch.setattr(loop, "setup", lambda cfg: s)
    loop.run(cfg, tmp_path)
    assert s.train._cache_size() == len(s.shapes) == 2  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Poisoned(transcription.Task):
    """A task whose loss is not a number where a batch holds the record `record`."""

    records: tuple[int, ...] = ()

    def loss(self, model, inputs, mask, batch, key):
        total, count, sums = self.head.loss(model, inputs, mask, batch, key)
        bad = jax.numpy.isin(batch["id"], jax.numpy.array(self.records)).any() & (key is not None)
        return jax.numpy.where(bad, jax.numpy.nan, total), count, sums


def poisoned(cfg: config.Config, *records: int) -> config.Config:
    task = Poisoned(head=cfg.task.head, max_tokens=cfg.task.max_tokens, records=records)
    return dataclasses.replace(cfg, task=task)


def test_a_step_without_a_finite_gradient_is_skipped_and_counted(cfg, tmp_path):
    loop.run(poisoned(cfg, 11), tmp_path)
    found = [line for line in lines(tmp_path) if "loss" in line]
    bad = [line for line in found if np.isnan(line["loss"])]
    assert len(bad) == 2 and found[-1]["skipped"] == 2  # Once an epoch.
    state = state_of(cfg, tmp_path)
    assert all(np.isfinite(v).all() for v in state.values())


def test_too_many_skipped_steps_roll_back_and_then_stop_with_a_message(
    cfg, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(loop, "MAX_STREAK", 3)
    with pytest.raises(ValueError, match=r"after 3 rollbacks: lower optim\.peak_lr"):
        loop.run(poisoned(cfg, *range(80)), tmp_path)
    assert "rolled back to step 0, new data order" in capsys.readouterr().out


def test_corrupt_records_are_skipped_and_counted_where_they_may_be(cfg, tmp_path, capsys):
    copy = pathlib.Path(shutil.copytree(cfg.data.path, tmp_path / "data"))
    data = records.Records(copy, "train")
    path = copy / str(data.index.files[0])
    damaged = bytearray(path.read_bytes())
    damaged[int(data.index.offset[3]) + 100] ^= 4
    path.write_bytes(damaged)
    skipping = dataclasses.replace(cfg.data, path=str(copy), skip_corrupt=True)
    loop.run(dataclasses.replace(cfg, data=skipping), tmp_path / "run")
    counts = [line["corrupt"] for line in lines(tmp_path / "run") if "loss" in line]
    assert counts[-1] == 2 and counts == sorted(counts)  # Once an epoch.
    assert "2 corrupt records skipped so far" in capsys.readouterr().out


def test_the_loop_forbids_transfers_but_batches_in_and_metrics_out(cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Loop, "trace", lambda self, done: jax.numpy.ones(3) + np.ones(3))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        loop.run(cfg, tmp_path)


def test_training_stops_when_the_score_gets_no_better(cfg, tmp_path, capsys):
    # A rate of 0 learns nothing: the second evaluation cannot be better than the first.
    still = dataclasses.replace(cfg.optim, peak_lr=0.0)
    loop.run(dataclasses.replace(cfg, optim=still, patience=1, epochs=4), tmp_path)
    assert "no better score in 1 evaluations" in capsys.readouterr().out
    epoch = loop.setup(cfg).steps_per_epoch
    assert max(line["step"] for line in lines(tmp_path)) == 2 * epoch


def test_a_run_directory_of_another_config_is_refused_by_name(cfg, tmp_path):
    config.claim(tmp_path, cfg)
    config.claim(tmp_path, dataclasses.replace(cfg, log_every=7))
    other = dataclasses.replace(cfg, optim=dataclasses.replace(cfg.optim, peak_lr=0.5))
    with pytest.raises(ValueError, match=r"optim\.peak_lr: 0\.5 here, 0\.001 there"):
        config.claim(tmp_path, other)
    assert json.loads((tmp_path / "config.json").read_text())["optim"]["peak_lr"] == 0.001
