"""Converts a model to a TFLite flatbuffer."""

import copy
import os
import tempfile
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from aslx import cli, errors
from aslx.export import quiet

# Of the page's models: a browser's runtime takes no dynamic size, nor does an accelerator of
# a phone. Kaggle's longest clip has 807 frames.
FIXED = (64, 128, 256, 512, 1024)
Variant = Literal["none", "float16", "int8"]
Quantize = Literal[Variant, "int8_static"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


def convert(
    cfg: Any,
    model: Any,
    quantize: Quantize,
    rows: int | None = None,
    samples: Iterable[np.ndarray] = (),
) -> bytes:
    """A TFLite flatbuffer that uses built-in operations only.

    With `rows`, `inputs` has that many rows, and a second input `frames` i32[1] is the number of
    rows that are real. `samples` are inputs that give "int8_static" the ranges of activations.
    """
    tf, made, concrete = module(cfg, model, rows)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], made)
    if quantize != "int8_static":
        return _flatbuffer(tf, converter, quantize)
    from aslx.export import static_quantization

    given = ({"inputs": each} if rows is None else filled(each, rows) for each in samples)
    return _unnamed(static_quantization.quantized(_flatbuffer(tf, converter, "none"), given))


def filled(inputs: np.ndarray, rows: int) -> dict[str, np.ndarray]:
    """A clip as a file of `rows` rows takes it: missing values behind it, or its first rows."""
    real = min(len(inputs), rows)
    every = np.full((rows, *inputs.shape[1:]), np.nan, np.float32)
    every[:real] = inputs[:real]
    return {"inputs": every, "frames": np.array([real], np.int32)}


def module(cfg: Any, model: Any, rows: int | None = None) -> tuple[Any, Any, Any]:
    """TensorFlow, a module of the exported function, and the concrete function in it; `rows` as in
    `convert`."""
    from jax.experimental import jax2tf

    from aslx.export import export_graph

    tf = _tensorflow()
    shape = cfg.features.source.shape
    sizes = [n if isinstance(n, int) else rows for n in shape]
    spec = [tf.TensorSpec(sizes, tf.float32, name="inputs")]
    # The length is a symbol with `rows` too: only then the features compute what TFLite can.
    words: list[str | None] = [f"({', '.join(map(str, shape))})"]
    if rows is not None:
        spec.append(tf.TensorSpec([1], tf.int32, name="frames"))
        words.append(None)
    fn = jax2tf.convert(
        export_graph.answer(cfg, model, rows), polymorphic_shapes=words, with_gradient=False
    )
    made: Any = tf.Module()
    made.serve = tf.function(
        lambda *given: {"outputs": fn(*given)}, input_signature=spec, autograph=False
    )
    return tf, made, made.serve.get_concrete_function()


def convert_stream(cfg: Any, model: Any, quantize: Variant, streams: int = 0) -> bytes:
    """A TFLite flatbuffer of a streaming network, with built-in operations and fixed shapes only.

    Its signature `start` gives the state before the first frame, as arrays f32 by name. `step`
    takes `inputs`, a chunk of frames; `frames` i32[1], the number of these that are real; `rests`
    i32[2], the frames without a hand and without a character that end a phrase; and the state. It
    gives `outputs`, rows of the characters that the chunk writes; `ended` i32[1], whether a phrase
    ended; and the next state. With `streams`, a step is one of so many streams: every array but
    `rests` has an axis more, the first.
    """
    from jax.experimental import jax2tf

    from aslx.export import stream_graph

    tf = _tensorflow()
    stream, several = stream_graph.of(cfg, model, streams), [streams] if streams else []
    shapes = stream.shapes
    chunk = [*several, stream.chunk, *cfg.features.source.shape[1:]]
    spec = [tf.TensorSpec(chunk, tf.float32, name="inputs")]
    spec.append(tf.TensorSpec([*several, 1], tf.int32, name="frames"))
    spec.append(tf.TensorSpec([2], tf.int32, name="rests"))
    spec += [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    begin = jax2tf.convert(stream.start, with_gradient=False)
    advance = jax2tf.convert(stream.step, with_gradient=False)

    def stepped(inputs: Any, frames: Any, rests: Any, *state: Any) -> dict[str, Any]:
        before = dict(zip(shapes, state, strict=True))
        outputs, ended, after = advance(inputs, frames, rests, before)
        return {"outputs": outputs, "ended": ended} | after

    made: Any = tf.Module()
    made.start = tf.function(lambda: begin(), input_signature=[], autograph=False)
    made.step = tf.function(stepped, input_signature=spec, autograph=False)
    found = {name: getattr(made, name).get_concrete_function() for name in ("start", "step")}
    # Only a saved model can have several signatures.
    with tempfile.TemporaryDirectory(prefix="aslx-") as folder, quiet.without(b""):
        tf.saved_model.save(made, folder, signatures=found)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(found))
        return _of_stream(_flatbuffer(tf, converter, quantize))


def _flatbuffer(tf: Any, converter: Any, quantize: Variant) -> bytes:
    from aslx.export import float16_weights

    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    flatbuffer = converter.convert()
    if quantize == "float16":
        return float16_weights.halved(flatbuffer)
    return _unnamed(flatbuffer) if quantize == "int8" else flatbuffer


def _unnamed(flatbuffer: bytes) -> bytes:
    """The same model without the names of the arrays inside, which no runtime reads."""
    from ai_edge_litert import schema_py_generated as schema

    from aslx.export import float16_weights

    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for graph in model.subgraphs:
        shown = {*graph.inputs, *graph.outputs}
        for i, tensor in enumerate(graph.tensors):
            if i not in shown:
                tensor.name = b""
    return float16_weights.packed(model)


def _of_stream(flatbuffer: bytes) -> bytes:
    """The same model as runtimes want that of a stream."""
    from ai_edge_litert import schema_py_generated as schema

    from aslx.export import float16_weights

    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    _set_apart(model)
    _put_step_first(model)
    return float16_weights.packed(model)


def _set_apart(model: Any) -> None:
    """Gives each output of a signature an array of its own: the converter gives those that are
    equal, as a state before the first frame is, one array, and LiteRT for the web then leaves out
    all of them but one."""
    for signature in model.signatureDefs:
        graph, seen = model.subgraphs[signature.subgraphIndex], set()
        for output in signature.outputs:
            if output.tensorIndex in seen:
                graph.tensors.append(copy.copy(graph.tensors[output.tensorIndex]))
                output.tensorIndex = len(graph.tensors) - 1
            seen.add(output.tensorIndex)
        graph.outputs = [output.tensorIndex for output in signature.outputs]


def _put_step_first(model: Any) -> None:
    """Makes the signature `step` the first graph: LiteRT gives the first one alone to XNNPACK,
    which takes less than half of the time."""
    (step,) = (s.subgraphIndex for s in model.signatureDefs if s.signatureKey == b"step")
    places = {step: 0, 0: step}
    graphs = model.subgraphs
    graphs[0], graphs[step] = graphs[step], graphs[0]
    options = [op.builtinOptions for graph in graphs for op in graph.operators]
    for each in (*model.signatureDefs, *filter(None, options)):  # Loops and branches name graphs.
        for name, value in vars(each).items():
            if name.lower().endswith("subgraphindex"):
                setattr(each, name, places.get(value, value))


def _tensorflow() -> Any:
    # Silences TensorFlow's message about oneDNN, which only matters for programs that are run.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    return tf


def check_versions() -> None:
    """BadInput if TensorFlow cannot read the programs that JAX writes."""
    import jax
    from jax import export

    tf = _tensorflow()
    from tensorflow.compiler.mlir.stablehlo import stablehlo

    clip = jax.ShapeDtypeStruct(export.symbolic_shape("t"), "float32")
    program = export.export(jax.jit(lambda x: x + 1), platforms=["cpu"])(clip)
    try:
        with quiet.without(b""):
            read = stablehlo.deserialize_portable_artifact_str  # pyright: ignore
            read(program.mlir_module_serialized)
    except ValueError:
        raise errors.BadInput(
            f"TensorFlow {tf.__version__} cannot read what jax {jax.__version__} writes "
            "(TensorFlow 2.21 reads jax 0.10.2 to 0.11.1): reinstall both, "
            f"{cli.installing('export')}"
        ) from None


def runtime(flatbuffer: bytes) -> str:
    """The oldest TensorFlow Lite that can run a model, as the converter noted in it."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for note in model.metadata or ():
        if note.name == b"min_runtime_version":
            return bytes(model.buffers[note.buffer].data).rstrip(b"\0").decode()
    return "unknown"
