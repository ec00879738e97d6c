"""Beam searches against slow references that keep their hypotheses in dictionaries and lists."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from aslx.decode import beam_search, decoding, ngrams
from aslx.models import lstm, transformer
from aslx.schema import vocab
from tests import tiny

RNG = np.random.default_rng(0)
CLIPS, FRAMES, LENGTH, BEAMS = 100, 14, 6, 4
MASK = np.arange(FRAMES) < RNG.integers(0, FRAMES + 1, CLIPS)[:, None]
TRANSFORMER = transformer.Config(dim=16, num_layers=1, num_heads=2, kernel=3, stride=1)
PHRASES = [" !#", "!!", "# !#$", "$#! 3", "!#", "# #!"]
PRIOR = ngrams.count(PHRASES, 3, vocab.KAGGLE).weighted(0.7)
LSTM = lstm.Config(dim=16, num_layers=1, decoder_layers=1, num_heads=2, stride=1, ctc=True)


def texts(found_BKL: jax.Array | np.ndarray) -> list[list[tuple[int, ...]]]:
    return [
        [tuple(int(c) for c in text if c != vocab.KAGGLE.pad) for text in row]
        for row in np.asarray(found_BKL)
    ]


def log_add(*values: float) -> float:
    top = max(values)
    return top if top == -math.inf else top + math.log(sum(math.exp(v - top) for v in values))


def expected(prior, text: tuple, symbol: int) -> float:
    """A prior's log-probability of a symbol after a text, walked from the start."""
    state = 0
    for c in text if prior else ():
        state = prior.after[state, c]
    return float(prior.logp[state, min(symbol, len(vocab.KAGGLE))]) if prior else 0.0


def prefix_beams(logp_MV: np.ndarray, length: int, beams: int, prior=None) -> dict[tuple, float]:
    """The likeliest prefixes in order, by a loop over frames, prefixes and characters."""
    kept = {(): (0.0, -math.inf)}  # Paths that end on a blank, and on the last character.
    for logp_V in logp_MV:
        new: dict[tuple, tuple] = {}

        def add(text: tuple, blank: float, character: float, new=new) -> None:
            old = new.get(text, (-math.inf, -math.inf))
            new[text] = log_add(old[0], blank), log_add(old[1], character)

        for text, (blank, character) in kept.items():
            add(text, log_add(blank, character) + logp_V[vocab.KAGGLE.blank], -math.inf)
            if text:
                add(text, -math.inf, character + logp_V[text[-1]])
            for c in range(vocab.KAGGLE.pad if len(text) < length else 0):
                before = blank if text[-1:] == (c,) else log_add(blank, character)
                add((*text, c), -math.inf, before + logp_V[c] + expected(prior, text, c))
        kept = dict(sorted(new.items(), key=lambda item: -log_add(*item[1]))[:beams])
    ended = {t: log_add(*ways) + expected(prior, t, len(vocab.KAGGLE)) for t, ways in kept.items()}
    return dict(sorted(ended.items(), key=lambda item: -item[1]))


priors = pytest.mark.parametrize("prior", [None, PRIOR], ids=["alone", "prior"])


@priors
def test_the_batched_prefix_beam_is_the_slow_one_token_for_token_on_a_hundred_clips(prior):
    # Few characters are likely, so that repeats, blanks and prefixes of prefixes meet.
    liked = np.where(np.isin(np.arange(60), [1, 2, 3, vocab.KAGGLE.blank]), 4.0, -4.0)
    logits = (RNG.normal(size=(CLIPS, FRAMES, 60)) + liked).astype(np.float32)
    found, scores = jax.jit(
        functools.partial(
            beam_search.ctc, alphabet=vocab.KAGGLE, max_tokens=LENGTH, beams=BEAMS, prior=prior
        )
    )(logits, MASK)
    logp = np.asarray(jax.nn.log_softmax(logits), np.float64)
    for i, row in enumerate(texts(found)):
        slow = prefix_beams(logp[i][MASK[i]], LENGTH, BEAMS, prior)
        assert row[: len(slow)] == list(slow), i
        np.testing.assert_allclose(
            scores[i][: len(slow)], list(slow.values()), rtol=1e-4, atol=1e-4
        )


def test_a_prefix_beam_that_holds_all_texts_gives_each_its_whole_probability():
    logits = RNG.normal(size=(1, 4, 60)).astype(np.float32) * 2
    logits[..., [*range(3, vocab.KAGGLE.blank)]] = -1e4
    found, scores = beam_search.ctc(
        jnp.asarray(logits), jnp.ones((1, 4), bool), vocab.KAGGLE, 4, 40
    )
    logp = np.asarray(jax.nn.log_softmax(logits), np.float64)[0]
    total: dict[tuple, float] = {}
    for path in itertools.product([0, 1, 2, vocab.KAGGLE.blank], repeat=4):
        text = tuple(c for c, _ in itertools.groupby(path) if c != vocab.KAGGLE.blank)
        total[text] = total.get(text, 0) + math.exp(sum(logp[t, c] for t, c in enumerate(path)))
    best = sorted(total.items(), key=lambda item: -item[1])[:20]
    assert texts(found)[0][:20] == [text for text, _ in best]
    np.testing.assert_allclose(np.exp(scores[0][:20]), [p for _, p in best], rtol=1e-3)


@jax.jit
def logp_of(model, tokens, memory, mask) -> jax.Array:
    return jax.nn.log_softmax(model.decode(tokens, memory, mask))


ctc_loss = jax.jit(functools.partial(optax.ctc_loss, blank_id=vocab.KAGGLE.blank))


def slow_beams(
    model, memory, mask, length: int, beams: int, prior=None
) -> list[tuple[tuple, float]]:
    """Each hypothesis is decoded anew by teacher forcing, one clip and one character at a time."""
    live: list[tuple[tuple, float]] = [((), 0.0)]
    for _ in range(length):
        new = []
        for text, score in live:
            if text[-1:] == (vocab.KAGGLE.end,):
                new.append((text, score))
                continue
            # One length, so that it compiles once; a character does not see later ones.
            tokens = np.full((1, length), vocab.KAGGLE.pad, np.int32)
            tokens[0, : len(text) + 1] = (vocab.KAGGLE.start, *text)
            logp_V = np.asarray(logp_of(model, tokens, memory, mask))[0, len(text)]
            new += [
                ((*text, c), score + float(logp_V[c]) + expected(prior, text, c))
                for c in range(vocab.KAGGLE.size)
                if c not in (vocab.KAGGLE.pad, vocab.KAGGLE.start)
            ]
        live = sorted(new, key=lambda item: -item[1])[:beams]
    return [(tuple(c for c in text if c != vocab.KAGGLE.end), score) for text, score in live]


@pytest.fixture(params=[TRANSFORMER, LSTM], ids=["transformer", "lstm"])
def model(request):
    model = tiny.filled(lambda: request.param.build(6, 59, rngs=nnx.Rngs(3)))
    # Trained models do not write these tokens, but an untrained one may under greedy decoding.
    bias = model.head.bias[...].at[jnp.array([vocab.KAGGLE.pad, vocab.KAGGLE.start])].set(-1e4)
    model.head.bias[...] = bias
    return model


def clips() -> np.ndarray:
    return 3 * RNG.normal(size=(CLIPS, FRAMES, 6)).astype(np.float32)


@priors
def test_the_batched_beam_is_the_slow_one_token_for_token_on_a_hundred_clips(model, prior):
    memory, mask = map(np.asarray, jax.jit(lambda model: model.encode(clips(), MASK))(model))
    found, scores = jax.jit(beam_search.autoregressive, static_argnums=(3, 4, 5, 6))(
        model, memory, mask, vocab.KAGGLE, 4, BEAMS, prior
    )
    for i, row in enumerate(texts(found)):
        slow = slow_beams(model, memory[i : i + 1], mask[i : i + 1], 4, BEAMS, prior)
        assert row == [text for text, _ in slow], i
        np.testing.assert_allclose(scores[i], [score for _, score in slow], rtol=1e-4, atol=1e-4)


def test_a_beam_of_one_is_greedy(model):
    features = clips()

    @jax.jit
    def both(model):
        memory, mask = model.encode(features, MASK)
        found, _ = beam_search.autoregressive(model, memory, mask, vocab.KAGGLE, 5, 1)
        return found[:, 0], decoding.greedy(model, memory, mask, vocab.KAGGLE, 5)[0]

    for ours, theirs in zip(*map(np.asarray, both(model)), strict=True):
        assert vocab.KAGGLE.decode(ours) == vocab.KAGGLE.decode(theirs)


@pytest.mark.parametrize("weight, prior", [(0.4, None), (1.0, None), (0.4, PRIOR)])
@pytest.mark.long
def test_the_joint_search_takes_the_text_with_the_best_score_of_heads_and_prior(
    model, weight, prior
):
    features, mask = clips()[:10], MASK[:10]

    @jax.jit
    def every(model):
        memory, memory_mask = model.encode(features, mask)
        of = vocab.KAGGLE, LENGTH, BEAMS
        attended, _ = beam_search.autoregressive(model, memory, memory_mask, *of, prior)
        logits = model.ctc(memory)
        aligned, _ = beam_search.ctc(logits, memory_mask, *of, prior)
        found = beam_search.joint(model, memory, memory_mask, *of, weight, prior)
        return memory, memory_mask, logits, jnp.concatenate([attended, aligned], 1), found[:, None]

    memory, memory_mask, logits, candidates, found = map(np.asarray, every(model))
    for i, (chosen,) in enumerate(texts(found)):
        scores = {}
        for text in texts(candidates)[i]:
            tokens = np.full((1, LENGTH + 1), vocab.KAGGLE.pad, np.int32)
            tokens[0, : len(text) + 1] = (vocab.KAGGLE.start, *text)
            here = memory[i : i + 1], memory_mask[i : i + 1]
            logp_TV = np.asarray(logp_of(model, tokens, *here))[0]
            attention = sum(float(logp_TV[t, c]) for t, c in enumerate((*text, vocab.KAGGLE.end)))
            gone, pads = (1.0 - x for x in (here[1], tokens[:, 1:] != vocab.KAGGLE.pad))
            loss = ctc_loss(logits[i : i + 1], gone, tokens[:, 1:], pads)
            scores[text] = (1 - weight) * attention - weight * float(loss[0])
            whole = enumerate((*text, vocab.KAGGLE.end))
            scores[text] += sum(expected(prior, text[:t], c) for t, c in whole)
        assert scores[chosen] == pytest.approx(max(scores.values()), rel=1e-4)
