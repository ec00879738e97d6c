"""Commands that read a run, beside the training that writes it: neither disturbs the other."""

import collections
import contextlib
import json
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from aslx import errors
from aslx.runs import trained_run
from aslx.train import logs
from tests import processes, tiny

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parent.parent
NONE_YET = re.compile(
    r"error: \S+ holds (no checkpoint yet|no run \(no config.json\)): train first"
)
OPENINGS, COMMANDS = 200, 20


def losses(workdir: pathlib.Path) -> list[float]:
    return [line["loss"] for line in logs.read(workdir / "metrics.jsonl") if "loss" in line]


@contextlib.contextmanager
def training(config: pathlib.Path, workdir: pathlib.Path, steps: int = 0) -> Iterator[None]:
    """A training that saves after every step, for as long as the block runs, and `steps` at least;
    it must have ended because it was told to."""
    said = workdir.with_suffix(".txt")
    with said.open("w") as out:
        arguments = "--config", config, "--workdir", workdir
        process = subprocess.Popen(
            processes.command("train", *arguments), cwd=ROOT, stdout=out, stderr=out
        )
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


def test_readers_beside_a_training_that_saves_every_step_disturb_nothing(dataset, tmp_path):
    config, parquet = tmp_path / "tiny.py", tmp_path / "clip.parquet"
    tiny.config_file(config, dataset, save_every=1, epochs=100_000)
    columns = list(tiny.SELECTION.columns)
    clip = np.random.default_rng(0).random((9, len(columns)), np.float32)
    pd.DataFrame(clip, pd.Index([7] * 9, name="sequence_id"), columns).to_parquet(parquet)
    workdir, outcomes = tmp_path / "read", collections.Counter()
    steps = set()

    def opened() -> None:
        try:
            steps.add(trained_run.open_run(workdir).step)
            outcomes["opened"] += 1
        except errors.BadInput as error:
            assert NONE_YET.fullmatch(f"error: {error}"), error
            outcomes["opened, none yet"] += 1

    def ran(name: str, *arguments: object) -> None:
        done = subprocess.run(
            processes.command(name, "--workdir", workdir, *arguments),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode == 2 and NONE_YET.fullmatch(done.stderr.strip()):
            outcomes[f"{name}, none yet"] += 1
            return
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])
        outcomes[name] += 1

    with training(config, workdir):
        for _ in range(COMMANDS):
            for _ in range(OPENINGS // COMMANDS):
                opened()
            ran("predict", parquet)
            ran("evaluate", "--split", "validation")
            ran("export", "--clips", 0)
    print(dict(outcomes), "of steps", sorted(steps), "and", len(losses(workdir)), "were trained")
    assert sum(outcomes.values()) == OPENINGS + 3 * COMMANDS
    assert all(
        outcomes[name] > COMMANDS // 2 for name in ("opened", "predict", "evaluate", "export")
    )
    assert len(steps) > 1
    read = losses(workdir)
    with training(config, tmp_path / "alone", steps=len(read)):
        pass
    alone = losses(tmp_path / "alone")
    assert read == alone[: len(read)] and len(read) > 50
    held = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert all(name.isdecimal() for name in held) and str(len(read)) in held
