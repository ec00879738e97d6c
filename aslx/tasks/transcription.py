"""A clip of signing -> text. Three heads that are equals: autoregressive, CTC and per position.

`Task` is what train, evaluate, predict and export ask; its head has the loss and the prediction.
Losses are totals with their counts, so that batches, microbatches and hosts add up to one mean.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx

from aslx import (
    decoding,
    evidence,
    files,
    kaggle,
    losses,
    metrics,
    ngrams,
    plots,
    reading,
    search,
    vocab,
)
from aslx.data import fields as fields_lib
from aslx.data import records as records_lib
from aslx.tasks import transcripts

Answer = transcripts.Answer
Array = jax.Array
Prior = ngrams.Prior | None
Sums = dict[str, tuple[Array, Array]]  # Name -> (total, count), over the rows that weigh.


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerPosition:
    """The LSTM seed's: 64 positions, each a character of '<' + phrase + '>' or a pad.

    Pads count in the loss and in the accuracy, as they did there: 70 % accuracy is little.
    """

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        target_BT = decoding.opened(decoding.closed(batch["tokens"]))
        logits_BTV = model.positions(inputs, mask, key=key)
        weight_BT = jnp.broadcast_to(batch["weight"][:, None], target_BT.shape)
        loss_BT = losses.cross_entropy(logits_BTV, target_BT, 0.0) * weight_BT
        sums = {"token_accuracy": losses.hits(logits_BTV, target_BT, weight_BT)}
        return loss_BT.sum(), weight_BT.sum(), sums

    def read(
        self, model: Any, inputs: Array, mask: Array, max_tokens: int, beams: int, prior: Prior
    ) -> tuple[Array, Array]:
        del max_tokens, beams, prior  # The network has as many positions as it has, each by itself.
        return decoding.positions_greedy(model.positions(inputs, mask))

    def evidence(self, model: Any, inputs: Array, mask: Array, max_tokens: int) -> evidence.Found:
        del model, inputs, mask, max_tokens
        return {}  # Every position sees the same state, of the whole clip.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoregressive:
    """One character after another, each given those before it; trained by teacher forcing."""

    label_smoothing: float = 0.1
    ctc_weight: float = 0.0
    """Share of a CTC loss on the encoder, for a model that has that head."""
    class_weights: tuple[float, ...] = ()
    """A weight for each of the 62 ids in the loss; none: all 1."""
    mean_over_pads: bool = False
    """Divide by all positions, pads included: Keras' mean under a sample_weight mask."""

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        encode_key, decode_key = (None, None) if key is None else jax.random.split(key)
        memory, memory_mask = model.encode(inputs, mask, key=encode_key)
        target_BT = decoding.closed(batch["tokens"])
        tokens_BT = decoding.opened(batch.get("given", batch["tokens"]))
        logits_BTV = model.decode(tokens_BT, memory, memory_mask, key=decode_key)
        weight_BT = (target_BT != vocab.PAD) * batch["weight"][:, None]
        loss_BT = losses.cross_entropy(logits_BTV, target_BT, self.label_smoothing) * weight_BT
        if self.class_weights:
            loss_BT = loss_BT * jnp.asarray(self.class_weights)[target_BT]
        count = weight_BT.sum()
        if self.mean_over_pads:
            count = batch["weight"].sum() * weight_BT.shape[1]
        sums = {"token_accuracy": losses.hits(logits_BTV, target_BT, weight_BT)}
        total = loss_BT.sum()
        if self.ctc_weight:
            ctc, ctc_count = losses.ctc(model.ctc(memory), memory_mask, batch)
            sums["ctc_loss"] = ctc, ctc_count
            total = (1 - self.ctc_weight) * total + self.ctc_weight * ctc
        return total, count, sums

    def read(
        self, model: Any, inputs: Array, mask: Array, max_tokens: int, beams: int, prior: Prior
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        if beams == 1:
            return decoding.greedy(model, memory, memory_mask, max_tokens)
        if self.ctc_weight:
            share = self.ctc_weight
            text = search.joint(model, memory, memory_mask, max_tokens, beams, share, prior)
        else:
            found = search.autoregressive(model, memory, memory_mask, max_tokens, beams, prior)
            text = found[0][:, 0]
        return text, search.confidence(model, text, memory, memory_mask)

    def evidence(self, model: Any, inputs: Array, mask: Array, max_tokens: int) -> evidence.Found:
        memory, memory_mask = model.encode(inputs, mask)
        tokens_BL, _ = decoding.greedy(model, memory, memory_mask, max_tokens)
        found = evidence.attended(model, memory, memory_mask, tokens_BL)
        return found | evidence.aligned(model, memory, memory_mask) if self.ctc_weight else found


@dataclasses.dataclass(frozen=True, kw_only=True)
class CTC:
    """A character or nothing at each frame of the encoder (Graves et al. 2006)."""

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        memory, memory_mask = model.encode(inputs, mask, key=key)
        total, count = losses.ctc(model.ctc(memory), memory_mask, batch)
        return total, count, {}

    def read(
        self, model: Any, inputs: Array, mask: Array, max_tokens: int, beams: int, prior: Prior
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        logits = model.ctc(memory)
        if beams == 1:
            return decoding.ctc_greedy(logits, memory_mask)
        texts, scores = search.ctc(logits, memory_mask, max_tokens, beams, prior)
        # Of all characters alike: the text's share of what all hypotheses have.
        share = jax.nn.softmax(scores)[:, :1]
        return texts[:, 0], jnp.broadcast_to(share, texts[:, 0].shape)

    def evidence(self, model: Any, inputs: Array, mask: Array, max_tokens: int) -> evidence.Found:
        del max_tokens
        return evidence.aligned(model, *model.encode(inputs, mask))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Fingerspelling and the like: landmarks in, characters out."""

    head: PerPosition | Autoregressive | CTC = Autoregressive()
    max_tokens: int = 40
    """Characters of the longest phrase; decoding stops there."""
    beams: int = 1
    """Texts that are looked at side by side while reading; 1: the likeliest character each time.
    With both heads, autoregressive and CTC, both judge what either found."""

    fallback: str = ""
    """A phrase to answer where a clip is read with less confidence than `fallback_below`."""
    fallback_below: float = 0.0
    """Of a clip: the mean over its characters' probabilities."""
    prior: Annotated[Prior, tyro.conf.Suppress] = None
    """Of texts, weighted, for the search. No run is trained with one: see `reading.Options`."""

    def __post_init__(self):
        vocab.encode(self.fallback)  # Says which character has no id.
        if bool(self.fallback) != bool(self.fallback_below):
            raise ValueError(
                f"fallback {self.fallback!r}, fallback_below {self.fallback_below}: give both"
            )
        if self.prior is not None and self.beams < 2:
            raise ValueError("a prior chooses among several texts: give --beams, as 8")
        if self.prior is not None and isinstance(self.head, PerPosition):
            raise ValueError("the per-position head searches for no text: leave out --prior")

    def searching(self, options: reading.Options) -> "Task":
        """The same task, read as the options say; their prior is to be counted yet."""
        return dataclasses.replace(
            self,
            beams=options.beams or self.beams,
            fallback=options.fallback or self.fallback,
            fallback_below=options.fallback_below or self.fallback_below,
        )

    def settled(self, metadata: dict) -> "Task":
        """With what the data set decides filled in: here nothing."""
        del metadata
        return self

    def build(self, model: Any, features: Any, rngs: nnx.Rngs) -> nnx.Module:
        return model.build(features.num_features, rngs=rngs)

    def fields(self, metadata: dict, features: Any) -> tuple:
        """What a batch holds of the records of a data set with this `metadata`; ValueError says
        what it lacks."""
        landmarks = features.source.field(metadata)
        return landmarks, fields_lib.Signer(), fields_lib.Text(self.max_tokens)

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        """f32[B,S,D], bool[B,S] and the batch's tokens -> total, count, and sums beside them."""
        return self.head.loss(model, inputs, mask, batch, key)

    def predict(self, model: Any, inputs: Array, mask: Array) -> Array:
        """`decoding.rows` of every clip, f32[B,L,60]."""
        read = self.head.read(model, inputs, mask, self.max_tokens, self.beams, self.prior)
        if self.fallback:
            text = vocab.encode(self.fallback)
            read = decoding.fallback(*read, mask, text, self.fallback_below)
        return decoding.rows(*read)

    def evidence(self, model: Any, inputs: Array, mask: Array) -> evidence.Found:
        """What `predict` reads its characters from."""
        return self.head.evidence(model, inputs, mask, self.max_tokens)

    def decode(self, rows_BLV: np.ndarray) -> list[Answer]:
        """The answers that `predict` stands for."""
        return list(map(self.read, rows_BLV))

    def outputs(self, model: Any, inputs: Array, mask: Array) -> Array:
        """What the exported file gives for a batch of one."""
        return self.predict(model, inputs, mask)[0]

    def read(self, outputs: np.ndarray) -> Answer:
        """The answer that those outputs are."""
        real = outputs.argmax(1) < vocab.PAD
        return Answer(kaggle.text(outputs), tuple(outputs.max(1)[real].tolist()))

    def beside(self) -> dict[str, bytes]:
        """Files that stand beside the exported model."""
        return {}

    def about(self) -> dict[str, Any]:
        """What model.json says of the exported outputs: what each index of a row stands for."""
        return {"task": "transcription", "answers": list(vocab.CHARACTERS)}

    def text(self, answer: Answer) -> str:
        """An answer in a word."""
        return answer.text

    def report(self, answer: Answer) -> dict:
        """An answer with all that is known of it."""
        return {"text": answer.text, "confidence": round(answer.confidence, 4)}

    def silent(self) -> dict:
        """What is reported of a clip without hands, which is not read."""
        return {"text": "", "confidence": 0.0}

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        """The phrases of the first `count` records of a split."""
        phrases = (records[i]["phrase"].bytes_list.value[0] for i in range(count))
        return [phrase.decode() for phrase in phrases]

    def score(
        self, targets: Sequence[str], answers: Sequence[Answer], signers: np.ndarray
    ) -> dict[str, float]:
        """`score` and what else is measured."""
        return metrics.transcription(targets, list(map(self.text, answers)), signers)

    def rank(self, scores: dict[str, float]) -> float:
        """What the best checkpoint has most of."""
        return scores["score"]

    def examples(
        self, records: records_lib.Records, targets: Sequence[str], answers: Sequence[Answer]
    ) -> list[dict]:
        return transcripts.examples(records, targets, answers)

    def analysis(self, examples: Sequence[dict]) -> dict:
        """What else the examples say: `metrics.analysis`."""
        return metrics.analysis(examples)

    def worst(self, examples: Sequence[dict], count: int) -> str:
        return transcripts.worst(examples, count)

    def summary(self, scores: dict[str, Any]) -> str:
        return transcripts.summary(scores)

    def draw(self, examples: Sequence[dict], scores: dict, directory: files.Path) -> None:
        """scores.png, characters.png and calibration.png."""
        del examples
        plots.transcription(scores, directory)
