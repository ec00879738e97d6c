"""The page with a model that has a state: text grows as it is signed, and no work is done twice."""

import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest

from aslx.export import stream_reading
from aslx.runs import evaluator, trained_run
from tests import posed, processes, tiny
from tests.serve import servers
from tests.web import conftest

CLIPS = 20


@pytest.fixture(scope="module")
def streamed(learned) -> trained_run.Run:
    return learned("streaming")


@pytest.fixture(scope="module")
def streaming(streamed) -> Iterator[str]:
    with servers.serving(pathlib.Path(streamed.workdir)) as server:
        yield server.http


@pytest.fixture(scope="module")
def parquet(streamed, tmp_path_factory) -> pathlib.Path:
    """Clips; between the halves of each the hands rest for two seconds."""
    test = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test")
    clips = {}
    for number, clip in enumerate(itertools.islice(test.clips(), CLIPS)):
        rest = np.full((60, *clip.shape[1:]), np.nan, np.float32)
        halves = [clip[: len(clip) // 2], rest, clip[len(clip) // 2 :]]
        clips[number] = np.concatenate(halves).astype(np.float32)
    path = tmp_path_factory.mktemp("stream") / "clips.parquet"
    tiny.parquet(path, clips, streamed.source.selection)
    return path


def predicted(workdir: pathlib.Path, *files: pathlib.Path) -> dict[str, str]:
    """What predict --stream prints of each clip, with a space between phrases."""
    texts: dict[str, list[str]] = {}
    for line in processes.ran("predict", "--workdir", workdir, "--stream", *files).lines():
        phrases = texts.setdefault(str(line["sequence_id"]), [""])
        if "ended" in line:
            assert phrases[-1] == line["ended"]
            phrases.append("")
        elif "seconds" in line:
            phrases[-1] = line["text"]
    return {name: " ".join(filter(None, phrases)) for name, phrases in texts.items()}


@pytest.mark.long
def test_a_clip_has_the_text_of_predict_stream(streamed, streaming, browser, parquet):
    with conftest.visit(browser, streaming) as page:
        conftest.read(page, parquet)
        names = page.locator("#results .name").all_text_contents()
        texts = page.locator("#results .read").all_text_contents()
    read = dict(zip(names, texts, strict=True))
    assert read == predicted(streamed.workdir, parquet) and len(read) == CLIPS
    assert len(set(texts)) > 5 and sum(" " in text for text in texts) > 5


def test_a_pose_file_of_another_rate_has_the_text_of_predict_stream(
    streamed, streaming, browser, tmp_path
):
    test = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test")
    selection = streamed.source.selection
    read = {}
    with conftest.visit(browser, streaming) as page:
        for number, clip in enumerate(itertools.islice(test.clips(), 3)):
            path = posed.write(tmp_path / f"{number}.pose", clip, selection, rate=24.0)
            conftest.read(page, path)
            read[str(path)] = page.inner_text("#results .read")
    expected = predicted(streamed.workdir, *map(pathlib.Path, read))
    assert read == expected and any(read.values())


def test_rows_are_interpolated_as_in_python(streaming, browser):
    rng = np.random.default_rng(0)
    at = np.cumsum(rng.choice([0.01, 0.03, 0.1, 0.4, 0.7], 60)).round(3)
    rows = rng.random((60, 3)).astype(np.float32)
    rows[rng.random((60, 3)) < 0.2] = np.nan
    script = """
      const { FixedRate } = await import("/web/reader/rate.js");
      const rate = new FixedRate(30);
      const row = (of) => Float32Array.from(of, (x) => x ?? NaN);
      const found = given.flatMap(([at, of]) => rate.add(at, row(of)));
      return Float32Array.from(found.flatMap((row) => [...row]));
    """
    as_json = [[None if np.isnan(x) else x for x in row] for row in rows.tolist()]
    given = list(zip(at.tolist(), as_json, strict=True))
    with conftest.visit(browser, streaming) as page:
        found = conftest.floats(page, script, given).reshape(-1, 3)
    fixed = stream_reading.FixedRate(30.0)
    expected = [f for t, row in zip(at.tolist(), rows, strict=True) for f in fixed.add(t, row)]
    np.testing.assert_allclose(found, np.array(expected), atol=1e-6)


# The film's hand at 30 frames a second, of which every eighth frame asks for a step.
STEPS = """
  const { open } = await import("/web/reader/model.js");
  const { Streamer } = await import("/web/reader/readers/streamer.js");
  const model = await open("/model/", "/vendor/");
  const asked = [];
  const ask = model.remote.ask.bind(model.remote);
  model.remote.ask = (question, transfer) => {
    asked.push(question.inputs?.length ?? 0);
    return ask(question, transfer);
  };
  let shown;
  const streamer = new Streamer(model, {
    show: (s) => (shown = s), said: () => {}, stays: () => {} });
  const hand = (i) => Float32Array.from({ length: 63 }, (_, k) => ((i * k) % 17) / 17);
  const lost = { face: null, left_hand: null, pose: null };
  asked.length = 0;
  for (let i = 0; i < given; i++) await streamer.frame({ ...lost, right_hand: hand(i) }, i / 30);
  return { asked, note: shown.note };
"""


def test_the_work_of_a_frame_does_not_grow(streaming, browser):
    with conftest.visit(browser, streaming) as page:
        found = conftest.ran(page, STEPS, 400)
    assert found == {"asked": [8 * 126] * 50, "note": "Reading"}


# Notes each step that has read something, or has ended a phrase.
NOTE = """
  const page = await (await import("/web/main.js")).opened;
  const reader = page.reader.kind;
  const take = reader.take.bind(reader);
  window.steps = [];
  window.stayed = "";
  page.reader.addEventListener("character", ({ detail }) => (stayed += detail.text));
  reader.take = (read) => {
    take(read);
    const text = reader.phrases.all.map((c) => c.text).join("");
    const hand = document.getElementById("right_hand").dataset.seen === "true";
    if (read.characters.length || read.ended) steps.push({ text, hand, ended: read.ended });
  };
"""


@pytest.mark.long
def test_characters_appear_while_the_hand_still_spells_and_stay(
    streaming, filming, tmp_path_factory
):
    with conftest.visit(filming, streaming, permissions=["camera"]) as page:
        conftest.ran(page, NOTE)
        page.click("#start")
        page.wait_for_function("() => steps.some((s) => s.hand && !s.ended)", timeout=90_000)
        page.screenshot(path=tmp_path_factory.mktemp("shots") / "stream.png")
        page.wait_for_function("() => steps.some((s) => s.ended)", timeout=90_000)
        steps, stayed = page.evaluate("[steps, stayed]")
        assert stayed == steps[-1]["text"]
        assert page.text_content("#said p") in steps[-1]["text"].split()
    for before, after in itertools.pairwise(steps):
        assert after["text"].startswith(before["text"])
