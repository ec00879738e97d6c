"""Where arrays live: the mesh and the one rule that places every array on it."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from aslx import errors
from aslx.kernels import storing

MIN_SHARD_SIZE = 2**10  # Smaller arrays are cheaper to replicate than to gather.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    data: int = -1
    """Copies of the model that share a batch; -1: all devices that `fsdp` leaves."""
    fsdp: int = 1
    """Devices over which each copy's parameters are split."""
    cpu_devices: int = 0
    """Devices that the cores of a host without an accelerator count as; 0: as many, of those that
    batches divide over, and chosen when the run begins."""
    deterministic: bool = False
    """On GPUs: only programs that add up in a fixed order, none chosen by timing it. Then a run has
    the same bits each time, and is slower. CPUs and TPUs have them anyway (docs/exact.md)."""


def use_cpu_devices(cfg: Config) -> None:
    """Divides the host's cores; accelerators stay as they are. BadInput where JAX has started with
    another number of CPU devices."""
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


def repeatable(mesh: jax.sharding.Mesh, deterministic: bool) -> dict[str, str | bool | int]:
    """What XLA is told of any program of a run whose bits shall be the same each time. Only on GPUs
    does it else add up in the order in which threads arrive, and take the program that was fastest
    in a trial."""
    if not deterministic or platform(mesh) != "gpu":
        return {}
    return {
        "xla_gpu_deterministic_ops": True,
        "xla_gpu_exclude_nondeterministic_ops": True,
        "xla_gpu_autotune_level": 0,
        # Untimed it takes tiles that do not fit some products, and refuses the program.
        "xla_gpu_enable_triton_gemm": False,
    }


def compiler_options(
    mesh: jax.sharding.Mesh, deterministic: bool = False
) -> dict[str, str | bool | int]:
    """What XLA is told when it compiles a training step for a mesh."""
    if platform(mesh) != "cpu":
        return repeatable(mesh, deterministic)
    passes = [storing.DISABLED_PASS]
    if len(mesh.local_devices) > 1:
        # A kernel divided among the cores would wait for one that another device keeps busy.
        passes.append("cpu-parallel-task-assigner")
    # By default the CPU's compiler leaves half of AVX-512's registers alone.
    return {"xla_disable_hlo_passes": ",".join(passes), "xla_cpu_prefer_vector_width": "512"}


def check_rows(mesh: jax.sharding.Mesh, rows: int, microbatches: int = 1) -> None:
    if microbatches > 1 and microbatches % mesh.size:
        raise errors.BadInput(
            f"{microbatches} microbatches do not divide over {mesh.size} devices: make "
            f"microbatches 1 or a multiple of {mesh.size}"
        )
    parts = max(mesh.size, microbatches)
    if rows % parts:
        raise errors.BadInput(
            f"a batch of {rows} rows does not divide over {mesh.size} devices and {microbatches} "
            f"microbatches: make data.batching's rows a multiple of {parts}, or microbatches 1"
        )


def batch(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Examples are split over every device; other dimensions are whole."""
    return NamedSharding(mesh, P(("data", "fsdp")))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def whole(mesh: jax.sharding.Mesh, arrays: Any) -> Any:
    """Gathers arrays within a jitted function. Parameters must be whole where they are used: of a
    product with a part of one the compiler may cut the other operand likewise, and send
    activations about."""
    return jax.lax.with_sharding_constraint(arrays, replicated(mesh))


def put(mesh: jax.sharding.Mesh, batches: Iterator[dict]) -> Iterator[dict[str, jax.Array]]:
    """Each host's rows, as global arrays over the mesh."""
    place = batch(mesh)
    for rows in batches:
        with jax.transfer_guard("allow"):  # Where the loop forbids every other transfer.
            arrays = {k: jax.make_array_from_process_local_data(place, v) for k, v in rows.items()}
        yield arrays


def place(mesh: jax.sharding.Mesh, abstract: Any) -> Any:
    """Gives every abstract array its sharding: the widest divisible dimension over "fsdp"."""

    def with_sharding(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        spec: list[str | None] = [None] * x.ndim
        divisible = [i for i in range(x.ndim) if x.shape[i] % mesh.shape["fsdp"] == 0]
        if divisible and x.size >= MIN_SHARD_SIZE and mesh.shape["fsdp"] > 1:
            spec[max(divisible, key=lambda i: x.shape[i])] = "fsdp"
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, P(*spec)))

    return jax.tree.map(with_sharding, abstract)
