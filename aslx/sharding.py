"""The mesh of devices, and the one rule that places every array on it."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from aslx import errors
from aslx.kernels import blocks, storing

Tree = TypeVar("Tree")
Options = dict[str, str | bool | int]
# All that a CUDA graph can hold, as XLA names it; its default leaves out WHILE.
_IN_GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
MIN_SHARD_SIZE = 2**10  # Smaller arrays are cheaper to replicate than to gather.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The mesh: copies of the model, and how each copy's parameters are split."""

    data: int = -1
    """Copies of the model that share a batch; -1: as many as the devices allow."""
    fsdp: int = 1
    """Devices over which each copy's parameters are split."""
    cpu_devices: int = 0
    """Devices into which JAX divides the cores of a host without an accelerator; 0: as many as
    cores and batches allow, chosen when the run begins."""
    deterministic: bool = False
    """On GPUs: use only programs that add up in a fixed order, and choose none by timing it. A run
    is then slower and repeats its bits, as runs on CPUs and TPUs always do (docs/exact.md)."""


def use_cpu_devices(cfg: Config) -> None:
    """Divides the host's cores into `cfg.cpu_devices` devices, but not an accelerator. BadInput
    where JAX has started with another number of CPU devices."""
    if not cfg.cpu_devices:
        return
    try:
        jax.config.update("jax_num_cpu_devices", cfg.cpu_devices)
    except RuntimeError:  # JAX has started.
        there = jax.device_count()
        if jax.default_backend() == "cpu" and there != cfg.cpu_devices:
            raise errors.BadInput(
                f"JAX has started with {there} CPU devices, and the run has {cfg.cpu_devices}: "
                f"train before anything else, or set mesh.cpu_devices to {there}"
            ) from None


def make_mesh(cfg: Config, devices: list | None = None) -> jax.sharding.Mesh:
    """A ("data", "fsdp") mesh over all devices of all hosts, or over `devices`."""
    devices = jax.devices() if devices is None else devices
    n = len(devices)
    data = n // cfg.fsdp if cfg.data == -1 else cfg.data
    if data * cfg.fsdp != n:
        raise errors.BadInput(f"mesh {data}x{cfg.fsdp} does not cover {n} devices")
    # Under make_mesh's default, Explicit axes, nnx layers fail.
    return jax.make_mesh((data, cfg.fsdp), ("data", "fsdp"), (AxisType.Auto,) * 2, devices=devices)


def for_reading(rows: int) -> jax.sharding.Mesh:
    """A mesh over as many of the devices as batches of `rows` rows divide over."""
    devices = jax.devices()
    return make_mesh(Config(), devices[: math.gcd(rows, len(devices))])


def platform(mesh: jax.sharding.Mesh) -> str:
    """ "cpu", "gpu" or "tpu"."""
    name = mesh.devices.flat[0].platform
    return "gpu" if name in ("cuda", "rocm") else name


def options(mesh: jax.sharding.Mesh, deterministic: bool) -> Options:
    """XLA's options for every program of a run. Where `deterministic` asks for the same bits each
    time, they matter on GPUs alone: only there XLA adds up in the order in which threads arrive,
    and takes the program that was fastest in a trial."""
    if platform(mesh) != "gpu":
        return {}
    # The host launches a loop as a whole, and not each of its trips.
    graphs: Options = {"xla_gpu_enable_command_buffer": _IN_GRAPHS}
    if not deterministic:
        return graphs
    return graphs | {
        "xla_gpu_deterministic_ops": True,
        "xla_gpu_exclude_nondeterministic_ops": True,
        "xla_gpu_autotune_level": 0,
        # Without timing, Triton takes tiles that do not fit some products, and compiling fails.
        "xla_gpu_enable_triton_gemm": False,
    }


def step_options(mesh: jax.sharding.Mesh, deterministic: bool = False) -> Options:
    """XLA's options for a training step on a mesh."""
    if platform(mesh) != "cpu":
        return options(mesh, deterministic)
    passes = [storing.DISABLED_PASS]
    if len(mesh.local_devices) > 1:
        # A kernel that is divided among cores would wait for a core that another device uses.
        passes.append("cpu-parallel-task-assigner")
    # By default the CPU's compiler does not use half of AVX-512's registers.
    return {"xla_disable_hlo_passes": ",".join(passes), "xla_cpu_prefer_vector_width": "512"}


def check_rows(mesh: jax.sharding.Mesh, rows: int, at_once: int = 0) -> None:
    """BadInput where batches of `rows` rows do not divide over the devices, or a device's rows into
    parts of `at_once`."""
    parts = mesh.size * (at_once or 1)
    if rows % parts:
        said = f", {at_once} rows at once" if at_once else ""
        raise errors.BadInput(
            f"a batch of {rows} rows does not divide over {mesh.size} devices{said}: make "
            f"data.batching's rows a multiple of {parts}"
            + (", or microbatch_rows and cached_rows 0" if at_once else "")
        )


def batch(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The place of a batch: split by rows over every device."""
    return NamedSharding(mesh, P(("data", "fsdp")))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The place of an array that every device holds as a whole."""
    return NamedSharding(mesh, P())


def whole(mesh: jax.sharding.Mesh, arrays: Tree) -> Tree:
    """Gathers arrays within a jitted function. Parameters must be whole where they are used: in a
    product with a part of a parameter the compiler may cut the activations too, and send them from
    device to device."""
    return jax.lax.with_sharding_constraint(arrays, replicated(mesh))


def whole_but_stacks(mesh: jax.sharding.Mesh, model: Tree) -> Tree:
    """As `whole`, except for stacks of blocks, which stay as they are placed until `whole_block`
    gathers them."""

    def gathered(leaf: Any) -> Any:
        return leaf if blocks.is_stacked(leaf) else whole(mesh, leaf)

    return jax.tree.map(gathered, model, is_leaf=blocks.is_variable)


def whole_block(mesh: jax.sharding.Mesh, dtype: str, block: Tree, depth: int) -> Tree:
    """Gathers one block of a stack of `depth` blocks. Of the sum of its gradients, in turn, each
    device keeps its part.

    Matrices are sent in `dtype`, in which the network multiplies by them; what has one axis is
    small, and may be used in float32.
    """

    def gathered(leaf: jax.Array) -> jax.Array:
        stored, kept = leaf.dtype, spec(mesh, (depth, *leaf.shape))[1:]
        sent = jnp.dtype(dtype) if leaf.ndim > 1 else stored

        @jax.custom_vjp
        def gather(x: jax.Array) -> jax.Array:
            part = jax.lax.with_sharding_constraint(x.astype(sent), NamedSharding(mesh, P(*kept)))
            return whole(mesh, part)

        def scatter(_: None, g: jax.Array) -> tuple[jax.Array]:
            place = NamedSharding(mesh, P(*kept))
            return (jax.lax.with_sharding_constraint(g.astype(stored), place),)

        gather.defvjp(lambda x: (gather(x), None), scatter)
        return gather(leaf)

    return jax.tree.map(gathered, block)


def put(mesh: jax.sharding.Mesh, batches: Iterator[dict]) -> Iterator[dict[str, jax.Array]]:
    """Each host's rows, as global arrays over the mesh."""
    place = batch(mesh)

    def placed(rows: dict) -> dict[str, jax.Array]:
        if jax.process_count() == 1:  # One call for all takes half the time of one for each.
            return jax.device_put(rows, place)
        return {k: jax.make_array_from_process_local_data(place, v) for k, v in rows.items()}

    for rows in batches:
        with jax.transfer_guard("allow"):  # The training loop forbids every other transfer.
            arrays = placed(rows)
        yield arrays


def place(mesh: jax.sharding.Mesh, abstract: Tree) -> Tree:
    """Gives every abstract array its sharding: the widest divisible axis is split over "fsdp"."""

    def with_sharding(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        placed = NamedSharding(mesh, P(*spec(mesh, x.shape)))
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed)

    return jax.tree.map(with_sharding, abstract)


def spec(mesh: jax.sharding.Mesh, shape: tuple[int, ...]) -> list[str | None]:
    """The axis of the mesh over which each axis of an array is split, or None."""
    axes: list[str | None] = [None] * len(shape)
    divisible = [i for i, n in enumerate(shape) if n % mesh.shape["fsdp"] == 0]
    if divisible and math.prod(shape) >= MIN_SHARD_SIZE and mesh.shape["fsdp"] > 1:
        axes[max(divisible, key=lambda i: shape[i])] = "fsdp"
    return axes
