"""Contenders that take turns, each in a process of its own, so that disturbances affect all alike.

A process is stopped during the turns of others, so that its threads do not work ahead: that would
slow the others down, and would not be counted.
"""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable

import numpy as np

import benchmarks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of every command that compares contenders."""

    turns: int = 5
    """Readings; their median is the result."""
    steps: int = 5
    """Steps or batches in a reading."""


@dataclasses.dataclass(frozen=True)
class Work:
    run: Callable[[int], None]
    """Does the work a number of times, and returns when it is done."""
    flops: float = 0
    """FLOPs of doing the work once; 0 if they are unknown."""


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    build: Callable[[], Work]
    """Runs in the process of the contender. It can be pickled; its module imports no framework."""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Times:
    seconds: list[float]
    """Seconds of one step, for each turn."""
    cpu_seconds: list[float]
    peak_bytes: int
    """The greatest use of the accelerator's memory, else that of the whole process."""
    flops: float

    def median(self) -> float:
        return float(np.median(self.seconds))

    def rate(self) -> float:
        """FLOP/s."""
        return self.flops / self.median()

    def spread(self) -> dict[str, float]:
        least, median, most = (round(s * 1e3, 2) for s in np.quantile(self.seconds, (0, 0.5, 1)))
        return {"step_ms": median, "step_ms_min": least, "step_ms_max": most}


_begun: list[Work] = []


def _begin(contender: Contender) -> None:
    os.environ.update(contender.environment)
    _begun.append(contender.build())


def _turn(steps: int) -> tuple[float, float, int, float]:
    (work,) = _begun
    start, cpu = time.perf_counter(), time.process_time()
    work.run(steps)
    return time.perf_counter() - start, time.process_time() - cpu, _peak(), work.flops


def _peak() -> int:
    if "jax" in sys.modules:
        import jax

        stats = jax.local_devices()[0].memory_stats()
        if stats:
            return stats["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _stop(number: int) -> None:
    os.kill(number, signal.SIGSTOP)
    # On busy cores the threads of the process continue for a while after the signal.
    os.waitid(os.P_PID, number, os.WSTOPPED)


def race(contenders: list[Contender], *, turns: int, steps: int) -> dict[str, Times]:
    """`turns` readings of each contender, after one that does not count, for compilation."""
    spawn = multiprocessing.get_context("spawn")
    pools = {
        c.name: concurrent.futures.ProcessPoolExecutor(1, spawn, _begin, (c,)) for c in contenders
    }
    numbers: dict[str, int] = {}
    try:
        for name, pool in pools.items():
            numbers[name] = pool.submit(os.getpid).result()
            pool.submit(_turn, 2).result()
            _stop(numbers[name])
        found = {name: [] for name in pools}
        for _ in range(turns):
            for name, pool in pools.items():
                os.kill(numbers[name], signal.SIGCONT)
                found[name].append(pool.submit(_turn, steps).result())
                _stop(numbers[name])
    finally:
        for number in numbers.values():
            with contextlib.suppress(ProcessLookupError):  # The process may have failed.
                os.kill(number, signal.SIGCONT)
        for pool in pools.values():
            pool.shutdown()
    return {
        name: Times([t[0] / steps for t in rows], [t[1] / steps for t in rows], *rows[-1][2:])
        for name, rows in found.items()
    }


if __name__ == "__main__":
    benchmarks.no_command("loader")
