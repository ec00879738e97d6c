"""Frames as they come -> characters as they are read, by a network with a state.

Shape suffixes: T frames, C values of a frame, M positions, N characters.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from aslx.export import stream_graph
from aslx.runs import trained_run

_EARLY = 1e-6  # Seconds by which a frame may be too early: clocks round.
_GAP = 0.25  # Seconds without a frame after which nobody knows where the hand was.


class FixedRate:
    """A camera's frames, at their own times, become frames at a fixed rate.

    Between two frames values are interpolated; what the nearer frame lacks is missing. In a gap of
    more than a quarter of a second everything is."""

    def __init__(self, rate: float):
        self._rate, self._given = rate, 0
        self._begin, self._before = 0.0, np.zeros(0, np.float32)
        self._at = -np.inf

    def add(self, at: float, frame_C: np.ndarray) -> list[np.ndarray]:
        """The frames f32[C] that are due up to `at`, in seconds, at which the camera gave a frame.
        A frame that is not later than the one before is left out."""
        if at <= self._at:
            return []
        if not self._given:
            self._begin, self._before, self._at = at, frame_C, at
        found = []
        while (due := self._begin + self._given / self._rate) <= at + _EARLY:
            found.append(self._between(due, at, frame_C))
            self._given += 1
        self._before, self._at = frame_C, at
        return found

    def _between(self, due: float, at: float, frame_C: np.ndarray) -> np.ndarray:
        span = at - self._at
        share = 1.0 if span <= 0 or due >= at - _EARLY else (due - self._at) / span
        if span > _GAP and share < 1:
            return np.full_like(frame_C, np.nan)
        near, far = (frame_C, self._before) if share >= 0.5 else (self._before, frame_C)
        part = np.float32(min(share, 1 - share))
        return near + np.where(np.isnan(far), 0, part * (far - near)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Written:
    """A character, once it is final."""

    character: str
    confidence: float
    frame: int
    """The last frame, from 0, that the network had seen."""


def of(run: trained_run.Run) -> Callable[[np.ndarray, float], Iterator[Written]]:
    """Reads clips of a run's source, of so many frames a second, as if the frames came one by one;
    all clips share one compiled step. BadInput if the network reads whole clips only."""
    stream = stream_graph.of(run.cfg, run.model)
    step, names = jax.jit(stream.step), run.cfg.task.report.about()["answers"]

    def read(clip: np.ndarray, rate: float) -> Iterator[Written]:
        reader = StreamReader(stream.start, step, stream.chunk, names)
        camera = FixedRate(stream.rate)
        for number, frame_C in enumerate(run.source.pack(clip)):
            yield from reader.add(camera.add(number / rate, frame_C))
        yield from reader.end()

    return read


class StreamReader:
    """Reads one stream. `start` and `step` are those of `export.stream_graph`, or of a file."""

    def __init__(
        self,
        start: Callable[[], dict[str, Any]],
        step: Callable[..., tuple[Any, dict[str, Any]]],
        chunk: int,
        names: Sequence[str],
    ):
        self._step, self._chunk, self._names = step, chunk, names
        self._state, self._waiting, self._seen = start(), [], 0

    def add(self, frames: list[np.ndarray]) -> Iterator[Written]:
        """The characters that are final with these next frames, f32[C] each."""
        for frame_C in frames:
            self._waiting.append(frame_C)
            if len(self._waiting) == self._chunk:
                yield from self._read()

    def end(self) -> Iterator[Written]:
        """The characters that are final with the end of the stream."""
        if self._waiting:
            yield from self._read()

    def _read(self) -> Iterator[Written]:
        real = len(self._waiting)
        inputs_TC = np.full((self._chunk, *self._waiting[0].shape), np.nan, np.float32)
        inputs_TC[:real] = self._waiting
        self._waiting.clear()
        self._seen += real
        rows_MN, self._state = self._step(inputs_TC, np.array([real], np.int32), self._state)
        for row_N in np.asarray(rows_MN):
            best = int(row_N.argmax())
            if best < len(self._names):
                yield Written(self._names[best], float(row_N[best]), self._seen - 1)
