"""Refuses requests by their headers alone, before any other code sees them."""

import ipaddress
from collections.abc import Collection

from starlette import datastructures, responses, types

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def names(host: str) -> tuple[str, ...]:
    """The names under which a server on this address answers; (): under any name."""
    try:
        return LOOPBACK if ipaddress.ip_address(host).is_loopback else ()
    except ValueError:
        return LOOPBACK if host == "localhost" else ()


class Guard:
    """Refuses requests and streams for another Host, and bodies with two lengths.

    With another Host, the page of another site could reach a server on loopback (DNS rebinding). If
    a request states the length of its body twice, a proxy may read one and this server the other.
    """

    def __init__(self, app: types.ASGIApp, hosts: Collection[str]):
        """`hosts` as `names` returns them."""
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = datastructures.Headers(scope=scope)
        host = headers.get("host", "")
        name = host[: host.rfind(":")] if host.rpartition(":")[2].isdecimal() else host
        if self._hosts and name.lower() not in self._hosts:
            await _refuse(scope, receive, send, 421, "this server has another name: see --host")
        elif "content-length" in headers and "transfer-encoding" in headers:
            await _refuse(scope, receive, send, 400, "a body has one length")
        else:
            await self._app(scope, receive, send)


async def _refuse(
    scope: types.Scope, receive: types.Receive, send: types.Send, status: int, why: str
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    # Closes the connection: the bytes that follow may belong to the refused body.
    answer = responses.JSONResponse({"detail": why}, status, {"Connection": "close"})
    await answer(scope, receive, send)
