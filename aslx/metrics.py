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
