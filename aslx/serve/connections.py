"""Limits on idle HTTP connections, which uvicorn lacks.

A client has ten seconds to send the head of a request, and a minute to receive a part of an answer.
If there are too many connections, the one that has waited longest for a request is closed.
"""

import asyncio

import h11
from uvicorn.protocols.http import h11_impl

BACKLOG = 128  # Connections that wait in the socket, and that asyncio accepts at once.
_HEAD = 10.0  # Seconds from a connection, or an answer, to the end of the next request's head.
_TAKE = 60.0  # Seconds in which a client must receive a part of some tens of kilobytes.
_DESCRIPTORS = 4096  # File descriptors that the process asks the system for.
_OTHERS = 100  # Descriptors for other things: the model, the readers, the event loop.


def most() -> int:
    """The most connections for which this process has descriptors: two each, one for a file. Raises
    the limit on descriptors if the system allows it."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows, where sockets use no descriptors.
        return _DESCRIPTORS // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    soft = _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    return max(16, (min(soft, _DESCRIPTORS) - BACKLOG - _OTHERS) // 2)


def protocol(most: int) -> type[h11_impl.H11Protocol]:
    """uvicorn's HTTP protocol, for a server of at most `most` connections."""
    waiting: dict[h11_impl.H11Protocol, None] = {}  # For a request; the longest wait first.

    class Protocol(h11_impl.H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _take: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > most:
                next(iter(waiting), self).transport.abort()
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._wait(False)
            self.resume_writing()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._look()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._take = self.loop.call_later(_TAKE, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._take:
                self._take.cancel()
                self._take = None

        def _look(self) -> None:
            answered = self.cycle is not None and self.cycle.response_complete
            self._wait(self.conn.their_state is h11.IDLE or answered)

        def _wait(self, waits: bool) -> None:
            """Starts the timer when the connection begins to wait, and stops it when it ends."""
            if waits and not self._head and not self.transport.is_closing():
                self._head = self.loop.call_later(_HEAD, self.transport.abort)
                waiting[self] = None
            elif not waits and self._head:
                self._head.cancel()
                self._head = None
                del waiting[self]

    return Protocol
