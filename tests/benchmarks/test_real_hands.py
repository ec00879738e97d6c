"""Real hands are scored by signer, each hand is held as it is stored, and samples are asked for."""

import json

import numpy as np
import pytest

from benchmarks import linear_reader, real_hands


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Hands of the generator in place of real ones: two people."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "letter_hands").mkdir()
    points, label = linear_reader.letters(400, seed=5)
    letter = np.array(list(linear_reader.AZ))[label]
    letter[0] = "7"
    signer = np.arange(400) % 2 + 1
    path = folder / "letter_hands" / "hands.npz"
    np.savez(path, landmarks=points, letter=letter, signer=signer)
    return folder


def test_hands_are_scored_by_signer_and_digits_left_out(run, data):
    done = run(real_hands, "--data", data, "--hands", 2000)
    lines = [json.loads(line) for line in done.succeeded().splitlines() if line.startswith("{")]
    assert [line.get("signer") for line in lines] == [1, 2, None]
    assert sum(line["hands"] for line in lines[:2]) == 399
    for line in lines[:2]:
        assert 0.8 < line["low"] < line["right"] < line["high"] <= 1
    assert "| a | " in done.out and "| 7 | " not in done.out


def test_an_interval_is_over_letters_not_over_frames_of_one():
    letter = np.repeat(list("ab"), 50)
    line = real_hands.letters_line(letter, np.where(letter == "a", "a", "x"))
    assert (line["right"], line["low"], line["high"]) == (0.5, 0.0, 1.0)


def test_phrases_are_scored_as_kaggle_scores_them():
    found = real_hands.phrases_line(["abcd", "ab"], ["abc", "abx"], ", no spaces")
    assert found["score, no spaces"] == round((6 - 2) / 6, 3)


def test_a_run_is_shown_words_of_held_hands_without_j_and_z_and_without_doubles(data):
    words = real_hands.strings(real_hands.hands(data))
    right = real_hands.landmarks.ALL.part("right_hand")
    for word, clip in words:
        assert len(set(word.letter)) == len(word.letter) <= 8 and len(set(word.signer)) == 1
        assert not set(word.letter) & set("jz")
        assert len(clip) == 9 * len(word.letter) - 3
        np.testing.assert_allclose(clip[[0, 5, 9, 14]][:, right], word.landmarks[[0, 0, 1, 1]])
    assert sum(len(word.letter) for word, _ in words) == 2 * 24 * 10


def test_a_folder_without_hands_is_named(run, tmp_path):
    assert "letter_hands has no .npz of hands" in run(real_hands, "--data", tmp_path).refusal()


def test_left_hands_are_mirrored():
    points, _ = linear_reader.letters(2000, seed=6)
    assert real_hands.is_left(points).mean() < 0.01
    left = points * np.array([-1, 1, 1], np.float32)
    assert real_hands.is_left(left).mean() > 0.99
    turned = real_hands.right(left)
    np.testing.assert_allclose(
        (turned - turned[:, :1])[~real_hands.is_left(points)],
        (points - points[:, :1])[~real_hands.is_left(points)],
        atol=1e-6,
    )
