"""Decides whose work is done next, and how many clients may ask.

Turns follow weighted fair queueing (Demers et al. 1989): work is done in the order in which it
would end if all waiting clients were served at the same time. So a small piece of work does not
wait for large ones, and a client's earlier work counts against it.
"""

import asyncio
import contextlib
import dataclasses
import heapq
import itertools
from collections.abc import Iterator


@dataclasses.dataclass(eq=False)
class Client:
    """A stream, or one request."""

    finish: float = 0.0
    """The time at which its last piece of work would end, on the clock of `Turns`."""


class Turns:
    """Admits at most `places` pieces of work at a time."""

    def __init__(self, places: int):
        self._free, self._clock = places, 0.0
        self._line: list[tuple[float, int, float, asyncio.Future]] = []
        self._numbers = itertools.count()

    async def take(self, client: Client, cost: float) -> None:
        """Returns when it is the client's turn; `give` ends the turn."""
        client.finish = max(self._clock, client.finish) + cost
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (client.finish, next(self._numbers), cost, turn))
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # The turn came, and nobody takes it.
                self.give()
            raise

    def give(self) -> None:
        self._free += 1
        self._next()

    def _next(self) -> None:
        while self._free and self._line:
            waiting = len(self._line)
            _, _, cost, turn = heapq.heappop(self._line)
            if not turn.done():  # Else the client has gone.
                self._free -= 1
                self._clock += cost / waiting  # Each client's share of this time.
                turn.set_result(None)


class Full(Exception):
    """There is no place left."""


class Places:
    """Counts the clients that are admitted, at most `most` at a time."""

    def __init__(self, most: int):
        self._most, self.taken = most, 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        if self.taken >= self._most:
            raise Full(f"{self._most} are served already: try again later")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
