"""Arrays from files that strangers made."""

import io
import pathlib
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from aslx import errors
from aslx.storage import npy_files
from tests import damage

CLIPS = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def described(descr: str = "'<f4'", shape: str = "(3,)") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "<i8", "|u1", "|b1", "<U5", "|S3"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 4), (60,), ()])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_that_numpy_saved_are_read_as_numpy_reads_them(dtype, shape, order, tmp_path):
    array = np.resize(CLIPS, shape).astype(dtype, order=order)
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
    "a long header": (b"\x93NUMPY\2\0" + struct.pack("<I", 20_000), "its header has 20,000"),
    "fewer values": (described() + bytes(8), "12 bytes, and it holds 8"),
    "more values": (described() + bytes(16), "12 bytes, and it holds 16"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_impossible_array_is_refused_with_its_file_and_fault(name, tmp_path):
    raw, words = BAD[name]
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(errors.BadInput, match=words):
        npy_files.npy(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as f:
        f.writestr("X.npy", raw)
    with pytest.raises(errors.BadInput, match=words) as refused:
        npy_files.npz(tmp_path / "x.npz", ["X"])
    assert "x.npz" in str(refused.value) and "\n" not in str(refused.value)


def test_the_error_of_a_missing_array_lists_the_arrays_of_the_npz(tmp_path):
    np.savez(tmp_path / "x.npz", a=CLIPS, b=CLIPS)
    with pytest.raises(errors.BadInput, match="has no array X; it has a, b"):
        npy_files.npz(tmp_path / "x.npz", ["X"])
    with pytest.raises(errors.BadInput, match="is not there"):
        npy_files.npz(tmp_path / "none.npz", ["X"])


def test_an_archive_that_expands_too_far_is_refused(tmp_path):
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


def test_a_zip_that_claims_less_than_it_contains_is_damaged(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, X=np.zeros(10_000_000, np.float32))
    data = path.read_bytes()
    true = struct.pack("<I", 40_000_128)
    assert data.count(true) >= 1
    path.write_bytes(data.replace(true, struct.pack("<I", 140)))
    with pytest.raises(errors.BadInput, match="damaged"):
        npy_files.npz(path, ["X"])


@pytest.mark.parametrize("name", ["x.npy", "stored.npz", "packed.npz"])
def test_a_damaged_file_is_read_or_refused_in_one_line(name, tmp_path: pathlib.Path):
    path, rng = tmp_path / name, np.random.default_rng(0)
    if name == "x.npy":
        np.save(path, CLIPS)
    else:
        (np.savez if name == "stored.npz" else np.savez_compressed)(path, X=CLIPS, y=np.arange(3))
    raw = path.read_bytes()
    for _ in range(300):
        path.write_bytes(damage.damaged(raw, rng))
        try:
            if name == "x.npy":
                npy_files.npy(path)
            else:
                npy_files.npz(path, ["X", "y"], ["seq"])
        except errors.BadInput as error:
            assert "\n" not in str(error)
