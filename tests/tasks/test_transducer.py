"""The transducer against slow references: its loss and gradient, its greedy reading, its search."""

import functools
import itertools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from aslx import errors
from aslx.decode import decoding, decoding_options, ngrams, transducer_search
from aslx.models import streaming
from aslx.schema import vocab
from aslx.tasks import heads, losses, transcription, transducer
from tests import tiny

ABC = vocab.Alphabet(characters="abc")
BLANK = PAD = ABC.pad
CLIPS, POSITIONS, LENGTH = 100, 6, 5
RNG = np.random.default_rng(0)
CFG = streaming.Config(dim=12, num_layers=1, num_heads=2, kernel=3, chunk=4, past=8, context=2)
FEATURES = jnp.array(RNG.normal(size=(CLIPS, 2 * POSITIONS, 4)), jnp.float32)
MASK = jnp.arange(2 * POSITIONS) < 2 * RNG.integers(0, POSITIONS + 1, CLIPS)[:, None]
PRIOR = ngrams.count(["ab", "abc", "ca", "aab"], 3, ABC).weighted(0.6)


@pytest.fixture(scope="module")
def model() -> streaming.Network:
    """Its blanks are made rarer than those of random weights, so that texts are long enough."""
    network = tiny.filled(lambda: CFG.build(4, len(ABC), rngs=nnx.Rngs(0)))
    network.joint.head.kernel[...] *= 4
    return network


@pytest.fixture(scope="module")
def memory(model) -> tuple[jax.Array, jax.Array]:
    return jax.jit(lambda m: m.encode(FEATURES, MASK))(model)


def forward(logits_MUV: np.ndarray, text: list[int]) -> float:
    """Graves 2012, equations 16 to 19, in float64."""
    logp = logits_MUV - np.logaddexp.reduce(logits_MUV, -1, keepdims=True)
    a = np.full((len(logp) + 1, len(text) + 1), -np.inf)
    a[0, 0] = 0.0
    for t, u in itertools.product(range(len(logp) + 1), range(len(text) + 1)):
        if t:
            a[t, u] = a[t - 1, u] + logp[t - 1, u, BLANK]
        if u and t < len(logp):
            a[t, u] = np.logaddexp(a[t, u], a[t, u - 1] + logp[t, u - 1, text[u - 1]])
    return -a[-1, -1]


def alignments(logits_MUV: np.ndarray, text: list[int]) -> float:
    """The sum over all orders of blanks and characters that end in a blank."""
    logp = logits_MUV - np.logaddexp.reduce(logits_MUV, -1, keepdims=True)
    total, steps = 0.0, len(logp) + len(text)
    for written in itertools.combinations(range(steps - 1), len(text)):
        t = u = 0
        score = 0.0
        for step in range(steps):
            if step in written:
                score += logp[t, u, text[u]]
                u += 1
            else:
                score += logp[t, u, BLANK]
                t += 1
        total += math.exp(score)
    return -math.log(total)


def rows(texts: list[list[int]], width: int = LENGTH) -> jax.Array:
    return jnp.array([text + [PAD] * (width - len(text)) for text in texts], jnp.int32)


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    rng = np.random.default_rng(seed)
    texts = [
        [],
        [1],
        *(rng.integers(0, 3, rng.integers(0, LENGTH + 1)).tolist() for _ in range(38)),
    ]
    logits = 3 * rng.normal(size=(40, 7, LENGTH + 1, len(ABC) + 1)).astype(np.float32)
    return logits, rng.integers(1, 8, 40), texts


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_forward_algorithms_for_texts_and_clips_of_every_length(seed):
    logits, lengths, texts = random_case(seed)
    mask = np.arange(7) < lengths[:, None]
    found = jax.jit(lambda x, mask, text: losses.transducer(x, mask, text, ABC))(
        logits, mask, rows(texts)
    )
    wanted = [forward(x[:n], text) for x, n, text in zip(logits, lengths, texts, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("text", [[], [2], [2, 2], [0, 1, 0]])
def test_the_loss_is_the_sum_over_all_alignments(text):
    logits = np.random.default_rng(3).normal(size=(4, LENGTH + 1, len(ABC) + 1))
    found = losses.transducer(jnp.array(logits[None]), jnp.ones((1, 4), bool), rows([text]), ABC)
    assert float(found[0]) == pytest.approx(alignments(logits, text), rel=1e-5)


def test_the_gradient_is_that_of_the_reference_and_nothing_comes_from_what_is_not_there():
    logits, lengths, texts = random_case(4)
    mask = jnp.arange(7) < lengths[:, None]
    gradient = jax.jit(jax.grad(lambda x: losses.transducer(x, mask, rows(texts), ABC).sum()))
    found, step = np.asarray(gradient(logits)), 1e-5
    for row in range(6):
        n, text = lengths[row], texts[row]
        assert not found[row, n:].any() and not found[row, :, len(text) + 1 :].any()
        for at in itertools.product(range(n), range(len(text) + 1), range(len(ABC) + 1)):
            more, less = (logits[row, :n].astype(float) for _ in range(2))
            more[at] += step
            less[at] -= step
            slope = (forward(more, text) - forward(less, text)) / (2 * step)
            assert found[row][at] == pytest.approx(slope, abs=2e-4)


def test_a_clip_without_a_position_counts_for_nothing_and_an_empty_text_costs_its_blanks(model):
    batch = {"tokens": rows([[0, 1], [0, 1], []]), "weight": np.ones(3, np.float32)}
    mask = np.array([[True] * 12, [False] * 12, [True] * 12])
    head = transducer.Transducer(ctc_weight=0)
    loss = jax.jit(lambda m, x, mask, batch: head.loss(m, x, mask, batch, None, ABC)[:2])
    total, count = loss(model, FEATURES[:3], mask, batch)
    kept = batch | {"weight": np.array([1, 0, 1], np.float32)}
    wanted, _ = loss(model, FEATURES[:3], np.ones_like(mask), kept)
    assert float(total) == pytest.approx(float(wanted), rel=1e-5) and float(count) == 3 + 1


def logp_of(model, memory_D, text: tuple[int, ...]) -> np.ndarray:
    last = ([PAD] * CFG.context + list(text))[-CFG.context :]
    return _logp(model, memory_D, np.array(last))


@jax.jit
def _logp_jitted(model, memory_D, last_C):
    return jax.nn.log_softmax(model.joined(memory_D, model.predicted(last_C)))


@functools.cache
def _table() -> dict:
    return {}


def _logp(model, memory_D, last_C) -> np.ndarray:
    key = (memory_D.tobytes(), last_C.tobytes())
    if key not in _table():
        _table()[key] = np.asarray(_logp_jitted(model, memory_D, last_C), float)
    return _table()[key]


def clips(memory: tuple[jax.Array, jax.Array]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield from zip(*map(np.asarray, memory), strict=True)


def slow_greedy(model, memory_MD, per_position: int) -> tuple[int, ...]:
    text: tuple[int, ...] = ()
    for memory_D in memory_MD:
        for _ in range(per_position):
            best = int(logp_of(model, memory_D, text).argmax())
            if best == BLANK:
                break
            text += (best,)
    return text


def test_the_greedy_text_is_a_slow_readers_on_100_clips(model, memory):
    task = transcription.Task(head=transducer.Transducer(), max_tokens=2 * POSITIONS, alphabet=ABC)
    answers = jax.jit(lambda m: task.predict(m, FEATURES, MASK))(model)
    wanted = [slow_greedy(model, m[real], 2) for m, real in clips(memory)]
    assert [a.text for a in task.decode(np.asarray(answers))] == [
        ABC.decode(np.array(t, int)) for t in wanted
    ]
    assert len(set(wanted)) > 30 and () in wanted


def test_a_stream_reads_position_by_position_what_the_clip_has(model, memory):
    memory_BMD, mask_BM = memory
    last = transducer_search.start(CLIPS, CFG.context, ABC)
    whole, _, _ = transducer_search.greedy(model, last, memory_BMD, mask_BM, ABC, 2)
    parts = []
    for at in range(POSITIONS):
        now = slice(at, at + 1)
        ids, _, last = transducer_search.greedy(
            model, last, memory_BMD[:, now], mask_BM[:, now], ABC, 2
        )
        parts.append(ids)
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


def expects(prior: ngrams.Prior | None, text: tuple[int, ...], symbol: int) -> float:
    if prior is None:
        return 0.0
    state = 0
    for c in text:
        state = prior.after[state, c]
    return float(prior.logp[state, symbol])


def slow_beams(model, memory_MD, count: int, per_position: int, prior=None) -> list[tuple]:
    """Algorithm 1 of Saon et al. 2020, by dictionaries."""
    kept = {(): 0.0}
    for memory_D in memory_MD:
        done: dict[tuple, float] = {}
        growing = kept
        for i in range(per_position + 1):
            longer = {}
            for text, score in growing.items():
                logp = logp_of(model, memory_D, text)
                done[text] = np.logaddexp(done.get(text, -np.inf), score + logp[BLANK])
                if i < per_position and len(text) < LENGTH:
                    for c in range(len(ABC)):
                        longer[*text, c] = score + logp[c] + expects(prior, text, c)
            growing = dict(sorted(longer.items(), key=lambda pair: -pair[1])[:count])
        kept = dict(sorted(done.items(), key=lambda pair: -pair[1])[:count])
    ended = {text: score + expects(prior, text, len(ABC)) for text, score in kept.items()}
    return sorted(ended.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize("prior", [None, PRIOR], ids=["alone", "prior"])
def test_the_beams_are_a_slow_searchs_on_100_clips(model, memory, prior):
    search = jax.jit(
        lambda m, x, mask: transducer_search.beams(m, x, mask, ABC, LENGTH, 4, 2, prior)
    )
    texts, scores = map(np.asarray, search(model, *memory))
    for row, (memory_MD, real) in enumerate(clips(memory)):
        wanted = slow_beams(model, memory_MD[real], 4, 2, prior)
        found = [tuple(int(c) for c in text if c != PAD) for text in texts[row]]
        assert found[: len(wanted)] == [text for text, _ in wanted]
        np.testing.assert_allclose(scores[row, : len(wanted)], [s for _, s in wanted], rtol=1e-4)
        assert (scores[row, len(wanted) :] == -np.inf).all()


def test_the_search_finds_likelier_texts_than_greedy_reading(model, memory):
    @jax.jit
    def mean_losses(model, memory_BMD, mask_BM):
        best, _ = transducer_search.beams(model, memory_BMD, mask_BM, ABC, LENGTH, 4, 2)
        last = transducer_search.start(CLIPS, CFG.context, ABC)
        greedy, sure, _ = transducer_search.greedy(model, last, memory_BMD, mask_BM, ABC, 2)
        greedy, _ = decoding.packed(greedy, sure, ABC, LENGTH)
        found = []
        for tokens in (best[:, 0], greedy):
            context = transducer_search.contexts(tokens, CFG.context, ABC)
            logits = model.joined(memory_BMD[:, :, None], model.predicted(context)[:, None])
            found.append(losses.transducer(logits, mask_BM, tokens, ABC).mean())
        return found

    best, greedy = mean_losses(model, *memory)
    assert best < greedy


@pytest.mark.long
def test_a_network_learns_texts_by_heart():
    """The last characters matter: the same hand is spelled a, then b, then c."""
    cfg = streaming.Config(dim=16, num_layers=1, num_heads=2, kernel=3, chunk=4, past=8, context=1)
    model, head = jax.jit(lambda: cfg.build(1, 3, rngs=nnx.Rngs(0)))(), transducer.Transducer()
    texts = [[0, 1, 2], [0, 1], [0], []]
    shown = np.zeros((4, 8, 1), np.float32)
    for row, text in enumerate(texts):
        shown[row, 2 : 2 + 2 * len(text) : 2] = 1
    inputs, mask = jnp.array(shown), jnp.ones((4, 8), bool)
    batch = {"tokens": rows(texts), "weight": np.ones(4, np.float32)}
    optimiser = optax.adam(2e-2)

    @jax.jit
    def train(model):
        def step(carry, _):
            model, state = carry
            gradient = jax.grad(lambda m: head.loss(m, inputs, mask, batch, None, ABC)[0])(model)
            update, state = optimiser.update(gradient, state)
            return (optax.apply_updates(model, update), state), None

        return jax.lax.scan(step, (model, optimiser.init(model)), None, length=300)[0][0]

    task = transcription.Task(head=head, max_tokens=LENGTH, alphabet=ABC)
    answers = jax.jit(lambda m: task.predict(m, inputs, mask))(train(model))
    assert [a.text for a in task.decode(np.asarray(answers))] == ["abc", "ab", "a", ""]


def test_what_the_head_or_the_network_lacks_is_named():
    with pytest.raises(errors.BadInput, match="per_position 0"):
        transducer.Transducer(per_position=0)
    with pytest.raises(errors.BadInput, match="context -1"):
        streaming.Config(context=-1)
    network = streaming.Config(dim=12, num_layers=1, num_heads=2, kernel=3, chunk=4, past=8).build(
        4, 3, rngs=nnx.Rngs(0)
    )
    with pytest.raises(errors.BadInput, match=r"--model\.context 2"):
        network.predicted(jnp.zeros((1, 2), jnp.int32))
    head = transducer.Transducer()
    assert head.searching(decoding_options.Options(ctc=True)) == heads.CTC()
    with pytest.raises(errors.BadInput, match="no two heads"):
        head.searching(decoding_options.Options(ctc_weight=0.5))
