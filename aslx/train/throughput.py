"""How fast a run is, said while it runs. Nothing here waits for a device."""

import dataclasses
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np

from aslx import config as config_lib
from aslx.kernels import peaks
from aslx.runs import model_flops


@dataclasses.dataclass
class Throughput:
    """Counts what steps have done since the last line about it.

    This host's rows stand for those of all: hosts have as many rows each, of the same shapes.
    """

    hosts: int
    flops: Callable[[Mapping[str, jax.Array]], float]
    """FLOPs of the network for a batch; 0 where nothing is known to compare them with."""
    peak: float
    """FLOP/s of all devices together; 0: not known."""
    _by_shape: dict[tuple, float] = dataclasses.field(default_factory=dict)
    _clips: int = 0
    _frames: int = 0
    _padded: int = 0
    _flops: float = 0.0
    _waited: float = 0.0
    _last: dict[str, float] = dataclasses.field(default_factory=dict)
    _since: float = dataclasses.field(default_factory=time.perf_counter)

    def rows(self, rows: Mapping[str, np.ndarray]) -> None:
        """Counts this host's rows of a batch. An image is a clip of one frame; rows of weight zero
        are padding as a whole."""
        real = rows["weight"] > 0
        self._clips += int(real.sum())
        if "length" in rows:
            self._frames += int(rows["length"][real].sum())
            self._padded += len(real) * max(x.shape[1] for x in rows.values() if x.ndim > 2)
        else:
            self._frames += int(real.sum())
            self._padded += len(real)

    def step(self, batch: Mapping[str, jax.Array]) -> bool:
        """Counts a step on a batch of all hosts; whether it is the first of its shape, which
        compiles."""
        shape = tuple(sorted((k, v.shape) for k, v in batch.items()))
        new = shape not in self._by_shape
        if new:
            self._by_shape[shape] = self.flops(batch)
        self._flops += self._by_shape[shape]
        return new

    def figures(self, waited: float) -> dict[str, float]:
        """Rates since the last call, or those of then where there was no step since. `waited`:
        seconds of the run spent on waiting for batches.

        `seq_per_s` and `frames_per_s` count what is no padding; `padding` is its share of the
        frames, `input_wait` the share of the time, `mfu` the network's own FLOPs in units of the
        devices' peak, and `device_bytes` the most that a device has held. What the device or its
        kind does not tell is left out.
        """
        if not self._padded:
            return self._last
        now = time.perf_counter()
        seconds = now - self._since
        found = {
            "seq_per_s": round(self.hosts * self._clips / seconds, 1),
            "frames_per_s": round(self.hosts * self._frames / seconds, 1),
            "padding": round(1 - self._frames / self._padded, 4),
            "input_wait": round((waited - self._waited) / seconds, 4),
        }
        if self.peak:
            found["mfu"] = round(self._flops / seconds / self.peak, 4)
        told = jax.local_devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in told:
            found["device_bytes"] = told["peak_bytes_in_use"]
        self._clips = self._frames = self._padded = 0
        self._flops, self._waited, self._since, self._last = 0.0, waited, now, found
        return found


def of(cfg: config_lib.Config, mesh: jax.sharding.Mesh) -> Throughput:
    """For a run of `cfg`, with layers that are computed once left out."""
    chip = peaks.of(mesh.devices.flat[0].device_kind)

    def flops(batch: Mapping[str, jax.Array]) -> float:
        with jax.transfer_guard("allow"):  # The loop forbids constants that tracing makes.
            return model_flops.of(cfg, batch)

    if chip is None:
        return Throughput(jax.process_count(), lambda batch: 0.0, 0.0)
    peak = chip.flops[model_flops.kind(cfg)] * mesh.size
    return Throughput(jax.process_count(), flops, peak)


def line(loss: float, figures: Mapping[str, float]) -> str:
    """The figures beside a bar."""
    parts = [
        f"loss {loss:.3f}",
        f"{figures['seq_per_s']:,.0f} clips/s",
        f"{figures['padding']:.0%} padding",
        f"{figures['input_wait']:.0%} waiting for input",
    ]
    if "mfu" in figures:
        parts.append(f"{figures['mfu']:.1%} MFU")
    if "device_bytes" in figures:
        parts.append(f"{figures['device_bytes'] / 2**30:.1f} GiB")
    return ", ".join(parts)
