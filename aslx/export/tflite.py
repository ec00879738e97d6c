"""The TFLite interpreter, used as the competition's evaluator uses it."""

from typing import Any

from aslx.export import quiet


def runner(model: bytes) -> Any:
    """The function inputs -> outputs of a TFLite file, on one core."""
    return _runners(model, "serving_default")[0]


def stream(model: bytes) -> tuple[Any, Any]:
    """The functions `start` and `step` of a stream's TFLite file, on one core."""
    start, step = _runners(model, "start", "step")
    return start, step


def _runners(model: bytes, *signatures: str) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter

    with quiet.without(b"INFO: Created TensorFlow Lite XNNPACK delegate"):
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()  # Here, so that its message is left out, too.
        return [interpreter.get_signature_runner(name) for name in signatures]
