"""Failing system calls, injected by strace(1) into commands of aslx.

A first run of a command is traced: which system calls reach the paths below a folder. Each of them
is a place where an error can be injected into a later run of the same command.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from tests import processes

CALLS = (
    *("openat", "read", "pread64", "readv", "write", "pwrite64", "writev", "getdents64"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "symlink"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "ftruncate", "fallocate"),
    *("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2"),
    *("chmod", "fchmod", "fchmodat", "flock", "copy_file_range", "sendfile"),
)
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
# Names with a random part differ in every run.
_RANDOM = re.compile(r"[0-9a-f]{32}|/d/[0-9a-f]{20,}|\.[\w-]+\.[a-z0-9_]{8}(/|$)|\.[0-9]{9,}")


@dataclasses.dataclass(frozen=True)
class Place:
    """The `nth` call of `call` by one thread, counting the calls on `path` if it is known."""

    call: str
    path: str | None
    """Relative to the folder; None if the name differs in every run."""
    nth: int
    shown: str
    """The path in the traced run."""


def places(command: Sequence[str], folder: pathlib.Path, env: Mapping[str, str]) -> list[Place]:
    """Runs a command, which must succeed; returns every call that touched a path in `folder`."""
    before = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    log = folder.parent / f"{folder.name}.strace"
    _strace(command, env, "-y", "-e", f"trace={','.join(CALLS)}", "-o", log).succeeded()
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
    command: Sequence[str], folder: pathlib.Path, env: Mapping[str, str], place: Place, error: str
) -> tuple[processes.Done, bool]:
    """Runs a command in which one call fails; also whether it was a call on a path in `folder`: of
    threads, another may come first in this run."""
    on = ["-P", folder / place.path] if place.path else []
    what = f"inject={place.call}:error={error}:when={place.nth}"
    log = folder.parent / f"{folder.name}.strace"
    done = _strace(command, env, "-y", *on, "-e", f"trace={place.call}", "-e", what, "-o", log)
    failed = [words for _, _, words in _calls(log) if "(INJECTED)" in words]
    return done, not failed or any(f"{folder}/" in words for words in failed)


def _strace(command: Sequence[str], env: Mapping[str, str], *options: object) -> processes.Done:
    words = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", 4096, *options, *command]
    return processes.run(words, env=env, timeout=600)


def _calls(log: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    """(thread, call, the rest) of each line; of an interrupted call, the line of its start."""
    with log.open(errors="replace") as lines:
        for line in lines:
            if found := _LINE.match(line):
                yield found[1], found[2], found[3]
