"""Beam searches for the likeliest text, where greedy decoding takes the likeliest character.

They are batched and jitted: a row has K hypotheses side by side, scored in log-probabilities. Texts
are i32[..., L], the alphabet's pad after their last character, without end. A prior's
log-probabilities, already weighted, are added to the network's: shallow fusion (Gulcehre et al.
2015).
Shape suffixes: B batch, K beams, L characters, M memory, V classes, N hypotheses.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from aslx.decode import decoding, hypotheses, ngrams
from aslx.schema import networks, vocab


def _allowed(
    logp_BKV: jax.Array,
    ended_BK: jax.Array,
    alphabet: vocab.Alphabet,
    prior: ngrams.Prior | None,
    expects_BK: jax.Array,
) -> jax.Array:
    """f32[B, K, V]: the score of each token that may come next. PAD and START may not, but a text
    that has ended goes on with PAD at a score of 0."""
    if prior is not None:
        symbols_BKS = hypotheses.prior_logp(prior, expects_BK)
        no_BK2 = jnp.zeros((*ended_BK.shape, alphabet.end - alphabet.pad))
        ways = [symbols_BKS[..., : prior.end], no_BK2, symbols_BKS[..., prior.end :]]
        logp_BKV += jnp.concatenate(ways, 2)
    ids_V = jnp.arange(logp_BKV.shape[-1])
    logp_BKV = jnp.where(
        (ids_V == alphabet.pad) | (ids_V == alphabet.start), hypotheses.NEVER, logp_BKV
    )
    idle_V = jnp.where(ids_V == alphabet.pad, 0.0, hypotheses.NEVER)
    return jnp.where(ended_BK[..., None], idle_V, logp_BKV)


def autoregressive(
    model: networks.Decoder,
    memory_BMD: jax.Array,
    mask_BM: jax.Array,
    alphabet: vocab.Alphabet,
    max_tokens: int,
    beams: int,
    prior: ngrams.Prior | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Texts [B, K, max_tokens] and their scores f32[B, K], END included, the likeliest first.

    A hypothesis that has not ended after `max_tokens` characters is kept as it is.
    """
    b = len(memory_BMD)

    def unfinished(state):
        t, _, _, _, ended_BK, _, _ = state
        return (t < max_tokens) & ~ended_BK.all()

    def step(state):
        t, last_BK, text_BKL, score_BK, ended_BK, expects_BK, cache = state
        logits, after = model.advance(last_BK.reshape(-1), cache)
        logp_BKV = jax.nn.log_softmax(logits).reshape(b, beams, -1)
        logp_BKV = _allowed(logp_BKV, ended_BK, alphabet, prior, expects_BK)
        every_BN = (score_BK[..., None] + logp_BKV).reshape(b, -1)
        score_BK, at_BK = hypotheses.likeliest(every_BN, beams)
        parent_BK, last_BK = jnp.divmod(at_BK, logp_BKV.shape[-1])
        ended_BK = hypotheses.take(ended_BK, parent_BK) | (last_BK == alphabet.end)
        written_BK = jnp.where(ended_BK, alphabet.pad, last_BK)
        expects_BK = hypotheses.next_state(prior, hypotheses.take(expects_BK, parent_BK), last_BK)
        text_BKL = hypotheses.with_character(
            hypotheses.take(text_BKL, parent_BK), jnp.full_like(at_BK, t), written_BK
        )
        row = (parent_BK + beams * jnp.arange(b)[:, None]).reshape(-1)
        # Arrays that `advance` returns unchanged belong to the memory, the same for a row's beams.
        cache = jax.tree.map(
            lambda old, new: new if old is new or not new.ndim else new[row], cache, after
        )
        return t + 1, last_BK, text_BKL, score_BK, ended_BK, expects_BK, cache

    cache = model.start(
        hypotheses.rows(memory_BMD, beams), hypotheses.rows(mask_BM, beams), max_tokens
    )
    first = (
        jnp.int32(0),
        jnp.full((b, beams), alphabet.start, jnp.int32),
        jnp.full((b, beams, max_tokens), alphabet.pad, jnp.int32),
        jnp.where(jnp.arange(beams) == 0, jnp.zeros((b, 1)), hypotheses.NEVER),
        jnp.zeros((b, beams), bool),
        jnp.zeros((b, beams), jnp.int32),
        cache,
    )
    _, _, text_BKL, score_BK, _, _, _ = jax.lax.while_loop(unfinished, step, first)
    return text_BKL, score_BK


class _Prefixes(NamedTuple):
    """The texts of a prefix beam, and their log-probabilities."""

    text: jax.Array  # i32[B, K, L]
    size: jax.Array  # i32[B, K]: characters; -1 where there are fewer than K texts.
    blank: jax.Array  # f32[B, K]: of the paths that end on a blank.
    character: jax.Array  # f32[B, K]: of the paths that end on the last character.
    expects: jax.Array  # i32[B, K]: the prior's state.

    def last(self) -> jax.Array:
        """i32[B, K]: the last character, or BLANK for an empty text."""
        at_BK1 = jnp.maximum(self.size - 1, 0)[..., None]
        return jnp.take_along_axis(self.text, at_BK1, 2)[..., 0]

    def parents(self, pad: int) -> jax.Array:
        """bool[B, K, K]: whether the second text is the first with one more character."""
        before = jnp.arange(self.text.shape[2]) < self.size[..., None] - 1
        shorter_BKL = jnp.where(before, self.text, pad)
        same_BKK = (self.text[:, :, None] == shorter_BKL[:, None]).all(-1)
        return same_BKK & (self.size[:, :, None] + 1 == self.size[:, None])


def _frame(
    old: _Prefixes, logp_BV: jax.Array, alphabet: vocab.Alphabet, prior: ngrams.Prior | None
) -> _Prefixes:
    """The likeliest prefixes after one more frame."""
    b, beams, max_tokens = old.text.shape
    last_BK, total_BK = old.last(), jnp.logaddexp(old.blank, old.character)
    last_BKV = jax.nn.one_hot(last_BK, len(alphabet), dtype=bool)
    # The same character again counts only after a blank.
    from_BKV = jnp.where(last_BKV, old.blank[..., None], total_BK[..., None])
    longer_BKV = from_BKV + logp_BV[:, None, : len(alphabet)]
    if prior is not None:
        longer_BKV += hypotheses.prior_logp(prior, old.expects)[..., : len(alphabet)]
    longer_BKV = jnp.where((old.size < max_tokens)[..., None], longer_BKV, hypotheses.NEVER)
    # A longer text that is among the prefixes already adds its paths to that prefix.
    known_BKKV = old.parents(alphabet.pad)[..., None] & last_BKV[:, None]
    joins_BK = jax.nn.logsumexp(longer_BKV[:, :, None], (1, 3), where=known_BKKV)
    longer_BKV = jnp.where(known_BKKV.any(2), hypotheses.NEVER, longer_BKV)
    again_BK = jnp.take_along_axis(logp_BV, last_BK, 1)
    again_BK = jnp.where(old.size > 0, old.character + again_BK, hypotheses.NEVER)
    character_BK = jnp.logaddexp(again_BK, joins_BK)
    blank_BK = total_BK + logp_BV[:, None, alphabet.blank]
    same_BK = jnp.logaddexp(blank_BK, character_BK)
    every_BN = jnp.concatenate([same_BK, longer_BKV.reshape(b, -1)], 1)
    score_BK, at_BK = hypotheses.likeliest(every_BN, beams)
    grown_BK = at_BK >= beams
    parent_BK, new_BK = jnp.divmod(at_BK - beams, len(alphabet))
    parent_BK = jnp.where(grown_BK, parent_BK, at_BK)
    size_BK = hypotheses.take(old.size, parent_BK)
    place_BK = jnp.where(grown_BK, size_BK, max_tokens)
    expects_BK = hypotheses.take(old.expects, parent_BK)
    none_BK = score_BK == hypotheses.NEVER
    return _Prefixes(
        hypotheses.with_character(hypotheses.take(old.text, parent_BK), place_BK, new_BK),
        jnp.where(none_BK, -1, size_BK + grown_BK),
        jnp.where(grown_BK | none_BK, hypotheses.NEVER, hypotheses.take(blank_BK, parent_BK)),
        jnp.where(grown_BK | none_BK, score_BK, hypotheses.take(character_BK, parent_BK)),
        jnp.where(grown_BK, hypotheses.next_state(prior, expects_BK, new_BK), expects_BK),
    )


def ctc(
    logits_BMV: jax.Array,
    mask_BM: jax.Array,
    alphabet: vocab.Alphabet,
    max_tokens: int,
    beams: int,
    prior: ngrams.Prior | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Texts [B, K, max_tokens] and their scores f32[B, K], the likeliest first.

    A text's probability is the sum over the paths that spell it and whose every prefix was among
    the K likeliest of its frame. Prefixes are weighed by a prior too (Hannun et al. 2014).
    """
    logp_BMV = jax.nn.log_softmax(logits_BMV.astype(jnp.float32))

    def advance(old: _Prefixes, frame: tuple[jax.Array, jax.Array]) -> tuple[_Prefixes, None]:
        logp_BV, real_B = frame

        def where_real(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(real_B.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(where_real, _frame(old, logp_BV, alphabet, prior), old), None

    shape = (len(logits_BMV), beams)
    first = _Prefixes(
        jnp.full((*shape, max_tokens), alphabet.pad, jnp.int32),
        jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0, -1), shape),
        jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0.0, hypotheses.NEVER), shape),
        jnp.full(shape, hypotheses.NEVER),
        jnp.zeros(shape, jnp.int32),
    )
    found, _ = jax.lax.scan(advance, first, (logp_BMV.swapaxes(0, 1), mask_BM.T))
    score_BK = jnp.logaddexp(found.blank, found.character)
    if prior is None:
        return found.text, score_BK
    score_BK += hypotheses.prior_logp(prior, found.expects)[..., prior.end]
    score_BK, at_BK = hypotheses.likeliest(score_BK, beams)
    return hypotheses.take(found.text, at_BK), score_BK


def joint(
    model: networks.Transcriber,
    memory_BMD: jax.Array,
    mask_BM: jax.Array,
    alphabet: vocab.Alphabet,
    max_tokens: int,
    beams: int,
    ctc_weight: float,
    prior: ngrams.Prior | None = None,
) -> jax.Array:
    """i32[B, max_tokens]: the best of the texts that either search finds. Its score is the weighted
    mean of its log-probabilities under both heads, where CTC has `ctc_weight`, plus the prior's
    (Watanabe et al. 2017, by rescoring)."""
    logits_BMV = model.ctc(memory_BMD)
    attended_BKL, _ = autoregressive(model, memory_BMD, mask_BM, alphabet, max_tokens, beams, prior)
    aligned_BKL, _ = ctc(logits_BMV, mask_BM, alphabet, max_tokens, beams, prior)
    text_BNL = jnp.concatenate([attended_BKL, aligned_BKL], 1)
    b, n, _ = text_BNL.shape
    text = text_BNL.reshape(b * n, max_tokens)
    memory, mask, logits = (hypotheses.rows(x, n) for x in (memory_BMD, mask_BM, logits_BMV))
    score = (1 - ctc_weight) * _decoded(model, text, memory, mask, alphabet).sum(1)
    score += ctc_weight * _ctc_score(logits, mask, text, alphabet)
    if prior is not None:
        score += _prior_score(prior, text, alphabet)
    best_B1 = score.reshape(b, n).argmax(1, keepdims=True)
    return hypotheses.take(text_BNL, best_B1)[:, 0]


def confidence(
    model: networks.Decoder, text_NL, memory_NMD, mask_NM, alphabet: vocab.Alphabet
) -> jax.Array:
    """f32[N, L]: the decoder's probability of each character after the characters before it."""
    return jnp.exp(_decoded(model, text_NL, memory_NMD, mask_NM, alphabet)[:, :-1])


def _decoded(
    model: networks.Decoder, text_NL, memory_NMD, mask_NM, alphabet: vocab.Alphabet
) -> jax.Array:
    """f32[N, L + 1]: the decoder's log-probability of each character and of END; 0 at pads."""
    logits_NTV = model.decode(decoding.with_start(text_NL, alphabet), memory_NMD, mask_NM)
    target_NT = decoding.with_end(text_NL, alphabet)
    logp_NTV = jax.nn.log_softmax(logits_NTV)
    each_NT = jnp.take_along_axis(logp_NTV, target_NT[..., None], 2)[..., 0]
    return jnp.where(target_NT != alphabet.pad, each_NT, 0.0)


def _ctc_score(
    logits_NMV: jax.Array, mask_NM: jax.Array, text_NL: jax.Array, alphabet: vocab.Alphabet
) -> jax.Array:
    """f32[N]: the CTC head's log-probability of each text."""
    gone, pads = (1.0 - x.astype(jnp.float32) for x in (mask_NM, text_NL != alphabet.pad))
    return -optax.ctc_loss(logits_NMV, gone, text_NL, pads, blank_id=alphabet.blank)


def _prior_score(prior: ngrams.Prior, text_NL: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """f32[N]: the prior's log-probability of each text, its end included."""

    def step(state_N: jax.Array, id_N: jax.Array) -> tuple[jax.Array, jax.Array]:
        at_N1 = jnp.minimum(id_N, prior.end)[:, None]
        each_N = jnp.take_along_axis(hypotheses.prior_logp(prior, state_N), at_N1, 1)[:, 0]
        return hypotheses.next_state(prior, state_N, id_N), jnp.where(
            id_N == alphabet.pad, 0.0, each_N
        )

    first_N = jnp.zeros(len(text_NL), jnp.int32)
    return jax.lax.scan(step, first_N, decoding.with_end(text_NL, alphabet).T)[1].sum(0)
