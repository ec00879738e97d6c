"""The strokes that a hand draws in the air while it holds a character's shape.

J and Z of the manual alphabet, nods and twists that tell digits from letters, and made-up strokes
for punctuation. A path is a row of points: (right, up, to the viewer) in palm lengths, as the
viewer sees a right hand, then (pitch, yaw, roll) in degrees. Values that a point omits are 0. The
points are spread evenly over the character's time. A signer writes from the viewer's right to left.
"""

import numpy as np

STEPS = 17  # Samples of a stroke.

PATHS: dict[str, tuple[tuple[float, ...], ...]] = {
    "still": ((0, 0), (0, 0)),
    "j": (
        (0, 0),
        (0.05, -0.25, 0, 5, 10, 0),
        (0.15, -0.5, 0.05, 15, 45, -20),
        (0.3, -0.5, 0.1, 20, 90, -55),
        (0.4, -0.35, 0.1, 15, 110, -75),
    ),
    "z": (
        (0, 0),
        (-0.3, 0.05, 0, 0, 0, 8),
        (-0.6, 0.08, 0, 0, 0, 16),
        (-0.3, -0.25, 0, 8, 0, 4),
        (0, -0.55, 0, 16, 0, -6),
        (-0.3, -0.55, 0, 16, 0, 6),
        (-0.6, -0.55, 0, 16, 0, 16),
    ),
    "nod": ((0, 0), (0, -0.08, 0.15, 16), (0, 0)),
    "twist": ((0, 0, 0, 0, -8), (0, 0, 0, 0, 22), (0, 0, 0, 0, -8), (0, 0, 0, 0, 22)),
    "slide": ((0.25, 0), (0, 0), (-0.35, 0)),
    "down, poke": ((0, 0.3), (0, -0.2), (0, -0.4, 0, 10), (0, -0.45, 0.4, 45), (0, -0.45, 0.1, 20)),
    "hash": ((-0.3, 0.1), (0.3, 0.1), (0, 0.35, 0, 0, 0, -20), (0, -0.3, 0, 0, 0, -20)),
    "s": ((-0.3, 0.35), (0.25, 0.3), (0.3, 0.05), (-0.3, -0.05), (-0.25, -0.3), (0.3, -0.35)),
    "slash": ((0.3, 0.35), (0, 0, 0, 8, 0, 8), (-0.3, -0.4, 0, 16, 0, 16)),
    "eight": (
        *((0, 0), (0.2, 0.25), (0, 0.4), (-0.2, 0.25)),
        *((0.2, -0.2), (0, -0.35), (-0.2, -0.2), (0, 0)),
    ),
    "flick": ((0, 0.1), (0, 0, 0, 10, 30, -15), (0, -0.1, 0, 0, 50, -30)),
    "left arc": ((0.15, 0.4), (-0.1, 0.2), (-0.15, 0), (-0.1, -0.2), (0.15, -0.4)),
    "right arc": ((-0.15, 0.4), (0.1, 0.2), (0.15, 0), (0.1, -0.2), (-0.15, -0.4)),
    "bounces": ((0, 0), (0, -0.2, 0.2, 18), (0, 0), (0, -0.2, 0.2, 18), (0, 0)),
    "cross": ((0.3, 0), (-0.3, 0), (0, 0.35), (0, -0.35)),
    "comma": ((0, 0), (0, -0.12, 0.1, 10), (0.15, -0.35, 0, 22, 0, -18)),
    "dash": ((0.35, 0), (0, 0), (-0.35, 0)),
    "poke": ((0, 0), (0, -0.05, 0.4, 14), (0, 0, 0.05)),
    "two pokes": ((0, 0.2), (0, 0.2, 0.3, 14), (0, -0.2), (0, -0.2, 0.3, 14)),
    "poke, comma": ((0, 0.2), (0, 0.2, 0.3, 14), (0, -0.15, 0.05, 5), (0.2, -0.4, 0, 20, 0, -20)),
    "equals": ((0.3, 0.12), (-0.3, 0.12), (0.3, -0.15), (-0.3, -0.15)),
    "question": (
        *((-0.25, 0.2), (0, 0.4), (0.2, 0.2)),
        *((0, -0.05, 0, 5), (0, -0.3, 0, 10), (0, -0.4, 0.3, 25)),
    ),
    "ring": tuple((0.25 * np.cos(a), 0.25 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)),
    "bracket": ((0.25, 0.3), (-0.15, 0.3), (-0.15, -0.3), (0.25, -0.3)),
    "wave": (
        (0.35, 0),
        (0.17, 0.15, 0, 0, 0, 20),
        (0, 0),
        (-0.17, -0.15, 0, 0, 0, -20),
        (-0.35, 0),
    ),
}


def sample(path: str) -> np.ndarray:
    """float64[STEPS, 6]: the path at even times, in palm lengths and degrees."""
    points = np.array([(*point, *(0,) * (6 - len(point))) for point in PATHS[path]], float)
    at = np.linspace(0, 1, STEPS)
    knots = np.linspace(0, 1, len(points))
    line = np.stack([np.interp(at, knots, axis) for axis in points.T], 1)
    padded = np.pad(line, ((1, 1), (0, 0)), "edge")  # A pen rounds its corners.
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
