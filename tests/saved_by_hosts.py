"""Hosts save and restore together, despite damage: python -m tests.saved_by_hosts DIRECTORY

It ends with errors.BadInput, because in the end every checkpoint is damaged.
"""

import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from aslx import cli, sharding
from aslx.checkpoints import checkpoint

WEIGHTS = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)


def main() -> None:
    jax.distributed.initialize()
    directory = pathlib.Path(sys.argv[1])
    values = {"weights": WEIGHTS, "step": np.int32(1)}
    abstract = sharding.place(
        sharding.make_mesh(sharding.Config(fsdp=4)),
        {k: jax.ShapeDtypeStruct(v.shape, jnp.dtype(v.dtype)) for k, v in values.items()},
    )

    def save(saved: checkpoint.Checkpoints, step: int, sound: bool = False) -> None:
        state = {
            name: jax.make_array_from_callback(
                leaf.shape, leaf.sharding, lambda index, name=name: values[name][index] * step
            )
            for name, leaf in abstract.items()
        }
        saved.save(step, state, checkpoint.Progress(stale=step), 1 / step, sound)
        saved.wait()

    def restored(saved: checkpoint.Checkpoints) -> int:
        found = saved.restore_latest(abstract)
        assert found is not None
        for part in found[0]["weights"].addressable_shards:
            np.testing.assert_array_equal(part.data, WEIGHTS[part.index] * found[1].stale)
        return found[1].stale

    def damage(*names: str) -> None:
        multihost_utils.sync_global_devices("before the damage")
        for name in names if jax.process_index() == 0 else ():
            (directory / name).write_bytes(b"")
        multihost_utils.sync_global_devices("after the damage")

    with checkpoint.Checkpoints(directory) as saved:
        for step in (1, 2, 3):
            save(saved, step, sound=step < 3)
    damage("3/state/manifest.ocdbt")
    with checkpoint.Checkpoints(directory) as saved:
        assert restored(saved) == 2 and saved.steps == [1, 2]
        for step in (5, 6):
            save(saved, step)
        saved.back_to_sound()
        assert restored(saved) == 2
        save(saved, 5)
    assert sorted(os.listdir(directory)) == ["1", "2", "5", "damaged-3"]
    damage(*(f"{step}/_CHECKPOINT_METADATA" for step in (1, 2, 5)))
    with checkpoint.Checkpoints(directory) as saved:
        saved.restore_latest(abstract)


if __name__ == "__main__":
    cli.run(main)
