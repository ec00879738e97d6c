"""Arrays out of files that strangers made."""

import io
import pathlib
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from aslx import errors
from aslx.storage import npy_files

CLIPS = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def header(text: str, version: int = 1) -> bytes:
    kind = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(kind, len(text)) + text.encode()


def described(descr: str = "'<f4'", shape: str = "(3,)", order: str = "False") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "<i8", "|u1", "|b1", "<U5", "|S3"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 4), (60,), ()])
def test_what_numpy_saves_is_read_as_numpy_reads_it(dtype, shape, tmp_path):
    for order in "CF":
        array = np.asarray(np.resize(CLIPS, shape).astype(dtype), order=order)
        np.save(tmp_path / "x.npy", array)
        np.savez_compressed(tmp_path / "x.npz", X=array)
        np.savez(tmp_path / "y.npz", X=array)
        for found in (
            npy_files.npy(tmp_path / "x.npy"),
            npy_files.npz(tmp_path / "x.npz", ["X"])["X"],
            npy_files.npz(tmp_path / "y.npz", ["X"], ["y"])["X"],
        ):
            np.testing.assert_array_equal(found, array)
            assert found.dtype == array.dtype


BAD = {
    "nothing": (b"", "no .npy"),
    "text": (b"hello, world", "no .npy"),
    "a later version": (b"\x93NUMPY\x09\0\0\0", "no .npy"),
    "a header cut": (described()[:9], "damaged or no"),
    "a code": (described("__import__('os').system('true')"), "no array of numbers"),
    "a record": (described("[('a', '<f4')]"), "no array of numbers"),
    "objects": (described("'|O'"), "objects of Python"),
    "times": (described("'<M8'"), "neither numbers nor text"),
    "no type": (described("'<f3'"), "no array of numbers"),
    "no width": (described("'<U0'"), "neither numbers nor text"),
    "a negative side": (described(shape="(-3,)"), "no array of numbers"),
    "too many": (described(shape="(1000000000, 1000000)"), "shape"),
    "empty and vast": (described(shape=f"(0, {2**62})"), "shape"),
    "a long header": (header(" " * 20_000, 2), "its header has 20,000"),
    "fewer values": (described() + bytes(8), "12 bytes, and it holds 8"),
    "more values": (described() + bytes(16), "12 bytes, and it holds 16"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_array_that_cannot_be_is_refused_by_name(name, tmp_path):
    raw, words = BAD[name]
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(errors.BadInput, match=words):
        npy_files.npy(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as f:
        f.writestr("X.npy", raw)
    with pytest.raises(errors.BadInput, match=words) as refused:
        npy_files.npz(tmp_path / "x.npz", ["X"])
    assert "x.npz" in str(refused.value) and "\n" not in str(refused.value)


def test_an_npz_that_lacks_an_array_says_what_it_has(tmp_path):
    np.savez(tmp_path / "x.npz", a=CLIPS, b=CLIPS)
    with pytest.raises(errors.BadInput, match="has no array X; it has a, b"):
        npy_files.npz(tmp_path / "x.npz", ["X"])
    with pytest.raises(errors.BadInput, match="is not there"):
        npy_files.npz(tmp_path / "none.npz", ["X"])


def test_a_few_bytes_that_stand_for_many_are_refused(tmp_path):
    raw = io.BytesIO()
    np.save(raw, np.zeros(300 << 20, np.uint8))
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as f:
        f.writestr("X.npy", raw.getvalue())
    raw.close()
    tracemalloc.start()
    with pytest.raises(errors.BadInput, match="hardly holds clips"):
        npy_files.npz(path, ["X"])
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_zip_that_says_it_holds_less_than_it_does_is_damaged(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, X=np.zeros(10_000_000, np.float32))
    data = path.read_bytes()
    true = struct.pack("<I", 40_000_128)
    assert data.count(true) >= 1
    path.write_bytes(data.replace(true, struct.pack("<I", 140)))
    with pytest.raises(errors.BadInput, match="damaged"):
        npy_files.npz(path, ["X"])


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.2:
        return raw[: rng.integers(0, len(raw))]
    data = bytearray(raw)
    for _ in range(rng.integers(1, 6)):
        at = rng.integers(0, min(len(raw), 200)) if rng.random() < 0.5 else -rng.integers(1, 200)
        data[at] = rng.choice([0, 255, rng.integers(0, 256)])
    return bytes(data)


@pytest.mark.parametrize("name", ["x.npy", "stored.npz", "packed.npz"])
def test_a_damaged_file_is_read_or_refused_in_one_line(name, tmp_path: pathlib.Path):
    path, rng = tmp_path / name, np.random.default_rng(0)
    if name == "x.npy":
        np.save(path, CLIPS)
    else:
        (np.savez if name == "stored.npz" else np.savez_compressed)(path, X=CLIPS, y=np.arange(3))
    raw = path.read_bytes()
    for _ in range(300):
        path.write_bytes(damaged(raw, rng))
        try:
            if name == "x.npy":
                npy_files.npy(path)
            else:
                npy_files.npz(path, ["X", "y"], ["seq"])
        except errors.BadInput as error:
            assert "\n" not in str(error)
