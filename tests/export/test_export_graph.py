"""The exported function: a short clip costs less, and is answered as at the longest length."""

import dataclasses
import sys
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import jax
import numpy as np
import pytest
from flax import nnx

from aslx import cli, config
from aslx.export import conversion, ensemble, export_graph, float16_weights, tflite
from aslx.inputs import model_inputs, phrase_features
from aslx.models import fingerspelling_transformer, squeezeformer, transformer
from aslx.runs import opening
from aslx.schema import vocab
from aslx.tasks import heads, transcription
from tests import tiny_runs

FEATURES = phrase_features.Modern(max_frames=48, only_hands=False)
SQUEEZEFORMER = squeezeformer.Config(
    dim=32, num_layers=2, halve_after=1, num_heads=2, stride=2, kernel=5, groups=FEATURES.groups
)
CTC = heads.CTC()
AUTOREGRESSIVE = heads.Autoregressive(ctc_weight=0.3)
ROWS = 60  # More than a model sees.


def cfg(head, network: Any = SQUEEZEFORMER) -> config.Config:
    task = transcription.Task(head=head, max_tokens=8)
    return config.Config(task=task, features=FEATURES, model=network)


def built(cfg: config.Config, seed: int = 0):
    """A network with random values added to its parameters, which writes END soon."""
    rng = np.random.default_rng(seed)
    model = tiny_runs.network(dataclasses.replace(cfg, seed=seed))
    model = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), model)
    model.head.bias[...] = model.head.bias[...].at[vocab.KAGGLE.end].add(1.0)
    return model


def clips() -> list[np.ndarray]:
    """Clips of no frames, of lengths around those that the model chooses from, and longer ones."""
    columns, rng = len(FEATURES.selection.columns), np.random.default_rng(0)
    frames = (0, 1, 13, 23, 24, 25, 31, 32, 33, 47, 48, 49, ROWS)
    walks = [rng.normal(size=(t, columns)).cumsum(0) for t in frames]
    return [np.where(rng.random(x.shape) < 0.02, np.nan, x).astype(np.float32) for x in walks]


def whole(cfg: config.Config, model):
    """The jitted answer to a clip padded to `ROWS`, at the longest length."""

    def fn(inputs, frames):
        batch = cfg.features.source.batch(inputs, frames)
        return cfg.task.outputs(model, *model_inputs.of(batch, cfg.features, frames=48))

    return jax.jit(fn)


def padded(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    more = np.full((ROWS - len(clip), clip.shape[1]), np.nan, np.float32)
    return np.concatenate([clip, more]), np.array([len(clip)], np.int32)


@pytest.mark.parametrize("head", [CTC, AUTOREGRESSIVE], ids=["ctc", "autoregressive"])
@pytest.mark.long
def test_a_clip_is_answered_at_its_own_length_as_at_the_longest(head):
    wanted = cfg(head)
    model = built(wanted, seed=2)
    assert export_graph.lengths(wanted, model) == [24, 32, 48]
    expected, found = whole(wanted, model), jax.jit(export_graph.answer(wanted, model))
    texts = set()
    for clip in clips():
        outputs = found(*padded(clip))
        np.testing.assert_allclose(outputs, expected(*padded(clip)), atol=1e-4)
        texts.add(vocab.KAGGLE.of_rows(np.asarray(outputs)))
    assert len(texts) > 5


def test_the_lengths_are_those_that_a_clip_can_need():
    few = dataclasses.replace(
        cfg(CTC), features=phrase_features.Modern(min_frames=40, max_frames=48)
    )
    model = built(cfg(CTC))
    assert export_graph.lengths(few, model) == [40, 48]
    short = phrase_features.Modern(min_frames=96, max_frames=160)
    assert export_graph.lengths(dataclasses.replace(few, features=short), model) == [96, 160]
    assert export_graph.lengths(cfg(CTC), model, rows=24) == [24]
    assert export_graph.lengths(cfg(CTC), model, rows=25) == [24, 32]
    # The published networks read padding too.
    baseline = fingerspelling_transformer.Config().build(
        FEATURES.num_features, 59, rngs=nnx.Rngs(0)
    )
    assert export_graph.lengths(cfg(CTC), baseline) == [48]


@pytest.fixture(scope="module")
def reader() -> tuple[config.Config, ensemble.Ensemble]:
    """An ensemble of two networks of different kinds and widths; one computes in bfloat16."""
    bfloat16 = cfg(AUTOREGRESSIVE, dataclasses.replace(SQUEEZEFORMER, dtype="bfloat16"))
    first, model = export_graph.exact(bfloat16, built(bfloat16))
    assert isinstance(first.model, squeezeformer.Config) and first.model.dtype == "float32"
    network = transformer.Config(dim=64, num_layers=2, num_heads=2, kernel=3, stride=4)
    other = built(cfg(AUTOREGRESSIVE, network), seed=1)
    return first, ensemble.Ensemble((model, other), (32, 64))


def stored(flatbuffer: bytes) -> list[tuple[int, bytes]]:
    """Type and content of each buffer that holds a thousand values or more."""
    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    found = {}
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None and np.prod(tensor.shape) >= 1024:
            found[tensor.buffer] = tensor.type, bytes(data)
    return list(found.values())


@pytest.fixture(scope="module")
def float32(reader) -> bytes:
    cfg, model = reader
    return conversion.convert(cfg, model, "none")


@pytest.mark.slow
def test_a_converted_ensemble_answers_at_each_length_as_jax_does(reader, float32):
    run, half = tflite.runner(float32), tflite.runner(float16_weights.halved(float32))
    expected, texts = whole(*reader), set()
    for clip in clips():
        outputs = expected(*padded(clip))
        np.testing.assert_allclose(run(inputs=clip)["outputs"], outputs, atol=1e-3)
        np.testing.assert_allclose(half(inputs=clip)["outputs"], outputs, atol=0.1)
        texts.add(vocab.KAGGLE.of_rows(np.asarray(outputs)))
    assert len(texts) > 5


@pytest.mark.long
def test_every_weight_is_stored_once_whatever_its_type(reader, float32):
    types = schema.TensorType
    buffers = stored(float32)
    assert len(set(buffers)) == len(buffers) > 20
    half = stored(float16_weights.halved(float32))
    assert len(half) == len(buffers) and {kind for kind, _ in half} == {types.FLOAT16}
    cfg, model = reader
    eighth = [kind for kind, _ in stored(conversion.convert(cfg, model, "int8"))]
    assert len(eighth) == len(buffers) and eighth.count(types.INT8) > 0.9 * len(eighth)


def test_an_exported_network_is_built_by_its_config(reader):
    first, model = reader
    assert jax.tree.structure(opening.network(first)) == jax.tree.structure(model.members[0])


def test_the_installed_jax_and_tensorflow_go_together():
    conversion.check_versions()


def test_a_jax_that_tensorflow_cannot_read_is_one_line(monkeypatch, capfd):
    real = jax.export.export

    def newer(*args, **kwargs):
        def exported(*shapes):
            program = real(*args, **kwargs)(*shapes)
            bytecode = program.mlir_module_serialized.replace(b"add_v1", b"add_v9")
            assert bytecode != program.mlir_module_serialized
            return dataclasses.replace(program, mlir_module_serialized=bytecode)

        return exported

    monkeypatch.setattr(jax.export, "export", newer)
    with pytest.raises(SystemExit) as ended:
        cli.run(conversion.check_versions)
    err = capfd.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1
    assert f"cannot read what jax {jax.__version__} writes" in err and "[export]" in err


def test_tensorflow_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ModuleNotFoundError) as error:
        conversion.check_versions()
    assert error.value.name == "tensorflow"  # aslx.cli makes one line of it.
