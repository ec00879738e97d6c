"""The training loop: batches in, checkpoints and metrics out.

What it promises: the numbers depend on the config, the data and the seed alone, not on where a run
was interrupted; the host never waits for the step that it has just started.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from aslx import (
    checkpoint,
    errors,
    files,
    frozen,
    inference,
    logs,
    optim,
    pretrained,
    sharding,
    step,
)
from aslx import config as config_lib
from aslx.data import loader, plan, pool

MAX_STREAK = 10  # Steps in a row without a finite gradient before the run rolls back.
MAX_ROLLBACKS = 3
MIN_GAIN = 1e-4  # Less does not renew the patience: a loss may sink towards 0 for ever.
_SAMPLES = 8
_PROFILE_FROM = 10  # Steps after the start: compilation would drown the trace.


class Diverged(RuntimeError):
    """Too many steps in a row had no finite gradient."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What stays the same over a run: the mesh, the compiled functions, the data."""

    cfg: config_lib.Config
    mesh: jax.sharding.Mesh
    pool: pool.Pool
    shapes: list[plan.Shape]
    abstract: step.State  # Shapes, dtypes and shardings.
    init: Callable[[], step.State]
    train: Callable[[step.State, step.Batch, jax.Array], tuple[step.State, step.Metrics]]
    evaluation: inference.Evaluation
    key: jax.Array
    steps_per_epoch: int
    cached: np.ndarray | None = None
    """What frozen layers answered for each record, where that is kept."""

    def plan(self, salt: int) -> plan.Train:
        return self.pool.train(self.shapes, self.cfg.seed, salt)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.cfg.epochs

    @contextlib.contextmanager
    def batches(
        self, start: int, salt: int, tally: Callable[[dict], dict] = lambda rows: rows
    ) -> Iterator[Iterator[step.Batch]]:
        """Global batches from step `start` on, read ahead while the device computes; `tally` sees
        this host's rows of each."""
        rows = self.pool.batches(
            self.plan(salt),
            self.steps,
            shard=jax.process_index(),
            num_shards=jax.process_count(),
            skip_corrupt=self.cfg.data.skip_corrupt,
        )
        workers = self.cfg.data.workers
        with contextlib.closing(iter(loader.stream(rows, start=start, workers=workers))) as it:
            yield sharding.put(self.mesh, map(self._from_cache, map(tally, it)))

    def _from_cache(self, rows: dict) -> dict:
        return rows if self.cached is None else rows | {"image": self.cached[rows["id"]]}


def setup(cfg: config_lib.Config) -> Setup:
    mesh = sharding.make_mesh(cfg.mesh)
    data = inference.open_training(cfg)
    shapes = data.shapes(cfg.data.batching, cfg.seed)
    for shape in shapes:
        sharding.check_rows(mesh, shape.rows, cfg.microbatches)
    steps_per_epoch = data.train(shapes, cfg.seed).steps_per_epoch
    tx = optim.build(cfg.optim, steps_per_epoch * cfg.epochs)
    stepped = frozen.config(cfg) if cfg.cache_frozen else cfg
    abstract, init = state(cfg, mesh, tx)
    if cfg.weights:
        init = functools.partial(pretrained.first_state, init, cfg.weights)
    return Setup(
        cfg=cfg,
        mesh=mesh,
        pool=data,
        shapes=shapes,
        abstract=abstract,
        init=init,
        train=train_step(stepped, mesh, tx, abstract, steps_per_epoch * cfg.epochs),
        evaluation=inference.Evaluation(cfg, mesh, cfg.data.eval_split),
        key=jax.jit(lambda: jax.random.key(cfg.seed), out_shardings=sharding.replicated(mesh))(),
        steps_per_epoch=steps_per_epoch,
    )


def state(
    cfg: config_lib.Config, mesh: jax.sharding.Mesh, tx: Any
) -> tuple[step.State, Callable[[], step.State]]:
    """The placed, abstract train state, and the compiled function that makes it."""
    build = functools.partial(inference.build, cfg)
    init = functools.partial(step.init, build, tx=tx, ema_decay=cfg.ema_decay)
    abstract = sharding.place(mesh, jax.eval_shape(init))
    return abstract, jax.jit(init, out_shardings=jax.tree.map(lambda x: x.sharding, abstract))


def train_step(
    cfg: config_lib.Config, mesh: jax.sharding.Mesh, tx: Any, abstract: step.State, steps: int
):
    """The jitted step, of `steps`, on states placed as `abstract` is; it takes the old state's
    memory."""
    place = jax.tree.map(lambda x: x.sharding, abstract)
    train = functools.partial(
        step.train,
        tx=tx,
        task=cfg.task,
        features=cfg.features,
        augment=cfg.augmentation,
        microbatches=cfg.microbatches,
        devices=mesh.size,
        ema_decay=cfg.ema_decay,
        awp=cfg.awp,
        steps=steps,
        gather=functools.partial(sharding.whole, mesh),
        scatter=functools.partial(jax.lax.with_sharding_constraint, shardings=place.model),
        spread=functools.partial(jax.lax.with_sharding_constraint, shardings=sharding.batch(mesh)),
    )
    out, options = (place, sharding.replicated(mesh)), sharding.compiler_options(mesh)
    return jax.jit(train, out_shardings=out, donate_argnums=0, compiler_options=options)


def run(
    cfg: config_lib.Config,
    workdir: files.Path,
    *,
    stop: Callable[[int], bool] = lambda i: False,
    profile: int = 0,
) -> tuple[dict[str, float], bool]:
    """Trains to the end, or until `stop(step)`; returns the last evaluation's scores, and whether
    the run has ended."""
    s, clock = setup(cfg), logs.Clock()
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        first, progress = saved.restore_latest(s.abstract) or (s.init(), checkpoint.Progress())
        if cfg.cache_frozen:
            with clock("frozen layers"):
                s = dataclasses.replace(s, cached=frozen.table(cfg, s.mesh, first))
        with logs.Log(workdir, start=int(first.step), steps=s.steps) as writer:
            if int(first.step):
                writer.say(f"going on from step {int(first.step)} of {s.steps}")
            loop = Loop(s, workdir, saved, writer, clock, stop, profile)
            while True:
                try:
                    scores, ended = loop.stretch(first, progress)
                    break
                except Diverged as error:
                    first, progress = roll_back(s, saved, progress, error)
                    writer.say(f"{error}: rolled back to step {int(first.step)}, new data order")
            writer.say(clock.report())
    return scores, ended


def roll_back(
    s: Setup, saved: checkpoint.Checkpoints, progress: checkpoint.Progress, error: Diverged
) -> tuple[step.State, checkpoint.Progress]:
    """The newest state of a time when gradients were finite, and another order of the data."""
    if progress.salt == MAX_ROLLBACKS:
        raise errors.BadInput(
            f"{error} after {MAX_ROLLBACKS} rollbacks: lower optim.peak_lr, or look at the data"
        )
    saved.wait()
    found = saved.restore_latest(s.abstract, accept=lambda state: int(state.streak) == 0)
    first, at = found or (s.init(), checkpoint.Progress())
    return first, dataclasses.replace(at, salt=progress.salt + 1)


@dataclasses.dataclass
class Loop:
    setup: Setup
    workdir: files.Path
    saved: checkpoint.Checkpoints
    writer: logs.Log
    clock: logs.Clock
    stop: Callable[[int], bool]
    profile: int
    _seen: set = dataclasses.field(default_factory=set)
    _skipped: int = 0
    _corrupt: int = 0
    _clips: int = 0
    _since: float = dataclasses.field(default_factory=time.perf_counter)

    def stretch(
        self, state: step.State, progress: checkpoint.Progress
    ) -> tuple[dict[str, float], bool]:
        """Steps from `state` to the end, to `stop`, to lost patience, or to Diverged."""
        s, cfg, start = self.setup, self.setup.cfg, int(state.step)
        self._skipped = int(state.skipped)
        eval_steps = s.steps_per_epoch * cfg.eval_every
        scores: dict[str, float] = logs.last_scores(self.workdir)
        late: tuple[int, step.Metrics] | None = None
        with s.batches(start, progress.salt, self.tally) as batches, jax.transfer_guard("disallow"):
            for i in range(start + 1, s.steps + 1):
                if cfg.patience and progress.stale >= cfg.patience:
                    self.writer.say(f"no better score in {cfg.patience} evaluations: stopping")
                    break
                self.trace(i - start)
                with self.clock("input"):
                    batch = next(batches)
                name = "compile" if self.new_shape(batch) else "step"
                if name == "compile":  # Seconds, for which nobody shall wait to see a loss.
                    late = self.report(late)
                with self.clock(name), jax.profiler.StepTraceAnnotation("train", step_num=i):
                    state, metrics = s.train(state, batch, s.key)
                    self.report(late)  # Of the step before this: the host waits for that one.
                late = (i, metrics)
                evaluated = i % eval_steps == 0 or i == s.steps
                stopping = self.stop(i)
                saving = evaluated or stopping or i % cfg.save_every == 0
                if saving:  # A checkpoint never stands before the lines of its past.
                    late = self.report(late)
                if evaluated:
                    with self.clock("evaluate"):
                        scores = self.evaluate(i, state)
                    progress = better(progress, cfg.task.rank(scores))
                if saving:
                    with self.clock("checkpoint"):
                        score = cfg.task.rank(scores) if evaluated else None
                        self.saved.save(i, state, progress, score)
                if stopping:
                    self.writer.say(f"stopped at step {i}; run the same command to go on")
                    return scores, False
            self.report(late)
        return scores, True

    def tally(self, rows: dict) -> dict:
        """Counts this host's records that were left out for being corrupt."""
        corrupt = int(((rows["id"] != plan.NOTHING) & (rows["weight"] == 0)).sum())
        if corrupt:
            self._corrupt += corrupt
            self.writer.say(f"{self._corrupt} corrupt records skipped so far")
        return rows

    def new_shape(self, batch: step.Batch) -> bool:
        """Whether the step will compile."""
        shapes = tuple(sorted((k, v.shape) for k, v in batch.items()))
        self._clips += len(batch["weight"])
        return shapes not in self._seen and not self._seen.add(shapes)

    def report(self, late: tuple[int, step.Metrics] | None) -> None:
        """Logs a step, if there is one to log."""
        if late is None:
            return
        i, metrics = late
        if i % self.setup.cfg.log_every and i != self.setup.steps:
            self.writer.step(None)
            return
        values = {k: v.item() for k, v in jax.device_get(metrics).items()}
        self.writer.step(values["loss"])
        self.writer.write(i, values | self.rate() | {"corrupt": self._corrupt})
        if values["skipped"] > self._skipped:
            self.writer.say(f"step {i}: {values['skipped']} steps skipped, gradient not finite")
            self._skipped = values["skipped"]
        if values["streak"] >= MAX_STREAK:
            raise Diverged(f"{values['streak']} steps up to {i} had no finite gradient")

    def rate(self) -> dict[str, float]:
        """Clips a second since the last call."""
        clips, self._clips = self._clips, 0
        since, self._since = self._since, time.perf_counter()
        return {"seq_per_s": round(clips / (self._since - since), 1)}

    def evaluate(self, i: int, state: step.State) -> dict[str, float]:
        evaluation = self.setup.evaluation
        answers, sums = evaluation.run(state.best_model)
        scores = evaluation.score(answers) | sums
        self.writer.write(i, scores)
        epoch = i // self.setup.steps_per_epoch
        self.writer.say(f"epoch {epoch}, step {i}: score {scores['score']:.4f}")
        texts = list(map(self.setup.cfg.task.text, answers[:_SAMPLES]))
        self.writer.samples(i, evaluation.targets[:_SAMPLES], texts)
        self.writer.draw()
        return scores

    def trace(self, done: int) -> None:
        if self.profile and done == _PROFILE_FROM:
            jax.profiler.start_trace(str(self.workdir / "profile"))
        if self.profile and done == _PROFILE_FROM + self.profile:
            jax.profiler.stop_trace()
            self.writer.say(f"traced {self.profile} steps into {self.workdir / 'profile'}")


def better(progress: checkpoint.Progress, score: float) -> checkpoint.Progress:
    stale = 0 if score > progress.best + MIN_GAIN else progress.stale + 1
    return dataclasses.replace(progress, best=max(progress.best, score), stale=stale)
