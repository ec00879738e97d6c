"""A .pose file is read as its parquet twin, and what is read goes into files of other tools."""

import sys

import numpy as np
import pytest

from aslx import errors
from aslx.predict import __main__ as predict
from aslx.predict import annotations, predictions
from aslx.readers import pose_files, pose_writing
from aslx.runs import evaluator
from aslx.schema import landmarks
from tests import posed

Elan = pytest.importorskip("pympi.Elan")
pytest.importorskip("pose_format")
CLIPS = 50


@pytest.fixture(scope="module")
def clips(learned) -> list[np.ndarray]:
    """Test clips f32[T, N, 3] of a run, whose hands begin at depth 0, as MediaPipe's do."""
    run = learned("ctc")
    found = evaluator.Evaluation(run.cfg, run.mesh, "test", limit=CLIPS).clips()
    return [posed.from_wrists(np.array(clip, np.float32), run.source.selection) for clip in found]


def test_fifty_pose_files_are_read_as_their_arrays_letter_for_letter(learned, clips, tmp_path):
    run = learned("ctc")
    selection, ours, theirs = run.source.selection, [], []
    for i, clip_TN3 in enumerate(clips):
        every = np.full((len(clip_TN3), 543, 3), np.nan, np.float32)
        every[:, landmarks.ALL.indices(*selection.points)] = clip_TN3
        pose_writing.write(tmp_path / f"ours{i}.pose", every, 30.0)
        posed.write(tmp_path / f"theirs{i}.pose", clip_TN3, selection, (1280, 720))
        ours += [clip for _, clip in run.source.clips(str(tmp_path / f"ours{i}.pose"))]
        theirs += [clip for _, clip in run.source.clips(str(tmp_path / f"theirs{i}.pose"))]
    # All at once, because every length that is read alone is compiled.
    expected, *found = ([x.text for x in run.answers(given)] for given in (clips, ours, theirs))
    assert found == [expected, expected] and len(set(expected)) > CLIPS / 2


def test_a_pose_file_without_hands_is_not_read_and_the_command_says_so(run, learned, tmp_path):
    path = posed.write(tmp_path / "a.pose", posed.clip(12, hands=False))
    (line,) = run(predict, "--workdir", learned("ctc").workdir, path).lines()
    assert line["text"] == "" and line["frames_with_a_hand"] == 0
    assert line["note"] == "no hand was found in any of 12 frames"


def _read(learned, clips, path):
    """A .pose file in which a run reads several characters, and what it reads."""
    run = learned("ctc")
    for clip_TN3 in clips:
        posed.write(path, clip_TN3, run.source.selection, rate=29.97)
        (one,) = predictions.read(run, path)
        if len(set(one.text)) > 2:
            return run, one
    raise AssertionError("the run reads nothing")


def test_an_eaf_has_text_and_characters_with_times_and_confidences(run, learned, clips, tmp_path):
    trained, one = _read(learned, clips, tmp_path / "a.pose")
    out = tmp_path / "out" / "read.eaf"
    arguments = ("--workdir", trained.workdir, tmp_path / "a.pose", "--eaf", out)
    done = run(predict, *arguments)
    assert done.status == 0 and f"written: {out}" in done.err
    eaf = Elan.Eaf(out)
    ((begin, end, text),) = eaf.get_annotation_data_for_tier("text")
    assert text == one.text == done.last()["text"]
    assert one.track is not None
    shown = np.flatnonzero(one.track.hands)
    first, last = 1000 * one.track.seconds[shown[[0, -1]]]
    assert first - 1 < begin <= first and last < end - 1000 / 29.97 + 0.01 < last + 1.01
    ((*_, sure, _),) = eaf.get_ref_annotation_data_for_tier("text confidence")
    assert float(sure) == pytest.approx(done.last()["confidence"], abs=1e-4)
    characters = eaf.get_annotation_data_for_tier("characters")
    assert "".join(character for *_, character in characters) == one.text
    times = [at for begin, end, _ in characters for at in (begin, end)]
    assert times == sorted(times) and times[0] == begin and times[-1] == end
    every = eaf.get_ref_annotation_data_for_tier("characters confidence")
    assert [float(row[2]) for row in every] == pytest.approx(one.answer.sure, abs=1e-4)


def test_without_a_reading_an_eaf_has_an_empty_tier(learned, tmp_path):
    path = posed.write(tmp_path / "a.pose", posed.clip(12, hands=False))
    run = learned("ctc")
    (one,) = predictions.read(run, path)
    annotations.write_eaf(run, one, None, tmp_path / "a.eaf")
    assert Elan.Eaf(tmp_path / "a.eaf").get_annotation_data_for_tier("text") == []


def test_the_landmarks_of_what_is_read_are_written(run, learned, clips, tmp_path):
    trained, one = _read(learned, clips, tmp_path / "a.pose")
    done = run(
        predict, "--workdir", trained.workdir, tmp_path / "a.pose", "--pose", tmp_path / "poses"
    )
    assert done.status == 0, done.err
    (path,) = (tmp_path / "poses").iterdir()
    assert path.name == f"{tmp_path.name}-a.pose" and f"written: {path}" in done.err
    found = pose_files.read(path)
    assert one.track is not None
    np.testing.assert_allclose(found.points, one.track.points, rtol=1e-6)
    assert (round(found.rate, 4), found.width, found.height) == (29.97, 640, 480)
    (bare,) = predictions.read(trained, clips[0])
    annotations.write_pose(trained.source, bare, tmp_path / "bare.pose")
    again = pose_files.read(tmp_path / "bare.pose").points
    places = landmarks.ALL.indices(*trained.source.selection.points)
    np.testing.assert_array_equal(again[:, places], clips[0])
    assert np.isnan(np.delete(again, places, 1)).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--eaf", "a.txt", "x.pose"), "--eaf a.txt: needs a name that ends in .eaf"),
        (("--eaf", "a.eaf", "x.pose", "y.pose"), "--eaf a.eaf: needs one video or .pose file"),
        (("--eaf", "a.eaf"), "--eaf a.eaf: needs one video or .pose file"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_read(run, words, said):
    assert said in run(predict, *words).refusal()


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [(("--eaf", "a.eaf"), "pympi", "elan"), (("--pose", "out"), "pose_format", "pose")],
)
def test_without_its_extra_one_line_says_which(run, monkeypatch, words, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    said = run(predict, *words, "x.mp4").refusal()
    assert f"this needs {package}, which is not installed: pip install" in said
    assert f"[{extra}]" in said


def test_an_array_tells_no_times(learned, clips, tmp_path):
    run = learned("ctc")
    (one,) = predictions.read(run, clips[0])
    with pytest.raises(errors.BadInput, match="tells no times: give a video or"):
        annotations.write_eaf(run, one, None, tmp_path / "a.eaf")
    assert not (tmp_path / "a.eaf").exists()


def test_the_package_reader_reads_the_sample_as_its_parquet(shared, tmp_path):
    from aslx.export import exported
    from aslx.readers import parquet

    reader, source = exported.open_reader(), shared / "fingerspelling_sample"
    (path, *_) = sorted((source / "train_landmarks").glob("*.parquet"))
    for sequence in [*parquet.read(path, landmarks.ALL)][:5]:
        file = tmp_path / f"{sequence.id}.pose"
        pose_writing.write(file, sequence.points, 30.0)
        array, pose = (predictions.read(reader, each)[0] for each in (sequence.points, file))
        assert array.report == pose.report and len(array.text) > 5
