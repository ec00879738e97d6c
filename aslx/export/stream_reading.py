"""Frames as they come -> characters as they are read, by the exported steps of a stream.

It needs no JAX. Shape suffixes: T frames, C values of a frame, M positions, N characters.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

_EARLY = 1e-6  # Seconds by which a frame may be too early: clocks round.
_GAP = 0.5  # Seconds without a frame after which nobody knows where the hand was.

State = dict[str, Any]  # Arrays of NumPy, or of JAX.
Start = Callable[[], State]
Step = Callable[[np.ndarray, np.ndarray, np.ndarray, State], tuple[Any, Any, State]]


class FixedRate:
    """A camera's frames, at their own times, become frames at a fixed rate.

    Between two frames values are interpolated; what the nearer frame lacks is missing. In a gap of
    more than half a second everything is."""

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


@dataclasses.dataclass(frozen=True)
class Read:
    """What a step has read."""

    frames: int
    """Frames of the stream that were read with it and before."""
    written: tuple[Written, ...]
    """The characters that are final with it."""
    ended: bool
    """Whether a phrase has ended with it: the next character belongs to another one."""

    @property
    def text(self) -> str:
        """The new characters."""
        return "".join(w.character for w in self.written)


class StreamReader:
    """Reads one stream. `start` and `step` are those of `stream_graph`, or `steps` of a file."""

    def __init__(
        self,
        start: Start,
        step: Step,
        chunk: int,
        names: Sequence[str],
        rests: np.ndarray,
    ):
        """`chunk`: frames of a step; `rests`: `decoding_options.Rests.frames`."""
        self._step, self._chunk, self._names, self._rests = step, chunk, names, rests
        self._state, self._waiting, self._seen = start(), [], 0

    def add(self, frames: Iterable[np.ndarray]) -> Iterator[Read]:
        """What is read with these next frames, f32[C] each."""
        for frame_C in frames:
            self._waiting.append(frame_C)
            if len(self._waiting) == self._chunk:
                yield self._read()

    def end(self) -> Iterator[Read]:
        """What is read with the end of the stream."""
        if self._waiting:
            yield self._read()

    def _read(self) -> Read:
        real = len(self._waiting)
        inputs_TC = np.full((self._chunk, *self._waiting[0].shape), np.nan, np.float32)
        inputs_TC[:real] = self._waiting
        self._waiting.clear()
        self._seen += real
        frames = np.array([real], np.int32)
        rows_MN, ended, self._state = self._step(inputs_TC, frames, self._rests, self._state)
        return Read(self._seen, written(np.asarray(rows_MN), self._names), bool(ended[0]))


def written(rows_MN: np.ndarray, names: Sequence[str]) -> tuple[Written, ...]:
    """The characters of a step's `outputs`."""
    best_M: list[int] = rows_MN.argmax(1).tolist()
    found = [(m, i) for m, i in enumerate(best_M) if i < len(names)]
    return tuple(Written(names[i], float(rows_MN[m, i])) for m, i in found)


def steps(start: Any, step: Any) -> tuple[Start, Step]:
    """`tflite.stream`'s functions as a `StreamReader` calls them."""

    def advance(
        inputs: np.ndarray, frames: np.ndarray, rests: np.ndarray, state: State
    ) -> tuple[np.ndarray, np.ndarray, State]:
        found = step(inputs=inputs, frames=frames, rests=rests, **state)
        return found.pop("outputs"), found.pop("ended"), found

    return start, advance
