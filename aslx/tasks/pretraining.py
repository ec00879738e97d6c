"""Landmarks without their texts: spans of frames are hidden, and the encoder guesses them.

`Task` has the functions of transcription's. What it trains reads nothing by itself; a recogniser of
the same features and network begins from it: `--weights WORKDIR`. Masked prediction by regression,
as wav2vec 2.0 masks (Baevski et al. 2020) and data2vec standardises (Baevski et al. 2022).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import files
from aslx.data import records as records_lib
from aslx.models import layers, recogniser

Array = jax.Array
Sums = dict[str, tuple[Array, Array]]


def standardised(x_BSF: Array, mask_BS: Array) -> Array:
    """Per clip and feature: (x - mean) / std over its frames; 0 where it never changes."""
    count_B11 = jnp.maximum(mask_BS.sum(1), 1)[:, None, None]
    centred = x_BSF - layers.masked(x_BSF, mask_BS).sum(1, keepdims=True) / count_B11
    centred = layers.masked(centred, mask_BS)
    variance = jnp.square(centred).sum(1, keepdims=True) / count_B11
    return centred * jax.lax.rsqrt(jnp.maximum(variance, 1e-6))


def _nothing() -> NoReturn:
    raise ValueError(
        "this run pretrained an encoder, which reads nothing by itself: nothing to predict or "
        "export; train a recogniser with --weights and this directory, and ask that one"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """An answer is f32[2]: the squared error over a clip's hidden frames, the features' mean, and
    how many these are. A guess of each feature's mean has an error of 1 a frame."""

    share: float = 0.5
    """Of the frames, that are hidden,"""
    span: int = 8
    """so many together or more."""

    def __post_init__(self):
        if not 0 < self.share < 1 or self.span < 1:
            raise ValueError(f"share {self.share} is not in (0, 1), or span {self.span} is below 1")

    def settled(self, metadata: dict) -> "Task":
        del metadata
        return self

    def searching(self, beams: int) -> "Task":
        raise ValueError(f"pretraining has no texts to search: leave out --beams {beams}")

    def build(self, model: Any, features: Any, rngs: nnx.Rngs) -> nnx.Module:
        network = model.build(features.num_features, rngs=rngs)
        if not isinstance(network, recogniser.Recogniser):
            raise ValueError(f"{type(network).__name__} has no encoder to pretrain apart from it")
        return recogniser.FrameGuesser(network, features.num_features, rngs=rngs)

    def fields(self, metadata: dict, features: Any) -> tuple:
        return (features.source.field(metadata),)

    def hidden(self, mask_BS: Array, key: Array | None) -> Array:
        """bool[B,S]: of the frames that are real those that are hidden. Each is with the chance
        `share`: as many spans begin, and may overlap. Without a key they are evenly spaced."""
        b, s = mask_BS.shape
        if key is None:
            period = max(self.span + 1, round(self.span / self.share))
            return mask_BS & (jnp.arange(s) % period >= period - self.span)
        chance = 1 - (1 - self.share) ** (1 / self.span)
        begins = jax.random.bernoulli(key, chance, (b, s + self.span - 1))
        within = (begins[:, i : i + s] for i in range(self.span))
        return mask_BS & functools.reduce(jnp.logical_or, within)

    def errors(self, model: Any, x_BSF: Array, mask_BS: Array, key: Array | None) -> Array:
        """f32[B,2]: the clips' answers."""
        hide_key, model_key = layers.split(key, 2)
        hidden_BS = self.hidden(mask_BS, hide_key)
        # The velocities of the frame after a span tell what its last frame was.
        after_BS = jnp.pad(hidden_BS[:, :-1], ((0, 0), (1, 0)))
        seen_BSF = layers.masked(x_BSF, mask_BS & ~hidden_BS & ~after_BS)
        away_BSF = model(seen_BSF, mask_BS, model_key) - standardised(x_BSF, mask_BS)
        error_BS = jnp.where(hidden_BS, jnp.square(away_BSF).mean(-1), 0.0)
        return jnp.stack([error_BS.sum(1), hidden_BS.astype(jnp.float32).sum(1)], -1)

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        found_B2 = self.errors(model, inputs, mask, key) * batch["weight"][:, None]
        return found_B2[:, 0].sum(), found_B2[:, 1].sum(), {}

    def predict(self, model: Any, inputs: Array, mask: Array) -> Array:
        return self.errors(model, inputs, mask, None)

    def evidence(self, model: Any, inputs: Array, mask: Array) -> NoReturn:
        del model, inputs, mask
        _nothing()

    def outputs(self, model: Any, inputs: Array, mask: Array) -> NoReturn:
        del model, inputs, mask
        _nothing()

    def report(self, answer: np.ndarray) -> NoReturn:
        del answer
        _nothing()

    def silent(self) -> NoReturn:
        _nothing()

    def decode(self, answers_B2: np.ndarray) -> list[np.ndarray]:
        return list(answers_B2)

    def text(self, answer: np.ndarray) -> str:
        return f"{_explained(answer):.3f} of the variance explained"

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        del records
        return [""] * count

    def score(
        self, targets: Sequence[str], predictions: Sequence[np.ndarray], signers: np.ndarray
    ) -> dict[str, float]:
        """1 - the loss: what share of the variance of the hidden frames the guess explains."""
        del targets, signers
        return {"score": _explained(np.sum(predictions, 0)), "clips": len(predictions)}

    def rank(self, scores: dict[str, float]) -> float:
        return scores["score"]

    def examples(
        self,
        records: records_lib.Records,
        targets: Sequence[str],
        predictions: Sequence[np.ndarray],
    ) -> list[dict]:
        """One row a clip, that which is explained least first."""
        del targets
        rows = [
            {
                "record": i,
                "signer": int(records.index.signer[i]),
                "frames": int(records.index.frames[i]),
                "explained": round(_explained(answer), 4),
            }
            for i, answer in enumerate(predictions)
        ]
        return sorted(rows, key=lambda row: row["explained"])

    def worst(self, examples: Sequence[dict], count: int) -> str:
        return "\n".join(
            f"record {row['record']}, {row['frames']} frames: {row['explained']} explained"
            for row in examples[:count]
        )

    def summary(self, scores: dict[str, float]) -> str:
        return (
            f"{scores['clips']} clips\nscore {scores['score']:.4f}: the share of the variance of "
            "hidden frames that is explained"
        )

    def draw(
        self, examples: Sequence[dict], scores: dict[str, float], directory: files.Path
    ) -> None:
        """There is nothing to draw."""


def _explained(answer: np.ndarray) -> float:
    total, count = answer
    return 1 - float(total) / max(float(count), 1.0)
