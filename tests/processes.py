"""Programs and commands that tests start in processes of their own, and how they ended."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
NOBODY = 65534  # The user without rights.
Started = subprocess.Popen[str]


class Done(NamedTuple):
    """How a command ended: its exit status, and what it printed."""

    status: int
    out: str
    err: str

    def lines(self) -> list[dict]:
        """The JSON objects that a successful command printed, one a line."""
        return [json.loads(line) for line in self.succeeded().splitlines()]

    def last(self) -> dict:
        """The JSON object that a successful command printed last."""
        return json.loads(self.succeeded().splitlines()[-1])

    def succeeded(self) -> str:
        """What a successful command printed."""
        assert self.status == 0, self.err
        return self.out

    def refusal(self) -> str:
        """What a command printed about bad input: one line, and exit status 2."""
        assert self.status == 2, self.err
        assert self.err.startswith("error: ") and self.err.count("\n") == 1
        return self.err


def command(module: str, *arguments: object) -> list[str]:
    """The words that run a command of aslx."""
    return python("-m", f"aslx.{module}", *arguments)


def python(*arguments: object) -> list[str]:
    """The words that run this Python."""
    return [sys.executable, *map(str, arguments)]


def run(
    words: Iterable[object],
    folder: pathlib.Path = ROOT,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Done:
    """Runs a program in a folder, to its end."""
    done = subprocess.run(
        list(map(str, words)), cwd=folder, input=stdin, env=env, timeout=timeout,
        capture_output=True, text=True,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def ran(module: str, *arguments: object, **options: Any) -> Done:
    """Runs a command of aslx."""
    return run(command(module, *arguments), **options)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """This process as a user who may not read or write what others keep from them."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def start(words: Iterable[object], folder: pathlib.Path = ROOT, **options: Any) -> Started:
    """Starts a program whose output can be read."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(list(map(str, words)), cwd=folder, **pipes | options)


def output(process: Started) -> IO[str]:
    """The standard output of a started program."""
    assert process.stdout is not None
    return process.stdout


def environment(*unset: str, **values: str) -> dict[str, str]:
    """This process's environment without some variables, and with others."""
    return {name: value for name, value in os.environ.items() if name not in unset} | values


def as_users() -> dict[str, str]:
    """The environment without what tests set to compile faster."""
    return environment("XLA_FLAGS")


def free_port() -> int:
    """A port of this machine on which no program listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
