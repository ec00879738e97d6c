"""A run directory, read: its best model, and the model's answers."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from flax import nnx

from aslx import config as config_lib
from aslx import errors, sharding
from aslx.checkpoints import checkpoint_list
from aslx.data import plan, records
from aslx.decode import decoding_options, ngrams
from aslx.inputs import model_inputs
from aslx.kernels import mode as modes
from aslx.models import layers
from aslx.runs import evaluator, flat, opening, partition
from aslx.schema import features as features_lib
from aslx.schema import vocab
from aslx.storage import files, hub

log = logging.getLogger("aslx")

_LONG = 1024  # Frames: Kaggle's longest clip has 807.


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model and the config that made it."""

    workdir: files.Path
    cfg: config_lib.Config
    mesh: jax.sharding.Mesh
    model: nnx.Module
    step: int
    trained_on: str  # The data set's path at that time.

    @functools.cached_property
    def predict(self):
        """The jitted function from a batch to the model's answers."""
        step = evaluator.predict_step(self.cfg, self.mesh)
        return functools.partial(step, flat.Flat(self.model))

    @functools.cached_property
    def evidence(self):
        """The jitted function from a model and a batch to what the answers were read from."""
        features, task = self.cfg.features, self.cfg.task
        mode = modes.of(sharding.platform(self.mesh))

        def found(model: nnx.Module, batch: model_inputs.Batch) -> dict[str, jax.Array]:
            return task.evidence(layers.bound(model, mode), *model_inputs.of(batch, features))

        return jax.jit(found)

    @property
    def source(self) -> features_lib.Source:
        """How files and arrays become the model's inputs."""
        return self.cfg.features.source

    def answers(self, clips: Sequence[np.ndarray]) -> list:
        """The model's answers for clips or images as `source` reads them from a file."""
        # One shape for all but the longest clips: padded to these, short ones are mostly padding.
        frames, found = max((len(clip) for clip in clips if len(clip) <= _LONG), default=0), []
        for clip in clips:
            batch = batch_of_one(
                self, clip, frames if len(clip) <= _LONG else -(-len(clip) // _LONG) * _LONG
            )
            found += self.cfg.task.decode(jax.device_get(self.predict(batch)))
        return found

    def report(self, answer: Any) -> dict[str, Any]:
        """What is reported about an answer; None is the answer to a clip in which nothing was
        tracked."""
        report = self.cfg.task.report
        return report.silent() if answer is None else report.line(answer)


def open_run(
    workdir: str | files.Path,
    *,
    data: str = "",
    options: decoding_options.Options = decoding_options.Options(),
    average: int = 0,
) -> Run:
    """The best checkpoint of a run directory: the averaged parameters where an average was kept.

    `workdir` may be hf://OWNER/NAME, which is pulled into the cache. `data` replaces the data set
    that the run was trained on, `options` how its task reads; with `average` the model is the mean
    of so many checkpoints, the newest.
    """
    workdir = epath.Path(hub.local(workdir))
    if not files.exists(workdir / "config.json"):
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
    model, frozen = partition.split_frozen(jax.eval_shape(functools.partial(opening.network, cfg)))
    abstract = sharding.place(mesh, {name: model, "frozen": frozen})
    directory = files.absolute(workdir / "checkpoints")
    choose = functools.partial(checkpoint_list.newest, directory, average)
    if not average:
        choose = functools.partial(checkpoint_list.best, directory)
    steps, found = checkpoint_list.read(choose, abstract)
    mean = found[0][name]
    if len(found) > 1:
        mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *(f[name] for f in found))
    model = partition.merge_frozen(mean, found[-1]["frozen"])
    return Run(workdir, cfg, mesh, model, steps[-1], trained_on)


def _prior(
    workdir: files.Path, cfg: config_lib.Config, trained_on: str, order: int
) -> ngrams.Prior:
    """Of the phrases of the training split: counted once, then a file of the run's."""
    path = workdir / f"prior-{order}.npz"
    alphabet = vocab.Alphabet(characters="".join(cfg.task.report.about()["answers"]))
    if files.exists(path):
        return ngrams.read(path, alphabet)
    moved = not files.exists(trained_on)
    data = records.Records(cfg.data.path if moved else trained_on, cfg.data.train_split)
    prior = ngrams.count(cfg.task.report.targets(data, len(data)), order, alphabet)
    try:
        files.write(path, prior.dumps())
    except OSError as error:  # The run may be another's, or on a disk that cannot be written.
        log.warning("the prior is counted anew each time: %s", error)
    return prior


def batch_of_one(run: Run, clip: np.ndarray, frames: int = 0) -> dict[str, np.ndarray]:
    """A batch of one clip or image, padded to at least `frames`."""
    field = run.cfg.features.source.field()
    (shape,) = plan.Fixed(rows=1).shapes(np.array([max(len(clip), frames)], np.int64))
    batch = field.allocate(1, shape.frames)
    field.put(batch, 0, clip)
    return batch
