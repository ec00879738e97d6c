"""Greedy decoding, and that every decoder answers the same from a TFLite file.

Conversion needs TensorFlow. The graphs here take features of a static shape with a batch of one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.decode import decoding, ngrams
from aslx.models import (
    fingerspelling_lstm,
    fingerspelling_transformer,
    lstm,
    squeezeformer,
    transformer,
)
from aslx.schema import vocab
from aslx.tasks import heads
from tests import tiny

RNG = np.random.default_rng(0)
A, B, C = vocab.KAGGLE.encode("abc").astype(np.int32)
PAD, END, BLANK = vocab.KAGGLE.pad, vocab.KAGGLE.end, vocab.KAGGLE.blank

TRANSFORMER = transformer.Config(dim=16, num_layers=1, num_heads=2, kernel=3, stride=2)
PRIOR = ngrams.count(["3 creek road", "+1-800", "www.a.org/b"], 3, vocab.KAGGLE).weighted(0.5)
LSTM = lstm.Config(dim=16, num_layers=1, decoder_layers=2, num_heads=2, stride=2)
SQUEEZEFORMER = squeezeformer.Config(
    dim=16, num_layers=2, halve_after=1, num_heads=2, kernel=5, stride=2, decoder_layers=0
)
JOINT = heads.Autoregressive(ctc_weight=0.3)


def logits_of(paths, classes: int) -> jax.Array:
    return jax.nn.one_hot(jnp.asarray(paths), classes) * 9


class Script(tiny.StandIn):
    """A model that writes given rows whatever it reads, and counts its steps."""

    def __init__(self, rows):
        self.rows = jnp.asarray(rows)

    def start(self, memory, memory_mask, max_tokens):
        return {"step": jnp.int32(0), "seen": jnp.zeros((len(memory), max_tokens), jnp.int32)}

    def advance(self, tokens, cache):
        t, seen = cache["step"], cache["seen"]
        seen = jax.lax.dynamic_update_slice_in_dim(seen, tokens[:, None], t, 1)
        logits = logits_of(jax.lax.dynamic_index_in_dim(self.rows, t, 1, False), vocab.KAGGLE.size)
        return logits, {"step": t + 1, "seen": seen}


def test_greedy_writes_up_to_each_rows_end_and_pads_after_it():
    script = Script([[A, B, END, C, C], [A, A, B, B, C], [END, A, A, A, A]])
    text, _ = decoding.greedy(script, jnp.zeros((3, 2, 1)), jnp.ones((3, 2), bool), vocab.KAGGLE, 5)
    assert text.dtype == jnp.int32
    np.testing.assert_array_equal(
        text, [[A, B, END, PAD, PAD], [A, A, B, B, C], [END, PAD, PAD, PAD, PAD]]
    )


def test_greedy_stops_when_every_row_has_ended():
    script = Script([[A, END, C, C], [END, A, A, A]])
    steps = []

    def advance(tokens, cache):
        jax.debug.callback(lambda t: steps.append(int(t)), cache["step"])
        return Script.advance(script, tokens, cache)

    script.advance = advance
    text, _ = decoding.greedy(script, jnp.zeros((2, 2, 1)), jnp.ones((2, 2), bool), vocab.KAGGLE, 4)
    jax.block_until_ready(text)
    jax.effects_barrier()
    np.testing.assert_array_equal(text, [[A, END, PAD, PAD], [END, PAD, PAD, PAD]])
    assert sorted(steps) == [0, 1]


@pytest.mark.parametrize("cfg", [TRANSFORMER, LSTM], ids=["transformer", "lstm"])
def test_greedy_is_the_argmax_of_teacher_forcing(cfg):
    model = tiny.filled(lambda: cfg.build(6, 59, rngs=nnx.Rngs(3)))
    features = RNG.normal(size=(3, 11, 6)).astype(np.float32)
    mask = jnp.arange(11) < jnp.array([[11], [6], [2]])

    @jax.jit
    def both(model):
        memory, memory_mask = model.encode(features, mask)
        text, sure = decoding.greedy(model, memory, memory_mask, vocab.KAGGLE, 9)
        begun = decoding.with_start(text, vocab.KAGGLE)[:, :-1]
        return text, sure, jax.nn.softmax(model.decode(begun, memory, memory_mask))

    text, sure, forced = both(model)
    ended = np.cumsum(text == END, 1) > (text == END)
    np.testing.assert_array_equal(np.where(ended, PAD, forced.argmax(-1)), text)
    np.testing.assert_allclose(sure[~ended], forced.max(-1)[~ended], rtol=1e-4)


def test_ctc_greedy_drops_repeats_then_blanks_of_the_frames_that_the_mask_shows():
    paths = RNG.choice([0, A, B, BLANK], size=(50, 20))
    lengths = RNG.integers(0, 21, 50)
    mask = np.arange(20) < lengths[:, None]
    text, _ = decoding.ctc_greedy(logits_of(paths, BLANK + 1), jnp.asarray(mask), vocab.KAGGLE)
    assert text.dtype == jnp.int32
    for row, path, n in zip(np.asarray(text), paths, lengths, strict=True):
        expected = [
            c for i, c in enumerate(path[:n]) if c != BLANK and (i == 0 or path[i - 1] != c)
        ]
        np.testing.assert_array_equal(row, expected + [PAD] * (20 - len(expected)))


def test_a_ctc_characters_probability_is_the_mean_over_its_frames():
    path = [A, A, BLANK, A, B, A]
    heights = jnp.asarray([1.0, 3.0, 9.0, 2.0, 5.0, 4.0])
    logits = jax.nn.one_hot(jnp.asarray([path]), BLANK + 1) * heights[:, None]
    _, sure = decoding.ctc_greedy(
        logits, jnp.ones((1, 6), bool) & (jnp.arange(6) < 5), vocab.KAGGLE
    )
    p = np.exp(heights) / (np.exp(heights) + BLANK)
    np.testing.assert_allclose(sure, [[(p[0] + p[1]) / 2, p[3], p[4], 0, 0, 0]], rtol=1e-5)


def test_a_positions_probability_is_that_of_its_likeliest_character():
    logits = logits_of([[A, B, END]], vocab.KAGGLE.size) * jnp.asarray([[1], [0.1], [0.5]])
    _, sure = decoding.positions_greedy(logits, vocab.KAGGLE)
    p = np.exp([9, 0.9, 4.5]) / (np.exp([9, 0.9, 4.5]) + vocab.KAGGLE.size - 1)
    np.testing.assert_allclose(sure, [p], rtol=1e-5)


def test_positions_greedy_pads_after_the_first_end():
    paths = [[vocab.KAGGLE.start, A, END, A, END], [A, A, B, B, C], [END, A, A, A, A]]
    text, _ = decoding.positions_greedy(logits_of(paths, vocab.KAGGLE.size), vocab.KAGGLE)
    np.testing.assert_array_equal(
        text,
        [[vocab.KAGGLE.start, A, END, PAD, PAD], [A, A, B, B, C], [END, PAD, PAD, PAD, PAD]],
    )


def test_the_fallback_replaces_texts_of_little_confidence():
    tokens = jnp.asarray([[A, B, END], [A, B, END], [END, PAD, PAD], [A, B, C]])
    sure = jnp.asarray([[0.9, 0.5, 0.1], [0.5, 0.5, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    mask = jnp.asarray([[True, False]] * 3 + [[False, False]])
    text, sure = decoding.fallback(tokens, sure, mask, vocab.KAGGLE, np.array([C, A, C, A]), 0.6)
    assert [vocab.KAGGLE.decode(row) for row in text] == ["ab", "caca", "caca", "caca"]
    np.testing.assert_allclose(sure[1:], [[0.5] * 4, [0.0] * 4, [0.0] * 4])
    np.testing.assert_allclose(sure[0, :2], [0.9, 0.5])
    short, _ = decoding.fallback(tokens, sure[:, :3], mask, vocab.KAGGLE, np.array([C]), 0.6)
    assert [vocab.KAGGLE.decode(row) for row in short] == ["ab", "c", "c", "c"]
    rows = decoding.rows(decoding.answers(text, sure, vocab.KAGGLE), vocab.KAGGLE)
    assert [vocab.KAGGLE.of_rows(np.asarray(row)) for row in rows] == ["ab", "caca", "caca", "caca"]


def test_texts_that_differ_in_one_character_lower_the_confidence_there_alone():
    texts = ["abcab", "abxab", "bcab", "abcabb", "abcab"]
    tokens = np.full((1, 5, 7), vocab.KAGGLE.pad, np.int32)
    for k, text in enumerate(texts):
        tokens[0, k, : len(text)] = vocab.KAGGLE.encode(text)
    shares = np.array([[0.5, 0.2, 0.1, 0.15, 0.05]], np.float32)
    sure = np.asarray(decoding.agreed(jnp.asarray(tokens), jnp.asarray(shares), vocab.KAGGLE))[
        0, :5
    ]
    # The second has another third character, the third lacks the first, the fourth has one more.
    np.testing.assert_allclose(sure, [0.9, 1, 0.8, 1, 1], atol=1e-6)


def _built(cfg):
    """A network as if trained: every value is moved from its start, biases too."""
    rng = np.random.default_rng(3)
    model = tiny.filled(lambda: cfg.build(6, 59, rngs=nnx.Rngs(3)))
    return jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), model)


def _autoregressive(cfg):
    """END is made likelier, so that some texts end early."""
    model = _built(cfg)
    model.head.bias[...] = model.head.bias[...].at[END].add(1.5)

    def read(x, mask):
        memory, memory_mask = model.encode(x, mask)
        return decoding.greedy(model, memory, memory_mask, vocab.KAGGLE, 12)

    return read


def _ctc(cfg):
    model = _built(cfg)

    def read(x, mask):
        memory, memory_mask = model.encode(x, mask)
        return decoding.ctc_greedy(model.ctc(memory), memory_mask, vocab.KAGGLE)

    return read


def _positions(cfg):
    model = _built(cfg)
    return lambda x, mask: decoding.positions_greedy(model.positions(x, mask), vocab.KAGGLE)


def _searched(cfg, head, prior=None):
    model = _built(cfg)
    return lambda x, mask: head.read(
        model, x, mask, vocab.KAGGLE, max_tokens=6, beams=3, prior=prior
    )


def _with_fallback():
    read = _ctc(TRANSFORMER)
    return lambda x, mask: decoding.fallback(
        *read(x, mask), mask, vocab.KAGGLE, np.array([C, A] * 9), 0.02
    )


@pytest.mark.parametrize(
    "read",
    [
        # Transformers that decode greedily are converted by the tests of the export.
        pytest.param(lambda: _autoregressive(LSTM), id="lstm"),
        pytest.param(lambda: _ctc(LSTM), id="lstm ctc", marks=pytest.mark.slow),
        pytest.param(
            lambda: _autoregressive(fingerspelling_transformer.Config()), id="published transformer"
        ),
        pytest.param(lambda: _positions(fingerspelling_lstm.Config()), id="published lstm"),
        pytest.param(lambda: _ctc(SQUEEZEFORMER), id="squeezeformer ctc"),
        pytest.param(_with_fallback, id="fallback"),
        pytest.param(
            lambda: _searched(TRANSFORMER, heads.CTC()), id="ctc beams", marks=pytest.mark.slow
        ),
        pytest.param(lambda: _searched(TRANSFORMER, heads.Autoregressive()), id="beams"),
        pytest.param(lambda: _searched(TRANSFORMER, heads.CTC(), PRIOR), id="ctc, prior"),
        pytest.param(lambda: _searched(LSTM, JOINT), id="joint beams", marks=pytest.mark.slow),
        pytest.param(lambda: _searched(LSTM, JOINT, PRIOR), id="joint beams, prior"),
    ],
)
@pytest.mark.long
def test_a_converted_reader_writes_what_jax_writes(read):
    tf = pytest.importorskip("tensorflow")
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    from jax.experimental import jax2tf

    def answer(features_SF, lengths_1):
        mask_1S = jnp.arange(features_SF.shape[0]) < lengths_1[:, None]
        return reader(features_SF[None], mask_1S)

    reader = read()
    shapes = [tf.TensorSpec((13, 6), tf.float32), tf.TensorSpec((1,), tf.int32)]
    graph = tf.function(
        jax2tf.convert(answer, with_gradient=False), autograph=False, input_signature=shapes
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [graph.get_concrete_function()], graph
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = litert.Interpreter(model_content=converter.convert())
    runner.allocate_tensors()
    expected = jax.jit(answer)
    texts, rng = set(), np.random.default_rng(0)
    for length in (13, 8, 13, 0):
        features = rng.normal(size=(13, 6)).astype(np.float32) * 3
        for at in runner.get_input_details():
            whole = len(at["shape"]) == 2
            runner.set_tensor(at["index"], features if whole else np.array([length], np.int32))
        runner.invoke()
        outputs = [runner.get_tensor(at["index"]) for at in runner.get_output_details()]
        text, sure = sorted(outputs, key=lambda array: array.dtype.kind, reverse=True)
        jax_text, jax_sure = expected(features, np.array([length]))
        np.testing.assert_array_equal(text, jax_text)
        np.testing.assert_allclose(sure[text != PAD], jax_sure[text != PAD], atol=1e-4)
        texts.add(text.tobytes())
    # Equality would show little of a network that writes one text whatever it reads.
    assert len(texts) > 1
