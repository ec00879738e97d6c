"""A disk whose power can be cut: ext4 in a file, and what a copy of that file holds."""

import contextlib
import hashlib
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

# What is not synced stays in memory for long, and renaming over a file does not sync it.
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


def cut(place: pathlib.Path) -> dict[str, str]:
    """What the disk at `place` would hold if the power failed now: `held` of it."""
    copy = place.with_name("copy.img")
    subprocess.run(["cp", "--sparse=always", place.with_name("disk.img"), copy], check=True)
    with _mounted(copy, place.with_name("copy")) as there:  # Mounting replays the journal.
        found = held(there)
    copy.unlink()
    return found


def held(place: pathlib.Path) -> dict[str, str]:
    """Each file under a final name, and a hash of its bytes."""
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(place).parts)
    }


@contextlib.contextmanager
def _mounted(image: pathlib.Path, place: pathlib.Path) -> Iterator[pathlib.Path]:
    place.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-o", _OPTIONS, image, place], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"may not mount: {done.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        place.rmdir()
