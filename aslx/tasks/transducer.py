"""A fourth head that transcribes, the transducer; shapes as in losses.py."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from aslx import errors
from aslx.decode import attributions, decoding, decoding_options, ngrams, transducer_search
from aslx.schema import networks, vocab
from aslx.tasks import heads, losses

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transducer:
    """Characters, then a blank, at each position of the encoder, given the last characters (Graves
    2012). The model's `context` is the number of these."""

    ctc_weight: float = 0.3
    """Share of a CTC loss on the encoder, from which the alignments are learnt sooner."""
    per_position: int = 2
    """Characters that are written at one position at most; the loss has no such bound."""
    late_dropout: losses.LateDropout = losses.LateDropout()
    aligns: ClassVar[bool] = False
    searches: ClassVar[bool] = True

    def __post_init__(self):
        if self.per_position < 1:
            raise errors.BadInput(f"per_position {self.per_position}: give 1 or more")

    @property
    def teaches(self) -> tuple[str, ...]:
        return ("ctc",) if self.ctc_weight else ()

    def searching(self, options: decoding_options.Options) -> "Transducer | heads.CTC":
        if options.ctc and self.ctc_weight:
            return heads.CTC()
        heads.no_two_heads(options)
        return self

    def loss(
        self,
        model: networks.Transducer,
        inputs: Array,
        mask: Array,
        batch: dict,
        key: Array | None,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, dict[str, tuple[Array, Array]]]:
        """Summed over the clips; the count is of characters and ends."""
        memory_BMD, mask_BM = model.encode(inputs, mask, key=key)
        memory_BMD = self.late_dropout(memory_BMD, batch, key)
        tokens_BL = batch["tokens"]
        last_BUC = transducer_search.contexts(
            batch.get("given", tokens_BL), model.context, alphabet
        )
        predicted_BUD = model.predicted(last_BUC)
        logits_BMUV = model.joined(memory_BMD[:, :, None], predicted_BUD[:, None])
        loss_B = losses.transducer(logits_BMUV, mask_BM, tokens_BL, alphabet)
        length_B = decoding.characters(tokens_BL, alphabet)
        weight_B = batch["weight"] * (mask_BM.any(1) | (length_B == 0))
        total = jnp.where(weight_B > 0, loss_B * weight_B, 0.0).sum()
        count = (weight_B * (length_B + 1)).sum()
        if not self.ctc_weight:
            return total, count, {}
        ctc, ctc_count, beside = losses.ctc(model, memory_BMD, mask_BM, batch, alphabet)
        total = (1 - self.ctc_weight) * total + self.ctc_weight * ctc
        return total, count, beside | {"ctc_loss": (ctc, ctc_count)}

    def start(self, model: networks.Predictor, batch: int, alphabet: vocab.Alphabet) -> Array:
        """As `heads.CTC.start`."""
        return transducer_search.start(batch, model.context, alphabet)

    def hear(
        self,
        model: networks.Predictor,
        state: Array,
        memory: Array,
        mask_BM: Array,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, Array]:
        """As `heads.CTC.hear`, but [B, M P] with P = `per_position`."""
        return transducer_search.greedy(model, state, memory, mask_BM, alphabet, self.per_position)

    def read(
        self,
        model: networks.Transducer,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
        beams: int,
        prior: ngrams.Prior | None,
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        if beams == 1:
            first = self.start(model, len(memory), alphabet)
            ids, sure, _ = self.hear(model, first, memory, memory_mask, alphabet)
            return decoding.packed(ids, sure, alphabet, max_tokens)
        of = memory, memory_mask, alphabet, max_tokens, beams, self.per_position, prior
        texts, scores = transducer_search.beams(model, *of)
        return texts[:, 0], decoding.agreed(texts, jax.nn.softmax(scores), alphabet)

    def evidence(
        self,
        model: networks.Transducer,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
    ) -> attributions.Found:
        """Of the CTC head, which shares the encoder."""
        return heads.CTC().evidence(model, inputs, mask, alphabet, max_tokens)
