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
from aslx.data import parent_watch

Result = TypeVar("Result")
# (position, function(*task)) of every task, in any order: `run`'s here, or that of an engine.
Run = Callable[[Callable[..., Any], Sequence[tuple]], Iterator[tuple[int, Any]]]


def run(
    function: Callable[..., Result], tasks: Sequence[tuple], processes: int
) -> Iterator[tuple[int, Result]]:
    """(position, function(*task)) of every task, in the order in which they end.

    Processes are spawned, so that no thread, lock or accelerator of the parent goes along; with one
    process, or one task, the work is done here. The first error ends the rest.
    Unavailable where a worker was killed.
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
    """What `run` answers to each task, in the order of the tasks. A bar moves on by a task's count
    when the task ends."""
    answers: dict[int, Result] = {}
    with tqdm.tqdm(total=sum(counts), desc=doing, unit=f" {unit}", disable=None) as bar:
        for i, answer in run(function, tasks):
            answers[i] = answer
            bar.update(counts[i])
    return [answers[i] for i in range(len(tasks))]


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started here never see Ctrl-C, which a terminal sends to all; their parent ends
    them, so that only it has something to say. What comes meanwhile waits: a process half started
    would complain."""
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
