"""One checkpoint: read as it is asked for, whatever its files say."""

import pathlib
import resource
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore as ts

from aslx import errors, sharding
from aslx.checkpoints import checkpoint, stored
from aslx.storage import checksums

WEIGHTS = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)
STATE = {"weights": jnp.array(WEIGHTS), "small": jnp.ones(3, jnp.bfloat16), "step": jnp.int32(1)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    with checkpoint.Checkpoints(directory) as checkpoints:
        checkpoints.save(1, STATE, checkpoint.Progress(), 0.5)
    return directory / "1"


@pytest.fixture
def path(saved, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved, tmp_path / "1"))


@pytest.mark.parametrize("fsdp", [1, 2, 8])
def test_a_state_is_placed_as_it_is_asked_for(saved, fsdp):
    mesh = sharding.make_mesh(sharding.Config(fsdp=fsdp))
    abstract = sharding.place(mesh, jax.eval_shape(lambda: STATE))
    found = stored.Stored(saved).restore(abstract)
    for name, value in STATE.items():
        assert found[name].sharding == abstract[name].sharding
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_a_part_of_a_state_is_read_alone(saved):
    found = stored.Stored(saved).restore(jax.eval_shape(lambda: {"step": STATE["step"]}))
    assert {name: int(value) for name, value in found.items()} == {"step": 1}


def zarr(path: pathlib.Path, shape: list[int], chunk: list[int]) -> Any:
    """An array in the place of the weights, of which no chunk is there."""
    store = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path}/state/"}}
    metadata = {
        "shape": shape,
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 1}},
        ],
    }
    spec = {"driver": "zarr3", "kvstore": store | {"path": "weights/"}, "metadata": metadata}
    return ts.open(spec, create=True, delete_existing=True).result()


HUGE = [2**20, 2**20]


@pytest.mark.parametrize(
    ("shape", "chunk", "message"),
    [(HUGE, HUGE, r"float32\[1048576, 1048576\]"), ([64, 48], HUGE, r"float32\[64, 48\]")],
)
def test_a_file_does_not_say_how_much_memory_is_used(path, shape, chunk, message):
    zarr(path, shape, chunk)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(stored.OtherNetwork, match=f"1: weights is {message}"):
        stored.Stored(path).restore(jax.eval_shape(lambda: STATE))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_a_chunk_that_unpacks_to_more_than_its_array_is_damaged(path):
    array = zarr(path, [64, 48], [64, 48])
    zeros = zarr(path.parent, [2**24], [2**24])
    zeros.write(np.zeros(2**24, np.float32) + 1).result()
    array.kvstore.write("c/0/0", zeros.kvstore.read("c/0").result().value).result()
    (path / checksums.NAME).unlink()
    one = stored.Stored(path)
    for read in (one.decode, lambda: one.restore(jax.eval_shape(lambda: STATE))):
        with pytest.raises(stored.Damaged, match=r"1 is damaged: .*End of data expected"):
            read()


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_gone(path):
    one = stored.Stored(path)
    assert one.score == 0.5
    path.rename(path.with_name("2"))
    for read in (one.decode, lambda: one.restore(jax.eval_shape(lambda: STATE))):
        with pytest.raises(stored.Gone, match="was removed, or replaced, while it was read"):
            read()
    path.with_name("2").rename(path)
    with (path / "_CHECKPOINT_METADATA").open("a") as f:
        f.write(" ")
    with pytest.raises(stored.Gone):
        one.restore(jax.eval_shape(lambda: STATE))
    assert errors.is_temporary(stored.Gone())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("_CHECKPOINT_METADATA", "[]", "is no JSON object"),
        ("_CHECKPOINT_METADATA", "{}", "has no custom_metadata"),
        ("_CHECKPOINT_METADATA", "[" * 100_000, "is no JSON: "),
        ("metrics/metrics", "", "is no JSON: "),
        ("metrics/metrics", '{"score": "0.5"}', "has no score"),
        ("metrics/metrics", " " * (16 << 20) + "{}", "more than 16777216 bytes"),
        (checksums.NAME, '{"../1/_CHECKPOINT_METADATA": [1, 2]}', "names a file elsewhere"),
        (checksums.NAME, '{"/dev/zero": [1, 2]}', "names a file elsewhere"),
        (checksums.NAME, '{"state": [1, 2]}', "state"),
    ],
)
def test_notes_that_say_nothing_are_named_as_damaged(path, name, text, message):
    (path / name).write_text(text)
    one = stored.Stored(path)
    with pytest.raises(errors.BadInput, match=message):
        _ = one.progress, one.score, one.summed()
