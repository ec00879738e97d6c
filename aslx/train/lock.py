"""One trainer for each run directory: a second one is refused, with the name of the first.

On a disk the kernel holds the lock and releases it when the process ends, even by a kill. A bucket
has no locks: there the trainer writes an object anew every few seconds. An object that does not
change belongs to a dead trainer; the next trainer waits long enough to see that.
"""

import contextlib
import datetime
import logging
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator

from aslx import cli, errors
from aslx.storage import files, system

log = logging.getLogger("aslx")

NAME = "train.lock"
BEAT = 5.0  # Seconds between two signs of life in a bucket.
_LOST = 4  # Beats without a change after which the trainer is dead.
_WIDTH = 160  # Bytes, always: a client that cached the size of the object reads it whole.


@contextlib.contextmanager
def held(workdir: files.Path) -> Iterator[None]:
    """Holds the lock around a training; BadInput names the process that holds it already.

    A `workdir` that was made for the lock and is empty in the end is removed with it.
    """
    lock = _in_bucket if files.in_bucket(workdir) else _on_disk
    with lock(workdir):
        yield


@contextlib.contextmanager
def _on_disk(workdir: files.Path) -> Iterator[None]:
    made = not files.exists(workdir)
    if not made and not files.is_folder(workdir):
        raise errors.BadInput(f"{workdir} is a file: take another --workdir")
    path = workdir / NAME
    with files.given(workdir):
        files.make(workdir)
        opened = _locked(path)
    try:
        yield
    finally:
        if sys.platform != "win32":  # Windows removes no open file, and a closed one may be locked.
            path.unlink(missing_ok=True)
        os.close(opened)
        if made and files.exists(workdir) and not any(workdir.iterdir()):
            workdir.rmdir()


def _locked(path: files.Path) -> int:
    """The file, open and locked, with the name of this process in it."""
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(opened, path)
            if _is_there(opened, path):
                os.truncate(opened, 0)
                os.write(opened, _name().encode())
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)  # Its trainer ended and removed it, meanwhile.


def _is_there(opened: int, path: files.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(opened: int, path: files.Path) -> None:
    try:
        free = system.lock(opened)
    except OSError as error:
        if error.errno not in system.NO_LOCKS:
            raise
        log.warning("%s: this disk knows no locks, start no second training there", path.parent)
    else:
        if not free:
            raise _refused(path, os.read(opened, _WIDTH).decode(errors="replace"))


@contextlib.contextmanager
def _in_bucket(workdir: files.Path) -> Iterator[None]:
    path, mine = workdir / NAME, f"{_name()} {uuid.uuid4().hex[:8]}"
    before, waited = _read(path), 0.0
    if before:
        log.warning("%s is there: waiting %.0f s for a sign of life", path, BEAT * _LOST)
    while before and waited < BEAT * _LOST:
        time.sleep(BEAT / 2)
        waited += BEAT / 2
        now = _read(path)
        if now not in ("", before):
            raise _refused(path, now)
        before = now
    _write(path, mine, 0)
    time.sleep(BEAT / 2)  # Of two that begin at a time the last to write is the one.
    if not _read(path).startswith(mine):
        raise _refused(path, _read(path))
    end = threading.Event()
    beats = threading.Thread(target=_beat, args=(path, mine, end), daemon=True)
    beats.start()
    try:
        yield
    finally:
        end.set()
        beats.join()
        path.unlink(missing_ok=True)


def _beat(path: files.Path, mine: str, end: threading.Event) -> None:
    """Signs of life until `end`. A trainer that was held up, and whose place another took, ends at
    once: it must not write beside that one."""
    count = 0
    while not end.wait(BEAT):
        count += 1
        try:
            there = _read(path)
            if there and not there.startswith(mine):
                sys.stderr.write(f"error: {_refused(path, there)}\n")
                sys.stderr.flush()
                os._exit(cli.BAD_INPUT)
            _write(path, mine, count)
        except OSError as error:
            log.warning("%s could not be written, trying again: %s", path, error)


def _read(path: files.Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write(path: files.Path, mine: str, count: int) -> None:
    path.write_text(f"{mine} {count}".ljust(_WIDTH)[:_WIDTH])


def _name() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return f"process {os.getpid()} on {platform.node()[:60]} since {now:%Y-%m-%d %H:%M:%S} UTC"


def _refused(path: files.Path, who: str) -> errors.BadInput:
    name = " ".join(who.split()[:8]) or "another process"
    return errors.BadInput(
        f"{path.parent} is trained in already, by {name}: wait for its end, or take another "
        "--workdir"
    )
