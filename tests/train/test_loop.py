"""The training loop: resuming, accumulation, guards, checkpoints and logs."""

import dataclasses
import functools
import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest

from aslx import config, errors, optim, sharding
from aslx.checkpoints import checkpoint
from aslx.data import plan
from aslx.storage import files
from aslx.train import guard, lock, logs, loop, setup, step
from tests import tiny
from tests.train import runs


@pytest.fixture(scope="module")
def cfg(dataset) -> config.Config:
    two = plan.Bucketed(frames=512, buckets=2, multiple=8)
    return tiny.with_data(tiny.cfg(dataset, save_every=3), batching=two)


@pytest.fixture(scope="module")
def small(dataset) -> config.Config:
    """For tests of the loop that do not depend on what a step computes: it compiles fast."""
    return tiny.small(dataset, save_every=3)


@pytest.fixture(scope="module")
def ready(cfg) -> setup.Setup:
    return setup.of(cfg)


@pytest.fixture(autouse=True)
def undrawn(whole, monkeypatch) -> None:
    """Only the run `whole` draws its curves."""
    monkeypatch.setattr(logs.Log, "draw", lambda self: None)


def reuse(monkeypatch: pytest.MonkeyPatch, s: setup.Setup) -> None:
    """Lets runs use the compiled step of `s`. Their configs must not change the step."""
    monkeypatch.setattr(setup, "of", lambda cfg: dataclasses.replace(s, cfg=cfg))


@pytest.fixture(scope="module")
def whole(cfg, ready, tmp_path_factory) -> pathlib.Path:
    """An unbroken run of two epochs."""
    workdir = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        reuse(monkeypatch, ready)
        loop.run(cfg, workdir)
    return workdir


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> pathlib.Path:
    """A run of two epochs of `small`."""
    workdir = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(logs.Log, "draw", lambda self: None)
        loop.run(small, workdir)
    return workdir


def interrupted(cfg, workdir: pathlib.Path, *stops: int) -> None:
    """Runs, stops after some steps, and resumes each time."""
    for at in stops:
        loop.run(cfg, workdir, stop=lambda i, at=at: i == at)
    loop.run(cfg, workdir)


def test_the_step_compiles_once_for_each_bucket(ready, whole):
    assert ready.train._cache_size() == len(ready.shapes) == 2


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_is_bit_identical_in_an_epoch_and_across_its_end(
    cfg, ready, whole, tmp_path, monkeypatch, workers
):
    reuse(monkeypatch, ready)
    epoch = ready.steps_per_epoch
    interrupted(tiny.with_data(cfg, workers=workers), tmp_path, 2, epoch, epoch + 3)
    runs.assert_identical(cfg, tmp_path, whole)


def test_a_finished_run_is_not_trained_again(cfg, whole):
    before = runs.lines(whole)
    scores, ended = loop.run(cfg, whole)
    assert ended and runs.lines(whole) == before
    assert scores["score"] == [line["score"] for line in before if "score" in line][-1]


def test_a_run_directory_holds_logs_plots_and_samples(whole):
    names = {path.name for path in whole.iterdir()}
    assert {"checkpoints", "events", "metrics.jsonl", "plots", "samples.txt"} <= names
    assert (whole / "plots" / "loss.png").stat().st_size > 1000
    assert "target" in (whole / "samples.txt").read_text()
    assert not [p for p in whole.rglob("*") if p.name.startswith(".metrics")]


def test_a_run_with_a_damaged_newest_checkpoint_resumes_from_the_one_before(
    cfg, ready, whole, tmp_path, monkeypatch, caplog
):
    reuse(monkeypatch, ready)
    copy = shutil.copytree(whole, tmp_path / "run")
    with checkpoint.Checkpoints(copy / "checkpoints") as saved:
        newest = saved.steps[-1]
    for path in (copy / "checkpoints" / str(newest) / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    loop.run(cfg, copy)
    assert f"moved to {copy / 'checkpoints' / f'damaged-{newest}'}" in caplog.text
    runs.assert_equal(runs.state_of(cfg, copy), runs.state_of(cfg, whole))


@pytest.mark.long
def test_a_run_resumes_on_another_mesh_with_the_same_losses(small, finished, tmp_path):
    loop.run(small, tmp_path, stop=lambda i: i == 2)
    loop.run(dataclasses.replace(small, mesh=sharding.Config(fsdp=8)), tmp_path)
    for a, b in zip(runs.lines(tmp_path), runs.lines(finished), strict=True):
        if "loss" in a:
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)


@pytest.mark.usefixtures("every_device")
def test_batches_and_microbatches_must_divide_over_the_devices(cfg):
    three = plan.Bucketed(frames=512, buckets=2, multiple=3)
    with pytest.raises(ValueError, match="multiple of 8"):
        setup.of(tiny.with_data(cfg, batching=three))
    with pytest.raises(ValueError, match=r"5 rows at once: make .* multiple of 40, or micro"):
        setup.of(dataclasses.replace(cfg, microbatch_rows=5))


def test_few_rows_at_once_are_for_caches_which_a_gpu_has_not(cfg):
    both = dataclasses.replace(cfg, microbatch_rows=8, cached_rows=2)
    assert [both.rows_at_once(platform) for platform in ("cpu", "tpu", "gpu")] == [2, 2, 8]
    assert dataclasses.replace(cfg, microbatch_rows=8).rows_at_once("cpu") == 8


def accumulated(s: setup.Setup, microbatches: int, devices: int, spread=step.where_it_is):
    """The program that accumulates gradients, as text, and its results for the first batch."""
    state, rows = s.init(), runs.first_batch(s)
    bound = step.Step(
        task=s.cfg.task,
        features=s.cfg.features,
        augment=None,
        tx=optim.build(s.cfg.optim, 8),
        steps=8,
        rows_at_once=0 if microbatches == 1 else len(rows["weight"]) // microbatches,
        devices=devices,
        spread=spread,
    )
    run = jax.jit(functools.partial(bound.accumulated, frozen=state.frozen))
    arrays = {"model": state.model, "batch": rows, "key": s.key}
    return run.lower(**arrays).compile().as_text() or "", run(**arrays)


def assert_alike(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5, rtol=1e-3)


@pytest.mark.long
def test_accumulated_microbatches_have_the_gradient_of_one_batch(cfg):
    # Without dropout, whose draws differ.
    s = setup.of(dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, dropout=0.0)))
    (one, a), (four, b) = accumulated(s, 1, 1)[1], accumulated(s, 8, 2)[1]  # In four turns.
    assert_alike(one, four)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)


@pytest.mark.usefixtures("every_device")
@pytest.mark.long
def test_microbatches_have_one_gradient_on_every_mesh_and_are_sent_once(cfg):
    batching = plan.Bucketed(frames=1024, buckets=1, multiple=16)
    s = setup.of(tiny.with_data(cfg, batching=batching))
    place = sharding.batch(s.mesh)
    spread = functools.partial(jax.lax.with_sharding_constraint, shardings=place)
    program, eight = accumulated(s, 16, 8, spread)
    assert_alike(eight, accumulated(s, 16, 2)[1])
    assert " while(" in program
    bodies = re.findall(r"body=(%[\w.-]+)", program)
    for body in bodies:
        (lines,) = re.findall(rf"^{re.escape(body)} .*?^}}", program, re.DOTALL | re.MULTILINE)
        assert "all-reduce" not in lines and "all-gather" not in lines


def test_a_step_without_a_finite_gradient_is_skipped_and_counted(small, tmp_path):
    loop.run(runs.poisoned(small, 11), tmp_path)
    found = [line for line in runs.lines(tmp_path) if "loss" in line]
    bad = [line for line in found if np.isnan(line["loss"])]
    assert len(bad) == 2 and found[-1]["skipped"] == 2  # Once in each epoch.
    state = runs.state_of(small, tmp_path)
    assert all(np.isfinite(v).all() for v in state.values())


def test_too_many_skipped_steps_roll_the_run_back_and_finally_stop_it(
    small, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(guard, "MAX_STREAK", 3)
    with pytest.raises(ValueError, match=r"after 3 rollbacks: lower optim\.peak_lr"):
        loop.run(runs.poisoned(small, *range(80)), tmp_path)
    assert "rolled back to step 0, new data order" in capsys.readouterr().out


@pytest.mark.long
def test_a_rollback_does_not_depend_on_logs_saves_or_signals(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(guard, "MAX_STREAK", 5)
    cfg = dataclasses.replace(small, epochs=3)
    ready = setup.of(cfg)
    epoch = ready.steps_per_epoch
    # The second evaluation falls among the bad steps, before there are too many.
    bad = range(2 * epoch - 2, 2 * epoch + 5)
    batches = tuple(tuple(ready.plan(0)[i - 1].records.tolist()) for i in bad)
    reuse(monkeypatch, setup.of(runs.poisoned(cfg, batches=batches)))
    found = {}
    for log_every, save_every, stops in [(1, 500, ()), (20, 3, (bad[3], 2 * epoch))]:
        workdir = tmp_path / str(log_every)
        other = dataclasses.replace(cfg, log_every=log_every, save_every=save_every)
        interrupted(other, workdir, *stops)
        out = capsys.readouterr().out
        assert f"5 steps up to {bad[4]} had no finite gradient: rolled back to" in out
        assert f"rolled back to step {epoch}, new data order" in out
        found[log_every] = runs.state_of(cfg, workdir)
        scores = [line["step"] for line in runs.lines(workdir) if "score" in line]
        assert scores == [epoch, 2 * epoch, 3 * epoch]
    runs.assert_equal(found[1], found[20])


def test_a_score_that_is_no_number_is_the_worst():
    progress = checkpoint.Progress(best=0.5)
    after = loop.better(progress, float("nan"))
    assert (after.best, after.stale) == (0.5, 1)
    first = loop.better(checkpoint.Progress(), float("nan"))
    assert (first.best, first.stale) == (float("-inf"), 1)
    assert loop.better(first, -3.0) == checkpoint.Progress(best=-3.0)


def test_corrupt_records_are_skipped_and_counted_if_the_config_allows_it(small, tmp_path, capsys):
    copy = pathlib.Path(shutil.copytree(small.data.path, tmp_path / "data"))
    tiny.damage(copy, "train", 3)
    loop.run(tiny.with_data(small, path=str(copy), skip_corrupt=True), tmp_path / "run")
    counts = [line["corrupt"] for line in runs.lines(tmp_path / "run") if "loss" in line]
    assert counts[-1] == 2 and counts == sorted(counts)  # Once in each epoch.
    assert "2 corrupt records skipped so far" in capsys.readouterr().out


def test_the_loop_forbids_transfers_except_of_batches_and_metrics(small, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Loop, "trace", lambda self, done: jax.numpy.ones(3) + np.ones(3))
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        loop.run(small, tmp_path)


def test_training_stops_when_the_score_does_not_improve(small, tmp_path, capsys):
    # At rate 0 nothing is learned, and the second evaluation is no better than the first.
    still = dataclasses.replace(small.optim, peak_lr=0.0)
    loop.run(dataclasses.replace(small, optim=still, patience=1, epochs=4), tmp_path)
    assert "no better score in 1 evaluations" in capsys.readouterr().out
    epoch = setup.of(small).steps_per_epoch
    assert max(line["step"] for line in runs.lines(tmp_path)) == 2 * epoch


def test_a_run_directory_of_another_config_is_refused_and_the_field_is_named(cfg, whole):
    config.claim(whole, dataclasses.replace(cfg, log_every=7))
    other = dataclasses.replace(cfg, optim=dataclasses.replace(cfg.optim, peak_lr=0.5))
    with pytest.raises(errors.BadInput, match=r"optim\.peak_lr: 0\.5 here, 0\.001 there"):
        loop.run(other, whole)
    assert json.loads((whole / "config.json").read_text())["optim"]["peak_lr"] == 0.001


def test_a_run_is_refused_where_another_process_trains(cfg, ready, tmp_path, monkeypatch):
    reuse(monkeypatch, ready)
    with (
        lock.held(tmp_path),
        pytest.raises(errors.BadInput, match="is trained in already, by process"),
    ):
        loop.run(cfg, tmp_path, stop=lambda i: True)
    assert not list(tmp_path.iterdir())


def test_a_first_start_that_fails_leaves_nothing_that_blocks_the_corrected_one(
    cfg, ready, tmp_path, monkeypatch
):
    long = dataclasses.replace(cfg, task=dataclasses.replace(cfg.task, max_tokens=2))
    unmeshed = dataclasses.replace(cfg, mesh=sharding.Config(data=3))
    unweighted = dataclasses.replace(cfg, weights=str(tmp_path / "none.safetensors"))
    workdir = tmp_path / "runs" / "run"
    for wrong in (unmeshed, unweighted, long):
        with pytest.raises(errors.BadInput):
            loop.run(wrong, workdir)
        assert not config.trained(workdir)
        assert wrong is long or not workdir.exists()
    reuse(monkeypatch, ready)
    loop.run(cfg, workdir, stop=lambda i: i == 1)
    assert config.read(workdir / "config.json") == cfg and config.trained(workdir)


def test_epochs_may_grow_but_not_shrink_below_the_trained_ones(small, finished, tmp_path, capsys):
    copy = shutil.copytree(finished, tmp_path / "run")
    with pytest.raises(errors.BadInput, match=r"has done .* steps, .*ask for --epochs 2 or more"):
        loop.run(dataclasses.replace(small, epochs=1), copy)
    capsys.readouterr()
    loop.run(small, copy)
    said = capsys.readouterr().out
    assert "has done all of its" in said and not re.search(r"^[\d.]+ s: ", said, re.MULTILINE)
    longer = dataclasses.replace(small, epochs=3)
    _, ended = loop.run(longer, copy)
    epoch = setup.of(small).steps_per_epoch
    assert f"follows the schedule of {3 * epoch} steps" in capsys.readouterr().out
    assert ended and runs.lines(copy)[-1]["step"] == 3 * epoch
    assert config.read(copy / "config.json").epochs == 3
    assert runs.lines(copy)[: len(runs.lines(finished))] == runs.lines(finished)


def test_a_run_continues_on_another_data_set_only_with_consent(small, finished, tmp_path, capsys):
    copy = shutil.copytree(finished, tmp_path / "run")
    same = str(shutil.copytree(small.data.path, tmp_path / "same"))
    counts = {"train": [42], "validation": [24]}
    (tmp_path / "other").mkdir()
    other = tiny.dataset(tmp_path / "other", counts, seed=1)
    assert loop.run(tiny.with_data(small, path=same), copy)[1]
    more = dataclasses.replace(tiny.with_data(small, path=str(other)), epochs=9)
    with pytest.raises(errors.BadInput, match=r"other \(train\) is not .*42 records.* held 80 rec"):
        loop.run(more, copy)
    capsys.readouterr()
    loop.run(more, copy, other_data=True, stop=lambda i: True)
    assert "warning: " in (out := capsys.readouterr().out) and "other (validation)" in out
    assert config.data(copy / "config.json")["data.train_split"].startswith("42 records, ")


def test_a_signal_in_an_evaluation_ends_the_run_after_logs_are_synced_and_the_run_is_saved(
    cfg, ready, tmp_path, monkeypatch
):
    reuse(monkeypatch, ready)
    epoch, asked, done = ready.steps_per_epoch, [], []

    def stop(step: int) -> bool:
        asked.append(step)
        return asked.count(epoch) == 2

    saved = checkpoint.Checkpoints.save
    monkeypatch.setattr(files, "sync", lambda path: done.append(path.name))
    monkeypatch.setattr(
        checkpoint.Checkpoints, "save", lambda *a, **k: (done.append(a[1]), saved(*a, **k))
    )
    scores, ended = loop.run(cfg, tmp_path, stop=stop)
    assert not ended and "score" in scores and runs.lines(tmp_path)[-1]["step"] == epoch
    assert "metrics.jsonl" in done[done.index(3) + 1 : done.index(epoch)]
