"""The kernels of a trace of jax.profiler: which took longest, and how long devices had none."""

import collections
from collections.abc import Iterator
from typing import Any

import jax

from aslx.storage import files

_LONGEST = 10


def told(folder: files.Path, steps: int) -> str:
    """The longest kernels of `steps` traced steps, and the idle share, as lines for people."""
    (*_, newest) = sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
    data = jax.profiler.ProfileData.from_serialized_xspace(newest.read_bytes())
    total, calls = collections.defaultdict(float), collections.defaultdict(int)
    busy = span = 0.0
    for plane in data.planes:
        lines = [
            events
            for line in plane.lines
            if (events := sorted(_kernels(plane, line), key=_outer_first))
        ]
        for events in lines:
            for name, seconds in _own(events):
                total[name] += seconds
                calls[name] += 1
        intervals = sorted((begin, end) for events in lines for begin, end, _ in events)
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


def _kernels(plane: Any, line: Any) -> Iterator[tuple[float, float, str]]:
    """(begin, end, name), in seconds, of each kernel of a line.

    TPUs list them as "XLA Ops" and GPUs by streams; a CPU's threads do other work too.
    """
    cpu = plane.name == "/host:CPU"
    if not cpu and not (plane.name.startswith("/device:") and _of_device(line.name)):
        return
    for event in line.events:
        if not cpu or any(name == "hlo_op" for name, _ in event.stats):
            begin = event.start_ns * 1e-9
            yield begin, begin + event.duration_ns * 1e-9, event.name


def _outer_first(event: tuple[float, float, str]) -> tuple[float, float]:
    begin, end, _ = event
    return begin, -end


def _of_device(line: str) -> bool:
    return line == "XLA Ops" or line.startswith("Stream")


def _own(events: list[tuple[float, float, str]]) -> Iterator[tuple[str, float]]:
    """The name and the seconds of each kernel, without those of the kernels within it: a loop has
    its trips within. Events are sorted by their begin."""
    open_: list[list[Any]] = []  # [end, name, seconds of its own]
    for begin, end, name in events:
        while open_ and open_[-1][0] <= begin:
            yield tuple(open_.pop()[1:])
        if open_:
            open_[-1][2] -= min(end, open_[-1][0]) - begin
        open_.append([end, name, end - begin])
    for _, name, seconds in open_:
        yield name, seconds


def _covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of the intervals, sorted by their begin, lasts."""
    total, until = 0.0, float("-inf")
    for begin, end in intervals:
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
