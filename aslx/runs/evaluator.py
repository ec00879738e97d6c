"""A model's answers and scores for every record of a split."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from aslx import config as config_lib
from aslx import errors, sharding
from aslx.data import loader, plan, records, training_data
from aslx.inputs import model_inputs
from aslx.kernels import mode as modes
from aslx.models import layers
from aslx.runs import flat, opening

log = logging.getLogger("aslx")


def evaluate(
    model: Any, batch: model_inputs.Batch, *, task: Any, features: Any
) -> tuple[jax.Array, dict[str, tuple[jax.Array, jax.Array]]]:
    """The task's predictions, and its loss and measures as (total, count)."""
    x_BSF, mask_BS = model_inputs.of(batch, features)
    loss, count, sums = task.loss(model, x_BSF, mask_BS, batch, None)
    return task.predict(model, x_BSF, mask_BS), sums | {"loss": (loss, count)}


def evaluate_step(cfg: config_lib.Config, mesh: jax.sharding.Mesh):
    """The jitted `evaluate` of a config, of a flat model."""
    mode = modes.of(sharding.platform(mesh))

    def whole(held: flat.Flat, batch: model_inputs.Batch) -> tuple:
        model = layers.bound(sharding.whole(mesh, held.tree), mode)
        return evaluate(model, batch, task=cfg.task, features=cfg.features)

    # Whole on every host, so that each can count.
    options = sharding.options(mesh, cfg.mesh.deterministic)
    return jax.jit(whole, out_shardings=sharding.replicated(mesh), compiler_options=options)


def predict_step(cfg: config_lib.Config, mesh: jax.sharding.Mesh):
    """The jitted function from a flat model and a batch to the task's answers. It is two programs:
    clips of many lengths share the network's, and compiling two small programs takes less memory
    than one."""
    features = jax.jit(lambda batch: model_inputs.of(batch, cfg.features))
    mode = modes.of(sharding.platform(mesh))
    network = jax.jit(
        lambda held, x, mask: cfg.task.predict(layers.bound(held.tree, mode), x, mask)
    )
    return lambda held, batch: network(held, *features(batch))


class Evaluation:
    """One split, and the compiled function that evaluates a model on every record of it.

    With `data.skip_corrupt`, `run` counts the corrupt records, and leaves them out of `data` and of
    the scores.
    """

    def __init__(
        self, cfg: config_lib.Config, mesh: jax.sharding.Mesh, split: str, limit: int | None = None
    ):
        self._cfg, self._mesh = cfg, mesh
        data = opening.split(cfg, split)
        self._every = data.only(np.arange(limit)) if limit and limit < len(data) else data
        self._fields = opening.fields(cfg, self._every)
        self.data, self.corrupt = self._every, 0
        self._evaluate = evaluate_step(cfg, mesh)
        # Whole on every host, as the answers are.
        self._whole = jax.jit(lambda x: x, out_shardings=sharding.replicated(mesh))

    @functools.cached_property
    def targets(self) -> list[str]:
        return self._cfg.task.report.targets(self.data, len(self.data))

    @functools.cached_property
    def batches(self) -> loader.Batches:
        """Rows that only fill up the last batch have weight zero."""
        lengths = self._every.index.frames
        shapes = self._cfg.data.batching.shapes(lengths)
        for shape in shapes:
            sharding.check_rows(self._mesh, shape.rows)
        planned = plan.evaluation(lengths, shapes)
        hosts, skip = (jax.process_index(), jax.process_count()), self._cfg.data.skip_corrupt
        return loader.Batches(self._every, planned, len(planned), self._fields, *hosts, skip)

    def run(self, model: Any, progress: Callable[[int], object] = lambda n: None) -> tuple:
        """The model's answer for every record of `data`, in order, and the mean losses.

        `progress` gets the number of records of each batch.
        """
        answers: dict[int, Any] = {}
        sums: dict[str, np.ndarray] = {}
        evaluate = functools.partial(self._evaluate, flat.Flat(model))
        for numbers, real, (answer, part) in self.each(evaluate):
            decoded = self._cfg.task.decode(answer[real])
            answers |= zip(numbers.tolist(), decoded, strict=True)
            for name, pair in part.items():
                sums[name] = sums.get(name, 0.0) + np.array(pair, np.float64)
            progress(len(real))
        self._leave_out(set(range(len(self._every))) - answers.keys())
        means = {f"eval_{k}": float(t / max(n, 1.0)) for k, (t, n) in sums.items()}
        return [answers[i] for i in sorted(answers)], means

    def each(self, function: Callable[[model_inputs.Batch], Any]) -> Iterator[tuple]:
        """For each batch: the numbers of its records that are not corrupt, their rows in the batch,
        and `function` of the batch."""
        with contextlib.closing(iter(loader.stream(self.batches))) as stream:
            for i, batch in enumerate(sharding.put(self._mesh, stream)):
                made, weight = jax.device_get((function(batch), self._whole(batch["weight"])))
                real = np.flatnonzero(weight)
                yield self.batches.plan[i].records[real], real, made

    def _leave_out(self, corrupt: set[int]) -> None:
        where = f"{self._every.split} in {self._every.directory}"
        if len(corrupt) == len(self._every):
            raise errors.BadInput(f"every record of {where} is corrupt: prepare the data again")
        if corrupt:
            log.warning("%d corrupt records of %s are left out", len(corrupt), where)
        if corrupt or self.corrupt:
            kept = np.setdiff1d(np.arange(len(self._every)), list(corrupt))
            self.data, self.corrupt = self._every.only(kept), len(corrupt)
            self.__dict__.pop("targets", None)

    def novelty(self, trained_on: str) -> dict[str, int]:
        """Counts of the split's signers and phrases that training never saw; empty where the
        training's data set is gone. Signers are compared between data sets whose numbers mean the
        same people."""
        if not records.there(trained_on):
            return {}
        data = dataclasses.replace(self._cfg.data, path=trained_on)
        sources = opening.training(dataclasses.replace(self._cfg, data=data)).sources
        related = [source for source, _ in sources if training_data.same_people(source, self.data)]
        counts = {}
        for name, seen in (("signers", related), ("phrases", [source for source, _ in sources])):
            column = name.removesuffix("s")
            mine = np.unique(getattr(self.data.index, column))
            if not seen or (mine == -1).all():  # The data set does not tell them.
                continue
            there = np.concatenate([getattr(source.index, column) for source in seen])
            counts |= {name: len(mine), f"unseen_{name}": int((~np.isin(mine, there)).sum())}
        return counts

    def clips(self) -> Iterator[np.ndarray]:
        """Each record's clip or image as the model's features see it: landmarks f16[T, N, 3]."""
        field = self._cfg.features.source.field(self.data.metadata)
        for i in range(len(self.data)):
            yield field.read(self.data[i])

    def score(self, answers: list) -> dict[str, float]:
        scores = self._cfg.task.report.score(self.targets, answers, self.data.index.signer)
        return scores | ({"corrupt": self.corrupt} if self._cfg.data.skip_corrupt else {})
