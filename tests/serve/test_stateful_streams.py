"""WebSocket /api/stream of a model with a state: new characters alone, each once, and final."""

import asyncio
import itertools
import json
import time

import numpy as np
import pytest
import requests
import websockets

from aslx.export import exported, stream_reading
from aslx.runs import evaluator, trained_run
from aslx.schema import landmarks
from aslx.serve import __main__ as serve
from aslx.serve import interpreter_pool, stepping, turns
from tests.serve import servers
from tests.serve.test_streams import END, closed, stream, until, wait_until_none_is_open

RESET = '{"type": "reset"}'


@pytest.fixture(scope="module")
def streamed(learned) -> trained_run.Run:
    return learned("streaming")


@pytest.fixture(scope="module")
def clips(streamed) -> list[np.ndarray]:
    test = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test")
    return [landmarks.columns(clip) for clip in itertools.islice(test.clips(), 200)]


@pytest.fixture(scope="module")
def texts(streamed) -> list[str]:
    """What the network reads in the whole clips."""
    evaluation = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test")
    return [answer.text for answer in evaluation.run(streamed.model)[0]]


@pytest.fixture(scope="module")
def stateful(streamed):
    with servers.serving(streamed.workdir) as server:
        yield server


def checked(answers: list[dict], frames: int) -> str:
    """The text of a clip's answers, the last of which covers all frames."""
    covered = [a["frames"] for a in answers]
    assert covered == sorted(covered) and covered[-1] == frames
    for answer in answers:
        assert answer["text"] == "".join(c["character"] for c in answer["characters"])
    return "".join(a["text"] for a in answers)


def cut(server, clips: list[np.ndarray], texts: list[str]) -> None:
    """Sends each clip in messages of 1 to 64 frames, at random."""
    rng = np.random.default_rng(0)
    with stream(server) as socket:
        for clip, text in zip(clips, texts, strict=True):
            at = 0
            while at < len(clip):
                size = int(rng.integers(1, 65))
                socket.send(clip[at : at + size].tobytes())
                at += size
                time.sleep(size / 2000)  # A stream may not send much faster than cameras do.
            socket.send(RESET)
            *answers, _ = until(socket, "reset")
            assert checked(answers, len(clip)) == text


def test_any_cutting_of_20_clips_into_messages_has_the_text_of_the_whole(stateful, clips, texts):
    cut(stateful, clips[:20], texts[:20])
    assert len(set(texts[:20])) > 5


@pytest.mark.slow
def test_any_cutting_of_200_clips_into_messages_has_the_text_of_the_whole(stateful, clips, texts):
    for some in range(0, 200, 20):  # A stream may send 120 frames a second.
        cut(stateful, clips[some : some + 20], texts[some : some + 20])


def test_an_answer_comes_with_each_chunk_and_is_never_taken_back(stateful, clips):
    with stream(stateful) as socket:
        for row in clips[0]:
            socket.send(row.tobytes())
            time.sleep(0.01)
        socket.send(END)
        *answers, end = until(socket, "end")
    assert end == {"type": "end", "answers": len(answers)}
    assert [a["sequence"] for a in answers] == list(range(len(answers)))
    frames = len(clips[0])
    expected = [*range(8, frames + 1, 8)]
    assert [a["frames"] for a in answers] == sorted({*expected, frames})
    assert len(checked(answers, frames)) > 0


def test_a_camera_of_another_rate_is_interpolated_as_predict_does(streamed, stateful, clips):
    export = exported.open_export(str(streamed.workdir) + "/export")
    steps = stepping.Steps(export, interpreter_pool.Engine(export, 1), serve.Command().rests, 1)
    for rate in (12.5, 60.0):
        with stream(stateful, json.dumps({"rate": rate})) as socket:
            for clip in clips[:4]:
                socket.send(clip.tobytes())
                socket.send(RESET)
                *answers, _ = until(socket, "reset")
                text = checked(answers, len(clip))
                camera, one = stream_reading.FixedRate(30.0), reader(steps)
                frames = [f for i, row in enumerate(clip) for f in camera.add(i / rate, row)]
                assert text == "".join(r.text for r in [*one.add(frames), *one.end()])


def reader(steps: stepping.Steps) -> stream_reading.StreamReader:
    step = steps._one.get()
    steps._one.put(step)
    return stream_reading.StreamReader(steps.start, step, steps.chunk, steps.names, steps._rests)


def test_a_phrase_ends_where_the_hands_go_and_the_next_is_read_from_the_beginning(
    stateful, clips, texts
):
    long = [i for i, text in enumerate(texts) if len(text) > 1][:2]
    rest = np.full((40, clips[0].shape[1]), np.nan, np.float32)
    with stream(stateful) as socket:
        for i in long:  # Chunks begin with the clip, as by itself.
            more = -len(clips[i]) % 8
            socket.send(clips[i].tobytes())
            socket.send(rest[: 32 + more].tobytes())
        socket.send(END)
        *answers, _ = until(socket, "end")
    phrases = [""]
    for answer in answers:
        phrases[-1] += answer["text"]
        phrases += [""] * answer["ended"]
    assert phrases == [*(texts[i] for i in long), ""]


def test_streams_that_wait_together_are_read_together_as_each_by_itself(streamed, clips, texts):
    export = exported.open_export(str(streamed.workdir) + "/export")
    engine = interpreter_pool.Engine(export, 1)
    steps, taken = stepping.Steps(export, engine, serve.Command().rests, 1), []
    together = steps._together
    steps._together = lambda mine: taken.append(len(mine)) or together(mine)

    async def one(clip: np.ndarray) -> str:
        client, state, text = turns.Client(), steps.start(), ""
        for at in range(0, len(clip), 8):
            written, _, state = await steps.step(list(clip[at : at + 8]), state, client)
            text += "".join(w.character for w in written)
        return text

    async def gone(clip: np.ndarray) -> None:
        work = asyncio.create_task(steps.step(list(clip[:8]), steps.start(), turns.Client()))
        await asyncio.sleep(0.001)
        work.cancel()  # A client that goes takes nobody with it.

    async def every() -> list[str]:
        async with asyncio.TaskGroup() as group:
            for clip in clips[:9]:
                group.create_task(gone(clip))
            reads = [group.create_task(one(clip)) for clip in clips[:40]]
        return [read.result() for read in reads]

    assert servers.ran(every()) == texts[:40]
    assert max(taken) == 8 and not steps._waiting
    engine.close()


async def _one_of_many(server, clip: np.ndarray, rest: float) -> str:
    async with websockets.connect(server.socket, open_timeout=60) as socket:
        await socket.send("{}")
        assert json.loads(await socket.recv())["stream"] == {"rate": 30.0, "chunk": 8}
        for row in clip:
            await socket.send(row.tobytes())
            await asyncio.sleep(rest)
        await socket.send(END)
        answers = [json.loads(message) async for message in socket]
    return checked(answers[:-1], len(clip))


def test_a_hundred_streams_at_once_have_the_texts_of_their_clips(stateful, clips, texts):
    async def every() -> list[str]:
        return await asyncio.gather(*(_one_of_many(stateful, clip, 0.01) for clip in clips[:100]))

    assert servers.ran(every()) == texts[:100]
    wait_until_none_is_open(stateful)


def test_a_stream_that_goes_leaves_its_place_and_one_too_many_is_told_so(streamed, clips):
    with servers.serving(streamed.workdir, "--limits.streams", 2) as server:
        for _ in range(3):
            with stream(server) as socket:
                socket.send(clips[0].tobytes())
                socket.socket.close()  # Without a word.
        wait_until_none_is_open(server)
        with stream(server), stream(server):
            assert requests.get(f"{server.http}/health", timeout=30).json()["streams"] == 2
            code, reason = closed(server)
            assert code == 1013 and "2 are served already" in reason


def test_a_stream_goes_on_for_longer_than_a_clip_may_be(streamed, clips):
    with servers.serving(streamed.workdir, "--limits.frames", 64) as server:
        with stream(server) as socket:
            for at in range(0, 320, 32):
                socket.send(np.resize(clips[0], (32, clips[0].shape[1])).tobytes())
                while json.loads(socket.recv(timeout=30))["frames"] < at + 32:
                    pass
            socket.send(END)
            until(socket, "end")
        rows = np.zeros((65, 126), np.float32).tobytes()
        code, reason = closed(server, rows)
        assert code == 1013 and "more than 64 frames wait" in reason
        # A frame a second stands for thirty of the model.
        code, reason = closed(server, rows, first='{"rate": 1}')
        assert code == 1008 and "more than 120 frames a second" in reason
        code, reason = closed(server, rows[: 5 * 504], first='{"rate": 1}')
        assert code == 1013 and "more than 64 frames wait" in reason


def test_a_rate_is_no_rate_for_a_model_of_whole_clips(server):
    code, reason = closed(server, first='{"rate": 30}')
    assert code == 1007 and reason.startswith("rate: the model reads whole clips")
