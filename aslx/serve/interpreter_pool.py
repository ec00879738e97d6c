"""The exported model in threads of TFLite interpreters: rows of landmarks in, an answer out.

This process holds neither JAX nor TensorFlow: what it knows of the model stands in model.json.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from aslx.export import exported
from aslx.serve import turns

T = TypeVar("T")
# Frames of a clip after which an interpreter is not kept: it would keep the memory that the clip
# took, hundreds of megabytes of 2,000 frames. A new one costs little beside such a clip.
_LONG = 512


class Engine:
    """Threads with an interpreter each. While all threads work, a request waits in line; the
    frames of a stream are collected when its turn comes, so that all frames that have arrived are
    read at once.
    """

    def __init__(self, model: bytes, about: exported.About, threads: int):
        self.about, self._model = about, model
        self._turns = turns.Turns(threads)
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "interpreter")
        self._interpreters: queue.SimpleQueue[Callable] = queue.SimpleQueue()
        for _ in range(threads):
            self._interpreters.put(exported.interpreter(model, about))

    async def run(self, work: Callable[[], T], client: turns.Client, cost: float) -> T:
        """What `work` returns, which a thread does when it is the client's turn.

        `cost` is in frames that the model would read in the same time.
        """
        loop = asyncio.get_running_loop()
        await self._turns.take(client, cost)
        future = self._threads.submit(work)

        def give(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # The server, and so the loop, has ended.
                loop.call_soon_threadsafe(self._turns.give)

        # Not before the thread is free, even where who asked has gone.
        future.add_done_callback(give)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # The future holds the exception, whose traceback holds this frame with all that the
            # work had in hand: together they would stay until the collector of cycles comes by.
            del future

    def read(self, clip: np.ndarray) -> exported.Answer:
        """The answer to f32[t, *shape], or to an image; to be called in one of the threads."""
        if self.about.kind != "image" and len(clip) > _LONG:
            return self._answer(exported.interpreter(self._model, self.about), clip)
        kept = self._interpreters.get()
        try:
            return self._answer(kept, clip)
        finally:
            self._interpreters.put(kept)

    def _answer(self, model: Callable, clip: np.ndarray) -> exported.Answer:
        return self.about.report(model(inputs=clip)["outputs"])

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
