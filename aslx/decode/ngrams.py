"""A character n-gram model of phrases, whose probabilities the searches add to the network's.

Interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and Goodman 1999, section 2.5):
p(c | h) = (count(h c) + kinds(h) p(c | h')) / (count(h) + kinds(h)), where kinds(h) is how many
different symbols followed the history h, and h' is h without its first symbol. Below the empty
history all symbols are equally likely. A history that was never seen counts as its longest end that
was. So the model is an automaton whose states are the seen histories, and takes one table look-up a
character.
Shape suffixes: Z states, S symbols: an alphabet's characters, then the end of the text.
"""

import collections
import dataclasses
import io
from collections.abc import Iterable

import numpy as np

from aslx import errors
from aslx.schema import vocab
from aslx.storage import files, npy_files

_BEGIN = (-1,)  # The history of a text that has no character yet.


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """The automaton as tables. Texts begin in state 0."""

    logp: np.ndarray
    """f32[Z, S]: log-probability of each symbol in each state."""
    after: np.ndarray
    """i32[Z, S]: the state after each symbol in each state."""

    @property
    def end(self) -> int:
        """The symbol of a text's end, the last."""
        return self.logp.shape[1] - 1

    def weighted(self, weight: float) -> "Prior":
        """The prior with all log-probabilities multiplied by a weight."""
        return Prior(weight * self.logp, self.after)

    def dumps(self) -> bytes:
        """The bytes of an npz file."""
        out = io.BytesIO()
        np.savez_compressed(out, logp=self.logp, after=self.after)
        return out.getvalue()


def read(path: files.Path, alphabet: vocab.Alphabet) -> Prior:
    """A prior from a file of what `dumps` gave; BadInput where the file is damaged, or of
    another alphabet."""
    found = npy_files.npz(path, ["logp", "after"])
    logp, after = found["logp"], found["after"]
    states = len(logp) if logp.ndim else 0
    shaped = logp.shape == after.shape == (states, len(alphabet) + 1) and states
    typed = (logp.dtype, after.dtype) == (np.float32, np.int32)
    if not shaped or not typed or after.min() < 0 or after.max() >= states or np.isnan(logp).any():
        raise errors.BadInput(f"{path} is damaged: it holds no n-gram model: remove it")
    return Prior(logp, after)


def count(phrases: Iterable[str], order: int, alphabet: vocab.Alphabet) -> Prior:
    """The model of some phrases with n-grams of `order` characters. BadInput where the order is not
    2 to 5, or a phrase has a character without an id."""
    if not 2 <= order <= 5:
        raise errors.BadInput(f"--prior-order {order}: an n-gram has 2 to 5 characters")
    end = len(alphabet)
    counts: dict[tuple, np.ndarray] = collections.defaultdict(lambda: np.zeros(end + 1))
    for state in ((), _BEGIN):  # These histories exist whatever the phrases are.
        counts[state] *= 1
    for phrase in phrases:
        text = (*_BEGIN, *alphabet.encode(phrase).tolist(), end)
        for i in range(1, len(text)):
            for first in range(max(0, i - order + 1), i + 1):
                counts[text[first:i]][text[i]] += 1
    p = {}
    for history in sorted(counts, key=len):
        n_S, lower_S = counts[history], p[history[1:]] if history else np.ones(end + 1) / (end + 1)
        kinds = max(1, np.count_nonzero(n_S))
        p[history] = (n_S + kinds * lower_S) / (n_S.sum() + kinds)
    states = {h: i for i, h in enumerate(sorted(p, key=lambda h: (h != _BEGIN, h)))}
    after_ZS = np.zeros((len(states), end + 1), np.int32)
    for history, i in states.items():
        for c in range(end):
            longer = (*history, c)[-(order - 1) :]
            while longer not in states:
                longer = longer[1:]
            after_ZS[i, c] = states[longer]
    return Prior(np.log([p[h] for h in states]).astype(np.float32), after_ZS)
