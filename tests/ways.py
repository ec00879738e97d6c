"""Clips, and augmentations one at a time."""

import dataclasses

import jax
import numpy as np

from aslx.augment import clip_augment
from aslx.inputs import model_inputs, phrase_features
from aslx.schema import vocab
from tests import tiny

FEATURES = phrase_features.Modern(parts=("right_hand", "pose", "face"), max_frames=32)
SELECTION = FEATURES.selection
FRAMES = 40
NOTHING = clip_augment.Clips()
WAYS = {field.name: getattr(NOTHING, field.name) for field in dataclasses.fields(NOTHING)}
SEEN = list(clip_augment.DROPS)
MOVED = [*clip_augment.MIXING, *clip_augment.TIMING, *clip_augment.CHANGES]
assert {*SEEN, *MOVED} == WAYS.keys()


def batch(rows: int = 6, seed: int = 0) -> dict:
    """Clips of at most 40 frames by two signers; the rows of a signer lie together."""
    rng, out = np.random.default_rng(seed), {}
    out["landmarks"] = np.zeros((rows, FRAMES, len(SELECTION.points), 3), np.float16)
    out["length"] = rng.integers(12, FRAMES + 1, rows).astype(np.int32)
    out["tokens"] = np.full((rows, 10), vocab.NONE, np.int32)
    for i, length in enumerate(out["length"]):
        phrase = "".join(rng.choice(list("abcdefgh"), rng.integers(2, 10)))
        out["landmarks"][i, :length] = tiny.clip(rng, phrase, length, SELECTION)
        out["tokens"][i, : len(phrase)] = vocab.KAGGLE.encode(phrase)
    out["signer"] = (np.arange(rows) * 2 // rows).astype(np.int32)
    out["weight"] = np.ones(rows, np.float32)
    return out


def only(name: str, rate: float = 1.0, **strengths) -> clip_augment.Clips:
    """The augmentation of a name alone."""
    way = dataclasses.replace(WAYS[name], rate=rate, **strengths)
    return dataclasses.replace(clip_augment.Clips(), **{name: way})


def changed(ways: clip_augment.Clips, rows: dict, seed: int = 0) -> dict:
    """The batch after augmentation."""
    run = jax.jit(lambda rows, key: ways.clips(ways.mixed(rows, key, FEATURES), key, FEATURES))
    return {k: np.asarray(v) for k, v in run(rows, jax.random.key(seed)).items()}


def seen(ways: clip_augment.Clips, rows: dict, seed: int = 0) -> tuple[np.ndarray, ...]:
    """The model's inputs before and after augmentation, and the mask of real frames."""
    x, mask = model_inputs.of(rows, FEATURES)
    after = jax.jit(lambda x, mask, key: ways.inputs(x, mask, key, FEATURES))
    return np.asarray(x), np.asarray(after(x, mask, jax.random.key(seed))), np.asarray(mask)


def assert_same(a: dict, b: dict) -> None:
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
