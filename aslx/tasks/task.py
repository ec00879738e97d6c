"""What is asked of a task: the fields that it reads, its loss, and its answers.

A new task is one new class, in any module, that has these functions; nothing lists it. Shapes: B
clips or images, S frames and D features of the network's inputs, or an image's.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Protocol, Self, TypeVar

import jax
import numpy as np
from flax import nnx

from aslx.data import records as records_lib
from aslx.decode import decoding_options
from aslx.schema import networks
from aslx.storage import files
from aslx.tasks import distillation

Array = jax.Array
Sums = dict[str, tuple[Array, Array]]  # Name -> (total, count), over the rows that weigh.

Network = TypeVar("Network", contravariant=True)
Features = TypeVar("Features", contravariant=True)
Answer = TypeVar("Answer")
Given = TypeVar("Given", contravariant=True)


class Report(Protocol[Given]):
    """How answers are scored and told."""

    def beside(self) -> dict[str, bytes]:
        """Files that stand beside the exported model."""
        ...

    def unsuited(self) -> str:
        """Why the competition of the features' source does not take the answers; "" if it does."""
        ...

    def about(self) -> dict:
        """What model.json says of the exported outputs."""
        ...

    def text(self, answer: Given, /) -> str:
        """An answer in a word."""
        ...

    def line(self, answer: Given, /) -> dict:
        """Everything that is reported about an answer."""
        ...

    def silent(self) -> dict:
        """What is reported of a clip that shows no hand, which is not read."""
        ...

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        """The true answers, in words, of the first `count` records."""
        ...

    def score(
        self, targets: Sequence[str], answers: Sequence[Given], signers: np.ndarray, /
    ) -> dict[str, float]:
        """`score`, and what else is measured."""
        ...

    def rank(self, scores: dict[str, float]) -> float:
        """The number that is highest of the best checkpoint."""
        ...

    def examples(
        self, records: records_lib.Records, targets: Sequence[str], answers: Sequence[Given], /
    ) -> list[dict]:
        """One row a clip, the worst first."""
        ...

    def analysis(self, examples: Sequence[dict]) -> dict:
        """What else the examples say."""
        ...

    def worst(self, examples: Sequence[dict], count: int) -> str:
        """The first `count` examples, in lines."""
        ...

    def summary(self, scores: dict) -> str:
        """The scores in lines, each with its meaning."""
        ...

    def draw(self, examples: Sequence[dict], scores: dict, directory: files.Path) -> None:
        """Figures and tables, written into `directory`."""
        ...


class Task(Protocol[Network, Features, Answer]):
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]
    pretrains: ClassVar[bool]
    """Whether its network answers nothing by itself, and is there for another run to begin with."""

    def settled(self, metadata: dict) -> Self:
        """The task with what the data set decides filled in."""
        ...

    @property
    def kept(self) -> dict:
        """What a run that goes on, or begins from this task's weights, has from this task and not
        from its own data set; as metadata names it."""
        ...

    def searching(self, options: decoding_options.Options) -> Self:
        """The task, read as the options say."""
        ...

    def build(self, model: networks.Config, features: Features, rngs: nnx.Rngs) -> nnx.Module:
        """The network of a config, with the task's number of outputs."""
        ...

    def fields(self, metadata: dict, features: Features) -> tuple:
        """What a batch holds of the records of a data set with this `metadata`, the clip or image
        first; BadInput says what the data set lacks."""
        ...

    def unaligned(self, model: Network, features: Features, data: records_lib.Records) -> int:
        """Clips of which CTC learns nothing; `model` may be abstract."""
        ...

    def loss(
        self, model: Network, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        """f32[B,S,D], bool[B,S] and the batch -> the total of the losses, their count, and what
        else is summed. `key` is None in evaluation."""
        ...

    @property
    def teaches(self) -> tuple[str, ...]:
        """The heads of its network that can learn from another network, and teach one: "ctc",
        "decoder"."""
        ...

    def said(self, model: Network, inputs: Array, mask: Array, batch: dict) -> distillation.Said:
        """What these heads say of a batch."""
        ...

    def predict(self, model: Network, inputs: Array, mask: Array) -> Array:
        """f32[B, ...]: the answers of all rows, as `decode` takes them."""
        ...

    def decode(self, predictions: np.ndarray, /) -> list[Answer]:
        """What `predict` gave, as answers."""
        ...

    def evidence(self, model: Network, inputs: Array, mask: Array) -> dict[str, Array]:
        """What `predict` reads its answers from, to be drawn."""
        ...

    def outputs(self, model: Network, inputs: Array, mask: Array) -> Array:
        """What the exported model gives for a batch of one."""
        ...

    def read(self, outputs: np.ndarray) -> Answer:
        """The answer that the exported model's outputs are."""
        ...

    @property
    def report(self) -> Report[Answer]: ...
