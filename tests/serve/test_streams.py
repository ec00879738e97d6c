"""WebSocket /api/stream: answers in order, none lost, and what closes a stream."""

import asyncio
import contextlib
import json
import time
from socket import SHUT_RDWR

import numpy as np
import pytest
import requests
import websockets
from websockets.sync import client

from tests.serve import servers
from tests.serve.bodies import packed
from tests.serve.conftest import as_json

END = '{"type": "end"}'


@contextlib.contextmanager
def stream(server, first: str | bytes = '{"columns": []}', **options):
    with client.connect(server.socket, **options) as socket:
        socket.send(first)
        ready = json.loads(socket.recv())
        assert ready["type"] == "ready"
        yield socket


def until(socket, kind: str) -> list[dict]:
    """All messages up to the first of a kind."""
    found = []
    while not found or found[-1]["type"] != kind:
        found.append(json.loads(socket.recv(timeout=30)))
    return found


def said(answer: dict) -> dict:
    return {name: answer[name] for name in ("text", "characters")}


def check_covered(answers: list[dict], clip: np.ndarray) -> None:
    """Each answer covers more frames than the one before, and the last covers all."""
    covered = [a["frames"] for a in answers]
    assert covered == sorted(set(covered)) and covered[-1] == len(clip)


def test_an_answer_covers_the_frames_that_it_says_and_the_last_covers_all(trained, server):
    clip = trained.clips[0]
    with stream(server) as socket:
        for row in clip:
            socket.send(row.tobytes())
            time.sleep(0.005)
        socket.send(END)
        *answers, end = until(socket, "end")
    assert end == {"type": "end", "answers": len(answers)}
    assert [a["sequence"] for a in answers] == list(range(len(answers)))
    check_covered(answers, clip)
    for answer in answers:
        assert said(answer) == trained.answer(clip[: answer["frames"]])
    assert socket.close_code == 1000


def test_frames_that_come_faster_than_they_are_read_are_read_together(trained, server):
    clip = np.tile(trained.clips[0], (10, 1))
    with stream(server) as socket:
        for row in clip:
            socket.send(row.tobytes())
        socket.send(END)
        *answers, _ = until(socket, "end")
    assert answers[-1]["frames"] == len(clip) > 2 * len(answers)


def test_rows_in_json_and_in_bytes_have_one_answer_in_any_order_of_columns(trained, server):
    clip, columns = trained.clips[1], ["frame", *trained.columns[::-1]]
    mixed = np.concatenate([np.zeros((len(clip), 1), np.float32), clip[:, ::-1]], 1)
    for first in (json.dumps({"columns": columns}), packed({"columns": columns})):
        with stream(server, first) as socket:
            frames = {"type": "frames", "frames": as_json(mixed[:7])}
            socket.send(json.dumps(frames))
            socket.send(mixed[7:9].tobytes())
            socket.send(np.nan_to_num(mixed[9:]).tobytes())  # A lost hand is 0, or NaN.
            socket.send(END)
            *answers, _ = until(socket, "end")
        assert said(answers[-1]) == trained.answer(clip)


def test_a_reset_answers_all_of_its_clip_and_begins_the_next(trained, server):
    with stream(server) as socket:
        for i, clip in enumerate(trained.clips[:5]):
            socket.send(clip.tobytes())
            socket.send('{"type": "reset"}')
            *answers, reset = until(socket, "reset")
            assert reset == {"type": "reset", "clip": i + 1}
            assert {a["clip"] for a in answers} == {i}
            assert said(answers[-1]) == trained.answer(clip)


async def _one_of_many(server, clips: list[np.ndarray]) -> list[list[dict]]:
    """A stream's answers, clip by clip."""
    found = []
    async with websockets.connect(server.socket, open_timeout=60) as socket:
        await socket.send("{}")
        assert json.loads(await socket.recv())["type"] == "ready"
        for clip in clips:
            for row in clip:
                await socket.send(row.tobytes())
                await asyncio.sleep(0.01)
            await socket.send('{"type": "reset"}')
            found.append([])
            while not found[-1] or found[-1][-1]["type"] != "reset":
                found[-1].append(json.loads(await socket.recv()))
    return found


def test_a_hundred_streams_at_once_lose_no_answer_and_keep_its_order(trained, server):
    async def every() -> list:
        mine = [[trained.clips[i % 50], trained.clips[(7 * i + 3) % 50]] for i in range(100)]
        answers = await asyncio.gather(*(_one_of_many(server, clips) for clips in mine))
        return list(zip(mine, answers, strict=True))

    known: dict = {}
    for clips, answers in servers.ran(every()):
        numbers = [a["sequence"] for of_clip in answers for a in of_clip[:-1]]
        assert numbers == list(range(len(numbers)))
        for clip, (*of_clip, _) in zip(clips, answers, strict=True):
            check_covered(of_clip, clip)
            for answer in of_clip:
                key = clip[: answer["frames"]].tobytes()
                known.setdefault(key, trained.answer(clip[: answer["frames"]]))
                assert said(answer) == known[key]


def closed(server, *messages, first='{"columns": []}', **options) -> tuple[int, str]:
    """How the server closes a stream that sends these."""
    with client.connect(server.socket, **options) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            for message in (first, *messages):
                socket.send(message)
            while True:
                socket.recv(timeout=30)
        return socket.close_code, socket.close_reason


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        (["{"], 1007, "Invalid JSON"),
        (['{"type": "dance"}'], 1007, "does not match any of the expected tags"),
        (['{"type": "frames", "frames": [[1]]}'], 1007, "frame 0 has 1 values, and not 126"),
        ([b"123"], 1007, "3 bytes are no frames of 504"),
        ([b"0" * (2**20 + 1)], 1009, "a message of 1048577 bytes: at most 1048576"),
        ([b"" for _ in range(1300)], 1008, "more than 120 frames a second"),
    ],
    ids=["no json", "no such type", "narrow", "part of a row", "long message", "fast"],
)
def test_a_stream_that_errs_is_closed_with_a_reason(server, messages, code, reason):
    found = closed(server, *messages)
    assert found[0] == code and reason in found[1]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ('{"columns": ["a"]}', "the columns lack 'x_right_hand_0' and 125 more"),
        ('{"type": "end"}', "type: Input should be 'columns'"),
        (b"\xc1", "no msgpack message"),
        ("", "Invalid JSON"),
    ],
)
def test_a_first_message_that_names_no_columns_closes_the_stream(server, first, reason):
    code, why = closed(server, first=first)
    assert code == 1007 and reason in why


def test_a_page_of_another_origin_is_turned_away(server):
    assert closed(server, origin="http://elsewhere.example")[0] == 1008
    with stream(server, origin=server.http):
        pass


def wait_until_none_is_open(server) -> None:
    deadline = time.monotonic() + 20
    while requests.get(f"{server.http}/health", timeout=30).json()["streams"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_stream_more_than_may_be_open_is_told_to_try_again(narrow):
    with stream(narrow):
        assert requests.get(f"{narrow.http}/health", timeout=30).json()["streams"] == 1
        code, reason = closed(narrow)
        assert code == 1013 and "1 are served already: try again" in reason
    wait_until_none_is_open(narrow)
    with stream(narrow):  # The place is free again.
        pass


def test_a_clip_that_grows_too_long_closes_its_stream(narrow):
    wait_until_none_is_open(narrow)
    rows = np.zeros((60, 126), np.float32).tobytes()
    code, reason = closed(narrow, rows, rows)
    assert code == 1009 and "100 frames at most: send reset" in reason


def test_clients_that_vanish_leave_their_places(trained, server):
    for i in range(20):
        with stream(server) as socket:
            socket.send(trained.clips[i].tobytes())
            socket.socket.shutdown(SHUT_RDWR)  # Without a close frame.
    wait_until_none_is_open(server)
