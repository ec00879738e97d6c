"""From clips to a fixed number of frames, in JAX: real frames, the dominant hand, interpolation.

Shape suffixes: B clips, T frames of the clip (may be symbolic in an export), S frames that the
model sees (always static), N points, C coordinates (3 N, point by point), D values of a frame.

Along a symbolic axis gathers, slices, sorts and cumsum do not export; products do. So everything
along T is a product; where T is known, no product takes memory that grows with its square.
"""

import jax
import jax.numpy as jnp
import numpy as np

from aslx.schema import landmarks

_RIGHT, _LEFT = "right_hand", "left_hand"
EXACT = jax.lax.Precision.HIGHEST
_MISSING = 1e30
_BLOCK = 1024  # Frames: more than nearly all clips have.


def coordinates(landmarks_BTN3: jax.Array) -> jax.Array:
    """f32[B,T,C], rounded to float16 as records are, so that serving sees the values of training. A
    value that float16 cannot hold is missing."""
    rounded = landmarks_BTN3.astype(jnp.float16).astype(jnp.float32)
    rounded = jnp.where(jnp.abs(rounded) < jnp.inf, rounded, jnp.nan)
    return rounded.reshape(*rounded.shape[:2], -1)


def hands(
    x_BTC: jax.Array, length_B: jax.Array, selection: landmarks.Selection
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """bool[B,T], true at real frames; bool[B,T], true at frames that show the whole dominant hand;
    and bool[B], true where the left hand is dominant: it is seen in more frames than the right."""
    real_BT = jnp.arange(x_BTC.shape[1])[None, :] < length_B[:, None]
    of_C2 = np.zeros((x_BTC.shape[2], 2), np.float32)
    for i, part in enumerate((_RIGHT, _LEFT)):
        of_C2.reshape(-1, 3, 2)[selection.part(part), :, i] = 1
    lost_BT2 = jnp.isnan(x_BTC).astype(jnp.float32) @ of_C2
    seen_BT2 = (lost_BT2 == 0) & real_BT[..., None]
    frames_B2 = seen_BT2.astype(jnp.float32).sum(1)
    left_B = frames_B2[:, 1] > frames_B2[:, 0]
    # Which of the two, as a product: a slice would not export.
    chosen_B2 = jnp.stack([~left_B, left_B], -1)
    return real_BT, (seen_BT2 & chosen_B2[:, None]).any(-1), left_B


def weights(keep_BT: jax.Array, frames: int, at_least: int = 0) -> tuple[jax.Array, jax.Array]:
    """f32[B,S,T], the share of each of the clip's frames in each frame that the model sees, and its
    mask bool[B,S].

    The kept frames follow one another. They are interpolated where there are more than `frames`, or
    fewer than `at_least`. Positions are those of tf.image.resize's bilinear method, with half-pixel
    centres."""
    keep = keep_BT.astype(jnp.float32)
    place_BT = _before(keep)
    count_B1 = keep.sum(1, keepdims=True)
    used_B1 = jnp.clip(count_B1, jnp.where(count_B1 > 0, at_least, 0), frames)
    s_1S = jnp.arange(frames, dtype=jnp.float32)[None, :]
    at_BS = (s_1S + 0.5) * count_B1 / jnp.maximum(used_B1, 1) - 0.5
    # An equal number keeps its places: a rounding error would mix in a neighbour that is missing.
    at_BS = jnp.where(used_B1 == count_B1, s_1S, at_BS)
    at_BS = jnp.clip(at_BS, 0, jnp.maximum(count_B1 - 1, 0))
    mask_BS = s_1S < used_B1
    hat_BST = jnp.maximum(0.0, 1.0 - jnp.abs(at_BS[:, :, None] - place_BT[:, None, :]))
    return hat_BST * keep[:, None, :] * mask_BS[:, :, None], mask_BS


def _before(keep_BT: jax.Array) -> jax.Array:
    """f32[B,T]: the number of kept frames before each frame; exact up to 2^24. A product with a
    [T,T] matrix; of a longer clip, one product within each block and one of the blocks' sums."""
    frames = keep_BT.shape[1]
    if not isinstance(frames, int) or frames <= _BLOCK:
        t = jnp.arange(frames)
        before_TT = (t[:, None] < t[None, :]).astype(jnp.float32)
        return jnp.matmul(keep_BT, before_TT, precision=EXACT)
    blocks_BNT = jnp.pad(keep_BT, ((0, 0), (0, -frames % _BLOCK)))
    blocks_BNT = blocks_BNT.reshape(len(keep_BT), -1, _BLOCK)
    within_BNT = _before(blocks_BNT.reshape(-1, _BLOCK)).reshape(blocks_BNT.shape)
    before_BNT = within_BNT + _before(blocks_BNT.sum(2))[..., None]
    return before_BNT.reshape(len(keep_BT), -1)[:, :frames]


def mixed(weight_BST: jax.Array, x_BTD: jax.Array) -> jax.Array:
    """[B,S,D]: frames that `weights` makes of values without NaN."""
    return jnp.einsum("bst,btd->bsd", weight_BST, x_BTD, precision=EXACT)


def resample(
    values_BTD: jax.Array, keep_BT: jax.Array, frames: int, at_least: int = 0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Values [B,S,D] (0 where missing), presence [B,S,D] in 0..1 (the share of the weight that fell
    on values that are no NaN) and mask bool[B,S]; `weights` has the arguments."""
    weight_BST, mask_BS = weights(keep_BT, frames, at_least)
    missing_BTD = jnp.isnan(values_BTD)
    # 0 x NaN would poison every frame, so values and presence are interpolated apart.
    total_BSD = mixed(weight_BST, jnp.where(missing_BTD, 0.0, values_BTD))
    presence_BSD = mixed(weight_BST, 1.0 - missing_BTD.astype(jnp.float32))
    values_BSD = jnp.where(presence_BSD > 0, total_BSD / jnp.maximum(presence_BSD, 1e-6), 0.0)
    return values_BSD, presence_BSD, mask_BS


def whole(values_BTD: jax.Array, keep_BT: jax.Array, frames: int) -> tuple[jax.Array, jax.Array]:
    """`resample`'s values [B,S,D], 0 where a missing one has any weight, and its mask."""
    weight_BST, mask_BS = weights(keep_BT, frames)
    # What rounding leaves of a neighbour. A weight is a multiple of half of 1 / frames.
    weight_BST = jnp.where(weight_BST < 0.25 / frames, 0.0, weight_BST)
    # One product tells both: no value comes near to what stands for a missing one.
    values_BSD = mixed(weight_BST, jnp.where(jnp.isnan(values_BTD), _MISSING, values_BTD))
    whole_BSD = (values_BSD < _MISSING / (4 * frames)) & mask_BS[..., None]
    return jnp.where(whole_BSD, values_BSD, 0.0), mask_BS


def moments(keep_BT: jax.Array, frames: int, at_least: int = 0) -> jax.Array:
    """f32[B,S]: which frame of the clip, from 0, each frame that the model sees shows; `resample`
    has the arguments."""
    number_BT1 = (jnp.arange(keep_BT.shape[1]) * jnp.ones_like(keep_BT, jnp.float32))[..., None]
    return resample(number_BT1, keep_BT, frames, at_least)[0][..., 0]


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
