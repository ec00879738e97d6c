"""A stream's frames, at the camera's own times, become characters as the hand spells."""

import itertools

import jax
import numpy as np
import pytest

from aslx.export import stream_graph
from aslx.predict import __main__ as predict
from aslx.predict import stream_reader
from aslx.runs import evaluator, trained_run
from tests import tiny


def at_rate(camera: float, rate: float, frames: np.ndarray) -> np.ndarray:
    fixed = stream_reader.FixedRate(rate)
    return np.array([f for i, frame in enumerate(frames) for f in fixed.add(i / camera, frame)])


@pytest.mark.parametrize("camera", [10.0, 12.5, 24.0, 29.97, 30.0, 60.0])
def test_a_camera_of_any_rate_gives_the_networks_rate_and_its_own_times(camera):
    seconds = np.arange(0, 3, 1 / camera, dtype=np.float32)[:, None]
    found = at_rate(camera, 30.0, seconds)
    # A value that grows as the seconds do is the time of each frame.
    np.testing.assert_allclose(found[:, 0], np.arange(len(found)) / 30, atol=1e-5)
    assert len(found) >= (len(seconds) - 1) / camera * 30


def test_frames_at_the_networks_rate_stay_as_they_are():
    frames = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    frames[7:9, 2] = np.nan
    np.testing.assert_array_equal(at_rate(30.0, 30.0, frames), frames)


def test_a_point_is_missing_where_the_nearer_frame_lacks_it_and_in_a_gap():
    fixed = stream_reader.FixedRate(30.0)
    lost, seen = np.array([np.nan], np.float32), np.array([1.0], np.float32)
    fixed.add(0.0, seen)
    found = np.array(fixed.add(0.1, lost))[:, 0]
    np.testing.assert_array_equal(np.isnan(found), [False, True, True])
    assert not fixed.add(0.1, seen) and not fixed.add(0.05, seen)  # No later than the one before.
    found = np.array(fixed.add(1.1, seen))[:, 0]
    assert len(found) == 30 and np.isnan(found[:-1]).all() and found[-1] == 1.0


@pytest.fixture(scope="module")
def streamed(learned) -> trained_run.Run:
    return learned("streaming")


@pytest.fixture(scope="module")
def clips(streamed) -> list[np.ndarray]:
    test = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test")
    return list(itertools.islice(test.clips(), 20))


@pytest.mark.parametrize("size", [1, 3, 8, 64])
def test_any_cutting_of_a_stream_writes_what_the_whole_clip_has(streamed, clips, size):
    stream = stream_graph.of(streamed.cfg, streamed.model)
    step, texts, names = jax.jit(stream.step), [], streamed.cfg.task.report.about()["answers"]
    for clip in clips:
        frames = list(streamed.source.pack(clip))
        reader = stream_reader.StreamReader(stream.start, step, 8, names)
        written = [w for i in range(0, len(frames), size) for w in reader.add(frames[i : i + size])]
        written += reader.end()
        texts.append("".join(w.character for w in written))
        at = [w.frame for w in written]
        assert at == sorted(at) and all(n % 8 == 7 or n == len(frames) - 1 for n in at)
    answers = streamed.answers(clips)
    assert texts == [streamed.report(answer)["text"] for answer in answers]
    assert len(set(texts)) > 5


def test_predict_prints_the_text_as_it_grows(run, streamed, clips, tmp_path):
    tiny.parquet(tmp_path / "clip.parquet", {7: clips[0]}, streamed.source.selection)
    options = ("--workdir", streamed.workdir, "--stream")
    *grown, last = run(predict, tmp_path / "clip.parquet", *options).lines()
    assert [line["text"] for line in grown] == [last["text"][: i + 1] for i in range(len(grown))]
    assert len(grown) == len(last["text"]) > 0
    seconds = [line["seconds"] for line in grown]
    assert seconds == sorted(seconds) and seconds[-1] <= round(len(clips[0]) / 30, 2)


@pytest.fixture(scope="module")
def unstreamed(learned) -> trained_run.Run:
    return learned("ctc")


def test_a_network_of_whole_clips_has_no_stream(run, unstreamed, clips, streamed, tmp_path):
    tiny.parquet(tmp_path / "clip.parquet", {7: clips[0]}, streamed.source.selection)
    options = ("--workdir", unstreamed.workdir, "--stream")
    said = "this network reads whole clips: train a streaming config first"
    assert said in run(predict, tmp_path / "clip.parquet", *options).refusal()
