"""Processes on loopback that train together, each as if it were a host of a Slurm job."""

import hashlib
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from aslx import config, errors
from aslx.checkpoints import hosts
from aslx.train import setup

ROOT = pathlib.Path(__file__).parent.parent
DEVICES = 4  # In all, on any number of hosts.


def start(hosts: int, *command: object) -> list[subprocess.Popen]:
    """`python -m *command` on each of `hosts` processes, told of each other as Slurm would."""
    job, environment = _job(), os.environ | {"JAX_NUM_CPU_DEVICES": str(DEVICES // hosts)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=ROOT,
            env=environment
            | {
                "SLURM_JOB_ID": str(job),
                "SLURM_STEP_NODELIST": "127.0.0.1",
                "SLURM_NTASKS": str(hosts),
                "SLURM_PROCID": str(i),
                "SLURM_LOCALID": "0",
                "SLURM_STEP_NUM_NODES": str(hosts),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(hosts)
    ]


def _job() -> int:
    """A job number whose coordinator's port is free; JAX derives the one from the other."""
    while True:
        job = random.randrange(2**12)
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", job + 2**16 - 2**12)):
                return job


def ended(
    processes: Sequence[subprocess.Popen], status: int = 0, seconds: float = 600
) -> list[str]:
    """Waits for all, and returns their outputs; an assertion unless each exits with `status`."""
    try:
        outputs = [p.communicate(timeout=seconds)[0] for p in processes]
    finally:
        for p in processes:
            p.kill()
    assert [p.returncode for p in processes] == [status] * len(processes), "\n\n".join(outputs)
    return outputs


def hashes(cfg: config.Config) -> list[str]:
    """Of every batch of an epoch as all hosts together hold it."""
    s, found = setup.of(cfg), []
    with s.batches(0, 0) as batches:
        for _ in range(s.steps_per_epoch):
            whole = multihost_utils.process_allgather(next(batches), tiled=True)
            digest = hashlib.sha256()
            for name in sorted(whole):
                digest.update(np.asarray(whole[name]).tobytes())
            found.append(digest.hexdigest())
    return found


def main() -> None:
    """Writes, on the first host, the hashes: python -m tests.hosts CONFIG OUT"""

    path, out = sys.argv[1:]
    jax.distributed.initialize()
    here, count = jax.process_index(), jax.process_count()
    assert hosts.gathered(f"host {here}") == [f"host {i}" for i in range(count)]
    assert hosts.together(lambda: here) == here

    def refused() -> None:
        if here == count - 1:
            raise errors.BadInput("the last host's copy is damaged")

    try:
        hosts.together(refused)
    except errors.BadInput as error:
        assert str(error) == "the last host's copy is damaged"
    else:
        raise AssertionError("a host goes on without another")
    found = hashes(config.load(path))
    if here == 0:
        pathlib.Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
