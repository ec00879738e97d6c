"""Accelerators by their topologies: how to compile for them without one."""

import importlib
import math
import os

from aslx import cli, errors
from aslx.kernels import peaks

_GPUS_OF_A_HOST = 8
WHOLE_RING = 16  # TPUs of an axis that is a ring; a shorter one is a line, half as fast.
# Bytes that a chip sends for each byte of an array, in the bandwidth-optimal algorithms on a ring
# (jax-ml.github.io/scaling-book, "Sharded Matrices and How to Multiply Them").
_SENT = {"all-reduce": 2.0, "all-to-all": 0.25, "ragged-all-to-all": 0.25}


def of(topology: str) -> peaks.Chip:
    name = topology.split(":")[0]
    if name not in peaks.CHIPS:
        raise errors.BadInput(
            f"no figures for the chip of {topology!r}; there are {', '.join(peaks.CHIPS)}"
        )
    return peaks.CHIPS[name]


def sides(topology: str) -> list[int]:
    """Chips along each axis; BadInput where they are no numbers."""
    words = topology.partition(":")[2].split("x")
    if not all(word.isdecimal() and int(word) for word in words):
        raise errors.BadInput(f"no topology {topology!r}: want one such as v5e:16x16 or h200:8")
    return [int(word) for word in words]


def devices(topology: str) -> list:
    """The chips of a topology, to compile for; BadInput for one that there is not."""
    chip, shape = of(topology), sides(topology)
    from jax.experimental import topologies

    if chip.platform == "tpu":
        # Without these libtpu looks for a TPU, and one process alone may load it.
        for name, value in (cli.NO_TPU | {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}).items():
            os.environ.setdefault(name, value)
        import libtpu  # noqa: F401 - aslx.cli says how to install it.

        named = {"topology_name": topology}
    else:
        count = math.prod(shape)
        hosts, each = -(-count // _GPUS_OF_A_HOST), min(count, _GPUS_OF_A_HOST)
        if count != hosts * each:
            raise errors.BadInput(f"no topology {topology!r}: more than 8 GPUs are hosts of 8")
        importlib.import_module("jax_cuda13_plugin")  # aslx.cli says how to install it.
        named = {"topology": f"1x{hosts}x{each}", "target_config": _target(chip)}
    try:
        found = topologies.get_topology_desc(platform=chip.platform, **named).devices
    except RuntimeError as error:
        raise errors.BadInput(f"no topology {topology!r}: {error}") from None
    return list(found)


def collective_seconds(collectives: list[dict], topology: str) -> float:
    """The least time of collectives, one after another. On TPUs each goes along both axes and in
    both ways; of GPUs on several hosts the network is the slowest link."""
    chip, shape = of(topology), sides(topology)
    sent = sum(_SENT.get(c["op"], 1.0) * c["bytes"] * c["times"] for c in collectives)
    if chip.platform == "tpu":
        return sent / (sum(2.0 if side >= WHOLE_RING else 1.0 for side in shape) * chip.link)
    return sent / (chip.network if math.prod(shape) > _GPUS_OF_A_HOST else chip.link)


def _target(chip: peaks.Chip) -> str:
    """XLA's description of a GPU, a stream_executor.GpuTargetConfigProto as text: limits of compute
    capability 9.0 (CUDA C++ Programming Guide), the rest from the data sheet."""
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: {48 << 10} shared_memory_per_block_optin: {227 << 10}
  shared_memory_per_core: {228 << 10} registers_per_core_limit: 65536
  registers_per_block_limit: 65536 core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  memory_bandwidth: {chip.bandwidth:.0f} l2_cache_size: {50 << 20}
  device_memory_size: {chip.usable}
  cuda_compute_capability {{ major: 9 minor: 0 feature_extension: ACCELERATED_FEATURES }}
  device_vendor: "NVIDIA Corporation" device_address_bits: 64 name: "{chip.name}"
  driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.12.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 12 patch: 0 }}
device_description_str: "{chip.name}"
"""
