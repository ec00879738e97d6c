"""Handshape, palm orientation and motion of the 59 characters, for a right hand.

Letters follow the American manual alphabet and digits the ASL numbers 0-9, as dictionaries
describe them ("a: fist, thumb at the side"; Battison 1978 and Stokoe 1965 name the handshapes).
Punctuation has no standard: a plausible shape with a traced stroke stands for each mark, so that
every character differs from every other by shape, orientation or motion.

Joint angles are degrees. A finger is (MCP flexion, PIP, DIP); a thumb is (radial angle from the
fingers' axis, palmar angle out of the palm, MCP flexion, IP flexion), negative flexion bending
back. Spread is the four fingers' sideways angle, positive towards the thumb. A palm is (yaw, pitch,
roll): at zero the fingers point up and the palm faces the viewer; yaw 90 turns the palm to the
signer's left and 180 to the signer, pitch tips the fingers towards the viewer, roll turns the
fingers clockwise for the viewer where negative. Roll is applied last.
"""

import dataclasses

import numpy as np

from aslx.prepare.synthetic_hand import strokes
from aslx.schema import vocab

Finger = tuple[float, float, float]

OUT = (0, 5, 3)  # Straight.
FIST = (82, 98, 55)  # Folded into the palm.
HOOK = (8, 85, 50)  # Only the upper joints bent.
CURVE = (28, 38, 22)  # As around a cup.
OVAL = (52, 58, 30)  # Meeting the thumb.
FLAT = (78, 12, 6)  # Bent at the knuckle alone.
TOUCH = (58, 62, 35)  # Tip on the thumb's tip.
RELAXED = (25, 35, 20)

NEAR = (-4, -1, 2, 6)  # Side by side: the fingers lean together, the knuckles being wider.
WIDE = (14, 3, -8, -18)
VEE = (11, -9, 0, 4)
CROSSED = (-16, 8, 1, 5)

SIDE = (23, 13, 1, 2)  # Thumb along the index finger's edge.
ACROSS = (24, 45, 42, 41)  # Over the folded fingers.
TUCKED = (14, 44, 36, 48)  # Folded into the palm.
THUMB_OUT = (62, 8, 0, 2)  # An L's.
OPPOSED = (30, 58, 12, 14)  # Facing the fingertips.

VIEWER = (8, 0, -7)  # Palm forward; the forearm leans.
LEFT = (60, 0, -6)  # Palm to the signer's left, turned a little to the viewer.
SIGNER = (180, 0, 0)
POINTING = (20, 62, 0)  # Fingertips to the viewer, palm down.


@dataclasses.dataclass(frozen=True)
class Shape:
    """A held hand; `path` names the stroke in `strokes.PATHS` that it draws meanwhile."""

    description: str
    thumb: tuple[float, float, float, float]
    index: Finger
    middle: Finger
    ring: Finger
    little: Finger
    spread: tuple[float, float, float, float] = NEAR
    palm: tuple[float, float, float] = VIEWER
    path: str = "still"


def _point(description: str, palm, path: str, index: Finger = OUT, thumb=ACROSS) -> Shape:
    return Shape(description, thumb, index, FIST, FIST, FIST, palm=palm, path=path)


_LETTERS = {
    "a": Shape("fist, thumb at the side", SIDE, FIST, FIST, FIST, FIST),
    "b": Shape("flat hand, thumb folded in", TUCKED, OUT, OUT, OUT, OUT),
    "c": Shape("cup", (40, 55, 8, 12), CURVE, CURVE, CURVE, CURVE, palm=LEFT),
    "d": Shape(
        "index up, the rest meet the thumb",
        (21, 51, 14, 25),
        OUT,
        OVAL,
        OVAL,
        OVAL,
        palm=(32, 0, -10),
    ),
    "e": Shape(
        "fingertips bent onto the thumb",
        (16, 46, 40, 55),
        (38, 98, 55),
        (40, 100, 55),
        (42, 100, 55),
        (44, 98, 55),
    ),
    "f": Shape("index meets thumb, the rest up", (26, 52, 18, 24), TOUCH, OUT, OUT, OUT, WIDE),
    "g": Shape(
        "index and thumb level", (34, 18, 5, 5), (32, 8, 4), FIST, FIST, FIST, palm=(182, 38, -82)
    ),
    "h": Shape(
        "index and middle level", ACROSS, (22, 8, 4), (22, 8, 4), FIST, FIST, palm=(184, 28, -80)
    ),
    "i": Shape("little finger up", ACROSS, FIST, FIST, FIST, OUT),
    "j": Shape("little finger draws a J", ACROSS, FIST, FIST, FIST, OUT, path="j"),
    "k": Shape(
        "index and middle up, thumb between",
        (14, 36, 4, 4),
        OUT,
        (28, 6, 4),
        FIST,
        FIST,
        (5, -6, 0, 4),
    ),
    "l": Shape("index up, thumb out", THUMB_OUT, OUT, FIST, FIST, FIST),
    "m": Shape(
        "three fingers over the thumb",
        (14, 50, 48, 40),
        (70, 62, 30),
        (72, 64, 30),
        (72, 66, 30),
        (84, 96, 55),
        palm=(20, -5, -6),
    ),
    "n": Shape(
        "two fingers over the thumb",
        (16, 50, 40, 35),
        (70, 62, 30),
        (72, 64, 30),
        (84, 98, 55),
        (84, 98, 55),
        palm=(18, -4, -8),
    ),
    "o": Shape("fingertips meet the thumb", (28, 58, 20, 20), OVAL, OVAL, OVAL, OVAL, palm=LEFT),
    "p": Shape(
        "k, pointing down",
        (16, 38, 4, 4),
        OUT,
        (32, 6, 4),
        FIST,
        FIST,
        VEE,
        palm=(175, 15, -128),
    ),
    "q": Shape(
        "g, pointing down", (24, 22, 5, 5), (12, 8, 4), FIST, FIST, FIST, palm=(186, 12, -154)
    ),
    "r": Shape("index and middle crossed", ACROSS, OUT, (4, 5, 3), FIST, FIST, CROSSED),
    "s": Shape("fist, thumb in front", (25, 45, 50, 45), FIST, FIST, FIST, FIST, palm=(13, 0, -11)),
    "t": Shape(
        "fist, thumb between index and middle",
        (18, 38, 10, 18),
        (72, 80, 45),
        FIST,
        FIST,
        FIST,
    ),
    "u": Shape("index and middle up, together", ACROSS, OUT, OUT, FIST, FIST),
    "v": Shape("index and middle up, apart", ACROSS, OUT, OUT, FIST, FIST, VEE),
    "w": Shape("three fingers up", (18, 48, 46, 44), OUT, OUT, OUT, (80, 92, 50), (12, 1, -9, 2)),
    "x": Shape("index hooked", ACROSS, HOOK, FIST, FIST, FIST, palm=(35, 0, 0)),
    "y": Shape("thumb and little finger out", THUMB_OUT, FIST, FIST, FIST, OUT, (-4, -1, 0, -16)),
    "z": Shape("index draws a Z", ACROSS, OUT, FIST, FIST, FIST, palm=(15, 25, -10), path="z"),
}

_DIGITS = {
    "0": Shape(
        "an o that nods",
        (30, 60, 22, 24),
        (56, 62, 34),
        (56, 62, 34),
        (56, 62, 34),
        (56, 62, 34),
        palm=(80, 8, 0),
        path="nod",
    ),
    "1": Shape("index up, palm in", ACROSS, OUT, FIST, FIST, FIST, palm=SIGNER),
    "2": Shape("a v, palm in", ACROSS, OUT, OUT, FIST, FIST, VEE, SIGNER),
    "3": Shape("thumb, index and middle, palm in", THUMB_OUT, OUT, OUT, FIST, FIST, VEE, SIGNER),
    "4": Shape("four apart, palm in", TUCKED, OUT, OUT, OUT, OUT, WIDE, SIGNER),
    "5": Shape("all apart, palm in", (55, 15, 0, 0), OUT, OUT, OUT, OUT, WIDE, SIGNER),
    "6": Shape(
        "thumb meets little, a twist",
        (20, 60, 40, 30),
        OUT,
        OUT,
        OUT,
        (68, 50, 25),
        WIDE,
        path="twist",
    ),
    "7": Shape("thumb meets ring", (24, 60, 32, 26), OUT, OUT, (64, 52, 28), OUT, WIDE),
    "8": Shape("thumb meets middle", (26, 60, 26, 24), OUT, (62, 54, 30), OUT, OUT, WIDE),
    "9": Shape(
        "thumb meets index, a twist",
        (28, 54, 20, 24),
        (60, 60, 34),
        (4, 5, 3),
        (4, 5, 3),
        (4, 5, 3),
        WIDE,
        path="twist",
    ),
}

_BENT_VEE = Shape("bent v", ACROSS, HOOK, HOOK, FIST, FIST, VEE, (10, 15, 0))
_BRACKET = Shape(
    "index and thumb curved", (48, 45, 5, 25), (20, 45, 30), FIST, FIST, FIST, palm=(20, 0, 0)
)
_CLAW = Shape("claw", (48, 35, 10, 25), *([(25, 55, 35)] * 4), spread=WIDE)
_BLADE = Shape("flat hand, thumb beside", SIDE, OUT, OUT, OUT, OUT)

_MARKS = {
    " ": dataclasses.replace(_BLADE, palm=(0, 55, 0), path="slide"),
    "!": _point("index up, a stroke down and a poke", (90, 0, 0), "down, poke"),
    "#": dataclasses.replace(_CLAW, palm=(0, 35, 0), path="hash"),
    "$": dataclasses.replace(_BENT_VEE, path="s"),
    "%": Shape(
        "an o along a slash",
        (28, 58, 20, 20),
        OVAL,
        (8, 8, 4),
        (8, 8, 4),
        (8, 8, 4),
        WIDE,
        (30, 20, 0),
        "slash",
    ),
    "&": Shape(
        "crossed fingers, an eight", ACROSS, OUT, OUT, FIST, FIST, CROSSED, (20, 35, 0), "eight"
    ),
    "'": _point("index hooked, a flick", (60, 10, 0), "flick", HOOK),
    "(": dataclasses.replace(_BRACKET, path="left arc"),
    ")": dataclasses.replace(_BRACKET, palm=(120, 0, 0), path="right arc"),
    "*": dataclasses.replace(_CLAW, path="bounces"),
    "+": _point("index level, a cross", (20, 45, -20), "cross"),
    ",": _point("index to the viewer, a small hook down", (20, 40, 0), "comma", (15, 20, 10)),
    "-": _point("index to the viewer, a level stroke", (20, 40, -5), "dash"),
    ".": _point("index to the viewer, a poke", POINTING, "poke"),
    "/": _point("index up, a stroke down aslant", (70, 25, -25), "slash"),
    ":": dataclasses.replace(_BENT_VEE, palm=(90, 25, 0), path="two pokes"),
    ";": dataclasses.replace(_BENT_VEE, palm=(90, 25, -50), path="poke, comma"),
    "=": Shape(
        "two fingers, level strokes", ACROSS, OUT, OUT, FIST, FIST, VEE, (15, 50, -55), "equals"
    ),
    "?": _point("index draws a hook and a dot", (30, 25, 15), "question"),
    "@": _point("index and thumb draw a ring", (10, 45, 0), "ring", thumb=THUMB_OUT),
    "[": Shape("l, a bracket", THUMB_OUT, OUT, FIST, FIST, FIST, palm=(10, 20, 0), path="bracket"),
    "_": _point("index down, a level stroke", (180, 0, -165), "dash"),
    "~": dataclasses.replace(_BLADE, palm=(0, 70, -70), path="wave"),
}

SHAPES = _MARKS | _DIGITS | _LETTERS
REST = Shape("relaxed", (35, 25, 10, 10), RELAXED, RELAXED, RELAXED, RELAXED, palm=(60, -30, -70))

JOINTS = 20  # Thumb's four, then MCP, PIP, DIP and spread of each finger.


def _joints(shape: Shape) -> list[float]:
    fingers = (shape.index, shape.middle, shape.ring, shape.little)
    return [
        *shape.thumb,
        *(a for f, s in zip(fingers, shape.spread, strict=True) for a in (*f, s)),
    ]


_ALL = [SHAPES[c] for c in vocab.CHARACTERS] + [REST]
# Row 59 is the resting hand.
ANGLES = np.radians([_joints(s) for s in _ALL]).astype(np.float32)  # [60, JOINTS]
PALMS = np.radians([s.palm for s in _ALL]).astype(np.float32)  # [60, 3]
STROKES = np.stack([strokes.sample(s.path) for s in _ALL]).astype(np.float32)  # [60, STEPS, 6]
STROKES[..., 3:] = np.radians(STROKES[..., 3:])
MOVES = np.array([s.path != "still" for s in _ALL])  # [60]
RESTING = len(vocab.CHARACTERS)
