"""Replaces an export in processes that are killed, each at another line of aslx:
python -m tests.killed FOLDER STEP, at every STEP-th line. Prints which export is there after each
kill, in JSON. It forks, and therefore runs in a process without JAX's threads."""

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
    """Writes step 2 in a process that is killed at a line; whether the process ended before."""
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
    """For each process 1 if the old export is there, 2 for the new one, None for a mixture. The
    last process ended before it was killed."""
    whole, seen = {}, []
    for number in (1, 2):
        write(folder / str(number), {}, number)
        whole[number] = trees.contents(folder / str(number))
    line, ended = 1, False
    while not ended:
        write(folder / "export", {}, 1)
        ended = _ended(folder / "export", line)
        found = trees.contents(folder / "export")
        seen.append(next((number for number, files in whole.items() if files == found), None))
        line += step
    return seen


if __name__ == "__main__":
    print(json.dumps(main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))))
