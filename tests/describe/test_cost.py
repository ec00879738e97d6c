"""The estimated cost of programs whose cost is known."""

import pathlib

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from aslx.describe import chips, cost, hlo
from aslx.kernels import peaks


@pytest.fixture(scope="module", params=["cpu", "tpu"])
def place(request) -> NamedSharding:
    """One device: a CPU, or a TPU for which programs are only compiled."""
    if request.param == "tpu":
        pytest.importorskip("libtpu")
    devices = jax.devices("cpu") if request.param == "cpu" else chips.devices("v5e:2x2")
    return NamedSharding(jax.sharding.Mesh(devices[:1], ("all",)), P())


def counted(place, function, *shapes) -> cost.Cost:
    arguments = [jax.ShapeDtypeStruct(shape, "f4", sharding=place) for shape in shapes]
    return cost.cost(jax.jit(function).lower(*arguments).compile().as_text() or "")


def test_a_product_takes_two_flops_for_each_pair_of_values(place):
    found = counted(place, jnp.matmul, (64, 128), (128, 32))
    assert found.products == {"f32": 2 * 64 * 128 * 32}
    assert counted(place, jnp.matmul, (8, 64, 128), (8, 128, 32)).flops == 8 * found.flops


def test_a_float32_product_of_the_highest_precision_takes_six_times_as_long_on_a_tpu(place):
    found = counted(place, lambda a, b: jnp.matmul(a, b, precision="highest"), (64, 128), (128, 32))
    if place.mesh.devices[0].platform == "tpu":
        assert found.products == {"f32 highest": 2 * 64 * 128 * 32}
        seconds = peaks.CHIPS["v5e"].compute_seconds(found.products)
        assert seconds == pytest.approx(6 * found.flops / 197e12)


def test_memory_is_counted_by_the_line_of_code_that_asks_for_it():
    text = TRACED.replace("PACKAGE", str(pathlib.Path(cost.__file__).parents[1]))
    found = cost.cost(text)
    at = hlo.sources(text)
    assert {at.get(frame): n for frame, n in found.sources.items()} == {
        "models/cnn.py:7": 2 * 4 * 64
    }
    assert found.kernels == 1


# Line 3 of the user's script calls line 7 of a file of ours, which calls a library.
TRACED = """
HloModule traced

FileNames
1 "/home/me/script.py"
2 "PACKAGE/models/cnn.py"
3 "/lib/python/jax/numpy.py"

FunctionNames
1 "f"

FileLocations
1 {file_name_id=1 function_name_id=1 line=3 end_line=3}
2 {file_name_id=2 function_name_id=1 line=7 end_line=7}
3 {file_name_id=3 function_name_id=1 line=9 end_line=9}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}
3 {file_location_id=3 parent_frame_id=3}

ENTRY %main (x: f32[64]) -> f32[64] {
  %x = f32[64]{0} parameter(0)
  ROOT %y = f32[64]{0} tanh(%x), metadata={op_name="tanh" stack_frame_id=3}
}
"""
LIBRARY = """
HloModule library

ENTRY %main (x: bf16[16,32], w: bf16[32,8]) -> bf16[16,8] {
  %x = bf16[16,32]{1,0} parameter(0)
  %w = bf16[32,8]{1,0} parameter(1)
  %both = (bf16[16,8]{1,0}, s8[4096]{0}) custom-call(%x, %w), ATTRIBUTES
  ROOT %y = bf16[16,8]{1,0} get-tuple-element(%both), index=0
}
"""


def test_a_product_by_a_library_counts_as_one_and_its_scratch_memory_does_not():
    summed = '"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}'
    called = f'custom_call_target="__cublas$lt$matmul", backend_config={{{summed}}}'
    found = cost.cost(LIBRARY.replace("ATTRIBUTES", called))
    assert found.products == {"bf16": 2 * 16 * 32 * 8}
    assert found.bytes == 2 * (16 * 32 + 32 * 8 + 16 * 8) and found.kernels == 1


def repeat(x, w, times):
    return jax.lax.scan(lambda c, _: (jnp.tanh(c @ w), None), x, length=times)[0]


def test_the_body_of_a_loop_counts_as_often_as_it_runs(place):
    one = 2 * 64 * 128 * 128
    assert counted(place, lambda x, w: repeat(x, w, 5), (64, 128), (128, 128)).flops == 5 * one

    def nested(x, w):
        return jax.lax.scan(lambda c, _: (repeat(c, w, 5), None), x, length=3)[0]

    found = counted(place, nested, (64, 128), (128, 128))
    assert found.flops == 15 * one and not found.unknown


def test_the_gradient_of_a_loop_takes_three_times_the_loop(place):
    def loss(x, w):
        return jax.grad(lambda w: repeat(x, w, 5).sum())(w)

    found = counted(place, loss, (64, 128), (128, 128))
    assert found.flops == 3 * 5 * 2 * 64 * 128 * 128


def test_a_loop_of_unknown_length_counts_once_and_is_reported(place):
    def until(x, w):
        return jax.lax.while_loop(lambda c: c.sum() < 1e6, lambda c: jnp.tanh(c @ w), x)

    found = counted(place, until, (64, 128), (128, 128))
    assert found.flops == 2 * 64 * 128 * 128
    assert [trip.flops for trip in found.unknown] == [found.flops]


@pytest.mark.parametrize(
    ("stride", "groups", "padding", "pairs"),
    [
        (1, 1, "VALID", 94 * 3),
        (1, 1, "SAME", 96 * 3 - 2),  # Both ends meet one zero each.
        (2, 1, "VALID", 47 * 3),
        (1, 16, "VALID", 94 * 3),
    ],
)
def test_a_convolution_does_not_count_padding(place, stride, groups, padding, pairs):
    def convolve(x, k):
        return jax.lax.conv_general_dilated(
            x, k, (stride,), padding, dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=groups,
        )  # fmt: skip

    found = counted(place, convolve, (128, 96, 16), (3, 16 // groups, 32))
    # A TPU has no groups: its compiler makes one product, with zeros.
    dense = groups if place.mesh.devices[0].platform == "tpu" else 1
    assert found.flops == 2 * 128 * pairs * (16 // groups) * 32 * dense


def test_an_elementwise_step_reads_and_writes_its_arrays_once(place):
    found = counted(place, lambda x: jnp.tanh(x) * 2 + 1, (16384, 4096))
    assert found.flops == 0 and found.bytes == 2 * 4 * 16384 * 4096


def test_a_loop_over_rows_reads_each_row_once(place):
    def last(x):
        return jax.lax.scan(lambda c, row: (jnp.maximum(c, jnp.tanh(row)), None), x[0], x)[0]

    whole = 4 * 64 * 2048 * 1024
    assert whole <= counted(place, last, (64, 2048, 1024)).bytes < 4 * whole


@pytest.mark.parametrize("times", [1, 5])
def test_collectives_have_their_bytes_and_the_number_of_their_runs(times):
    mesh = jax.make_mesh((8,), ("all",), (jax.sharding.AxisType.Auto,))

    def local(x):
        step = lambda c, _: (jax.lax.psum(c, "all") / 8, None)  # noqa: E731
        return jax.lax.scan(step, x, length=times)[0]

    f = jax.shard_map(local, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False)
    found = counted(NamedSharding(mesh, P()), f, (16, 128))
    ((collective, count),) = found.collectives.items()
    assert (collective.op, collective.arrays) == ("all-reduce", ("f32[16,128]",))
    assert (collective.bytes, count) == (4 * 16 * 128, times)


# How the compiler for TPUs overlaps a collective with other work: a start, parts in a loop, an end.
SPREAD = """
HloModule spread

%piece (p: s32[4]) -> s32[8] {
  %p = s32[4]{0} parameter(0)
  ROOT %g = s32[8]{0} all-gather(%p), channel_id=3, dimensions={0}
}

%body (b: (s32[], s32[4])) -> (s32[], s32[4]) {
  %b = (s32[], s32[4]{0}) parameter(0)
  %i = s32[] get-tuple-element(%b), index=0
  %x = s32[4]{0} get-tuple-element(%b), index=1
  %one = s32[] constant(1)
  %next = s32[] add(%i, %one)
  %part = s32[8]{0} fusion(%x), kind=kCustom, calls=%piece
  ROOT %t = (s32[], s32[4]{0}) tuple(%next, %x)
}

%test (c: (s32[], s32[4])) -> pred[] {
  %c = (s32[], s32[4]{0}) parameter(0)
  %j = s32[] get-tuple-element(%c), index=0
  %end = s32[] constant(41)
  ROOT %less = pred[] compare(%j, %end), direction=LT
}

ENTRY %main (x: s32[4]) -> s32[8] {
  %x.1 = s32[4]{0} parameter(0)
  %zero = s32[] constant(0)
  %start = s32[8]{0} fusion(%x.1), kind=kCustom, calls=%piece
  %first = (s32[], s32[4]{0}) tuple(%zero, %x.1)
  %loop = (s32[], s32[4]{0}) while(%first), condition=%test, body=%body
  ROOT %done = s32[8]{0} fusion(%x.1), kind=kCustom, calls=%piece
}
"""


def test_a_collective_in_parts_counts_as_often_as_it_starts():
    found = cost.cost(SPREAD)
    assert [(c.bytes, times) for c, times in found.collectives.items()] == [(32, 1)]
    assert not found.unknown  # From 0 in steps of 1 to 41.


def test_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        cost.cost("HloModule nothing")


def test_arrays_in_main_memory_are_padded_to_whole_tiles():
    (array,) = hlo.arrays("bf16[88,12,100]{2,1,0:T(8,128)(2,1)}")
    assert array.bytes == 2 * 88 * 12 * 100 and array.stored == 2 * 88 * 16 * 128
    (on_core,) = hlo.arrays("f32[12]{0:T(128)S(1)}")
    assert on_core.tiled == 4 * 128 and on_core.stored == 0
