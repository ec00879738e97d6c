"""Kaggle's side of the contract: raw columns in, rows of scores out."""

from typing import Any

import numpy as np

from aslx.export import quiet
from aslx.schema import vocab


def columns(clip_TN3: np.ndarray) -> np.ndarray:
    """A clip as the parquet has it: f32[T, 3 N], all x, all y, all z."""
    clip_TN3 = clip_TN3.astype(np.float32)
    return clip_TN3.transpose(0, 2, 1).reshape(len(clip_TN3), -1)


def text(outputs: np.ndarray) -> str:
    """The competition's loop: argmax of each row; an index without a character is left out."""
    return "".join(vocab.CHARACTERS[i] for i in np.argmax(outputs, axis=1) if i < vocab.PAD)


def interpreter(model: bytes) -> Any:
    """inputs -> outputs of a TFLite file, as the competition's evaluator calls them, on a core."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet.without(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()  # The runner would at its first call, and say so then.
        return interpreter.get_signature_runner("serving_default")
