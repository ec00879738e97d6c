"""The exported model in threads of TFLite interpreters: rows of landmarks in, an answer out.

The process loads neither JAX nor TensorFlow: model.json says all that it needs to know.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from aslx.export import exported, exports, interpreters
from aslx.serve import turns

T = TypeVar("T")
# Frames of a clip above which its interpreter is thrown away: an interpreter keeps the memory that
# a clip took, hundreds of megabytes for 2,000 frames. A new one costs little next to such a clip.
_LONG = 512


class Engine:
    """Threads that have an interpreter each. While all threads work, a request waits for its turn.
    A stream collects its frames when its turn comes: all that have arrived are read at once.
    """

    def __init__(self, export: exported.Export, threads: int):
        self.about, self._model = export.about, export.files[exports.MODEL].read()
        self._turns = turns.Turns(threads)
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "interpreter")
        self._interpreters: queue.SimpleQueue[Callable] = queue.SimpleQueue()
        for _ in range(threads):
            self._interpreters.put(self._new())

    def _new(self) -> Callable:
        return interpreters.of_clips(self._model, self.about)

    async def run(self, work: Callable[[], T], client: turns.Client, cost: float) -> T:
        """Runs `work` in a thread when it is the client's turn, and returns its result.

        `cost` is the number of frames that the model would read in the same time.
        """
        loop = asyncio.get_running_loop()
        await self._turns.take(client, cost)
        future = self._threads.submit(work)

        def give(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # The server and its loop have ended.
                loop.call_soon_threadsafe(self._turns.give)

        # The turn lasts until the thread is free, even if the client has gone.
        future.add_done_callback(give)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # The future refers to the exception, whose traceback refers to this frame and to the
            # data of `work`: they would stay until the garbage collector finds the cycle.
            del future

    def read(self, clip: np.ndarray) -> exported.Answer:
        """The answer to f32[t, *shape], or to an image; to be called in one of the threads."""
        is_long = self.about.kind != "image" and len(clip) > _LONG
        interpreter = self._new() if is_long else self._interpreters.get()
        try:
            return self.about.report(interpreter(inputs=clip)["outputs"])
        finally:
            if not is_long:
                self._interpreters.put(interpreter)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
