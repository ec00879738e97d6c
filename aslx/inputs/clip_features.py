"""Clips of classes -> model inputs; images are in image_features.py, phrases in
phrase_features.py.

Shape suffixes: B clips, T frames of the clip (may be symbolic), S frames that the model sees
(static), N points, D features.
"""

import dataclasses

import jax
import jax.numpy as jnp

from aslx.inputs import input_kinds, resampling
from aslx.schema import landmarks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keypoints:
    """The published keypoint baseline's features: each frame's values as they are, zeros where a
    part was lost. A clip of another length than `max_frames` is interpolated to it."""

    face: bool = True
    """Whether the face's 1,404 of the 1,662 values enter."""
    max_frames: int = 30
    """Frames that the model sees."""

    @property
    def source(self) -> input_kinds.Keypoints:
        return input_kinds.Keypoints(self.face)

    @property
    def num_features(self) -> int:
        return self.source.shape[1]

    def __call__(
        self, keypoints_BTD: jax.Array, length_B: jax.Array, frames: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """f16 or f32 [B,T,D], i32[B] -> f32[B,S,D], bool[B,S]."""
        del frames  # Always as many.
        x_BTD = resampling.as_stored(keypoints_BTD)
        real_BT = resampling.real(length_B, x_BTD.shape[1])
        mixed = resampling.mix(real_BT, self.max_frames, self.max_frames, first=True)
        return mixed(x_BTD)[0], mixed.mask


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signs:
    """118 points of hands, lips, nose and eyes, x and y, and their motion over one frame and two:
    708 values (hoyso48, first place of Google - Isolated Sign Language Recognition, 2023)."""

    max_frames: int = 128
    """Frames that the model sees at most; a longer clip is interpolated."""

    @property
    def source(self) -> input_kinds.Frames:
        return input_kinds.Frames(landmarks.of_parts(("right_hand", "left_hand", "face")))

    @property
    def num_features(self) -> int:
        return 3 * 2 * len(self.source.selection.points)

    def __call__(
        self, landmarks_BTN3: jax.Array, length_B: jax.Array, frames: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """f16 or f32 [B,T,118,3], i32[B] -> f32[B,S,708], bool[B,S]."""
        frames = frames or min(landmarks_BTN3.shape[1], self.max_frames)
        x_BTC = resampling.coordinates(landmarks_BTN3)
        mixed = resampling.mix(resampling.real(length_B, x_BTC.shape[1]), frames, first=True)
        x_BSC, presence_BSC = resampling.resample(x_BTC, mixed)
        x_BSC = jnp.where(presence_BSC > 0, x_BSC, jnp.nan)
        x_BSN2 = x_BSC.reshape(*x_BSC.shape[:2], -1, 3)[..., :2]
        # Relative to the middle of the lower lip, over the whole clip.
        (lip,) = self.source.selection.indices("face_17")
        middle_B112 = _mean(x_BSN2[:, :, lip : lip + 1], 0.5)
        x_BSN2 = x_BSN2 - middle_B112
        x_BSN2 = x_BSN2 * jax.lax.rsqrt(_mean(jnp.square(x_BSN2), 1.0) + 1e-12)
        blocks = [x_BSN2, _ahead(x_BSN2, 1), _ahead(x_BSN2, 2)]
        flat = [block.reshape(*block.shape[:2], -1) for block in blocks]
        out_BSD = jnp.nan_to_num(jnp.concatenate(flat, -1))
        return jnp.where(mixed.mask[..., None], out_BSD, 0.0), mixed.mask


def _mean(x_BSN2: jax.Array, otherwise: float) -> jax.Array:
    """[B,1,1,2]: the mean over frames and points that are not NaN, or `otherwise`."""
    known = ~jnp.isnan(x_BSN2)
    count = known.astype(jnp.float32).sum((1, 2), keepdims=True)
    total = jnp.where(known, x_BSN2, 0.0).sum((1, 2), keepdims=True)
    return jnp.where(count > 0, total / jnp.maximum(count, 1), otherwise)


def _ahead(x_BSN2: jax.Array, by: int) -> jax.Array:
    """x[s + by] - x[s]; 0 at the end, NaN where either is missing."""
    by = min(by, x_BSN2.shape[1])
    return jnp.pad(x_BSN2[:, by:] - x_BSN2[:, :-by], ((0, 0), (0, by), (0, 0), (0, 0)))
