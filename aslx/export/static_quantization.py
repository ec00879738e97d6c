"""int8 products of int8 activations, whose ranges are those of sample inputs."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from aslx.export import float16_weights

CLIPS = 100  # That give the ranges.


def quantized(flatbuffer: bytes, samples: Iterable[dict[str, np.ndarray]]) -> bytes:
    """A float32 model with its products by weights in int8: one scale a channel of the weights, and
    one an array of activations. `samples` are inputs by name.

    Products within a loop or a branch have no ranges: there activations get their scale as they
    come, as with `--quantize int8`. Needs the extra `quantizer`.
    """
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(bytearray(flatbuffer))
    product = qtyping.TFLOperationName.FULLY_CONNECTED
    made.add_dynamic_config(".*", product, num_bits=8)
    made.add_static_config(_outermost(flatbuffer), product, 8, 8)
    ranges = made.calibrate({"serving_default": list(samples)})
    found = made.quantize(ranges, enable_progress_bar=False).quantized_model
    assert found is not None
    return _held(bytes(found))


def _held(flatbuffer: bytes) -> bytes:
    """The same model with its weights in the flatbuffer, where they lie behind it, and without the
    converter's note on the oldest runtime, which held for float32."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for buffer in model.buffers:
        if buffer.size:
            where = slice(buffer.offset, buffer.offset + buffer.size)
            buffer.data = np.frombuffer(flatbuffer[where], np.uint8)
            buffer.offset = buffer.size = 0
    model.metadata = [note for note in model.metadata if note.name != b"min_runtime_version"]
    return float16_weights.packed(model)


def _outermost(flatbuffer: bytes) -> str:
    """A pattern that matches the products outside of loops and branches by what they give."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    graph = model.subgraphs[model.signatureDefs[0].subgraphIndex]
    names = [graph.tensors[op.outputs[0]].name.decode() for op in graph.operators]
    return f"^({'|'.join(map(re.escape, names))});"
