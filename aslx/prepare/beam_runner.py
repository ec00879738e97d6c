"""Work on an Apache Beam engine: Dataflow, Flink, Spark, or processes of this machine.

A task and its answer are files that every worker sees, in pickle. Only their names go through the
engine: so a job stays small however many clips there are, and answers return from any runner.
Unpickling runs code, so each file is sealed with a key that the engine alone passes on: what others
write there is refused unread.
"""

import contextlib
import hmac
import importlib
import io
import json
import logging
import os
import pickle
import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from aslx import errors
from aslx.storage import files, remote_files

if TYPE_CHECKING:  # Beam takes seconds to import, and need not be installed.
    import apache_beam as beam

Result = TypeVar("Result")
_SEAL = 32  # Bytes.


def run(
    function: Callable[..., Result], tasks: Sequence[tuple], options: str, folder: files.Path
) -> Iterator[tuple[int, Result]]:
    """(position, function(*task)) of every task, as `workers.run`, but by the engine that `options`
    choose. `folder`, for the tasks and the answers, must be one that every worker sees; `function`
    must be importable there.

    BadInput of a task is raised here. What else fails, the engine tries again or raises; a fault of
    storage is then raised as the OSError that it was on the worker. BadInput as `pipeline`.
    """
    places = [folder / function.__name__ / f"{i:05d}" for i in range(len(tasks))]
    (folder / function.__name__).mkdir(parents=True)
    key = secrets.token_bytes(32)
    for place, task in zip(places, tasks, strict=True):
        _write(key, place, (function, task))
    with _naming_faults(places), pipeline(options) as job:
        import apache_beam as beam

        todo = [(str(place), key) for place in places]
        # Shuffled, so that no worker holds them all in one bundle.
        _ = job | beam.Create(todo) | beam.Reshuffle() | beam.Map(_work)
    for i, place in enumerate(places):
        answer = _read(key, _beside(place, "answer"))
        if isinstance(answer, errors.BadInput):
            raise answer
        yield i, answer


def _work(task: tuple[str, bytes]) -> None:
    """Does one task, on a worker."""
    os.environ.setdefault("EPATH_USE_TF", "0")  # As aslx.cli: gs:// needs no TensorFlow.
    name, key = task
    place = remote_files.path(name)
    function, arguments = _read(key, place)
    try:
        answer = function(*arguments)
    except errors.BadInput as error:  # Trying again would not help.
        answer = error
    except OSError as error:
        with files.writing(_beside(place, "fault")) as f:
            said = f"{error.strerror}: {error.filename}" if error.errno else str(error)
            f.write(json.dumps([error.errno, said]).encode())
        raise
    _write(key, _beside(place, "answer"), answer)


@contextlib.contextmanager
def _naming_faults(places: Sequence[files.Path]) -> Iterator[None]:
    """An engine passes on the text of an error: its number, which tells its kind, is in a file."""
    try:
        yield
    except errors.BadInput:
        raise
    except Exception as error:
        for fault in (_beside(place, "fault") for place in places):
            if fault.exists():
                number, text = json.loads(fault.read_bytes())
                fault = OSError(number, text) if number else errors.Unavailable(text)
                raise fault from error
        raise


def _beside(place: files.Path, kind: str) -> files.Path:
    return place.with_name(f"{place.name}.{kind}")


def _write(key: bytes, place: files.Path, value: Any) -> None:
    data = pickle.dumps(value)
    with files.writing(place) as f:
        f.write(_seal(key, place, data) + data)


def _read(key: bytes, place: files.Path) -> Any:
    sealed = place.read_bytes()
    seal, data = sealed[:_SEAL], sealed[_SEAL:]
    if not hmac.compare_digest(seal, _seal(key, place, data)):
        raise RuntimeError(f"{place} is not what this run wrote: another program writes there")
    return pickle.loads(data)


def _seal(key: bytes, place: files.Path, data: bytes) -> bytes:
    """Of these bytes in this place alone."""
    return hmac.digest(key, os.fsencode(place) + b"\0" + data, "sha256")


def pipeline(options: str) -> "beam.Pipeline":
    """An empty pipeline for the engine that Beam's `options` name, checked as far as it can be
    without running: BadInput names the option that is missing, unknown or wrong."""
    importlib.import_module("apache_beam")  # Where it is not installed, aslx.cli says what to do.
    said = io.StringIO()
    logging.disable(logging.WARNING)  # What Beam warns of is raised here.
    try:
        with contextlib.redirect_stderr(said):
            return _pipeline(shlex.split(options))
    except SystemExit:  # Of argparse, which has written usage and a line of error.
        raise errors.BadInput(
            f"--beam {options!r}: {said.getvalue().split('error: ')[-1]}"
        ) from None
    except Exception as error:  # Engines check more than options: packages, credentials, buckets.
        raise errors.BadInput(f"--beam {options!r}: {error}") from error
    finally:
        logging.disable(logging.NOTSET)


def _pipeline(words: list[str]) -> "beam.Pipeline":
    import apache_beam as beam
    from apache_beam.options import pipeline_options
    from apache_beam.runners.portability import portable_runner
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    for word in words:
        if not word.startswith("--"):
            raise errors.BadInput(f"{word!r} stands alone; write every option as --name=value")
    options = pipeline_options.PipelineOptions(words)
    known = options.get_all_options()
    runner = known["runner"]
    if not runner:
        raise errors.BadInput("no --runner; for processes of this machine --runner=DirectRunner")
    if runner.lower() in ("directrunner", "direct"):
        # What Beam takes first for this name is a program that it fetches from the network, and
        # that knows no direct_num_workers.
        runner = fn_runner.FnApiRunner()
    job = beam.Pipeline(runner, options)
    unknown = options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    # Flink's and Spark's job servers know options that only they can check.
    if unknown and not isinstance(job.runner, portable_runner.PortableRunner):
        raise errors.BadInput(f"Beam has no option --{min(unknown)}")
    return job
