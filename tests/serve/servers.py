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
from typing import Any

import fastapi
import uvicorn

ROOT = pathlib.Path(__file__).parent.parent.parent


@dataclasses.dataclass
class Server:
    http: str  # "http://127.0.0.1:PORT"
    process: Any
    line: str = ""  # The first that it says.

    @property
    def socket(self) -> str:
        return self.http.replace("http", "ws", 1) + "/api/stream"


def start(workdir: pathlib.Path, *options: object, before=()) -> subprocess.Popen:
    """`before`: a command that runs the one that follows it."""
    words = [*before, sys.executable, "-m", "aslx.serve", "--workdir", workdir, "--port", 0]
    words += options
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(list(map(str, words)), cwd=ROOT, env=environment, **pipes)


@contextlib.contextmanager
def serving(workdir: pathlib.Path, *options: object, before=()) -> Iterator[Server]:
    """The command, in a process of its own, from its first line to its end."""
    process = start(workdir, *options, before=before)
    line = process.stdout.readline()
    if " on http://" not in line:
        raise AssertionError(line + process.stderr.read())
    # Read, or a server that has much to say would wait.
    said: list[str] = []
    readers = [
        threading.Thread(target=lambda pipe=pipe: said.extend(pipe), daemon=True)
        for pipe in (process.stdout, process.stderr)
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
    # What is a bug in a handler, whatever the client saw of it.
    assert "Exception in ASGI application" not in "".join(said), "".join(said)


@contextlib.contextmanager
def running(app: fastapi.FastAPI, **options: Any) -> Iterator[str]:
    """An application in a thread: its http://127.0.0.1:PORT."""
    config = uvicorn.Config(app, port=0, log_level="warning", **options)
    server = uvicorn.Server(config)
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
    """What a coroutine answers; in a thread, as a browser's tests keep a loop in this one."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
