"""Clips of a class -> model inputs; images are in image_features.py, phrases in features.py.

Shape suffixes: B clips, T frames of the clip (may be symbolic), S frames that the model sees
(static), N points, D features.
"""

import dataclasses

import jax
import jax.numpy as jnp

from aslx import features, sources


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keypoints:
    """The keypoint seed's: each frame's values as they are, zeros where a part was lost. A clip of
    another length than `max_frames` is interpolated to it."""

    face: bool = True
    """Whether the face's 1,404 of the 1,662 values enter."""
    max_frames: int = 30
    """Frames that the model sees."""

    @property
    def source(self) -> sources.Keypoints:
        return sources.Keypoints(self.face)

    @property
    def num_features(self) -> int:
        return self.source.shape[1]

    def __call__(
        self, keypoints_BTD: jax.Array, length_B: jax.Array, frames: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """f16 or f32 [B,T,D], i32[B] -> f32[B,S,D], bool[B,S]."""
        del frames  # Always as many.
        # What records store, so what is served was trained on.
        x_BTD = keypoints_BTD.astype(jnp.float16).astype(jnp.float32)
        real_BT = jnp.arange(x_BTD.shape[1])[None, :] < length_B[:, None]
        x_BSD, _, mask_BS = features.resample(x_BTD, real_BT, self.max_frames, self.max_frames)
        return x_BSD, mask_BS
