"""Trains a config with many values, to find the best: `python -m aslx sweep`.

Optuna (the extra `sweep`) chooses the values and keeps the study in OUT/study.db. Each trial is a
training in a process and a directory of its own, OUT/trials/NUMBER. Whoever works on a trial holds
the lock beside it, and so does its training: a trial that is begun and not locked was interrupted,
and is gone on with. So several processes may work on one study.
"""

import contextlib
import dataclasses
import math
import pathlib
import shlex
import signal
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import tyro

from aslx import cli, errors
from aslx.storage import files
from aslx.train import logs, search, studies

if TYPE_CHECKING:
    import optuna

_LOOK = 0.5  # Seconds between two looks at what a training has logged.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Trains a config with many values of its fields, and prints which were best.

    Give the fields as to aslx.train, with what to try: `--optim.peak-lr 1e-4:1e-2:log` for a range
    (`:log` spreads its trials evenly over the orders of magnitude), `--model.dim 64,128` for a
    list. Other values hold for all trials. The same command goes on with a sweep that was stopped.
    """

    config: tyro.conf.Positional[str]
    """A Python file with get_config(), or the name of one in configs/, such as quickstart."""
    out: str = ""
    """Where the sweep lives: study.db, trials.csv, and the run of each trial. Must be given."""
    trials: int = 20
    """How many trials there shall be, those that failed or were pruned among them; it may grow."""
    prune: bool = True
    """End a trial whose score lies below the median of the others after as many evaluations."""


class Stopped(Exception):
    """A signal ended the sweep; its training has saved."""


class Signals:
    """Passes Ctrl-C and SIGTERM on to the training that runs, which saves and ends."""

    def __init__(self) -> None:
        self.told: int | None = None
        self.training: subprocess.Popen[bytes] | None = None
        both = (signal.SIGINT, signal.SIGTERM)
        self._old = {each: signal.signal(each, self._answer) for each in both}

    def _answer(self, number: int, _: types.FrameType | None) -> None:
        self.told = number
        if self.training is not None:
            self.training.send_signal(number)

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_) -> None:
        for each, handler in self._old.items():
            signal.signal(each, handler)


@dataclasses.dataclass
class Sweep:
    study: "optuna.Study"
    space: search.Space
    out: pathlib.Path
    most: int
    prune: bool
    signals: Signals

    def run(self) -> None:
        """Trials until there are as many as asked for, and none is left that was interrupted."""
        while self.signals.told is None:
            with contextlib.ExitStack() as stack:
                with studies.locked(self.out):
                    trial, opened = self._next(stack)
                if trial is None:
                    return self._say_unfinished()
                self._train(trial, opened)
        raise Stopped

    def _next(self, stack: contextlib.ExitStack) -> "tuple[optuna.Trial | None, int]":
        """A trial, locked, that was interrupted or is new; None where all are taken."""
        import optuna

        trials = self.study.get_trials(deepcopy=False)
        for each in trials:
            if each.state == optuna.trial.TrialState.RUNNING:
                opened = stack.enter_context(studies.held(self.out, _name(each.number)))
                if opened is not None:
                    return optuna.Trial(self.study, each._trial_id), opened
        if len(trials) >= self.most:
            return None, 0
        trial = self.study.ask()
        opened = stack.enter_context(studies.held(self.out, _name(trial.number)))
        assert opened is not None  # Its number is new, and the study is locked.
        return trial, opened

    def _say_unfinished(self) -> None:
        import optuna

        for each in self.study.get_trials(deepcopy=False):
            if each.state == optuna.trial.TrialState.RUNNING:
                who = "another process works on it; the same command tells of it later"
                print(f"trial {each.number}: {who}", flush=True)

    def _train(self, trial: "optuna.Trial", opened: int) -> None:
        """Trains a trial to its end, to a signal, or until it is pruned; tells the study of it."""
        import optuna

        # Of the trial's number: an interrupted sweep goes on as an unbroken one.
        self.study.sampler = optuna.samplers.TPESampler(seed=trial.number, constant_liar=True)
        values = {name: asked.suggest(trial, name) for name, asked in self.space.searched.items()}
        workdir = self.out / "trials" / _name(trial.number)
        said = ", ".join(f"{name} {value}" for name, value in values.items())
        print(f"trial {trial.number}: {said}", flush=True)
        where = ("--config", self.space.config, "--workdir", str(workdir))
        words = [sys.executable, "-m", "aslx.train", *where, *self.space.words(values)]
        shared = () if sys.platform == "win32" else (opened,)  # Windows passes none on.
        with open(f"{workdir}.log", "ab") as output:
            # Its own session: a terminal's Ctrl-C reaches it once, through us.
            process = subprocess.Popen(
                words, stdout=output, stderr=output, pass_fds=shared, start_new_session=True
            )
            pruned = self._watch(trial, process, workdir)
        ranks = [rank for rank in self._ranks(workdir) if not math.isnan(rank)]
        if pruned:
            state, said = optuna.trial.TrialState.PRUNED, f"pruned at {ranks[-1]:.4f}"
            self.study.tell(trial, state=state)
        elif process.returncode == 0 and ranks:
            said = f"score {max(ranks):.4f}"
            self.study.tell(trial, max(ranks))  # The run's best checkpoint has it.
        elif self.signals.told is not None:
            print(f"trial {trial.number}: stopped; the same command goes on with it", flush=True)
            raise Stopped
        elif process.returncode == cli.TEMPORARY:
            raise errors.Unavailable(f"trial {trial.number}: {_last_line(workdir)}")
        else:
            said = f"failed with status {process.returncode}: {_last_line(workdir)}"
            trial.set_user_attr("why", said)
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        print(f"trial {trial.number}: {said}", flush=True)

    def _watch(
        self, trial: "optuna.Trial", process: "subprocess.Popen[bytes]", workdir: pathlib.Path
    ) -> bool:
        """Reports each evaluation until the process ends; whether the trial was pruned."""
        self.signals.training = process
        if self.signals.told is not None:  # Before there was a process to tell.
            process.send_signal(self.signals.told)
        seen, pruned = len(_reported(self.study, trial)), False
        while True:
            ended = process.poll() is not None
            for number, rank in enumerate(self._ranks(workdir)[seen:], seen):
                seen += 1
                if math.isnan(rank):
                    continue
                trial.report(rank, number)
                print(f"trial {trial.number}: evaluation {number + 1}: {rank:.4f}", flush=True)
                if self.prune and not (ended or pruned) and trial.should_prune():
                    process.terminate()
                    pruned = True
            if ended:
                self.signals.training = None
                return pruned and process.returncode != 0
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK)

    def _ranks(self, workdir: pathlib.Path) -> list[float]:
        """What ranks each evaluation of a run, the higher the better."""
        lines = logs.read(workdir / "metrics.jsonl")
        return [self.space.rank(line) for line in lines if "score" in line]


def _reported(study: "optuna.Study", trial: "optuna.Trial") -> dict[int, float]:
    return study.get_trials(deepcopy=False)[trial.number].intermediate_values


def _name(number: int) -> str:
    return f"{number:03d}"


def _last_line(workdir: pathlib.Path) -> str:
    lines = pathlib.Path(f"{workdir}.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def main() -> int:
    command, words = tyro.cli(Command, return_unknown_args=True)
    if not command.out:
        raise errors.BadInput("--out is missing: say where the sweep shall live")
    if files.in_bucket(command.out):
        raise errors.BadInput(f"--out {command.out}: a study needs a folder on a disk, no bucket")
    if command.trials < 1:
        raise errors.BadInput(f"--trials {command.trials}: ask for 1 or more")
    import optuna  # Before the config, which takes seconds: the extra may be missing.

    space = search.of(command.config, words)
    out = pathlib.Path(command.out)
    with files.given(out):
        (out / "trials").mkdir(parents=True, exist_ok=True)
    with studies.locked(out):  # Of several that begin at a time, one makes the study.
        study = studies.opened(out, space)
    with Signals() as signals, contextlib.suppress(Stopped):
        try:
            Sweep(study, space, out, command.trials, command.prune, signals).run()
        except optuna.exceptions.StorageInternalError as error:
            raise errors.Unavailable(f"{out / 'study.db'} cannot be written") from error
    rows = studies.table(study, [*space.searched])
    if rows:
        studies.write(rows, out)
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if signals.told is not None:
        return 128 + signals.told
    if not done:
        raise errors.BadInput(f"no trial has a score: {out}/trials/*.log say why")
    best = study.best_trial
    workdir = out / "trials" / _name(best.number)
    print(f"next: python -m aslx.export --workdir {shlex.quote(str(workdir))}")
    score = {"score": best.value, "trial": best.number, "values": best.params}
    cli.last_json({"out": str(out), "workdir": str(workdir)} | score)
    return 0


if __name__ == "__main__":
    cli.run(main)
