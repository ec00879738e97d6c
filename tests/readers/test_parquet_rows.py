"""Numbers from parquet files; the claims of a stranger's file about itself are not trusted."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslx import errors
from aslx.readers import parquet_bounds, parquet_rows

BOUNDS = parquet_bounds.Bounds(rows=20_000, bytes=1 << 20)


class Body(io.BytesIO):
    def __str__(self):
        return "the body"


def parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(raw, bounds=None, columns=("x",)):
    batches = parquet_rows.batches(Body(raw), lambda names: columns, bounds)
    return np.concatenate([batch.floats(columns) for batch in batches])


def varint(number, width):
    """Thrift's zigzag varint, seven bits a byte, padded to `width` bytes."""
    bits = [(number << 1) >> (7 * i) & 0x7F for i in range(width)]
    return bytes([*(b | 0x80 for b in bits[:-1]), bits[-1]])


def with_rows(raw, old, new, *, file=True, group=True, chunks=True):
    """The parquet with another number of rows in its footer: that of the file, of the row group or
    of the columns."""
    size = int.from_bytes(raw[-8:-4], "little")
    head, foot, tail = raw[: -8 - size], raw[-8 - size : -8], raw[-8:]
    a, b = varint(old, 4), varint(new, 4)
    first, *middle, last = [i for i in range(size) if foot.startswith(a, i)]
    for i in [first] * file + middle * chunks + [last] * group:
        foot = foot[:i] + b + foot[i + 4 :]
    return head + foot + tail


def test_text_instead_of_numbers_is_refused_by_name_before_a_row_is_read():
    """Such a column is small in the file, but each row would take the whole text."""
    text = pa.DictionaryArray.from_arrays(np.zeros(4000, np.int32), pa.array(["1" * 10**6]))
    for column in (text, pa.array([b"1"]), pa.array([[1.0]]), pa.array([{"x": 1.0}])):
        raw = bytearray(parquet(pa.table({"x": column}), compression="zstd"))
        raw[4:40] = bytes(36)  # Reading a page would fail.
        with pytest.raises(errors.BadInput, match=r"the body: the column 'x' holds .*, and not"):
            read(bytes(raw), BOUNDS)


def test_numbers_of_every_type_are_numbers():
    kinds = (pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64(), pa.null())
    for kind in kinds:
        values = pa.nulls(3) if kind == pa.null() else pa.array([1, None, 3]).cast(kind)
        wanted = [np.nan] * 3 if kind == pa.null() else [1, np.nan, 3]
        assert np.array_equal(read(parquet(pa.table({"x": values})), BOUNDS)[:, 0], wanted, True)


def test_numbers_in_a_users_own_file_may_be_text():
    text = pa.array(["1", "nan", "-2.5e-1", None])
    kinds = (pa.string(), pa.large_string(), pa.string_view())
    for column in (*map(text.cast, kinds), text.dictionary_encode()):
        found = read(parquet(pa.table({"x": column})))
        assert np.array_equal(found[:, 0], [1, np.nan, -0.25, np.nan], equal_nan=True)
    word = parquet(pa.table({"x": ["1"] * 5000 + ["one" * 100]}))
    with pytest.raises(errors.BadInput, match=r"body: x is 'oneone.*\.\.\. in row 5000, and no"):
        read(word)


def test_more_rows_than_the_footer_says_are_not_read():
    n = 1 << 20
    raw = parquet(pa.table({"x": np.zeros(n, np.float32)}), row_group_size=n)
    with pytest.raises(parquet_bounds.TooMuch, match="1048576 rows: at most 20000"):
        read(raw, BOUNDS)
    for bounds in (BOUNDS, None):
        lying = with_rows(raw, n, 1, group=False, chunks=False)
        with pytest.raises(errors.BadInput, match="more than 1 rows"):
            read(lying, bounds)
    lost = with_rows(raw, n, 1, file=False, group=False)
    with pytest.raises(errors.BadInput, match=r"\d+ of 1048576 rows"):
        read(lost)


def test_pages_that_expand_too_far_are_refused_before_they_are_read():
    zeros = pa.table({"x": np.zeros(150_000), "y": np.zeros(10)[:1].repeat(150_000)})
    raw = parquet(zeros, compression="zstd", use_dictionary=False)
    assert len(raw) < 10_000
    bounds = parquet_bounds.Bounds(rows=150_000, bytes=1 << 20)
    with pytest.raises(parquet_bounds.TooMuch, match="decodes to more than 1048576 bytes"):
        read(raw, bounds)
    assert len(read(raw, parquet_bounds.Bounds(rows=150_000, bytes=2 << 20))) == 150_000


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_size_of_a_column_is_that_of_its_pages_headers(version):
    values = np.random.default_rng(0).integers(0, 500, 30_000)
    raw = parquet(pa.table({"x": values}), data_page_version=version, data_page_size=4096)
    chunk = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(0).column(0)
    begin = chunk.dictionary_page_offset
    data = raw[begin : begin + chunk.total_compressed_size]
    assert 0 < chunk.total_uncompressed_size - parquet_bounds.decoded(data) < 3000  # The headers.
    with pytest.raises(ValueError, match="a page cannot be read"):
        parquet_bounds.decoded(data + b"\x15")
    # A list of 2^62 booleans, and deeply nested structs.
    for endless in (b"\x59\xf1" + b"\xff" * 8 + b"\x3f", b"\x1c" * 10_000):
        with pytest.raises(ValueError, match=r"a list of \d+ elem|too deep"):
            parquet_bounds.decoded(endless)


def footer(raw):
    return raw[-8 - int.from_bytes(raw[-8:-4], "little") : -8]


def test_chunks_are_located_as_by_pyarrow_and_bounded_in_number():
    values = {name: np.arange(100) % 7 for name in "abc"}
    raw = parquet(pa.table(values), row_group_size=40, use_dictionary=["a", "c"])
    metadata = pq.ParquetFile(io.BytesIO(raw)).metadata
    groups = parquet_bounds.footer_chunks(footer(raw), 12)
    for i, group in enumerate(groups):
        for j, (begin, size) in enumerate(group):
            column = metadata.row_group(i).column(j)
            assert begin == (column.dictionary_page_offset or column.data_page_offset)
            assert size == column.total_compressed_size
    assert [len(group) for group in groups] == [3, 3, 3]
    with pytest.raises(ValueError, match="too many columns"):
        parquet_bounds.footer_chunks(footer(raw), 8)
    with pytest.raises(ValueError, match="the footer cannot be read"):
        parquet_bounds.footer_chunks(footer(raw)[:-20], 12)


def test_the_size_of_a_strangers_footer_is_bounded():
    kind = pa.schema([("x", pa.float32())], metadata={"why": "a" * (3 << 20)})
    raw = parquet(pa.Table.from_pylist([{"x": 1.0}], schema=kind))
    assert len(read(raw)) == 1
    with pytest.raises(parquet_bounds.TooMuch, match="the body has a footer of"):
        read(raw, BOUNDS)


def test_a_repeated_column_is_named():
    raw = parquet(pa.Table.from_arrays([pa.array([1.0])] * 2, ["x", "x"]))
    with pytest.raises(errors.BadInput, match="has the column 'x' more than once"):
        read(raw)


def test_text_that_is_no_utf_8_is_shown_with_replacement_characters():
    raw = parquet(pa.table({"x": ["wrong"]}), use_dictionary=False, compression="none")
    with pytest.raises(errors.BadInput, match="the body: x is '\ufffdrong' in row 0"):
        read(raw.replace(b"wrong", b"\xe1rong"))
