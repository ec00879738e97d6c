"""Commands that read a run while a training writes it: neither disturbs the other."""

import collections
import contextlib
import pathlib
import re
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from aslx import errors
from aslx.runs import trained_run
from aslx.train import logs
from tests import processes, tiny

pytestmark = pytest.mark.slow
NONE_YET = re.compile(
    r"error: \S+ holds (no checkpoint yet|no run \(no config.json\)): train first"
)
OPENINGS, COMMANDS = 200, 20


def losses(workdir: pathlib.Path) -> list[float]:
    return [line["loss"] for line in logs.read(workdir / "metrics.jsonl") if "loss" in line]


@contextlib.contextmanager
def training(config: pathlib.Path, workdir: pathlib.Path, steps: int = 0) -> Iterator[None]:
    """Trains, and saves after every step, while the block runs and for at least `steps` steps; then
    the training must end by the signal that it gets."""
    said = workdir.with_suffix(".txt")
    with said.open("w") as out:
        words = processes.command("train", "--config", config, "--workdir", workdir)
        process = processes.start(words, stdout=out, stderr=out)
        try:
            yield
            while len(losses(workdir)) < steps:
                assert process.poll() is None, said.read_text()
                time.sleep(0.1)
            assert process.poll() is None, said.read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(300) == 143, said.read_text()
        finally:
            process.kill()
            process.wait()


def test_readers_and_a_training_that_saves_every_step_do_not_disturb_each_other(dataset, tmp_path):
    config, parquet = tmp_path / "tiny.py", tmp_path / "clip.parquet"
    tiny.config_file(config, dataset, save_every=1, epochs=100_000)
    clip = np.random.default_rng(0).random((9, len(tiny.SELECTION.points), 3), np.float32)
    tiny.parquet(parquet, {7: clip})
    workdir, outcomes = tmp_path / "read", collections.Counter()
    steps = set()

    def opened(average: int) -> None:
        """The best checkpoint, which may stay the best for long; or the newest."""
        try:
            steps.add(trained_run.open_run(workdir, average=average).step)
            outcomes["opened"] += 1
        except errors.BadInput as error:
            assert NONE_YET.fullmatch(f"error: {error}"), error
            outcomes["opened, none yet"] += 1

    def ran(name: str, *arguments: object) -> None:
        done = processes.ran(name, "--workdir", workdir, *arguments)
        if done.status == 2 and NONE_YET.fullmatch(done.err.strip()):
            outcomes[f"{name}, none yet"] += 1
        else:
            assert done.last()
            outcomes[name] += 1

    with training(config, workdir):
        for _ in range(COMMANDS):
            for i in range(OPENINGS // COMMANDS):
                opened(i % 2)
            ran("predict", parquet)
            ran("evaluate", "--split", "validation")
            ran("export", "--clips", 0)
    print(dict(outcomes), "of steps", sorted(steps), "and", len(losses(workdir)), "were trained")
    assert sum(outcomes.values()) == OPENINGS + 3 * COMMANDS
    names = ("opened", "predict", "evaluate", "export")
    assert all(outcomes[name] > COMMANDS // 2 for name in names)
    assert len(steps) > 1
    read = losses(workdir)
    with training(config, tmp_path / "alone", steps=len(read)):
        pass
    alone = losses(tmp_path / "alone")
    assert read == alone[: len(read)] and len(read) > 50
    held = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert all(name.isdecimal() for name in held) and str(len(read)) in held
