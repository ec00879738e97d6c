"""A folder of films, and a csv of their phrases, becomes Kaggle's layout."""

import pathlib
import shutil

import numpy as np
import pytest

from aslx.data import records
from aslx.prepare import __main__ as prepare
from aslx.readers import csv_files, parquet, pose_files
from aslx.schema import landmarks
from tests import person

pytestmark = pytest.mark.long

Elan = pytest.importorskip("pympi.Elan")
pytest.importorskip("pose_format")


@pytest.fixture(scope="module")
def source(film, wall, tmp_path_factory) -> pathlib.Path:
    """Three films, one of them damaged, and the csv of their phrases."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "alice").mkdir()
    (folder / "alice" / "one.mp4").write_bytes(film.read_bytes())
    (folder / "wall.mp4").write_bytes(wall.read_bytes())
    person.cut(film, folder / "broken.mov")
    rows = [
        "path,participant_id,phrase",
        "alice/one.mp4,Alice,hello",
        "broken.mov,4,www",
        "gone.mp4,4,www",
        "wall.mp4,4,no 1",
    ]
    (folder / "phrases.csv").write_text("\n".join(rows))
    return folder


@pytest.mark.slow
def test_films_and_their_phrases_become_what_fingerspelling_takes(run, source, track, tmp_path):
    out = tmp_path / "kaggle"
    done = run(prepare, "video", "--source", source, "--out", out)
    result, said = done.last(), done.out.splitlines()
    assert (result["made"], result["left_out"]) == (2, 2)
    assert result["hands"] == track.hands.sum() and result["frames"] == len(track.values) + 6
    assert said[0].startswith("left out: broken.mov: ") and "no video" in said[0]
    assert said[1].startswith("left out: gone.mp4: there is no file")
    assert result["clips"] == 2
    made = out / "train_landmarks" / "alice" / "one.mp4.parquet"
    (sequence,) = parquet.read(made, landmarks.ALL)
    np.testing.assert_array_equal(sequence.points, track.points)
    before = made.stat().st_mtime_ns
    result = run(prepare, "video", "--source", source, "--out", out).last()
    assert (result["made"], result["stood"]) == (0, 2) and made.stat().st_mtime_ns == before
    otherwise = run(prepare, "video", "--source", source, "--out", out, "--fps", 15)
    assert "was made otherwise" in otherwise.refusal()
    shards = tmp_path / "shards"
    args = ("--source", out, "--out", shards, "--split", "none", "--frames-per-character", 0)
    done = run(prepare, "fingerspelling", *args)
    assert done.status == 0, done.err
    stored = records.Records(shards, "train")
    assert b"hello" in {fields["phrase"].bytes_list.value[0] for fields in stored}
    assert list(stored.metadata["signers"].values()) == ["Alice"]


def test_a_clip_of_a_film_opens_in_pandas_as_kaggles_do(run, source, tmp_path):
    import pandas as pd

    out = tmp_path / "kaggle"
    assert run(prepare, "video", "--source", source, "--out", out).status == 0
    table = pd.read_csv(out / "train.csv")
    assert list(table.columns) == ["path", "file_id", "sequence_id", "participant_id", "phrase"]
    clip = pd.read_parquet(out / table.path[0])
    assert clip.index.name == "sequence_id" and (clip.index == table.sequence_id[0]).all()
    assert clip.shape[1] == 1 + 3 * 543 and (clip.frame == np.arange(len(clip))).all()


@pytest.mark.parametrize(
    "text, words",
    [
        ("path\nwall.mp4\n", "has no column 'phrase'"),
        ("path,phrase\n", "lists no video"),
        ("path,phrase\nnone.mp4,a\n", "none.mp4 is missing"),
        ("path,phrase\nwall.mp4,a\n./wall.mp4,b\n", "lists wall.mp4 more than once"),
        ("path,phrase\n../films/wall.mp4,a\n", "line 2: '../films/wall.mp4' leads out"),
        ("path,phrase\na/../../films/wall.mp4,a\n", "line 2: 'a/../../films/wall.mp4' leads out"),
        ("path,phrase\n/films/wall.mp4,a\n", "line 2: '/films/wall.mp4' leads out"),
        ("path,phrase\nlink/wall.mp4,a\n", "line 2: link/wall.mp4 is a link that leads out"),
        ("path,phrase\nlinked.mp4,a\n", "line 2: linked.mp4 is a link that leads out"),
    ],
)
def test_a_csv_that_cannot_be_is_found_before_any_film_is_read(run, text, words, tmp_path):
    source, films, out = (tmp_path / name for name in ("source", "films", "out"))
    for folder in (source, films):
        folder.mkdir()
        (folder / "wall.mp4").touch()
    (source / "link").symlink_to(films)
    (source / "linked.mp4").symlink_to(films / "wall.mp4")
    (source / "phrases.csv").write_text(text)
    assert words in run(prepare, "video", "--source", source, "--out", out).refusal()
    assert not out.exists() and [path.name for path in films.iterdir()] == ["wall.mp4"]


def _eaf(path, spans, media=None, tier="spelling"):
    eaf = Elan.Eaf(author="")
    eaf.add_tier(tier, part="Ada")
    for begin, end, text in spans:
        eaf.add_annotation(tier, begin, end, text)
    if media:
        eaf.add_linked_file(f"file:///D:/elsewhere/{media}", None, "video/mp4")
    eaf.to_file(path)
    return path


def test_every_annotation_of_a_film_becomes_a_clip(run, film, track, tmp_path):
    source, out, poses = (tmp_path / name for name in ("source", "kaggle", "poses"))
    (source / "a").mkdir(parents=True)
    shutil.copy(film, source / "a" / "film.mp4")
    half = round(float(track.seconds[-1]) * 500)
    spans = [(half, 2 * half, "lo"), (0, half, "hel"), (10**6, 10**6 + 500, "late")]
    _eaf(source / "a" / "notes.eaf", spans, "film.mp4")
    words = ("video", "--source", source, "--out", out, "--tier", "spelling", "--pose", poses)
    done = run(prepare, *words)
    result = done.last()
    assert (result["made"], result["clips"], result["left_out"]) == (1, 2, 1), done.err
    assert "film.mp4 from 1000.000 to 1000.500 s: the film ends before" in done.out
    table = list(csv_files.read(out / "train.csv", ("path", "phrase")))
    assert [(line["phrase"], line["participant_id"]) for line in table] == [
        ("hel", "Ada"),
        ("lo", "Ada"),
    ]
    clips = {
        found.id: found.points for found in parquet.read(out / table[0]["path"], landmarks.ALL)
    }
    first, second = (clips[line.integer("sequence_id")] for line in table)
    begun = int((track.seconds < half / 1000).sum())
    np.testing.assert_array_equal(first, track.points[:begun])
    np.testing.assert_array_equal(second, track.points[begun : begun + len(second)])
    assert len(first) > 3 and len(second) > 3
    posed = pose_files.read(poses / "a" / "film.mp4.pose")
    np.testing.assert_allclose(posed.points, track.points, rtol=1e-6)
    assert (posed.width, posed.height) == (track.width, track.height)
    assert run(prepare, *words).last()["stood"] == 1
    _eaf(source / "a" / "notes.eaf", spans[:2], "film.mp4")
    assert "was made otherwise" in run(prepare, *words).refusal()


def test_annotations_that_cannot_be_are_said_before_any_film_is_read(run, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()

    def refusal() -> str:
        words = ("video", "--source", source, "--out", out, "--tier", "spelling")
        return run(prepare, *words).refusal()

    assert "holds no .eaf file" in refusal()
    path = _eaf(source / "x.eaf", [(0, 500, "a")], "../../secret.mp4")
    assert "x.eaf is about secret.mp4, and no such film lies beside it" in refusal()
    (source / "x.mp4").touch()
    _eaf(path, [(0, 500, "a"), (500, 900, "b")], tier="gloss")
    assert "x.eaf has no tier 'spelling'; it has 'default', 'gloss'" in refusal()
    _eaf(path, [])
    assert "the tier 'spelling' of 1 .eaf files has no text" in refusal()
    _eaf(path, [(0, 500, "a"), (0, 500, "b")])
    assert "two texts from this moment to the same" in refusal()
    (source / "x.mp4").unlink()
    (tmp_path / "far.mp4").touch()
    (source / "x.mp4").symlink_to(tmp_path / "far.mp4")
    _eaf(path, [(0, 500, "a")])
    assert "x.mp4 is a link that leads out of" in refusal()
    assert not out.exists()
