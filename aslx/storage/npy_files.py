"""Arrays from .npy and .npz files of strangers.

Only numbers and text are read, and no more memory is used than the file's size explains.
"""

import contextlib
import errno
import math
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np

from aslx import errors
from aslx.storage import files

_MOST_HEADER = 10_000  # Bytes.
_MUCH = 256 << 20  # Bytes of an array, above which compression is limited.
_TIGHT = 100  # The highest ratio of compression of a larger one; zeros shrink by 1,000.
_MOST_VALUES = 2**40
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}  # Type of the header's length, by version.
_DTYPE = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[a-zA-Z]\d*)['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,L]*)\)""")
# What zipfile, zlib and struct raise on bytes that they do not expect.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError),
)


def npy(path: pathlib.Path) -> np.ndarray:
    """The array of an .npy; BadInput says what is wrong with it."""
    with _understood(path), path.open("rb") as f:
        return _array(f, path.stat().st_size, str(path))


def npz(path: files.Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict:
    """The arrays `names` of an .npz, and those of `optional` that it has, by name.

    BadInput says what is wrong with it.
    """
    found = {}
    with _understood(path), path.open("rb") as f, zipfile.ZipFile(f) as archive:
        there = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        for name in (*names, *optional):
            if name in there:
                found[name] = _member(archive, there[name], path)
    missing = [name for name in names if name not in found]
    if missing:
        others = ", ".join(sorted(there)[:5]) or "nothing"
        raise errors.BadInput(f"{path} has no array {missing[0]}; it has {others}")
    return found


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: files.Path) -> np.ndarray:
    where = f"{path}: {member.filename}"
    if member.flag_bits & 1:
        raise errors.BadInput(f"{where} is encrypted: save it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise errors.BadInput(f"{where} is not packed as numpy packs it: save it with numpy.savez")
    if member.file_size > max(_MUCH, _TIGHT * member.compress_size):
        raise errors.BadInput(
            f"{where} has {member.file_size:,} bytes in {member.compress_size:,}, and hardly holds "
            "clips: save it with numpy.savez, which does not compress"
        )
    with archive.open(member) as f:
        return _array(f, member.file_size, where)


def _array(f: IO[bytes], size: int, where: str) -> np.ndarray:
    """The array in a file of `size` bytes."""
    shape, fortran, dtype = _header(f, where)
    if dtype.hasobject:
        raise errors.BadInput(
            f"{where} holds objects of Python, which are not opened: save numbers, and names of "
            "classes as text (numpy.array(names, str)); clips of different lengths go into folders"
        )
    if dtype.kind not in "biufUS" or not dtype.itemsize:
        raise errors.BadInput(f"{where} holds {dtype}, and neither numbers nor text")
    count = math.prod(shape)
    wanted, there = count * dtype.itemsize, size - f.tell()
    if wanted != there:
        raise errors.BadInput(
            f"{where} is damaged: {shape} of {dtype} are {wanted:,} bytes, and it holds {there:,}"
        )
    array = np.empty(count, dtype)
    raw = array.view(np.uint8) if wanted else np.empty(0, np.uint8)
    while len(raw):
        got = f.readinto(raw)  # pyright: ignore[reportAttributeAccessIssue]
        if not got:
            raise errors.BadInput(f"{where} is damaged: it ends too early")
        raw = raw[got:]
    f.read(1)  # At the end, zipfile checks the CRC.
    return array.reshape(shape, order="F" if fortran else "C")


def _header(f: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and type: parsed as text, and nothing is evaluated."""
    start = f.read(len(_MAGIC) + 2)
    kind = _LENGTHS.get(start[len(_MAGIC)]) if len(start) == len(_MAGIC) + 2 else None
    if kind is None or not start.startswith(_MAGIC):
        raise errors.BadInput(f"{where} is damaged or no .npy")
    (length,) = struct.unpack(kind, f.read(struct.calcsize(kind)))
    if length > _MOST_HEADER:
        raise errors.BadInput(f"{where} is damaged: its header has {length:,} bytes")
    text = f.read(length).decode("latin-1")
    found = [pattern.search(text) for pattern in (_DTYPE, _ORDER, _SHAPE)]
    try:
        name, order, numbers = (match[1] for match in found if match)
        dtype = np.dtype(name)
        shape = tuple(int(n.strip().removesuffix("L")) for n in numbers.split(",") if n.strip())
    except (ValueError, TypeError, OverflowError):
        raise errors.BadInput(
            f"{where} is no array of numbers or text: {text.strip()[:80]!r}"
        ) from None
    if math.prod(max(n, 1) for n in shape) > _MOST_VALUES or len(shape) > 8:
        raise errors.BadInput(f"{where} is damaged: it has the shape {shape}")
    return shape, order == "True", dtype


@contextlib.contextmanager
def _understood(path: files.Path) -> Iterator[None]:
    try:
        with files.given(path):
            yield
    except errors.BadInput:
        raise
    except (OSError, *_DAMAGED) as error:
        # A damaged zip makes zipfile seek to impossible places, which is EINVAL.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        kind = path.suffix.lower()
        kind = kind if kind in (".npy", ".npz") else ".npy or .npz"
        raise errors.BadInput(f"{path} is damaged or no {kind}: {error}") from error
