"""The programs of configs compile for TPUs, fit into memory, and send no more than they must."""

import dataclasses
import functools
import json
import math
import pathlib
import re

import jax
import pytest

from aslx import config, errors, sharding
from aslx.describe import chips, compile, cost, programs
from aslx.kernels import peaks
from aslx.models import squeezeformer
from aslx.runs import opening
from aslx.tasks import heads, transcription
from tests import processes, tiny

pytestmark = pytest.mark.long

pytest.importorskip("libtpu")

TINY = tiny.cfg(pathlib.Path("none"))


def compiled(cfg: config.Config, topology: str, program: str, rows: int = 8):
    """A program, its cost, and its abstract arguments, for `rows` clips a chip."""
    mesh = sharding.make_mesh(cfg.mesh, chips.devices(topology))
    step, arguments = programs.of(cfg, mesh, rows * mesh.size, frames=32)[program]
    found = step.lower(*arguments).compile()
    return found, cost.cost(found.as_text()), arguments


def parameters(cfg: config.Config) -> int:
    model = jax.eval_shape(functools.partial(opening.network, cfg))
    return sum(leaf.size for leaf in jax.tree.leaves(model))


def dims(array: str) -> tuple[int, ...]:
    """f32[1,2,3] -> (2, 3): the compiler drops dimensions of one."""
    return tuple(int(n) for n in re.findall(r"\d+", array.partition("[")[2]) if n != "1")


def arrays(found: cost.Cost, op: str) -> set[tuple[int, ...]]:
    return {dims(array) for c in found.collectives if c.op == op for array in c.arrays}


def moved(found: cost.Cost) -> tuple[float, float]:
    """How many values in arrays, and how many scalars, the collectives of a step send."""
    carried = [(dims(array), n) for c, n in found.collectives.items() for array in c.arrays]
    return (
        sum(math.prod(shape) * n for shape, n in carried if shape),
        sum(n for shape, n in carried if not shape),
    )


@pytest.mark.parametrize(
    "topology",
    ["v5e:2x2", *(pytest.param(f"{v}:16x16", marks=pytest.mark.slow) for v in ("v5e", "v6e"))],
)
def test_a_data_parallel_step_sums_only_its_gradients_and_three_scalars(topology):
    _, found, _ = compiled(TINY, topology, "train")
    assert {c.op for c in found.collectives} == {"all-reduce"}
    # The loss, its count, and how many clips CTC cannot align.
    assert moved(found) == (parameters(TINY), 3)
    assert sum(c.bytes * n for c, n in found.collectives.items()) == 4 * (parameters(TINY) + 3)


@pytest.mark.slow
def test_the_line_of_a_real_step_says_that_it_fits_and_what_it_sends():
    cfg = config.load("quickstart")
    mesh = sharding.make_mesh(cfg.mesh, chips.devices("v5e:16x16"))
    rows = programs.rows_per_chip(cfg, 384)
    step, arguments = programs.of(cfg, mesh, rows * mesh.size, 384)["train"]
    line = compile.measure(step, arguments, peaks.CHIPS["v5e"], {})
    assert rows == 32 and line["fits"] and line["unknown_loops"] == []
    assert {c["op"] for c in line["collectives"]} == {"all-reduce"}
    assert sum(c["bytes"] * c["times"] for c in line["collectives"]) == 4 * (595_388 + 3)
    # The encoder multiplies 48 positions a clip by each matrix, once forward and twice backward.
    matrices = 32 * 48 * 3 * 2 * 4 * (4 * 128 * 128 + 2 * 128 * 256)
    assert matrices < line["flops"] < 3 * matrices
    assert line["least_seconds"] == max(line["compute_seconds"], line["hbm_seconds"]) > 0
    json.dumps(line)


def test_a_sum_sends_its_arrays_twice_and_at_half_speed_along_axes_that_are_no_rings():
    each = {"arrays": [], "bytes": 1e9, "times": 2}
    told = [{"op": "all-reduce"} | each]
    assert chips.collective_seconds(told, "v5e:16x16") == 2 * 2e9 / (4 * 45e9)
    assert chips.collective_seconds(told, "v5e:2x4") == 2 * 2e9 / (2 * 45e9)
    told = [{"op": "all-gather"} | each, {"op": "reduce-scatter"} | each]
    assert chips.collective_seconds(told, "v5e:8x16") == 2 * 2e9 / (3 * 45e9)


def test_fsdp_splits_parameters_and_moments_as_the_rule_says():
    cfg = config.load("quickstart", ["--model.num-layers", "1", "--model.dim", "64"])
    cfg = dataclasses.replace(cfg, mesh=sharding.Config(fsdp=4))
    program, found, (held, *_) = compiled(cfg, "v5e:2x4", "train")
    given = jax.tree.leaves(program.input_shardings[0][0])
    leaves = jax.tree.leaves(held)
    for placement, x in zip(given, leaves, strict=True):
        assert placement.shard_shape(x.shape) == x.sharding.shard_shape(x.shape)
    model = jax.tree.leaves(held.tree.model)
    split = {x.shape for x in model if not x.sharding.is_fully_replicated}
    split = {tuple(n for n in shape if n != 1) for shape in split}
    assert len(split) == 6
    # Parameters are gathered where they are used, projections as matrices; each chip keeps its part
    # of their gradients.
    assert arrays(found, "reduce-scatter") == split
    gathered = {math.prod(shape) for shape in arrays(found, "all-gather")}
    assert gathered == {math.prod(shape) for shape in split}
    assert {c.op for c in found.collectives} == {"all-gather", "reduce-scatter", "all-reduce"}


@pytest.mark.slow
def test_fsdp_sends_parameters_and_their_gradients_and_no_activations():
    model = squeezeformer.Config(dim=128, num_layers=2, halve_after=1, num_heads=2, kernel=5)
    task = transcription.Task(head=heads.Autoregressive(ctc_weight=0.3), max_tokens=8)
    cfg = dataclasses.replace(TINY, model=model, task=task, mesh=sharding.Config(fsdp=8))
    _, found, (held, *_) = compiled(cfg, "v5e:2x4", "train")
    sizes = {math.prod(x.shape) for x in jax.tree.leaves(held.tree.model)}
    assert {c.op for c in found.collectives} == {"all-gather", "reduce-scatter", "all-reduce"}
    for op in ("all-gather", "reduce-scatter"):
        assert {math.prod(shape) for shape in arrays(found, op)} <= sizes


def test_evaluation_gathers_what_it_answers_and_prediction_nothing():
    _, found, _ = compiled(TINY, "v5e:2x2", "evaluate")
    # A character and its confidence, and not the sixty columns of exported models.
    answers = [c for c in found.collectives if c.arrays == ("f32[32,2,16]",)]
    assert len(answers) == 1 and moved(found) == (32 * 2 * 16, 3)
    assert not compiled(TINY, "v5e:2x2", "predict")[1].collectives


def test_a_decoder_that_stops_by_itself_is_a_loop_of_unknown_length():
    task = transcription.Task(head=heads.Autoregressive(), max_tokens=8)
    model = dataclasses.replace(TINY.model, decoder_layers=1)
    cfg = dataclasses.replace(TINY, task=task, model=model)
    _, found, _ = compiled(cfg, "v5e:2x2", "predict")
    (trip,) = found.unknown
    assert 0 < trip.flops < found.flops


def test_a_program_beyond_the_memory_does_not_fit():
    chip = peaks.CHIPS["v5e"]
    place = jax.sharding.SingleDeviceSharding(chips.devices("v5e:2x2")[0])
    large = jax.ShapeDtypeStruct((chip.usable // 4,), jax.numpy.float32, sharding=place)
    line = compile.measure(jax.jit(jax.numpy.sin), (large,), chip, {})
    assert not line["fits"] and line["memory_bytes"] > chip.usable
    assert "does not fit" in compile.table([{"program": "train"} | line])


LINE = {
    "config": "a", "topology": "v5e:2x2", "program": "train", "batch_per_chip": 32, "frames": 384,
    "fits": True, "memory_bytes": 1000, "flops": 1e9, "hbm_bytes": 1e6, "kernels": 10,
    "least_seconds": 1e-3, "collective_seconds": 1e-4,
}  # fmt: skip


def test_an_epoch_and_a_run_cost_the_hours_of_all_chips():
    asked = compile.Command(config="a", topology="v5e:2x2", clips=128 * 3600 * 1000, price=2.0)
    said = compile.priced(LINE, asked, epochs=3)
    assert "1.000 ms a step of 128 clips, 3,600.0 s an epoch" in said
    assert "3.00 hours a run of 3 epochs: 12.00 chip-hours, 24.00 at 2 each" in said
    # A GPU starts no kernel sooner than the one before it, and no step is shorter than its talk.
    gpu = LINE | {"topology": "h200:4", "kernels": 2000}
    asked = dataclasses.replace(asked, topology="h200:4", price=0.0)
    assert compile.priced(gpu, asked, 1).startswith("at least 4.000 ms a step")


def test_what_changed_since_is_told_of_each_program(tmp_path):
    before = tmp_path / "before.jsonl"
    before.write_text(f"a table\n{json.dumps(LINE | {'hbm_bytes': 2e6})}\n")
    told = compile.changes([LINE, LINE | {"program": "predict"}], compile.read(str(before)))
    assert "hbm_bytes 2e+06 -> 1e+06" in told and "predict: nothing to compare it with" in told
    before.write_text("{")
    with pytest.raises(errors.BadInput, match=r"--against .* cannot be read"):
        compile.read(str(before))


def test_an_unknown_program_is_named():
    asked = compile.Command(config="a", programs=("trian",))
    with pytest.raises(errors.BadInput, match="--programs trian: there are train, evaluate, predi"):
        compile.lines(asked, TINY)


def test_an_unknown_topology_is_an_error():
    with pytest.raises(
        ValueError, match="no figures for the chip of 'v9:2x2'; there are v5e, v6e, h"
    ):
        chips.of("v9:2x2")
    with pytest.raises(ValueError, match="want one such as v5e:16x16 or h200:8"):
        chips.devices("v5e:two")
    with pytest.raises(ValueError, match="more than 8 GPUs are hosts of 8"):
        chips.devices("h200:12")
    with pytest.raises(ValueError, match=r"no topology 'v5e:3x3': .*2x2x1"):
        chips.devices("v5e:3x3")


@pytest.mark.slow
@pytest.mark.parametrize("path", processes.CONFIGS, ids=lambda path: path.stem)
def test_every_config_fits_on_v5e(path):
    options = ("--topology", "v5e:16x16")
    words = processes.python("-m", "aslx", "compile", "--config", path, *options)
    printed = processes.run(words).succeeded()
    print(printed)  # pytest -rP shows the figures of all configs.
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [line["program"] for line in lines] == ["train", "evaluate", "predict"]
    assert all(line["fits"] for line in lines)
    augmentation = config.load(path).augmentation
    cutmix = getattr(augmentation, "cutmix", None)
    # Both augmentations use the neighbouring row, which may lie on the neighbouring chip.
    mixed = (cutmix and cutmix.rate) or getattr(augmentation, "paste", 0)
    permuted = {"collective-permute"} if mixed else set()
    assert {c["op"] for c in lines[0]["collectives"]} == {"all-reduce"} | permuted
