"""The kernels of a trace of jax.profiler: which took longest, and how long devices had none."""

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Protocol

import jax

from aslx.storage import files

Kernel = tuple[float, float, str]  # Its begin and its end, in seconds, and its name.
_LONGEST = 10


class Event(Protocol):
    """Of jax.profiler.ProfileData."""

    name: str
    start_ns: float
    duration_ns: float
    stats: Iterable[tuple]


def told(folder: files.Path, steps: int) -> str:
    """The longest kernels of `steps` traced steps, and the idle share, as lines for people."""
    (*_, newest) = sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
    data = jax.profiler.ProfileData.from_serialized_xspace(newest.read_bytes())
    total, calls = collections.defaultdict(float), collections.defaultdict(int)
    busy = span = 0.0
    for plane in data.planes:
        lines = [_kernels(plane.name, line.name, line.events) for line in plane.lines]
        for name, seconds in itertools.chain(*map(_own, lines)):
            total[name] += seconds
            calls[name] += 1
        intervals = sorted((begin, end) for begin, end, _ in itertools.chain(*lines))
        if intervals:
            busy += _covered(intervals)
            span += max(end for _, end in intervals) - intervals[0][0]
    if not span:
        return f"no kernel in {newest}"
    longest = sorted(total.items(), key=lambda pair: -pair[1])[:_LONGEST]
    rows = (
        f"  {seconds / steps * 1e3:9.3f} ms a step {seconds / sum(total.values()):4.0%} "
        f"{calls[name] / steps:7,.1f} times  {name}"
        for name, seconds in longest
    )
    head = f"devices idle for {1 - busy / span:.0%} of the traced time; the longest kernels:"
    return "\n".join([head, *rows])


def _kernels(plane: str, line: str, events: Iterable[Event]) -> list[Kernel]:
    """Those of a line of a trace, in the order in which they begin; a loop comes before its trips.
    TPUs list them as "XLA Ops", GPUs by streams; a CPU's threads do other work too."""
    cpu = plane == "/host:CPU"
    lists = line == "XLA Ops" or line.startswith("Stream")
    found = []
    if not cpu and not (plane.startswith("/device:") and lists):
        return found
    for event in events:
        if not cpu or any(stat[0] == "hlo_op" for stat in event.stats):
            begin = event.start_ns * 1e-9
            found.append((begin, begin + event.duration_ns * 1e-9, event.name))
    return sorted(found, key=lambda kernel: (kernel[0], -kernel[1]))


def _own(kernels: list[Kernel]) -> Iterator[tuple[str, float]]:
    """The name and the seconds of each kernel of a line, without those of kernels within it."""
    around: list[tuple[float, str]] = []  # The ends and names of those that have not ended.
    own: list[float] = []
    for begin, end, name in kernels:
        while around and around[-1][0] <= begin:
            yield around.pop()[1], own.pop()
        if around:
            own[-1] -= min(end, around[-1][0]) - begin
        around.append((end, name))
        own.append(end - begin)
    yield from ((name, seconds) for (_, name), seconds in zip(around, own, strict=True))


def _covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of the intervals, sorted by their begin, lasts."""
    total, until = 0.0, float("-inf")
    for begin, end in intervals:
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
