"""Clips of isolated signs: the values of a row say which landmark it is, and not its place."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslx import errors
from aslx.inputs import input_kinds
from aslx.prepare import class_dataset, isolated_signs, phrase_clips
from aslx.readers import mending, sign_parquet
from aslx.schema import landmarks
from tests.prepare import test_class_dataset as class_sets

FRAMES = (7, 8, 12)


def clip(frames=FRAMES):
    """f32[T, 543, 3] with lost hands, and the table in Kaggle's order."""
    points_TN3 = np.random.default_rng(0).normal(0.5, 0.2, (len(frames), 543, 3)).astype("f4")
    points_TN3[0, landmarks.ALL.part("left_hand")] = np.nan
    part, index = zip(*(point.rsplit("_", 1) for point in landmarks.POINTS), strict=True)
    table = {
        "frame": np.repeat(np.array(frames, np.int16), 543),
        "type": list(part) * len(frames),
        "landmark_index": np.tile(np.array(index, np.int16), len(frames)),
    }
    xyz = {axis: points_TN3[..., i].ravel().astype(float) for i, axis in enumerate("xyz")}
    return points_TN3, pa.table(table | xyz)


def read(table, order=None):
    body = io.BytesIO()
    pq.write_table(table if order is None else table.take(pa.array(order)), body)
    return sign_parquet.clip(body)


def replaced(table, **columns):
    """The table with other values in some columns."""
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


_, TABLE = clip()
FRAME, KIND, INDEX = (np.array(TABLE[name].to_pylist()) for name in TABLE.column_names[:3])
ROWS = np.arange(len(TABLE)).reshape(-1, 543)  # Of each frame.
BACKWARDS = ROWS[::-1].ravel()


@pytest.mark.parametrize(
    ("order", "mended"),
    [
        (None, ()),
        (np.lexsort((FRAME, INDEX, KIND)), ()),
        (np.lexsort((INDEX, KIND != "pose", FRAME)), ()),
        (np.random.default_rng(1).permutation(len(TABLE)), (mending.SORTED,)),
        (BACKWARDS, (mending.SORTED,)),
        (np.repeat(ROWS, 2, 0).ravel(), (mending.TWICE,)),
        (np.append(ROWS, 5), (mending.TWICE,)),
    ],
    ids=["kaggle", "by type", "pose first", "shuffled", "backwards", "twice", "one row twice"],
)
def test_rows_are_placed_by_frame_type_and_index_in_any_order(order, mended):
    points_TN3, table = clip()
    found = read(table, order)
    assert np.array_equal(found.points, points_TN3, equal_nan=True)
    assert found.points.dtype == np.float32 and found.mended == mended


def test_zeros_for_a_lost_part_are_missing():
    points_TN3, table = clip()
    zeros = {axis: np.nan_to_num(table[axis].to_numpy()) for axis in "xyz"}
    found = read(replaced(table, **zeros))
    assert np.array_equal(found.points, points_TN3, equal_nan=True)
    assert found.mended == (mending.ZEROS,)


def test_coordinates_alone_lie_in_kaggles_order():
    points_TN3, table = clip()
    alone = table.select(["x", "y", "z"])
    assert np.array_equal(read(alone).points, points_TN3, equal_nan=True)
    with pytest.raises(errors.BadInput, match="has 542 rows, and a frame has 543"):
        read(alone.slice(0, 542))


def test_points_of_the_iris_are_left_out():
    points_TN3, table = clip()
    iris = pa.table(
        {"frame": [7] * 10, "type": ["face"] * 10, "landmark_index": range(468, 478)}
        | {axis: [0.5] * 10 for axis in "xyz"}
    ).cast(table.schema)
    found = read(pa.concat_tables([iris, table]))
    assert np.array_equal(found.points, points_TN3, equal_nan=True)


def test_what_is_no_landmark_lacks_or_contradicts_is_named():
    _, table = clip()
    last, rows = len(table) - 1, table.to_pylist()
    for change, words in (
        ({"type": "tail"}, f"row {last} is the landmark 20 of 'tail', and there are face 0 to 467"),
        ({"type": None}, "is the landmark 20 of 'nothing'"),
        ({"landmark_index": 21}, "is the landmark 21 of 'right_hand'"),
        ({"landmark_index": None}, f"landmark_index is None in row {last}, and no whole number"),
        ({"landmark_index": 19}, "has no row of right_hand_20 in frame 12: a frame has 543 rows"),
        ({"frame": None}, f"frame is None in row {last}, and no number"),
        ({"frame": 13}, "has no row of right_hand_20 in frame 12"),
    ):
        with pytest.raises(errors.BadInput, match=words):
            read(pa.Table.from_pylist([*rows[:-1], rows[-1] | change], schema=table.schema))
    twice = [*rows, rows[-1] | {"x": 9.0}]
    with pytest.raises(errors.BadInput, match="has right_hand_20 of frame 12 twice, with other"):
        read(pa.Table.from_pylist(twice, schema=table.schema))
    for lost in ("z", "frame", "type", "landmark_index"):
        with pytest.raises(errors.BadInput, match=f"has no column '{lost}': a clip has frame, typ"):
            read(table.drop_columns([lost]))
    with pytest.raises(errors.BadInput, match=r"column 'x' holds list<.*>, and not numbers"):
        read(replaced(table, x=[["a"]] * len(table)))


def test_a_clip_of_no_rows_has_no_frames():
    assert read(TABLE.slice(0, 0)).points.shape == (0, 543, 3)


def source(folder, lines):
    """Kaggle's layout, with a train.csv of these lines."""
    (folder / "clips").mkdir(parents=True)
    _, table = clip()
    for i, name in enumerate("abcd"):
        moved = replaced(table, x=table["x"].to_numpy() + i)
        pq.write_table(moved, folder / "clips" / f"{name}.parquet")
    (folder / "train.csv").write_text("path,participant_id,sign\n" + "\n".join(lines) + "\n")
    (folder / "sign_to_prediction_index_map.json").write_text('{"hi": 0, "bye": 1}')
    return folder


def test_a_csv_of_any_tool_is_read_and_signers_may_have_names(tmp_path):
    lines = [" clips/a.parquet, P01 ,hi ", "clips/b.parquet,129.0,bye", "clips/c.parquet,,hi"]
    items, names = isolated_signs.table(source(tmp_path / "kaggle", lines), ["hi", "bye"])
    assert [item.file for item in items] == [f"clips/{name}.parquet" for name in "abc"]
    assert [item.label for item in items] == ["hi", "bye", "hi"]
    assert names == {items[0].signer: "P01"} and [i.signer for i in items[1:]] == [129, -1]


def test_a_line_that_cannot_be_is_named(tmp_path):
    for i, (line, words) in enumerate(
        (
            ("clips/x.parquet,1,hi", "line 3: .*clips/x.parquet is missing"),
            ("clips/a.parquet,1,hello", "line 3: the sign 'hello' is not in sign_to_prediction"),
            ("../kaggle0/clips/b.parquet,1,hi", "line 3: .*leads out of the folder of the data"),
            ("clips/a.parquet,1,hi", "line 3: clips/a.parquet is listed a second time"),
            (f"clips/{'a' * 300}.parquet,1,hi", "is too long a name"),
        )
    ):
        folder = source(tmp_path / f"kaggle{i}", ["clips/a.parquet,2,bye", line])
        with pytest.raises(errors.BadInput, match=words):
            isolated_signs.table(folder, ["hi", "bye"])


def test_what_is_left_out_put_right_or_the_same_is_told(tmp_path):
    lines = [f"clips/{name}.parquet,{who},{sign}" for name, who, sign in
             (("a", "P01", "hi"), ("b", "", "bye"), ("c", 3, "hi"), ("d", "P01", "bye"),
              ("none", 3, "hi"), ("lost", 3, "hi"), ("again", 3, "hi"))]  # fmt: skip
    folder = source(tmp_path / "kaggle", lines)
    table = pq.read_table(folder / "clips" / "b.parquet")
    lost = replaced(table, **{axis: np.full(len(table), np.nan) for axis in "xyz"})
    clips = {"none": table.slice(0, 0), "lost": lost, "again": table, "b": table.take(BACKWARDS)}
    for name, rows in clips.items():
        pq.write_table(rows, folder / "clips" / f"{name}.parquet")
    report, data = class_sets.built(tmp_path, isolated_signs.IsolatedSigns, folder)
    assert report["dropped"] == {phrase_clips.NO_FRAMES: 1, phrase_clips.NO_LANDMARK: 1}
    assert report["mended"] == {mending.SORTED: 1}
    assert report["note"] == "nobody says who signs in 1 of 5 clips"
    assert report["longest clip"] == 3
    assert sum(report["duplicates"][kind] for kind in ("within a part", "across parts")) == 1
    assert report["duplicates"]["with another label"] == 2
    text = class_dataset.Options.text(report)
    for words in (
        "left out 1: no frames in the file", "left out 1: not one landmark in any frame",
        "1 clip had frames out of order: sorted", "longest clip: 3 frames", "exact duplicates: 1",
    ):  # fmt: skip
        assert words in text
    assert list(data.metadata["signers"].values()) == ["P01"]


def test_a_clip_of_no_frames_or_landmarks_is_never_read(tmp_path):
    pq.write_table(TABLE.slice(0, 0), tmp_path / "none.parquet")
    features = input_kinds.Frames(landmarks.HOLISTIC130)
    with pytest.raises(errors.BadInput, match=r"none\.parquet is a clip of no frames"):
        list(features.clips(str(tmp_path / "none.parquet")))


def test_what_a_reader_put_right_is_said(tmp_path, capsys):
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE.take(BACKWARDS), path)
    list(input_kinds.Frames(landmarks.HOLISTIC130).clips(str(path)))
    assert capsys.readouterr().err == f"{path}: 1 clip had frames out of order: sorted\n"
