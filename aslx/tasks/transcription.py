"""A clip of signing -> text. How a network is read and what it is trained by is in heads.py, how
answers are scored and told in transcription_report.py."""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx

from aslx import errors
from aslx.data import record_fields as fields_lib
from aslx.data import records as records_lib
from aslx.decode import attributions, decoding, decoding_options
from aslx.schema import vocab
from aslx.tasks import heads, transcription_report

Answer = transcription_report.Answer
Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Fingerspelling and the like: landmarks in, characters out."""

    head: heads.PerPosition | heads.Autoregressive | heads.CTC = heads.Autoregressive()
    max_tokens: int = 40
    """Characters of the longest phrase; decoding stops there."""
    beams: int = 1
    """Texts that are looked at side by side while reading; 1: the likeliest character each time.
    With both heads, autoregressive and CTC, both judge what either found."""

    fallback: str = ""
    """A phrase to answer where a clip is read with less confidence than `fallback_below`."""
    fallback_below: float = 0.0
    """Of a clip: the mean over its characters' probabilities."""
    prior: Annotated[heads.Prior, tyro.conf.Suppress] = None
    """Of texts, weighted, for the search. No run is trained with one: see `reading.Options`."""

    def __post_init__(self):
        vocab.encode(self.fallback)  # Says which character has no id.
        if bool(self.fallback) != bool(self.fallback_below):
            raise errors.BadInput(
                f"fallback {self.fallback!r}, fallback_below {self.fallback_below}: give both"
            )
        if self.prior is not None and self.beams < 2:
            raise errors.BadInput("a prior chooses among several texts: give --beams, as 8")
        if self.prior is not None and isinstance(self.head, heads.PerPosition):
            raise errors.BadInput("the per-position head searches for no text: leave out --prior")

    def searching(self, options: decoding_options.Options) -> "Task":
        """The same task, read as the options say; their prior is to be counted yet."""
        head = self.head
        if options.ctc or options.ctc_weight:
            if not isinstance(head, heads.Autoregressive) or not head.ctc_weight:
                raise errors.BadInput("there are no two heads: leave out --ctc and --ctc-weight")
            weighed = dataclasses.replace(head, ctc_weight=options.ctc_weight)
            head = heads.CTC() if options.ctc else weighed
        return dataclasses.replace(
            self,
            head=head,
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
        """What a batch holds of the records of a data set with this `metadata`; BadInput says
        what it lacks."""
        landmarks = features.source.field(metadata)
        return landmarks, fields_lib.Signer(), fields_lib.Text(self.max_tokens)

    def unaligned(self, model: Any, features: Any, data: records_lib.Records) -> int:
        """Clips of which CTC learns nothing: all of their frames make fewer positions than the
        phrase has characters, and blanks between equal ones. There may be more, of which features
        leave frames out: the loss counts those too. `model` may be abstract."""
        if not self.head.aligns:
            return 0
        frames, index = 64, data.index
        inputs, mask = jnp.zeros((1, frames, features.num_features)), jnp.ones((1, frames), bool)
        memory, _ = jax.eval_shape(lambda m: m.encode(inputs, mask), model)
        least = np.where(index.frames > 0, features.min_frames, 0)
        seen = np.clip(index.frames, least, features.max_frames)
        positions = -(-seen * memory.shape[1] // frames)
        letters_NL = index.text.view(np.uint8).reshape(len(data), -1)
        twins = (letters_NL[:, 1:] == letters_NL[:, :-1]) & (letters_NL[:, 1:] > 0)
        return int((positions < index.characters + twins.sum(1)).sum())

    def loss(
        self, model: Any, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, heads.Sums]:
        """f32[B,S,D], bool[B,S] and the batch's tokens -> total, count, and sums beside them."""
        return self.head.loss(model, inputs, mask, batch, key)

    def predict(self, model: Any, inputs: Array, mask: Array) -> Array:
        """`decoding.answers` of every clip, f32[B,2,L]."""
        read = self.head.read(model, inputs, mask, self.max_tokens, self.beams, self.prior)
        if self.fallback:
            text = vocab.encode(self.fallback)
            read = decoding.fallback(*read, mask, text, self.fallback_below)
        return decoding.answers(*read)

    def evidence(self, model: Any, inputs: Array, mask: Array) -> attributions.Found:
        """What `predict` reads its characters from."""
        return self.head.evidence(model, inputs, mask, self.max_tokens)

    def decode(self, answers_B2L: np.ndarray) -> list[Answer]:
        """The answers that `predict` stands for."""
        return [
            Answer(vocab.decode(ids.astype(int)), tuple(sure[ids < vocab.PAD].tolist()))
            for ids, sure in answers_B2L
        ]

    def outputs(self, model: Any, inputs: Array, mask: Array) -> Array:
        """What the exported file gives for a batch of one: `decoding.rows`, f32[L,60]."""
        return decoding.rows(self.predict(model, inputs, mask))[0]

    def read(self, outputs: np.ndarray) -> Answer:
        """The answer that those outputs are."""
        real = outputs.argmax(1) < vocab.PAD
        return Answer(vocab.of_rows(outputs), tuple(outputs.max(1)[real].tolist()))

    @property
    def report(self) -> transcription_report.Report:
        return transcription_report.Report()
