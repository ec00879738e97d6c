"""A clip of signing -> text. Three heads that are equals: autoregressive, CTC and per position.

`Task` is what train, evaluate, predict and export ask; its head has the loss and the prediction.
Losses are totals with their counts, so that batches, microbatches and hosts add up to one mean.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import decoding, evidence, files, kaggle, losses, metrics, plots, search, vocab
from aslx.data import fields as fields_lib
from aslx.data import records as records_lib

Array = jax.Array
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
        self, model: Any, inputs: Array, mask: Array, max_tokens: int, beams: int
    ) -> tuple[Array, Array]:
        del max_tokens, beams  # The network has as many positions as it has, each by itself.
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
    reverse_weight: float = 0.0
    """Times the loss of the decoder that reads backwards, for a model that has it (`reverse`)."""
    late_dropout: losses.LateDropout = losses.LateDropout()

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        encode_key, decode_key = (None, None) if key is None else jax.random.split(key)
        memory, memory_mask = model.encode(inputs, mask, key=encode_key)
        memory = self.late_dropout(memory, batch, encode_key)
        total, count, hits = self._forced(model.decode, batch, memory, memory_mask, decode_key)
        sums = {"token_accuracy": hits}
        if self.reverse_weight:
            turned = batch | {"tokens": losses.backwards(batch["tokens"])}
            decode = model.decode_backwards
            more, n, _ = self._forced(decode, turned, memory, memory_mask, decode_key)
            sums["reverse_loss"] = more, n
            total = total + self.reverse_weight * more
        if self.ctc_weight:
            ctc, ctc_count = losses.ctc(model.ctc(memory), memory_mask, batch)
            sums["ctc_loss"] = ctc, ctc_count
            total = (1 - self.ctc_weight) * total + self.ctc_weight * ctc
        return total, count, sums

    def _forced(
        self, decode: Any, batch: dict, memory: Array, mask: Array, key: Array | None
    ) -> tuple[Array, Array, tuple[Array, Array]]:
        """Loss, count and hits of a decoder by teacher forcing."""
        tokens_BT, target_BT = decoding.opened(batch["tokens"]), decoding.closed(batch["tokens"])
        logits_BTV = decode(tokens_BT, memory, mask, key=key)
        weight_BT = (target_BT != vocab.PAD) * batch["weight"][:, None]
        loss_BT = losses.cross_entropy(logits_BTV, target_BT, self.label_smoothing) * weight_BT
        if self.class_weights:
            loss_BT = loss_BT * jnp.asarray(self.class_weights)[target_BT]
        count = weight_BT.sum()
        if self.mean_over_pads:
            count = batch["weight"].sum() * weight_BT.shape[1]
        return loss_BT.sum(), count, losses.hits(logits_BTV, target_BT, weight_BT)

    def read(
        self, model: Any, inputs: Array, mask: Array, max_tokens: int, beams: int
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        if beams == 1:
            return decoding.greedy(model, memory, memory_mask, max_tokens)
        if self.ctc_weight:
            share = self.ctc_weight
            text = search.joint(model, memory, memory_mask, max_tokens, beams, share)
        else:
            text = search.autoregressive(model, memory, memory_mask, max_tokens, beams)[0][:, 0]
        return text, search.confidence(model, text, memory, memory_mask)

    def evidence(self, model: Any, inputs: Array, mask: Array, max_tokens: int) -> evidence.Found:
        memory, memory_mask = model.encode(inputs, mask)
        tokens_BL, _ = decoding.greedy(model, memory, memory_mask, max_tokens)
        found = evidence.attended(model, memory, memory_mask, tokens_BL)
        return found | evidence.aligned(model, memory, memory_mask) if self.ctc_weight else found


@dataclasses.dataclass(frozen=True, kw_only=True)
class CTC:
    """A character or nothing at each frame of the encoder (Graves et al. 2006)."""

    late_dropout: losses.LateDropout = losses.LateDropout()

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        memory, memory_mask = model.encode(inputs, mask, key=key)
        memory = self.late_dropout(memory, batch, key)
        total, count = losses.ctc(model.ctc(memory), memory_mask, batch)
        return total, count, {}

    def read(
        self, model: Any, inputs: Array, mask: Array, max_tokens: int, beams: int
    ) -> tuple[Array, Array]:
        memory, memory_mask = model.encode(inputs, mask)
        logits = model.ctc(memory)
        if beams == 1:
            return decoding.ctc_greedy(logits, memory_mask)
        texts, scores = search.ctc(logits, memory_mask, max_tokens, beams)
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

    def searching(self, beams: int) -> "Task":
        """The same task, read with so many beams."""
        return dataclasses.replace(self, beams=beams)

    def settled(self, metadata: dict) -> "Task":
        """With what the data set decides filled in: here nothing."""
        del metadata
        return self

    def build(self, model: Any, features: Any, rngs: nnx.Rngs) -> nnx.Module:
        return model.build(features.num_features, rngs=rngs)

    def fields(self, metadata: dict, features: Any) -> tuple:
        """What a batch holds of the records of a data set with this `metadata`; ValueError says
        what it lacks."""
        return features.source.field(metadata), fields_lib.Text(self.max_tokens)

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        """f32[B,S,D], bool[B,S] and the batch's tokens -> total, count, and sums beside them."""
        return self.head.loss(model, inputs, mask, batch, key)

    def predict(self, model: Any, inputs: Array, mask: Array) -> Array:
        """Characters i32[B,L], PAD where there is none."""
        return self.head.read(model, inputs, mask, self.max_tokens, self.beams)[0]

    def evidence(self, model: Any, inputs: Array, mask: Array) -> evidence.Found:
        """What `predict` reads its characters from."""
        return self.head.evidence(model, inputs, mask, self.max_tokens)

    def decode(self, tokens_BL: np.ndarray) -> list[str]:
        """The answers that `predict`'s rows stand for."""
        return [vocab.decode(row) for row in tokens_BL]

    def outputs(self, model: Any, inputs: Array, mask: Array) -> Array:
        """What the exported file gives for a batch of one: `decoding.rows`."""
        tokens_BL, sure_BL = self.head.read(model, inputs, mask, self.max_tokens, self.beams)
        return decoding.rows(tokens_BL[0], sure_BL[0])

    def read(self, outputs: np.ndarray) -> str:
        """The answer that those outputs are."""
        return kaggle.text(outputs)

    def beside(self) -> dict[str, bytes]:
        """Files that stand beside the exported model."""
        return {}

    def about(self) -> dict[str, Any]:
        """What model.json says of the exported outputs: what each index of a row stands for."""
        return {"task": "transcription", "answers": list(vocab.CHARACTERS)}

    def text(self, answer: str) -> str:
        """An answer in a word."""
        return answer

    def report(self, answer: str) -> dict:
        """An answer with all that is known of it."""
        return {"text": answer}

    def silent(self) -> dict:
        """What is reported of a clip without hands, which is not read."""
        return {"text": ""}

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        """The phrases of the first `count` records of a split."""
        phrases = (records[i]["phrase"].bytes_list.value[0] for i in range(count))
        return [phrase.decode() for phrase in phrases]

    def score(
        self, targets: Sequence[str], predictions: Sequence[str], signers: np.ndarray
    ) -> dict[str, float]:
        """`score` and what else is measured."""
        return metrics.transcription(targets, predictions, signers)

    def rank(self, scores: dict[str, float]) -> float:
        """What the best checkpoint has most of."""
        return scores["score"]

    def examples(
        self, records: records_lib.Records, targets: Sequence[str], predictions: Sequence[str]
    ) -> list[dict]:
        """One row a clip, those with the most edits first."""
        edits = metrics.distances(targets, predictions)
        rows = [
            {
                "record": i,
                "signer": int(records.index.signer[i]),
                "frames": int(records.index.frames[i]),
                "edits": int(edits[i]),
                "target": targets[i],
                "prediction": predictions[i],
            }
            for i in range(len(targets))
        ]
        return sorted(rows, key=lambda row: -row["edits"])

    def worst(self, examples: Sequence[dict], count: int) -> str:
        lines = [
            f"{row['edits']:3d} edits  {row['target']!r}\n           {row['prediction']!r}"
            for row in examples[:count]
        ]
        return "\n".join(lines)

    def summary(self, scores: dict[str, float]) -> str:
        """The scores, each with its meaning."""
        lines = [
            f"{scores['clips']} clips by {scores['signers']} signers",
            f"score {scores['score']:.4f}: Kaggle's, (N - D) / N over all characters; 95 % "
            f"interval over signers {scores['score_low']:.4f} to {scores['score_high']:.4f}",
            f"CER {scores['cer']:.4f}; exact {scores['exact']:.4f} of the clips",
            f"mean edit distance {scores['mean_edit_distance']:.4f}: a clip's edits by its "
            "characters, as the seeds had it",
        ]
        if "unseen_signers" in scores:
            lines.append(
                f"never seen in training: {scores['unseen_signers']} of the signers and "
                f"{scores['unseen_phrases']} of the {scores['phrases']} phrases"
            )
        if "eval_token_accuracy" in scores:
            lines.append(
                f"token accuracy {scores['eval_token_accuracy']:.4f}: with the true characters "
                "before it given, or with pads counted, as the seeds had it"
            )
        return "\n".join(lines)

    def draw(
        self, examples: Sequence[dict], scores: dict[str, float], directory: files.Path
    ) -> None:
        plots.transcription(examples, scores, directory / "scores.png")
