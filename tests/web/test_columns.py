"""The array that the page builds of landmarks is the one that Python builds of them."""

import types

import numpy as np
import pytest

from aslx.inputs import input_kinds
from aslx.readers import video_worker
from aslx.schema import landmarks
from tests.web import conftest

SOURCES = {
    "columns": input_kinds.Columns(landmarks.HOLISTIC130),
    "columns of hands and arms": input_kinds.Columns(landmarks.HANDS_ARMS),
    "frames": input_kinds.Frames(landmarks.HOLISTIC130),
    "keypoints": input_kinds.Keypoints(face=True),
    "keypoints without the face": input_kinds.Keypoints(face=False),
}
COUNTS = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
PAGE = """
  const { rows, landmarks, padded } = await import("/web/reader/columns.js");
  const flat = (part, points) => points && Float32Array.from(
    points.flatMap((p) => [p.x, p.y, p.z, ...(part === "pose" ? [p.visibility] : [])]));
  const clip = given.frames.map((frame) => rows(given.input)(
    Object.fromEntries(Object.entries(frame).map(([part, points]) => [part, flat(part, points)]))));
"""


def results(frames: int) -> list[dict]:
    """What MediaPipe finds, as JSON: parts are lost now and then."""
    rng = np.random.default_rng(0)

    def points(count: int) -> list[dict] | None:
        values = rng.uniform(-1, 1, (count, 4)).astype(np.float32)
        names = ("x", "y", "z", "visibility")
        return [dict(zip(names, map(float, p), strict=True)) for p in values]

    return [
        {part: None if rng.random() < 0.4 else points(count) for part, count in COUNTS.items()}
        for _ in range(frames)
    ]


def found(frame: dict) -> types.SimpleNamespace:
    """The same as MediaPipe's Python has it."""
    named = {}
    for part, points in frame.items():
        listed = points and [types.SimpleNamespace(**point) for point in points]
        named[f"{part}_landmarks"] = listed and types.SimpleNamespace(landmark=listed)
    return types.SimpleNamespace(**named)


@pytest.fixture(scope="module")
def page(browser, transcriber):
    with conftest.visit(browser, transcriber) as page:
        yield page


@pytest.mark.parametrize("name", SOURCES)
def test_every_column_is_pythons(page, name):
    source, frames = SOURCES[name], results(40)
    values = np.stack([video_worker.values(found(frame)) for frame in frames])
    expected = source.pack(source.tracked(values)).reshape(len(frames), -1)
    given = {"frames": frames, "input": source.about}
    script = PAGE + "return padded(clip, clip.length, clip[0].length);"
    built = conftest.floats(page, script, given).reshape(len(frames), -1)
    if name == "frames":  # Python leaves out the points that this model does not look at.
        unread = np.isnan(expected).all(0)
        assert unread.sum() == 3 * (543 - len(source.selection.points))
        built = np.where(unread, np.float32("nan"), built)
    np.testing.assert_array_equal(built, expected)
    lost = np.isnan(expected).any() if name[0] != "k" else (expected == 0).any()
    assert lost and len(np.unique(expected)) > 1000


@pytest.mark.parametrize("name", SOURCES)
def test_a_row_is_drawn_where_it_came_from(page, name):
    given = {"frames": results(20), "input": SOURCES[name].about}
    script = (
        PAGE
        + """
      const again = clip.map((row) => rows(given.input)(landmarks(given.input)(row)));
      const same = (row, t) => [...row].map((x, i) => (Object.is(x, clip[t][i]) ? 1 : 0));
      return Float32Array.from(again.flatMap(same));
    """
    )
    assert conftest.floats(page, script, given).all()
