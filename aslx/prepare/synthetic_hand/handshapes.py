"""Handshape, palm orientation and motion of the 59 characters, for a right hand.

Letters follow the American manual alphabet and digits the ASL numbers 0-9, as dictionaries
describe them ("a: fist, thumb at the side"; Battison 1978 and Stokoe 1965 name the handshapes).
Punctuation has no standard: each mark has a plausible shape and a traced stroke, so that every
character differs from every other one by shape, orientation or motion.

Angles are degrees. A finger is (MCP flexion, PIP flexion, DIP flexion). A thumb is (radial angle
from the fingers' axis, palmar angle out of the palm, MCP flexion, IP flexion). Negative flexion
bends a finger back. Spread is the sideways angle of the four fingers, positive towards the thumb.
A palm is (yaw, pitch, roll); at zero the fingers point up and the palm faces the viewer. Yaw 90
turns the palm to the signer's left, and yaw 180 to the signer. Pitch tips the fingers towards the
viewer. Roll is applied last; negative roll turns the fingers clockwise for the viewer.
"""

import numpy as np

from aslx.prepare.synthetic_hand import strokes
from aslx.schema import vocab

# A finger.
OUT, EASY, OPEN = (0, 5, 3), (4, 5, 3), (8, 8, 4)  # Straight, and ever less straight.
FIST = (82, 98, 55)  # Folded into the palm.
HOOK = (8, 85, 50)  # Only the upper joints are bent.
CURVE = (28, 38, 22)  # As around a cup.
OVAL = (52, 58, 30)  # Meets the thumb.
RELAXED = (25, 35, 20)

# Four fingers, from the index finger to the little finger.
CLOSED, STRAIGHT, INDEX, TWO = (FIST,) * 4, (OUT,) * 4, (OUT, *(FIST,) * 3), (OUT, OUT, FIST, FIST)
LITTLE, BENT, CLAW = (*(FIST,) * 3, OUT), (HOOK, HOOK, FIST, FIST), ((25, 55, 35),) * 4
ON_THUMB = ((38, 98, 55), (40, 100, 55), (42, 100, 55), (44, 98, 55))
TWO_OVER_THUMB = ((70, 62, 30), (72, 64, 30), (84, 98, 55), (84, 98, 55))
THREE_OVER_THUMB = ((70, 62, 30), (72, 64, 30), (72, 66, 30), (84, 96, 55))

# The sideways angles of four fingers.
NEAR = (-4, -1, 2, 6)  # Side by side: the fingers lean together, because the knuckles are wider.
WIDE, VEE, CROSSED = (14, 3, -8, -18), (11, -9, 0, 4), (-16, 8, 1, 5)

# A thumb.
SIDE = (23, 13, 1, 2)  # Along the edge of the index finger.
ACROSS = (24, 45, 42, 41)  # Over the folded fingers.
TUCKED = (14, 44, 36, 48)  # Folded into the palm.
THUMB_OUT = (62, 8, 0, 2)  # As in an L.
ROUND = (28, 58, 20, 20)  # As in an O.

# A palm.
VIEWER = (8, 0, -7)  # Forward; the forearm leans.
LEFT = (60, 0, -6)  # To the signer's left, turned a little to the viewer.
SIGNER = (180, 0, 0)

# Thumb, fingers, spread, palm, and the stroke of `strokes.PATHS` that the hand draws, if it moves.
SHAPES = {
    "a": (SIDE, CLOSED, NEAR, VIEWER),  # Fist, thumb at the side.
    "b": (TUCKED, STRAIGHT, NEAR, VIEWER),  # Flat hand, thumb folded in.
    "c": ((40, 55, 8, 12), (CURVE,) * 4, NEAR, LEFT),  # Cup.
    "d": ((21, 51, 14, 25), (OUT, OVAL, OVAL, OVAL), NEAR, (32, 0, -10)),  # Others meet the thumb.
    "e": ((16, 46, 40, 55), ON_THUMB, NEAR, VIEWER),  # Fingertips bent onto the thumb.
    "f": ((26, 52, 18, 24), ((58, 62, 35), OUT, OUT, OUT), WIDE, VIEWER),  # Index meets the thumb.
    "g": ((34, 18, 5, 5), ((32, 8, 4), FIST, FIST, FIST), NEAR, (182, 38, -82)),  # Level.
    "h": (ACROSS, ((22, 8, 4), (22, 8, 4), FIST, FIST), NEAR, (184, 28, -80)),  # Level.
    "i": (ACROSS, LITTLE, NEAR, VIEWER),  # Little finger up.
    "j": (ACROSS, LITTLE, NEAR, VIEWER, "j"),  # Little finger draws a J.
    "k": ((14, 36, 4, 4), (OUT, (28, 6, 4), FIST, FIST), (5, -6, 0, 4), VIEWER),  # Thumb between.
    "l": (THUMB_OUT, INDEX, NEAR, VIEWER),  # Index up, thumb out.
    "m": ((14, 50, 48, 40), THREE_OVER_THUMB, NEAR, (20, -5, -6)),
    "n": ((16, 50, 40, 35), TWO_OVER_THUMB, NEAR, (18, -4, -8)),
    "o": (ROUND, (OVAL,) * 4, NEAR, LEFT),  # Fingertips meet the thumb.
    "p": ((16, 38, 4, 4), (OUT, (32, 6, 4), FIST, FIST), VEE, (175, 15, -128)),  # K, down.
    "q": ((24, 22, 5, 5), ((12, 8, 4), FIST, FIST, FIST), NEAR, (186, 12, -154)),  # G, down.
    "r": (ACROSS, (OUT, EASY, FIST, FIST), CROSSED, VIEWER),  # Index and middle crossed.
    "s": ((25, 45, 50, 45), CLOSED, NEAR, (13, 0, -11)),  # Fist, thumb in front.
    "t": ((18, 38, 10, 18), ((72, 80, 45), FIST, FIST, FIST), NEAR, VIEWER),  # Thumb between.
    "u": (ACROSS, TWO, NEAR, VIEWER),  # Index and middle up, together.
    "v": (ACROSS, TWO, VEE, VIEWER),  # Index and middle up, apart.
    "w": ((18, 48, 46, 44), (OUT, OUT, OUT, (80, 92, 50)), (12, 1, -9, 2), VIEWER),
    "x": (ACROSS, (HOOK, FIST, FIST, FIST), NEAR, (35, 0, 0)),  # Index hooked.
    "y": (THUMB_OUT, LITTLE, (-4, -1, 0, -16), VIEWER),  # Thumb and little finger out.
    "z": (ACROSS, INDEX, NEAR, (15, 25, -10), "z"),  # Index draws a Z.
    "0": ((30, 60, 22, 24), ((56, 62, 34),) * 4, NEAR, (80, 8, 0), "nod"),  # An O that nods.
    "1": (ACROSS, INDEX, NEAR, SIGNER),  # Index up, palm in.
    "2": (ACROSS, TWO, VEE, SIGNER),  # A V, palm in.
    "3": (THUMB_OUT, TWO, VEE, SIGNER),  # Thumb, index and middle, palm in.
    "4": (TUCKED, STRAIGHT, WIDE, SIGNER),  # Four apart, palm in.
    "5": ((55, 15, 0, 0), STRAIGHT, WIDE, SIGNER),  # All apart, palm in.
    # The thumb meets the little, the ring, the middle and the index finger.
    "6": ((20, 60, 40, 30), (OUT, OUT, OUT, (68, 50, 25)), WIDE, VIEWER, "twist"),
    "7": ((24, 60, 32, 26), (OUT, OUT, (64, 52, 28), OUT), WIDE, VIEWER),
    "8": ((26, 60, 26, 24), (OUT, (62, 54, 30), OUT, OUT), WIDE, VIEWER),
    "9": ((28, 54, 20, 24), ((60, 60, 34), EASY, EASY, EASY), WIDE, VIEWER, "twist"),
    " ": (SIDE, STRAIGHT, NEAR, (0, 55, 0), "slide"),  # Flat hand, thumb beside.
    "!": (ACROSS, INDEX, NEAR, (90, 0, 0), "down, poke"),
    "#": ((48, 35, 10, 25), CLAW, WIDE, (0, 35, 0), "hash"),
    "$": (ACROSS, BENT, VEE, (10, 15, 0), "s"),
    "%": (ROUND, (OVAL, OPEN, OPEN, OPEN), WIDE, (30, 20, 0), "slash"),
    "&": (ACROSS, TWO, CROSSED, (20, 35, 0), "eight"),
    "'": (ACROSS, (HOOK, FIST, FIST, FIST), NEAR, (60, 10, 0), "flick"),
    "(": ((48, 45, 5, 25), ((20, 45, 30), FIST, FIST, FIST), NEAR, (20, 0, 0), "left arc"),
    ")": ((48, 45, 5, 25), ((20, 45, 30), FIST, FIST, FIST), NEAR, (120, 0, 0), "right arc"),
    "*": ((48, 35, 10, 25), CLAW, WIDE, VIEWER, "bounces"),
    "+": (ACROSS, INDEX, NEAR, (20, 45, -20), "cross"),
    ",": (ACROSS, ((15, 20, 10), FIST, FIST, FIST), NEAR, (20, 40, 0), "comma"),
    "-": (ACROSS, INDEX, NEAR, (20, 40, -5), "dash"),
    ".": (ACROSS, INDEX, NEAR, (20, 62, 0), "poke"),
    "/": (ACROSS, INDEX, NEAR, (70, 25, -25), "slash"),
    ":": (ACROSS, BENT, VEE, (90, 25, 0), "two pokes"),
    ";": (ACROSS, BENT, VEE, (90, 25, -50), "poke, comma"),
    "=": (ACROSS, TWO, VEE, (15, 50, -55), "equals"),
    "?": (ACROSS, INDEX, NEAR, (30, 25, 15), "question"),
    "@": (THUMB_OUT, INDEX, NEAR, (10, 45, 0), "ring"),
    "[": (THUMB_OUT, INDEX, NEAR, (10, 20, 0), "bracket"),
    "_": (ACROSS, INDEX, NEAR, (180, 0, -165), "dash"),
    "~": (SIDE, STRAIGHT, NEAR, (0, 70, -70), "wave"),
    "rest": ((35, 25, 10, 10), (RELAXED,) * 4, NEAR, (60, -30, -70)),
}

JOINTS = 20  # The thumb's four, then MCP, PIP, DIP and spread of each finger.
RESTING = len(vocab.KAGGLE.characters)  # The row of the resting hand, 59, in the tables below.

_ROWS = [(*SHAPES[name], "still")[:5] for name in (*vocab.KAGGLE.characters, "rest")]
_THUMBS, _FINGERS, _SPREADS, _PALMS, _PATHS = zip(*_ROWS, strict=True)
_JOINTS = np.concatenate([_FINGERS, np.array(_SPREADS)[..., None]], -1).reshape(len(_PATHS), -1)
ANGLES = np.radians(np.concatenate([_THUMBS, _JOINTS], 1)).astype(np.float32)  # [60, JOINTS]
PALMS = np.radians(_PALMS).astype(np.float32)  # [60, 3]
STROKES = np.stack([strokes.sample(path) for path in _PATHS]).astype(np.float32)  # [60, STEPS, 6]
STROKES[..., 3:] = np.radians(STROKES[..., 3:])
MOVES = np.array([path != "still" for path in _PATHS])  # [60]
