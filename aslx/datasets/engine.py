"""Work on an Apache Beam engine: Dataflow, Flink, Spark, or processes of this machine.

A task and its answer are files that every worker sees, in pickle. Only their names go through the
engine: so a job stays small however many clips there are, and answers return from any runner.
"""

import contextlib
import importlib.util
import io
import logging
import os
import pickle
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from aslx import errors, files
from aslx.datasets import storage

if TYPE_CHECKING:  # Beam takes seconds to import, and need not be installed.
    import apache_beam as beam

Result = TypeVar("Result")


def run(
    function: Callable[..., Result], tasks: Sequence[tuple], options: str, folder: files.Path
) -> Iterator[tuple[int, Result]]:
    """(position, function(*task)) of every task, as `workers.run`, but by the engine that `options`
    choose. `folder`, for the tasks and the answers, must be one that every worker sees; `function`
    must be importable there.

    BadInput and OSError of a task are raised here; what else fails, the engine tries again or
    raises. BadInput as `pipeline`.
    """
    places = [folder / function.__name__ / f"{i:05d}" for i in range(len(tasks))]
    (folder / function.__name__).mkdir(parents=True)
    for place, task in zip(places, tasks, strict=True):
        with files.writing(place) as f:
            pickle.dump((function, task), f)
    with pipeline(options) as job:
        import apache_beam as beam

        # Shuffled, so that no worker holds them all in one bundle.
        _ = job | beam.Create(list(map(str, places))) | beam.Reshuffle() | beam.Map(_work)
    for i, place in enumerate(places):
        answer = pickle.loads(_answer(place).read_bytes())
        if isinstance(answer, Exception):
            raise answer
        yield i, answer


def _answer(place: files.Path) -> files.Path:
    return place.with_name(f"{place.name}.answer")


def _work(name: str) -> None:
    """Does one task, on a worker."""
    os.environ.setdefault("EPATH_USE_TF", "0")  # As aslx.cli: gs:// needs no TensorFlow.
    place = storage.path(name)
    function, task = pickle.loads(place.read_bytes())
    try:
        answer = function(*task)
    except (ValueError, OSError) as error:  # The input's fault: trying again would not help.
        answer = error
    with files.writing(_answer(place)) as f:
        pickle.dump(answer, f)


def pipeline(options: str) -> "beam.Pipeline":
    """An empty pipeline for the engine that Beam's `options` name, checked as far as it can be
    without running: BadInput names the option that is missing, unknown or wrong."""
    if importlib.util.find_spec("apache_beam") is None:
        raise errors.BadInput(
            "--beam needs Apache Beam: pip install -c constraints.txt -e '.[beam]'"
        )
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
