"""The exported model in threads of TFLite interpreters: rows of landmarks in, an answer out.

This process holds neither JAX nor TensorFlow: what it knows of the model stands in model.json.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import queue
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from aslx import errors
from aslx.export import tflite
from aslx.serve import turns

Answer = dict[str, Any]
T = TypeVar("T")
# Frames of a clip after which an interpreter is not kept: it would keep the memory that the clip
# took, hundreds of megabytes of 2,000 frames. A new one costs little beside such a clip.
_LONG = 512


@dataclasses.dataclass(frozen=True)
class About:
    """What aslx.export wrote of the model into model.json."""

    step: int
    task: str  # "transcription" or "classification".
    kind: str  # "columns", "frames", "keypoints" or "image".
    shape: tuple[int, ...]  # Of a frame, or of the image.
    columns: tuple[str, ...]  # Kaggle's names of a frame's values; () where they have none.
    answers: tuple[str, ...]  # Characters by column of the outputs, or classes.

    @property
    def classifies(self) -> bool:
        return self.task == "classification"

    @property
    def width(self) -> int:
        """Values of a frame."""
        return int(np.prod(self.shape))

    def report(self, outputs: np.ndarray) -> Answer:
        """The model's outputs as the API gives them."""
        if self.classifies:
            pairs = zip(self.answers, outputs, strict=True)
            shares = {name: round(float(share), 4) for name, share in pairs}
            best = self.answers[int(outputs.argmax())]
            return {"class": best, "probability": shares[best], "probabilities": shares}
        # The competition's loop: an index without a character is left out.
        characters = [
            {"character": self.answers[i], "confidence": round(float(row[i]), 4)}
            for row, i in zip(outputs, outputs.argmax(1), strict=True)
            if i < len(self.answers)
        ]
        return {"text": "".join(c["character"] for c in characters), "characters": characters}


class Engine:
    """Threads with an interpreter each. While all of them work, whoever asks waits in line; what a
    stream asks about is collected when its turn comes, so that all frames that arrived by then are
    read at once.
    """

    def __init__(self, model: bytes, about: About, threads: int):
        self.about, self._model = about, model
        self._turns = turns.Turns(threads)
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, "interpreter")
        self._interpreters: queue.SimpleQueue[Callable] = queue.SimpleQueue()
        for _ in range(threads):
            self._interpreters.put(interpreter(model, about))

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

    def read(self, clip: np.ndarray) -> Answer:
        """The answer to f32[t, *shape], or to an image; to be called in one of the threads."""
        if self.about.kind != "image" and len(clip) > _LONG:
            return self._answer(interpreter(self._model, self.about), clip)
        kept = self._interpreters.get()
        try:
            return self._answer(kept, clip)
        finally:
            self._interpreters.put(kept)

    def _answer(self, model: Callable, clip: np.ndarray) -> Answer:
        return self.about.report(model(inputs=clip)["outputs"])

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


def interpreter(model: bytes, about: About) -> Callable:
    """inputs -> outputs, as Kaggle's evaluator calls them; BadInput where the model does not take
    what model.json says, or answers otherwise."""
    try:
        runner = tflite.runner(model)
        takes = tuple(runner.get_input_details()["inputs"]["shape_signature"])
        gives = tuple(runner.get_output_details()["outputs"]["shape"])
    except (ValueError, RuntimeError, KeyError) as error:  # As LiteRT says of what it cannot run.
        raise errors.BadInput(f"model.tflite cannot be run: {error}; export again") from None
    says = about.shape if about.kind == "image" else (-1, *about.shape)
    if takes != says:
        raise errors.BadInput(
            f"model.json says {says}, and model.tflite takes {takes}: export again"
        )
    answers = len(about.answers)
    enough = gives == (answers,) if about.classifies else len(gives) == 2 and gives[1] >= answers
    if not enough:
        raise errors.BadInput(
            f"model.json names {answers} answers, and model.tflite gives {gives}: export again"
        )
    return runner
