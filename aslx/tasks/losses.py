"""Parts of the losses of transcription; shapes as in decoding.py, and U places of a text."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from aslx.decode import decoding
from aslx.kernels import random_streams
from aslx.models import layers
from aslx.schema import networks, vocab
from aslx.tasks import distillation

Array = jax.Array
_NEVER = -1e5  # The logarithm of a probability of 0; sums of it stay finite.
_EXACT = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True, kw_only=True)
class LateDropout:
    """Dropout on the encoder's memory late in training, when the network begins to memorise clips,
    as in the isolated-sign competition's first place (Kim 2023)."""

    rate: float = 0.0
    """Share of the values that is dropped; 0: none."""
    start: float = 0.2
    """Share of all steps after which dropout begins."""

    def __call__(self, memory_BMD: Array, batch: dict, key: Array | None) -> Array:
        if key is None or not self.rate:
            return memory_BMD
        key = random_streams.named(key, "late_dropout")
        less_BMD = layers.dropout(memory_BMD, self.rate, key)
        late_B = batch["progress"] >= self.start
        return jnp.where(late_B[:, None, None], less_BMD, memory_BMD)


def backwards(tokens_BL: Array, alphabet: vocab.Alphabet) -> Array:
    """Each row's characters in reverse order, then its pads."""
    last_B1 = decoding.characters(tokens_BL, alphabet)[:, None] - 1
    at_L = jnp.arange(tokens_BL.shape[1])
    return jnp.take_along_axis(tokens_BL, (last_B1 - at_L) % len(at_L), axis=1)


def cross_entropy(logits_BTV: Array, target_BT: Array, smoothing: float) -> Array:
    """f32[B,T], with the targets' labels smoothed."""
    target_BTV = jax.nn.one_hot(target_BT, logits_BTV.shape[-1])
    return optax.softmax_cross_entropy(logits_BTV, optax.smooth_labels(target_BTV, smoothing))


def hits(logits_BTV: Array, target_BT: Array, weight_BT: Array) -> tuple[Array, Array]:
    """The weight of the characters that the network finds likeliest, and of all characters."""
    # Two plain reductions, which a CPU vectorises; it does not vectorise argmax.
    id_V = jnp.arange(logits_BTV.shape[-1])
    best_BTV = logits_BTV == logits_BTV.max(-1, keepdims=True)
    guess_BT = jnp.where(best_BTV, id_V, len(id_V)).min(-1)
    hit_BT = (guess_BT == target_BT) * weight_BT
    return hit_BT.sum(), weight_BT.sum()


def ctc(
    model: networks.CTC,
    memory_BMD: Array,
    mask_BM: Array,
    batch: dict,
    alphabet: vocab.Alphabet,
) -> tuple[Array, Array, dict[str, tuple[Array, Array]]]:
    """Summed over the clips that have enough frames for the phrase; the count is of characters and
    ends.

    `unaligned` is the number of clips with too few frames. Its count is 0, because it is a sum and
    no mean.
    """
    tokens_BL = batch["tokens"]
    logits_BMV = model.ctc(memory_BMD)
    there_BL = tokens_BL != alphabet.pad
    loss_B = model.mode.ctc(logits_BMV, mask_BM, tokens_BL, there_BL, alphabet.blank)
    repeats_B = ((tokens_BL[:, 1:] == tokens_BL[:, :-1]) & there_BL[:, 1:]).sum(-1)
    length_B = there_BL.sum(-1)
    # An alignment needs a frame for each character and for a blank between equal characters.
    fits_B = mask_BM.sum(-1) >= length_B + repeats_B
    weight_B = batch["weight"] * fits_B
    total = jnp.where(weight_B > 0, loss_B * weight_B, 0.0).sum()
    count = (weight_B * (length_B + 1)).sum()
    unaligned = (batch["weight"] * ~fits_B).sum()
    sums = {"unaligned": (unaligned, jnp.zeros_like(unaligned))}
    taught: distillation.Taught | None = batch.get("taught")
    if taught and taught.said.ctc is not None:
        more = (taught.ctc(logits_BMV, mask_BM) * weight_B).sum()
        sums["taught_ctc_loss"] = more, count
        total = taught.mixed(total, more)
    return total, count, sums


def transducer(
    logits_BMUV: Array, mask_BM: Array, tokens_BL: Array, alphabet: vocab.Alphabet
) -> Array:
    """f32[B]: minus the logarithm of the probability of a text, the sum over all its alignments
    (Graves 2012, section 2.4). U = L + 1 places: before each character and behind the last. A clip
    without a real position gets about 1e5, unless its text is empty.

    One step of the loop is one position: its characters, from left to right, are a linear
    recurrence in log-probabilities, which an associative scan computes.
    """
    logp_BMUV = jax.nn.log_softmax(logits_BMUV)
    is_BLV = jax.nn.one_hot(tokens_BL, logp_BMUV.shape[-1]) * (tokens_BL != alphabet.pad)[..., None]
    # A product, because accelerators take single values slowly.
    character_BML = jnp.einsum("bmuv,buv->bmu", logp_BMUV[:, :, :-1], is_BLV, precision=_EXACT)

    def position(before_BU: Array, at: tuple[Array, Array, Array]) -> tuple[Array, None]:
        blank_BU, character_BL, real_B = at
        step_BU = jnp.pad(character_BL, ((0, 0), (1, 0)))
        _, reached_BU = jax.lax.associative_scan(_after, (step_BU, before_BU), axis=1)
        return jnp.where(real_B[:, None], reached_BU + blank_BU, before_BU), None

    places = jnp.arange(tokens_BL.shape[1] + 1)
    first_BU = jnp.broadcast_to(jnp.where(places == 0, 0.0, _NEVER), (len(tokens_BL), len(places)))
    by_position = (logp_BMUV[..., alphabet.blank], character_BML, mask_BM)
    by_position = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), by_position)
    found_BU, _ = jax.lax.scan(position, first_BU, by_position)
    ends_BU = places == decoding.characters(tokens_BL, alphabet)[:, None]
    return -jnp.where(ends_BU, found_BU, 0.0).sum(1)


def _after(one: tuple[Array, Array], two: tuple[Array, Array]) -> tuple[Array, Array]:
    """x -> log(exp(x + a) + exp(b)) of one pair (a, b), and then of another."""
    return one[0] + two[0], jnp.logaddexp(one[1] + two[0], two[1])
