"""Saves the train state with Orbax, keeps the last states and the best, and restores the newest.

Leaves are stored under their path ("model/encoder/0/up/kernel"). So the names on disk depend on our
attribute names alone, and a state restores onto any mesh and any number of hosts.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from aslx import errors
from aslx.checkpoints import checkpoint_list, hosts, stored
from aslx.storage import checksums, files

log = logging.getLogger("aslx")

_UNFINISHED = ".orbax-checkpoint-tmp"  # In the name of a checkpoint that Orbax has not finished.
_DAMAGED = "damaged-"
_SOUND = "sound"  # A note beside the progress.


@dataclasses.dataclass(frozen=True)
class Progress:
    """A run's counters beside its arrays. A higher score is better."""

    best: float = float("-inf")
    stale: int = 0  # Evaluations since the best.
    salt: int = 0  # Times that the run was rolled back.


class Checkpoints:
    """A run's last states and its best one; none is visible before it is whole.

    Only the run's one training uses it, because it removes what an earlier training did not finish.
    All hosts create it, and all hosts call its methods.
    """

    def __init__(self, directory: files.Path):
        self._directory = files.absolute(directory)
        checkpoint_list.spellable(self._directory)
        self._worker = concurrent.futures.ThreadPoolExecutor(1)
        self._finishing: concurrent.futures.Future | None = None
        self._scores: dict[int, float | None] = {}
        self._sound: set[int] = set()
        hosts.on_first(self._make)
        self._list()

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints, the first one first."""
        return sorted(self._scores)

    def save(
        self,
        step: int,
        state: Any,
        progress: Progress,
        score: float | None = None,
        sound: bool = False,
    ) -> None:
        """Returns once the state is copied off the device; writing goes on beside the training.

        A run may roll back to a `sound` state, and the last such state is kept too.
        """
        if step in self._scores:
            return
        self.wait()
        # The training loop refuses implicit transfers.
        with jax.transfer_guard_device_to_host("allow"), _saving():
            saving = self._orbax.save_async(
                step,
                stored.flatten(state),
                force=True,
                metrics=None if score is None else {"score": score},
                custom_metadata=dataclasses.asdict(progress) | {_SOUND: sound},
            )
        if sound:
            self._sound.add(step)
        self._scores[step] = None if score is None or np.isnan(score) else score
        superseded = self._superseded()
        for old in superseded:
            del self._scores[old]
        self._finishing = self._worker.submit(self._finish, saving, step, superseded)

    def restore_latest(self, abstract: Any) -> tuple[Any, Progress] | None:
        """The newest whole state, placed as `abstract` says, or None.

        Damaged checkpoints are moved aside and kept. BadInput where there are no others. A
        checkpoint that cannot be read for another reason stays, and raises that error.
        """
        self.wait()
        self._list()
        for step in reversed(self.steps):
            if _agreed(lambda step=step: self._is_whole(step)):
                one = stored.Stored(self._directory / str(step))
                return hosts.together(lambda one=one: (one.restore(abstract), _progress(one)))
            del self._scores[step]
        if _agreed(lambda: bool(_aside(self._directory))):
            raise errors.BadInput(
                f"{self._directory} has damaged checkpoints and no others: remove "
                f"{_DAMAGED}* to train from the start, or take another --workdir"
            )
        return None

    def back_to_sound(self) -> None:
        """Removes the checkpoints after the last sound one, the latest first, or all of them where
        none is sound. The run will write them again."""
        self.wait()
        self._list()
        last = int(_from_first(np.array(max(self._sound, default=-1), np.int32)))
        self._remove([step for step in reversed(self.steps) if step > last])

    def wait(self) -> None:
        """Returns once the saved checkpoint is whole on disk."""
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            finishing.result()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._worker.shutdown()
            if "_orbax" in self.__dict__:
                self._orbax.close()

    @functools.cached_property
    def _orbax(self) -> ocp.training.Checkpointer:
        """Orbax, which keeps all checkpoints: it would remove one file by file, under its name."""
        return ocp.training.Checkpointer(self._directory, cleanup_tmp_directories=False)

    def _finish(self, saving: Any, step: int, superseded: list[int]) -> None:
        # The arrays were accepted: what Orbax still finds wrong is what it cannot read back.
        with _saving(ValueError):
            saving.result()
        if not _first_host():
            return
        if not files.in_bucket(self._directory):  # A bucket has checksums of its own.
            folder = pathlib.Path(self._directory / str(step))
            checksums.note(folder)
            files.sync_all(folder)  # Orbax syncs arrays, but not the files that list them.
            files.sync(folder.parent)
        for old in superseded:
            _remove(self._directory / str(old))

    def _superseded(self) -> list[int]:
        keep = {checkpoint_list.best_of(self._scores), *self.steps[-checkpoint_list.LAST :]}
        keep.add(max(self._sound & self._scores.keys(), default=None))
        return [step for step in self.steps if step not in keep]

    def _make(self) -> None:
        with files.given(self._directory):
            files.make(self._directory)
            for path in _unfinished(self._directory):
                if files.in_bucket(path) and stored.Stored(path).was_committed:
                    _set_aside(path, errors.BadInput(f"{path} has lost its commit file"))
                else:
                    _remove(path)

    def _list(self) -> None:
        """Reads which checkpoints exist; all hosts get the same list."""
        self._scores, self._sound = {}, set()
        hosts.on_first(self._read_notes)
        count = int(_from_first(np.array(len(self._scores), np.int32)))
        if count:
            steps = _from_first(np.array(self.steps or [0] * count, np.int32)).tolist()
            # Only the first host chooses by score, and removes.
            self._scores = {step: self._scores.get(step) for step in steps}

    def _read_notes(self) -> None:
        for one in checkpoint_list.listed(self._directory):
            try:
                _ = one.progress, one.score
            except stored.Damaged as error:
                _set_aside(one.path, error)
            else:
                self._scores[one.step] = one.score
                if one.progress.get(_SOUND, one.score is not None):
                    self._sound.add(one.step)

    def _is_whole(self, step: int) -> bool:
        one = stored.Stored(self._directory / str(step))
        try:
            if not one.summed():
                one.decode()
        except stored.Damaged as error:
            _set_aside(one.path, error)
            return False
        return True

    def _remove(self, steps: list[int]) -> None:
        for step in steps:
            del self._scores[step]
            if _first_host():
                _remove(self._directory / str(step))
        if "_orbax" in self.__dict__:  # It would not save a step again that it remembers.
            multihost_utils.sync_global_devices("checkpoints were removed")
            self._orbax.reload()


def _progress(one: stored.Stored) -> Progress:
    names = [field.name for field in dataclasses.fields(Progress)]
    missing = [name for name in names if name not in one.progress]
    if missing:
        raise stored.OtherNetwork(
            f"{one.path} does not say {missing[0]}: another version of aslx trained it"
        )
    return Progress(*(one.progress[name] for name in names))


@contextlib.contextmanager
def _saving(*also: type[Exception]) -> Iterator[None]:
    """Raises Unavailable for an OSError of Orbax's own, which has no number, and for `also`: Orbax
    takes a system error for the answer that a path is not there, so storage is at fault."""
    try:
        yield
    except (OSError, *also) as error:
        if errors.number(error) is not None:
            raise
        raise errors.Unavailable(f"a checkpoint cannot be saved: {error}") from error


def _first_host() -> bool:
    return jax.process_index() == 0


def _from_first(value: np.ndarray) -> np.ndarray:
    """The first host's value, on every host."""
    return multihost_utils.broadcast_one_to_all(value)


def _agreed(answer: Callable[[], bool]) -> bool:
    """The first host's answer, on every host; the others are not asked."""
    return bool(_from_first(np.array(hosts.together(lambda: _first_host() and answer()))))


def _unfinished(directory: files.Path) -> Iterator[files.Path]:
    """The paths that an interrupted save or removal left."""
    for name in checkpoint_list.names(directory):
        path = directory / name
        uncommitted = files.in_bucket(path) and name.isdecimal() and not stored.is_final(path)
        if uncommitted or re.fullmatch(rf"\d+{re.escape(_UNFINISHED)}.*", name):
            yield path


def _aside(directory: files.Path) -> list[str]:
    return [name for name in checkpoint_list.names(directory) if name.startswith(_DAMAGED)]


def _set_aside(path: files.Path, error: Exception) -> None:
    """Renames a damaged checkpoint, so that it counts as none."""
    taken, name, n = _aside(path.parent), f"{_DAMAGED}{path.name}", 2
    while name in taken:
        name, n = f"{_DAMAGED}{path.name}-{n}", n + 1
    log.warning("%.300s; moved to %s, going on without it", error, path.parent / name)
    with files.given(path):
        epath.Path(path).rename(path.parent / name)
    files.sync(path.parent)


def _remove(path: files.Path) -> None:
    """Removes a checkpoint. It loses its name first, so that no part of it ever has that name."""
    if files.in_bucket(path):
        stored.withdraw(path)
    elif _UNFINISHED not in path.name:
        gone = path.with_name(f"{path.name}{_UNFINISHED}-removed")
        os.rename(path, gone)
        path = gone
    if os.path.islink(path):  # A user may keep checkpoints elsewhere.
        os.unlink(path)
    else:
        epath.Path(path).rmtree()
