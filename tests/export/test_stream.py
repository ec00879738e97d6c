"""The file of a streaming network: two signatures, and the answers of JAX at every chunk."""

import dataclasses
import itertools
from typing import Any

import jax
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from aslx.decode import decoding_options
from aslx.export import conversion, exporting, stream_graph, stream_reading, tflite
from aslx.runs import evaluator, opening, trained_run
from aslx.tasks import transducer
from tests import tiny

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(learned) -> trained_run.Run:
    return learned("streaming")


@pytest.fixture(scope="module")
def file(run) -> bytes:
    return conversion.convert_stream(run.cfg, run.model, "none")


def test_the_file_writes_the_characters_of_jax_at_every_chunk(run, file):
    of_file = stream_reading.steps(*tflite.stream(file))
    rests = decoding_options.Rests().frames(30.0)
    stream = stream_graph.of(run.cfg, run.model)
    jitted, texts = jax.jit(stream.step), set()
    test = evaluator.Evaluation(run.cfg, run.mesh, "test")
    lost = [np.full(run.source.shape[1], np.nan, np.float32)] * 40  # The hands rest.
    for clip in itertools.islice(test.clips(), 50):
        frames, found = list(run.source.pack(clip)), []
        for reading in (of_file, (stream.start, jitted)):
            names = run.cfg.task.alphabet.characters
            reader = stream_reading.StreamReader(*reading, stream.chunk, names, rests)
            found.append([*reader.add(frames + lost), *reader.end()])
        one, other = found
        assert [(r.text, r.frames, r.ended) for r in one] == [
            (r.text, r.frames, r.ended) for r in other
        ]
        assert any(r.ended for r in one)
        sure, expected = ([w.confidence for r in each for w in r.written] for each in found)
        np.testing.assert_allclose(sure, expected, atol=1e-4)
        texts.add("".join(r.text for r in one))
    assert len(texts) > 5


def test_int8_weights_make_a_smaller_file_that_streams(run, file):
    small = conversion.convert_stream(run.cfg, run.model, "int8")
    assert len(small) < len(file)
    begin, advance = tflite.stream(small)
    chunk = np.full((8, run.source.shape[1]), np.nan, np.float32)
    frames, rests = np.array([8], np.int32), np.array([24, 75], np.int32)
    found = advance(inputs=chunk, frames=frames, rests=rests, **begin())
    assert found["outputs"].shape == (4, len(run.cfg.task.alphabet) + 1)


def test_model_json_says_the_rate_the_chunk_and_the_state(run, file):
    said = exporting.stream_about(run.cfg, run.model)
    begin, _ = tflite.stream(file)
    assert (said["file"], said["rate"], said["chunk"]) == ("stream.tflite", 30.0, 8)
    assert {name: list(array.shape) for name, array in begin().items()} == said["state"]


def test_the_step_is_the_first_graph_which_alone_is_computed_by_xnnpack(file):
    model: Any = schema.ModelT.InitFromPackedBuf(file, 0)
    places = {of.signatureKey: of.subgraphIndex for of in model.signatureDefs}
    assert places == {b"step": 0, b"start": 1}


def test_each_output_of_a_signature_is_an_array_of_its_own(file):
    for runner in tflite.stream(file):
        places = [of["index"] for of in runner.get_output_details().values()]
        assert len(set(places)) == len(places) >= 10


def test_eight_streams_are_read_by_one_step_as_each_by_itself(run, file):
    begin, advance = stream_reading.steps(*tflite.stream(file))
    several = conversion.convert_stream(run.cfg, run.model, "none", 8)
    _, together = stream_reading.steps(*tflite.stream(several))
    rng, rests = np.random.default_rng(0), np.array([24, 75], np.int32)
    states = [begin() for _ in range(8)]
    for _ in range(3):
        inputs = rng.random((8, 8, run.source.shape[1]), np.float32)
        frames = rng.integers(1, 9, (8, 1), np.int32)
        stacked = {name: np.stack([s[name] for s in states]) for name in states[0]}
        rows, ended, after = together(inputs, frames, rests, stacked)
        for i, state in enumerate(states):
            expected = advance(inputs[i], frames[i], rests, state)
            np.testing.assert_allclose(rows[i], expected[0], atol=1e-4)
            assert ended[i] == expected[1]
            for name, array in expected[2].items():
                np.testing.assert_allclose(after[name][i], array, atol=1e-4)
            states[i] = expected[2]


def test_the_stream_of_a_transducer_writes_the_text_of_the_whole_clip(run):
    cfg = dataclasses.replace(
        run.cfg,
        model=dataclasses.replace(run.cfg.model, context=2),
        task=dataclasses.replace(run.cfg.task, head=transducer.Transducer(), max_tokens=64),
    )
    model = tiny.filled(lambda: opening.network(cfg))
    clips = list(itertools.islice(evaluator.Evaluation(run.cfg, run.mesh, "test").clips(), 10))
    whole = trained_run.Run(run.workdir, cfg, run.mesh, model, 0, run.trained_on)
    expected = [answer.text for answer in whole.answers(clips)]
    rests, names = np.zeros(2, np.int32), cfg.task.alphabet.characters
    stream = stream_graph.of(cfg, model)
    of_file = stream_reading.steps(*tflite.stream(conversion.convert_stream(cfg, model, "none")))
    for reading in ((stream.start, jax.jit(stream.step)), of_file):
        found = []
        for clip in clips:
            reader = stream_reading.StreamReader(*reading, stream.chunk, names, rests)
            each = [*reader.add(list(run.source.pack(clip))), *reader.end()]
            found.append("".join(r.text for r in each))
        assert found == expected
    assert len(set(expected)) > 5
