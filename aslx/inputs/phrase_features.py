"""Landmarks -> model inputs, in JAX: one definition that trains, evaluates, serves and is exported.

Shape suffixes: B clips, T frames of the clip (may be symbolic in an export), S frames that the
model sees (always static), N points, C coordinates (3 N, point by point), D features.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from aslx.inputs import input_kinds, resampling
from aslx.schema import landmarks as landmarks_lib

_RIGHT, _LEFT = "right_hand", "left_hand"


def _standard_hand(x_BTC: jax.Array) -> jax.Array:
    """A hand f32[B,T,3 n], standardised over its points per frame and axis; NaN where lost."""
    points = x_BTC.shape[2] // 3
    mean_C3 = np.tile(np.eye(3, dtype=np.float32), (points, 1)) / points

    def mean(x_BTC: jax.Array) -> jax.Array:
        """f32[B,T,3]."""
        return jnp.matmul(x_BTC, mean_C3, precision=resampling.EXACT)

    def each(x_BT3: jax.Array) -> jax.Array:
        return jnp.tile(x_BT3, (1, 1, points))

    known_BTC = jnp.nan_to_num(x_BTC)
    centred_BTC = known_BTC - each(mean(known_BTC))
    variance_BT3 = mean(jnp.square(centred_BTC))
    standard_BTC = centred_BTC * each(jax.lax.rsqrt(jnp.maximum(variance_BT3, 1e-12)))
    return jnp.where(jnp.isnan(x_BTC), jnp.nan, standard_BTC)


def _points(x_BSC: jax.Array) -> jax.Array:
    return x_BSC.reshape(*x_BSC.shape[:2], -1, 3)


def right_handed(
    x_BSN3: jax.Array, left_BS: jax.Array, selection: landmarks_lib.Selection
) -> jax.Array:
    """Left-handed frames mirrored: x about 0.5, left and right points exchanged. `left_BS` is
    bool[B,1] where a clip is left-handed as a whole."""
    flipped = x_BSN3[:, :, selection.mirror] * np.array([-1, 1, 1], np.float32)
    flipped = flipped + np.array([1, 0, 0], np.float32)
    return jnp.where(left_BS[..., None, None], flipped, x_BSN3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """The features of both published fingerspelling baselines: 78 values in 128 frames.

    The dominant hand, standardised per frame and axis, and the pose's five points of that arm as
    they are; zero-padded, or resized bilinearly; zero where a value that enters is missing.
    """

    min_frames: ClassVar[int] = 0

    @property
    def selection(self) -> landmarks_lib.Selection:
        return landmarks_lib.HANDS_ARMS

    @property
    def source(self) -> input_kinds.Columns:
        return input_kinds.Columns(self.selection)

    @property
    def num_features(self) -> int:
        return 78

    @property
    def max_frames(self) -> int:
        return 128

    @property
    def columns(self) -> tuple[str, ...]:
        """The point of each feature."""
        points = [self.selection.points[i] for i in (*self.selection.part(_RIGHT), *self._arm)]
        return tuple(point for point in points for _ in range(3))

    @property
    def _arm(self) -> np.ndarray:
        """Elbow, wrist, little, index and thumb of the right arm: even numbers of the pose."""
        return self.selection.indices(*(f"pose_{i}" for i in (14, 16, 18, 20, 22)))

    def frames(self, clip_frames: int) -> int:
        """Frames that the model sees of a batch padded to `clip_frames`."""
        del clip_frames
        return self.max_frames

    def __call__(
        self, landmarks_BTN3: jax.Array, length_B: jax.Array, frames: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """f16 or f32 [B,T,52,3], i32[B] -> f32[B,128,78], bool[B,128]."""
        frames = frames or self.frames(landmarks_BTN3.shape[1])
        x_BTC = resampling.coordinates(landmarks_BTN3)
        real_BT, _, left_B = resampling.hands(x_BTC, length_B, self.selection)
        hand_BTC, arm_BTC = (
            resampling.dominant(x_BTC, left_B, self.selection, points)
            for points in (self.selection.part(_RIGHT), self._arm)
        )
        # The baselines standardise first and resize then; the two do not commute.
        both_BTD = jnp.concatenate([_standard_hand(hand_BTC), arm_BTC], -1)
        # A resize that meets one NaN gives NaN, and the baselines zeroed those.
        mixed = resampling.mix(real_BT, frames, first=True)
        return resampling.whole(both_BTD, mixed), mixed.mask

    def moments(self, landmarks_BTN3: jax.Array, length_B: jax.Array) -> jax.Array:
        """f32[B,128]: the frame of the clip, from 0, at each frame that the model sees."""
        clip_frames = landmarks_BTN3.shape[1]
        real_BT = resampling.real(length_B, clip_frames)
        return resampling.moments(resampling.mix(real_BT, self.max_frames, first=True), clip_frames)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Modern:
    """Points normalised twice, per frame and over the clip, and their velocities.

    The two normalisations, per part and frame for the shape of the hand and over the sequence for
    its place and motion, follow the competition's first place (Henkel and Hanley 2023).
    """

    parts: tuple[str, ...] = (_RIGHT,)
    """Parts of the body, after left-handed clips are mirrored."""
    min_frames: int = 0
    """Frames that the model sees at least; a shorter clip is interpolated."""
    max_frames: int = 128
    """Frames that the model sees at most; a longer clip is interpolated."""
    only_hands: bool = True
    """Leave out the frames that do not show the dominant hand (41 % of Kaggle's)."""
    velocities: bool = True

    @property
    def selection(self) -> landmarks_lib.Selection:
        return landmarks_lib.of_parts((_RIGHT, _LEFT, *self.parts))

    @property
    def source(self) -> input_kinds.Columns:
        return input_kinds.Columns(self.selection)

    @property
    def num_features(self) -> int:
        return sum(self.groups)

    @property
    def groups(self) -> tuple[int, ...]:
        """Numbers of values: of each part, and last of the presence of parts and the time."""
        each = (self._values * len(self.selection.part(part)) for part in self.parts)
        return *each, len(self.parts) + 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The point of each feature, the part whose presence it tells, or nothing."""
        points = self.selection.points
        of_parts = [[points[i] for i in self.selection.part(part)] for part in self.parts]
        blocks = (part for part in of_parts for _ in range(self._values // 3))
        return *(point for block in blocks for point in block for _ in range(3)), *self.parts, ""

    @property
    def _values(self) -> int:
        """Of a point: its place in the part, in the clip, and its velocity."""
        return 3 * (3 if self.velocities else 2)

    def frames(self, clip_frames: int) -> int:
        """Frames that the model sees of a batch padded to `clip_frames`."""
        return max(self.min_frames, min(clip_frames, self.max_frames))

    def __call__(
        self, landmarks_BTN3: jax.Array, length_B: jax.Array, frames: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """f16 or f32 [B,T,N,3], i32[B] -> f32[B,S,D], bool[B,S] with S = `frames`."""
        frames = frames or self.frames(landmarks_BTN3.shape[1])
        x_BTC = resampling.coordinates(landmarks_BTN3)
        real_BT, hand_BT, left_B = resampling.hands(x_BTC, length_B, self.selection)
        mixed = self._mix(real_BT, hand_BT, frames)
        mask_BS = mixed.mask
        values_BSC, presence_BSC = resampling.resample(x_BTC, mixed)
        # Kept frames are whole or missing by part: a place between two that differ is whole.
        values_BSC = jnp.where(presence_BSC > 0, values_BSC, jnp.nan)
        x_BSN3 = right_handed(_points(values_BSC), left_B[:, None], self.selection)
        parts = [x_BSN3[:, :, self.selection.part(part)] for part in self.parts]
        hand = x_BSN3[:, :, self.selection.part(_RIGHT)]
        seen = jnp.stack([~jnp.isnan(part[:, :, 0, 0]) for part in parts], -1)
        blocks = [block for part in parts for block in self._blocks(hand, part, mask_BS)]
        flat = [block.reshape(*block.shape[:2], -1) for block in blocks]
        # How many frames lie between two of these: how long a sign is held, where a hand was lost.
        at_BS = resampling.moments(mixed, x_BTC.shape[1])
        passed_BS = jnp.diff(at_BS, axis=1, prepend=-1.0)
        beside = [seen.astype(jnp.float32), jnp.log1p(jnp.maximum(passed_BS, 0.0))[..., None]]
        out_BSD = jnp.nan_to_num(jnp.concatenate([*flat, *beside], -1))
        return jnp.where(mask_BS[..., None], out_BSD, 0.0), mask_BS

    def moments(self, landmarks_BTN3: jax.Array, length_B: jax.Array) -> jax.Array:
        """f32[B,S]: the frame of the clip, from 0, at each frame that the model sees."""
        real_BT, hand_BT, _ = resampling.hands(
            resampling.coordinates(landmarks_BTN3), length_B, self.selection
        )
        clip_frames = landmarks_BTN3.shape[1]
        mixed = self._mix(real_BT, hand_BT, self.frames(clip_frames))
        return resampling.moments(mixed, clip_frames)

    def _mix(self, real_BT: jax.Array, hand_BT: jax.Array, frames: int) -> resampling.Mix:
        if self.only_hands:
            return resampling.mix(hand_BT, frames, self.min_frames)
        return resampling.mix(real_BT, frames, self.min_frames, first=True)

    def _blocks(
        self, hand: jax.Array, part: jax.Array, mask_BS: jax.Array
    ) -> tuple[jax.Array, ...]:
        """A part's shape, its place and its velocity: [B,S,n,3] each."""
        place = _over_clip(hand, part, mask_BS)
        velocity = (_velocity(place),) if self.velocities else ()
        return standardised(part), place, *velocity


def standardised(points_BSN3: jax.Array) -> jax.Array:
    """Per frame and axis, over the points: (x - mean) / std."""
    centred = points_BSN3 - points_BSN3.mean(2, keepdims=True)
    variance = jnp.square(centred).mean(2, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.maximum(variance, 1e-12))


def _over_clip(hand_BSN3: jax.Array, points_BSN3: jax.Array, mask_BS: jax.Array) -> jax.Array:
    """Points relative to the hand's mean place, in units of the hand's spread, over the clip."""
    known = mask_BS[:, :, None, None] & ~jnp.isnan(hand_BSN3)
    count = jnp.maximum(known.astype(jnp.float32).sum((1, 2), keepdims=True), 1)
    mean = jnp.where(known, hand_BSN3, 0.0).sum((1, 2), keepdims=True) / count
    away = jnp.where(known, jnp.square(hand_BSN3 - mean), 0.0)
    variance = away.sum((1, 2), keepdims=True) / count
    return (points_BSN3 - mean) * jax.lax.rsqrt(variance + 1e-6)


def _velocity(x_BSN3: jax.Array) -> jax.Array:
    """x[s] - x[s - 1]; 0 at the start, NaN where either is missing."""
    return jnp.pad(x_BSN3[:, 1:] - x_BSN3[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
