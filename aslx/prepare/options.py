"""The options that every data set has: where it goes, and how it is divided and written."""

import dataclasses
import functools

from aslx import errors
from aslx.prepare import workers
from aslx.storage import files, remote_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Where a data set goes, which part of it trains, and how it is written."""

    out: str
    """Where to put the data set. It appears there when it is whole."""
    overwrite: bool = False
    """Replace a data set that is at --out."""
    validation: float = 0.1
    """Share to validate on."""
    test: float = 0.1
    """Share to test on."""
    seed: int = 0
    """Random seed."""
    shards: int | None = None
    """Files for each part; by default one for 128 MB, and up to 8 where there is less."""
    processes: int | None = None
    """Processes that read and write; by default one for each core."""

    def check(self) -> None:
        """BadInput names the flag whose value cannot be used."""
        limits = {"shards": 1, "processes": 1, "seed": 0}
        for flag, least in limits.items():
            value = getattr(self, flag)
            if value is not None and value < least:
                raise errors.BadInput(f"--{flag} {value}: needs {least} or more")

    def pool(self) -> workers.Run:
        """Runs tasks in processes of this machine."""
        return functools.partial(workers.run, processes=self.processes or workers.usable())


def source(given: str, out: str) -> files.Path:
    """The folder, or the npz, that --source names; BadInput where it cannot be used."""
    folder = remote_files.path(given)
    if not files.is_folder(folder) and folder.suffix != ".npz":
        raise errors.BadInput(f"--source {given} is no folder")
    if folder.resolve().is_relative_to(remote_files.path(out).resolve()):
        raise errors.BadInput(f"--out {out} holds --source {given}, and would replace it")
    return folder
