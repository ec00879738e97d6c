"""Augmentation of clips: on the device, with a key, in the shapes of the batch.

`Clips` has one object for each change. The `rate` of a change is the share of the clips that are
changed, and a change of rate 0 costs nothing. CutMix comes first, on the whole batch. The changes
in this module come before the features, and those in input_dropout.py leave out values of what the
network sees. The changes, and strengths of about these sizes, are those of the fingerspelling
competition's first place (Henkel and Hanley 2023).

Shape suffixes: B clips, T frames of the clip, S frames that the model sees, N points, F features,
L characters, W windows.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aslx.augment import cutmix as cutmix_lib
from aslx.augment import input_dropout
from aslx.kernels import random_streams
from aslx.schema import vocab

Batch = dict[str, jax.Array]


def _around(at_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """i32[B,2,T], the whole numbers before and after each time, and f32[B,T], its share of the
    second."""
    low_BT = jnp.floor(at_BT).astype(jnp.int32)
    both_B2T = jnp.stack([low_BT, jnp.minimum(low_BT + 1, at_BT.shape[1] - 1)], 1)
    return both_B2T, at_BT - low_BT


def _rows(x_BT: jax.Array, at_B2T: jax.Array) -> jax.Array:
    """The frames of each clip at two series of places: [B,2,T,...]."""
    return jax.vmap(lambda x, at: x.at[at].get(mode="clip"))(x_BT, at_B2T)


def _at(time_BT: jax.Array, at_BT: jax.Array, length_B: jax.Array) -> jax.Array:
    """The times of a clip's frames f32[B,T] at these places among them."""
    both_B2T, share_BT = _around(jnp.clip(at_BT, 0, jnp.maximum(length_B - 1, 0)[:, None]))
    low_BT, high_BT = _rows(time_BT, both_B2T).swapaxes(0, 1)
    return low_BT + share_BT * (high_BT - low_BT)


def _shown(batch: Batch) -> jax.Array:
    """f32[B,T,N,3]: the clips at `time`, interpolated; a point that the nearer frame lacks is
    missing. `frames` i32[B,T] says where each frame of a joined clip is stored."""
    x_BTN3, time_BT = batch["landmarks"], batch["time"]
    both_B2T, share_BT = _around(time_BT)
    if "frames" in batch:
        both_B2T = _rows(batch["frames"], both_B2T)
    # Points and axes as one axis: of rows that end in an axis of three, most memory is padding.
    x_BTC = x_BTN3.reshape(*x_BTN3.shape[:2], -1)
    low_BTC, high_BTC = _rows(x_BTC, both_B2T).astype(jnp.float32).swapaxes(0, 1)
    share_BT1 = share_BT[..., None]
    nearer = share_BT1 < 0.5
    near, far = jnp.where(nearer, low_BTC, high_BTC), jnp.where(nearer, high_BTC, low_BTC)
    towards = jnp.minimum(share_BT1, 1 - share_BT1) * (far - near)
    shown_BTC = near + jnp.where(jnp.isnan(far), 0, towards)
    return shown_BTC.reshape(*time_BT.shape, *x_BTN3.shape[2:])


def _uniform(key: jax.Array, shape: tuple[int, ...], most: float) -> jax.Array:
    """Uniform in [-most, most)."""
    return jax.random.uniform(key, shape, minval=-most, maxval=most)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resample:
    """Changes the speed of the whole clip or of each window; no clip outgrows its batch."""

    rate: float = 0.0
    by: float = 0.5
    """Largest stretch of a window, as a share; the largest compression is its inverse."""
    windows: int = 1

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del features
        time_BT, length_B = batch["time"], batch["length"]
        rows, frames = time_BT.shape
        spread = math.log1p(self.by)
        stretch_BW = jnp.exp(_uniform(key, (rows, self.windows), spread))
        # The ends of the windows, in lengths of the clip, before and after.
        after_BW = jnp.pad(jnp.cumsum(stretch_BW, 1) / self.windows, ((0, 0), (1, 0)))
        before_W = jnp.linspace(0.0, 1.0, self.windows + 1)
        whole_B = after_BW[:, -1]
        new_B = jnp.round(length_B * whole_B).astype(jnp.int32)
        new_B = jnp.clip(new_B, jnp.minimum(length_B, 1), frames)
        at_BT = (jnp.arange(frames) + 0.5) * (whole_B / jnp.maximum(new_B, 1))[:, None]
        at_BT = jax.vmap(jnp.interp, (0, 0, None))(at_BT, after_BW, before_W)
        time_BT = _at(time_BT, at_BT * length_B[:, None] - 0.5, length_B)
        return batch | {"time": time_BT, "length": new_B}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift:
    """Cuts off some of the first frames: the strides of a network fall on other frames."""

    rate: float = 0.0
    frames: int = 3
    """Largest number of frames that are cut off."""

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del features
        time_BT, length_B = batch["time"], batch["length"]
        cut_B = jax.random.randint(key, length_B.shape, 0, self.frames + 1)
        cut_B = jnp.minimum(cut_B, jnp.maximum(length_B - 1, 0))
        at_BT = jnp.arange(time_BT.shape[1]) + cut_B[:, None]
        time_BT = _at(time_BT, at_BT.astype(jnp.float32), length_B)
        return batch | {"time": time_BT, "length": length_B - cut_B}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affine:
    """Scales, shears and rotates the clip about the mean of its points, and shifts it."""

    rate: float = 0.0
    scale: float = 0.2
    """Largest change of size, as a share."""
    shear: float = 0.15
    """Largest shear, in units of x for each unit of y."""
    shift: float = 0.1
    """Largest shift along each axis, in widths and heights of the picture."""
    degrees: float = 30.0
    """Largest rotation about z, in the plane of the picture; about x and y it is half of this."""

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del features
        x_BTN3 = batch["landmarks"]
        rows, frames = x_BTN3.shape[:2]
        keys = jax.random.split(key, 4)
        scale_B = 1 + _uniform(keys[0], (rows,), self.scale)
        shear_B33 = jnp.zeros((rows, 3, 3)).at[:, 0, 1].set(_uniform(keys[1], (rows,), self.shear))
        turn_B33 = _rotation(math.radians(self.degrees) * _uniform(keys[2], (rows, 3), 1.0))
        all_B33 = scale_B[:, None, None] * (jnp.eye(3) + shear_B33) @ turn_B33
        known = ~jnp.isnan(x_BTN3) & _real(batch, frames)[..., None, None]
        count = jnp.maximum(known.sum((1, 2), keepdims=True), 1)
        middle_B113 = jnp.where(known, x_BTN3, 0.0).sum((1, 2), keepdims=True) / count
        # A product of matrices would round the places to bfloat16 on a TPU.
        away_BTN3 = x_BTN3 - middle_B113
        of_axis = (all_B33[:, None, None, :, j] * away_BTN3[..., j, None] for j in range(3))
        moved = sum(of_axis)
        shift_B113 = _uniform(keys[3], (rows, 1, 1, 3), self.shift)
        return batch | {"landmarks": moved + middle_B113 + shift_B113}


def _rotation(angle_B3: jax.Array) -> jax.Array:
    """f32[B,3,3]: rotations about x, then y, each by half of its angle, then about z."""
    half_3 = jnp.array([0.5, 0.5, 1.0])
    (cx, cy, cz), (sx, sy, sz) = (f(angle_B3 * half_3).T for f in (jnp.cos, jnp.sin))
    zero, one = jnp.zeros_like(cx), jnp.ones_like(cx)
    about_x = jnp.array([[one, zero, zero], [zero, cx, -sx], [zero, sx, cx]])
    about_y = jnp.array([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    about_z = jnp.array([[cz, -sz, zero], [sz, cz, zero], [zero, zero, one]])
    return jnp.einsum("ijb,jkb,klb->bil", about_z, about_y, about_x)


def _real(batch: Batch, frames: int) -> jax.Array:
    """bool[B,T]: true at frames of the clip, false at padding."""
    return jnp.arange(frames) < batch["length"][:, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mirror:
    """Mirrors x about the middle of the picture, and exchanges left and right points. Features that
    mirror left-handed clips undo it: use it with other features."""

    rate: float = 0.0

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del key
        twin_BTN3 = batch["landmarks"][:, :, features.source.selection.mirror]
        sign, offset = np.array([-1.0, 1.0, 1.0], "f4"), np.array([1.0, 0.0, 0.0], "f4")
        return batch | {"landmarks": twin_BTN3 * sign + offset}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise like a tracker's: every point of every frame moves independently."""

    rate: float = 0.0
    std: float = 0.003
    """Standard deviation of a coordinate, in widths and heights of the picture."""

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del features
        x_BTN3 = batch["landmarks"]
        return batch | {"landmarks": x_BTN3 + self.std * jax.random.normal(key, x_BTN3.shape)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenMask:
    """Hides characters that teacher forcing gives the decoder, so that it must read the clip."""

    rate: float = 0.0
    share: float = 0.2
    """Of the characters."""

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del features
        tokens_BL = batch["tokens"]
        hidden_BL = jax.random.bernoulli(key, self.share, tokens_BL.shape)
        return batch | {"given": jnp.where(hidden_BL, vocab.NONE, tokens_BL)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clips:
    """All changes, in the order in which they happen; by default none happens."""

    cutmix: cutmix_lib.CutMix = cutmix_lib.CutMix()
    resample: Resample = Resample()
    warp: Resample = Resample(windows=5)
    shift: Shift = Shift()
    affine: Affine = Affine()
    mirror: Mirror = Mirror()
    noise: Noise = Noise()
    tokens: TokenMask = TokenMask()
    time_mask: input_dropout.TimeMask = input_dropout.TimeMask()
    point_mask: input_dropout.PointMask = input_dropout.PointMask()
    finger_drop: input_dropout.FingerDrop = input_dropout.FingerDrop()
    hand_drop: input_dropout.PartDrop = input_dropout.PartDrop(
        parts=("right_hand", "left_hand"), share=0.2
    )
    face_drop: input_dropout.PartDrop = input_dropout.PartDrop()
    pose_drop: input_dropout.PartDrop = input_dropout.PartDrop(parts=("pose",))

    def mixed(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        """Rows that take parts of other rows: of a whole batch, before it is split."""
        del features
        for name, way in self._happening(MIXING):
            happens_B, way_key = _drawn(key, name, way.rate, len(batch["length"]))
            batch = way.apply(batch, happens_B, way_key)
        return batch

    def clips(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        """Changes each row by itself. `landmarks` f16 or f32 [B,T,N,3] becomes f32. `given`
        i32[B,L] may be added: the characters that teacher forcing gives the decoder."""
        if self._happening(TIMING) or "frames" in batch:
            # Every change of time is one of which frame is shown when: the frames are taken once.
            number_BT = jnp.zeros_like(batch["length"])[:, None] + jnp.arange(_frames(batch))
            batch = batch | {"time": number_BT.astype(jnp.float32)}
            batch = self._applied(TIMING, batch, key, features)
            shown = _shown(batch)
            batch = {k: v for k, v in batch.items() if k not in ("time", "frames")}
        else:
            shown = batch["landmarks"].astype(jnp.float32)
        return self._applied(CHANGES, batch | {"landmarks": shown}, key, features)

    def _applied(
        self, names: tuple[str, ...], batch: Batch, key: jax.Array, features: Any
    ) -> Batch:
        for name, way in self._happening(names):
            happens_B, way_key = _drawn(key, name, way.rate, len(batch["length"]))
            batch = _chosen(happens_B, way.apply(batch, way_key, features), batch)
        return batch

    def inputs(
        self, x_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array, features: Any
    ) -> jax.Array:
        """The network's inputs f32[B,S,F] with zeros for the values that are left out."""
        for name, way in self._happening(DROPS):
            happens_B, way_key = _drawn(key, name, way.rate, len(mask_BS))
            kept = way.kept(mask_BS, way_key, features.columns)
            x_BSF = jnp.where(kept | ~happens_B[:, None, None], x_BSF, 0.0)
        return x_BSF

    def _happening(self, names: tuple[str, ...]) -> list[tuple[str, Any]]:
        return [(name, way) for name in names if (way := getattr(self, name)).rate]


MIXING = ("cutmix",)
TIMING = ("resample", "warp", "shift")
CHANGES = ("affine", "mirror", "noise", "tokens")
DROPS = ("time_mask", "point_mask", "finger_drop", "hand_drop", "face_drop", "pose_drop")


def _frames(batch: Batch) -> int:
    """T: frames that the clips are padded to."""
    return batch["frames" if "frames" in batch else "landmarks"].shape[1]


def _drawn(key: jax.Array, name: str, rate: float, rows: int) -> tuple[jax.Array, jax.Array]:
    """bool[B], the rows in which a change happens, and its own key."""
    happens_key, way_key = jax.random.split(random_streams.named(key, name))
    return jax.random.bernoulli(happens_key, rate, (rows,)), way_key


def _chosen(happens_B: jax.Array, changed: Batch, batch: Batch) -> Batch:
    """The changed rows where the change happens; `given` is the tokens elsewhere."""
    batch = {"given": batch["tokens"]} | batch if "given" in changed else batch
    return {
        name: x if x is batch.get(name) else cutmix_lib.where(happens_B, x, batch[name])
        for name, x in changed.items()
    }
