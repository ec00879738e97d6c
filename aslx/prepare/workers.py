"""A process pool that fails in one line and leaves no orphan."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import process
from typing import Any, TypeVar

import tqdm

from aslx import errors
from aslx.prepare import parent_watch

Result = TypeVar("Result")
# Answers (position, function(*task)) of every task, in any order: `run` here, or an engine's.
Run = Callable[[Callable[..., Any], Sequence[tuple]], Iterator[tuple[int, Any]]]


def run(
    function: Callable[..., Result], tasks: Sequence[tuple], processes: int
) -> Iterator[tuple[int, Result]]:
    """Answers (position, function(*task)) of every task, in the order in which they end.

    Processes are spawned, so that they inherit no thread, lock or accelerator; with one process, or
    one task, the work is done here. The first error ends the rest. Unavailable where a worker was
    killed.
    """
    if min(processes, len(tasks)) < 2:
        for i, task in enumerate(tasks):
            yield i, function(*task)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        min(processes, len(tasks)),
        multiprocessing.get_context("spawn"),
        parent_watch.end_with_parent,
    )
    others = set(multiprocessing.active_children())
    try:
        with _uninterrupted():
            waiting = {pool.submit(function, *task): i for i, task in enumerate(tasks)}
        for future in concurrent.futures.as_completed(waiting):
            yield waiting[future], future.result()
    except process.BrokenProcessPool:
        raise errors.Unavailable(
            "a worker process was killed, perhaps for want of memory: try fewer --processes"
        ) from None
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def gathered(
    run: Run,
    function: Callable[..., Result],
    tasks: Sequence[tuple],
    counts: Sequence[int],
    doing: str,
    unit: str,
) -> list[Result]:
    """The answers of `run`, in the order of the tasks. A progress bar moves by a task's count when
    the task ends."""
    answers: dict[int, Result] = {}
    with tqdm.tqdm(total=sum(counts), desc=doing, unit=f" {unit}", disable=None) as bar:
        for i, answer in run(function, tasks):
            answers[i] = answer
            bar.update(counts[i])
    return [answers[i] for i in range(len(tasks))]


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started within ignore Ctrl-C, which a terminal sends to all processes: the
    parent ends them, and alone prints an error. Signals wait meanwhile, because a process that is
    half started would print one too."""
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield  # Only the main thread has signals.
        return
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: waiting.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # They inherit this alone.
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in waiting:
        signal.raise_signal(number)


def usable() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
