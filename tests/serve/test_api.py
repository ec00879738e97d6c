"""POST /api/transcribe: its inputs, its answers, and its refusals."""

import json
import sys

import msgpack
import numpy as np
import pandas as pd
import pytest
import requests

from aslx.export import exported
from aslx.runs import evaluator
from aslx.schema import landmarks
from aslx.serve import bodies, limits, refusals
from tests import posed, processes
from tests.serve.bodies import JSON, MSGPACK, PARQUET, POSE
from tests.serve.conftest import as_json


def post(server, data, kind=JSON) -> requests.Response:
    url = f"{server.http}/api/transcribe"
    return requests.post(url, data=data, headers={"Content-Type": kind}, timeout=30)


def one(response: requests.Response) -> dict:
    assert response.status_code == 200, response.text
    (answer,) = response.json()["answers"]
    return answer


@pytest.mark.long
def test_fifty_clips_have_the_text_of_predict_of_jax_and_of_the_interpreter(
    trained, server, parquet
):
    answers = post(server, parquet.read_bytes(), PARQUET).json()["answers"]
    words = ("--workdir", trained.workdir, parquet)
    predicted = processes.ran("predict", *words, env=processes.as_users()).lines()
    assert [a["sequence_id"] for a in answers] == [p["sequence_id"] for p in predicted]
    texts = [a["text"] for a in answers]
    assert texts == [p["text"] for p in predicted] and len(texts) == len(trained.clips)
    limit = len(trained.clips)
    evaluation = evaluator.Evaluation(trained.run.cfg, trained.run.mesh, "test", limit=limit)
    assert texts == [answer.text for answer in evaluation.run(trained.run.model)[0]]
    assert len(set(texts)) > len(texts) / 2  # Equal texts are no accident.
    for clip, answer in zip(trained.clips, answers, strict=True):
        assert answer | trained.answer(clip) == answer and answer["frames"] == len(clip)


def test_a_clip_has_one_answer_in_every_format_and_order_of_columns(trained, server):
    clip, columns = trained.clips[0], trained.columns
    expected = {"sequence_id": None, "frames": len(clip)} | trained.answer(clip)
    assert expected["text"]
    rows = as_json(clip)
    assert one(post(server, json.dumps({"frames": rows}))) == expected
    assert one(post(server, json.dumps({"frames": clip.tolist()}))) == expected  # NaN.
    zeros = np.nan_to_num(clip).tolist()  # Other tools write a lost hand so.
    assert np.isnan(clip).any() and one(post(server, json.dumps({"frames": zeros}))) == expected
    assert one(post(server, json.dumps({"columns": columns, "frames": rows}))) == expected
    other = {"columns": ["frame", *columns[::-1]], "frames": [[7, *row[::-1]] for row in rows]}
    assert one(post(server, json.dumps(other))) == expected
    assert one(post(server, msgpack.packb(other), MSGPACK)) == expected


def test_a_pose_file_has_the_answer_of_its_array(trained, server, tmp_path):
    selection = trained.run.source.selection
    for clip in trained.clips[:5]:
        clip_TN3 = posed.from_wrists(selection.from_columns(clip), selection)
        path = posed.write(tmp_path / "a.pose", clip_TN3, selection, (1024, 1024))
        rows = as_json(landmarks.columns(clip_TN3))
        expected = one(post(server, json.dumps({"frames": rows})))
        assert one(post(server, path.read_bytes(), POSE)) == expected and expected["text"]


def test_a_pose_file_that_cannot_be_read_is_refused(server, tmp_path):
    whole = posed.write(tmp_path / "a.pose", posed.clip(101)).read_bytes()
    other = whole.replace(b"_LANDMARKS", b"_LANDMARKZ")
    cases = {
        whole[:-1]: "cut off or damaged",
        whole[:99]: "is damaged",
        other: "Holistic are wanted",
    }
    for body, words in cases.items():
        response = post(server, body, POSE)
        assert response.status_code == 422 and words in response.json()["detail"]
        assert "\n" not in response.json()["detail"]
    assert post(server, whole, POSE).status_code == 200
    # A point a frame has 16 bytes, and the clip would have 6,500.
    nose = landmarks.Selection("nose", ("pose_0",))
    path = posed.write(tmp_path / "b.pose", np.ones((10**5, 1, 3)), nose)
    response = post(server, path.read_bytes(), POSE)
    assert response.status_code == 413 and "at most 2000 are read" in response.json()["detail"]


def test_a_server_without_the_extra_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pose_format", None)
    whole = posed.write(tmp_path / "a.pose", posed.clip(3)).read_bytes()
    about = exported.open_reader().about
    with pytest.raises(
        refusals.Refused, match=r"this server reads no \.pose: pip install"
    ) as found:
        bodies.clips(whole, POSE, about, limits.Limits())
    assert found.value.status == 415


def test_confidences_are_probabilities_of_the_characters(trained, server):
    sure = []
    for clip in trained.clips[:5]:
        answer = one(post(server, json.dumps({"frames": as_json(clip)})))
        assert "".join(c["character"] for c in answer["characters"]) == answer["text"]
        sure += [c["confidence"] for c in answer["characters"]]
    assert all(1 / 62 < p <= 1 for p in sure) and len(set(sure)) > 5


def test_a_clip_of_no_frames_has_no_text(server):
    assert one(post(server, '{"frames": []}'))["text"] == ""


def frames(width: int, count: int = 1) -> str:
    return json.dumps({"frames": [[0.5] * width] * count})


REFUSED = {
    "not json": ("{", JSON, 400, "Invalid JSON"),
    "not msgpack": (b"\xc1", MSGPACK, 400, "no msgpack message"),
    "not parquet": (b"PAR1", PARQUET, 422, "no parquet file"),
    "unknown type": ("x", "text/plain", 415, "the model takes application/json"),
    "no type": (b"x", "", 415, "the model takes"),
    "image": (b"x", "image/png", 415, "the model takes"),
    "text for a number": ('{"frames": [["1"]]}', JSON, 422, "frames.0.0"),
    "a truth for a number": ('{"frames": [[true]]}', JSON, 422, "frames.0.0"),
    "too narrow": (frames(3), JSON, 422, "frame 0 has 3 values, and not 126"),
    "too many frames": (frames(126, 2001), JSON, 413, "at most 2000"),
    "too many bytes": (b" " * (9 << 20), JSON, 413, "more than 8388608 bytes"),
    "no frames": ("{}", JSON, 422, "frames: Field required"),
    "unknown field": ('{"frames": [], "x": 1}', JSON, 422, "x: Extra"),
    "unknown columns": ('{"columns": ["a"], "frames": []}', JSON, 422, "'x_right_hand_0' and 125"),
    "a column twice": ('{"columns": ["a", "a"], "frames": []}', JSON, 422, "named twice"),
    "deep": ("[" * 100_000, JSON, 400, "recursion limit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_in_one_line(server, case):
    body, kind, status, words = REFUSED[case]
    response = post(server, body, kind)
    assert response.status_code == status
    assert words in response.json()["detail"] and "\n" not in response.json()["detail"]


def test_a_parquet_without_the_models_columns_or_with_too_many_rows_is_refused(
    trained, server, tmp_path
):
    path = tmp_path / "clip.parquet"
    pd.DataFrame({"sequence_id": [1], "x_pose_0": [0.5]}).to_parquet(path)
    response = post(server, path.read_bytes(), PARQUET)
    assert response.status_code == 422
    assert "the body has no column 'x_right_hand_0' and 125 more" in response.json()["detail"]
    # A few kilobytes, a million rows.
    same = {name: np.zeros(10**6, np.float32) for name in trained.columns}
    pd.DataFrame({"sequence_id": 1} | same).to_parquet(path)
    response = post(server, path.read_bytes(), PARQUET)
    assert response.status_code == 413 and "1000000 rows" in response.json()["detail"]
    every = {name: np.arange(101.0) for name in trained.columns}
    pd.DataFrame({"sequence_id": range(101)} | every).to_parquet(path)
    response = post(server, path.read_bytes(), PARQUET)
    assert response.status_code == 413 and "more than 100 sequences" in response.json()["detail"]
    path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)
    assert post(server, path.read_bytes(), PARQUET).status_code == 422


def test_a_body_without_a_stated_length_is_limited_too(server):
    pieces = (b" " * 2**20 for _ in range(9))  # Sent in chunks.
    assert post(server, pieces).status_code == 413


def test_more_requests_than_may_wait_are_answered_503_at_once(narrow):
    response = post(narrow, '{"frames": []}')
    assert response.status_code == 503 and response.headers["Retry-After"]
    assert "try again" in response.json()["detail"]
