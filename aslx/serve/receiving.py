"""Receives the bodies of requests in bounded time and memory."""

import asyncio
import dataclasses

from starlette import requests

from aslx.serve.refusals import Refused

_PATIENCE = 30.0  # Seconds for a body to arrive.


@dataclasses.dataclass(eq=False)
class _Arriving:
    deadline: asyncio.Timeout
    data: bytearray


class Receiving:
    """Receives bodies. If there are too many, the oldest is refused: an honest body arrives sooner
    than a body that its client holds back.
    """

    def __init__(self, most: int, size: int, room: int):
        """At most `most` bodies at a time, of `size` bytes each and `room` bytes together."""
        self._most, self._size, self._room = most, size, room
        self._arriving: dict[_Arriving, None] = {}  # The oldest first.

    async def body(self, request: requests.Request) -> bytes:
        """A whole body; Refused if it is too long, whatever length it states, or too slow."""
        refused = Refused(413, f"the body has more than {self._size} bytes")
        if int(request.headers.get("content-length", 0)) > self._size:
            raise refused
        try:
            async with asyncio.timeout(_PATIENCE) as deadline:
                mine = _Arriving(deadline, bytearray())
                self._arriving[mine] = None
                try:
                    self._make_room()
                    async for chunk in request.stream():
                        mine.data += chunk
                        if len(mine.data) > self._size:
                            raise refused
                        self._make_room()
                finally:
                    self._arriving.pop(mine, None)
        except TimeoutError:
            raise Refused(408, f"no whole body in {_PATIENCE:.0f} seconds, or too many") from None
        return bytes(mine.data)

    def _make_room(self) -> None:
        while len(self._arriving) > self._most or self._held > self._room:
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            oldest.deadline.reschedule(asyncio.get_running_loop().time())

    @property
    def _held(self) -> int:
        """Bytes that have arrived of incomplete bodies."""
        return sum(len(body.data) for body in self._arriving)
