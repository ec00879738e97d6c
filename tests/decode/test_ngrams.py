"""The prior of texts against its formula over dictionaries and strings."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx import errors
from aslx.decode import ngrams
from aslx.schema import vocab

BEGIN, END = "<", ">"  # Neither is among the characters.


def slow_logp(phrases: list[str], order: int, text: str) -> float:
    """Witten and Bell's formula, computed anew for each character of a text and for its end."""

    def p(history: str, symbol: str) -> float:
        followers: dict[str, int] = {}
        for phrase in phrases:
            whole = BEGIN + phrase + END
            for i in range(1, len(whole)):
                if whole[:i].endswith(history):
                    followers[whole[i]] = followers.get(whole[i], 0) + 1
        n, kinds = sum(followers.values()), len(followers)
        lower = p(history[1:], symbol) if history else 1 / (len(vocab.KAGGLE.characters) + 1)
        return (followers.get(symbol, 0) + kinds * lower) / (n + kinds) if n else lower

    whole = BEGIN + text + END
    return sum(
        math.log(p(whole[max(0, i - order + 1) : i], whole[i])) for i in range(1, len(whole))
    )


def logp(prior: ngrams.Prior, text: str) -> float:
    state, total = 0, 0.0
    for symbol in (*vocab.KAGGLE.encode(text).tolist(), len(vocab.KAGGLE)):
        total += float(prior.logp[state, symbol])
        state = prior.after[state, symbol]
    return total


texts = st.text("ab3 ", max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), st.integers(2, 5), texts)
def test_the_automaton_gives_each_text_what_the_formula_does(phrases, order, text):
    found = logp(ngrams.count(phrases, order, vocab.KAGGLE), text)
    assert found == pytest.approx(slow_logp(phrases, order, text), rel=1e-4)


def test_in_every_state_the_probabilities_sum_to_one(tmp_path):
    prior = ngrams.count(["3 creek road", "www.creek.org", ""], 4, vocab.KAGGLE)
    np.testing.assert_allclose(np.exp(prior.logp).sum(1), 1, rtol=1e-5)
    (tmp_path / "prior.npz").write_bytes(prior.dumps())
    again = ngrams.read(tmp_path / "prior.npz", vocab.KAGGLE)
    np.testing.assert_array_equal(again.logp, prior.logp)
    np.testing.assert_array_equal(again.after, prior.after)


LOGP, AFTER = (np.zeros((3, len(vocab.KAGGLE) + 1), kind) for kind in (np.float32, np.int32))


@pytest.mark.parametrize(
    "columns",
    [
        {"logp": LOGP},
        {"logp": LOGP[:0], "after": AFTER[:0]},
        {"logp": LOGP[0, 0], "after": AFTER[0, 0]},
        {"logp": LOGP, "after": AFTER[:2]},
        {"logp": LOGP[:, 1:], "after": AFTER[:, 1:]},
        {"logp": LOGP, "after": AFTER + 3},
        {"logp": LOGP, "after": AFTER - 1},
        {"logp": LOGP, "after": LOGP},
        {"logp": LOGP + np.nan, "after": AFTER},
        {"logp": np.array([print]), "after": AFTER},
    ],
)
def test_a_file_that_is_no_model_is_named(tmp_path, columns):
    path = tmp_path / "prior-5.npz"
    np.savez(path, **columns)
    with pytest.raises(errors.BadInput, match=r"prior-5.npz"):
        ngrams.read(path, vocab.KAGGLE)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(errors.BadInput, match=r"prior-5.npz is damaged"):
        ngrams.read(path, vocab.KAGGLE)


def test_an_order_that_is_none_is_refused():
    with pytest.raises(ValueError, match="--prior-order 1"):
        ngrams.count(["a"], 1, vocab.KAGGLE)
