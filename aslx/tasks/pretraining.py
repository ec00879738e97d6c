"""Pretraining without texts: spans of frames are hidden, and the network guesses each frame's code.

A recogniser of the same features and network begins from such a run: `--weights WORKDIR`. Spans are
hidden as in wav2vec 2.0 (Baevski et al. 2020), and codes come from BEST-RQ's random quantiser (Chiu
et al. 2022). Frames that are not hidden count too, as they may in HuBERT (Hsu et al. 2021), because
CTC later reads a character from its own frames.
"""

import dataclasses
import functools
from typing import ClassVar, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from aslx import errors
from aslx.data import records as records_lib
from aslx.decode import decoding_options
from aslx.models import layers, recogniser, stateless
from aslx.schema import features as features_lib
from aslx.schema import networks
from aslx.tasks import distillation, pretraining_report

Array = jax.Array
Sums = dict[str, tuple[Array, Array]]
_DRAW = 0  # A seed, the same for all runs.
_PROJECTED = 16  # Dimensions of BEST-RQ's projection.


def standardised(x_BSF: Array, mask_BS: Array) -> Array:
    """Per clip and feature: (x - mean) / std over its frames; 0 where it never changes."""
    count_B11 = jnp.maximum(mask_BS.sum(1), 1)[:, None, None]
    centred = x_BSF - layers.masked(x_BSF, mask_BS).sum(1, keepdims=True) / count_B11
    centred = layers.masked(centred, mask_BS)
    variance = jnp.square(centred).sum(1, keepdims=True) / count_B11
    return centred * jax.lax.rsqrt(jnp.maximum(variance, 1e-6))


def codes(x_BSF: Array, mask_BS: Array, count: int) -> Array:
    """i32[B,S], below `count`: the code of a frame is the random direction that lies nearest to its
    standardised, randomly projected features. Similar hands have the same code. The random numbers
    are the same in every run."""
    project_key, book_key = jax.random.split(jax.random.key(_DRAW))
    project_FP = jax.random.normal(project_key, (x_BSF.shape[-1], _PROJECTED))
    book_PC = jax.random.normal(book_key, (_PROJECTED, count))
    book_PC /= jnp.linalg.norm(book_PC, axis=0)
    return ((standardised(x_BSF, mask_BS) @ project_FP) @ book_PC).argmax(-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """An answer is f32[2]: the number of a clip's hidden frames whose code was guessed, and the
    number of hidden frames."""

    share: float = 0.3
    """Share of the frames that are hidden."""
    span: int = 4
    """Least number of successive frames that are hidden together."""
    codes: int = 256
    """Number of different codes."""
    seen: float = 1.0
    """Weight in the loss of a frame that is not hidden; a hidden frame has 1."""
    pretrains: ClassVar[bool] = True

    def __post_init__(self):
        if not 0 < self.share < 1 or self.span < 1:
            raise errors.BadInput(
                f"share {self.share} is not in (0, 1), or span {self.span} is below 1"
            )
        if self.codes < 2:
            raise errors.BadInput(f"codes {self.codes}: give 2 or more")

    def settled(self, metadata: dict) -> "Task":
        del metadata
        return self

    @property
    def kept(self) -> dict:
        return {}

    def searching(self, options: decoding_options.Options) -> "Task":
        raise errors.BadInput(
            "pretraining reads no texts: leave out --ctc, --beams, --prior and --fallback"
        )

    def build(
        self, model: networks.Config, features: features_lib.Features, rngs: nnx.Rngs
    ) -> nnx.Module:
        # Checked first: the guesser has the network encode. It takes no head, of whatever size.
        network = stateless.checked(model.build(features.num_features, 1, rngs=rngs))
        return recogniser.FrameGuesser(network, features.num_features, self.codes, rngs=rngs)

    def fields(self, metadata: dict, features: features_lib.Features) -> tuple:
        return (features.source.field(metadata),)

    def hidden(self, mask_BS: Array, key: Array | None) -> Array:
        """bool[B,S]: the real frames that are hidden, each with the probability `share`. Spans may
        overlap. Without a key the spans are evenly spaced."""
        b, s = mask_BS.shape
        if key is None:
            period = max(self.span + 1, round(self.span / self.share))
            return mask_BS & (jnp.arange(s) % period >= period - self.span)
        chance = 1 - (1 - self.share) ** (1 / self.span)
        begins = jax.random.bernoulli(key, chance, (b, s + self.span - 1))
        within = (begins[:, i : i + s] for i in range(self.span))
        return mask_BS & functools.reduce(jnp.logical_or, within)

    def guess(
        self, model: networks.Guesser, x_BSF: Array, mask_BS: Array, key: Array | None
    ) -> tuple[Array, Array, Array]:
        """Logits f32[B,S,codes], true codes i32[B,S], and which frames are hidden, bool[B,S]."""
        hide_key, model_key = layers.split(key, 2)
        hidden_BS = self.hidden(mask_BS, hide_key)
        # The velocities of the frame after a span tell what its last frame was.
        after_BS = jnp.pad(hidden_BS[:, :-1], ((0, 0), (1, 0)))
        seen_BSF = layers.masked(x_BSF, mask_BS & ~hidden_BS & ~after_BS)
        right_BS = codes(x_BSF, mask_BS, self.codes)
        return model(seen_BSF, mask_BS, model_key), right_BS, hidden_BS

    def unaligned(
        self,
        model: networks.Guesser,
        features: features_lib.Features,
        data: records_lib.Records,
    ) -> int:
        """There is no CTC here."""
        del model, features, data
        return 0

    def loss(
        self, model: networks.Guesser, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        logits_BSC, right_BS, hidden_BS = self.guess(model, inputs, mask, key)
        losses_BS = optax.softmax_cross_entropy_with_integer_labels(logits_BSC, right_BS)
        weight_BS = jnp.where(hidden_BS, 1.0, self.seen * mask) * batch["weight"][:, None]
        return (weight_BS * losses_BS).sum(), weight_BS.sum(), {}

    @property
    def teaches(self) -> tuple[str, ...]:
        return ()

    def said(
        self, model: networks.Guesser, inputs: Array, mask: Array, batch: dict
    ) -> distillation.Said:
        del model, inputs, mask, batch
        return distillation.Said()

    def predict(self, model: networks.Guesser, inputs: Array, mask: Array) -> Array:
        logits_BSC, right_BS, hidden_BS = self.guess(model, inputs, mask, None)
        found_BS = hidden_BS & (logits_BSC.argmax(-1) == right_BS)
        return jnp.stack([found_BS.sum(1), hidden_BS.sum(1)], -1).astype(jnp.float32)

    def evidence(self, model: networks.Guesser, inputs: Array, mask: Array) -> NoReturn:
        del model, inputs, mask
        pretraining_report.nothing()

    def outputs(self, model: networks.Guesser, inputs: Array, mask: Array) -> NoReturn:
        del model, inputs, mask
        pretraining_report.nothing()

    def read(self, outputs: np.ndarray) -> NoReturn:
        del outputs
        pretraining_report.nothing()

    def decode(self, answers_B2: np.ndarray) -> list[np.ndarray]:
        return list(answers_B2)

    @property
    def report(self) -> pretraining_report.Report:
        return pretraining_report.Report()
