"""Three heads that transcribe: autoregressive, CTC and per position.

A head has its loss and its way to read a network. Losses are totals with their counts, so that
batches, microbatches and hosts add up to one mean.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from aslx import errors
from aslx.decode import (
    attributions,
    beam_search,
    decoding,
    decoding_options,
    ngrams,
    stream_decoding,
)
from aslx.schema import networks, vocab
from aslx.tasks import distillation, losses

Array = jax.Array
Prior = ngrams.Prior | None
Sums = dict[str, tuple[Array, Array]]  # Name -> (total, count), over the rows that weigh.


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerPosition:
    """The published fingerspelling LSTM's head: at each of 64 positions a character of
    '<' + phrase + '>', or a pad.

    Pads count in the loss and in the accuracy, as they did there: 70 % accuracy is little.
    """

    aligns: ClassVar[bool] = False
    """Whether CTC aligns the characters with the frames."""
    teaches: ClassVar[tuple[str, ...]] = ()
    """See `task.Task.teaches`."""
    searches: ClassVar[bool] = False
    """Whether a search chooses among several texts."""

    def searching(self, options: decoding_options.Options) -> "PerPosition":
        """The head, read as the options say; BadInput where it cannot be."""
        no_two_heads(options)
        return self

    def loss(
        self,
        model: networks.Positions,
        inputs: Array,
        mask: Array,
        batch: dict,
        key: Array | None,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, Sums]:
        target_BT = decoding.with_end(batch["tokens"], alphabet)
        target_BT = decoding.with_start(target_BT, alphabet)
        logits_BTV = model.positions(inputs, mask, key=key)
        weight_BT = jnp.broadcast_to(batch["weight"][:, None], target_BT.shape)
        loss_BT = losses.cross_entropy(logits_BTV, target_BT, 0.0) * weight_BT
        sums = {"token_accuracy": losses.hits(logits_BTV, target_BT, weight_BT)}
        return loss_BT.sum(), weight_BT.sum(), sums

    def read(
        self,
        model: networks.Positions,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
        beams: int,
        prior: Prior,
    ) -> tuple[Array, Array]:
        del max_tokens, beams, prior  # The network has as many positions as it has, each by itself.
        return decoding.positions_greedy(model.positions(inputs, mask), alphabet)

    def evidence(
        self,
        model: networks.Positions,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
    ) -> attributions.Found:
        del model, inputs, mask, alphabet, max_tokens
        return {}  # Every position reads the same state of the whole clip.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoregressive:
    """Each character given the characters before it; trained by teacher forcing."""

    label_smoothing: float = 0.1
    ctc_weight: float = 0.0
    """Share of a CTC loss on the encoder, for a model with a CTC head."""
    class_weights: tuple[float, ...] = ()
    """A weight in the loss for each of the alphabet's ids; empty: 1 for all."""
    mean_over_pads: bool = False
    """Divide by all positions, pads included: Keras' mean under a sample_weight mask."""
    reverse_weight: float = 0.0
    """Weight of the loss of the backward decoder, for a model with `reverse`."""
    late_dropout: losses.LateDropout = losses.LateDropout()
    searches: ClassVar[bool] = True

    def searching(self, options: decoding_options.Options) -> "Autoregressive | CTC":
        if not self.ctc_weight:
            no_two_heads(options)
        if options.ctc:
            return CTC()
        if options.ctc_weight is None:
            return self
        return dataclasses.replace(self, ctc_weight=options.ctc_weight)

    @property
    def aligns(self) -> bool:
        return self.ctc_weight > 0

    @property
    def teaches(self) -> tuple[str, ...]:
        return ("decoder", "ctc") if self.ctc_weight else ("decoder",)

    def loss(
        self,
        model: networks.Transcriber,
        inputs: Array,
        mask: Array,
        batch: dict,
        key: Array | None,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, Sums]:
        encode_key, decode_key = (None, None) if key is None else jax.random.split(key)
        memory, memory_mask = model.encode(inputs, mask, key=encode_key)
        memory = self.late_dropout(memory, batch, encode_key)
        total, count, sums = self._forced(
            model.decode, batch, memory, memory_mask, decode_key, alphabet
        )
        if self.reverse_weight:
            turned = losses.backwards(batch["tokens"], alphabet)
            turned = batch | {"tokens": turned, "given": turned, "taught": None}
            decode = model.decode_backwards
            more, n, _ = self._forced(decode, turned, memory, memory_mask, decode_key, alphabet)
            sums["reverse_loss"] = more, n
            total = total + self.reverse_weight * more
        if self.ctc_weight:
            ctc, ctc_count, beside = losses.ctc(model, memory, memory_mask, batch, alphabet)
            sums |= {"ctc_loss": (ctc, ctc_count)} | beside
            total = (1 - self.ctc_weight) * total + self.ctc_weight * ctc
        return total, count, sums

    def _forced(
        self,
        decode: Callable[..., Array],
        batch: dict,
        memory: Array,
        mask: Array,
        key: Array | None,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, Sums]:
        """Loss, count and what is measured of a decoder by teacher forcing."""
        target_BT = decoding.with_end(batch["tokens"], alphabet)
        tokens_BT = decoding.with_start(batch.get("given", batch["tokens"]), alphabet)
        logits_BTV = decode(tokens_BT, memory, mask, key=key)
        weight_BT = (target_BT != alphabet.pad) * batch["weight"][:, None]
        loss_BT = losses.cross_entropy(logits_BTV, target_BT, self.label_smoothing) * weight_BT
        if self.class_weights:
            if len(self.class_weights) != alphabet.size:
                raise errors.BadInput(
                    f"{len(self.class_weights)} class_weights: the alphabet has {alphabet.size} ids"
                )
            loss_BT = loss_BT * jnp.asarray(self.class_weights)[target_BT]
        count = weight_BT.sum()
        if self.mean_over_pads:
            count = batch["weight"].sum() * weight_BT.shape[1]
        total, hits = loss_BT.sum(), losses.hits(logits_BTV, target_BT, weight_BT)
        sums = {"token_accuracy": hits}
        taught: distillation.Taught | None = batch.get("taught")
        if taught and taught.said.decoder is not None:
            more = (taught.decoder(logits_BTV) * weight_BT).sum()
            sums["taught_loss"] = more, count
            total = taught.mixed(total, more)
        return total, count, sums

    def read(
        self,
        model: networks.Transcriber,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
        beams: int,
        prior: Prior,
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        if beams == 1:
            return decoding.greedy(model, memory, memory_mask, alphabet, max_tokens)
        of = model, memory, memory_mask, alphabet, max_tokens, beams
        if self.ctc_weight:
            text = beam_search.joint(*of, self.ctc_weight, prior)
        else:
            text = beam_search.autoregressive(*of, prior)[0][:, 0]
        return text, beam_search.confidence(model, text, memory, memory_mask, alphabet)

    def evidence(
        self,
        model: networks.Transcriber,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
    ) -> attributions.Found:
        memory, memory_mask = model.encode(inputs, mask)
        tokens_BL, _ = decoding.greedy(model, memory, memory_mask, alphabet, max_tokens)
        found = attributions.attended(model, memory, memory_mask, tokens_BL, alphabet)
        if self.ctc_weight:
            found |= attributions.aligned(model, memory, memory_mask, alphabet)
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class CTC:
    """A character or a blank at each frame of the encoder (Graves et al. 2006)."""

    late_dropout: losses.LateDropout = losses.LateDropout()
    aligns: ClassVar[bool] = True
    teaches: ClassVar[tuple[str, ...]] = ("ctc",)
    searches: ClassVar[bool] = True

    def searching(self, options: decoding_options.Options) -> "CTC":
        no_two_heads(options)
        return self

    def loss(
        self,
        model: networks.Aligner,
        inputs: Array,
        mask: Array,
        batch: dict,
        key: Array | None,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, Sums]:
        memory, memory_mask = model.encode(inputs, mask, key=key)
        memory = self.late_dropout(memory, batch, key)
        return losses.ctc(model, memory, memory_mask, batch, alphabet)

    def start(self, model: networks.CTC, batch: int, alphabet: vocab.Alphabet) -> Array:
        """The state of the text of `batch` streams before their first position."""
        del model
        return stream_decoding.start(batch, alphabet)

    def hear(
        self,
        model: networks.CTC,
        state: Array,
        memory: Array,
        mask_BM: Array,
        alphabet: vocab.Alphabet,
    ) -> tuple[Array, Array, Array]:
        """[B, M] twice: what streams write at their next positions, as `stream_decoding.greedy`
        has it; and the state behind them."""
        return stream_decoding.greedy(state, model.ctc(memory), mask_BM, alphabet)

    def read(
        self,
        model: networks.Aligner,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
        beams: int,
        prior: Prior,
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        logits = model.ctc(memory)
        if beams == 1:
            return decoding.ctc_greedy(logits, memory_mask, alphabet)
        texts, scores = beam_search.ctc(logits, memory_mask, alphabet, max_tokens, beams, prior)
        return texts[:, 0], decoding.agreed(texts, jax.nn.softmax(scores), alphabet)

    def evidence(
        self,
        model: networks.Aligner,
        inputs: Array,
        mask: Array,
        alphabet: vocab.Alphabet,
        max_tokens: int,
    ) -> attributions.Found:
        del max_tokens
        return attributions.aligned(model, *model.encode(inputs, mask), alphabet)


def no_two_heads(options: decoding_options.Options) -> None:
    """BadInput where options ask for another head, and there is none."""
    if options.ctc or options.ctc_weight is not None:
        raise errors.BadInput("there are no two heads: leave out --ctc and --ctc-weight")
