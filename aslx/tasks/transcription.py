"""A clip of signing -> text. heads.py has the losses and the ways to read a network, and
transcription_report.py the scores."""

import dataclasses
from typing import Annotated, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx

from aslx import errors
from aslx.data import record_fields as fields_lib
from aslx.data import records as records_lib
from aslx.decode import attributions, decoding, decoding_options
from aslx.schema import features as features_lib
from aslx.schema import networks, vocab
from aslx.tasks import distillation, heads, transcription_report
from aslx.tasks import transducer as transducer_lib

Answer = transcription_report.Answer
Array = jax.Array


class Network(networks.Positions, networks.Transcriber, networks.Transducer, Protocol):
    """All that the heads ask of a network; each network has what its own head asks."""


class Features(features_lib.Features, Protocol):
    @property
    def min_frames(self) -> int:
        """Frames that the network sees at least."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Landmarks in, characters out: fingerspelling, for example."""

    head: heads.PerPosition | heads.Autoregressive | heads.CTC | transducer_lib.Transducer = (
        heads.Autoregressive()
    )
    max_tokens: int = 40
    """Characters of the longest phrase; decoding stops there."""
    beams: int = 1
    """Texts that the search keeps side by side; 1: the likeliest character each time. With both
    heads, autoregressive and CTC, both score what either found."""
    fallback: str = ""
    """A phrase to answer where a clip is read with less confidence than `fallback_below`."""
    fallback_below: float = 0.0
    """The confidence of a clip is the mean of its characters' probabilities."""
    alphabet: Annotated[vocab.Alphabet, tyro.conf.Suppress] = vocab.KAGGLE
    """The characters of the texts: those of the data set, noted when training starts."""
    prior: Annotated[heads.Prior, tyro.conf.Suppress] = None
    """Weighted log-probabilities of texts for the search. No run is trained with a prior: it comes
    from `decoding_options.Options`."""
    pretrains: ClassVar[bool] = False

    def __post_init__(self):
        if bool(self.fallback) != bool(self.fallback_below):
            raise errors.BadInput(
                f"fallback {self.fallback!r}, fallback_below {self.fallback_below}: give both"
            )
        if self.beams < 1:
            raise errors.BadInput(f"beams {self.beams}: give 1 or more")
        if self.prior is not None and self.beams < 2:
            raise errors.BadInput("a prior chooses among several texts: give --beams, as 8")
        if self.prior is not None and not self.head.searches:
            raise errors.BadInput("the per-position head searches for no text: leave out --prior")

    def searching(self, options: decoding_options.Options) -> "Task":
        """The same task, read as the options say; the prior is not yet counted."""
        given = {name: getattr(options, name) for name in ("beams", "fallback", "fallback_below")}
        given = {name: value for name, value in given.items() if value is not None}
        if options.fallback == "":
            given["fallback_below"] = 0.0
        return dataclasses.replace(self, head=self.head.searching(options), **given)._spelled()

    def settled(self, metadata: dict) -> "Task":
        return dataclasses.replace(self, alphabet=vocab.of_metadata(metadata))._spelled()

    def _spelled(self) -> "Task":
        """The task; BadInput names a character of the fallback that is not in the alphabet."""
        self.alphabet.encode(self.fallback)
        return self

    @property
    def kept(self) -> dict:
        return {"alphabet": self.alphabet.characters}

    def build(self, model: networks.Config, features: Features, rngs: nnx.Rngs) -> nnx.Module:
        return model.build(features.num_features, len(self.alphabet), rngs=rngs)

    def fields(self, metadata: dict, features: Features) -> tuple:
        landmarks = features.source.field(metadata)
        return landmarks, fields_lib.SIGNER, fields_lib.Text(self.max_tokens, self.alphabet)

    def unaligned(self, model: Network, features: Features, data: records_lib.Records) -> int:
        """Clips from which CTC learns nothing: their frames make fewer positions than there are
        characters, and blanks between equal characters. The loss counts further clips of which
        features leave out frames."""
        if not self.head.aligns:
            return 0
        frames, index = 64, data.index
        inputs, mask = jnp.zeros((1, frames, features.num_features)), jnp.ones((1, frames), bool)
        memory, _ = jax.eval_shape(lambda m: m.encode(inputs, mask), model)
        least = np.where(index.frames > 0, features.min_frames, 0)
        seen = np.clip(index.frames, least, features.max_frames)
        positions = -(-seen * memory.shape[1] // frames)
        codes = vocab.codes("".join(map(vocab.text, index.text.tolist())))
        row = np.repeat(np.arange(len(data)), index.characters)
        twin = (codes[1:] == codes[:-1]) & (row[1:] == row[:-1])
        twins = np.bincount(row[1:][twin], minlength=len(data))
        return int((positions < index.characters + twins).sum())

    def loss(
        self, model: Network, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, heads.Sums]:
        """A phrase of more than `max_tokens` characters counts nothing."""
        weight_B = batch["weight"] * (batch["tokens"][:, 0] != vocab.LONG)
        batch = batch | self._padded(batch) | {"weight": weight_B}
        return self.head.loss(model, inputs, mask, batch, key, self.alphabet)

    def _padded(self, batch: dict) -> dict[str, Array]:
        """The characters of a batch, with pads behind them."""
        given = {name: batch[name] for name in ("tokens", "given") if name in batch}
        return {name: jnp.where(x < 0, self.alphabet.pad, x) for name, x in given.items()}

    @property
    def teaches(self) -> tuple[str, ...]:
        return self.head.teaches

    def said(self, model: Network, inputs: Array, mask: Array, batch: dict) -> distillation.Said:
        memory, memory_mask = model.encode(inputs, mask)
        ctc = model.ctc(memory) if "ctc" in self.teaches else None
        decoder = None
        if "decoder" in self.teaches:
            ids = self._padded(batch)
            tokens = decoding.with_start(ids.get("given", ids["tokens"]), self.alphabet)
            decoder = model.decode(tokens, memory, memory_mask)
        return distillation.Said(ctc=ctc, mask=memory_mask, decoder=decoder)

    def predict(self, model: Network, inputs: Array, mask: Array) -> Array:
        """`decoding.answers` of every clip, f32[B,2,L]."""
        alphabet, most = self.alphabet, self.max_tokens
        read = self.head.read(model, inputs, mask, alphabet, most, self.beams, self.prior)
        if self.fallback:
            text = alphabet.encode(self.fallback)
            read = decoding.fallback(*read, mask, alphabet, text, self.fallback_below)
        return decoding.answers(*read, alphabet)

    def evidence(self, model: Network, inputs: Array, mask: Array) -> attributions.Found:
        return self.head.evidence(model, inputs, mask, self.alphabet, self.max_tokens)

    def decode(self, answers_B2L: np.ndarray) -> list[Answer]:
        return [
            Answer(
                self.alphabet.decode(ids.astype(int)), tuple(sure[ids < self.alphabet.pad].tolist())
            )
            for ids, sure in answers_B2L
        ]

    def outputs(self, model: Network, inputs: Array, mask: Array) -> Array:
        """`decoding.rows`, f32[L,N+1] of N characters."""
        return decoding.rows(self.predict(model, inputs, mask), self.alphabet)[0]

    def read(self, outputs: np.ndarray) -> Answer:
        found = vocab.characters(outputs, self.alphabet.characters)
        return Answer("".join(c for c, _ in found), tuple(confidence for _, confidence in found))

    @property
    def report(self) -> transcription_report.Report:
        return transcription_report.Report(self.alphabet, self.max_tokens)
