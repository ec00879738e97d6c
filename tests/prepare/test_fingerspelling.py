"""Kaggle's files become records that hold the same numbers, or an error that names the fault."""

import dataclasses
import json
import unicodedata
from typing import cast

import numpy as np
import pyarrow.parquet as pq
import pytest

from aslx import errors
from aslx.data import records
from aslx.prepare import (
    building,
    dataset_figures,
    fingerspelling,
    phrase_clips,
    splits,
    spool,
    summary,
    workers,
)
from aslx.readers import mending
from aslx.schema import landmarks, vocab
from tests.prepare import kaggle

KEEP = phrase_clips.Keep(selection="hands_arms")
OPTIONS = fingerspelling.Options(out="out", keep=KEEP, processes=1)


def prepare(source, out, **options):
    chosen = dataclasses.replace(OPTIONS, **options)
    with building.scratch(out) as scratch:
        return fingerspelling.prepare(source, scratch, chosen, "a test", chosen.pool())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(lines of the csv, the prepared data set)."""
    folder = tmp_path_factory.mktemp("whole")
    lines = kaggle.some(96)
    prepare(kaggle.write(folder / "kaggle", lines), folder / "out")
    return lines, folder / "out"


def test_records_hold_the_landmarks_as_float16_with_nan(whole):
    lines, out = whole
    by_id = {line.id: line for line in lines}
    for part in splits.PARTS:
        data = records.Records(out, part)
        for features in data:
            line = by_id.pop(features["sequence_id"].int64_list.value[0])
            raw = features["landmarks"].bytes_list.value[0]
            assert raw == kaggle.half(line).astype("<f2").tobytes()
            assert features["phrase"].bytes_list.value == [line.phrase.encode()]
            assert features["signer"].int64_list.value == [line.signer]
            assert features["file"].bytes_list.value == [line.path.encode()]
        assert np.array_equal(data.index.signer, [f["signer"].int64_list.value[0] for f in data])
    assert not by_id
    metadata = records.read_metadata(out)
    assert (metadata["task"], metadata["selection"]) == ("transcription", "hands_arms")


def test_tfds_and_tf_data_read_the_same_arrays_and_checksums(whole):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    lines, out = whole
    by_id = {line.id: line for line in lines}
    builder = tfds.builder_from_directory(out)
    for data in cast("dict[str, tf.data.Dataset]", builder.as_dataset()).values():
        for example in data.as_numpy_iterator():
            line = by_id.pop(int(example["sequence_id"]))
            assert kaggle.same(example["landmarks"], kaggle.half(line))
            assert bytes(example["phrase"]) == line.phrase.encode()
    assert not by_id
    paths = sorted(map(str, out.glob("*.tfrecord*")))
    assert len(paths) == sum(len(s.shard_lengths) for s in builder.info.splits.values()) >= 4
    # Raises DataLossError where a checksum is not TensorFlow's own.
    assert len(list(tf.data.TFRecordDataset(paths))) == len(lines)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 7e4, -1e30])
def test_a_value_that_float16_cannot_hold_is_an_error(tmp_path, value):
    (line,) = kaggle.some(1)
    values = kaggle.columns(line)
    values[4, kaggle.SELECTION.columns.index("z_pose_16")] = value
    pq.write_table(kaggle.table([line], [values]), tmp_path / "a.parquet")
    row = phrase_clips.Row("a.parquet", line.id, 0, "a", "train")
    with pytest.raises(ValueError, match=rf"sequence {line.id}: z_pose_16 is .* in frame 4, bey"):
        list(phrase_clips.read(tmp_path / "a.parquet", [row], KEEP))


def test_clips_without_frames_or_landmarks_are_dropped_and_counted(tmp_path):
    lines = kaggle.some(12)
    lines[0] = dataclasses.replace(lines[0], frames=0)
    kaggle.write(tmp_path / "kaggle", lines)
    path = tmp_path / "kaggle" / lines[-1].path
    mine = [line for line in lines if line.path == lines[-1].path]
    values = [kaggle.columns(line) for line in mine]
    values[-1][:] = np.nan
    pq.write_table(kaggle.table(mine, values), path)
    report = prepare(tmp_path / "kaggle", tmp_path / "out", split="none")
    assert report["dropped"] == {phrase_clips.NO_FRAMES: 1, phrase_clips.NO_LANDMARK: 1}
    assert report["kept"] == 10
    data = records.Records(tmp_path / "out", "train")
    assert len(data) == 10 and records.splits(tmp_path / "out") == ["train"]


def test_a_clip_whose_signer_and_phrase_part_is_dropped_and_counted(tmp_path):
    lines = [
        dataclasses.replace(line, signer=i % 6, phrase=f"{i // 6} rd")
        for i, line in enumerate(kaggle.some(36, frames=3))
    ]
    report = prepare(kaggle.write(tmp_path / "kaggle", lines), tmp_path / "out")
    dropped = report["dropped"][phrase_clips.NO_PART]
    assert dropped == 36 - report["kept"] == 36 - (4 * 4 + 1 + 1)
    assert [counts["clips"] for counts in report["parts"].values()] == [16, 1, 1]


@pytest.mark.parametrize(
    ("keep", "frames", "right", "left", "reason"),
    [
        (phrase_clips.Keep(whole_hands=True), 30, 8, 8, phrase_clips.FEW_HANDS),
        (phrase_clips.Keep(whole_hands=True), 30, 9, 0, ""),
        (phrase_clips.Keep(whole_hands=True), 30, 0, 9, ""),
        (phrase_clips.Keep(frames_per_character=1.0), 3, 0, 0, phrase_clips.FEW_FRAMES),
        (phrase_clips.Keep(frames_per_character=1.0), 4, 0, 0, ""),
        (phrase_clips.Keep(), 0, 0, 0, phrase_clips.NO_FRAMES),
        (phrase_clips.Keep(), 1, 0, 0, ""),
    ],
)
def test_the_filters_are_those_of_the_baselines(keep, frames, right, left, reason):
    row = phrase_clips.Row("a", 1, 1, "abcd")
    assert keep.reason(phrase_clips.Clip(row, frames, right, left)) == reason


def test_hands_are_counted_when_every_point_of_them_is_there(tmp_path):
    (line,) = kaggle.some(1)
    values = np.full_like(kaggle.columns(line), 0.5)
    values[:10, kaggle.SELECTION.columns.index("x_left_hand_5")] = np.nan
    values[:3, kaggle.SELECTION.columns.index("z_right_hand_20")] = np.nan
    pq.write_table(kaggle.table([line], [values]), tmp_path / "a.parquet")
    row = phrase_clips.Row("a.parquet", line.id, 0, "a", "train")
    ((clip, _),) = phrase_clips.read(tmp_path / "a.parquet", [row], KEEP)
    n = line.frames
    assert (clip.frames, clip.right, clip.left, clip.no_hand) == (n, n - 3, n - 10, 3)
    assert not clip.empty


def test_the_order_of_clips_is_not_that_in_which_files_are_read(tmp_path):
    kaggle.write(tmp_path, kaggle.some(6))
    rows, _ = fingerspelling.divide(fingerspelling.table(tmp_path, OPTIONS), OPTIONS)
    orders = []
    for order in (list, reversed):

        def run(function, tasks, order=order):
            return iter(order(list(workers.run(function, tasks, 1))))

        every, stored = spool.fill(tmp_path, tmp_path, rows, KEEP, run)
        assert [waiting.clip for waiting in stored] == every
        orders.append([clip.row.sequence_id for clip in every])
    assert orders[0] == orders[1] == [row.sequence_id for row in rows]


def test_the_same_landmarks_in_two_clips_are_counted(tmp_path):
    lines = kaggle.some(6)
    kaggle.write(tmp_path / "kaggle", lines)
    first, second, third = mine = lines[:3]  # Of the first file.
    values = [kaggle.columns(line) for line in (first, first, third)]
    pq.write_table(kaggle.table(mine, values), tmp_path / "kaggle" / second.path)
    report = prepare(tmp_path / "kaggle", tmp_path / "out", split="none")
    expected = {"within a part": 1, "across parts": 0, "with another label": 2}
    assert report["duplicates"] == expected
    assert "exact duplicates: 1 come more than once in their part" in summary.text(report)


def test_both_csv_files_are_taken_unless_told_otherwise(tmp_path):
    lines = kaggle.some(8)
    kaggle.write(tmp_path, lines)
    more = [dataclasses.replace(line, phrase="more") for line in lines[4:]]
    kaggle.write_csv(tmp_path / "train.csv", lines[:4])
    kaggle.write_csv(tmp_path / "supplemental_metadata.csv", more)

    def phrases(**options):
        rows = fingerspelling.table(tmp_path, dataclasses.replace(OPTIONS, **options))
        return [row.phrase for row in rows]

    first = [line.phrase for line in lines[:4]]
    assert phrases() == first + ["more"] * 4
    assert phrases(supplemental=False) == first
    assert phrases(train=False) == ["more"] * 4


def test_the_drawn_clips_show_hands_of_several_signers():
    rows = [phrase_clips.Row("a", i, i % 2, "abc") for i in range(20)]
    kept = [phrase_clips.Clip(row, frames=100 + row.sequence_id, right=80) for row in rows]
    kept += [phrase_clips.Clip(row, frames=109) for row in rows]
    chosen = dataset_figures.samples(kept)
    assert [clip.row.sequence_id for clip in chosen] == [9, 8, 10, 7]
    assert all(clip.right for clip in chosen)
    assert dataset_figures.samples(kept[:1]) == kept[:1]


def test_a_histogram_has_more_bins_of_more_clips(monkeypatch):
    bins = []
    histogram = np.histogram
    monkeypatch.setattr(np, "histogram", lambda x, n: bins.append(n) or histogram(x, n))
    for clips in (1, 44, 67_208, 10**6):
        dataset_figures._histogram(np.arange(clips) % 300, "frames")
    assert bins == [2, 8, 82, 100]


def test_a_figure_of_classes_names_its_axis_and_has_its_legend_beside_the_bars():
    counts = {"train": {"a": 5, "b": 7}, "test": {"a": 1, "b": 2}}
    figure = dataset_figures.classes(counts, ["a", "b"])
    figure.canvas.draw()
    (ax,) = figure.axes
    assert ax.get_ylabel() == "examples"
    assert figure.legends[0].get_window_extent().x0 >= ax.get_window_extent().x1


def test_figures_are_drawn_of_clips_without_a_hand_too(tmp_path):
    from PIL import Image, ImageSequence

    row = phrase_clips.Row("a", 1, 1, "$5")
    clip = phrase_clips.Clip(row, frames=12)
    selection = landmarks.HOLISTIC130
    arms = np.full((12, len(selection.points), 3), np.nan, np.float16)
    arms[:, selection.part("pose")] = np.random.default_rng(0).random((12, 12, 3))
    drawn = [(clip, arms), (clip, arms * np.nan)]
    dataset_figures.draw(tmp_path, [clip, clip], drawn, selection, vocab.KAGGLE)
    names = {"characters.png", "frames_per_character.png", "clip_lengths.png", "hands.png"}
    assert set(kaggle.left(tmp_path)) == names | {"clips.gif"}
    for path in tmp_path.iterdir():
        Image.open(path).verify()
    moving = Image.open(tmp_path / "clips.gif")
    assert len(list(ImageSequence.Iterator(moving))) == 4
    moving.seek(0)
    arms_only, blank = (
        np.asarray(moving.convert("L").crop((left + 10, 40, left + 230, 240))) for left in (0, 240)
    )
    assert arms_only.min() < 200 < 250 < blank.min()


def test_the_real_sample_goes_through(shared, tmp_path):
    report = prepare(shared / "fingerspelling_sample", tmp_path / "out", keep=phrase_clips.Keep())
    assert report["kept"] == 44 and not report["dropped"]
    assert report["split"] == "phrase" and "2 signers are too few" in report["note"]
    assert [counts["clips"] for counts in report["parts"].values()] == [35, 4, 5]
    lost = records.Records(tmp_path / "out", "train")[0]["landmarks"].bytes_list.value[0]
    clip = np.frombuffer(lost, "<f2").reshape(-1, 130, 3)
    assert np.isnan(clip).any() and not np.isnan(clip).all()


def test_without_a_map_the_alphabet_is_that_of_the_phrases_composed(tmp_path):
    words = ["їжак", "ґава", unicodedata.normalize("NFD", "їжа"), "ja"]
    lines = [
        dataclasses.replace(line, phrase=words[i % 4]) for i, line in enumerate(kaggle.some(24))
    ]
    source = kaggle.write(tmp_path / "kaggle", lines)
    (source / fingerspelling.MAP).unlink()
    report = prepare(source, tmp_path / "out", split="none")
    assert records.read_metadata(tmp_path / "out")["alphabet"] == "".join(
        sorted({*"".join((words[0], words[1], words[3]))})
    )
    data = records.Records(tmp_path / "out", "train")
    phrases = {features["phrase"].bytes_list.value[0].decode() for features in data}
    assert phrases == {"їжак", "ґава", "їжа", "ja"}
    assert report["mended"] == {mending.COMPOSED: 6}
    assert sorted(set(data.index.characters.tolist())) == [2, 3, 4]


def test_a_map_beside_the_data_decides_the_alphabet_and_its_order(tmp_path, whole):
    assert records.read_metadata(whole[1])["alphabet"] == vocab.KAGGLE.characters
    lines = [dataclasses.replace(line, phrase="їжак") for line in kaggle.some(24)]
    source = kaggle.write(tmp_path / "kaggle", lines)
    ids = {c: i for i, c in enumerate("каїжґ")}
    (source / fingerspelling.MAP).write_text(json.dumps(ids))
    prepare(source, tmp_path / "out", split="none")
    assert records.read_metadata(tmp_path / "out")["alphabet"] == "каїжґ"
    del ids["ґ"], ids["ж"]
    (source / fingerspelling.MAP).write_text(json.dumps(ids))
    with pytest.raises(errors.BadInput, match=r"line 2, sequence 1000: phrase 'їжак' has .* 'ж'"):
        prepare(source, tmp_path / "again", split="none")
