"""Features of a stream: each frame's depend on the frames before it, and on none after it.

A state goes from frame to frame, so a clip may be cut anywhere: `Streaming.advance` of its pieces
gives what it gives of the whole clip. Shape suffixes: B clips, T frames, N points, D features.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from aslx.inputs import input_kinds, phrase_features, resampling
from aslx.schema import landmarks as landmarks_lib

_RIGHT, _LEFT = "right_hand", "left_hand"
_MIDDLE = np.float32(0.5)  # Of the picture: squares of places about it lose fewer digits.

State = dict[str, jax.Array]
Run = tuple[jax.Array, jax.Array]  # Of frames: what is left of what was before, and what they add.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Streaming:
    """The causal twin of `phrase_features.Modern`: points normalised twice, per frame and over the
    last seconds, and their velocities.

    What `Modern` takes of the whole clip are running sums here, in which a frame's weight falls by
    1 / e in `memory` frames. The dominant hand is the one that was seen more in them, so a wrong
    first choice is mended. Every frame is kept: a camera's rate is made the network's before.
    """

    parts: tuple[str, ...] = (_RIGHT,)
    """Parts of the body, after left-handed frames are mirrored."""
    rate: float = 30.0
    """Frames a second of the clips. A stream of another rate is interpolated in time."""
    memory: int = 120
    """Frames; four seconds at 30 a second."""
    max_frames: int = 384
    """Frames of a clip that is read at once."""
    min_frames: ClassVar[int] = 0

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
        """Numbers of values: of each part, and last of the presence of parts."""
        return *(9 * len(self.selection.part(part)) for part in self.parts), len(self.parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The point of each feature, or the part whose presence it tells."""
        points = self.selection.points
        of_parts = [[points[i] for i in self.selection.part(part)] for part in self.parts]
        blocks = (part for part in of_parts for _ in range(3))
        return *(point for block in blocks for point in block for _ in range(3)), *self.parts

    def frames(self, clip_frames: int) -> int:
        """Frames that the model sees of a batch padded to `clip_frames`."""
        return min(clip_frames, self.max_frames)

    def __call__(
        self, landmarks_BTN3: jax.Array, length_B: jax.Array, frames: int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """f16 or f32 [B,T,N,3], i32[B] -> f32[B,S,D], bool[B,S] with S = `frames`, of the first S
        frames of whole clips."""
        frames = frames or self.frames(landmarks_BTN3.shape[1])
        x_BTC = resampling.first(resampling.coordinates(landmarks_BTN3), length_B, frames)
        x_BTN3 = x_BTC.reshape(*x_BTC.shape[:2], -1, 3)
        mask_BT = resampling.real(length_B, frames)
        return self.advance(self.start(len(x_BTN3)), x_BTN3, mask_BT)[0], mask_BT

    def moments(self, landmarks_BTN3: jax.Array, length_B: jax.Array) -> jax.Array:
        """f32[B,S]: the frame of the clip, from 0, at each frame that the model sees."""
        del length_B
        frames = self.frames(landmarks_BTN3.shape[1])
        return jnp.broadcast_to(
            jnp.arange(frames, dtype=jnp.float32), (len(landmarks_BTN3), frames)
        )

    def start(self, batch: int) -> State:
        """The state before the first frame of `batch` streams: the running sums, and the frame
        before."""
        points = len(self.selection.points)
        return {
            "sums": jnp.zeros((batch, 2, _SUMS)),
            "before": jnp.full((batch, 1, points, 3), jnp.nan),
        }

    def advance(
        self, state: State, landmarks_BTN3: jax.Array, mask_BT: jax.Array
    ) -> tuple[jax.Array, State]:
        """The features f32[B,T,D] of the next frames, 0 where the mask is false, and the state
        behind them. Frames that are no real ones come last."""
        # As in records, so that serving sees the values of training; TFLite computes no float16.
        x_BTN3 = landmarks_BTN3.astype(jnp.float16).astype(jnp.float32)
        known = mask_BT[..., None, None] & (jnp.abs(x_BTN3) < jnp.inf)
        x_BTN3 = jnp.where(known, x_BTN3, jnp.nan)
        sums_BT2K = self._running(state["sums"], x_BTN3, mask_BT)
        seen_BT2 = sums_BT2K[..., 0]
        left_BT = seen_BT2[..., 1] > seen_BT2[..., 0]
        mean_BT3, scale_BT3 = _place(
            jnp.where(left_BT[..., None], sums_BT2K[..., 1, :], sums_BT2K[..., 0, :])
        )
        before_BTN3 = jnp.concatenate([state["before"], x_BTN3[:, :-1]], 1)
        now, before = (
            phrase_features.right_handed(x, left_BT, self.selection) for x in (x_BTN3, before_BTN3)
        )
        blocks, seen = [], []
        for part in self.parts:
            at = self.selection.part(part)
            points = now[:, :, at]
            scale = scale_BT3[:, :, None]
            blocks += [
                phrase_features.standardised(points),
                (points - mean_BT3[:, :, None]) * scale,
                (points - before[:, :, at]) * scale,
            ]
            seen.append(~jnp.isnan(points[:, :, 0, 0]))
        flat = [block.reshape(*block.shape[:2], -1) for block in blocks]
        out_BTD = jnp.nan_to_num(jnp.concatenate([*flat, jnp.stack(seen, -1) * 1.0], -1))
        out_BTD = jnp.where(mask_BT[..., None], out_BTD, 0.0)
        return out_BTD, {"sums": sums_BT2K[:, -1], "before": self._last(state, x_BTN3, mask_BT)}

    def _running(self, before_B2K: jax.Array, x_BTN3: jax.Array, mask_BT: jax.Array) -> jax.Array:
        """f32[B,T,2,K]: the sums up to each frame, of the right hand and of the mirrored left."""
        every = jnp.ones((1, 1), bool)
        hands = x_BTN3, phrase_features.right_handed(x_BTN3, every, self.selection)
        right = self.selection.part(_RIGHT)
        each_BT2K = jnp.stack([_of_frame(hand[:, :, right]) for hand in hands], 2)
        decay = np.float32(math.exp(-1 / self.memory))
        share_BT = jnp.where(mask_BT, decay, 1.0)
        share_BT11 = jnp.broadcast_to(share_BT[..., None, None], each_BT2K.shape)
        total_BT11, own_BT2K = jax.lax.associative_scan(_after, (share_BT11, each_BT2K), axis=1)
        return total_BT11 * before_B2K[:, None] + own_BT2K

    def _last(self, state: State, x_BTN3: jax.Array, mask_BT: jax.Array) -> jax.Array:
        """The last real frame, f32[B,1,N,3]."""
        every = jnp.concatenate([state["before"], x_BTN3], 1)
        last_B = mask_BT.sum(1)
        return jnp.take_along_axis(every, last_B[:, None, None, None], 1)


_SUMS = 8  # Frames in which the hand was whole; its points; sums of x, y, z; and of their squares.


def _of_frame(hand_BTN3: jax.Array) -> jax.Array:
    """f32[B,T,8]: what a frame adds to the sums."""
    known = ~jnp.isnan(hand_BTN3).any((2, 3))
    x_BTN3 = jnp.where(known[..., None, None], hand_BTN3 - _MIDDLE, 0.0)
    seen_BT1 = known[..., None] * 1.0
    counts = seen_BT1, seen_BT1 * hand_BTN3.shape[2]
    return jnp.concatenate([*counts, x_BTN3.sum(2), jnp.square(x_BTN3).sum(2)], -1)


def _after(one: Run, next_: Run) -> Run:
    """Two runs of frames as one."""
    (left, added), (next_left, next_added) = one, next_
    return left * next_left, next_left * added + next_added


def _place(sums_BTK: jax.Array) -> tuple[jax.Array, jax.Array]:
    """f32[B,T,3] twice: the hand's mean place, and 1 over its spread, per axis."""
    count_BT1 = jnp.maximum(sums_BTK[..., 1:2], 1e-6)
    mean_BT3 = sums_BTK[..., 2:5] / count_BT1
    variance_BT3 = sums_BTK[..., 5:8] / count_BT1 - jnp.square(mean_BT3)
    return mean_BT3 + _MIDDLE, jax.lax.rsqrt(jnp.maximum(variance_BT3, 0.0) + 1e-6)
