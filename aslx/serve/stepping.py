"""The steps of many streams in the engine's threads; steps that wait together are taken as one.

A stream's state lies with the stream, and not in an interpreter: it is freed with it.
"""

import asyncio
import collections
import contextlib
import dataclasses
import queue

import numpy as np

from aslx.decode import decoding_options
from aslx.export import exported, interpreters, stream_reading
from aslx.serve.interpreter_pool import Engine
from aslx.serve.turns import Client


@dataclasses.dataclass(eq=False)
class _Chunk:
    """A stream's next frames, which wait for an interpreter."""

    inputs: np.ndarray
    frames: np.ndarray  # i32[1]: how many of them are real.
    state: stream_reading.State
    done: asyncio.Future


_Found = tuple[np.ndarray, np.ndarray, stream_reading.State]  # Rows, whether it ended, the state.


class Steps:
    """Steps of streams by an export that has them."""

    def __init__(
        self, export: exported.Export, engine: Engine, rests: decoding_options.Rests, threads: int
    ):
        said = export.about.stream
        assert said
        self.chunk, self.rate, self.names = said.chunk, said.rate, export.about.answers
        self._engine, self._rests = engine, rests.frames(said.rate)
        self._waiting: collections.deque[_Chunk] = collections.deque()
        self._turns: set[asyncio.Task] = set()
        self._several = said.several.streams if said.several else 1
        self._one: queue.SimpleQueue = queue.SimpleQueue()
        self._many: queue.SimpleQueue = queue.SimpleQueue()
        model = export.files[said.file].read()
        for _ in range(threads):
            start, step = interpreters.of_streams(model, export.about)
            self._one.put(step)
            self._start = start()
        model = export.files[said.several.file].read() if said.several else b""
        for _ in range(threads if said.several else 0):
            self._many.put(interpreters.of_streams(model, export.about, self._several)[1])

    def start(self) -> stream_reading.State:
        """The state before the first frame."""
        return self._start

    async def step(
        self, frames: list[np.ndarray], state: stream_reading.State, client: Client
    ) -> tuple[tuple[stream_reading.Written, ...], bool, stream_reading.State]:
        """What the next frames of a stream write, whether they end a phrase, and the next state.
        There are at most `chunk` frames; fewer end the clip."""
        inputs = np.full((self.chunk, *frames[0].shape), np.nan, np.float32)
        inputs[: len(frames)] = frames
        real = np.array([len(frames)], np.int32)
        mine = _Chunk(inputs, real, state, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        turn = asyncio.create_task(self._turn(client))  # Goes on if the client goes.
        self._turns.add(turn)
        turn.add_done_callback(self._turns.discard)
        rows, ended, after = await mine.done
        return stream_reading.written(rows, self.names), bool(ended[0]), after

    async def _turn(self, client: Client) -> None:
        for chunk, found in await self._engine.run(self._work, client, self.chunk):
            if not chunk.done.done():
                chunk.done.set_result(found)

    def _work(self) -> list[tuple[_Chunk, _Found]]:
        """Reads the oldest chunks that wait; none if other turns have read them all."""
        # A step of several takes the time of half as many.
        several = self._several if len(self._waiting) > self._several // 2 else 1
        mine: list[_Chunk] = []
        with contextlib.suppress(IndexError):
            while len(mine) < several:
                chunk = self._waiting.popleft()
                if not chunk.done.cancelled():
                    mine.append(chunk)
        if len(mine) > 1:
            return list(zip(mine, self._together(mine), strict=True))
        return [(chunk, self._alone(chunk)) for chunk in mine]

    def _alone(self, chunk: _Chunk) -> _Found:
        step = self._one.get()
        try:
            return step(chunk.inputs, chunk.frames, self._rests, chunk.state)
        finally:
            self._one.put(step)

    def _together(self, mine: list[_Chunk]) -> list[_Found]:
        filled = [*mine, *[mine[0]] * (self._several - len(mine))]
        inputs = np.stack([chunk.inputs for chunk in filled])
        frames = np.stack([chunk.frames for chunk in filled])
        states = {name: np.stack([chunk.state[name] for chunk in filled]) for name in self._start}
        step = self._many.get()
        try:
            rows, ended, after = step(inputs, frames, self._rests, states)
        finally:
            self._many.put(step)
        # A view would keep the states of all.
        each = [{name: array[i].copy() for name, array in after.items()} for i in range(len(mine))]
        return [(rows[i], ended[i], state) for i, state in enumerate(each)]
