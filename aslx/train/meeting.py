"""The processes of several hosts meet by jax.distributed, and say for whom they wait.

JAX waits for minutes without a word, and then aborts without the coordinator's address.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

import jax
from jax._src import clusters  # JAX has no public name for what it knows of a cluster.

from aslx import errors

_SILENT = 5.0  # Seconds.


def join(patience: float = 300) -> None:
    """Joins the other processes, which Slurm, Open MPI, Kubernetes or a TPU slice tells of.

    BadInput where nothing tells of them. Unavailable where the coordinator, which is process 0,
    cannot be reached for `patience` seconds; a line on stderr names it after 5.
    """
    asked = os.environ.get("JAX_COORDINATOR_ADDRESS")
    detect = clusters.ClusterEnv.auto_detect_unset_distributed_params
    try:
        address, count, number, local = detect(asked, None, None, None, None, int(patience))
    except RuntimeError as error:  # Of a TPU slice: the name of its first host is not known yet.
        raise errors.Unavailable(f"--distributed: {error}") from error
    if address is None or count is None or number is None:
        raise errors.BadInput(
            "--distributed: neither Slurm, Open MPI, Kubernetes nor a TPU slice started this "
            "process: start it with one of them (launch/), or leave the option out"
        )
    if number:
        _reach(address, f"process {number} of {count}", patience)
    with _saying(f"process {number} of {count} waits until all have met at {address}"):
        jax.distributed.initialize(
            address, count, number, local, initialization_timeout=int(patience)
        )


def _reach(address: str, who: str, patience: float) -> None:
    """Waits until the coordinator listens."""
    host, _, port = address.rpartition(":")
    begun, said = time.monotonic(), False
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_SILENT).close()
            return
        except OSError as error:
            why = f"the coordinator, process 0 at {address}, cannot be reached: {error}"
        waited = time.monotonic() - begun
        if waited >= patience:
            raise errors.Unavailable(f"{who} waited {waited:.0f} s: {why}")
        if waited >= _SILENT and not said:
            _say(f"{who} waits: {why}; after {patience:.0f} s it ends")
            said = True
        time.sleep(min(0.2, patience))


@contextlib.contextmanager
def _saying(line: str) -> Iterator[None]:
    """Prints a line if what is done within takes long."""
    timer = threading.Timer(_SILENT, _say, (line,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
