"""Texts by a transducer: at every position of the memory some characters, and then a blank.

Shape suffixes: B batch, K beams, M memory, D width, P characters at a position, C characters of the
context, L characters, V classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from aslx.decode import decoding, hypotheses, ngrams
from aslx.schema import networks, vocab

Array = jax.Array


def contexts(tokens_BL: Array, context: int, alphabet: vocab.Alphabet) -> Array:
    """i32[B, L + 1, C]: the last characters before each place of a text and behind its end; pads
    where the text has not begun."""
    length = tokens_BL.shape[1] + 1
    padded = jnp.pad(tokens_BL, ((0, 0), (context, 0)), constant_values=alphabet.pad)
    return jnp.stack([padded[:, i : i + length] for i in range(context)], 2)


def start(batch: int, context: int, alphabet: vocab.Alphabet) -> Array:
    """i32[B, C]: the last characters before a stream."""
    return jnp.full((batch, context), alphabet.pad, jnp.int32)


def greedy(
    model: networks.Predictor,
    last_BC: Array,
    memory_BMD: Array,
    mask_BM: Array,
    alphabet: vocab.Alphabet,
    per_position: int,
) -> tuple[Array, Array, Array]:
    """[B, M P] twice: the likeliest characters of each position up to a blank, then pads, and their
    probabilities; and the last characters behind the last position, i32[B, C]."""

    def position(last_BC: Array, at: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        (memory_BD, going_B), ids, sures = at, [], []
        for _ in range(per_position):
            id_B, sure_B = decoding.likeliest(model.joined(memory_BD, model.predicted(last_BC)))
            going_B = going_B & (id_B != alphabet.blank)
            after_BC = jnp.concatenate([last_BC[:, 1:], id_B[:, None]], 1)
            last_BC = jnp.where(going_B[:, None], after_BC, last_BC)
            ids.append(jnp.where(going_B, id_B, alphabet.pad))
            sures.append(sure_B)
        return last_BC, (jnp.stack(ids, 1), jnp.stack(sures, 1))

    by_position = memory_BMD.swapaxes(0, 1), mask_BM.T
    last_BC, found_MBP = jax.lax.scan(position, last_BC, by_position)
    ids_BL, sure_BL = (x.swapaxes(0, 1).reshape(len(last_BC), -1) for x in found_MBP)
    return ids_BL, sure_BL, last_BC


class _Beam(NamedTuple):
    """Texts, and the log-probability of all alignments that were followed."""

    text: Array  # i32[B, K, L]
    size: Array  # i32[B, K]
    score: Array  # f32[B, K]
    expects: Array  # i32[B, K]: the prior's state.

    def last(self, context: int, pad: int) -> Array:
        """i32[B, K, C]: the last characters."""
        at_BKC = self.size[..., None] + jnp.arange(-context, 0)
        found_BKC = jnp.take_along_axis(self.text, jnp.maximum(at_BKC, 0), 2)
        return jnp.where(at_BKC < 0, pad, found_BKC)

    def take(self, at_BK: Array) -> "_Beam":
        return _Beam(*(hypotheses.take(x, at_BK) for x in self))

    def with_more(self, other: "_Beam") -> "_Beam":
        """Both beams. A text of `other` that is known adds its alignments to that text."""
        there_BN1 = (self.score > hypotheses.NEVER)[..., None]
        same_BNK = (self.text[:, :, None] == other.text[:, None]).all(-1) & there_BN1
        joins_BN = jax.nn.logsumexp(other.score[:, None], 2, where=same_BNK)
        new_BK = jnp.where(same_BNK.any(1), hypotheses.NEVER, other.score)
        known = self._replace(score=jnp.logaddexp(self.score, joins_BN))
        pairs = zip(known, other._replace(score=new_BK), strict=True)
        return _Beam(*(jnp.concatenate(pair, 1) for pair in pairs))


def beams(
    model: networks.Predictor,
    memory_BMD: Array,
    mask_BM: Array,
    alphabet: vocab.Alphabet,
    max_tokens: int,
    count: int,
    per_position: int,
    prior: ngrams.Prior | None = None,
) -> tuple[Array, Array]:
    """Texts [B, K, max_tokens] and their scores f32[B, K], the likeliest first.

    Time-synchronous decoding (Saon et al. 2020, "Alignment-length synchronous decoding for RNN
    transducer", algorithm 1): at each position every text is kept by a blank, and grows by at most
    `per_position` characters. Texts that are alike are one.
    """
    classes = len(alphabet)

    def grown(old: _Beam, logp_BKV: Array) -> _Beam:
        longer_BKV = old.score[..., None] + logp_BKV[..., :classes]
        if prior is not None:
            longer_BKV += hypotheses.prior_logp(prior, old.expects)[..., :classes]
        room_BK1 = (old.size < max_tokens)[..., None]
        longer_BKV = jnp.where(room_BK1, longer_BKV, hypotheses.NEVER)
        every_BN = longer_BKV.reshape(len(longer_BKV), -1)
        score_BK, at_BK = hypotheses.likeliest(every_BN, count)
        parent_BK, id_BK = jnp.divmod(at_BK, classes)
        kept = old.take(parent_BK)
        text_BKL = hypotheses.with_character(kept.text, kept.size, id_BK)
        expects_BK = hypotheses.next_state(prior, kept.expects, id_BK)
        return _Beam(text_BKL, kept.size + 1, score_BK, expects_BK)

    def position(old: _Beam, at: tuple[Array, Array]) -> tuple[_Beam, None]:
        memory_BD, real_B = at

        def blank(beam: _Beam) -> tuple[_Beam, Array]:
            """The texts after a blank, and the log-probabilities of what may come next."""
            last_BKC = beam.last(model.context, alphabet.pad)
            logits_BKV = model.joined(memory_BD[:, None], model.predicted(last_BKC))
            logp_BKV = jax.nn.log_softmax(logits_BKV)
            return beam._replace(score=beam.score + logp_BKV[..., alphabet.blank]), logp_BKV

        growing = old
        done, logp_BKV = blank(old)
        for _ in range(per_position):
            growing = grown(growing, logp_BKV)
            stays, logp_BKV = blank(growing)
            done = done.with_more(stays)
        score_BK, at_BK = hypotheses.likeliest(done.score, count)
        best = done.take(at_BK)._replace(score=score_BK)

        def where_real(new: Array, old: Array) -> Array:
            return jnp.where(real_B.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(where_real, best, old), None

    shape = (len(memory_BMD), count)
    first = _Beam(
        jnp.full((*shape, max_tokens), alphabet.pad, jnp.int32),
        jnp.zeros(shape, jnp.int32),
        jnp.broadcast_to(jnp.where(jnp.arange(count) == 0, 0.0, hypotheses.NEVER), shape),
        jnp.zeros(shape, jnp.int32),
    )
    found, _ = jax.lax.scan(position, first, (memory_BMD.swapaxes(0, 1), mask_BM.T))
    score_BK = found.score
    if prior is not None:
        score_BK += hypotheses.prior_logp(prior, found.expects)[..., prior.end]
    score_BK, at_BK = hypotheses.likeliest(score_BK, count)
    return hypotheses.take(found.text, at_BK), score_BK
