"""The TFLite interpreter, used as the competition's evaluator uses it."""

from typing import Any

from aslx.export import quiet


def runner(model: bytes) -> Any:
    """The function inputs -> outputs of a TFLite file, on one core."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet.without(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()  # Here, so that its message is left out, too.
        return interpreter.get_signature_runner("serving_default")
