"""TFLite's interpreter, as the competition's evaluator uses it."""

from typing import Any

from aslx.export import quiet


def runner(model: bytes) -> Any:
    """inputs -> outputs of a TFLite file, as the competition's evaluator calls them, on a core."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet.without(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()  # The runner would at its first call, and say so then.
        return interpreter.get_signature_runner("serving_default")
