"""A server stands many clients, slow clients, and the pages of other sites."""

import asyncio
import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests
import websockets
from websockets.sync import client
from websockets.typing import Origin

from aslx.serve import admission, connections, limits, refusals
from aslx.serve import interpreter_pool as engine_lib
from aslx.serve import receiving as receiving_lib
from tests.serve import servers
from tests.serve.test_api import post
from tests.serve.test_app import application

HEAD = "POST /api/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


@contextlib.contextmanager
def holding(url: str, count: int, text: str) -> Iterator[list[socket.socket]]:
    """`count` connections that sent `text` and wait."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            found.append(stack.enter_context(socket.create_connection(address(url), 10)))
            with contextlib.suppress(ConnectionError):
                found[-1].sendall(text.encode())
        yield found


def answered(url: str) -> None:
    start = time.monotonic()
    assert requests.post(f"{url}/api/transcribe", json={"frames": []}, timeout=10).ok
    assert time.monotonic() - start < 5


def test_bodies_that_are_held_back_take_no_place(server):
    half = HEAD + "Content-Length: 14\r\n\r\n{"
    with holding(server.http, limits.Limits().bodies + 40, half) as held:
        answered(server.http)
        assert held[0].recv(1000).startswith(b"HTTP/1.1 408")  # The oldest gave way.
        assert requests.get(f"{server.http}/health", timeout=10).json()["requests"] == 0


def test_what_arrives_together_is_bounded():
    class Request:
        def __init__(self, *chunks: bytes):
            self.headers: dict[str, str] = {}
            self._chunks = chunks

        async def stream(self):
            for chunk in self._chunks:
                yield chunk
                await asyncio.sleep(0.01)
            if len(self._chunks) > 1:
                await asyncio.Event().wait()

    async def run() -> None:
        receiving = receiving_lib.Receiving(most=10, size=100, room=250)
        slow = [
            asyncio.create_task(receiving.body(Request(b"x" * 90, b"")))  # type: ignore[arg-type]
            for _ in range(2)
        ]
        await asyncio.sleep(0.005)
        assert await receiving.body(Request(b"y" * 90)) == b"y" * 90  # type: ignore[arg-type]
        with pytest.raises(refusals.Refused, match="no whole body"):
            await slow[0]
        assert not slow[1].done()
        slow[1].cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        with pytest.raises(refusals.Refused, match="more than 100 bytes"):
            await receiving.body(Request(b"x" * 101))  # type: ignore[arg-type]

    servers.ran(run())


@contextlib.contextmanager
def impatient(trained, web, monkeypatch, most: int = 20) -> Iterator[str]:
    monkeypatch.setattr(connections, "_HEAD", 0.3)
    app = application(trained.workdir, web)
    with servers.running(app, http=connections.protocol(most)) as url:
        yield url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /health HTT",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal",  # After an answer.
        "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",  # And its body.
    ],
)
def test_half_a_request_is_not_waited_for(trained, web, monkeypatch, text):
    with impatient(trained, web, monkeypatch) as url, holding(url, 1, text) as (held,):
        start, got = time.monotonic(), b""
        with contextlib.suppress(ConnectionError):
            while more := held.recv(10_000):
                got += more
        assert 0.2 < time.monotonic() - start < 3
        assert got.startswith(b"HTTP/1.1 200") == text.endswith(("/heal", "x"))


def test_a_head_that_trickles_in_has_no_more_time(trained, web, monkeypatch):
    with impatient(trained, web, monkeypatch) as url, holding(url, 1, "GET /") as (held,):
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < start + 5:
                held.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - start < 2


def test_connections_that_wait_give_way_to_new_ones(trained, web, monkeypatch):
    monkeypatch.setattr(connections, "_HEAD", 60)
    most = 20
    app = application(trained.workdir, web)
    with (
        servers.running(app, http=connections.protocol(most)) as url,
        holding(url, 3 * most, "GET /health HT") as held,
    ):
        answered(url)
        with contextlib.suppress(ConnectionError):
            assert held[0].recv(1) == b""
        held[-1].sendall(b"TP/1.1\r\nHost: localhost\r\n\r\n")  # The newest is waited for.
        assert held[-1].recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(sys.platform != "linux", reason="limits descriptors")
def test_half_requests_do_not_use_up_the_descriptors(trained):
    limited = ["bash", "-c", 'ulimit -n 256; exec "$@"', "bash"]
    with (
        servers.serving(trained.workdir, before=limited) as server,
        holding(server.http, 400, "GET /health HT"),
    ):
        answered(server.http)
        descriptors = list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir())
        assert len(descriptors) < 256


def status(url: str, host: str, *headers: tuple[str, str], path: str = "/health") -> int:
    connection = http.client.HTTPConnection(*address(url), timeout=10)
    with contextlib.closing(connection):
        connection.putrequest("GET", path, skip_host=True)
        for name, value in (("Host", host), *headers):
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def test_a_page_of_another_name_reaches_nothing_on_loopback(server):
    port = address(server.http)[1]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST", "[::1]", f"[::1]:{port}"):
        assert status(server.http, host) == 200, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "", "[::1]evil"):
        for path in ("/health", "/model/model.tflite", "/", "/api/transcribe"):
            assert status(server.http, host, path=path) == 421, host
    sock = socket.create_connection(address(server.http))
    with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
        origin = Origin("http://evil.example")
        client.connect("ws://evil.example/api/stream", sock=sock, origin=origin)


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", admission.LOOPBACK),
        ("::1", admission.LOOPBACK),
        ("localhost", admission.LOOPBACK),
        ("0.0.0.0", ()),
        ("192.168.1.5", ()),
        ("signs.example", ()),
    ],
)
def test_names_are_checked_on_loopback_alone(host, names):
    assert admission.names(host) == names


def test_a_server_that_others_can_reach_says_that_it_has_no_password(trained):
    process, out, _ = servers.start(trained.workdir, "--host", "0.0.0.0")
    line = out.readline()
    assert status(f"http://127.0.0.1:{line.split()[-1].rpartition(':')[2]}", "any.example") == 200
    process.terminate()
    _, error = process.communicate(timeout=20)
    (warning,) = [line for line in error.splitlines() if line.startswith("warning:")]
    assert "no password" in warning and "TLS" in warning


def test_a_body_of_two_lengths_is_refused_and_what_follows_is_not_read(server):
    smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    text = f"{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    with holding(server.http, 1, text) as (held,):
        got = b""
        with contextlib.suppress(ConnectionError):
            while more := held.recv(10_000):
                got += more
    assert got.startswith(b"HTTP/1.1 400") and got.count(b"HTTP/1.1") == 1


def test_a_refusal_does_not_quote_long_values(server):
    for body in ({"frames": [], "x" * 100_000: 1}, {"columns": ["y" * 100_000], "frames": []}):
        response = post(server, json.dumps(body))
        assert response.status_code == 422 and len(response.content) < 400
    response = post(server, b"", "text/" + "z" * 10_000)
    assert response.status_code == 415 and len(response.content) < 400
    assert response.json()["detail"].startswith("content type 'text/zzz")


def test_a_small_request_does_not_wait_for_streams_of_long_clips(trained, web, monkeypatch):
    app, read, lengths = application(trained.workdir, web), engine_lib.Engine.read, []
    monkeypatch.setattr(  # Records the order of the work of the one thread.
        engine_lib.Engine, "read", lambda self, x: lengths.append(len(x)) or read(self, x)
    )
    row, text = trained.clips[0][:1].tobytes(), HEAD + 'Content-Length: 14\r\n\r\n{"frames": []}'
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(servers.running(app))
        where = url.replace("http", "ws") + "/api/stream"
        sockets = [stack.enter_context(client.connect(where)) for _ in range(8)]
        (request,) = stack.enter_context(holding(url, 1, ""))
        for one in sockets:
            one.send("{}")
            one.send(row * 1100)
            assert [json.loads(one.recv(60))["type"] for _ in range(2)] == ["ready", "answer"]
        for one in sockets:
            one.send(row)
        request.sendall(text.encode())
        assert request.recv(10_000).startswith(b"HTTP/1.1 200")
    assert lengths[:8] == [1100] * 8
    assert lengths[8:].index(0) < 4


def test_an_ipv6_address_can_be_served(trained):
    if not socket.has_ipv6 or subprocess.run(["test", "-e", "/proc/net/if_inet6"]).returncode:
        pytest.skip("this machine has no IPv6")
    with servers.serving(trained.workdir, "--host", "::1") as server:
        assert server.http.startswith("http://[::1]:")
        assert requests.get(f"{server.http}/health", timeout=10).ok
