"""A run in a tracker of experiments, beside TensorBoard's events: Weights & Biases, MLflow or Aim.

What a run says goes through one thread, so that no step waits for a server. A tracker that fails is
given up, and said to be, once; the training goes on. `tracked.json` in the run directory holds the
tracker's id of the run, and a resumed training goes on in that run.
"""

import contextlib
import io
import json
import logging
import pathlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

from aslx import errors
from aslx.storage import files

log = logging.getLogger("aslx")

Kind = Literal["wandb", "mlflow", "aim"]
NAME = "tracked.json"
_PATIENCE = 60.0  # Seconds in which a tracker has to take what is left when a run ends.


class Backend(Protocol):
    """A run of a tracker. Its methods raise whatever the tracker's library raises."""

    id: str

    def scalars(self, step: int, values: dict[str, float]) -> None: ...

    def image(self, step: int, name: str, picture: Any) -> None:
        """`picture` is Pillow's."""
        ...

    def text(self, step: int, name: str, text: str) -> None: ...

    def exported(self, folder: pathlib.Path) -> None:
        """Every file of a folder."""
        ...

    def close(self, ended: bool) -> None:
        """`ended`: without an error."""
        ...


class Tracker:
    """A thread that does what it is sent, in order."""

    def __init__(self, kind: str, backend: Backend):
        self._kind, self._backend = kind, backend
        self._queue: queue.SimpleQueue[Callable[[Backend], None] | None] = queue.SimpleQueue()
        self._failed = self._ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def id(self) -> str:
        """The tracker's name of the run."""
        return self._backend.id

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """The numbers among `values`."""
        numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float)}
        self._send(lambda to: to.scalars(step, numbers))

    def figures(self, step: int, folder: files.Path) -> None:
        """Every picture of a folder, under its name."""
        for path in sorted(folder.glob("*.png")):
            data, name = path.read_bytes(), path.stem
            self._send(lambda to, name=name, data=data: to.image(step, name, _picture(data)))

    def samples(self, step: int, table: str) -> None:
        self._send(lambda to: to.text(step, "samples", table))

    def exported(self, folder: files.Path) -> None:
        """Every file of an export; the folder stays as it is until `close`."""
        self._send(lambda to: to.exported(pathlib.Path(folder)))

    def close(self, ended: bool) -> None:
        """Returns once the tracker has everything, or has failed, or is too slow."""
        self._ended = ended
        self._queue.put(None)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            log.warning("%s has not taken all in %.0f s: leaving it", self._kind, _PATIENCE)

    def _send(self, work: Callable[[Backend], None]) -> None:
        if not self._failed:
            self._queue.put(work)

    def _work(self) -> None:
        while work := self._queue.get():
            self._try(work)
        self._try(lambda to: to.close(self._ended), last=True)

    def _try(self, work: Callable[[Backend], None], last: bool = False) -> None:
        if self._failed and not last:
            return
        try:
            work(self._backend)
        except Exception as error:  # Of any library, or of its server: the run matters more.
            if not self._failed:
                said = " ".join(f"{type(error).__name__}: {error}".split())
                log.warning("%s failed, going on without it: %.300s", self._kind, said)
            self._failed = True


@contextlib.contextmanager
def opened(
    kind: Kind, workdir: files.Path, config: dict[str, Any] | None = None
) -> Iterator[Tracker]:
    """The run of `workdir` in a tracker: the one that `note` kept the id of, or a new one.

    `config` is a run's config as JSON; None asks for the run that there is. BadInput where the
    tracker has no run of that id, or does not let this user in; Unavailable where it does not
    answer.
    """
    from aslx.runs import trackers

    id = known(workdir, kind) if config is None else noted(workdir).get(kind, "")
    ours = f"{kind}'s run {id} of {workdir / NAME}"
    tracker = Tracker(kind, trackers.begin(kind, id, ours, workdir, config))
    ended = False
    try:
        yield tracker
        ended = True
    finally:
        tracker.close(ended)


def noted(workdir: files.Path) -> dict[str, str]:
    """The ids of a run by kind of tracker."""
    path = workdir / NAME
    found = files.read_object(path) if files.exists(path) else {}
    if not all(isinstance(id, str) and 0 < len(id) < 200 for id in found.values()):
        raise errors.BadInput(f"{path} is damaged, it holds no ids: remove it to begin new runs")
    return found


def known(workdir: files.Path, kind: Kind) -> str:
    """The tracker's id of a run; BadInput where there is none."""
    id = noted(workdir).get(kind, "")
    if not id:
        raise errors.BadInput(f"{workdir / NAME} names no run of {kind}: train with --track {kind}")
    return id


def note(workdir: files.Path, kind: Kind, tracker: Tracker) -> None:
    """Keeps the id for a training that goes on."""
    files.write(workdir / NAME, json.dumps(noted(workdir) | {kind: tracker.id}) + "\n")


def _picture(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")
