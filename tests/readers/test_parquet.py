"""Clips from parquet files with any order of rows and columns, or an error that names the fault."""

import io

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from aslx import errors
from aslx.readers import mending, parquet, parquet_bounds, parquet_rows
from aslx.schema import landmarks
from tests.prepare import kaggle


def read(path, bounds=None):
    return [(found.id, found.points) for found in parquet.read(path, kaggle.SELECTION, bounds)]


@hypothesis.given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 40), st.integers(1, 40)
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_a_sequence_may_cross_batches_and_row_groups(frames, batch, group):
    lines = [kaggle.Line(5 * i, 0, "a", n, "") for i, n in enumerate(frames)]
    sink = pa.BufferOutputStream()
    pq.write_table(kaggle.table(lines), sink, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_rows, "_ROWS", batch)
        found = read(pa.BufferReader(sink.getvalue()))
    assert [sequence_id for sequence_id, _ in found] == [line.id for line in lines]
    for (_, clip), line in zip(found, lines, strict=True):
        assert kaggle.same(clip, kaggle.SELECTION.from_columns(kaggle.columns(line)).copy())


@pytest.mark.parametrize("index", ["sequence_id", None])
def test_the_sequence_id_may_be_the_pandas_index(tmp_path, index):
    lines = kaggle.some(3)
    frame = kaggle.table(lines).to_pandas().set_index("sequence_id").rename_axis(index)
    frame.to_parquet(tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [sequence_id for sequence_id, _ in found] == [line.id for line in lines]
    assert all(
        kaggle.same(clip.astype(np.float16), kaggle.half(line))
        for (_, clip), line in zip(found, lines, strict=True)
    )


def test_nulls_doubles_and_further_columns_are_read(tmp_path):
    (line,) = kaggle.some(1)
    table = kaggle.table([line])
    wide = pa.schema([f.with_type(pa.float64()) for f in table.schema])
    wide = wide.set(wide.get_field_index("sequence_id"), pa.field("sequence_id", pa.int32()))
    rows = table.cast(wide).to_pylist()
    nulls = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    other = pa.array(["x"] * line.frames)
    strange = pa.Table.from_pylist(nulls, schema=wide).append_column("x_tail_3", other)
    pq.write_table(strange, tmp_path / "a.parquet")
    as_floats = kaggle.SELECTION.from_columns(kaggle.columns(line))
    assert kaggle.same(read(tmp_path / "a.parquet")[0][1], as_floats.copy())


def test_a_sequence_in_two_places_is_an_error(tmp_path):
    a, b = kaggle.some(2)
    values = [kaggle.columns(line) for line in (a, b, a)]
    pq.write_table(kaggle.table([a, b, a], values), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"rows of sequence {a.id} are not together; sort"):
        read(tmp_path / "a.parquet")


def test_a_truncated_or_overwritten_parquet_is_an_error(tmp_path):
    kaggle.write(tmp_path, kaggle.some(4))
    path = tmp_path / "train_landmarks" / "1.parquet"
    raw = path.read_bytes()
    for damaged in (raw[: len(raw) // 2], raw[:200] + bytes(3800) + raw[4000:]):
        path.write_bytes(damaged)
        with pytest.raises(errors.BadInput, match=r"1\.parquet is damaged or no parquet file"):
            read(path)


@pytest.mark.parametrize("column", ["x_left_hand_3", "sequence_id"])
def test_a_parquet_without_a_column_is_an_error(tmp_path, column):
    path = tmp_path / "a.parquet"
    pq.write_table(kaggle.table(kaggle.some(2)).drop_columns([column]), path)
    with pytest.raises(ValueError, match=f"no column '{column}', which the selection hands_arms"):
        read(path)
    pq.write_table(pa.table({"frame": [1]}), path)
    with pytest.raises(ValueError, match="no column 'sequence_id' and 156 more"):
        read(path)


def test_further_points_and_another_order_of_columns_change_nothing(tmp_path):
    (line,) = kaggle.some(1)
    table = kaggle.table([line])
    shuffled = table.select(sorted(table.column_names))
    face = pa.array(np.zeros(line.frames, np.float32))
    pq.write_table(shuffled.append_column("x_face_9", face), tmp_path / "a.parquet")
    assert kaggle.same(read(tmp_path / "a.parquet")[0][1].astype(np.float16), kaggle.half(line))


def reread(path, table, order=None, **columns):
    """The sequences of a table, written with its rows in another order and other columns."""
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table if order is None else table.take(pa.array(order)), path)
    return list(parquet.read(path, kaggle.SELECTION))


@pytest.mark.parametrize("name", ["shuffled", "reversed", "as text"])
def test_frames_are_sorted_by_their_numbers(tmp_path, name):
    lines = kaggle.some(3)
    table = kaggle.table(lines)
    ids, number = table["sequence_id"].to_numpy(), table["frame"].to_numpy()
    how = {
        "shuffled": np.random.default_rng(0).random(len(ids)),
        "reversed": -number.astype(int),
        "as text": number.astype(str),
    }
    found = reread(tmp_path / "a.parquet", table, np.lexsort((how[name], ids)))
    for sequence, line in zip(found, lines, strict=True):
        expected = kaggle.SELECTION.from_columns(kaggle.columns(line)).copy()
        assert sequence.id == line.id and kaggle.same(sequence.points, expected)
        assert sequence.mended == (mending.SORTED,)
    in_order = reread(tmp_path / "b.parquet", table)
    assert [sequence.mended for sequence in in_order] == [(), (), ()]


def test_a_repeated_frame_counts_once_and_is_an_error_with_other_values(tmp_path):
    (line,) = kaggle.some(1)
    table = kaggle.table([line])
    (twice,) = reread(tmp_path / "a.parquet", table, np.repeat(np.arange(line.frames), 2))
    expected = kaggle.SELECTION.from_columns(kaggle.columns(line)).copy()
    assert kaggle.same(twice.points, expected) and twice.mended == (mending.TWICE,)
    number = np.minimum(np.arange(line.frames), 7)
    with pytest.raises(errors.BadInput, match=rf"sequence {line.id} has frame 7 twice, with other"):
        reread(tmp_path / "b.parquet", table, frame=number)


def test_a_frame_or_a_sequence_without_a_number_is_named_with_its_row(tmp_path):
    table = kaggle.table(kaggle.some(2))
    whole = {name: table[name].to_pylist() for name in ("frame", "sequence_id")}
    for name, value, words in (
        ("frame", None, "frame is None in row 9, and no number"),
        ("sequence_id", None, "sequence_id is None in row 9, and no whole number"),
        ("sequence_id", "clip_1", "sequence_id is 'clip_1' in row 9, and no whole number"),
        ("sequence_id", 1.5, "sequence_id is 1.5 in row 9, and no whole number"),
    ):
        values = [type(value)(v) if value is not None else v for v in whole[name]]
        values[9] = value
        with pytest.raises(errors.BadInput, match=rf"a\.parquet: {words}"):
            reread(tmp_path / "a.parquet", table, **{name: values})
    for kind in (float, str):
        ids = list(map(kind, whole["sequence_id"]))
        assert len(reread(tmp_path / "a.parquet", table, sequence_id=ids)) == 2


def test_zeros_for_a_lost_part_are_missing_and_a_single_zero_is_a_point(tmp_path):
    (line,) = kaggle.some(1)
    columns_TC = kaggle.columns(line)
    with_nan = kaggle.SELECTION.from_columns(columns_TC).copy()
    assert np.isnan(with_nan).any()
    zeros = np.nan_to_num(columns_TC)
    wrist = [f"{axis}_right_hand_0" for axis in "xyz"]
    place = [kaggle.SELECTION.columns.index(name) for name in wrist]
    zeros[:, place] = with_nan[:, kaggle.SELECTION.indices("right_hand_0")[0]] = 0
    pq.write_table(kaggle.table([line], [zeros]), tmp_path / "a.parquet")
    (sequence,) = parquet.read(tmp_path / "a.parquet", kaggle.SELECTION)
    assert kaggle.same(sequence.points, with_nan) and sequence.mended == (mending.ZEROS,)


def test_files_with_reported_faults_are_read_as_their_faultless_originals(shared):
    reported = shared / "reported"
    for folder, twin, others in (
        ("frames_out_of_order", "base3", ("frames_out_of_order", "frames_lexicographic")),
        ("zeros_for_lost", "nan", ("zeros",)),
    ):
        expected = list(parquet.read(reported / folder / f"{twin}.parquet", landmarks.HOLISTIC130))
        for name in others:
            found = parquet.read(reported / folder / f"{name}.parquet", landmarks.HOLISTIC130)
            for a, b in zip(expected, found, strict=True):
                assert a.id == b.id and not a.mended and len(b.mended) == 1
                assert np.array_equal(a.points, b.points, equal_nan=True)


def test_a_damaged_file_gives_its_true_values_or_a_clear_error():
    """With checksums. Kaggle's files have none, so a flipped bit there may be another number."""
    rng, lines, sink = np.random.default_rng(0), kaggle.some(3, frames=5), io.BytesIO()
    pq.write_table(kaggle.table(lines), sink, write_page_checksum=True, compression="none")
    whole = sink.getvalue()
    truth = read(io.BytesIO(whole))
    footer = int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for i in range(200):
        damaged = bytearray(whole)
        if i % 4 == 0:
            del damaged[rng.integers(len(whole)) :]
        elif i % 4 == 1:
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        elif i % 4 == 2:
            damaged[-9 - rng.integers(footer)] ^= 1 << rng.integers(8)
        else:
            at = rng.integers(len(whole))
            damaged[at : at + 40] = rng.bytes(40)
        bounds = parquet_bounds.Bounds(rows=1000, bytes=1 << 20) if i % 8 < 4 else None
        try:
            found = read(io.BytesIO(damaged), bounds)
        except errors.BadInput:
            refused += 1
            continue
        for (a, values), (b, expected) in zip(found, truth, strict=True):
            assert a == b and kaggle.same(values, expected), i
    assert 100 < refused < 200
