"""Data sets of classes: keypoint clips, isolated signs, Sign Language MNIST."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslx.data import records
from aslx.prepare import building, isolated_signs, keypoint_clips, sign_mnist


def built(tmp_path, kind: type, source) -> tuple[dict, records.Records]:
    with building.scratch(tmp_path / "out") as scratch:
        asked = kind(source=str(source), out=str(tmp_path / "out"), processes=1)
        report = asked.prepare(scratch)
    return report, records.Records(tmp_path / "out", "train")


def folders(source):
    rng = np.random.default_rng(0)
    for folder in (source / name / str(clip) for name in ("cow", "dog") for clip in range(10)):
        folder.mkdir(parents=True)
        for i in range(3):
            np.save(folder / f"{i}.npy", rng.normal(size=258))
    return source


def test_folders_of_frames_become_clips_of_both_classes(tmp_path):
    source = folders(tmp_path / "source")
    report, data = built(tmp_path, keypoint_clips.KeypointClips, source)
    assert [counts["clips"] for counts in report["parts"].values()] == [14, 2, 4]
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
    np.save(source / "dog" / "4" / "1.npy", np.zeros((1, 258)))
    with pytest.raises(ValueError, match=r"1\.npy has the shape \(1, 258\), and a frame has 1662"):
        built(tmp_path, keypoint_clips.KeypointClips, source)
    (source / "dog" / "4" / "1.npy").unlink()
    with pytest.raises(ValueError, match=r"dog/4 has no 1\.npy"):
        built(tmp_path, keypoint_clips.KeypointClips, source)
    assert not (tmp_path / "out").exists()


def kaggle_signs(source):
    rng, lines = np.random.default_rng(0), ["path,participant_id,sequence_id,sign"]
    (source / "clips").mkdir(parents=True)
    for number in range(24):
        values = rng.normal(size=(543 * 3, 3)).astype(np.float32)
        values[rng.random(len(values)) < 0.3] = np.nan
        table = pa.table({axis: values[:, i] for i, axis in enumerate("xyz")})
        pq.write_table(table, source / "clips" / f"{number}.parquet")
        lines.append(f"clips/{number}.parquet,{number % 6},{number},{'ab'[number // 12]}")
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
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")


def test_sign_mnist_is_tested_on_its_own_test_csv(tmp_path):
    source = tmp_path / "source"
    mnist(source / "sign_mnist_train.csv", 240)
    mnist(source / "sign_mnist_test.csv", 48)
    report, data = built(tmp_path, sign_mnist.SignMnist, source)
    assert report["parts"]["test"]["clips"] == 48 and len(data.metadata["classes"]) == 24
    assert report["parts"]["validation"]["clips"] == 24 and data.metadata["size"] == [28, 28, 1]
    with open(source / "sign_mnist_train.csv", "a") as f:
        f.write("9," + ",".join(["0"] * 784) + "\n")
    with pytest.raises(ValueError, match="line 242: label 9"):
        built(tmp_path / "again", sign_mnist.SignMnist, source)
