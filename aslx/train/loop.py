"""The training loop: batches in, checkpoints and metrics out.

What it promises: the numbers depend on the config, the data and the seed alone, not on where a run
was interrupted; the host never waits for the step that it has just started.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable

import jax

from aslx import config as config_lib
from aslx import errors
from aslx.checkpoints import checkpoint, hosts
from aslx.data import plan
from aslx.runs import flat, tracking
from aslx.storage import config_json, files
from aslx.train import data_seen, frozen_cache, guard, kernel_times, lock, logs, notes, step
from aslx.train import setup as setups
from aslx.train import throughput as throughputs

MIN_GAIN = 1e-4  # A smaller gain does not reset the patience: a loss may fall for ever.
_SAMPLES = 8
_PROFILE_FROM = 10  # Steps after the start: compilation would drown the trace.


def run(
    cfg: config_lib.Config,
    workdir: files.Path,
    *,
    stop: Callable[[int], bool] = lambda i: False,
    profile: int = 0,
    other_data: bool = False,
    track: tracking.Kind | None = None,
) -> tuple[dict[str, float], bool]:
    """Trains to the end, or until `stop(step)`; returns the last evaluation's scores, and whether
    the run has ended.

    BadInput where another process trains in `workdir`, or the run there has another config; with
    `other_data` the run may have begun on other data sets. An error before the first step leaves
    `workdir` unchanged. The first host tells the tracker `track` what it logs.
    """
    clock = logs.Clock()
    with contextlib.ExitStack() as stack:
        hosts.on_first(lambda: stack.enter_context(lock.held(workdir)))
        hosts.together(lambda: config_lib.check(workdir, cfg))
        s = hosts.together(lambda: setups.of(cfg))
        data, changed = data_seen.noted(workdir, s.sets, other_data, s.taught_by)
        before = config_lib.of_run(workdir)
        saved = stack.enter_context(_checkpoints(workdir)) if config_lib.trained(workdir) else None
        found = saved and saved.restore_latest(s.abstract)
        first, progress = found or (hosts.together(s.init), checkpoint.Progress())
        start = int(first.step)
        if start > s.steps:
            raise errors.BadInput(
                f"{workdir} has done {start} steps, and {cfg.epochs} epochs are {s.steps}: "
                f"ask for --epochs {-(-start // s.steps_per_epoch)} or more"
            )
        if cfg.cache_frozen and start < s.steps:
            with clock("frozen layers"):
                s = dataclasses.replace(s, cached=frozen_cache.table(cfg, s.mesh, first))
        tracker = _tracker(stack, track, workdir, cfg)
        config_lib.claim(workdir, cfg, data)
        if track and tracker:
            tracking.note(workdir, track, tracker)
        saved = saved or stack.enter_context(_checkpoints(workdir))
        writer = stack.enter_context(logs.Log(workdir, start=start, steps=s.steps, tracker=tracker))
        for line in changed:
            writer.say(f"warning: {line}; going on")
        for line in notes.of(cfg, s.abstract, s.pool, s.evaluation):
            writer.say(line)
        if start == s.steps:
            writer.say(f"{workdir} has done all of its {start} steps")
        elif start:
            writer.say(f"going on from step {start} of {s.steps}")
        if before and before.epochs != cfg.epochs:
            writer.say(
                f"{cfg.epochs} epochs, and it was {before.epochs}: from here on the learning rate "
                f"follows the schedule of {s.steps} steps"
            )
        stepped = frozen_cache.config(cfg) if cfg.cache_frozen else cfg
        speed = throughputs.of(stepped, s.mesh)
        loop = Loop(s, workdir, saved, writer, clock, speed, stop, profile)
        while True:
            try:
                scores, ended = loop.run_until_stopped(first, progress)
                break
            except guard.Diverged as error:
                first, progress = guard.roll_back(s.abstract, s.init, saved, progress, error)
                writer.begin(int(first.step))
                writer.say(f"{error}: rolled back to step {int(first.step)}, new data order")
        if clock.seconds:
            writer.say(clock.report())
    return scores, ended


def _tracker(
    stack: contextlib.ExitStack,
    track: tracking.Kind | None,
    workdir: files.Path,
    cfg: config_lib.Config,
) -> tracking.Tracker | None:
    """The tracked run, on the first host; closed with `stack`."""
    found: list[tracking.Tracker] = []
    if track:
        opened = tracking.opened(track, workdir, config_json.to_json(cfg))
        hosts.on_first(lambda: found.append(stack.enter_context(opened)))
    return found[0] if found else None


def _checkpoints(workdir: files.Path) -> checkpoint.Checkpoints:
    return checkpoint.Checkpoints(workdir / "checkpoints")


@dataclasses.dataclass
class Loop:
    setup: setups.Setup
    workdir: files.Path
    saved: checkpoint.Checkpoints
    writer: logs.Log
    clock: logs.Clock
    speed: throughputs.Throughput
    stop: Callable[[int], bool]
    profile: int
    _skipped: int = 0
    _streak: int = 0
    _corrupt: int = 0

    def run_until_stopped(
        self, state: step.State, progress: checkpoint.Progress
    ) -> tuple[dict[str, float], bool]:
        """Steps from `state` to the end, to `stop`, to lost patience, or to Diverged."""
        s, cfg, start = self.setup, self.setup.cfg, int(state.step)
        self._skipped, self._streak = int(state.skipped), int(state.streak)
        eval_steps = s.steps_per_epoch * cfg.eval_every
        scores: dict[str, float] = logs.last_scores(self.workdir)
        late: tuple[int, step.Metrics] | None = None
        held = flat.Flat(state)
        with s.batches(start, progress.salt, self.tally) as batches, jax.transfer_guard("disallow"):
            for i in range(start + 1, s.steps + 1):
                if cfg.patience and progress.stale >= cfg.patience:
                    self.writer.say(f"no better score in {cfg.patience} evaluations: stopping")
                    break
                self.trace(i - start)
                with self.clock("input"):
                    batch = next(batches)
                name = "compile" if self.speed.step(batch) else "step"
                if name == "compile":  # It takes seconds: the last loss is logged before.
                    late = self.report(late)
                with self.clock(name), jax.profiler.StepTraceAnnotation("train", step_num=i):
                    held, metrics = s.train(held, batch, s.key)
                    self.report(late)  # Of the step before this: the host waits for that one.
                late = (i, metrics)
                evaluated = i % eval_steps == 0 or i == s.steps
                stopping = self.stop(i)
                saving = evaluated or stopping or i % cfg.save_every == 0
                if saving:
                    late = self.report(late)
                if evaluated:
                    with self.clock("evaluate"):
                        scores = self.evaluate(i, held.tree)
                    progress = better(progress, cfg.task.report.rank(scores))
                    stopping = stopping or self.stop(i)
                if saving:
                    with self.clock("checkpoint"):
                        self.writer.sync()  # Before the checkpoint: its metrics are on the disk.
                        score = cfg.task.report.rank(scores) if evaluated else None
                        sound = evaluated and self._streak == 0
                        self.saved.save(i, held.tree, progress, score, sound)
                if stopping and i < s.steps:
                    self.writer.say(
                        f"stopped at step {i} of {s.steps}; run the same command to go on"
                    )
                    return scores, False
            self.report(late)
        return scores, True

    def tally(self, rows: dict) -> dict:
        """Counts this host's rows, and its records that were left out for being corrupt."""
        self.speed.rows(rows)
        corrupt = int(((rows["id"] != plan.NOTHING) & (rows["weight"] == 0)).sum())
        if corrupt:
            self._corrupt += corrupt
            self.writer.say(f"{self._corrupt} corrupt records skipped so far")
        return rows

    def report(self, late: tuple[int, step.Metrics] | None) -> None:
        """Logs a step, if there is one to log."""
        if late is None:
            return
        i, metrics = late
        self._streak = jax.device_get(metrics["streak"]).item()
        if i % self.setup.cfg.log_every and i != self.setup.steps:
            self.writer.step(None)
            guard.watch(i, self._streak)
            return
        values = {k: v.item() for k, v in jax.device_get(metrics).items()}
        figures = self.speed.figures(self.clock.seconds.get("input", 0.0))
        self.writer.step(throughputs.line(values["loss"], figures))
        self.writer.write(i, values | figures | {"corrupt": self._corrupt})
        if values["skipped"] > self._skipped:
            self.writer.say(f"step {i}: {values['skipped']} steps skipped, gradient not finite")
            self._skipped = values["skipped"]
        guard.watch(i, self._streak)

    def evaluate(self, i: int, state: step.State) -> dict[str, float]:
        evaluation = self.setup.evaluation
        answers, sums = evaluation.run(state.best_model)
        scores = evaluation.score(answers) | sums
        self.writer.write(i, scores)
        epoch = i // self.setup.steps_per_epoch
        self.writer.say(f"epoch {epoch}, step {i}: score {scores['score']:.4f}")
        texts = list(map(self.setup.cfg.task.report.text, answers[:_SAMPLES]))
        self.writer.samples(i, evaluation.targets[:_SAMPLES], texts)
        self.writer.draw()
        return scores

    def trace(self, done: int) -> None:
        if self.profile and done == _PROFILE_FROM:
            jax.profiler.start_trace(str(self.workdir / "profile"))
        if self.profile and done == _PROFILE_FROM + self.profile:
            jax.profiler.stop_trace()
            self.writer.say(f"traced {self.profile} steps into {self.workdir / 'profile'}")
            self.writer.say(kernel_times.told(self.workdir / "profile", self.profile))


def better(progress: checkpoint.Progress, score: float) -> checkpoint.Progress:
    """The progress after an evaluation. NaN counts as the worst score."""
    score = float("-inf") if math.isnan(score) else score
    stale = 0 if score > progress.best + MIN_GAIN else progress.stale + 1
    return dataclasses.replace(progress, best=max(progress.best, score), stale=stale)
