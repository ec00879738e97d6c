"""Clips out of parquet, however its rows and columns lie, or an error that names the fault."""

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from aslx.datasets import parquet, rows
from tests.datasets import kaggle


def read(path):
    return list(parquet.sequences(path, kaggle.SELECTION))


@hypothesis.given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 40), st.integers(1, 40)
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_a_sequence_may_cross_batches_and_row_groups(frames, batch, group):
    lines = [kaggle.Line(5 * i, 0, "a", n) for i, n in enumerate(frames)]
    sink = pa.BufferOutputStream()
    pq.write_table(kaggle.table(lines), sink, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_ROWS", batch)
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


def test_missing_values_doubles_and_other_columns_are_understood(tmp_path):
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


def test_a_truncated_parquet_is_an_error(tmp_path):
    kaggle.write(tmp_path, kaggle.some(4))
    path = tmp_path / "train_landmarks" / "1.parquet"
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match=r"1\.parquet is damaged or no parquet file"):
        read(path)
    middle = bytearray(raw)
    middle[200:4000] = bytes(3800)
    path.write_bytes(middle)
    with pytest.raises(ValueError, match=r"1\.parquet is damaged or no parquet file"):
        read(path)


@pytest.mark.parametrize("column", ["x_left_hand_3", "sequence_id"])
def test_a_parquet_without_a_column_is_an_error(tmp_path, column):
    path = tmp_path / "a.parquet"
    pq.write_table(kaggle.table(kaggle.some(2)).drop_columns([column]), path)
    with pytest.raises(ValueError, match=f"no column '{column}', which the selection seed_hands"):
        read(path)
    pq.write_table(pa.table({"frame": [1]}), path)
    with pytest.raises(ValueError, match="no column 'sequence_id' and 156 more"):
        read(path)


def test_files_with_more_than_the_default_points_give_the_same_selection(tmp_path):
    """Kaggle's files hold 543 points in an order of their own."""
    (line,) = kaggle.some(1)
    table = kaggle.table([line])
    shuffled = table.select(sorted(table.column_names))
    face = pa.array(np.zeros(line.frames, np.float32))
    pq.write_table(shuffled.append_column("x_face_9", face), tmp_path / "a.parquet")
    assert kaggle.same(read(tmp_path / "a.parquet")[0][1].astype(np.float16), kaggle.half(line))
