"""The data sets that a run was trained on: one that changed since then is an error."""

from collections.abc import Mapping

from aslx import config as config_lib
from aslx import errors
from aslx.checkpoints import hosts
from aslx.data import records
from aslx.storage import files


def noted(
    workdir: files.Path,
    sets: Mapping[str, records.Records],
    other_data: bool,
    teacher: Mapping[str, str] = {},
) -> tuple[dict[str, str], list[str]]:
    """The fingerprint of each data set of a run, and of its `teacher`, by its place in the config,
    and a line for each that changed since the run began.

    BadInput where one changed, unless `other_data` is set, or where hosts have different copies.
    """
    holds = {name: data.index.fingerprint() for name, data in sets.items()}
    there = {} if config_lib.of_run(workdir) is None else config_lib.data(workdir / "config.json")
    changed = []
    for name, data in sets.items():
        before = there.get(name, holds[name])
        if before != holds[name]:
            changed.append(
                f"{data.directory} ({data.split}) is not the data set that {workdir} was trained "
                f"on: it holds {holds[name]}, and that held {before:.60}"
            )
        copies = hosts.gathered(holds[name])
        if len(set(copies)) > 1:
            raise errors.BadInput(
                f"{data.directory} ({data.split}) is not the same on all hosts: "
                f"{'; '.join(copies)}: copy it again"
            )
    for name, held in teacher.items():
        if (before := there.get(name, held)) != held:
            changed.append(f"{name} is at {held:.60}, and {workdir} began with it at {before:.60}")
    if changed and not other_data:
        raise errors.BadInput(
            f"{changed[0]}: give that one, take another --workdir, or go on with --other-data as "
            "another run than the unbroken one"
        )
    return holds | dict(teacher), changed
