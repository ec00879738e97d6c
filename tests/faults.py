"""Errors of the system, injected by strace(1) into commands of the package.

A first run of a command is traced: which system calls reach the paths below a folder. Each of them
is a place where an error can be injected into a later run of the same command.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
from collections.abc import Iterator, Sequence

CALLS = (
    *("openat", "read", "pread64", "readv", "write", "pwrite64", "writev", "getdents64"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "symlink"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "ftruncate", "fallocate"),
    *("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2"),
    *("chmod", "fchmod", "fchmodat", "flock", "copy_file_range", "sendfile"),
)
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
# What has a random part in its name is another path in every run.
_RANDOM = re.compile(r"[0-9a-f]{32}|/d/[0-9a-f]{20,}|\.[\w-]+\.[a-z0-9_]{8}(/|$)|\.[0-9]{9,}")


@dataclasses.dataclass(frozen=True)
class Place:
    """The `nth` call of `call` by one thread, of those on `path` where there is one."""

    call: str
    path: str | None
    """Relative to the folder; None where the name is another one in each run."""
    nth: int
    shown: str
    """The path in the traced run."""


def places(command: Sequence[str], folder: pathlib.Path, env: dict[str, str]) -> list[Place]:
    """Runs the command, which must succeed; every place where it touched what is in `folder`."""
    before = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    log = folder.parent / f"{folder.name}.strace"
    done = _strace(command, env, "-y", "-e", f"trace={','.join(CALLS)}", "-o", str(log))
    assert done.returncode == 0, done.stderr
    found: list[Place] = []
    by_thread: dict[tuple, int] = {}
    for thread, call, words in _calls(log):
        by_thread[thread, call] = by_thread.get((thread, call), 0) + 1
        path = re.search(rf'["<]{re.escape(str(folder))}/([^">]*)[">]', words)
        if path is None or "= -1" in words:
            continue
        name = path[1].removesuffix(" (deleted)")
        if name not in before and _RANDOM.search(f"/{name}"):
            found.append(Place(call, None, by_thread[thread, call], name))
            continue
        key = (thread, call, name)
        by_thread[key] = by_thread.get(key, 0) + 1
        found.append(Place(call, name, by_thread[key], name))
    log.unlink()
    return found


def injected(
    command: Sequence[str], folder: pathlib.Path, env: dict[str, str], place: Place, error: str
) -> subprocess.CompletedProcess:
    """Runs the command, and lets that call fail."""
    on = ["-P", str(folder / place.path)] if place.path else []
    what = f"inject={place.call}:error={error}:when={place.nth}"
    log = folder.parent / f"{folder.name}.strace"
    return _strace(command, env, *on, "-e", f"trace={place.call}", "-e", what, "-o", str(log))


def _strace(command: Sequence[str], env: dict[str, str], *options: str):
    return subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "4096", *options, *command],
        capture_output=True,
        text=True,
        env=os.environ | env,
        timeout=600,
    )


def _calls(log: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    """(thread, call, what follows) of each line; of a call that another interrupted, its start."""
    with log.open(errors="replace") as lines:
        for line in lines:
            if found := _LINE.match(line):
                yield found[1], found[2], found[3]
