"""A disk whose power can be cut: ext4 in a file, and what a copy of that file holds."""

import contextlib
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests import processes, trees

# Writes that are not synced stay in memory for long, and renaming over a file does not sync it.
_OPTIONS = "loop,commit=300,noauto_da_alloc"


@contextlib.contextmanager
def disk(folder: pathlib.Path, megabytes: int) -> Iterator[pathlib.Path]:
    """The folder at which a new, empty disk is mounted; skips where mounting is not permitted."""
    image, place = folder / "disk.img", folder / "disk"
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    tool = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        pytest.skip("needs mkfs.ext4")
    subprocess.run([tool, "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", image], check=True)
    with _mounted(image, place):
        subprocess.run(["sync", "-f", place], check=True)
        yield place


def cut(place: pathlib.Path) -> dict[str, bytes]:
    """What `held` would return for the disk at `place` if the power failed now."""
    copy = place.with_name("copy.img")
    subprocess.run(["cp", "--sparse=always", place.with_name("disk.img"), copy], check=True)
    with _mounted(copy, place.with_name("copy")) as there:  # Mounting replays the journal.
        found = held(there)
    copy.unlink()
    return found


def held(place: pathlib.Path) -> dict[str, bytes]:
    """The files of a folder, without those under temporary names."""
    return {name: x for name, x in trees.contents(place).items() if "/." not in f"/{name}"}


@contextlib.contextmanager
def _mounted(image: pathlib.Path, place: pathlib.Path) -> Iterator[pathlib.Path]:
    place.mkdir()
    try:
        mounted = processes.run(["mount", "-o", _OPTIONS, image, place])
        if mounted.status:
            pytest.skip(f"may not mount: {mounted.err.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        place.rmdir()
