"""Where a phrase ends: a rule of hands and pauses, read a chunk at a time."""

import jax.numpy as jnp
import numpy as np
import pytest

from aslx import errors
from aslx.decode import decoding_options, endpointing

CHUNK = 8


def ruled(hand_S, written_M, rests, stride=2) -> list[tuple[bool, bool]]:
    """(ended, gone) of each chunk."""
    state, found = endpointing.start(1), []
    for i in range(0, len(hand_S), CHUNK):
        hand_BS = np.zeros((1, CHUNK), bool)
        frames = len(hand_S[i : i + CHUNK])
        hand_BS[0, :frames] = hand_S[i : i + CHUNK]
        written_BM = np.zeros((1, CHUNK // stride), bool)
        mine = written_M[i // stride : (i + CHUNK) // stride]
        written_BM[0, : len(mine)] = mine
        ended, gone, state = endpointing.advance(
            state,
            jnp.asarray(hand_BS),
            jnp.asarray(written_BM),
            jnp.array([frames]),
            jnp.asarray(rests),
        )
        found.append((bool(ended[0]), bool(gone[0])))
    return found


def by_frames(hand_S, written_M, rests, stride=2) -> list[tuple[bool, bool]]:
    """The rule in words: one frame after the other."""
    unseen = quiet = None
    found = []
    for t, hand in enumerate(hand_S):
        if hand:
            unseen = 0
        elif unseen is not None:
            unseen += 1
        last = (t + 1) % stride == 0 or t == len(hand_S) - 1
        writes = last and written_M[t // stride]
        if writes:
            quiet = 0
        elif quiet is not None:
            quiet += 1
        if (t + 1) % CHUNK == 0 or t == len(hand_S) - 1:
            gone = rests[0] > 0 and unseen is not None and unseen >= rests[0]
            paused = rests[1] > 0 and quiet is not None and quiet >= rests[1]
            ended = quiet is not None and (gone or paused)
            quiet = None if ended else quiet
            unseen = None if gone else unseen
            found.append((ended, gone))
    return found


@pytest.mark.parametrize("rests", [(12, 30), (0, 20), (16, 0), (0, 0)])
def test_the_rule_a_chunk_at_a_time_is_the_rule_a_frame_at_a_time(rests):
    rng, ends = np.random.default_rng(0), 0
    for length in (5, 8, 203, 400):
        hand_S = np.repeat(rng.random(-(-length // 10)) < 0.5, 10)[:length]
        written_M = rng.random(-(-length // 2)) < 0.05
        found = ruled(hand_S, written_M, rests)
        assert found == by_frames(hand_S, written_M, rests)
        ends += sum(ended for ended, _ in found)
    assert (ends > 5) == (rests != (0, 0))


def test_a_phrase_ends_once_and_only_if_it_has_text():
    frames, nothing = np.zeros(400, bool), np.zeros(200, bool)
    assert ruled(frames, nothing, (24, 75)) == [(False, False)] * 50  # Nobody is there.
    frames[40:80], text = True, nothing.copy()
    # A hand that spells nothing: the state begins anew, and no phrase has ended.
    assert [i for i, of in enumerate(ruled(frames, nothing, (24, 75))) if any(of)] == [12]
    text[30] = True
    found = ruled(frames, text, (24, 75))
    assert [i for i, of in enumerate(found) if any(of)] == [12] and found[12] == (True, True)
    frames[:] = True  # The hand stays where it is: the pause ends the phrase, and nothing is lost.
    found = ruled(frames, text, (24, 75))
    assert [i for i, of in enumerate(found) if any(of)] == [17] and found[17] == (True, False)


def test_rests_are_seconds_and_a_negative_one_is_refused():
    assert decoding_options.Rests().frames(30.0).tolist() == [24, 75]
    with pytest.raises(errors.BadInput, match="rests: pause -1: give 0 to 3600 seconds"):
        decoding_options.Rests(pause=-1)
