"""The parts of the losses of transcribers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx.schema import vocab
from aslx.tasks import heads, losses
from tests.tasks.test_transcription import Scores, batch


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 58), max_size=6), min_size=3, max_size=3))
def test_a_reversed_text_is_its_characters_from_the_last_to_the_first(phrases):
    rows = batch(*phrases, width=6)["tokens"]
    found = losses.backwards(rows, vocab.KAGGLE)
    expected = batch(*(phrase[::-1] for phrase in phrases), width=6)["tokens"]
    np.testing.assert_array_equal(found, expected)


class Both(Scores):
    """A network whose two decoders are certain of [5, 9], one of them from the end."""

    def decode_backwards(self, tokens, memory, mask, key=None):
        np.testing.assert_array_equal(tokens[0, :3], [vocab.KAGGLE.start, 9, 5])
        return 50.0 * jax.nn.one_hot(jnp.array([[9, 5, vocab.KAGGLE.end, 0, 0]]), 62)


def test_the_reversed_text_adds_its_weighted_loss_and_no_characters():
    x, mask = jnp.zeros((1, 3, 1)), jnp.ones((1, 3), bool)

    def total(model, **changes):
        head = heads.Autoregressive(label_smoothing=0.0, **changes)
        return head.loss(model, x, mask, batch([5, 9]), None, vocab.KAGGLE)

    model = Both(50.0 * np.eye(62)[[5, 9, vocab.KAGGLE.end, 0, 0]][None])
    right, count, sums = total(model, reverse_weight=0.5)
    assert float(right) < 1e-6 and float(count) == 3 and float(sums["reverse_loss"][1]) == 3
    model.decode_backwards = model.decode
    wrong, _, sums = total(model, reverse_weight=0.5)
    assert float(wrong) == pytest.approx(0.5 * float(sums["reverse_loss"][0])) and float(wrong) > 10
    assert "reverse_loss" not in total(model)[2]


def test_dropout_begins_late_and_only_in_training():
    late = losses.LateDropout(rate=0.5, start=0.25)
    memory, key = jnp.ones((2, 64, 32)), jax.random.key(0)
    progress = {"progress": jnp.array([0.2, 0.25])}
    before, after = late(memory, progress, key)
    np.testing.assert_array_equal(before, memory[0])
    assert float((after == 0).mean()) == pytest.approx(0.5, abs=0.05)
    assert float(after.mean()) == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(late(memory, {}, None), memory)
    np.testing.assert_array_equal(losses.LateDropout()(memory, {}, key), memory)


@pytest.mark.parametrize("head", [heads.CTC, heads.Autoregressive])
def test_both_kinds_of_head_read_the_memory_after_late_dropout(head):
    seen = []

    class Reader(Scores):
        def ctc(self, memory):
            seen.append(memory)
            return self.logits

        def decode(self, tokens, memory, mask, key=None):
            seen.append(memory)
            return self.logits

    model = Reader(np.zeros((1, 5, 60 if head is heads.CTC else 62)))
    x, rows = jnp.ones((1, 5, 64)), batch([5, 9]) | {"progress": jnp.ones(1)}
    dropping = head(late_dropout=losses.LateDropout(rate=0.9))
    dropping.loss(model, x, jnp.ones((1, 5), bool), rows, jax.random.key(0), vocab.KAGGLE)
    assert len(seen) == 1 and float((seen[0] == 0).mean()) > 0.7


def test_clips_too_short_for_their_phrase_are_counted_and_change_no_loss():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 60)), jnp.float32)
    mask = jnp.arange(5) < jnp.array([5, 1, 5, 5])[:, None]
    rows = batch([3, 4], [3, 4], [5, 5, 5], [5, 5, 5, 5], width=4)  # Equal neighbours need a blank.
    total, count, sums = losses.ctc(Scores(logits), logits, mask, rows, vocab.KAGGLE)
    fitting = jnp.array([0, 2])
    few = {name: x[fitting] for name, x in rows.items()}
    alone, same, none = losses.ctc(
        Scores(logits[fitting]), logits, mask[fitting], few, vocab.KAGGLE
    )
    assert float(total) == float(alone) and float(count) == float(same) == 7
    assert [float(x) for x in sums["unaligned"]] == [2, 0] and float(none["unaligned"][0]) == 0
    weightless, _, sums = losses.ctc(
        Scores(logits), logits, mask, rows | {"weight": jnp.zeros(4)}, vocab.KAGGLE
    )
    assert float(weightless) == float(sums["unaligned"][0]) == 0
