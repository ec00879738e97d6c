"""Records: checksums cover every byte, and the index is only a cache."""

import io
import json
import os
import pathlib
import shutil
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx import errors
from aslx.data import framing, records
from aslx.data import index as index_lib
from aslx.schema import landmarks
from tests import tiny


@pytest.fixture
def copy(dataset, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(dataset, tmp_path / "copy"))


@pytest.fixture
def shard(copy) -> pathlib.Path:
    """The only shard of the copy's validation split."""
    (path,) = copy.glob("*validation.tfrecord*")
    return path


def parsed(data: records.Records, i: int) -> bytes:
    return data[i]["landmarks"].bytes_list.value[0]


def read(data: records.Records, i: int) -> bytes:
    clip = np.full(data.index.end[i] - data.index.begin[i], 0xA5, np.uint8)
    data.read(i, clip)
    return clip.tobytes()


def outcome(directory: pathlib.Path, clip=parsed) -> list[bytes] | str:
    """Every record's landmarks, or the message of the error."""
    try:
        data = records.Records(directory, "validation")
        return [clip(data, i) for i in range(len(data))]
    except ValueError as error:
        return str(error)


def test_the_masked_crc_is_that_of_the_format():
    # RFC 3720, B.4: the CRC-32C of 32 zero bytes is 8a9136aa; the mask is record_writer.h's.
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert framing.masked_crc(bytes(32)) == masked


@pytest.mark.parametrize(("clip", "indexed"), [(parsed, True), (parsed, False), (read, True)])
def test_no_flipped_bit_is_silent(tmp_path, clip, indexed):
    counts = {"validation": [3, 3]}
    directory = tiny.dataset(tmp_path, counts, landmarks.HANDS_ARMS, frames=(1, 5))
    whole, rng = outcome(directory), np.random.default_rng(0)
    for path in sorted(directory.glob("*.tfrecord*")):
        clean = path.read_bytes()
        first = struct.unpack_from("<Q", clean)[0]
        # Half of the flips hit the first record's header and footer, where they do most harm.
        framing = [*range(12), *range(12 + first, 16 + first)]
        for place in [*rng.choice(framing, 250), *rng.integers(len(clean), size=250)]:
            damaged = bytearray(clean)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            if not indexed:
                (directory / "index-validation.npz").unlink(missing_ok=True)
            found = outcome(directory, clip)
            assert found == whole or (isinstance(found, str) and str(path) in found)
        path.write_bytes(clean)


@pytest.mark.parametrize(
    ("name", "place"),
    [("header", 5), ("payload", 13), ("payload", "begin"), ("payload", "end"), ("payload", -1)],
)
def test_a_bit_flipped_before_in_or_behind_a_clip_is_found_and_named(copy, shard, name, place):
    data = records.Records(copy, "validation")
    index, before = data.index, read(data, 4)
    inside = {"begin": index.begin[3], "end": index.end[3] - 1, -1: index.length[3] - 1}
    damaged = bytearray(shard.read_bytes())
    damaged[int(index.offset[3] + inside.get(place, place))] ^= 16
    shard.write_bytes(damaged)
    where = rf"{shard} at byte {index.offset[3]}: damaged {name}"
    for clip in (read, parsed):
        with pytest.raises(framing.CorruptRecord, match=where):
            clip(data, 3)
    assert read(data, 4) == before


def test_a_clip_that_lies_elsewhere_than_the_index_says_is_an_error(copy, shard):
    # The order of fields is free, and fields that the format does not know are ignored.
    clip = tiny.example(np.ones((5, 130, 3)), "a", 1, 1)
    other = b"\x12\x05other"
    shard.write_bytes(framing.framed(clip + other))
    data = records.Records(copy, "validation")
    ones = read(data, 0)
    assert ones == parsed(data, 0) and len(ones) == 5 * 130 * 6
    shard.write_bytes(framing.framed(other + clip))
    data = records.Records(copy, "validation")
    with pytest.raises(framing.CorruptRecord, match=rf"{shard} at byte 0: not the record of the "):
        read(data, 0)
    (copy / "index-validation.npz").unlink()
    assert read(records.Records(copy, "validation"), 0) == ones


def test_a_clip_is_read_into_an_array_of_its_size_only(dataset):
    data = records.Records(dataset, "train")
    size = int(data.index.end[7] - data.index.begin[7])
    with pytest.raises(ValueError, match=rf"{size} bytes do not fit into {size - 2}"):
        data.read(7, np.empty(size // 2 - 1, "<f2"))


def test_the_index_is_rebuilt_where_it_is_missing_damaged_or_lacks_a_column(copy):
    whole, index = outcome(copy, read), copy / "index-validation.npz"
    with np.load(index) as f:
        incomplete = {name: f[name] for name in f.files if name != "begin"}
    for damage in (b"", index.read_bytes()[:100], b"PK\x03\x04 nonsense", None, incomplete):
        if damage is None:
            index.unlink()
        elif isinstance(damage, dict):
            np.savez(index, **damage)
        else:
            index.write_bytes(damage)
        assert outcome(copy, read) == whole
        with np.load(index) as f:
            assert "begin" in f.files


def forge(copy: pathlib.Path, **columns: Any) -> None:
    """Replaces columns of the validation split's index."""
    path = copy / "index-validation.npz"
    with np.load(path) as f:
        np.savez(path, **{name: f[name] for name in f.files} | columns)


CHANGES = [
    ("frames", lambda x: np.full_like(x, 10**9)),
    ("frames", lambda x: x - 1),
    ("frames", lambda x: -x),
    ("characters", lambda x: x + 1),
    ("characters", lambda x: np.full_like(x, -1)),
    ("text", lambda x: np.roll(x, 1)),
    ("text", lambda x: np.full_like(x, b"")),
    ("text", lambda x: x.astype("U")),
    ("phrase", lambda x: x + 1),
    ("offset", lambda x: x + 10**9),
    ("offset", lambda x: x - 1),
    ("offset", lambda x: np.full_like(x, 2**63 - 1)),
    ("length", lambda x: x + 10**9),
    ("length", lambda x: np.full_like(x, 2**63 - 1)),
    ("length", lambda x: np.zeros_like(x)),
    ("begin", lambda x: x * 0),
    ("begin", lambda x: x - 2),
    ("end", lambda x: x * 0),
    ("end", lambda x: x + 10**9),
    ("shard", lambda x: x + 1),
    ("shard", lambda x: x - 1),
    ("shard", lambda x: x[:-1]),
    ("shard", lambda x: x[:, None]),
    ("label", lambda x: x - 1),
    ("crc", lambda x: x.astype("i8")),
    ("signer", lambda x: np.array([None] * len(x))),
    ("offset", lambda x: np.int64(3)),
]


def test_an_index_that_cannot_be_that_of_its_shards_is_rebuilt(copy):
    whole, path = records.Records(copy, "validation").index, copy / "index-validation.npz"
    clean = path.read_bytes()
    for name, change in CHANGES:
        forge(copy, **{name: change(getattr(whole, name))})
        wrong = path.read_bytes()
        found = records.Records(copy, "validation").index
        assert path.read_bytes() != wrong, (name, getattr(found, name))
        for column in index_lib.DTYPES:
            np.testing.assert_array_equal(getattr(found, column), getattr(whole, column))
        path.write_bytes(clean)


def test_a_clip_that_the_index_shifts_is_an_error(copy):
    whole = records.Records(copy, "validation").index
    forge(copy, begin=whole.begin - 2, end=whole.end - 2)
    message = outcome(copy, read)
    assert "not the record of the index; remove" in message and "index-validation.npz" in message


@pytest.mark.parametrize("packed", [False, True])
def test_an_index_whose_header_claims_more_values_than_it_holds_is_rebuilt(copy, packed):
    whole, path = outcome(copy, read), copy / "index-validation.npz"
    header = io.BytesIO()
    shape = {"descr": "<i8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path) as old:
        others = {n: old.read(n) for n in old.namelist() if n != "offset.npy"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as new:
        for name, data in others.items():
            new.writestr(name, data)
        with new.open("offset.npy", "w", force_zip64=True) as f:
            f.write(header.getvalue())
            for _ in range(300 if packed else 1):
                f.write(bytes(1 << 20))
    tracemalloc.start()
    assert outcome(copy, read) == whole
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_damaged_description_of_a_data_set_is_named(copy):
    for name in ("metadata.json", "dataset_info.json"):
        clean = (copy / name).read_text()
        for text in ("", "{", "[]", "3", '{"splits": 3}', '{"splits": [{}]}'):
            if name == "metadata.json" and text.startswith('{"'):
                continue
            (copy / name).write_text(text)
            with pytest.raises(errors.BadInput, match=rf"{name} is damaged"):
                records.Records(copy, "validation")
        (copy / name).write_text(clean)


@pytest.mark.parametrize("values", [{}, {"selection": 3}, {"selection": "nowhere"}])
def test_metadata_without_a_known_selection_is_named(copy, values):
    (copy / "metadata.json").write_text(json.dumps(values))
    with pytest.raises(errors.BadInput, match=r"metadata.json is damaged|no selection 'nowhere'"):
        records.Records(copy, "validation")


def test_a_record_of_another_format_is_named(copy, shard):
    others = {b"\xff" * 9: "no tf.train.Example", b"": "it holds no landmarks"}
    others[tiny.example(np.ones((5, 3, 3)), "a", 1, 1)] = "its landmarks have 90 bytes, and a frame"
    for payload, message in others.items():
        shard.write_bytes(framing.framed(payload))
        with pytest.raises(framing.CorruptRecord, match=rf"{shard} at byte 0: {message}"):
            records.Records(copy, "validation")
    length = struct.pack("<Q", 2**62)  # More bytes than any machine has, with a correct CRC.
    shard.write_bytes(length + struct.pack("<I", framing.masked_crc(length)) + bytes(50))
    with pytest.raises(framing.CorruptRecord, match="ends inside the record"):
        records.Records(copy, "validation")


def test_the_index_of_other_shards_is_not_used(copy, shard):
    os.truncate(shard, int(records.Records(copy, "validation").index.offset[10]))
    assert len(records.Records(copy, "validation")) == 10


@pytest.mark.parametrize("left", [5, 12, 200])
def test_a_truncated_shard_is_an_error(copy, shard, left):
    """Inside the last record's header, after it, and inside its payload."""
    os.truncate(shard, int(records.Records(copy, "validation").index.offset[-1]) + left)
    assert "ends inside the record" in str(outcome(copy))


@pytest.mark.parametrize("cut", ["before", "between"])
def test_a_shard_that_is_truncated_between_reads_is_an_error_and_no_crash(copy, shard, cut):
    data = records.Records(copy, "validation")
    everything, whole = np.arange(len(data)), read(data, 9)
    for size, number in ((int(data.index.offset[10]), 12), (0, 9)):
        data.expect(everything)
        assert read(data, 9) == whole
        if cut == "between":
            data.expect(everything)
        os.truncate(shard, size)
        if cut == "before":
            data.expect(everything)
        with pytest.raises(framing.CorruptRecord, match="ends inside the record"):
            read(data, number)


def test_errors_of_a_missing_shard_split_or_data_set_name_what_there_is_or_the_fix(copy, tmp_path):
    next(copy.glob("*train*-00001-*")).unlink()
    for folder, split, words in (
        (copy, "test", "no split 'test'; it has train, validation: name one of these"),
        (copy, "train", "1 of the 2 shards"),
        (tmp_path, "train", r"run aslx\.prepare"),
    ):
        with pytest.raises(errors.BadInput, match=words):
            records.Records(folder, split)


def test_the_index_knows_frames_signers_and_phrases(dataset):
    data = records.Records(dataset, "train")
    points = len(tiny.SELECTION.points)
    for i in (0, 49, 50, 79):
        raw = data[i]["landmarks"].bytes_list.value[0]
        assert data.index.frames[i] == len(raw) // (points * 6)
        assert data.index.signer[i] == data[i]["signer"].int64_list.value[0]
        assert data.index.text[i] == data[i]["phrase"].bytes_list.value[0]
        assert data.index.label[i] == -1


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_every_payload_is_verified_and_any_flipped_bit_is_found(payload, data):
    framed = framing.framed(payload)
    assert framing.verified(framed, "here") == payload
    bit = data.draw(st.integers(0, len(framed) * 8 - 1))
    damaged = bytearray(framed)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(framing.CorruptRecord):
        framing.verified(bytes(damaged), "here")
