"""Stores the weights of a TFLite file as float16; the runtime loads them as float32.

The converter has an option for this, but it places the conversion of a loop's weights outside the
loop: the runtime then copies the weights whenever it enters the loop, and cannot pack them.
"""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_AT_LEAST = 1024  # Values; a smaller constant is not worth an operation.


def halved(flatbuffer: bytes) -> bytes:
    """The same model with its larger float32 constants stored as float16."""
    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    float32, code = schema.TensorType.FLOAT32, schema.BuiltinOperator.DEQUANTIZE
    dequantize: Any = schema.OperatorCodeT()
    dequantize.builtinCode = dequantize.deprecatedBuiltinCode = code
    dequantize.version = 3  # The first that takes float16.
    model.operatorCodes.append(dequantize)
    smaller: dict[int, int] = {}  # The float16 buffer of each float32 buffer.
    for graph in model.subgraphs:
        first = []
        for i, tensor in enumerate(list(graph.tensors)):
            data = model.buffers[tensor.buffer].data
            if tensor.type != float32 or data is None or len(data) < 4 * _AT_LEAST:
                continue
            if tensor.buffer not in smaller:
                smaller[tensor.buffer] = len(model.buffers)
                model.buffers.append(_buffer(np.asarray(data, np.uint8).view("<f4")))
            graph.tensors.append(_stored(tensor, smaller[tensor.buffer]))
            first.append(_operator(len(model.operatorCodes) - 1, len(graph.tensors) - 1, i))
            tensor.buffer = 0  # Always empty by the schema.
        graph.operators = first + list(graph.operators)
    for i in smaller:
        model.buffers[i].data = None
    return packed(model)


def packed(model: Any) -> bytes:
    """The file of a model of the schema."""
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _buffer(values: np.ndarray) -> Any:
    buffer: Any = schema.BufferT()
    buffer.data = np.frombuffer(values.astype("<f2").tobytes(), np.uint8)
    return buffer


def _stored(tensor: Any, buffer: int) -> Any:
    half: Any = schema.TensorT()
    half.type, half.buffer, half.shape = schema.TensorType.FLOAT16, buffer, tensor.shape
    half.name, half.hasRank = tensor.name + b"_float16", tensor.hasRank
    return half


def _operator(opcode: int, source: int, target: int) -> Any:
    operator: Any = schema.OperatorT()
    operator.opcodeIndex = opcode
    operator.inputs, operator.outputs = [np.array([i], np.int32) for i in (source, target)]
    return operator
