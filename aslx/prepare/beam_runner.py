"""Tasks on an Apache Beam engine: Dataflow, Flink, Spark, Dask, or processes of this machine.

A task and its answer are pickle files that every worker sees. Only their names go through the
engine, so a job stays small however many clips there are, and answers return from any runner.
Unpickling runs code, so each file is sealed with a key that the engine alone passes on: a file that
another program wrote is refused unread.
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
_PATIENCE = 10  # Seconds to wait for a scheduler, unless the options say how many.
_PARTS = "--dask_npartitions", "--dask_partition_size"


def run(
    function: Callable[..., Result], tasks: Sequence[tuple], options: str, folder: files.Path
) -> Iterator[tuple[int, Result]]:
    """Answers (position, function(*task)) of every task, as `workers.run`, from the engine that
    `options` choose. Every worker must see `folder`, where tasks and answers are written, and must
    be able to import `function`.

    BadInput of a task is raised here. The engine tries a task with another error again, or raises
    the error; a fault of storage is the OSError that it was on the worker. BadInput as `pipeline`.
    """
    places = [folder / function.__name__ / f"{i:05d}" for i in range(len(tasks))]
    (folder / function.__name__).mkdir(parents=True)
    key = secrets.token_bytes(32)
    for place, task in zip(places, tasks, strict=True):
        _write(key, place, (function, task))
    job = pipeline(options)
    with _naming_faults(places), _closing(job), job:
        import apache_beam as beam

        todo = [(str(place), key) for place in places]
        # Shuffled, so that one worker does not get all tasks as one bundle.
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
    """Raises the faults of storage that workers wrote to files: an engine passes on only the text
    of an error, and not its number."""
    try:
        yield
    except errors.BadInput:
        raise
    except Exception as error:
        for fault in (_beside(place, "fault") for place in places):
            if files.exists(fault):
                number, text = json.loads(fault.read_bytes())
                fault = OSError(number, text) if number else errors.Unavailable(text)
                raise fault from error
        raise


@contextlib.contextmanager
def _closing(job: "beam.Pipeline") -> Iterator[None]:
    """Ends what a job leaves open on Dask: its connection, and a cluster that it started."""
    try:
        yield
    finally:
        client = getattr(getattr(job, "result", None), "client", None)
        if client is not None:
            client.close()


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
    """The seal of these bytes at this place."""
    return hmac.digest(key, os.fsencode(place) + b"\0" + data, "sha256")


def pipeline(options: str) -> "beam.Pipeline":
    """An empty pipeline for the engine that Beam's `options` name. They are checked as far as is
    possible without a run: BadInput names an option that is missing, unknown or wrong;
    Unavailable a scheduler of Dask that does not answer."""
    importlib.import_module("apache_beam")  # Where it is not installed, aslx.cli says what to do.
    said = io.StringIO()
    logging.disable(logging.WARNING)  # Beam's warnings are raised here as errors.
    try:
        with contextlib.redirect_stderr(said):
            return _pipeline(shlex.split(options))
    except SystemExit:  # Raised by argparse, which has written its usage and one line of error.
        line = said.getvalue().split("error: ")[-1]
        raise errors.BadInput(f"--beam {options!r}: {line}") from None
    except errors.Unavailable:
        raise
    except ModuleNotFoundError as error:
        if error.name == "distributed":  # As for apache_beam.
            raise
        raise errors.BadInput(f"--beam {options!r}: {error}") from error
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
    runner = pipeline_options.PipelineOptions(words).get_all_options()["runner"]
    if not runner:
        raise errors.BadInput("no --runner; for processes of this machine --runner=DirectRunner")
    engine: Any = runner
    if dask := runner.lower() in ("daskrunner", "dask"):  # Beam does not know it by this name.
        importlib.import_module("distributed")  # Beam's module of it would fail without a reason.
        from apache_beam.runners.dask import dask_runner  # It adds Dask's options to Beam's.

        engine = dask_runner.DaskRunner()
        if not any(word.startswith(_PARTS) for word in words):
            # By default Dask gives one worker up to 128 tasks, and each is a file of clips.
            words = [*words, "--dask_partition_size=1"]
    elif runner.lower() in ("directrunner", "direct"):
        # By default Beam fetches a program for this name, which has no option direct_num_workers.
        engine = fn_runner.FnApiRunner()
    options = pipeline_options.PipelineOptions(words)
    known = options.get_all_options()
    if dask and known["address"]:
        _reach(known["address"], known["timeout"])
    job = beam.Pipeline(engine, options)
    unknown = options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    # Flink's and Spark's job servers have options that only they can check.
    if unknown and not isinstance(job.runner, portable_runner.PortableRunner):
        raise errors.BadInput(f"Beam has no option --{min(unknown)}")
    return job


def _reach(address: str, seconds: int | None) -> None:
    """Looks whether a scheduler of Dask answers at an address."""
    import distributed

    try:
        distributed.Client(address, timeout=seconds or _PATIENCE, set_as_default=False).close()
    except OSError as error:
        raise errors.Unavailable(f"no scheduler of Dask answers at {address}: {error}") from error
