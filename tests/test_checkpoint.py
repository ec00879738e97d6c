"""Checkpoints: whole or passed over, whatever happened to their files."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import layout

from aslx import checkpoint, checkpoint_list, stored

STEPS = (2, 4, 6)


def state(step: int) -> dict[str, jax.Array]:
    return {"weights": jnp.full((40, 50), step, jnp.float32), "step": jnp.array(step, jnp.int32)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    """States whose every value is their step; the newest two, and the best, are kept."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    with checkpoint.Checkpoints(directory) as checkpoints:
        for step in STEPS:
            checkpoints.save(step, state(step), checkpoint.Progress(stale=step), 1 / step)
            checkpoints.wait()
    return directory


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: pathlib.Path) -> None:
    damaged = bytearray(path.read_bytes())
    if damaged:
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)


@pytest.mark.parametrize("damage", [cut, flip, pathlib.Path.unlink])
def test_a_damaged_file_costs_a_checkpoint_and_never_a_run(saved, tmp_path, damage, caplog):
    names = [p.relative_to(saved) for p in (saved / "6").rglob("*") if p.is_file()]
    assert len(names) > 5
    found = {}
    for i, name in enumerate(names):
        copy = pathlib.Path(shutil.copytree(saved, tmp_path / str(i)))
        damage(copy / name)
        with checkpoint.Checkpoints(copy) as checkpoints:
            restored = checkpoints.restore_latest(jax.eval_shape(lambda: state(0)))
        assert restored is not None, name
        values, progress = restored
        step = int(values["step"])
        assert step in STEPS and progress.stale == step, name
        np.testing.assert_array_equal(values["weights"], np.full((40, 50), step), str(name))
        found[str(name)] = step
    assert 4 in found.values()
    for warning in caplog.records:
        if warning.name == "aslx":
            assert len(warning.getMessage()) < 300


def test_the_best_and_the_last_two_are_kept(saved):
    with checkpoint.Checkpoints(saved) as checkpoints:
        assert checkpoints.steps == [2, 4, 6]
    assert [one.step for one in checkpoint_list.best(saved)] == [2]


def test_a_checkpoint_of_another_network_is_named_and_stays(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    other = jax.eval_shape(lambda: {"renamed": jnp.zeros(3), "step": state(0)["step"]})
    with checkpoint.Checkpoints(copy) as checkpoints:
        with pytest.raises(stored.OtherNetwork, match="6 has no renamed"):
            checkpoints.restore_latest(other)
        assert checkpoints.steps == [2, 4, 6]


def test_a_state_that_a_device_must_copy_is_saved_where_transfers_are_refused(tmp_path):
    # A CPU hands an array of this layout over as an accelerator hands over any: by a copy.
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    transposed = layout.Format(layout.Layout((1, 0)), sharding)
    weights = jax.device_put(jnp.arange(2000.0).reshape(40, 50), transposed)
    step = state(2)["step"]
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with jax.transfer_guard("disallow"):
            checkpoints.save(2, {"weights": weights, "step": step}, checkpoint.Progress())
        checkpoints.wait()
    found = stored.Stored(tmp_path / "2").restore(jax.eval_shape(lambda: state(0)))
    np.testing.assert_array_equal(found["weights"], weights)
