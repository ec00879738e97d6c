"""The page's modules that touch no document."""

import numpy as np
import pytest
from PIL import Image

from tests.web import conftest


@pytest.fixture(scope="module")
def ask(browser, transcriber):
    """Runs a script that may use the modules, and answers what it returns."""
    names = ("segments", "text", "majority", "time", "crop", "columns")
    imports = "".join(f'const {name} = await import("/web/reader/{name}.js");' for name in names)
    imports += 'const practice = await import("/web/practice.js");'
    with conftest.visit(browser, transcriber) as page:
        yield lambda script, given=None: conftest.ran(page, f"{imports} {script}", given)


SEGMENTS = """
  const s = new segments.Segments(given.most ?? 1000);
  return [...given.up].map((up, i) => {
    const { ended, clip } = s.push(i, up === "^", i / 10);
    return ended ? `ended ${ended[0]}-${ended.at(-1)}` : clip.length;
  });
"""


def test_a_clip_begins_with_a_raised_hand_and_ends_when_hands_rest(ask):
    states = ask(SEGMENTS, {"up": "..^^^^^^............^^^^^........"})
    assert states[:2] == [0, 0] and states[2] == 1
    ended = [(i, s) for i, s in enumerate(states) if isinstance(s, str)]
    assert ended == [(15, "ended 2-7"), (32, "ended 20-24")]


@pytest.mark.parametrize(
    "up, most, ended",
    [
        ("^^^^...^^....^^^" + "." * 9, 1000, ["ended 0-15"]),  # The tracker loses the hand.
        ("^^" + "." * 20, 1000, []),  # Too short.
        ("^" * 25, 10, ["ended 0-9", "ended 10-19"]),  # Longer than the model holds.
    ],
)
def test_a_clip_outlasts_lost_hands_and_has_a_least_and_a_greatest_length(ask, up, most, ended):
    states = ask(SEGMENTS, {"up": up, "most": most})
    assert [s for s in states if isinstance(s, str)] == ended
    assert ended or states[-1] == 0


@pytest.mark.parametrize(
    "wrist, elbow, raised", [(0.4, 0.6, True), (0.8, 0.6, False), (0.8, None, True)]
)
def test_a_hand_below_its_elbow_rests(ask, wrist, elbow, raised):
    script = """
      const hand = new Float32Array(63).fill(given.wrist);
      const pose = given.elbow === null ? null : new Float32Array(132).fill(given.elbow);
      return segments.raised({ face: null, left_hand: null, pose, right_hand: hand });
    """
    assert ask(script, {"wrist": wrist, "elbow": elbow}) == raised


def test_no_hand_is_no_raised_hand(ask):
    assert not ask(
        "return segments.raised({face: null, left_hand: null, pose: null, right_hand: null})"
    )


def test_characters_are_the_largest_of_each_row_and_none_is_left_out(ask):
    script = """
      const outputs = Float32Array.of(0.1, 0.7, 0.2,  0, 0, 1,  0.6, 0.3, 0.1);
      const sure = (c) => [c.text, Math.round(c.confidence * 100)];
      return text.characters(outputs, ["a", "b"]).map(sure);
    """
    assert ask(script) == [["b", 70], ["a", 60]]


@pytest.mark.parametrize(
    "readings, settled",
    [
        (["he"], 0),
        (["he", "hel"], 0),
        (["h", "he", "hel"], 1),
        (["helo", "hell", "hello"], 3),
        (["x", "hi", "hit", "hits"], 2),
        (["a", "b", "c"], 0),
        (["", "", ""], 0),
        (["😀ї", "😀ї", "😀ї"], 2),
    ],
)
def test_characters_settle_when_three_readings_agree(ask, readings, settled):
    script = (
        "return text.settled(given.map((t) => [...t].map((c) => ({ text: c, confidence: 1 }))))"
    )
    assert ask(script, readings) == settled


@pytest.mark.parametrize(
    "a, b, edits",
    [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("😀ї", "ї", 1)],
)
def test_edits_are_levenshteins(ask, a, b, edits):
    assert ask("return practice.distance(...given)", [a, b]) == edits


def test_a_word_is_taken_when_most_of_the_last_ten_answers_are_it_and_it_is_likely(ask):
    script = """
      const m = new majority.Majority();
      return given.map(([answer, p]) => m.push(answer, p, 0.5));
    """
    sure = [[0, 0.9]] * 8
    assert ask(script, sure) == [False] * 5 + [True] * 3
    assert ask(script, [[0, 0.4]] * 8) == [False] * 8
    turned = ask(script, [[0, 0.9]] * 10 + [[1, 0.9]] * 7)
    assert turned[10:] == [False] * 5 + [True] * 2


def test_a_sentence_keeps_five_words_and_says_none_twice_in_a_row(ask):
    script = """
      let words = [];
      for (const word of given) words = majority.said(words, { text: word });
      return words.map((w) => w.text);
    """
    assert ask(script, list("aabbacdde")) == ["b", "a", "c", "d", "e"]


def test_practice_asks_only_for_what_the_model_can_say(ask):
    spelled = ask("return practice.words([...'helowrdatgn'], true)")
    assert "hello" in spelled and "water" in spelled and "house" not in spelled
    assert ask("return practice.words(['Cow', 'No Action', 'nothing'], false)") == ["Cow"]
    assert "hello" in ask("return practice.words([...'HELO'], true)")
    assert ask("return practice.words([...'їж1 '], true)") == ["ї", "ж"]


def test_practice_counts_a_word_once_and_a_wrong_one_as_tried(ask):
    script = """
      const p = new practice.Practice(["cat", "dog"], () => 0);
      const word = p.word;
      const part = p.check(word.slice(0, 2), false);
      const wrong = p.check("cow", true);
      const right = p.check(` ${word.toUpperCase()} `, false);
      const checks = [part, wrong, right, p.check(word, true)];
      const score = [p.right, p.tried, p.streak];
      return { checks, score, begun: p.begun(word[0] + "x"), next: p.next() !== word };
    """
    found = ask(script)
    assert [c and c["right"] for c in found["checks"]] == [None, False, True, None]
    assert found["checks"][1]["edits"] == 2
    assert found["score"] == [1, 2, 1] and found["begun"] == 1 and found["next"]


@pytest.mark.parametrize("rate, of_a_second", [(10, 30), (30, 30), (7, 30), (60, 30), (23.7, 30)])
def test_a_second_is_thirty_rows_at_any_rate_of_frames(ask, rate, of_a_second):
    script = """
      const clock = new time.Clock();
      let rows = 0;
      for (let i = 0; i < Math.round(given * 4); i++) rows += clock.rows(100 + i / given);
      return rows / 4;
    """
    assert abs(ask(script, rate) - of_a_second) < 2


def test_a_break_is_not_filled(ask):
    script = "const c = new time.Clock(); return [c.rows(1), c.rows(1.1), c.rows(9), c.rows(2)]"
    assert ask(script) == [1, 3, 1, 1]


def test_a_hands_square_has_the_hand_in_its_middle(ask):
    script = """
      const hand = Float32Array.of(0.4, 0.2, 0, 0.6, 0.6, 0);
      const { x, y, size } = crop.square(hand, 200, 100);
      return [x, y, size].map(Math.round);
    """
    assert ask(script) == [68, 8, 64]


def test_grey_is_pillows(ask):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    rgba = np.concatenate([rgb, np.full((40, 40, 1), 255, np.uint8)], -1)
    grey = ask("return [...crop.values(Uint8ClampedArray.from(given), 1)]", rgba.ravel().tolist())
    assert grey == np.asarray(Image.fromarray(rgb).convert("L"), float).ravel().tolist()
    three = ask("return [...crop.values(Uint8ClampedArray.from(given), 3)]", rgba.ravel().tolist())
    assert three == rgb.astype(float).ravel().tolist()


def test_a_longer_clip_is_thinned_evenly_and_a_shorter_one_not_at_all(ask):
    assert ask("return columns.thinned([1, 2, 3], 5)") == [1, 2, 3]
    assert ask("return columns.thinned([...Array(10).keys()], 5)") == [1, 3, 5, 7, 9]


def test_a_column_that_is_no_landmark_is_named(ask):
    script = "try { columns.place('x_tail_1') } catch (error) { return error.message }"
    assert ask(script) == "the model reads a column x_tail_1, which is no landmark"
