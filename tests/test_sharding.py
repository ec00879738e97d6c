"""Where arrays lie on a mesh, and the options that the compiler gets."""

import functools
import math
import types
from typing import Any

import jax
import numpy as np
import pytest

from aslx import config, optim, sharding
from aslx.checkpoints import stored
from aslx.runs import opening, partition
from aslx.train import setup
from tests import processes, tiny


def mesh(platform: str) -> Any:
    """A stand-in for a mesh of one device, which this machine need not have."""
    device = types.SimpleNamespace(platform=platform)
    return types.SimpleNamespace(devices=np.array([[device]]), local_devices=[device])


@pytest.mark.parametrize("platform", ["gpu", "cuda"])
def test_a_gpu_computes_the_same_bits_again_where_that_is_asked_for(platform):
    (graphs,) = sharding.step_options(mesh(platform)).values()
    assert "WHILE" in str(graphs)
    options = sharding.step_options(mesh(platform), deterministic=True)
    assert options == sharding.options(mesh(platform), True)
    assert options["xla_gpu_deterministic_ops"] is True
    assert options["xla_gpu_exclude_nondeterministic_ops"] is True
    assert options["xla_gpu_autotune_level"] == 0
    doubled = jax.jit(lambda x: 2 * x, compiler_options=options)  # An unknown option is refused.
    assert doubled(21) == 42


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_other_devices_compute_the_same_bits_again_without_options(platform):
    one = mesh(platform)
    assert sharding.options(one, True) == {}
    assert sharding.step_options(one, True) == sharding.step_options(one)


# How many parameters of a config each of eight devices holds: with fsdp 1 (all), 2 and 8.
SIZES = {
    "asl_alphabet_cnn": (656_733, 329_725, 84_469),
    "asl_alphabet_cnn_few": (656_733, 329_725, 84_469),
    "asl_alphabet_resnet50": (49_285_533, 24_670_909, 6_209_941),
    "fingerspelling_lstm": (74_562, 37_562, 52_687),
    "fingerspelling_lstm_attention": (2_909_562, 1_459_834, 372_538),
    "fingerspelling_transformer": (4_132_062, 2_073_862, 530_212),
    "fingerspelling_transformer_modern": (7_851_898, 3_931_258, 990_778),
    "isolated_signs": (1_835_032, 925_336, 243_064),
    "keypoint_lstm": (596_774, 299_046, 75_750),
    "quickstart": (595_388, 300_284, 78_956),
    "reader": (2_236_572, 1_126_956, 294_744),
    "sign_mnist_resnet50": (26_223_000, 13_139_768, 3_327_344),
    "sign_mnist_resnet50_upright": (26_223_000, 13_139_768, 3_327_344),
    "squeezeformer": (13_386_362, 6_699_898, 1_685_050),
    "squeezeformer_large": (42_240_634, 21_128_186, 5_293_850),
    "squeezeformer_xl": (314_934_394, 157_471_098, 39_373_626),
    "squeezeformer_small": (2_236_572, 1_126_956, 294_744),
    "squeezeformer_small_pretrain": (2_323_808, 1_170_800, 306_044),
    "streaming": (11_528_568, 5_800_888, 1_505_128),
    "streaming_small": (2_236_476, 1_128_396, 297_336),
}
# The shape of a parameter of "quickstart", and the shape that one device holds with fsdp 8.
PLACES = {
    "ctc_head/bias": ((60,), (60,)),
    "ctc_head/kernel": ((128, 60), (16, 60)),
    "encoder/blocks/attention/q/kernel": ((4, 128, 2, 64), (4, 16, 2, 64)),
    "encoder/blocks/attention/out/kernel": ((4, 2, 64, 128), (4, 2, 64, 16)),
    "encoder/blocks/mlp/up/bias": ((4, 256), (4, 32)),
    "encoder/blocks/mlp/up/kernel": ((4, 128, 256), (4, 128, 32)),
    "encoder/blocks/norm/scale": ((4, 128), (4, 128)),
    "encoder/stem/project/kernel": ((191, 128), (191, 16)),
    "encoder/stem/reduce/kernel": ((256, 128), (32, 128)),
}


def placed(name: str, fsdp: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The parameters of a config, without values, as they lie on eight devices."""
    mesh = sharding.make_mesh(sharding.Config(fsdp=fsdp), jax.devices()[:8])
    leaves = stored.flatten(sharding.place(mesh, tiny.abstract(name)))
    return {key.removesuffix("/value"): leaf for key, leaf in leaves.items()}


def held(leaf: jax.ShapeDtypeStruct) -> tuple[int, ...]:
    """The shape of the part that one device holds."""
    assert leaf.sharding is not None
    return leaf.sharding.shard_shape(leaf.shape)


@pytest.mark.parametrize("name", [path.stem for path in processes.CONFIGS])
@pytest.mark.long
def test_every_network_has_its_number_of_parameters_and_a_device_holds_its_part(name):
    found = tuple(sum(math.prod(held(x)) for x in placed(name, n).values()) for n in (1, 2, 8))
    assert found == SIZES[name]


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("keypoint_lstm", ("--task.classes", "5"), 596_741),
        ("keypoint_lstm", ("--features.no-face",), 237_350),
        ("sign_mnist_resnet50", (), 3_690_008),
        ("sign_mnist_resnet50_upright", (), 3_690_008),
        ("asl_alphabet_resnet50", (), 26_752_541),
    ],
)
def test_a_baseline_trains_as_many_parameters_as_were_published(name, options, parameters):
    cfg = config.load(name, options)
    trained, _ = partition.split_frozen(jax.eval_shape(functools.partial(opening.network, cfg)))
    assert sum(leaf.size for leaf in jax.tree.leaves(trained)) == parameters


def test_the_widest_axis_that_divides_is_split_unless_the_array_is_small():
    found = placed("quickstart", 8)
    assert {name: (found[name].shape, held(found[name])) for name in PLACES} == PLACES


@pytest.mark.parametrize("fsdp", [2, 8])
def test_moments_and_the_average_lie_where_their_parameters_do(fsdp):
    cfg = config.load("quickstart")
    mesh = sharding.make_mesh(sharding.Config(fsdp=fsdp), jax.devices()[:8])
    state, _ = setup.state(cfg, mesh, optim.build(cfg.optim, 10))
    leaves = stored.flatten(state)
    model = {k.removeprefix("model/"): v for k, v in leaves.items() if k.startswith("model/")}
    for name, parameter in model.items():
        twins = [v for k, v in leaves.items() if k.endswith("/" + name)]
        assert len(twins) == 4, name  # Itself, two moments, the average.
        assert {twin.sharding for twin in twins} == {parameter.sharding}, name


def test_a_copy_lies_on_devices_that_follow_one_another_as_those_of_a_host_do():
    mesh = sharding.make_mesh(sharding.Config(fsdp=4), jax.devices()[:8])
    assert [[device.id for device in row] for row in mesh.devices] == [[0, 1, 2, 3], [4, 5, 6, 7]]
