"""Transcription: losses against slow references, and the heads."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx import errors
from aslx.decode import decoding, decoding_options
from aslx.kernels import mode as modes
from aslx.schema import vocab
from aslx.tasks import heads, transcription
from tests import tiny

PAD, START, END = vocab.KAGGLE.pad, vocab.KAGGLE.start, vocab.KAGGLE.end


def batch(*phrases: list[int], width: int = 4, weight=None) -> dict:
    tokens = np.full((len(phrases), width), PAD, np.int32)
    for row, phrase in enumerate(phrases):
        tokens[row, : len(phrase)] = phrase
    weight = np.ones(len(phrases)) if weight is None else np.array(weight)
    return {"tokens": jnp.asarray(tokens), "weight": jnp.asarray(weight, jnp.float32)}


class Scores(tiny.StandIn):
    """A network with given outputs."""

    mode = modes.PLAIN

    def __init__(self, logits):
        self.logits = jnp.asarray(logits, jnp.float32)

    def encode(self, inputs, mask, key=None):
        return inputs, mask

    def ctc(self, memory):
        return self.logits

    def decode(self, tokens, memory, mask, key=None):
        return self.logits

    def positions(self, inputs, mask, key=None):
        return self.logits


def ctc_reference(logits_MV: np.ndarray, phrase: list[int]) -> float:
    """-log of the summed probability of all paths that spell the phrase."""
    p = np.exp(logits_MV - np.logaddexp.reduce(logits_MV, -1, keepdims=True))
    total = 0.0
    for path in itertools.product(sorted({*phrase, PAD}), repeat=len(p)):
        text = [c for c, _ in itertools.groupby(path) if c != PAD]
        if text == phrase:
            total += np.prod([p[t, c] for t, c in enumerate(path)])
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("phrase", [[], [3], [3, 3], [3, 5], [3, 5, 3], [7, 7, 7]])
def test_the_ctc_loss_is_the_sum_over_all_paths(phrase):
    logits = np.random.default_rng(0).normal(size=(1, 5, 60))
    mask = jnp.ones((1, 5), bool)
    head = heads.CTC()
    total, count, _ = head.loss(
        Scores(logits), jnp.zeros((1, 5, 1)), mask, batch(phrase), None, vocab.KAGGLE
    )
    assert float(total) == pytest.approx(ctc_reference(logits[0], phrase), rel=1e-4)
    assert float(count) == len(phrase) + 1


def ctc_forward(logits_MV: np.ndarray, phrase: list[int]) -> float:
    """The forward algorithm (Graves et al. 2006, section 4.1) in float64; inf if no path fits."""
    logp = logits_MV - np.logaddexp.reduce(logits_MV, -1, keepdims=True)
    states = [PAD]
    for c in phrase:
        states += [c, PAD]
    a = np.full(len(states), -np.inf)
    a[0] = 0.0  # Before the first frame.
    for t, row in enumerate(logp):
        new = np.full_like(a, -np.inf)
        for s, c in enumerate(states):
            ways = [a[s]] + [a[s - 1]] * (s > 0 and (t > 0 or s == 1))
            if t > 0 and s > 1 and c not in (PAD, states[s - 2]):
                ways.append(a[s - 2])
            new[s] = np.logaddexp.reduce(ways) + row[c]
        a = new
    return -np.logaddexp.reduce(a[-2:])


def test_the_ctc_loss_equals_the_forward_algorithm_for_phrases_of_every_length():
    rng = np.random.default_rng(1)
    logits, frames = 3 * rng.normal(size=(60, 12, 60)), rng.integers(1, 13, 60)
    # Few different characters, so that equal neighbours occur; some phrases are too long.
    phrases = [rng.integers(0, 3, rng.integers(0, 10)).tolist() for _ in range(60)]
    mask, rows = jnp.asarray(np.arange(12) < frames[:, None]), batch(*phrases, width=10)

    def total(weights):
        given = rows | {"weight": jnp.asarray(weights, jnp.float32)}
        return heads.CTC().loss(
            Scores(logits), jnp.zeros((60, 12, 1)), mask, given, None, vocab.KAGGLE
        )[:2]

    losses, counts = jax.jit(jax.vmap(total))(np.eye(60))
    fitting = 0
    for x, n, phrase, loss, count in zip(logits, frames, phrases, losses, counts, strict=True):
        expected = ctc_forward(x[:n], phrase)
        fits = np.isfinite(expected)
        fitting += fits
        assert float(count) == (len(phrase) + 1 if fits else 0)
        assert float(loss) == pytest.approx(expected if fits else 0.0, rel=1e-4, abs=1e-4)
    assert 20 < fitting < 55 and [] in phrases


def test_a_phrase_that_does_not_fit_its_frames_counts_for_nothing():
    logits, mask = np.zeros((2, 3, 60)), jnp.ones((2, 3), bool)
    rows = batch([1, 1, 2], [1, 2, 3])  # 1, 1 needs a blank in between, and so four frames.
    total, count, _ = heads.CTC().loss(
        Scores(logits), jnp.zeros((2, 3, 1)), mask, rows, None, vocab.KAGGLE
    )
    assert np.isfinite(float(total)) and float(count) == 4


@pytest.mark.parametrize(
    "head, width, positions",
    [(heads.CTC(), 60, 6), (heads.Autoregressive(), 62, 5), (heads.PerPosition(), 62, 6)],
)
@pytest.mark.long
def test_padding_rows_of_a_batch_change_no_loss_and_no_gradient(head, width, positions):
    logits = np.random.default_rng(0).normal(size=(3, positions, width))
    mask, x = jnp.ones((3, positions), bool), jnp.zeros((3, positions, 1))

    def loss(logits, rows):
        n = len(logits)
        total, count, _ = head.loss(Scores(logits), x[:n], mask[:n], rows, None, vocab.KAGGLE)
        return total / count

    filled = batch([1, 2], [3], [], weight=[1, 1, 0])
    alone = batch([1, 2], [3])
    a, da = jax.value_and_grad(loss)(jnp.asarray(logits), filled)
    b, db = jax.value_and_grad(loss)(jnp.asarray(logits[:2]), alone)
    assert float(a) == pytest.approx(float(b), rel=1e-6)
    np.testing.assert_allclose(da[:2], db, atol=1e-6)
    assert not da[2].any()


def test_teacher_forcing_trains_the_characters_and_then_the_end():
    # A network that is certain of the right characters has no loss.
    target = [5, 9, END, PAD, PAD]
    logits = 50.0 * np.eye(62)[target][None]
    head = heads.Autoregressive(label_smoothing=0.0)
    total, count, sums = head.loss(
        Scores(logits),
        jnp.zeros((1, 3, 1)),
        jnp.ones((1, 3), bool),
        batch([5, 9]),
        None,
        vocab.KAGGLE,
    )
    assert float(total) < 1e-6 and float(count) == 3
    assert [float(v) for v in sums["token_accuracy"]] == [3, 3]


def test_the_per_position_baseline_counts_padding():
    target = [START, 5, 9, END, PAD, PAD]
    logits = 50.0 * np.eye(62)[target][None]
    total, count, _ = heads.PerPosition().loss(
        Scores(logits),
        jnp.zeros((1, 3, 1)),
        jnp.ones((1, 3), bool),
        batch([5, 9]),
        None,
        vocab.KAGGLE,
    )
    assert float(total) < 1e-6 and float(count) == 6


def test_class_weights_scale_the_losses_of_characters():
    weights = tuple(2.0 if i == 5 else 1.0 for i in range(62))
    logits, x, mask = np.zeros((1, 5, 62)), jnp.zeros((1, 3, 1)), jnp.ones((1, 3), bool)

    def total(phrase, **changes):
        head = heads.Autoregressive(label_smoothing=0.0, **changes)
        return float(head.loss(Scores(logits), x, mask, batch(phrase), None, vocab.KAGGLE)[0])

    assert total([9], class_weights=weights) == pytest.approx(total([9]))
    assert total([5], class_weights=weights) == pytest.approx(total([5]) * 1.5)

    with pytest.raises(errors.BadInput, match="61 class_weights: the alphabet has 62 ids"):
        total([5], class_weights=weights[1:])


@pytest.mark.parametrize(
    ("head", "positions", "more"),
    [(heads.CTC(), 6, 1), (heads.Autoregressive(), 5, 3), (heads.PerPosition(), 6, 3)],
)
def test_a_phrase_too_long_for_its_row_counts_nothing_in_the_loss(head, positions, more):
    task = transcription.Task(head=head, max_tokens=4, alphabet=vocab.Alphabet(characters="жїґ"))
    width = len(task.alphabet) + more
    logits = np.random.default_rng(0).normal(size=(2, positions, width))
    mask, x = jnp.ones((2, positions), bool), jnp.zeros((2, positions, 1))
    tokens = jnp.array([[0, 2, vocab.NONE, vocab.NONE], [vocab.LONG] * 4])

    def loss(n):
        rows = {"tokens": tokens[:n], "weight": jnp.ones(n)}
        return task.loss(Scores(logits[:n]), x[:n], mask[:n], rows, None)

    both, alone = (jax.tree.map(float, loss(n)) for n in (2, 1))
    assert both == alone and both[0] > 0


def test_the_data_set_decides_the_alphabet_and_a_run_that_goes_on_keeps_its_own():
    task = transcription.Task(fallback="ab", fallback_below=0.1)
    settled = task.settled({"alphabet": "abї"})
    assert settled.alphabet.characters == "abї" and settled.kept == {"alphabet": "abї"}
    assert task.settled({"alphabet": "cba"} | settled.kept) == settled
    assert task.settled({}).alphabet == vocab.KAGGLE
    with pytest.raises(errors.BadInput, match="'b', which no id stands for"):
        task.settled({"alphabet": "aї"})


def test_an_option_decodes_a_network_with_both_heads_by_ctc_alone():
    both = transcription.Task(head=heads.Autoregressive(ctc_weight=0.3), beams=4)
    options = decoding_options.Options(ctc=True, beams=1)
    logits = np.random.default_rng(0).normal(size=(2, 5, 60))
    given = Scores(logits), jnp.zeros((2, 5, 1)), jnp.ones((2, 5), bool)
    found = both.searching(options).predict(*given)
    wanted = transcription.Task(head=heads.CTC()).predict(*given)
    np.testing.assert_array_equal(found, wanted)
    for head in (heads.Autoregressive(), heads.PerPosition()):
        with pytest.raises(ValueError, match="no two heads: leave out --ctc and --ctc-weight"):
            transcription.Task(head=head).searching(options)


def test_an_option_sets_the_weight_of_ctc_in_joint_decoding():
    both = transcription.Task(head=heads.Autoregressive(ctc_weight=0.3), beams=4)
    assert both.searching(decoding_options.Options(beams=2)).head == both.head
    for weight in (0.9, 0.0):
        read = both.searching(decoding_options.Options(ctc_weight=weight))
        assert (read.head, read.beams) == (heads.Autoregressive(ctc_weight=weight), 4)
    with pytest.raises(ValueError, match="leave out --ctc and --ctc-weight"):
        transcription.Task(head=heads.CTC()).searching(decoding_options.Options(ctc_weight=0.9))


def test_options_switch_off_beams_and_the_fallback_of_a_trained_run():
    trained = transcription.Task(beams=4, fallback="no text", fallback_below=0.2)
    assert trained.searching(decoding_options.Options()) == trained
    off = trained.searching(decoding_options.Options(beams=1, fallback=""))
    assert off == transcription.Task()
    with pytest.raises(errors.BadInput, match="beams 0: give 1 or more"):
        trained.searching(decoding_options.Options(beams=0))


def test_the_answers_of_an_evaluation_equal_those_of_the_exported_rows():
    rng, task = np.random.default_rng(0), transcription.Task()
    tokens = (
        jnp.asarray(rng.integers(0, vocab.KAGGLE.size, (5, 9)).astype(np.int32))
        .at[0]
        .set(vocab.KAGGLE.pad)
    )
    answers = decoding.answers(
        tokens, jnp.asarray(rng.random((5, 9))).at[1, 0].set(0), vocab.KAGGLE
    )
    found = task.decode(np.asarray(answers))
    assert found == [task.read(row) for row in np.asarray(decoding.rows(answers, vocab.KAGGLE))]
    assert found[0].text == "" and all(found[i].text for i in range(1, 5))
