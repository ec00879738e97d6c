"""Data sets of classes: keypoint clips, isolated signs, Sign Language MNIST."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslx.data import records
from aslx.prepare import building, isolated_signs, keypoint_clips, sign_mnist, splits


def built(tmp_path, kind: type, source) -> tuple[dict, records.Records]:
    with building.scratch(tmp_path / "out") as scratch:
        asked = kind(source=str(source), out=str(tmp_path / "out"), processes=1)
        report = asked.prepare(scratch)
    return report, records.Records(tmp_path / "out", "train")


def folders(source, width: int = 258, frames: int = 3, clips: int = 10):
    rng = np.random.default_rng(0)
    for name in ("cow", "dog"):
        for clip in range(clips):
            (source / name / str(clip)).mkdir(parents=True)
            for i in range(frames):
                np.save(source / name / str(clip) / f"{i}.npy", rng.normal(size=width))
    return source


def test_folders_of_frames_become_clips_of_both_classes(tmp_path):
    source = folders(tmp_path / "source")
    report, data = built(tmp_path, keypoint_clips.KeypointClips, source)
    assert {part: n["clips"] for part, n in report["parts"].items()} == {
        "train": 14, "validation": 2, "test": 4,
    }  # fmt: skip
    assert report["split"] == "stratified" and data.metadata["classes"] == ["cow", "dog"]
    assert (data.index.frames == 3).all() and data.metadata["values"] == 258
    record = data[0]
    file = record["file"].bytes_list.value[0].decode()
    stored = np.frombuffer(record["keypoints"].bytes_list.value[0], "<f2").reshape(3, 258)
    expected = np.stack([np.load(source / file / f"{i}.npy") for i in range(3)])
    np.testing.assert_array_equal(stored, expected.astype("<f2"))
    assert data.metadata["classes"][record["label"].int64_list.value[0]] == file[:3]


def test_a_missing_frame_and_one_of_the_wrong_width_are_named(tmp_path):
    source = folders(tmp_path / "source")
    np.save(source / "dog" / "4" / "1.npy", np.zeros(257))
    with pytest.raises(ValueError, match=r"dog/4/1\.npy has 257 values"):
        built(tmp_path, keypoint_clips.KeypointClips, source)
    (source / "dog" / "4" / "1.npy").unlink()
    with pytest.raises(ValueError, match=r"dog/4 has no 1\.npy"):
        built(tmp_path, keypoint_clips.KeypointClips, source)
    assert not (tmp_path / "out").exists()


def kaggle_signs(source, signers: int = 6, each: int = 4):
    rng, lines = np.random.default_rng(0), ["path,participant_id,sequence_id,sign"]
    (source / "clips").mkdir(parents=True)
    for number in range(signers * each):
        values = rng.normal(size=(543 * 3, 3)).astype(np.float32)
        values[rng.random(len(values)) < 0.3] = np.nan
        table = pa.table({axis: values[:, i] for i, axis in enumerate("xyz")})
        pq.write_table(table, source / "clips" / f"{number}.parquet")
        lines.append(f"clips/{number}.parquet,{number % signers},{number},{'ab'[number // 12]}")
    (source / "train.csv").write_text("\n".join(lines) + "\n")
    (source / "sign_to_prediction_index_map.json").write_text(json.dumps({"b": 0, "a": 1}))
    return source


def test_isolated_signs_are_split_by_signer_in_kaggles_order_of_classes(tmp_path):
    source = kaggle_signs(tmp_path / "source")
    report, data = built(tmp_path, isolated_signs.IsolatedSigns, source)
    assert report["split"] == "signer" and data.metadata["classes"] == ["b", "a"]
    test = records.Records(tmp_path / "out", "test")
    assert not set(data.index.signer) & set(test.index.signer)
    assert (data.index.frames == 3).all()


def test_a_parquet_that_is_no_whole_number_of_frames_is_named(tmp_path):
    source = kaggle_signs(tmp_path / "source")
    table = pq.read_table(source / "clips" / "3.parquet")
    pq.write_table(table.slice(0, 600), source / "clips" / "3.parquet")
    with pytest.raises(ValueError, match=r"3\.parquet has 600 rows"):
        built(tmp_path, isolated_signs.IsolatedSigns, source)


def mnist(path, rows: int):
    rng = np.random.default_rng(0)
    labels = np.resize([i for i in range(25) if i != 9], rows)
    lines = [",".join(map(str, [n, *rng.integers(0, 256, 784)])) for n in labels]
    header = ",".join(["label", *(f"pixel{i + 1}" for i in range(784))])
    path.write_text("\n".join([header, *lines]) + "\n")


def test_sign_mnist_is_tested_on_its_own_test_csv(tmp_path):
    (tmp_path / "source").mkdir()
    mnist(tmp_path / "source" / "sign_mnist_train.csv", 240)
    mnist(tmp_path / "source" / "sign_mnist_test.csv", 48)
    report, data = built(tmp_path, sign_mnist.SignMnist, tmp_path / "source")
    assert report["parts"]["test"]["clips"] == 48 and len(data.metadata["classes"]) == 24
    assert report["parts"]["validation"]["clips"] == 24 and data.metadata["size"] == [28, 28, 1]
    with open(tmp_path / "source" / "sign_mnist_train.csv", "a") as f:
        f.write("9," + ",".join(["0"] * 784) + "\n")
    with pytest.raises(ValueError, match="line 242: label 9"):
        built(tmp_path / "again", sign_mnist.SignMnist, tmp_path / "source")


def test_a_stratified_split_has_every_class_in_its_share():
    labels = ["a"] * 50 + ["b"] * 20 + ["c"] * 2
    parts = splits.stratified(labels, 0.1, 0.2, seed=1)
    counts = {x: [parts[i] for i in range(72) if labels[i] == x] for x in "abc"}
    assert counts["a"].count("test") == 10 and counts["a"].count("validation") == 5
    assert counts["b"].count("test") == 4 and "train" in counts["c"]
    assert parts == splits.stratified(labels, 0.1, 0.2, seed=1)
    assert parts != splits.stratified(labels, 0.1, 0.2, seed=2)
