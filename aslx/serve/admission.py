"""What is refused before anything looks at it."""

import ipaddress
from collections.abc import Collection

from starlette import datastructures, responses, types

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def names(host: str) -> tuple[str, ...]:
    """The names under which a server on this address answers; none: under all."""
    try:
        return LOOPBACK if ipaddress.ip_address(host).is_loopback else ()
    except ValueError:
        return LOOPBACK if host == "localhost" else ()


class Guard:
    """Refuses requests and streams whose Host is none of this server's, which is how a page of
    another site would reach a server on loopback (DNS rebinding), and requests that state the
    length of their body in two ways, of which a proxy in front may take the other.
    """

    def __init__(self, app: types.ASGIApp, hosts: Collection[str]):
        """`hosts` as `names` gives them."""
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
    # The connection ends here: what follows on it may not be what its sender meant.
    answer = responses.JSONResponse({"detail": why}, status, {"Connection": "close"})
    await answer(scope, receive, send)
