"""Where a phrase of a stream ends: when no hand was seen for so long, or nothing was written.

A part of the exported step, so that every runtime rules alike. Shape suffixes: B streams, S frames,
M positions.
"""

import jax
import jax.numpy as jnp

State = dict[str, jax.Array]

_NEVER = -1  # In place of a count: not since the phrase began.


def start(batch: int) -> State:
    """The state before the first frame: frames since a hand was seen and since a character was
    written, i32[B] each."""
    never_B = jnp.full(batch, _NEVER, jnp.int32)
    return {"quiet": never_B, "unseen": never_B}


def advance(
    state: State, hand_BS: jax.Array, written_BM: jax.Array, frames_B: jax.Array, rests: jax.Array
) -> tuple[jax.Array, jax.Array, State]:
    """bool[B] twice: whether a phrase with text ended in the next frames, and whether the hands
    went, so that the whole state of the stream begins anew; and the state behind the frames.

    The frames of the mask `hand_BS` show a hand, and `written_BM` tells at which positions a
    character was written, of the first `frames_B` frames. `rests` i32[2] are
    `decoding_options.Rests.frames`.

    A pause ends the text alone. A hand that is still held would be read again by a network that
    begins anew, and what was before the pause is forgotten anyway: a network's past is bounded.
    """
    stride = hand_BS.shape[1] // written_BM.shape[1]
    unseen_B = _since(state["unseen"], hand_BS, frames_B, 1)
    quiet_B = _since(state["quiet"], written_BM, frames_B, stride)
    gone_B = (unseen_B >= rests[0]) & (rests[0] > 0)
    paused_B = (quiet_B >= rests[1]) & (rests[1] > 0)
    ended_B = (quiet_B != _NEVER) & (gone_B | paused_B)
    after = {
        "quiet": jnp.where(ended_B, _NEVER, quiet_B),
        "unseen": jnp.where(gone_B, _NEVER, unseen_B),
    }
    return ended_B, gone_B, after


def _since(before_B: jax.Array, marks_BT: jax.Array, frames_B: jax.Array, each: int) -> jax.Array:
    """i32[B]: frames since the last mark, of which there is one for `each` frames."""
    end_T = (jnp.arange(marks_BT.shape[1], dtype=jnp.int32) + 1) * each
    last_B = jnp.minimum(jnp.where(marks_BT, end_T, 0).max(1), frames_B)
    still_B = jnp.where(before_B == _NEVER, _NEVER, before_B + frames_B)
    return jnp.where(last_B > 0, frames_B - last_B, still_B)
