"""Data sets of classes from users' folders: nothing is added or left out without a word."""

import dataclasses
import json
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from aslx import config, errors
from aslx.data import records
from aslx.inputs import image_features
from aslx.prepare import __main__ as prepare
from aslx.readers import folders
from aslx.runs import opening
from tests.readers import test_images

ROOT = pathlib.Path(__file__).parents[2]


def draw(path: pathlib.Path, seed: int = 0, kind: str | None = None) -> None:
    """Saves a random image, in the format of the suffix or of `kind`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, kind)


@pytest.fixture
def letters(tmp_path) -> pathlib.Path:
    """Ten images of each of two classes."""
    for number in range(20):
        draw(tmp_path / "letters" / "AB"[number % 2] / f"{number}.png", number)
    return tmp_path / "letters"


@pytest.fixture
def made(run, tmp_path):
    """Prepares a source; returns the last line, the whole output, and summary.json."""

    def made(kind: str, source: pathlib.Path, *options) -> tuple[dict, str, dict]:
        out = tmp_path / "made"
        where = ("--source", source, "--out", out, "--overwrite", "--processes", 1)
        done = run(prepare, kind, *where, *options)
        assert done.status == 0, done.err
        report = json.loads((out / "summary.json").read_text())
        return json.loads(done.out.splitlines()[-1]), done.out, report

    return made


@pytest.fixture
def refused(run, tmp_path):
    """The error for a source that cannot be prepared, which leaves nothing behind."""

    def refused(kind: str, source: pathlib.Path, *options) -> str:
        out = tmp_path / "refused"
        where = ("--source", source, "--out", out, "--processes", 1)
        said = run(prepare, kind, *where, *options).refusal()
        assert not [path for path in tmp_path.iterdir() if "refused" in path.name]
        return said

    return refused


def stored(tmp_path: pathlib.Path) -> dict[str, str]:
    """The class of every record, by its file."""
    metadata = records.read_metadata(tmp_path / "made")
    found = {}
    for part in ("train", "validation", "test"):
        data = records.Records(tmp_path / "made", part)
        for i in range(len(data)):
            label = metadata["classes"][data[i]["label"].int64_list.value[0]]
            found[data[i]["file"].bytes_list.value[0].decode()] = label
    return found


LEFT = (".ipynb_checkpoints", "__MACOSX", ".hidden", "@eaDir", "__pycache__")


def test_files_of_tools_are_no_classes_and_no_images(letters, made, tmp_path):
    for folder in (letters, letters / "A"):
        for name in LEFT:
            draw(folder / name / "1.png")
        for name in ("._0.png", "Thumbs.db", ".DS_Store", "desktop.ini"):
            (folder / name).write_bytes(b"\0\5\x16\7")
    result, _, report = made("image_folder", letters, "--size", 8)
    assert sum(result["clips"].values()) == 20 and not result["dropped"] and not report["notes"]
    assert set(stored(tmp_path).values()) == {"A", "B"}


def test_images_of_any_suffix_and_in_folders_of_a_class_are_included(letters, made, tmp_path):
    for name in ("x.gif", "x.tif", "x.jfif", "x.BMP", "x.webp", "anna/x.jpeg", "anna/b/x.png"):
        draw(letters / "A" / name)
    draw(letters / "A" / "unnamed", kind="PNG")
    result, said, _ = made("image_folder", letters, "--size", 8)
    assert sum(result["clips"].values()) == 28 and result["dropped"] == 0
    assert stored(tmp_path)["A/anna/b/x.png"] == "A"
    assert "2 of 28 images lie in folders inside that of their class" in said


def test_files_that_are_left_out_are_counted_by_kind_and_empty_classes_are_named(letters, made):
    (letters / "A" / "notes.txt").write_text("hello")
    (letters / "A" / "more.txt").write_text("hello")
    (letters / "B" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    draw(letters / "loose.png")
    (letters / "C").mkdir()
    (letters / "D" / "deep").mkdir(parents=True)
    result, said, report = made("image_folder", letters, "--size", 8)
    assert result["dropped"] == 4 and sum(result["clips"].values()) == 20
    assert report["dropped"][".txt files"] == 2
    assert "left out 1: images in no folder of a class" in said
    assert "left out 1: HEIC images, which cannot be read here: save them as JPEG" in said
    assert "without an image, and so no class: C, D" in said


def test_folders_that_are_no_classes_are_refused(letters, refused, tmp_path):
    (tmp_path / "all" / "more").mkdir(parents=True)
    letters.rename(tmp_path / "all" / "train")
    assert "all images of" in refused("image_folder", tmp_path / "all")
    draw(tmp_path / "all" / "test" / "A" / "1.png")
    assert "test, train, which are parts" in refused("image_folder", tmp_path / "all")
    (tmp_path / "none" / "A").mkdir(parents=True)
    (tmp_path / "none" / "A" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    said = refused("image_folder", tmp_path / "none")
    assert "has no images CLASS/NAME.jpg (left out 1: HEIC" in said


def test_images_that_cannot_be_read_are_named_or_left_out(letters, made, refused, tmp_path):
    for i in range(12):
        (letters / "A" / f"bad{i:02d}.jpg").write_bytes(b"<html>" if i else b"")
    said = refused("image_folder", letters, "--size", 8)
    assert "12 of 32 cannot be read" in said and "bad00.jpg" in said and "bad09.jpg" in said
    assert "bad10.jpg" not in said and "and 2 more" in said and "--skip-unreadable" in said
    result, said, report = made("image_folder", letters, "--size", 8, "--skip-unreadable")
    assert result["dropped"] == 12 and report["dropped"] == {"unreadable": 12}
    assert len(stored(tmp_path)) == 20 and "left out 12: unreadable" in said
    (letters / "A" / "bad00.jpg").write_bytes(test_images.PICTURE)
    cut = ("--size", 8, "--cutouts", "--skip-unreadable")
    assert made("image_folder", letters, *cut)[0]["dropped"] == 12


def test_a_config_of_images_adopts_the_size_of_the_prepared_images(
    letters, made, refused, tmp_path
):
    made("image_folder", letters, "--size", 8)
    options = ["--data.path", str(tmp_path / "made"), "--task.classes", "2"]
    cfg = opening.settled(config.load(ROOT / "configs" / "asl_alphabet_cnn.py", options))
    assert isinstance(cfg.features, image_features.Image)
    assert (cfg.features.height, cfg.features.width, cfg.features.size) == (8, 8, 100)
    assert len(opening.split(cfg, "train"))
    grey = dataclasses.replace(cfg, features=dataclasses.replace(cfg.features, channels=1))
    with pytest.raises(errors.BadInput, match=r"its images are \(8, 8, 3\), and not \(8, 8, 1\)"):
        opening.split(opening.settled(grey), "train")


def test_images_that_occur_in_two_parts_are_counted(letters, made):
    assert "duplicate" not in made("image_folder", letters, "--size", 8)[1]
    for path in sorted(letters.glob("*/*")):
        (path.parent / f"copy-{path.name}").write_bytes(path.read_bytes())
    _, said, report = made("image_folder", letters, "--size", 8)
    across = report["duplicates"]["across parts"]
    assert across and report["duplicates"]["within a part"] == 20 - across
    assert f"exact duplicates: {across} of validation and test are in an earlier part" in said


def test_a_folder_that_a_link_inside_it_names_is_entered_once(letters):
    (letters / "A" / "again").symlink_to(letters)
    assert len(list(folders.within(letters))) == 20


def clip(folder: pathlib.Path, names, width: int = 258) -> None:
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        np.save(folder / f"{name}.npy", np.full(width, i))


@pytest.fixture
def words(tmp_path) -> pathlib.Path:
    for number in range(12):
        clip(tmp_path / "words" / ("hello", "thanks")[number % 2] / str(number), range(4))
    return tmp_path / "words"


def test_files_of_tools_are_no_classes_and_no_frames_of_keypoints(words, made, tmp_path):
    for name in LEFT:
        clip(words / name / "0", range(4))
        clip(words / "hello" / name, range(4))
    (words / "hello" / "0" / "._0.npy").write_bytes(b"\0\5\x16\7")
    (words / "hello" / "0" / ".DS_Store").write_bytes(b"\0")
    result, _, report = made("keypoint_clips", words)
    assert sum(result["clips"].values()) == 12 and not report["notes"] and not report["dropped"]
    assert set(stored(tmp_path).values()) == {"hello", "thanks"}


@pytest.mark.parametrize(
    "names", [range(1, 5), ("00", "01", "02", "03"), [f"frame_{i}" for i in range(4)]]
)
def test_frames_may_be_numbered_from_1_padded_or_called_frame(names, made, tmp_path):
    for number in range(12):
        clip(tmp_path / "words" / "ab"[number % 2] / str(number), names)
    result, _, _ = made("keypoint_clips", tmp_path / "words")
    assert sum(result["clips"].values()) == 12
    data = records.Records(tmp_path / "made", "train")
    values = np.frombuffer(data[0]["keypoints"].bytes_list.value[0], "<f2").reshape(4, 258)
    np.testing.assert_array_equal(values[:, 0], range(4))


def test_a_clip_of_another_length_is_included_and_named(words, made):
    clip(words / "hello" / "99", range(9))
    (words / "bye").mkdir()
    result, said, _ = made("keypoint_clips", words)
    assert sum(result["clips"].values()) == 13
    assert "clips have 4 frames, but hello/99 has 9" in said
    assert "without a clip, and so no class: bye" in said


def test_every_clip_that_lacks_a_frame_is_named_or_left_out(words, made, refused):
    (words / "hello" / "0" / "0.npy").unlink()
    (words / "thanks" / "1" / "2.npy").unlink()
    np.save(words / "thanks" / "3" / "1.npy", np.zeros(1662))
    (words / "hello" / "50").mkdir()
    said = refused("keypoint_clips", words)
    assert "4 of 13 cannot be read" in said and "hello/0 has no 0.npy" in said
    assert "thanks/1 has no 2.npy" in said and "frames of 1662 values and of 258" in said
    assert "hello/50 holds no frames" in said
    result, _, _ = made("keypoint_clips", words, "--skip-unreadable")
    assert result["dropped"] == 4 and sum(result["clips"].values()) == 9
    np.save(words / "hello" / "2" / "00.npy", np.zeros(258))
    assert "has 0.npy and 00.npy: remove one" in refused("keypoint_clips", words)


def pack(path: pathlib.Path, clips: int = 12, **arrays) -> pathlib.Path:
    labels = np.array(["hello", "thanks"])[np.arange(clips) % 2]
    whole = {"X": np.zeros((clips, 4, 258), "f2"), "y": labels, "seq": np.arange(clips)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(whole | arrays))
    return path


def test_npz_named_after_parts_become_these_parts(made, tmp_path):
    for name, clips in (("train", 20), ("val", 4), ("test", 6)):
        pack(tmp_path / "words" / f"{name}.npz", clips)
    result, _, _ = made("keypoint_clips", tmp_path / "words")
    assert result["clips"] == {"train": 20, "validation": 4, "test": 6}
    assert len(stored(tmp_path)) == 30
    (tmp_path / "words" / "val.npz").unlink()
    result, _, _ = made("keypoint_clips", tmp_path / "words")
    assert result["clips"] == {"train": 18, "validation": 2, "test": 6}


def test_an_ambiguous_choice_of_npz_is_an_error_that_names_both(words, refused, tmp_path):
    pack(words / "all.npz")
    said = refused("keypoint_clips", words)
    assert "holds all.npz and clips as hello/0" in said
    for name in ("a", "b"):
        pack(tmp_path / "two" / f"{name}.npz")
    assert "a.npz and b.npz: name them train.npz" in refused("keypoint_clips", tmp_path / "two")


WRONG = {
    "y longer": ({"y": np.arange(13)}, "X has 12 clips, and y 13"),
    "y shorter": ({"y": np.arange(11)}, "X has 12 clips, and y 11"),
    "seq shorter": ({"seq": np.arange(3)}, "X has 12 clips, and seq 3"),
    "one-hot": ({"y": np.eye(2)[np.arange(12) % 2]}, "of one-hot labels take y.argmax"),
    "two axes": ({"X": np.zeros((12, 258), "f2")}, "clips, frames and values are wanted"),
    "objects": ({"y": np.array(["a", None] * 6)}, "y.npy holds objects of Python"),
    "text": ({"X": np.full((12, 4, 258), "1")}, "numbers are wanted"),
    "another width": ({"X": np.zeros((12, 4, 126))}, "126"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_npz_with_arrays_that_do_not_match_is_refused(name, refused, tmp_path):
    arrays, words = WRONG[name]
    assert words in refused("keypoint_clips", pack(tmp_path / "x.npz", **arrays))


def test_a_file_that_is_no_npz_of_clips_is_refused(refused, tmp_path):
    path = pack(tmp_path / "x.npz")
    raw = path.read_bytes()
    for data in (raw[: len(raw) // 2], b"", raw[:2000] + b"x" * 50 + raw[2050:]):
        path.write_bytes(data)
        assert str(path) in refused("keypoint_clips", path)
    with zipfile.ZipFile(path, "w") as f:
        f.writestr("readme.txt", "hello")
    assert "has no array X; it has readme.txt" in refused("keypoint_clips", path)


def mnist(path: pathlib.Path, *, header: bool = True, last: bool = False, end: str = "") -> None:
    """Writes 24 lines; the label may be the last value, and a header may be missing."""
    path.parent.mkdir(exist_ok=True)
    rng, names = np.random.default_rng(0), [f"pixel{i + 1}" for i in range(784)]
    rows = [[label, *rng.integers(30, 256, 784)] for label in (0, 1, 2) * 8]
    rows = [["label", *names], *rows] if header else rows
    rows = [row[1:] + row[:1] for row in rows] if last else rows
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows) + end)


@pytest.mark.parametrize("header, last, end", [(1, 0, ""), (0, 0, ""), (1, 1, "\n\n"), (0, 1, "")])
def test_a_csv_of_sign_mnist_is_read_with_or_without_header_and_with_the_label_at_either_end(
    header, last, end, made, tmp_path
):
    table = tmp_path / "mnist" / "sign_mnist_train.csv"
    mnist(table, header=header, last=last, end=end)
    table.write_text(table.read_text(), encoding="utf-8-sig" if end else "utf-8")
    result, _, report = made("sign_mnist", tmp_path / "mnist")
    assert sum(result["clips"].values()) == 24
    assert [c for c, n in report["parts"]["train"]["classes"].items() if n] == ["A", "B", "C"]
    data = records.Records(tmp_path / "made", "train")
    assert all(len(data[i]["image"].bytes_list.value[0]) == 784 for i in range(len(data)))
    assert min(data[0]["image"].bytes_list.value[0]) >= 30


def test_faults_of_a_csv_of_sign_mnist_are_named(refused, tmp_path):
    table = tmp_path / "mnist" / "sign_mnist_train.csv"
    mnist(table)
    whole = table.read_text()
    for text, words in (
        (whole + "1,2,3\n", "line 26 has 3 values"),
        (whole + "1," + "0.5," * 783 + "0\n", "line 26 holds '0.5'"),
        (whole + "1," + "9999," * 783 + "0\n", "line 26 holds '9999'"),
        (whole + "1," + "\x1d8," * 783 + "0\n", "line 26 holds '\\x1d8'"),
        (whole + "9," + "0," * 783 + "0\n", "line 26: label 9"),
        (whole + '"' + "x" * 200_000, "is no csv"),
        (whole.replace(",", ";"), "values"),
        ("\ufeff" + whole, "is UTF-16: save it as UTF-8"),
    ):
        table.write_text(text, "utf-16-le" if "UTF-16" in words else "utf-8")
        assert words in refused("sign_mnist", tmp_path / "mnist"), words
    rows = [",".join(["1", *["100"] * 783, "2"])] * 4
    table.write_text("\n".join(rows))
    said = refused("sign_mnist", tmp_path / "mnist")
    assert "the first column may be the label, and the last too" in said
    mnist(tmp_path / "mnist" / "sign_mnist_train.csv")
    (tmp_path / "mnist" / "more").mkdir()
    mnist(tmp_path / "mnist" / "more" / "sign_mnist_train.csv", header=False)
    assert "differ: remove one" in refused("sign_mnist", tmp_path / "mnist")
