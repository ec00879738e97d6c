"""What data sets a run was trained on. One that changed since is named, and not simply taken."""

from collections.abc import Mapping

from aslx import config as config_lib
from aslx import errors
from aslx.checkpoints import hosts
from aslx.data import fingerprint, records
from aslx.storage import files


def noted(
    workdir: files.Path, sets: Mapping[str, records.Records], other_data: bool
) -> tuple[dict[str, str], list[str]]:
    """What is to be noted of the data sets of a run, by their place in the config, and which of
    them are others than when it began; with `other_data` alone there may be some.

    BadInput names the first that may not be, and one of which another host has another copy.
    """
    holds = {name: fingerprint.of(data) for name, data in sets.items()}
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
    if changed and not other_data:
        raise errors.BadInput(
            f"{changed[0]}: give that one as --data.path, take another --workdir, or go on "
            "with --other-data as another run than the unbroken one"
        )
    return holds, changed
