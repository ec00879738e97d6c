"""Dropout of the network's inputs: frames, points, fingers or parts of the body.

`kept` is true at the values that stay, bool[B,S,F] or with 1 for B or S. `columns` names the point
of each of the F values ("right_hand_8"), or the part whose presence the value tells, or nothing.
Shape suffixes: B clips, S frames that the model sees, N things, F features.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from aslx.schema import landmarks


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeMask:
    """Leaves out a span of frames."""

    rate: float = 0.0
    share: float = 0.3
    """Longest span, as a share of the clip."""

    def kept(self, mask_BS: jax.Array, key: jax.Array, columns: tuple[str, ...]) -> jax.Array:
        return ~_stretch(mask_BS, key, self.share)[..., None] | np.zeros(len(columns), bool)


def _stretch(mask_BS: jax.Array, key: jax.Array, share: float) -> jax.Array:
    """bool[B,S]: a span somewhere in the clip, of up to a share of it."""
    length_B = mask_BS.sum(1)
    size_key, start_key = jax.random.split(key)
    size_B = share * jax.random.uniform(size_key, length_B.shape) * length_B
    start_B = jax.random.uniform(start_key, length_B.shape) * (length_B - size_B)
    at_S = jnp.arange(mask_BS.shape[1])
    return (at_S >= start_B[:, None]) & (at_S < (start_B + size_B)[:, None])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointMask:
    """Leaves out some points in the whole clip."""

    rate: float = 0.0
    share: float = 0.1
    """Share of the points."""

    def kept(self, mask_BS: jax.Array, key: jax.Array, columns: tuple[str, ...]) -> jax.Array:
        names = sorted({c for c in columns if c.rpartition("_")[2].isdigit()})
        gone_BN = jax.random.bernoulli(key, self.share, (len(mask_BS), len(names)))
        return ~_of(gone_BN, [[c == name for c in columns] for name in names])[:, None]


def _of(chosen_BN: jax.Array, columns_NF: list[list[bool]]) -> jax.Array:
    """bool[B,F]: the columns of the chosen points or fingers."""
    return (chosen_BN.astype(jnp.float32) @ np.array(columns_NF, np.float32)) > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FingerDrop:
    """Leaves out some fingers, joints and tip, in the whole clip."""

    rate: float = 0.0
    share: float = 0.2
    """Share of the fingers."""

    def kept(self, mask_BS: jax.Array, key: jax.Array, columns: tuple[str, ...]) -> jax.Array:
        fingers = [
            {f"{hand}_hand_{i}" for i in joints}
            for hand in ("right", "left")
            for joints in landmarks.FINGERS.values()
        ]
        gone_BN = jax.random.bernoulli(key, self.share, (len(mask_BS), len(fingers)))
        return ~_of(gone_BN, [[c in finger for c in columns] for finger in fingers])[:, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartDrop:
    """Leaves out parts of the body: in a span of frames, or in the whole clip."""

    rate: float = 0.0
    parts: tuple[str, ...] = ("face",)
    """Of "right_hand" (the dominant one), "left_hand", "pose" and "face"."""
    share: float = 1.0
    """Longest span, as a share of the clip; 1: always the whole clip."""

    def kept(self, mask_BS: jax.Array, key: jax.Array, columns: tuple[str, ...]) -> jax.Array:
        of_F = np.array([c.rpartition("_")[0] in self.parts or c in self.parts for c in columns])
        if self.share == 1:
            return jnp.broadcast_to(~of_F, (len(mask_BS), 1, len(columns)))
        return ~(_stretch(mask_BS, key, self.share)[..., None] & of_F)
