"""A run directory and what its model says of a split: shared by training and the commands."""

import contextlib
import dataclasses
import functools
import json
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from etils import epath
from flax import nnx

from aslx import config as config_lib
from aslx import errors, sharding
from aslx.checkpoints import checkpoint_list
from aslx.data import loader, plan, records, training_data
from aslx.decode import decoding_options, ngrams
from aslx.models import layers, stateless
from aslx.storage import files
from aslx.train import step

log = logging.getLogger("aslx")

_LONG = 1024  # Frames: Kaggle's longest clip has 807.


def build(cfg: config_lib.Config) -> nnx.Module:
    """The config's network; BadInput where it keeps more than parameters."""
    return stateless.checked(cfg.task.build(cfg.model, cfg.features, nnx.Rngs(cfg.seed)))


def settled(cfg: config_lib.Config) -> config_lib.Config:
    """With what the data set decides, as the names of its classes and the size of its images."""
    metadata = records.read_metadata(pathlib.Path(cfg.data.path))
    features = dataclasses.replace(cfg.features, **cfg.features.source.settled(metadata))
    return dataclasses.replace(cfg, task=cfg.task.settled(metadata), features=features)


def open_split(cfg: config_lib.Config, split: str, path: str = "") -> records.Records:
    """A split that holds something, and all that the config's features ask for; of `path`, or of
    the config's data set."""
    path = path or cfg.data.path
    data = records.Records(path, split)
    try:
        cfg.task.fields(data.metadata, cfg.features)
    except errors.BadInput as error:
        raise errors.BadInput(
            f"{path} does not hold what the config reads ({error}): "
            "prepare it otherwise, or take another config"
        ) from None
    if not len(data):
        raise errors.BadInput(f"the split {split} of {path} is empty")
    return data


def checked_fields(cfg: config_lib.Config, data: records.Records) -> tuple:
    """What the config reads of records. What it cannot use of any is told now, from the index, and
    not when that record's turn comes."""
    clip, *others = cfg.task.fields(data.metadata, cfg.features)
    for field in others:
        field.check(data)
    return clip, *others


def open_training(cfg: config_lib.Config) -> training_data.Pool:
    """All that a config trains on."""
    fields = functools.partial(checked_fields, cfg)
    main = training_data.evenly(open_split(cfg, cfg.data.train_split), cfg.data.limit)
    found = training_data.Pool(((main, fields(main)),))
    for source in cfg.data.also:
        more = open_split(cfg, source.split, source.path)
        more = training_data.confident(more, source.min_confidence)
        found = found.adding(more, fields(more), source.weight, source.one_per_phrase)
    return found.joining(cfg.data.join)


def evaluate_step(cfg: config_lib.Config, mesh: jax.sharding.Mesh):
    """The jitted `step.evaluate` of a config."""

    def evaluate(model: Any, batch: step.Batch) -> tuple:
        model = sharding.whole(mesh, model)
        return step.evaluate(model, batch, task=cfg.task, features=cfg.features)

    # Whole on every host, so that each can count.
    options = sharding.repeatable(mesh, cfg.mesh.deterministic)
    return jax.jit(evaluate, out_shardings=sharding.replicated(mesh), compiler_options=options)


def predict_step(cfg: config_lib.Config):
    """The jitted way from a batch to what the task answers. In two programs: clips of many lengths
    share that of the network, and compiling one after the other takes less memory than both."""
    features = jax.jit(lambda batch: step.inputs(batch, cfg.features))
    network = jax.jit(lambda model, x, mask: cfg.task.predict(model, x, mask))
    return lambda model, batch: network(model, *features(batch))


class Evaluation:
    """Every record of a split once through a model; the compiled function is kept.

    With `data.skip_corrupt` the records that `run` found corrupt are left out of `data`, and of all
    that is said of it, and counted.
    """

    def __init__(
        self, cfg: config_lib.Config, mesh: jax.sharding.Mesh, split: str, limit: int | None = None
    ):
        self._cfg, self._mesh = cfg, mesh
        data = open_split(cfg, split)
        self._every = data.only(np.arange(limit)) if limit and limit < len(data) else data
        self._fields = checked_fields(cfg, self._every)
        self.data, self.corrupt = self._every, 0
        self._evaluate = evaluate_step(cfg, mesh)
        # Whole on every host, as the answers are.
        self._whole = jax.jit(lambda x: x, out_shardings=sharding.replicated(mesh))

    @functools.cached_property
    def targets(self) -> list[str]:
        return self._cfg.task.targets(self.data, len(self.data))

    @functools.cached_property
    def batches(self) -> loader.Batches:
        """What fills the last batch weighs zero."""
        lengths = self._every.index.frames
        shapes = self._cfg.data.batching.shapes(lengths)
        for shape in shapes:
            sharding.check_rows(self._mesh, shape.rows)
        planned = plan.evaluation(lengths, shapes)
        hosts, skip = (jax.process_index(), jax.process_count()), self._cfg.data.skip_corrupt
        return loader.Batches(self._every, planned, len(planned), self._fields, *hosts, skip)

    def run(self, model: Any, progress: Callable[[int], object] = lambda n: None) -> tuple:
        """What the model answers for every record of `data`, in its order, and mean losses.

        `progress` is told how many records each batch added.
        """
        answers: dict[int, Any] = {}
        sums: dict[str, np.ndarray] = {}
        for numbers, real, (answer, part) in self.each(functools.partial(self._evaluate, model)):
            decoded = self._cfg.task.decode(answer[real])
            answers |= zip(numbers.tolist(), decoded, strict=True)
            for name, pair in part.items():
                sums[name] = sums.get(name, 0.0) + np.array(pair, np.float64)
            progress(len(real))
        self._leave_out(set(range(len(self._every))) - answers.keys())
        means = {f"eval_{k}": float(t / max(n, 1.0)) for k, (t, n) in sums.items()}
        return [answers[i] for i in sorted(answers)], means

    def each(self, function: Callable[[step.Batch], Any]) -> Iterator[tuple]:
        """Of each batch the records' numbers, their rows in it, and what `function` makes of it;
        corrupt ones are not among them."""
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
        """How many of the split's signers and phrases training never saw; nothing where the data
        set that it saw is gone. Signers are compared where their numbers mean the same people."""
        if not records.there(trained_on):
            return {}
        data = dataclasses.replace(self._cfg.data, path=trained_on)
        sources = open_training(dataclasses.replace(self._cfg, data=data)).sources
        related = [source for source, _ in sources if training_data.same_people(source, self.data)]
        counts = {}
        for name, seen in (("signers", related), ("phrases", [source for source, _ in sources])):
            column = name.removesuffix("s")
            mine = np.unique(getattr(self.data.index, column))
            if not seen or (mine == -1).all():  # Not known of these data.
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
        scores = self._cfg.task.score(self.targets, answers, self.data.index.signer)
        return scores | ({"corrupt": self.corrupt} if self._cfg.data.skip_corrupt else {})


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model and the config that made it."""

    workdir: files.Path
    cfg: config_lib.Config
    mesh: jax.sharding.Mesh
    model: Any
    step: int
    trained_on: str  # The data set's path at that time.

    @functools.cached_property
    def predict(self):
        return predict_step(self.cfg)

    @functools.cached_property
    def evidence(self):
        """The jitted way from a batch to what the task reads its answers from."""
        features, task = self.cfg.features, self.cfg.task
        return jax.jit(lambda model, batch: task.evidence(model, *step.inputs(batch, features)))


def open_run(
    workdir: str | files.Path,
    *,
    data: str = "",
    options: decoding_options.Options = decoding_options.Options(),
    average: int = 0,
) -> Run:
    """The best checkpoint of a run directory: the averaged parameters where an average was kept.

    `data` replaces the data set that the run was trained on, `options` how its task reads; with
    `average` the model is the mean of so many checkpoints, the newest.
    """
    workdir = epath.Path(workdir)
    if not (workdir / "config.json").exists():
        raise errors.BadInput(f"{workdir} holds no run (no config.json): train first")
    cfg = config_lib.read(workdir / "config.json")
    trained_on = cfg.data.path
    if data:
        cfg = dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, path=data))
    if options != decoding_options.Options():
        task = cfg.task.searching(options)
        if options.prior:
            prior = _prior(workdir, cfg, trained_on, options.prior_order)
            task = dataclasses.replace(task, prior=prior.weighted(options.prior))
        cfg = dataclasses.replace(cfg, task=task)
    # The run may have been trained on more devices than there are here, or on fewer.
    mesh = sharding.for_reading(cfg.data.batching.multiple)
    name = "ema" if cfg.ema_decay else "model"
    model, frozen = layers.parted(jax.eval_shape(functools.partial(build, cfg)))
    abstract = sharding.place(mesh, {name: model, "frozen": frozen})
    directory = files.absolute(workdir / "checkpoints")
    choose = functools.partial(checkpoint_list.newest, directory, average)
    if not average:
        choose = functools.partial(checkpoint_list.best, directory)
    steps, found = checkpoint_list.read(choose, abstract)
    mean = found[0][name]
    if len(found) > 1:
        mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *(f[name] for f in found))
    model = layers.joined(mean, found[-1]["frozen"])
    return Run(workdir, cfg, mesh, model, steps[-1], trained_on)


def _prior(
    workdir: files.Path, cfg: config_lib.Config, trained_on: str, order: int
) -> ngrams.Prior:
    """Of the phrases of the training split: counted once, then a file of the run's."""
    path = workdir / f"prior-{order}.npz"
    if path.exists():
        return ngrams.read(path)
    moved = not pathlib.Path(trained_on).exists()
    data = records.Records(cfg.data.path if moved else trained_on, cfg.data.train_split)
    prior = ngrams.count(cfg.task.targets(data, len(data)), order)
    try:
        files.write(path, prior.dumps())
    except OSError as error:  # The run may be another's, or on a disk that cannot be written.
        log.warning("the prior is counted anew each time: %s", error)
    return prior


def answers(run: Run, clips: list[np.ndarray]) -> list:
    """What the model answers for clips or images that are in no record, as the source of its
    features reads them from a file."""
    # One shape for all, but those that are so long that the others would be mostly padding.
    frames, out = max((len(clip) for clip in clips if len(clip) <= _LONG), default=0), []
    for clip in clips:
        batch = alone(run, clip, frames if len(clip) <= _LONG else -(-len(clip) // _LONG) * _LONG)
        out += run.cfg.task.decode(jax.device_get(run.predict(run.model, batch)))
    return out


def alone(run: Run, clip: np.ndarray, frames: int = 0) -> dict[str, np.ndarray]:
    """A batch of one clip or image, padded to at least `frames`."""
    field = run.cfg.features.source.field()
    (shape,) = plan.Fixed(rows=1).shapes(np.array([max(len(clip), frames)], np.int64))
    batch = field.allocate(1, shape.frames)
    field.put(batch, 0, clip)
    return batch


def last_json(values: dict) -> None:
    """The one line of JSON that a command ends with."""
    print(json.dumps(values))
