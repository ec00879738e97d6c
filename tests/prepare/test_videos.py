"""A folder of films, and a csv of their phrases, becomes Kaggle's layout."""

import pathlib

import numpy as np
import pytest

from aslx.data import records
from aslx.prepare import __main__ as prepare
from aslx.readers import parquet
from aslx.schema import landmarks
from tests import person


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


def test_films_and_their_phrases_become_what_fingerspelling_takes(run, source, track, tmp_path):
    out = tmp_path / "kaggle"
    done = run(prepare, "video", "--source", source, "--out", out)
    result, said = done.last(), done.out.splitlines()
    assert (result["made"], result["left_out"]) == (2, 2)
    assert result["hands"] == track.hands.sum() and result["frames"] == len(track.values) + 6
    assert said[0].startswith("left out: broken.mov: ") and "no video" in said[0]
    assert said[1].startswith("left out: gone.mp4: there is no file")
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
