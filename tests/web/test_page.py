"""The page in a real browser: what it finds, shows and says, and what each button does."""

import contextlib
import pathlib
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests import person
from tests.web import conftest

DRAWN = "document.getElementById('canvas').toDataURL()"
ALLOWED: dict[str, Any] = {"permissions": ["camera", "clipboard-read", "clipboard-write"]}


@pytest.fixture(scope="module")
def shots(tmp_path_factory) -> pathlib.Path:
    """The folder for screenshots."""
    return tmp_path_factory.mktemp("shots")


@contextlib.contextmanager
def camera(filming, url, **options):
    """The page with its camera on, after the first picture was processed."""
    with conftest.visit(filming, url, **{**ALLOWED, **options}) as page:
        page.click("#start")
        page.wait_for_selector("#rate:not([hidden])", timeout=60_000)
        yield page


def text(page) -> str:
    return page.get_attribute("#text", "aria-label").removeprefix("Text: ")


# A hand may be lost and found again between two questions, so one question asks both whether the
# hand is seen and whether it is drawn: the page does both for the same picture.
SEEN_AND_DRAWN = """() => {
  const hand = document.getElementById("right_hand");
  if (hand.dataset.seen !== "true" || !hand.innerText.includes("right hand seen")) return false;
  const canvas = document.getElementById("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let [coloured, drawn] = [0, 0];
  for (let i = 0; i < data.length; i += 4) {
    drawn += data[i + 3] > 0;
    const away = [90, 209, 196].map((c, k) => Math.abs(data[i + k] - c));
    coloured += away[0] + away[1] + away[2] < 30;
  }
  return coloured > 200 && drawn > (640 * 480) / 2;
}"""


# A guess of the last window may be taken back, so one question asks for the text and its colours.
TEXT_AND_SURE = """() => {
  const box = document.getElementById("text");
  if (box.classList.contains("empty")) return null;
  const sure = box.querySelectorAll("span[style*='--sure']").length;
  return { label: box.getAttribute("aria-label"), sure };
}"""


def test_the_page_finds_the_camera_draws_the_hand_and_shows_text(filming, transcriber, shots):
    with camera(filming, transcriber) as page:
        assert not page.is_visible("#card")
        page.wait_for_function(SEEN_AND_DRAWN, timeout=60_000)
        assert float(page.inner_text("#rate b")) > 0
        shown = page.wait_for_function(TEXT_AND_SURE, timeout=90_000).json_value()
        assert re.fullmatch(r"Text: [a-f ]+", shown["label"])
        assert shown["sure"] >= 1
        page.screenshot(path=shots / "camera.png")


def test_the_hand_rests_and_what_was_spelled_stays_and_is_said(filming, transcriber):
    with camera(filming, transcriber) as page:
        page.wait_for_selector("#said p", state="attached", timeout=90_000)
        said = page.text_content("#said p")
        assert said and text(page).startswith(said)
        assert page.get_attribute("#said", "aria-live") == "polite"


def test_pause_skeleton_slider_copy_and_clear_do_what_they_say(filming, transcriber, shots):
    with camera(filming, transcriber) as page:
        page.wait_for_selector("#text:not(.empty)", timeout=90_000)
        page.click("#pause")
        assert page.get_attribute("#pause", "aria-pressed") == "true"
        assert page.inner_text("#note") == "Paused" and page.inner_text("#pause") == "Go on"
        page.wait_for_timeout(1500)  # Until the work in progress is done.
        still = (text(page), page.evaluate(DRAWN))
        page.wait_for_timeout(1500)
        assert still == (text(page), page.evaluate(DRAWN))

        page.click("#skeleton")
        assert not page.is_visible("#canvas") and page.is_visible("#video")
        page.click("#skeleton")
        assert page.is_visible("#canvas")

        page.evaluate(
            """async () => {
              const page = await (await import("/web/main.js")).opened;
              const done = [["a", 0.2], ["b", 0.6], ["c", 0.9]];
              const letters = done.map(([text, confidence]) => ({ text, confidence }));
              page.show({ done: letters, characters: [], settled: 0, note: "" });
            }"""
        )
        for share, doubted in (("0", ""), ("50", "a"), ("75", "ab"), ("100", "abc")):
            page.fill("#threshold", share)
            assert page.inner_text("#threshold-value") == f"{share} %"
            assert "".join(page.locator("#text span.doubt").all_text_contents()) == doubted
        page.screenshot(path=shots / "doubt.png")

        page.click("#copy")
        page.wait_for_selector("#done:text-is('Copied')")
        assert page.evaluate("navigator.clipboard.readText()") == text(page)
        page.click("#clear")
        assert text(page) == "nothing yet"
        page.click("#copy")
        page.wait_for_selector("#done:text-is('Nothing to copy yet')")

        page.click("#pause")
        page.wait_for_selector("#note:not(:text-is('Paused'))")
        for _ in range(100):
            page.wait_for_timeout(200)
            if page.evaluate(DRAWN) != still[1]:
                break
        assert page.evaluate(DRAWN) != still[1]


def test_practice_asks_for_a_word_checks_it_and_keeps_the_score(filming, transcriber, shots):
    with camera(filming, transcriber) as page:
        page.click("#practise")
        assert page.get_attribute("#practise", "aria-expanded") == "true"
        page.click("#pause")  # The letters of the film do not count.
        first = page.inner_text("#word")
        assert len(first) > 2 and page.inner_text("#ask") == "Spell"
        page.click("#next")
        assert page.inner_text("#word") != first
        word = page.inner_text("#word")
        say = """async ([word, whole]) => {
          const page = await (await import("/web/main.js")).opened;
          page.said(word, whole);
        }"""
        page.evaluate(say, [word[:2], False])
        assert page.inner_text("#word .hit") == word[:2] and not page.inner_text("#score")
        page.evaluate(say, [word[:2], True])
        assert "Once more" in page.inner_text("#verdict")
        assert page.inner_text("#score") == "0 of 1 right"
        page.evaluate(say, [word, True])
        assert page.inner_text("#verdict") == "Right!"
        assert page.inner_text("#score") == "1 of 2 right"
        page.screenshot(path=shots / "practice.png")
        page.wait_for_selector(f"#word:not(:text-is('{word}'))")
        page.click("#practise")
        assert not page.is_visible("#practice")


def test_every_button_has_a_name_and_a_key_and_the_keys_are_listed(browser, transcriber):
    with conftest.visit(browser, transcriber) as page:
        for button in page.locator("button").all():
            assert button.text_content().strip() or button.get_attribute("aria-label")
        for field in page.locator("input").all():
            assert field.evaluate("(input) => input.labels.length || input.ariaLabel")
        page.click("summary")
        listed = [key.lower() for key in page.locator("kbd").all_text_contents()]
        keys = page.locator("[aria-keyshortcuts]").evaluate_all(
            "(all) => all.filter((e) => e.tagName === 'BUTTON').map((e) => e.ariaKeyShortcuts)"
        )
        assert sorted(listed) == sorted(keys) == list("cnopswx")
        for key, id_ in (("s", "skeleton"), ("w", "practise")):
            before = page.get_attribute(f"#{id_}", "aria-pressed")
            page.keyboard.press(key)
            assert page.get_attribute(f"#{id_}", "aria-pressed") != before, key
        assert page.is_disabled("#pause")  # Nothing runs.
        page.uncheck("#keys")
        before = page.get_attribute("#skeleton", "aria-pressed")
        page.keyboard.press("s")
        assert page.get_attribute("#skeleton", "aria-pressed") == before
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert not page.evaluate("document.getElementById('keys').checked")
        order = []
        page.evaluate("document.activeElement.blur()")
        for _ in range(12):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id"))
        assert [i for i in order if i][:5] == ["theme", "start", "instead", "skeleton", "open"]


def test_light_and_dark_are_the_systems_until_the_button_says_otherwise(
    browser, transcriber, shots
):
    ground = "getComputedStyle(document.body).backgroundColor"
    with conftest.visit(browser, transcriber, color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.screenshot(path=shots / "dark.png")
        page.click("#theme")
        light = page.evaluate(ground)
        page.screenshot(path=shots / "light.png")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate(ground) == light
    assert dark != light
    with conftest.visit(browser, transcriber, color_scheme="light") as page:
        assert page.evaluate(ground) == light


def test_a_small_screen_shows_all_of_it_in_one_column(browser, transcriber, shots):
    with conftest.visit(browser, transcriber, viewport={"width": 390, "height": 844}) as page:
        page.screenshot(path=shots / "phone.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def problem(page) -> tuple[str, str]:
    page.wait_for_selector("#card.problem")
    return page.inner_text("#card-title"), page.inner_text("#card-help")


def test_without_a_camera_the_page_says_so_and_what_to_do(browser, transcriber, shots):
    with conftest.visit(browser, transcriber, permissions=["camera"]) as page:
        page.click("#start")
        title, help_ = problem(page)
        assert title == "No camera found" and "open a video instead" in help_
        assert page.evaluate("document.activeElement.id") == "start"
        page.screenshot(path=shots / "no-camera.png")
        page.click("#start")  # Tries the camera again.
        assert problem(page)[0] == "No camera found"


def test_where_the_camera_is_not_allowed_the_page_says_so(filming, transcriber):
    with conftest.visit(filming, transcriber) as page:  # Without the permission.
        assert page.inner_text("#card-title") == "Sign at the camera, read the text"
        page.click("#start")
        title, help_ = problem(page)
        assert title == "The camera is not allowed" and "Allow it for this page" in help_


def test_a_camera_that_is_unplugged_is_reported(filming, transcriber):
    with camera(filming, transcriber) as page:
        track = "document.getElementById('video').srcObject.getTracks()[0]"
        page.evaluate(f"{track}.dispatchEvent(new Event('ended'))")
        assert problem(page)[0] == "The camera is gone"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, pathlib.Path]:
    """A film of some seconds, a picture, and files that the page cannot read."""
    folder = tmp_path_factory.mktemp("files")
    conftest.filmed(folder / "film.webm", person.spelling_film("abc", 3) * 4)
    Image.new("RGB", (40, 40), "red").save(folder / "hand.png")
    (folder / "README.md").write_text("# No film")
    (folder / "broken.mp4").write_bytes(b"no film")
    return {path.name: path for path in folder.iterdir()}


def opened(page, file: pathlib.Path) -> None:
    page.set_input_files("#file", str(file))


def reading(page, name: str) -> None:
    """Waits until a film is being read."""
    page.wait_for_selector(f"#note:has-text('Reading {name}')", timeout=60_000)


def test_a_second_file_ends_the_first_at_once(browser, transcriber, files, tmp_path, run):
    clips = tmp_path / "clips.parquet"
    columns = list(run.cfg.features.selection.columns)
    rows = np.random.default_rng(0).uniform(0.2, 0.8, (20, len(columns)))
    index = pd.Index([7] * len(rows), name="sequence_id")
    pd.DataFrame(rows, index, columns).to_parquet(clips)
    with conftest.visit(browser, transcriber) as page:
        opened(page, files["film.webm"])
        reading(page, "film.webm")
        conftest.read(page, clips)
        page.wait_for_timeout(2000)  # Until the work on the film is done.
        assert page.locator("#results .name").all_text_contents() == ["7"]
        assert page.inner_text("#files-title") == "clips.parquet"
        assert page.inner_text("#note").startswith("1 clip read")
        assert not page.evaluate("document.getElementById('video').getAttribute('src')")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hand.png", "This model reads movement"),
        ("README.md", "It is no video, no picture, no parquet and no .pose file"),
        ("broken.mp4", "it is damaged, or of a kind that it does not know"),
    ],
)
def test_a_refused_file_ends_what_ran_and_try_again_tries_it_again(
    filming, transcriber, files, name, words
):
    with conftest.visit(filming, transcriber, **ALLOWED) as page:
        opened(page, files["film.webm"])
        reading(page, "film.webm")
        opened(page, files[name])
        title, help_ = problem(page)
        assert title.startswith(name) and words in help_
        page.wait_for_timeout(2000)
        assert text(page) == "nothing yet" and not page.inner_text("#note")
        assert page.inner_text("#start") == "Try again" and not page.is_visible("#camera")
        page.click("#start")
        assert problem(page)[0] == title
        assert not page.evaluate("Boolean(document.getElementById('video').srcObject)")
        assert page.inner_text("#files-title") == name


def test_the_camera_stays_off_until_the_user_starts_it(filming, transcriber):
    with conftest.visit(filming, transcriber, **ALLOWED) as page:
        page.wait_for_timeout(500)
        assert not page.evaluate("Boolean(document.getElementById('video').srcObject)")
        assert page.is_visible("#card")


def test_a_file_that_is_opened_while_the_camera_starts_has_the_page_for_itself(
    filming, transcriber, files
):
    with conftest.visit(filming, transcriber, **ALLOWED) as page:
        page.click("#start")
        opened(page, files["README.md"])
        assert problem(page)[0].startswith("README.md")
        page.wait_for_timeout(1500)
        assert not page.evaluate("Boolean(document.getElementById('video').srcObject)")


def test_a_page_that_reads_writes_no_error_on_the_console(browser, transcriber, files):
    lines = []
    with contextlib.closing(browser.new_page()) as page:
        page.on("console", lambda line: line.type == "error" and lines.append(line.text))
        page.goto(transcriber)
        page.wait_for_selector("body[data-ready]")
        opened(page, files["film.webm"])
        reading(page, "film.webm")
        page.wait_for_timeout(3000)
    assert not lines


@pytest.mark.parametrize("rate", [25, 30, 60])
def test_a_film_of_another_rate_is_reported(browser, transcriber, tmp_path, rate):
    conftest.filmed(tmp_path / "film.webm", [person.picture()] * 20, rate=rate)
    with conftest.visit(browser, transcriber) as page:
        conftest.read(page, tmp_path / "film.webm", seconds=90)
        said = page.inner_text("#files-about")
        assert said.startswith(f"{20 * 30 // rate} pictures, 30 a second.")
        assert ("another rate" in said) == (rate != 30)


@pytest.mark.parametrize(
    "path, title",
    [
        ("**/model/model.json", "There is no model"),
        ("**/model/fixed/64.tflite", "There is no model"),
        ("**/vendor/@mediapipe/holistic/holistic.js", "A package of this page is missing"),
        ("**/*litert_wasm_internal.wasm", "A package of this page is missing"),
        ("**/reader/dist/model.js", "A package of this page is missing"),
    ],
)
def test_a_file_that_the_server_lacks_is_named(browser, transcriber, path, title):
    with contextlib.closing(browser.new_page()) as page:
        page.route(path, lambda route: route.fulfill(status=404, body="no"))
        page.goto(transcriber)
        assert problem(page)[0] == title


def test_a_browser_without_webassembly_is_told_so(browser, transcriber):
    with contextlib.closing(browser.new_page()) as page:
        page.add_init_script("delete globalThis.WebAssembly")
        page.goto(transcriber)
        assert problem(page)[0] == "This browser has no WebAssembly"


def test_the_page_has_a_policy_and_no_script_of_others(browser, transcriber):
    with contextlib.closing(browser.new_page()) as page:
        answer = page.goto(transcriber)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "'unsafe-inline'" not in policy and "'unsafe-eval'" not in policy
        page.wait_for_selector("body[data-ready]")
        scripts = "[...document.scripts].map((s) => s.src || 'inline')"
        assert page.evaluate(scripts) == [f"{transcriber}/web/main.js"]
