"""Scores on the host: what Kaggle computes, what the seeds computed, each under its own name."""

from collections.abc import Sequence

import editdistance
import numpy as np

_BOOTSTRAPS = 1000


def distances(targets: Sequence[str], predictions: Sequence[str]) -> np.ndarray:
    """Levenshtein distance of each pair, i64[n]."""
    pairs = zip(targets, predictions, strict=True)
    return np.array([editdistance.eval(t, p) for t, p in pairs], np.int64)


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
    """Kaggle's score with its interval over signers, CER, exact matches, the seeds' distance.

    `mean_edit_distance` is the seeds' measure, tf.edit_distance: the mean over clips of edits by
    the target's characters. It weighs a short phrase as much as a long one.
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
