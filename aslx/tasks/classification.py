"""A clip of signing, or an image of a hand -> one of a few classes.

`Task` is a `task.Task`. An answer is the probability of each class, f32[C].
"""

import dataclasses
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from aslx import errors
from aslx.data import record_fields as fields_lib
from aslx.data import records as records_lib
from aslx.decode import decoding_options
from aslx.schema import features as features_lib
from aslx.schema import networks
from aslx.tasks import classification_report, distillation

Array = jax.Array
Sums = dict[str, tuple[Array, Array]]  # Name -> (total, count), over the rows that weigh.


class Network(networks.Classifier, networks.Regularised, Protocol):
    """A classifier; only Keras' ResNet50 has kernels that are regularised."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Softmax over classes, cross-entropy."""

    classes: int
    """How many."""
    names: tuple[str, ...] = ()
    """Of the classes; those of the data set, noted when training starts."""
    label_smoothing: float = 0.0
    l2: float = 0.0
    """Times the sum of the squares of the kernels that the network regularises: Keras' L2."""
    best_by_loss: bool = False
    """The best checkpoint has the least loss, and patience waits for it; else the most accuracy."""
    pretrains: ClassVar[bool] = False

    def settled(self, metadata: dict) -> "Task":
        names = tuple(metadata.get("classes", ()))
        if len(names) != self.classes:
            raise errors.BadInput(
                f"the data set has {len(names)} classes and the config {self.classes}: "
                f"pass --task.classes {len(names)}"
            )
        return dataclasses.replace(self, names=names)

    @property
    def kept(self) -> dict:
        return {}

    def searching(self, options: decoding_options.Options) -> "Task":
        raise errors.BadInput(
            "a classifier reads no texts: leave out --ctc, --beams, --prior and --fallback"
        )

    def build(
        self, model: networks.Config, features: features_lib.Features, rngs: nnx.Rngs
    ) -> nnx.Module:
        return model.build(features.num_features, self.classes, rngs=rngs)

    def fields(self, metadata: dict, features: features_lib.Features) -> tuple:
        if self.names and list(self.names) != list(metadata.get("classes", ())):
            raise errors.BadInput("its classes are not those that the model was trained on")
        return features.source.field(metadata), fields_lib.LABEL

    def unaligned(
        self, model: Network, features: features_lib.Features, data: records_lib.Records
    ) -> int:
        """There is no CTC here."""
        del model, features, data
        return 0

    def loss(
        self, model: Network, inputs: Array, mask: Array, batch: dict, key: Array | None
    ) -> tuple[Array, Array, Sums]:
        logits_BC = model.classify(inputs, mask, key=key)
        weight_B, label_B = batch["weight"], batch["label"]
        target_BC = optax.smooth_labels(jax.nn.one_hot(label_B, self.classes), self.label_smoothing)
        total = (optax.softmax_cross_entropy(logits_BC, target_BC) * weight_B).sum()
        count = weight_B.sum()
        hits = ((logits_BC.argmax(-1) == label_B) * weight_B).sum()
        if self.l2:
            total += self.l2 * count * sum(jnp.square(w).sum() for w in model.regularised())
        return total, count, {"accuracy": (hits, count)}

    @property
    def teaches(self) -> tuple[str, ...]:
        return ()

    def said(self, model: Network, inputs: Array, mask: Array, batch: dict) -> distillation.Said:
        del model, inputs, mask, batch
        return distillation.Said()

    def predict(self, model: Network, inputs: Array, mask: Array) -> Array:
        """Probabilities f32[B,C]."""
        return jax.nn.softmax(model.classify(inputs, mask).astype(jnp.float32))

    def evidence(self, model: Network, inputs: Array, mask: Array) -> dict[str, Array]:
        """`classes` f32[B,C]: their probabilities."""
        return {"classes": self.predict(model, inputs, mask)}

    def decode(self, probabilities_BC: np.ndarray) -> list[np.ndarray]:
        return list(probabilities_BC)

    def outputs(self, model: Network, inputs: Array, mask: Array) -> Array:
        """f32[C]."""
        return self.predict(model, inputs, mask)[0]

    def read(self, outputs: np.ndarray) -> np.ndarray:
        return outputs

    @property
    def report(self) -> classification_report.Report:
        return classification_report.Report(self.names, self.best_by_loss)
