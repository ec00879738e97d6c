"""The ways in which people make a character: one or several forms, each a range of every angle.

Angles, palms and strokes are those of `synthetic_hand.handshapes`, in degrees; a pair is a range,
and a signer's habit lies anywhere in it. A range's ends are in the order in which the joints of a
finger go together: a fist bends more at the knuckle and less after it, or the other way round.

The forms are those in which charts of the manual alphabet differ (palms that face the viewer or
the side, an open and a closed E, K and P, G and Q at several tilts), and the variants of E of
Keane, Brentari and Riggle 2013. A range reaches from what charts show to what was measured on two
signers, with the tracker's depth corrected, and 10 to 20 degrees beyond. So folded fingers pass
anatomy's 110 degrees at the second joint: trackers see them so.
"""

from typing import NamedTuple

import numpy as np

from aslx.prepare.synthetic_hand import handshapes, strokes
from aslx.schema import vocab

Joints = tuple[tuple[float, float], ...]

# A finger: flexion of knuckle (MCP), PIP and DIP.
OUT = ((-4, 28), (0, 15), (0, 14))
FIST = ((86, 38), (78, 150), (65, 15))
HOOK = ((0, 28), (45, 95), (30, 65))
CURVE = ((0, 35), (18, 45), (12, 38))
TOWARDS = ((5, 45), (12, 38), (12, 75))
OVAL = ((58, 20), (48, 90), (22, 50))
BUD = ((45, 5), (68, 130), (40, 15))
PINCH = ((30, 65), (30, 70), (20, 50))
OVER = ((52, 12), (52, 158), (50, 12))
OVER_OF_T = ((66, 32), (40, 85), (80, 28))
HANGING = ((60, 95), (0, 40), (0, 25))
CLOSED_E = ((48, 6), (80, 160), (45, 8))
OPEN_E = ((-5, 25), (80, 110), (35, 75))
POINTING = ((50, 90), (0, 14), (0, 12))  # From the knuckle alone.
HALF = ((8, 80), (0, 18), (0, 14))
MIDDLE_OF_K = ((28, 84), (0, 20), (0, 24))
MIDDLE_OF_P = ((45, 115), (0, 30), (0, 20))
EASY_LITTLE = ((0, 36), (2, 30), (0, 28))

# A thumb: radial and palmar angle, flexion of MCP and IP.
SIDE = ((12, 36), (0, 28), (0, 30), (3, 50))
ACROSS = ((-6, 20), (0, 42), (28, 66), (8, 46))
LOOSE = ((-4, 28), (3, 42), (8, 52), (8, 52))  # Somewhere near folded fingers.
TUCKED = ((-2, 22), (3, 44), (14, 62), (2, 48))
UNDER = ((-10, 16), (2, 40), (22, 60), (8, 45))  # Fingers that fold over it.
IN_FRONT = ((8, 28), (6, 46), (24, 78), (36, 68))  # Of a fist.
BELOW = ((6, 26), (6, 42), (30, 62), (36, 64))  # The fingertips.
ROUND = ((0, 42), (14, 56), (4, 38), (3, 70))
AWAY = ((26, 70), (2, 34), (0, 18), (4, 42))
BETWEEN = ((-4, 22), (2, 34), (5, 40), (0, 26))
BESIDE = ((-12, 40), (8, 55), (0, 34), (0, 22))  # Along a pointing index finger.

# Sideways angles of four fingers.
NEAR = ((-12, 2), (-6, 4), (-6, 6), (-6, 12))
UP = ((-12, 2), (-6, 4), (-8, 6), (-28, 4))  # A little finger alone.
WIDE = ((2, 18), (-3, 7), (-14, 0), (-30, -6))
BESIDE_THUMB = ((-2, 16), (-14, 8), (-12, 6), (-12, 10))  # Of K and P.
VEE = ((5, 20), (-18, -5), (-12, 6), (-12, 10))
CROSSED = ((-24, -5), (-3, 12), (-12, 4), (-12, 8))

# A palm: yaw, pitch, roll.
VIEWER = ((-6, 46), (-10, 24), (-28, 8))
SIDEWAYS = ((42, 95), (-10, 28), (-22, 12))
LEVEL = ((118, 190), (5, 48), (-100, -40))
UPRIGHT_LEVEL = ((45, 115), (0, 48), (-18, 14))
DOWN = ((95, 190), (5, 48), (-170, -90))
FORWARD = ((-15, 35), (15, 100), (-22, 18))
BENT_DOWN = ((-15, 30), (100, 175), (-25, 25))


class Form(NamedTuple):
    """A way to make a character."""

    thumb: Joints
    fingers: tuple[Joints, ...]  # From the index finger to the little finger.
    spread: Joints
    palm: Joints
    share: float = 1.0  # Of the signers, against the character's other forms.
    stroke: str = "still"


INDEX, TWO = (OUT, FIST, FIST, FIST), (OUT, OUT, FIST, FIST)
FISTS, OUTS, LITTLE = (FIST,) * 4, (OUT,) * 4, (FIST, FIST, FIST, EASY_LITTLE)

LETTERS: dict[str, tuple[Form, ...]] = {
    "a": (Form(SIDE, FISTS, NEAR, VIEWER, 3), Form(SIDE, FISTS, NEAR, SIDEWAYS)),
    "b": (Form(TUCKED, OUTS, NEAR, VIEWER),),
    "c": (
        Form(ROUND, (CURVE,) * 4, NEAR, SIDEWAYS, 2),
        Form(ROUND, (TOWARDS,) * 4, NEAR, VIEWER),
    ),
    "d": (
        Form(ROUND, (OUT, OVAL, OVAL, OVAL), NEAR, VIEWER, 2),
        Form(ROUND, (OUT, OVAL, OVAL, OVAL), NEAR, SIDEWAYS),
        Form(ROUND, (OUT, BUD, BUD, BUD), NEAR, VIEWER),
    ),
    "e": (
        Form(BELOW, (CLOSED_E,) * 4, NEAR, VIEWER, 3),
        Form(BELOW, (OPEN_E,) * 4, NEAR, VIEWER),
        Form(BELOW, (CLOSED_E, CLOSED_E, FIST, FIST), NEAR, VIEWER, 0.5),
    ),
    "f": (Form(ROUND, (PINCH, OUT, OUT, OUT), WIDE, VIEWER),),
    "g": (
        Form(BESIDE, (HALF, FIST, FIST, FIST), NEAR, LEVEL),
        Form(BESIDE, (POINTING, FIST, FIST, FIST), NEAR, UPRIGHT_LEVEL),
    ),
    "h": (
        Form(LOOSE, (HALF, HALF, FIST, FIST), NEAR, LEVEL, 3),
        Form(LOOSE, (POINTING, POINTING, FIST, FIST), NEAR, UPRIGHT_LEVEL),
    ),
    "i": (Form(ACROSS, LITTLE, UP, VIEWER), Form(SIDE, LITTLE, UP, VIEWER)),
    "j": (Form(LOOSE, LITTLE, UP, VIEWER, stroke="j"),),
    "k": (
        Form(BETWEEN, (OUT, MIDDLE_OF_K, FIST, FIST), BESIDE_THUMB, VIEWER),
        Form(BETWEEN, (OUT, MIDDLE_OF_K, FIST, FIST), BESIDE_THUMB, SIDEWAYS),
    ),
    "l": (Form(AWAY, INDEX, NEAR, VIEWER),),
    "m": (
        Form(UNDER, (OVER, OVER, OVER, FIST), NEAR, VIEWER, 3),
        Form(UNDER, (HANGING, HANGING, HANGING, FIST), NEAR, VIEWER),
    ),
    "n": (
        Form(UNDER, (OVER, OVER, FIST, FIST), NEAR, VIEWER, 3),
        Form(UNDER, (HANGING, HANGING, FIST, FIST), NEAR, VIEWER),
    ),
    "o": (
        Form(ROUND, (OVAL,) * 4, NEAR, SIDEWAYS),
        Form(ROUND, (BUD,) * 4, NEAR, VIEWER, 1.5),
    ),
    "p": (
        Form(BETWEEN, (OUT, MIDDLE_OF_K, FIST, FIST), BESIDE_THUMB, DOWN, 2),
        Form(BETWEEN, (OUT, MIDDLE_OF_P, FIST, FIST), BESIDE_THUMB, FORWARD),
        Form(BETWEEN, (OUT, MIDDLE_OF_P, FIST, FIST), BESIDE_THUMB, VIEWER),
    ),
    "q": (
        Form(BESIDE, (HALF, FIST, FIST, FIST), NEAR, DOWN, 2),
        Form(BESIDE, (HALF, FIST, FIST, FIST), NEAR, BENT_DOWN),
    ),
    "r": (Form(ACROSS, TWO, CROSSED, VIEWER),),
    "s": (Form(IN_FRONT, FISTS, NEAR, VIEWER),),
    "t": (Form(BETWEEN, (OVER_OF_T, FIST, FIST, FIST), NEAR, VIEWER),),
    "u": (Form(ACROSS, TWO, NEAR, VIEWER),),
    "v": (Form(ACROSS, TWO, VEE, VIEWER),),
    "w": (Form(ACROSS, (OUT, OUT, OUT, FIST), WIDE, VIEWER),),
    "x": (
        Form(ACROSS, (HOOK, FIST, FIST, FIST), NEAR, VIEWER),
        Form(LOOSE, (HOOK, FIST, FIST, FIST), NEAR, SIDEWAYS),
    ),
    "y": (Form(AWAY, LITTLE, WIDE, VIEWER),),
    "z": (
        Form(LOOSE, INDEX, NEAR, VIEWER, stroke="z"),
        Form(LOOSE, (HALF, FIST, FIST, FIST), NEAR, SIDEWAYS, 0.3, "z"),
    ),
}


def _widened(name: str) -> Form:
    """The one form that `synthetic_hand` has, as a range around it."""
    thumb, fingers, spread, palm, *stroke = handshapes.SHAPES[name]
    known = {handshapes.FIST: FIST, handshapes.OUT: OUT, handshapes.EASY: OUT}
    return Form(
        _around(thumb, 12),
        tuple(known.get(finger, _around(finger, 10)) for finger in fingers),
        _around(spread, 5),
        _around(palm, 18),
        stroke=stroke[0] if stroke else "still",
    )


def _around(angles: tuple[float, ...], degrees: float) -> Joints:
    return tuple((a - degrees, a + degrees) for a in angles)


def _ends(form: Form) -> np.ndarray:
    """float64[20 + 3, 2]: both ends of each joint's range, thumb first, and of the palm's."""
    spreads = zip(form.fingers, form.spread, strict=True)
    ranges = [*form.thumb, *(r for finger, s in spreads for r in (*finger, s)), *form.palm]
    return np.array(ranges, float)


NAMES = (*vocab.KAGGLE.characters, "rest")
FORMS = [
    (number, form)
    for number, name in enumerate(NAMES)
    for form in LETTERS.get(name) or (_widened(name),)
]
CHARACTER = np.array([number for number, _ in FORMS])  # int[K], of each form.
SHARE = np.array([form.share for _, form in FORMS])  # [K]
_RANGES = np.radians([_ends(form) for _, form in FORMS]).astype(np.float32)
ANGLES, PALMS = _RANGES[:, :20], _RANGES[:, 20:]  # [K, 20, 2] and [K, 3, 2], radians.
STROKES = np.stack([strokes.sample(form.stroke) for _, form in FORMS]).astype(np.float32)
STROKES[..., 3:] = np.radians(STROKES[..., 3:])  # [K, STEPS, 6]
MOVES = np.array([form.stroke != "still" for _, form in FORMS])  # [K]


def forms(character: int) -> np.ndarray:
    """int[n]: the positions of a character's forms."""
    return np.flatnonzero(np.equal(CHARACTER, character))
