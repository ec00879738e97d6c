"""Folders of .pose files become data sets, as Kaggle's parquet does."""

import json

import numpy as np
import pytest

from aslx import errors
from aslx.data import records
from aslx.prepare import __main__ as command
from aslx.prepare import fingerspelling, isolated_signs
from aslx.readers import csv_files, mending
from aslx.schema import landmarks
from tests import posed
from tests.prepare import kaggle
from tests.prepare import test_class_dataset as class_sets

pytest.importorskip("pose_format")
WORDS = ("hello", "world", "привіт", "straße", "one", "two")


def _phrases(folder, header="path,phrase,participant_id", words=WORDS):
    """A clip for each word, by two signers, and train.csv."""
    lines = [header]
    folder.mkdir()
    for i, word in enumerate(words):
        posed.write(folder / "clips" / f"{i}.pose", posed.clip(20 + i, seed=i))
        lines.append(f"clips/{i}.pose,{word},{'Ada' if i % 2 else '7'}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


def _prepared(run, source, out, *flags):
    flags = ("--split", "none", "--processes", 1, *flags)
    return run(command, "fingerspelling", "--source", source, "--out", out, *flags)


def test_phrases_of_pose_files_become_records(run, tmp_path):
    source = _phrases(tmp_path / "source")
    done = _prepared(run, source, tmp_path / "out")
    assert done.last()["clips"] == {"train": 6}, done.err
    data = records.Records(tmp_path / "out", "train")
    assert data.metadata["alphabet"] == "".join(sorted({*"".join(WORDS)}))
    assert list(data.metadata["signers"].values()) == ["Ada"]
    for record in data:
        file = record["file"].bytes_list.value[0].decode()
        number = int(file.removeprefix("clips/").removesuffix(".pose"))
        assert record["phrase"].bytes_list.value[0].decode() == WORDS[number]
        assert record["sequence_id"].int64_list.value[0] == csv_files.number_of(file)
        stored = np.frombuffer(record["landmarks"].bytes_list.value[0], "<f2").reshape(-1, 130, 3)
        points = landmarks.ALL.indices(*landmarks.HOLISTIC130.points)
        clip_TN3 = posed.clip(20 + number, seed=number)[:, points]
        np.testing.assert_allclose(stored, clip_TN3, atol=1e-3)
        assert (np.isnan(stored) == np.isnan(clip_TN3)).all()


def test_a_csv_may_number_clips_and_list_parquet_too(run, tmp_path):
    source = kaggle.write(tmp_path / "source", kaggle.some(4, frames=9))
    posed.write(source / "clips" / "a.pose", posed.clip())
    with open(source / "train.csv", "a") as f:
        f.write("clips/a.pose,1,77,Ada,no 5 st\n")
    done = _prepared(run, source, tmp_path / "out", "--selection", "hands_arms")
    assert done.last()["clips"]["train"] == 5
    numbers = {
        r["sequence_id"].int64_list.value[0] for r in records.Records(tmp_path / "out", "train")
    }
    assert 77 in numbers


def test_the_same_files_give_the_same_clips_as_their_parquet(run, tmp_path):
    lines = kaggle.some(4, frames=9)
    source, twin = kaggle.write(tmp_path / "source", lines), tmp_path / "twin"
    rows = ["path,sequence_id,participant_id,phrase"]
    for line in lines:
        clip_TN3 = kaggle.SELECTION.from_columns(kaggle.columns(line))
        clip_TN3 = posed.from_wrists(clip_TN3, kaggle.SELECTION)
        path = f"{line.id}.pose"
        posed.write(twin / path, clip_TN3, kaggle.SELECTION, (1024, 512))
        rows.append(f"{path},{line.id},{line.signer},{line.phrase}")
    (twin / "train.csv").write_text("\n".join(rows) + "\n")
    stored = []
    for name, folder in (("a", source), ("b", twin)):
        done = _prepared(run, folder, tmp_path / name, "--selection", "hands_arms")
        assert done.status == 0, done.err
        stored.append(
            {
                r["sequence_id"].int64_list.value[0]: r
                for r in records.Records(tmp_path / name, "train")
            }
        )
    assert stored[0].keys() == stored[1].keys()
    for number, of in stored[0].items():
        both = [
            np.frombuffer(r["landmarks"].bytes_list.value[0], "<f2").reshape(-1, 52, 3)
            for r in (of, stored[1][number])
        ]
        assert kaggle.same(both[0][..., :2].copy(), both[1][..., :2].copy())
        assert of["phrase"] == stored[1][number]["phrase"]


def test_frames_without_hands_are_kept_and_counted(run, tmp_path):
    source = _phrases(tmp_path / "source")
    posed.write(source / "clips" / "2.pose", posed.clip(9, hands=False))
    done = _prepared(run, source, tmp_path / "out", "--whole-hands")
    reasons = done.last()["reasons"]
    assert reasons == {"too few frames with a whole hand": 1}


def test_a_file_that_cannot_be_read_stops_it_and_is_named(run, tmp_path):
    source = _phrases(tmp_path / "source")
    whole = (source / "clips" / "3.pose").read_bytes()
    (source / "clips" / "3.pose").write_bytes(whole[:-100])
    done = _prepared(run, source, tmp_path / "out")
    assert "3.pose is cut off or damaged" in done.refusal()
    assert not (tmp_path / "out").exists()
    (source / "clips" / "3.pose").write_bytes(whole)
    with open(source / "train.csv", "a") as f:
        f.write("clips/3.pose,again,7\n")
    assert "lists sequence" in _prepared(run, source, tmp_path / "out").refusal()


def test_a_pose_file_holds_one_clip(run, tmp_path):
    source = _phrases(tmp_path / "source", "path,phrase,participant_id,sequence_id", ())
    posed.write(source / "a.pose", posed.clip())
    with open(source / "train.csv", "a") as f:
        f.write("a.pose,one,7,1\na.pose,two,7,2\n")
    refused = _prepared(run, source, tmp_path / "out").refusal()
    assert "a.pose is listed 2 times: a .pose file holds one clip" in refused


@pytest.mark.parametrize("csv", [True, False])
def test_signs_of_pose_files_become_records(tmp_path, csv):
    source, lines = tmp_path / "source", ["path,sign"]
    for i in range(20):
        sign = ("hi", "bye")[i % 2]
        posed.write(source / sign / f"{i}.pose", posed.clip(5 + i, seed=i))
        lines.append(f"{sign}/{i}.pose,{sign}")
    if csv:
        (source / "train.csv").write_text("\n".join(lines) + "\n")
    (source / "hi" / ".DS_Store").touch()
    report, data = class_sets.built(tmp_path, isolated_signs.IsolatedSigns, source)
    assert data.metadata["classes"] == ["bye", "hi"] and report["split"] == "stratified"
    assert sum(part["clips"] for part in report["parts"].values()) == 20
    record = data[0]
    file = record["file"].bytes_list.value[0].decode()
    label = data.metadata["classes"][record["label"].int64_list.value[0]]
    assert file.startswith(f"{label}/")
    number = int(file.rpartition("/")[2].removesuffix(".pose"))
    stored = np.frombuffer(record["landmarks"].bytes_list.value[0], "<f2").reshape(-1, 130, 3)
    assert len(stored) == 5 + number


def test_a_map_numbers_the_signs_of_pose_files_and_signers_part_them(tmp_path):
    source, lines = tmp_path / "source", ["path,sign,participant_id"]
    for i in range(24):
        posed.write(source / f"{i}.pose", posed.clip(5, seed=i))
        lines.append(f"{i}.pose,{('hi', 'bye')[i // 12]},{i % 6}")
    (source / "train.csv").write_text("\n".join(lines) + "\n")
    (source / isolated_signs.MAP).write_text(json.dumps({"hi": 0, "bye": 1}))
    report, data = class_sets.built(tmp_path, isolated_signs.IsolatedSigns, source)
    assert data.metadata["classes"] == ["hi", "bye"] and report["split"] == "signer"


def test_what_is_no_source_of_signs_is_said(tmp_path):
    source = tmp_path / "source"
    (source / "hi").mkdir(parents=True)
    with pytest.raises(errors.BadInput, match=r"train\.csv is missing: .* or at one of CLASS/NAME"):
        class_sets.built(tmp_path, isolated_signs.IsolatedSigns, source)
    (source / "train.csv").write_text("path,sign\nhi/a.parquet,hi\n")
    with pytest.raises(errors.BadInput, match=rf"{isolated_signs.MAP} is missing"):
        class_sets.built(tmp_path, isolated_signs.IsolatedSigns, source)


def test_a_normalised_size_is_counted_in_the_report(tmp_path):
    source = tmp_path / "source"
    for i in range(8):
        clip_TN3 = posed.clip(5, seed=i)
        clip_TN3[..., 2] = 250 + clip_TN3[..., 2] / 10
        posed.write(source / ("hi", "bye")[i % 2] / f"{i}.pose", clip_TN3, size=(500, 500))
    report, _ = class_sets.built(tmp_path, isolated_signs.IsolatedSigns, source)
    assert report["mended"] == {mending.RESIZED_FROM_UNKNOWN: 8}


def test_a_csv_of_parquet_still_needs_its_columns(tmp_path):
    source = kaggle.write(tmp_path / "source", kaggle.some(2, frames=9))
    (source / "train.csv").write_text("path,phrase\ntrain_landmarks/1.parquet,a\n")
    asked = fingerspelling.Fingerspelling(source=str(source), out="o")
    with pytest.raises(errors.BadInput, match="has no column 'sequence_id'"):
        fingerspelling.table(source, asked)
