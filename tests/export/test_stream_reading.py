"""A stream's frames, at the camera's own times, become characters as the hand spells."""

import itertools
from collections.abc import Callable, Iterable

import jax
import numpy as np
import pytest

from aslx.decode import decoding_options
from aslx.export import stream_graph, stream_reading
from aslx.prepare.many_hands import clips as many_hands
from aslx.runs import evaluator, trained_run
from aslx.schema import landmarks


def at_rate(camera: float, rate: float, frames: np.ndarray) -> np.ndarray:
    fixed = stream_reading.FixedRate(rate)
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
    fixed = stream_reading.FixedRate(30.0)
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


@pytest.fixture(scope="module")
def reader(streamed) -> Callable[[], stream_reading.StreamReader]:
    """Makes readers of new streams."""
    stream = stream_graph.of(streamed.cfg, streamed.model)
    names = streamed.cfg.task.report.about()["answers"]
    given = stream.start, jax.jit(stream.step), stream.chunk, names
    rests = decoding_options.Rests().frames(stream.rate)
    return lambda: stream_reading.StreamReader(*given, rests)


@pytest.mark.parametrize("size", [1, 3, 8, 64])
def test_any_cutting_of_a_stream_writes_what_the_whole_clip_has(streamed, reader, clips, size):
    texts = []
    for clip in clips:
        frames, stream = list(streamed.source.pack(clip)), reader()
        reads = [r for i in range(0, len(frames), size) for r in stream.add(frames[i : i + size])]
        reads += stream.end()
        texts.append("".join(read.text for read in reads))
        assert [read.frames for read in reads] == [*range(8, len(frames), 8), len(frames)]
    answers = streamed.answers(clips)
    assert texts == [streamed.report(answer)["text"] for answer in answers]
    assert len(set(texts)) > 5


def phrases(reads: Iterable[stream_reading.Read]) -> list[str]:
    """The texts of the phrases; the last one has not ended."""
    found = [""]
    for read in reads:
        found[-1] += read.text
        if read.ended:
            found.append("")
    return found


def spelled(texts: list[str], seed: int) -> list[np.ndarray]:
    """A clip f32[T, C] of each text, by generator 2.0.0 at 30 frames a second."""
    hands = {"right_hand": list(range(21)), "left_hand": list(range(21))}
    made = many_hands.make(np.random.default_rng(seed), seed, 8, texts, hands, fps=30.0)
    points = np.concatenate([made.parts[part] for part in hands], 1)
    ends = np.cumsum(made.frames)[:-1]
    return [landmarks.columns(clip) for clip in np.split(points.astype(np.float32), ends)]


def lost(frames: int) -> np.ndarray:
    return np.full((frames, 126), np.nan, np.float32)


def test_two_phrases_with_a_pause_between_are_read_as_each_by_itself(reader):
    texts = []
    for seed in range(5):
        one, other = spelled(["hello there", "good bye"], seed)
        # The hands went for 24 frames, and the state began anew, at the end of this chunk.
        seen = int(np.flatnonzero(~np.isnan(one).all(1))[-1]) + 1
        anew = -(-(seen + 24) // 8) * 8
        pause = lost(anew + 11 - len(one))
        stream = reader()
        both = phrases([*stream.add([*one, *pause, *other, *lost(40)]), *stream.end()])
        alone = []
        for clip in ([*one, *pause], [*lost(11), *other, *lost(40)]):
            stream = reader()
            alone.append(phrases([*stream.add(clip), *stream.end()]))
        assert alone[0][-1] == "" and both == [*alone[0][:-1], *alone[1]]
        texts += both[:-1]
    assert len(set(texts)) > 5


def test_a_hand_that_is_held_ends_its_phrase_and_is_not_written_again(reader, clips):
    ends = 0
    for clip in clips:
        frames = list(landmarks.columns(clip))
        held = [f for f in frames if not np.isnan(f).all()][-1]
        stream = reader()
        first, *others = phrases(stream.add([*frames, *[held] * 300]))
        assert first and not "".join(others)
        ends += len(others)
    assert ends == len(clips)


def test_nothing_is_written_where_nobody_spells_and_no_phrase_ends(reader):
    rng = np.random.default_rng(0)
    starts = 0
    for _ in range(5):
        frames = lost(900)
        for at in rng.integers(0, 890, 6):  # The tracker takes something for a hand.
            frames[at : at + 2] = rng.random((2, 126))
        starts += len("".join(phrases(reader().add(list(lost(900))))))
        reads = list(reader().add(list(frames)))
        assert sum(read.ended for read in reads) <= len("".join(r.text for r in reads))
    assert starts == 0
