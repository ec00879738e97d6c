"""WebSocket /api/stream: takes frames as they come, and answers with growing texts.

The client's first message names its columns; then come frames, `reset` for the next clip, `end`.
Each answer says how many frames of the clip it covers. Answers keep their order. If frames come
faster than they are read, an answer covers several new frames; the last answer covers all.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
import pydantic
from starlette.websockets import WebSocket, WebSocketDisconnect

from aslx.serve import bodies, refusals
from aslx.serve.interpreter_pool import Engine
from aslx.serve.limits import Limits
from aslx.serve.turns import Client, Full, Places

MESSAGE = 2**20  # Bytes of a message: 160 frames of all of Kaggle's columns.
_PATIENCE = 300.0  # Seconds without a message after which a stream is closed.
_SMALL = 2**14  # Bytes of a message that take as long to parse as a frame takes to be read.
_WINDOW = 10  # Seconds over which the rate of frames is measured.

NORMAL, UNSUPPORTED, INVALID, POLICY, TOO_BIG, TRY_AGAIN = 1000, 1003, 1007, 1008, 1009, 1013


class Columns(bodies.Strict):
    """The first message. Without columns, frames have those of the model; without a rate, a model
    with a state takes them to be of its own rate."""

    type: Literal["columns"] = "columns"
    columns: bodies.Names = pydantic.Field(default_factory=list)
    rate: Annotated[float, pydantic.Field(ge=1, le=240)] | None = None


class Frames(bodies.Strict):
    type: Literal["frames"]
    frames: bodies.Rows


class Reset(bodies.Strict):
    """Ends a clip and begins the next."""

    type: Literal["reset"]


class End(bodies.Strict):
    """Ends the stream."""

    type: Literal["end"]


class Message(pydantic.RootModel):
    root: Annotated[Frames | Reset | End, pydantic.Field(discriminator="type")]


class Close(Exception):
    """Closes the stream with a code and a reason."""

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code = code


async def serve(socket: WebSocket, make: Callable[[WebSocket], "Stream"], streams: Places) -> None:
    """Serves a stream, of the kind that `make` makes, from its opening to its close."""
    await socket.accept()
    try:
        with streams.one():
            await make(socket).run()
    except Close as close:
        code, why = close.code, str(close)
    except Full as error:
        code, why = TRY_AGAIN, f"streams: {error}"
    except refusals.Refused as error:
        code, why = TOO_BIG if error.status == 413 else INVALID, str(error)
    except WebSocketDisconnect:
        return
    # A control frame holds 123 bytes of reason.
    reason = refusals.line(why).encode()[:123].decode(errors="ignore")
    with contextlib.suppress(WebSocketDisconnect), _open():
        await socket.close(code, reason)


@contextlib.contextmanager
def _open() -> Iterator[None]:
    """Turns RuntimeError into WebSocketDisconnect: uvicorn raises it on sending after it has closed
    a connection whose frame broke the protocol."""
    try:
        yield
    except RuntimeError:
        raise WebSocketDisconnect(1006) from None


class Stream:
    """One client's clips, one after the other, each of which is read as a whole as it grows."""

    def __init__(self, socket: WebSocket, engine: Engine, limits: Limits):
        self._socket, self._engine, self._limits = socket, engine, limits
        self._client = Client()
        self._clip, self._answers = 0, 0
        self._reading: asyncio.Task | None = None
        self._left, self._at = float(limits.frames_per_second * _WINDOW), time.monotonic()

    async def run(self) -> NoReturn:
        """Answers until the client ends the stream or makes an error."""
        origin = self._socket.headers.get("origin")
        if origin and origin.partition("://")[2] != self._socket.headers.get("host"):
            raise Close(POLICY, "a page of another origin")
        if self._engine.about.kind == "image":
            raise Close(UNSUPPORTED, "the model reads images: post them to /api/transcribe")
        data = await self._receive()
        kind = bodies.JSON if isinstance(data, str) else bodies.MSGPACK
        first: Columns = await self._parsed(Columns, data, kind)
        self._columns = bodies.Columns(self._engine.about, first.columns)
        about = self._opened(first)
        self._begin()
        await self._say({"type": "ready", "columns": self._columns.width} | about)
        try:
            while True:
                await self._message()
        finally:
            if self._reading:
                self._reading.cancel()

    async def _receive(self) -> str | bytes:
        try:
            async with asyncio.timeout(_PATIENCE):
                message = await self._socket.receive()
        except TimeoutError:
            raise Close(POLICY, f"no message in {_PATIENCE:.0f} seconds") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        data = message["bytes"] if message.get("text") is None else message["text"]
        if len(data) > MESSAGE:
            raise Close(TOO_BIG, f"a message of {len(data)} bytes: at most {MESSAGE} are taken")
        return data

    async def _parsed(self, model: type[pydantic.BaseModel], data: str | bytes, kind: str) -> Any:
        parse = functools.partial(bodies.parsed, model, data, kind)
        if len(data) < _SMALL:
            return parse()
        return await self._engine.run(parse, self._client, 1 + len(data) / _SMALL)

    async def _message(self) -> None:
        """Handles the next message; Close after the last one."""
        data = await self._receive()
        if isinstance(data, bytes):
            return self._add(self._binary(data))
        message = (await self._parsed(Message, data, bodies.JSON)).root
        if isinstance(message, Frames):
            return self._add(self._columns.rows(message.frames))
        self._pace(1)
        await self._finished()
        if isinstance(message, End):
            await self._say({"type": "end", "answers": self._answers})
            raise Close(NORMAL, "ended")
        self._clip += 1
        self._begin()
        await self._say({"type": "reset", "clip": self._clip})

    def _opened(self, first: Columns) -> dict[str, Any]:
        """What `ready` says of the way in which the stream is read."""
        if first.rate is not None:
            raise Close(INVALID, "rate: the model reads whole clips, whose frames it takes as such")
        return {}

    def _begin(self) -> None:
        """Begins a clip."""
        self._rows: list[np.ndarray] = []  # The clip in parts, f32[n, *shape].
        self._frames, self._covered = 0, 0

    async def _finished(self) -> None:
        """Returns when the answers cover the clip."""
        if self._reading:
            await self._reading

    def _binary(self, data: bytes) -> np.ndarray:
        size = 4 * self._columns.width
        if len(data) % size:
            raise Close(INVALID, f"{len(data)} bytes are no frames of {size}")
        return self._columns.ordered(np.frombuffer(data, "<f4").reshape(-1, self._columns.width))

    def _add(self, rows: np.ndarray) -> None:
        self._pace(max(1, len(rows)))
        self._check(self._frames + len(rows))
        self._rows.append(rows)
        self._frames += len(rows)
        if self._reading and self._reading.done():
            self._reading = self._reading.result()  # None, or raises the task's exception.
        if not self._reading and self._due:
            self._reading = asyncio.create_task(self._read())

    def _check(self, frames: int) -> None:
        """Close if a clip must not grow to so many frames."""
        if frames > self._limits.frames:
            raise Close(TOO_BIG, f"a clip has {self._limits.frames} frames at most: send reset")

    @property
    def _due(self) -> bool:
        """Whether enough has arrived to read."""
        return True

    def _pace(self, frames: float) -> None:
        now, rate = time.monotonic(), self._limits.frames_per_second
        self._left = min(self._left + (now - self._at) * rate, rate * _WINDOW) - frames
        self._at = now
        if self._left < 0:
            raise Close(POLICY, f"more than {rate} frames a second")

    async def _read(self) -> None:
        """Answers until all frames are covered."""
        while self._covered < self._frames:
            cost = 1 + self._frames
            self._covered, answer = await self._engine.run(self._newest, self._client, cost)
            await self._answer(answer)

    async def _answer(self, answer: dict[str, Any]) -> None:
        """Sends an answer that covers the frames of the clip that are covered now."""
        place = {"sequence": self._answers, "clip": self._clip, "frames": self._covered}
        self._answers += 1
        # `_receive` raises it too, and ends the stream.
        with contextlib.suppress(WebSocketDisconnect):
            await self._say({"type": "answer"} | place | answer)

    def _newest(self) -> tuple[int, dict[str, Any]]:
        """Reads all frames that have arrived, in a thread of the engine."""
        clip = np.concatenate(self._rows.copy())
        return len(clip), self._engine.read(clip)

    async def _say(self, message: dict[str, Any]) -> None:
        with _open():
            await self._socket.send_json(message)
