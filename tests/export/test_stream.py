"""The file of a streaming network: two signatures, and the answers of JAX at every chunk."""

import itertools

import jax
import numpy as np
import pytest

from aslx.export import conversion, exporting, stream_graph, tflite
from aslx.predict import stream_reader
from aslx.runs import evaluator, trained_run


@pytest.fixture(scope="module")
def run(learned) -> trained_run.Run:
    return learned("streaming")


@pytest.fixture(scope="module")
def file(run) -> bytes:
    return conversion.convert_stream(run.cfg, run.model, "none")


def test_the_file_writes_the_characters_of_jax_at_every_chunk(run, file):
    begin, advance = tflite.stream(file)

    def step(inputs, frames, state):
        found = advance(inputs=inputs, frames=frames, **state)
        return found.pop("outputs"), found

    stream = stream_graph.of(run.cfg, run.model)
    jitted, texts = jax.jit(stream.step), set()
    test = evaluator.Evaluation(run.cfg, run.mesh, "test")
    for clip in itertools.islice(test.clips(), 50):
        frames, found = list(run.source.pack(clip)), []
        for reading in ((begin, step), (stream.start, jitted)):
            names = run.cfg.task.alphabet.characters
            reader = stream_reader.StreamReader(*reading, stream.chunk, names)
            found.append([*reader.add(frames), *reader.end()])
        one, other = found
        assert [(w.character, w.frame) for w in one] == [(w.character, w.frame) for w in other]
        sure, expected = ([w.confidence for w in each] for each in found)
        np.testing.assert_allclose(sure, expected, atol=1e-4)
        texts.add("".join(w.character for w in one))
    assert len(texts) > 5


def test_int8_weights_make_a_smaller_file_that_streams(run, file):
    small = conversion.convert_stream(run.cfg, run.model, "int8")
    assert len(small) < len(file)
    begin, advance = tflite.stream(small)
    chunk = np.full((8, run.source.shape[1]), np.nan, np.float32)
    found = advance(inputs=chunk, frames=np.array([8], np.int32), **begin())
    assert found["outputs"].shape == (4, len(run.cfg.task.alphabet) + 1)


def test_model_json_says_the_rate_the_chunk_and_the_state(run, file):
    said = exporting.stream_about(run.cfg, run.model)
    begin, _ = tflite.stream(file)
    assert (said["file"], said["rate"], said["chunk"]) == ("stream.tflite", 30.0, 8)
    assert {name: list(array.shape) for name, array in begin().items()} == said["state"]
