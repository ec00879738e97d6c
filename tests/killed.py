"""Writes an export over another in processes that are killed, one at each line of ours that runs:
python -m tests.killed FOLDER STEP, with every so manieth line. A process of its own, without JAX's
threads, because it forks. Prints for each kill, in JSON, which export is there then."""

import itertools
import json
import os
import pathlib
import signal
import sys

from aslx.export import exports
from tests import trees


def files(step: int) -> dict[str, bytes]:
    names = ("model.tflite", "web/64.tflite", "labels.txt", "submission.zip")
    return {name: f"step {step} {name}".encode() for name in names}


def write(out: pathlib.Path, about: dict, step: int) -> None:
    exports.write(out, about | {"step": step}, {"step": step}, files(step))


def _ended(out: pathlib.Path, line: int) -> bool:
    """Writes step 2 in a process that is killed at a line; whether it came to its end."""
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1] == 0
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if not frame.f_code.co_filename.endswith(
            ("aslx/storage/files.py", "aslx/export/exports.py")
        ):
            return None
        count += event == "line"
        if count == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    write(out, {}, 2)
    os._exit(0)


def main(folder: pathlib.Path, step: int) -> list[int | None]:
    """1 for the old export, 2 for the new, None for a mixture; the last was not killed."""
    whole, seen = {}, []
    for number in (1, 2):
        write(folder / str(number), {}, number)
        whole[number] = trees.contents(folder / str(number))
    for line in itertools.count(1, step):
        write(folder / "export", {}, 1)
        ended = _ended(folder / "export", line)
        found = trees.contents(folder / "export")
        seen.append(next((number for number, there in whole.items() if there == found), None))
        if ended:
            return seen


if __name__ == "__main__":
    print(json.dumps(main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))))
