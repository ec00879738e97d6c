"""Processes of this machine that train together, each as if it were a host of a Slurm job."""

import hashlib
import json
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
from tests import processes

DEVICES = 4  # In all, on any number of hosts.


def start(hosts: int, *words: object) -> list[processes.Started]:
    """`python -m *words` on each of `hosts` processes, which find each other as Slurm's do."""
    job = str(_job())
    environments = (
        processes.environment(
            JAX_NUM_CPU_DEVICES=str(DEVICES // hosts),
            SLURM_JOB_ID=job,
            SLURM_STEP_NODELIST="127.0.0.1",
            SLURM_NTASKS=str(hosts),
            SLURM_PROCID=str(i),
            SLURM_LOCALID="0",
            SLURM_STEP_NUM_NODES=str(hosts),
        )
        for i in range(hosts)
    )
    line = processes.python("-m", *words)
    return [processes.start(line, env=env, stderr=subprocess.STDOUT) for env in environments]


def _job() -> int:
    """A job number whose coordinator's port is free: JAX derives the port from the number."""
    while True:
        job = random.randrange(2**12)
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", job + 2**16 - 2**12)):
                return job


def ended(started: Sequence[processes.Started], status: int = 0) -> list[str]:
    """Waits for all processes, which must exit with `status`, and returns their outputs."""
    try:
        outputs = [process.communicate(timeout=600)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [p.returncode for p in started] == [status] * len(started), "\n\n".join(outputs)
    return outputs


def hashes(cfg: config.Config) -> list[str]:
    """A hash of every batch of an epoch, over the rows of all hosts."""
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
    """Writes the hashes, on the first host: python -m tests.hosts CONFIG OUT"""
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
