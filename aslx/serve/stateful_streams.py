"""WebSocket /api/stream for a model with a state: each answer has the new characters alone.

The client's messages are those of `streams`. A frame is read once, in a step with the frames about
it, and what is written is final.
"""

import asyncio
import math
from typing import Any

import numpy as np
from starlette.websockets import WebSocket

from aslx.export import stream_reading
from aslx.serve import streams
from aslx.serve.interpreter_pool import Engine
from aslx.serve.limits import Limits
from aslx.serve.stepping import Steps


class Stream(streams.Stream):
    """One client's clips, one after the other, with a state that begins anew with each clip, and
    where the hands go between phrases."""

    def __init__(self, socket: WebSocket, engine: Engine, limits: Limits, steps: Steps):
        super().__init__(socket, engine, limits)
        self._steps = steps

    def _opened(self, first: streams.Columns) -> dict[str, Any]:
        self._rate = first.rate or self._steps.rate
        return {"stream": {"rate": self._steps.rate, "chunk": self._steps.chunk}}

    def _begin(self) -> None:
        super()._begin()
        self._state, self._ends = self._steps.start(), False
        self._camera = stream_reading.FixedRate(self._steps.rate)
        # Frames of the model's rate that wait, each with the frames of the client up to it.
        self._waiting: list[tuple[np.ndarray, int]] = []
        self._given = self._stepped = 0

    def _pace(self, frames: float) -> None:
        # A frame of a slow camera stands for several of the model.
        super()._pace(frames * max(1.0, self._steps.rate / self._rate))

    def _check(self, frames: int) -> None:
        if self._passed(frames) - self._stepped > self._limits.frames:
            raise streams.Close(
                streams.TRY_AGAIN, f"more than {self._limits.frames} frames wait to be read"
            )

    @property
    def _due(self) -> bool:
        return self._passed(self._frames) - self._stepped >= self._steps.chunk

    def _passed(self, frames: int) -> int:
        """Frames of the model's rate in so many of the client's."""
        return math.floor((frames - 1) * self._steps.rate / self._rate + 1e-6) + 1

    async def _finished(self) -> None:
        if self._reading:
            await self._reading
        self._ends = True
        self._reading = asyncio.create_task(self._read())
        await self._reading

    async def _read(self) -> None:
        chunk = self._steps.chunk
        while True:
            self._take()
            if len(self._waiting) < chunk and not (self._ends and self._waiting):
                break
            mine, self._waiting = self._waiting[:chunk], self._waiting[chunk:]
            frames = [frame for frame, _ in mine]
            written, ended, self._state = await self._steps.step(frames, self._state, self._client)
            self._stepped += len(mine)
            # A frame is covered when all are read that stand for it.
            self._covered = self._waiting[0][1] - 1 if self._waiting else self._given
            await self._said(written, ended)
        if self._ends and self._covered < self._frames:  # By frames that came between the model's.
            self._covered = self._frames
            await self._said((), False)

    def _take(self) -> None:
        """Brings the frames that have arrived to the model's columns and rate."""
        if not self._rows:
            return
        rows, self._rows = np.concatenate(self._rows), []
        for frame in self._columns.ordered(rows):
            found = [frame]
            if self._rate != self._steps.rate:
                found = self._camera.add(self._given / self._rate, frame)
            self._given += 1
            self._waiting += [(each, self._given) for each in found]

    async def _said(self, written: tuple[stream_reading.Written, ...], ended: bool) -> None:
        characters = [
            {"character": w.character, "confidence": round(w.confidence, 4)} for w in written
        ]
        text = "".join(w.character for w in written)
        await self._answer({"text": text, "characters": characters, "ended": ended})
