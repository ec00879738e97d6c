"""Scores, against values computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from aslx.tasks import metrics

words = st.text("abc", max_size=6)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=8))
def test_the_score_is_kaggles_over_all_characters(pairs):
    def edits(a, b):
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return edits(a[1:], b[1:])
        return 1 + min(edits(a[1:], b), edits(a, b[1:]), edits(a[1:], b[1:]))

    targets, predictions = zip(*pairs, strict=True)
    n, d = sum(map(len, targets)), sum(edits(a, b) for a, b in pairs)
    found = metrics.transcription(targets, predictions, np.zeros(len(pairs)))
    assert found["score"] == pytest.approx((n - d) / n if n else 0.0)
    assert found["exact"] == np.mean([a == b for a, b in pairs])


def test_a_long_phrase_weighs_more_in_the_score_than_in_the_mean_over_clips():
    found = metrics.transcription(["abcdefghij", "a"], ["abcdefghij", "b"], np.zeros(2))
    assert found["score"] == pytest.approx(10 / 11) and found["mean_edit_distance"] == 0.5


def test_the_interval_draws_signers_and_not_clips():
    lengths, distance = np.full(100, 10), np.repeat([0, 10], 50)
    one_signer_each = metrics.bootstrap(lengths, distance, np.arange(100))
    two_signers = metrics.bootstrap(lengths, distance, np.repeat([0, 1], 50))
    assert two_signers == (0.0, 1.0)
    assert 0.35 < one_signer_each[0] < 0.5 < one_signer_each[1] < 0.65


def test_classification_counts_each_class_and_the_first_five():
    targets = np.array([0, 0, 1, 2])
    probabilities = np.eye(7)[[0, 1, 1, 6]] + np.linspace(0.1, 0, 7)
    scores = metrics.classification(targets, probabilities, np.array([-1, -1, -1, -1]), top=5)
    assert scores["score"] == 0.5 and scores["top5"] == 1.0 and scores["signers"] == 0
    assert scores["score_low"] < 0.5 < scores["score_high"]
    table = metrics.by_class(targets, probabilities.argmax(1), 7)
    assert [row["recall"] for row in table[:3]] == [0.5, 1.0, 0.0]
    assert [row["precision"] for row in table[:3]] == [1.0, 0.5, 0.0]
    assert metrics.confusion(targets, probabilities.argmax(1), 7)[2, 6] == 1


@given(words, words)
def test_an_alignment_spells_both_texts_with_the_fewest_edits(target, prediction):
    pairs = metrics.align(target, prediction)
    assert "".join(a for a, _ in pairs) == target and "".join(b for _, b in pairs) == prediction
    assert sum(a != b for a, b in pairs) == metrics.distances([target], [prediction])[0]


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy():
    sure, right = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 1.0]), np.array([1, 1, 1, 0, 0, 1.0])
    found = metrics.calibration(sure, right, np.array([1, 1, 1, 1, 2, 0]))
    assert found["ece"] == pytest.approx((4 * 0.15 + 2 * 0.1) / 6, abs=1e-4)
    assert [row["weight"] for row in found["bins"]] == [2, 4]
    assert found["bins"][1]["confidence"] == 0.9 and found["bins"][1]["right"] == 0.75


def examples(*rows: tuple[int, int, str, str]) -> list[dict]:
    """Examples of (signer, frames, target, prediction); each character has confidence 0.5."""
    return [
        {
            "signer": signer,
            "frames": frames,
            "target": target,
            "prediction": prediction,
            "edits": int(metrics.distances([target], [prediction])[0]),
            "confidence": 0.5 if prediction else 0.0,
            "sure": [0.5] * len(prediction),
        }
        for signer, frames, target, prediction in rows
    ]


SPELLED = examples(
    (3, 20, "abcd", "abcd"), (3, 12, "abcd", "axcd"), (5, 50, "aaaaa", "aaxa"), (5, 9, "ab", "cab")
)


def test_an_analysis_groups_clips_by_signer_length_and_speed():
    found = metrics.analysis(SPELLED)
    signers = {row["signer"]: row for row in found["by_signer"]}
    assert signers[3]["score"] == 7 / 8 and signers[5]["score"] == round(4 / 7, 4)
    lengths = [(row["from"], row["below"], row["clips"]) for row in found["by_length"]]
    assert lengths == [(0, 4, 1), (4, 8, 3)]
    speeds = [(r["from"], r["characters"]) for r in found["by_frames_a_character"]]
    assert speeds == [(3, 6), (5, 4), (9, 5)]
    for row in found["by_signer"] + found["by_length"] + found["by_frames_a_character"]:
        assert row["score_low"] <= row["score"] <= row["score_high"]


def test_an_analysis_counts_which_character_is_read_as_which():
    found = metrics.analysis(SPELLED)
    assert ["a", "x", 1] in found["confusion"] and ["a", "", 1] in found["confusion"]
    assert ["a", "a", 6] in found["confusion"] and ["", "c", 1] in found["confusion"]
    assert {"written": "b", "read": "x", "count": 1, "of": 3} in found["confused"]
    assert found["dropped_or_added"][0] == {"written": "", "read": "c", "count": 1, "of": None}
    # 12 of the 15 predicted characters are right.
    (bin_,) = found["calibration"]["characters"]["bins"]
    assert bin_["weight"] == 15 and bin_["right"] == 0.8


@given(st.text(max_size=9), st.text(max_size=9))
def test_the_edit_distance_libraries_of_all_pythons_agree(target, prediction):
    editdistance = pytest.importorskip("editdistance")
    edits = metrics.levenshtein(target, prediction)
    assert edits == editdistance.eval(target, prediction)
    assert edits == Levenshtein.distance(target, prediction)
