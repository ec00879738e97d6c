"""The page with classifiers of images and of clips."""

import numpy as np
import pytest
from PIL import Image

from aslx.export import tflite
from aslx.readers import images
from tests import person
from tests.web import conftest

pytestmark = pytest.mark.long

HANDS = """
  const lost = { face: null, left_hand: null, pose: null };
  const hand = (x) => Float32Array.from({ length: 63 }, (_, i) => x + ((i * given.seed) % 7) / 100);
  const frame = (i) => ({ ...lost, right_hand: hand(0.3 + 0.002 * i) });
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    options = ("--task.classes", "3", "--features.height", "16", "--features.width", "16")
    out = tmp_path_factory.mktemp("pictures")
    with conftest.untrained("asl_alphabet_cnn", out, *options, "--features.size", "16") as served:
        yield served


def test_an_opened_picture_gets_the_class_that_the_interpreter_gives(pictures, browser, tmp_path):
    cfg, out, url = pictures
    answer = tflite.runner((out / "model.tflite").read_bytes())
    with conftest.visit(browser, url) as page:
        for seed in range(4):
            # In the model's own size, so that nothing resizes it.
            rgb = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
            file = tmp_path / f"{seed}.png"
            Image.fromarray(rgb).save(file)
            pixels = images.read(file, cfg.features.source.shape)
            expected = answer(inputs=cfg.features.source.pack(pixels))["outputs"]
            conftest.read(page, file)
            assert page.inner_text("#results .read") == cfg.task.names[expected.argmax()]
            assert page.inner_text("#results .sure") == f"{expected.max() * 100:.0f} %"
            assert page.locator("#guesses li").count() == 3
            page.click("#clear")


def test_a_hand_at_the_camera_is_cut_out_and_has_a_letter(pictures, filming):
    cfg, _, url = pictures
    with conftest.visit(filming, url, permissions=["camera"]) as page:
        page.click("#start")
        page.wait_for_selector("#guesses li", timeout=60_000)
        assert page.inner_text("#guesses li span >> nth=0") in cfg.task.names


def test_a_letter_that_is_held_is_written_once_and_again_after_a_rest(pictures, browser):
    _, _, url = pictures
    script = (
        HANDS
        + """
      const { Letters } = await import("/web/reader/readers/letters.js");
      const { open } = await import("/web/reader/model.js");
      const picture = await createImageBitmap(new ImageData(64, 64));
      let shown;
      const letters = new Letters(await open("/model/", "/vendor/"), {
        show: (s) => (shown = s), said: () => {}, stays: () => {}, threshold: () => 0 });
      const turn = async (found, from, to) => {
        for (let i = from; i < to; i++) await letters.frame(found, i / 10, picture);
        return shown.done.length;
      };
      const counts = [await turn(frame(1), 0, 5), await turn(frame(1), 5, 20)];
      counts.push(await turn(lost, 20, 24), await turn(frame(1), 24, 40));
      counts.push(await turn(lost, 40, 60), await turn(frame(1), 60, 80));
      return counts;
    """
    )
    with conftest.visit(browser, url) as page:
        counts = conftest.ran(page, script, {"seed": 3})
    assert counts == [0, 1, 1, 1, 1, 2]


CLIPS = {
    "keypoints": ("keypoint_lstm", ("--task.classes", "3", "--features.no-face")),
    "frames": (
        "isolated_signs",
        ("--task.classes", "3", "--model.dim", "32", "--model.stages", "1"),
    ),
}


@pytest.fixture(scope="module", params=CLIPS)
def signs(request, tmp_path_factory):
    name, options = CLIPS[request.param]
    out = tmp_path_factory.mktemp("signs")
    with conftest.untrained(name, out, *options, frames=(64,)) as served:
        yield served


def test_a_clip_has_the_probabilities_that_the_interpreter_gives(signs, browser):
    cfg, out, url = signs
    answer = tflite.runner((out / "model.tflite").read_bytes())
    script = (
        HANDS
        + """
      const { Model, open } = await import("/web/reader/model.js");
      window.reading ??= await open("/model/", "/vendor/");
      const { reading } = window;
      const clip = Array.from({ length: given.frames }, (_, i) => reading.row(frame(i)));
      const answers = await reading.clip(clip);
      return Float32Array.of(...answers, ...clip.flatMap((row) => [...row]));
    """
    )
    with conftest.visit(browser, url) as page:
        for seed, frames in enumerate((1, 30, 41), 1):
            values = conftest.floats(page, script, {"seed": seed, "frames": frames})
            found, clip = values[:3], values[3:].reshape(frames, *cfg.features.source.shape[1:])
            expected = answer(inputs=clip)["outputs"]
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_signs_are_accepted_by_the_rules_of_the_baseline(signs, browser):
    _, _, url = signs
    script = (
        HANDS
        + """
      const { Signs } = await import("/web/reader/readers/signs.js");
      const { open } = await import("/web/reader/model.js");
      const [notes, said, stayed] = [[], [], []];
      let threshold = 0, shown;
      const tell = (s) => { shown = s; notes.push(s.note); };
      const hear = (word) => said.push(word[0].text);
      const signs = new Signs(await open("/model/", "/vendor/"), {
        show: tell, said: hear, stays: (word) => stayed.push(word.text),
        threshold: () => threshold });
      const turn = async (from, to) => {
        for (let i = from; i < to; i++) await signs.frame(frame(1), i / 30);
      };
      await turn(0, 29);
      const before = { note: notes.at(-1), words: said.length, guesses: shown.guesses.length };
      await turn(29, 35);
      const five = said.length;
      await turn(35, 60);
      const words = shown.done.map((word) => word.text);
      const done = { said: [...said], guesses: shown.guesses, words };
      signs.clear();
      threshold = 1.01;
      await turn(60, 120);
      return { before, five, done, stayed, never: said.length - done.said.length };
    """
    )
    with conftest.visit(browser, url) as page:
        found = conftest.ran(page, script, {"seed": 3})
    assert found["before"] == {"note": "Watching: 29 of 30 frames", "words": 0, "guesses": 0}
    # Answers begin at the 30th frame; the sixth equal answer is the majority of ten.
    assert found["five"] == 1 and found["done"]["said"] == found["done"]["words"]
    assert len(found["done"]["said"]) == 1 and found["stayed"] == found["done"]["said"]
    assert found["done"]["guesses"][0]["name"] == found["done"]["said"][0]
    assert found["never"] == 0


@pytest.mark.parametrize("known", [True, False], ids=["of_a_known_length", "as_recorded"])
def test_a_film_is_read_as_one_clip(signs, browser, tmp_path, known):
    _, _, url = signs
    spelled = person.spelling_film("a", 1)
    conftest.filmed(tmp_path / "film.webm", [spelled[len(spelled) // 2]] * 6, known)
    with conftest.visit(browser, url) as page:
        conftest.read(page, tmp_path / "film.webm", seconds=90)
        assert page.inner_text("#results .name") == "film.webm"
        assert page.inner_text("#results .read") in list("abc")
        assert page.locator("#guesses li").count() == 3
