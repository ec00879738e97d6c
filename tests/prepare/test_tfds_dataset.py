"""Data sets that TensorFlow Datasets knows by name become phrases or signs."""

import errno
import json
import pathlib
import struct

import numpy as np
import pytest
import requests
from pose_format import pose_header
from pose_format.utils.reader import BufferReader

from aslx import errors
from aslx.data import records
from aslx.prepare import __main__ as command
from aslx.prepare import tfds_source
from aslx.readers import pose_files
from aslx.schema import landmarks
from tests.prepare import tiny_tfds

pytestmark = pytest.mark.long

MODULE = ("--module", "tests.prepare.tiny_tfds")
STORED = landmarks.ALL.indices(*landmarks.HOLISTIC130.points)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("tensorflow_datasets")


@pytest.fixture
def prepare(run, data_dir, tmp_path):
    """Runs aslx.prepare tfds."""

    def prepare(source, *flags):
        where = ("--data-dir", data_dir, "--out", tmp_path / "out", "--processes", 1)
        return run(command, "tfds", "--source", source, *MODULE, *where, *flags)

    return prepare


def stored(folder: pathlib.Path) -> dict[str, list[dict]]:
    """The records of each part."""
    found = {}
    for part in records.splits(folder):
        found[part] = [
            {
                "landmarks": np.frombuffer(f["landmarks"].bytes_list.value[0], "<f2"),
                "signer": f["signer"].int64_list.value[0],
                "file": f["file"].bytes_list.value[0].decode(),
                "phrase": b"".join(f["phrase"].bytes_list.value).decode(),
                "label": sum(f["label"].int64_list.value),
            }
            for f in records.Records(folder, part)
        ]
    return found


def half(number: int) -> np.ndarray:
    """What a record should hold of a clip."""
    return tiny_tfds.clip(number)[:, STORED].astype("<f2").ravel()


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def test_texts_with_arrays_of_pose_format_become_phrases_and_its_test_part_stays(prepare, tmp_path):
    said = prepare("tiny_spelled")
    assert said.last()["reasons"] == {"no frames in the file": 1, "no text": 1}
    assert "said/text as phrases; signers: signer_id" in said.out and "split by given" in said.out
    found = stored(tmp_path / "out")
    numbers = {part: {int(r["phrase"].split()[-1]) for r in of} for part, of in found.items()}
    assert numbers["test"] == {24, 25, 26, 27}
    assert numbers["train"] | numbers["validation"] == {*range(24)} - {3, 5}
    signers: dict[int, set[int]] = {}
    for record in (r for of in found.values() for r in of):
        number = int(record["phrase"].split()[-1])
        assert same(record["landmarks"], half(number))
        signers.setdefault(record["signer"], set()).add(number % 4)
    assert len(signers) == 4 and all(len(of) == 1 for of in signers.values())
    metadata = records.read_metadata(tmp_path / "out")
    assert sorted(metadata["signers"].values()) == sorted(tiny_tfds.SIGNERS)
    assert metadata["source"] == "tiny_spelled/1.0.0" and metadata["task"] == "transcription"


def test_labels_with_a_tensor_of_all_points_become_signs(prepare, tmp_path):
    assert prepare("tiny_signs").last()["clips"] == {"train": 21, "validation": 3, "test": 4}
    assert records.read_metadata(tmp_path / "out")["classes"] == ["drink", "eat", "go"]
    rest = {number: half(number) for number in range(28)}
    for record in (r for of in stored(tmp_path / "out").values() for r in of):
        (number,) = (n for n, points in rest.items() if same(record["landmarks"], points))
        assert record["label"] == number % 3 and rest.pop(number) is not None
    assert not rest


def test_fields_that_options_name_are_read_and_fractions_of_the_picture_too(prepare, tmp_path):
    said = prepare("tiny_twice", "--pose", "pose", "--gloss", "gloss", "--split", "none")
    assert said.last()["clips"] == {"train": 28}
    every = [half(number) for number in range(28)]
    assert records.read_metadata(tmp_path / "out")["classes"] == ["eat", "go"]
    for record in stored(tmp_path / "out")["train"]:
        assert any(same(record["landmarks"], points) for points in every)


@pytest.mark.parametrize(
    ("source", "flags", "words"),
    [
        ("tiny_twice", ("--gloss", "gloss"), "2 fields with poses, pose, example_pose: name one w"),
        (
            "tiny_twice",
            ("--pose", "pose"),
            "2 fields that may be texts or glosses, gloss, text: na",
        ),
        ("tiny_twice", ("--pose", "text"), "--pose text holds no poses; pose, example_pose does"),
        ("tiny_twice", ("--phrase", "text", "--gloss", "gloss"), "2 fields with poses"),
        (
            "tiny_twice",
            ("--pose", "poses"),
            "--pose poses: there is no such field; there are pose,",
        ),
        ("tiny_signs", ("--gloss", "landmarks"), "--gloss landmarks holds no text and no label"),
        ("tiny_signs", ("--signer", "who"), "--signer who: there is no such field"),
        ("tiny_bare", (), "no field with poses of number: name another config in --source"),
        ("tiny_signs/holistic", (), "--source tiny_signs/holistic: "),
        ("tiny_signs:2.0.0", (), "--source tiny_signs:2.0.0: "),
        ("tiny_signs", ("--config", "{"), "--config {: no JSON"),
        ("tiny_signs", ("--config", '{"fps": 9}'), "the data set has no configs"),
        ("tiny_sings", (), "TFDS has no data set of this name: did you mean tiny_signs"),
        ("huggingface:x", (), "a path or a data set of a community is not taken"),
        ("tiny_signs", ("--module", "no_such_module"), "--module no_such_module is not installed"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_one_line_with_the_options(prepare, source, flags, words):
    assert words in prepare(source, *flags).refusal()


def test_both_a_phrase_and_a_gloss_are_refused():
    features = tiny_tfds.TinyTwice.FEATURES
    with pytest.raises(errors.BadInput, match="--phrase text and --gloss gloss: name one"):
        tfds_source.fields(features, pose="pose", phrase="text", gloss="gloss", signer=None)


@pytest.mark.parametrize("folder", ["planted", "./planted", "../x"])
def test_a_folder_whose_features_name_a_module_is_refused_and_nothing_imported(
    prepare, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "trap.py").write_text("open('witness', 'w')\n")
    planted = tmp_path / "planted" / "1.0.0"
    planted.mkdir(parents=True)
    (planted / "features.json").write_text(json.dumps({"pythonClassName": "trap.Features"}))
    (planted / "dataset_info.json").write_text(json.dumps({"name": "planted"}))
    assert f"--source {folder}: " in prepare(folder, "--data-dir", tmp_path).refusal()
    assert not (tmp_path / "witness").exists()


def test_arrays_of_another_body_two_people_or_another_number_of_points_are_refused():
    values = tiny_tfds.arrays(tiny_tfds.clip(0))
    data, conf = values["data"], values["conf"]
    read = pose_files.of_arrays
    with pytest.raises(errors.BadInput, match="shows 2 people"):
        read(tiny_tfds.header(), 30, data.repeat(2, 1), conf.repeat(2, 1), "a clip")
    with pytest.raises(errors.BadInput, match=r"a clip has values of the shape .*, and its header"):
        read(tiny_tfds.header(), 30, data[:, :, 1:], conf[:, :, 1:], "a clip")
    other = tiny_tfds.header()
    for component in other.components:
        component.name = "BODY_135"
    with pytest.raises(
        errors.BadInput, match=r"a clip holds BODY_135.*MediaPipe Holistic are want"
    ):
        read(other, 30, data, conf, "a clip")


class Unprepared:
    """A builder whose preparation fails."""

    def __init__(self, error: Exception):
        self.error = error

    def download_and_prepare(self):
        raise self.error


def test_what_cannot_be_downloaded_may_succeed_later_and_a_full_disk_stays_one():
    lost = requests.ConnectionError("no route")
    with pytest.raises(errors.Unavailable, match="--source x cannot be downloaded: no route"):
        tfds_source.download(Unprepared(lost), "x")
    with pytest.raises(OSError, match="full") as error:
        tfds_source.download(Unprepared(OSError(errno.ENOSPC, "full")), "x")
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(errors.BadInput, match="--source x: fetch it by hand"):
        tfds_source.download(Unprepared(AssertionError("fetch it by hand")), "x")


@pytest.fixture
def package() -> pathlib.Path:
    """The folder of sign-language-datasets' builders."""
    package = pytest.importorskip("sign_language_datasets", reason="asks for another TensorFlow")
    return pathlib.Path(next(iter(package.__path__)), "datasets")


def write_pose(path: pathlib.Path, header: pathlib.Path, number: int) -> None:
    """A .pose file with a builder's own header, which it takes for all files."""
    raw = header.read_bytes()
    points = sum(
        len(component.points)
        for component in pose_header.PoseHeader.read(BufferReader(raw)).components
    )
    data = np.full((5 + number, points, 3), 100 + number, "<f4")
    path.parent.mkdir(parents=True, exist_ok=True)
    body = data.tobytes() + np.ones(data.shape[:2], "<f4").tobytes()
    path.write_bytes(raw + struct.pack("<HHH", 25, len(data), 1) + body)


def test_texts_of_phoenix_are_read_from_the_dummy_data_of_its_package(
    package, run, tmp_path, monkeypatch
):
    """The package has its annotations alone, so the poses are made here."""
    import tensorflow_datasets as tfds

    home = package / "rwth_phoenix2014_t"
    name = "25October_2010_Monday_tagesschau-17.pose"
    for part in ("train", "dev", "test"):
        write_pose(tmp_path / "poses/holistic" / part / name, home / "pose.header", 3)
    answers = [str(home / "dummy_data/annotations"), str(tmp_path / "poses")]
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda *_: answers)
    where = ("--out", tmp_path / "out", "--data-dir", tmp_path / "tfds", "--processes", 1)
    source = ("tfds", "--source", "rwth_phoenix2014_t/poses", *where)
    assert "gloss, text: name one with --phrase" in run(command, *source).refusal()
    said = run(command, *source, "--phrase", "text").last()
    assert said["clips"] == {"train": 1, "validation": 1, "test": 1}
    (record,) = stored(tmp_path / "out")["test"]
    assert len(record["phrase"].split()) > 3 and len(record["landmarks"]) == 8 * len(STORED) * 3
    print(record["file"], record["phrase"])


def test_signs_of_popsign_are_read_with_a_config_of_its_kind(package, run, tmp_path):
    number = 0
    for part in ("train", "val", "test"):
        for sign in ("eat", "go"):
            number += 1
            file = tmp_path / "poses" / part / sign / f"{number}.pose"
            write_pose(file, package / "pop_sign" / "holistic.poseheader", number)
    values = {"include_pose": "holistic", "extra": {"pose_dir": str(tmp_path / "poses")}}
    where = ("--out", tmp_path / "out", "--data-dir", tmp_path / "tfds", "--processes", 1)
    source = ("tfds", "--source", "pop_sign", "--config", json.dumps(values), *where)
    said = run(command, *source, "--gloss", "text")
    assert said.last()["clips"] == {"train": 2, "validation": 2, "test": 2}
    assert "split by given" in said.out
    assert records.read_metadata(tmp_path / "out")["classes"] == ["eat", "go"]
    # What another config prepared is not taken for this one's.
    (tmp_path / "poses").rename(tmp_path / "others")
    (tmp_path / "others" / "train" / "go").rename(tmp_path / "others" / "train" / "stop")
    values["extra"]["pose_dir"] = str(tmp_path / "others")
    source = ("tfds", "--source", "pop_sign", "--config", json.dumps(values), *where)
    run(command, *source, "--gloss", "text", "--overwrite").last()
    assert records.read_metadata(tmp_path / "out")["classes"] == ["eat", "go", "stop"]
