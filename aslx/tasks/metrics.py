"""Scores on the host: Kaggle's and the published baselines', each under its own name."""

import collections
import sys
from collections.abc import Sequence

import numpy as np

if sys.version_info < (3, 13):
    from editdistance import eval as levenshtein
else:  # For which editdistance has no wheels.
    from rapidfuzz.distance.Levenshtein import distance as levenshtein

_BOOTSTRAPS = 1000
_BINS = 15  # Of a reliability diagram: Guo et al. 2017, section 4.
_LISTED = 15  # Errors of a kind.
_LENGTHS = tuple(range(0, 65, 4))  # Characters.
_SPEEDS = (0, 3, 5, 7, 9, 11, 13, 16, 20)  # Frames a character.


def distances(targets: Sequence[str], predictions: Sequence[str]) -> np.ndarray:
    """Levenshtein distance of each pair, i64[n]."""
    pairs = zip(targets, predictions, strict=True)
    return np.array([levenshtein(t, p) for t, p in pairs], np.int64)


def normalized_levenshtein(lengths: np.ndarray, distance: np.ndarray) -> float:
    """(N - D) / N with N all characters and D all edits: the competition's score."""
    total = int(lengths.sum())
    return float((total - distance.sum()) / total) if total else 0.0


def bootstrap(
    lengths: np.ndarray, distance: np.ndarray, groups: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the score when whole groups (signers) are drawn with replacement."""
    names, member = np.unique(groups, return_inverse=True)
    n_G = np.bincount(member, lengths, len(names))
    d_G = np.bincount(member, distance, len(names))
    draws = np.random.default_rng(seed).integers(len(names), size=(_BOOTSTRAPS, len(names)))
    n, d = n_G[draws].sum(1), d_G[draws].sum(1)
    low, high = np.quantile((n - d) / np.maximum(n, 1), [0.025, 0.975])
    return float(low), float(high)


def transcription(
    targets: Sequence[str], predictions: Sequence[str], signers: np.ndarray
) -> dict[str, float]:
    """Kaggle's score with its interval over signers, CER, exact matches, the baselines' distance.

    `mean_edit_distance` is the baselines' measure, tf.edit_distance: the mean over clips of edits
    divided by the target's characters. It weighs a short phrase as much as a long one.
    """
    length = np.array([len(t) for t in targets])
    distance = distances(targets, predictions)
    low, high = bootstrap(length, distance, signers)
    return {
        "score": normalized_levenshtein(length, distance),
        "score_low": low,
        "score_high": high,
        "cer": float(distance.sum() / max(1, length.sum())),
        "exact": float((distance == 0).mean()),
        "mean_edit_distance": float((distance / np.maximum(1, length)).mean()),
        "clips": len(targets),
        "signers": len(np.unique(signers)),
    }


def align(target: str, prediction: str) -> list[tuple[str, str]]:
    """Pairs of what was written and what was read, fewest edits; "" where a character was dropped
    or added. Of equally short ways, from the end on, the one that keeps or replaces a character,
    then the one that drops one (Wagner and Fischer 1974).
    """
    n, m = len(target), len(prediction)
    cost = [[*range(m + 1)]] + [[i] + [0] * m for i in range(1, n + 1)]
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            replaced = cost[i - 1][j - 1] + (target[i - 1] != prediction[j - 1])
            cost[i][j] = min(replaced, cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    pairs, i, j = [], n, m
    while i or j:
        same = i and j and target[i - 1] == prediction[j - 1]
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (not same):
            i, j = i - 1, j - 1
            pairs.append((target[i], prediction[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((target[i], ""))
        else:
            j -= 1
            pairs.append(("", prediction[j]))
    return pairs[::-1]


def calibration(confidence: np.ndarray, right: np.ndarray, weight: np.ndarray) -> dict:
    """`ece`, the expected calibration error (Naeini et al. 2015): the mean distance between what
    the model was sure of and what was right, both in [0, 1], over bins of equal width; and the bins
    of a reliability diagram. All means are by weight."""
    place = np.clip((confidence * _BINS).astype(int), 0, _BINS - 1)
    total_B = np.bincount(place, weight, _BINS)
    sure_B, right_B = (
        np.bincount(place, weight * x, _BINS) / np.maximum(total_B, 1e-9)
        for x in (confidence, right)
    )
    bins = [
        {
            "from": round(i / _BINS, 4),
            "to": round((i + 1) / _BINS, 4),
            "confidence": round(float(sure_B[i]), 4),
            "right": round(float(right_B[i]), 4),
            "weight": int(total_B[i]),
        }
        for i in np.flatnonzero(total_B)
    ]
    error = (total_B * np.abs(sure_B - right_B)).sum() / max(1e-9, total_B.sum())
    return {"ece": round(float(error), 4), "bins": bins}


def analysis(examples: Sequence[dict]) -> dict:
    """What a transcriber's examples say beside its scores.

    The score of each signer, of phrases by their characters, and of clips by their frames a
    character, with 95 % intervals: over the clips of a signer, over the signers of the others.
    `confusion` counts [written, read, how often], "" for a character added or dropped; `confused`
    are the most frequent replacements, and `dropped_or_added` the rest. `calibration` compares the
    confidence of each character with whether it was right, and a clip's with its score (0 where it
    is below), weighed by characters.
    """
    target = [row["target"] for row in examples]
    length = np.array([len(t) for t in target])
    edits = np.array([row["edits"] for row in examples])
    signer = np.array([row["signer"] for row in examples])
    speed = np.array([row["frames"] for row in examples]) / np.maximum(length, 1)
    pairs = [align(row["target"], row["prediction"]) for row in examples]
    counts = collections.Counter(pair for clip in pairs for pair in clip)
    kept = np.array([a == b for clip in pairs for a, b in clip if b], float)
    sure = np.array([x for row in examples for x in row["sure"]], float)
    clip_sure = np.array([row["confidence"] for row in examples], float)
    clip_right = np.clip((length - edits) / np.maximum(length, 1), 0, 1)
    rows = [{"signer": int(s)} | _group(length, edits, signer, signer == s) for s in set(signer)]
    return {
        "by_signer": sorted(rows, key=lambda row: row["score"]),
        "by_length": _ranges(length, _LENGTHS, length, edits, signer),
        "by_frames_a_character": _ranges(speed, _SPEEDS, length, edits, signer),
        "confusion": [[a, b, n] for (a, b), n in sorted(counts.items())],
        "confused": _worst({pair: n for pair, n in counts.items() if "" not in pair}, counts),
        "dropped_or_added": _worst({pair: n for pair, n in counts.items() if "" in pair}, counts),
        "calibration": {
            "characters": calibration(sure, kept, np.ones(len(kept))),
            "clips": calibration(clip_sure, clip_right, length),
        },
    }


def _group(length: np.ndarray, edits: np.ndarray, signer: np.ndarray, of: np.ndarray) -> dict:
    """Score, interval and size of the clips where `of`."""
    n, d, signers = length[of], edits[of], signer[of]
    groups = signers if len(np.unique(signers)) > 1 else np.arange(len(n))
    low, high = bootstrap(n, d, groups)
    values = {"score": normalized_levenshtein(n, d), "score_low": low, "score_high": high}
    return {k: round(v, 4) for k, v in values.items()} | {
        "clips": len(n),
        "characters": int(n.sum()),
        "signers": len(np.unique(signers)),
    }


def _ranges(
    value: np.ndarray, edges: Sequence[int], length: np.ndarray, edits: np.ndarray, signer
) -> list[dict]:
    """A group for each range [`from`, `below`) of `value` that has clips; the last is open."""
    place = np.searchsorted(edges, value, "right") - 1
    return [
        {"from": edges[i], "below": edges[i + 1] if i + 1 < len(edges) else None}
        | _group(length, edits, signer, place == i)
        for i in np.unique(place).tolist()
    ]


def _worst(counts: dict[tuple[str, str], int], every: dict[tuple[str, str], int]) -> list[dict]:
    """The most frequent errors, and how often what was written was written; null of nothing."""
    wrong = [(-n, a, b) for (a, b), n in counts.items() if a != b]
    return [
        {
            "written": a,
            "read": b,
            "count": -n,
            "of": sum(m for (c, _), m in every.items() if c == a) if a else None,
        }
        for n, a, b in sorted(wrong)[:_LISTED]
    ]


def confusion(targets: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """i64[classes, classes]: rows are the true classes."""
    flat = np.bincount(targets * classes + answers, minlength=classes**2)
    return flat.reshape(classes, classes)


def by_class(targets: np.ndarray, answers: np.ndarray, classes: int) -> list[dict]:
    """Precision, recall, F1 and clips of each class; 0 where nothing divides."""
    counts = confusion(targets, answers, classes)
    hits, of, said = np.diag(counts), counts.sum(1), counts.sum(0)
    precision, recall = hits / np.maximum(said, 1), hits / np.maximum(of, 1)
    f1 = 2 * hits / np.maximum(of + said, 1)
    names = ("precision", "recall", "f1")
    rows = zip(precision, recall, f1, strict=True)
    return [
        dict(zip(names, map(lambda x: round(float(x), 4), row), strict=True)) | {"clips": int(n)}
        for row, n in zip(rows, of, strict=True)
    ]


def classification(
    targets: np.ndarray, probabilities_NC: np.ndarray, signers: np.ndarray, top: int
) -> dict[str, float]:
    """Accuracy with its interval over signers (over clips where there is one signer, or none is
    known), whether the class was among the first five, and the classes' mean precision and recall.
    """
    answers = probabilities_NC.argmax(1)
    wrong, ones = (answers != targets).astype(np.int64), np.ones(len(targets), np.int64)
    groups = signers if len(np.unique(signers)) > 1 else np.arange(len(targets))
    low, high = bootstrap(ones, wrong, groups)
    own = np.take_along_axis(probabilities_NC, targets[:, None], 1)
    table = by_class(targets, answers, probabilities_NC.shape[1])
    there = [row for row in table if row["clips"]]
    return {
        "score": float(1 - wrong.mean()),
        "score_low": low,
        "score_high": high,
        "top5": float(((probabilities_NC > own).sum(1) < top).mean()),
        "precision": float(np.mean([row["precision"] for row in there])),
        "recall": float(np.mean([row["recall"] for row in there])),
        "clips": len(targets),
        "signers": len(np.unique(signers[signers >= 0])),
    }
