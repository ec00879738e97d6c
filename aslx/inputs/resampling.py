"""From clips to a fixed number of frames, in JAX: real frames, the dominant hand, interpolation.

Shape suffixes: B clips, T frames of the clip (may be symbolic in an export), S frames that the
model sees (always static), N points, C coordinates (3 N, point by point), D values of a frame.

Along a symbolic axis gathers, slices, sorts and cumsum do not export; products do. Where T is
known, frames are taken, and what a clip needs beside itself does not grow with it.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from aslx.schema import landmarks

_RIGHT, _LEFT = "right_hand", "left_hand"
EXACT = jax.lax.Precision.HIGHEST


def as_stored(x_BT: jax.Array) -> jax.Array:
    """f16[B,T,...] as in records, so that serving sees the values of training; f32 where T is
    symbolic: TFLite computes nothing in float16."""
    x_BT = x_BT.astype(jnp.float16)
    return x_BT if isinstance(x_BT.shape[1], int) else x_BT.astype(jnp.float32)


def coordinates(landmarks_BTN3: jax.Array) -> jax.Array:
    """The points' coordinates [B,T,C] `as_stored`. A value that float16 cannot hold is missing."""
    x_BTN3 = as_stored(landmarks_BTN3)
    x_BTN3 = jnp.where(jnp.abs(x_BTN3) < jnp.inf, x_BTN3, jnp.nan)
    return x_BTN3.reshape(*x_BTN3.shape[:2], -1)


def hands(
    x_BTC: jax.Array, length_B: jax.Array, selection: landmarks.Selection
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """bool[B,T], true at real frames; bool[B,T], true at frames that show the whole dominant hand;
    and bool[B], true where the left hand is dominant: it is seen in more frames than the right."""
    real_BT = real(length_B, x_BTC.shape[1])
    seen_BT2 = jnp.stack([_whole(x_BTC, selection.part(part)) for part in (_RIGHT, _LEFT)], -1)
    seen_BT2 &= real_BT[..., None]
    frames_B2 = seen_BT2.astype(jnp.float32).sum(1)
    left_B = frames_B2[:, 1] > frames_B2[:, 0]
    # Which of the two, as a product: a slice would not export.
    chosen_B2 = jnp.stack([~left_B, left_B], -1)
    return real_BT, (seen_BT2 & chosen_B2[:, None]).any(-1), left_B


def _whole(x_BTC: jax.Array, points: np.ndarray) -> jax.Array:
    """bool[B,T]: whether a frame has all coordinates of some points."""
    if isinstance(x_BTC.shape[1], int):
        return ~jnp.isnan(_picked(x_BTC, points)).any(-1)
    of_C = np.zeros(x_BTC.shape[2], np.float32)
    of_C.reshape(-1, 3)[points] = 1
    return jnp.isnan(x_BTC).astype(jnp.float32) @ of_C == 0


def real(length_B: jax.Array, frames: int) -> jax.Array:
    """bool[B,T]: true at frames of the clip, false at padding."""
    return jnp.arange(frames)[None, :] < length_B[:, None]


def mix(keep_BT: jax.Array, frames: int, at_least: int = 0, *, first: bool = False) -> "Mix":
    """How each of S = `frames` frames is mixed from the frames of the clip: see `_Same`, `_Pairs`.

    The kept frames follow one another. They are interpolated where there are more than `frames`, or
    fewer than `at_least`. Positions are those of tf.image.resize's bilinear method, with half-pixel
    centres. `first` promises that the kept frames are the first ones, so that none is searched."""
    count_B1 = keep_BT.sum(1, keepdims=True, dtype=jnp.float32)
    used_B1 = jnp.clip(count_B1, jnp.where(count_B1 > 0, at_least, 0), frames)
    s_1S = jnp.arange(frames, dtype=jnp.float32)[None, :]
    at_BS = (s_1S + 0.5) * count_B1 / jnp.maximum(used_B1, 1) - 0.5
    # An equal number keeps its places: a rounding error would mix in a neighbour that is missing.
    at_BS = jnp.where(used_B1 == count_B1, s_1S, at_BS)
    at_BS = jnp.clip(at_BS, 0, jnp.maximum(count_B1 - 1, 0))
    mask_BS = s_1S < used_B1
    if isinstance(keep_BT.shape[1], int):
        if first and not at_least and keep_BT.shape[1] <= frames:
            return _Same(mask_BS)
        return _Pairs.of(at_BS, mask_BS, keep_BT, count_B1, first)
    return _Products.of(at_BS, mask_BS, keep_BT)


@dataclasses.dataclass(frozen=True)
class _Same:
    """Each frame is the clip's: no clip of the batch is so long that it is interpolated."""

    mask: jax.Array
    """bool[B,S]: true at frames that show something."""

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f32[B,S,D] twice: the values that are no NaN, and 1 where they are."""
        more = self.mask.shape[1] - x_BTD.shape[1]
        x_BSD = jnp.pad(x_BTD.astype(jnp.float32), ((0, 0), (0, more), (0, 0)))
        known_BSD = ~jnp.isnan(x_BSD) & self.mask[..., None]
        return jnp.where(known_BSD, x_BSD, 0.0), known_BSD.astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Each frame is made of two of the clip."""

    mask: jax.Array
    """bool[B,S]: true at frames that show something."""
    taken: jax.Array  # i32[B,S,2].
    weights: jax.Array  # f32[B,S,2].

    @classmethod
    def of(cls, at_BS, mask_BS, keep_BT, count_B1, first: bool) -> "_Pairs":
        low_BS = jnp.floor(at_BS)
        high_BS = jnp.minimum(low_BS + 1, jnp.maximum(count_B1 - 1, 0))
        share_BS = at_BS - low_BS
        weight_BS2 = jnp.where(mask_BS[..., None], jnp.stack([1 - share_BS, share_BS], -1), 0.0)
        taken_BS2 = jnp.stack([low_BS, high_BS], -1).astype(jnp.int32)
        if not first:
            # Before the kept frame number k, and at no later one, are at most k kept frames.
            upto_BT = jnp.cumsum(keep_BT, 1, dtype=jnp.int32)
            taken_BS2 = (upto_BT[:, None, None] <= taken_BS2[..., None]).sum(-1)
        return cls(mask_BS, taken_BS2, weight_BS2)

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f32[B,S,D] twice: the sum of the weighted values that are no NaN, and their weight."""
        # Frames are taken in the type that they are stored in: it has half the bytes.
        x_BS2D = jax.vmap(lambda x, at: x.at[at].get(mode="clip"))(x_BTD, self.taken)
        x_BS2D = x_BS2D.astype(jnp.float32)
        missing_BS2D, weight_BS21 = jnp.isnan(x_BS2D), self.weights[..., None]
        known_BS2D = jnp.where(missing_BS2D, 0.0, x_BS2D)
        return (weight_BS21 * known_BS2D).sum(2), (weight_BS21 * ~missing_BS2D).sum(2)


@dataclasses.dataclass(frozen=True)
class _Products:
    """The same as products with weights of all frames, which export where T is symbolic."""

    mask: jax.Array
    weights: jax.Array  # f32[B,S,T].

    @classmethod
    def of(cls, at_BS, mask_BS, keep_BT) -> "_Products":
        keep, t = keep_BT.astype(jnp.float32), jnp.arange(keep_BT.shape[1])
        before_TT = (t[:, None] < t[None, :]).astype(jnp.float32)
        place_BT = jnp.matmul(keep, before_TT, precision=EXACT)
        hat_BST = jnp.maximum(0.0, 1.0 - jnp.abs(at_BS[:, :, None] - place_BT[:, None, :]))
        return cls(mask_BS, hat_BST * keep[:, None, :] * mask_BS[:, :, None])

    def __call__(self, x_BTD: jax.Array) -> tuple[jax.Array, jax.Array]:
        # 0 x NaN would poison every frame, so values and presence are interpolated apart.
        missing_BTD = jnp.isnan(x_BTD)
        both = jnp.where(missing_BTD, 0.0, x_BTD), 1.0 - missing_BTD.astype(jnp.float32)
        total, known = (jnp.einsum("bst,btd->bsd", self.weights, x, precision=EXACT) for x in both)
        return total, known


Mix = _Same | _Pairs | _Products


def first(x_BTC: jax.Array, length_B: jax.Array, frames: int) -> jax.Array:
    """[B,S,C]: the first S = `frames` frames as they are; NaN after the end of the clip."""
    t = x_BTC.shape[1]
    if isinstance(t, int):
        more = ((0, 0), (0, max(0, frames - t)), (0, 0))
        return jnp.pad(x_BTC[:, :frames], more, constant_values=np.nan)
    mask_BS = real(length_B, frames)
    same_ST = (jnp.arange(frames)[:, None] == jnp.arange(t)[None]).astype(jnp.float32)
    total, known = _Products(mask_BS, same_ST * mask_BS[..., None])(x_BTC)
    return jnp.where(known > 0, total, jnp.nan)


def resample(values_BTD: jax.Array, mixed: Mix) -> tuple[jax.Array, jax.Array]:
    """Values f32[B,S,D], 0 where missing, and their presence f32[B,S,D] in 0..1: the share of the
    weight that fell on values that are no NaN."""
    total_BSD, known_BSD = mixed(values_BTD)
    values_BSD = total_BSD / jnp.maximum(known_BSD, 1e-6)
    return jnp.where(known_BSD > 0, values_BSD, 0.0), known_BSD


def whole(values_BTD: jax.Array, mixed: Mix) -> jax.Array:
    """`resample`'s values, 0 where a missing one has any weight."""
    total_BSD, known_BSD = mixed(values_BTD)
    # A weight is a multiple of half of 1 / S, but for what rounding leaves of a neighbour.
    rounding = 0.25 / total_BSD.shape[1]
    return jnp.where(known_BSD > 1 - rounding, total_BSD, 0.0)


def moments(mixed: Mix, frames: int) -> jax.Array:
    """f32[B,S]: which frame of the clip, from 0, each frame that the model sees shows."""
    number_BT1 = jnp.ones((len(mixed.mask), 1, 1)) * jnp.arange(frames)[:, None]
    return mixed(number_BT1)[0][..., 0]


def _picked(x_BTC: jax.Array, points: np.ndarray) -> jax.Array:
    """The coordinates of some points: f32[B,T,3 n]; of a clip with a symbolic T by a product."""
    steps = np.unique(np.diff(points))
    if isinstance(x_BTC.shape[1], int) and len(steps) == 1 and steps[0] > 0:
        # A slice, and no gather of single values.
        x_BTN3 = x_BTC.reshape(*x_BTC.shape[:2], -1, 3)
        picked = x_BTN3[:, :, points[0] : points[-1] + 1 : steps[0]]
        return picked.reshape(*x_BTC.shape[:2], -1)
    columns = (3 * points[:, None] + np.arange(3)).reshape(-1)
    if isinstance(x_BTC.shape[1], int):
        return x_BTC[..., columns]
    take_CD = np.eye(x_BTC.shape[2], dtype=np.float32)[:, columns]
    lost_BTC = jnp.isnan(x_BTC)
    known_BTD = jnp.matmul(jnp.where(lost_BTC, 0.0, x_BTC), take_CD, precision=EXACT)
    return jnp.where(lost_BTC.astype(jnp.float32) @ take_CD > 0, jnp.nan, known_BTD)


def dominant(
    x_BTC: jax.Array, left_B: jax.Array, selection: landmarks.Selection, points: np.ndarray
) -> jax.Array:
    """Points of the right, f32[B,T,3 n]; of a left-hander those of the left, in the mirror."""
    right_BTD, left_BTD = (_picked(x_BTC, p) for p in (points, selection.mirror[points]))
    flip_D, by_D = (np.tile(np.array(v, np.float32), len(points)) for v in ((-1, 1, 1), (1, 0, 0)))
    return jnp.where(left_B[:, None, None], left_BTD * flip_D + by_D, right_BTD)
