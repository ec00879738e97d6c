"""Contenders, each in a process of its own, who take turns: what disturbs one disturbs all.

While others have their turn a process is stopped, so that what it would read or compute ahead in
its own threads neither disturbs them nor counts for nothing.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What every command has that races contenders."""

    turns: int = 5
    """Readings, of which the median counts."""
    steps: int = 5
    """Steps or batches of a reading."""


@dataclasses.dataclass(frozen=True)
class Work:
    run: Callable[[int], None]
    """Does it so many times, and returns when all of it is done."""
    flops: float = 0
    """Of doing it once; 0: nobody counted."""


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    build: Callable[[], Work]
    """Runs in the contender's process. It can be pickled, and its module imports no framework."""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Times:
    seconds: list[float]
    """Of one step: a reading a turn."""
    cpu_seconds: list[float]
    peak_bytes: int
    """Of an accelerator's memory, else of the whole process, its framework included."""
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
    # On busy cores its threads go on for a while after the signal is sent.
    os.waitid(os.P_PID, number, os.WSTOPPED)


def race(contenders: list[Contender], *, turns: int, steps: int) -> dict[str, Times]:
    """`turns` readings of each, after a first that does not count: in that they compile."""
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
            with contextlib.suppress(ProcessLookupError):  # It may have ended in an error.
                os.kill(number, signal.SIGCONT)
        for pool in pools.values():
            pool.shutdown()
    return {
        name: Times([t[0] / steps for t in rows], [t[1] / steps for t in rows], *rows[-1][2:])
        for name, rows in found.items()
    }
