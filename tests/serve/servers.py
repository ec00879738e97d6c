"""Real servers on loopback."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import IO, Any

import fastapi
import uvicorn

ROOT = pathlib.Path(__file__).parent.parent.parent


@dataclasses.dataclass
class Server:
    http: str  # "http://127.0.0.1:PORT"
    process: Any
    line: str = ""  # The first line that it prints.

    @property
    def socket(self) -> str:
        return self.http.replace("http", "ws", 1) + "/api/stream"


def start(workdir: object, *options: object, before=()) -> tuple[subprocess.Popen, IO, IO]:
    """The command's process, its stdout and its stderr; `before` is a command that runs it."""
    words = [*before, sys.executable, "-m", "aslx.serve", "--workdir", workdir, "--port", 0]
    process = subprocess.Popen(
        list(map(str, [*words, *options])),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    return process, process.stdout, process.stderr


@contextlib.contextmanager
def serving(workdir: pathlib.Path, *options: object, before=()) -> Iterator[Server]:
    """The command, in a process of its own, from its first line to its end."""
    process, out, err = start(workdir, *options, before=before)
    line = out.readline()
    if " on http://" not in line:
        raise AssertionError(line + err.read())
    # Threads read all output: a server whose pipe is full would wait.
    said: list[str] = []
    readers = [
        threading.Thread(target=said.extend, args=[pipe], daemon=True) for pipe in (out, err)
    ]
    for reader in readers:
        reader.start()
    try:
        yield Server(line.split()[-1], process, line)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=20)
        for reader in readers:
            reader.join()
    assert status == 0, "".join(said)
    # A bug in a handler, whatever the client saw.
    assert "Exception in ASGI application" not in "".join(said), "".join(said)


@contextlib.contextmanager
def running(app: fastapi.FastAPI, **options: Any) -> Iterator[str]:
    """An application in a thread: its http://127.0.0.1:PORT."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def ran(work: Coroutine) -> Any:
    """The result of a coroutine, run in a thread: the browser's tests keep a loop in this one."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
