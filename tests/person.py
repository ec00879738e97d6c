"""A drawn person who spells, to film: the synthetic set's hand and body as shaded capsules.

Coarse, but MediaPipe takes it for a person: skin, a head with hair, brows, eyes and a mouth, a
shirt, and fingers that have a light and a dark side.
"""

from collections.abc import Iterator

import numpy as np

from aslx.datasets import body, kinematics, spelling
from aslx.datasets import signers as people

WIDTH, HEIGHT, RATE = 480, 640, 30  # Pixels, and frames a second.
_SKIN, _HAIR, _SHIRT, _DARK, _LIPS, _WHITE = (
    np.array(c, np.float32)
    for c in ((214, 160, 130), (62, 44, 34), (52, 78, 120), (40, 28, 26), (176, 92, 86), (235,) * 3)
)
_SCALE, _DISTANCE = 560.0, 1.1  # Pixels a metre at the body's depth; metres to the camera.
_LIGHT = np.array([-0.45, -0.6, 0.66], np.float32)
Capsule = tuple  # Ends [3] and [3] in metres, radii at both in metres, and a colour.


def _image(point: np.ndarray) -> np.ndarray:
    """Metres of the body's world -> pixels, and depth in pixels, nearer more."""
    ratio = _DISTANCE / (_DISTANCE - point[2])
    x = WIDTH / 2 + _SCALE * point[0] * ratio
    return np.array([x, 0.5 * HEIGHT - _SCALE * point[1] * ratio, _SCALE * point[2]]), ratio


class _Canvas:
    def __init__(self) -> None:
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        wall = 198 - 28 * y / HEIGHT - 14 * x / WIDTH
        self.rgb = np.stack([wall, wall * 0.985, wall * 0.95], -1)
        self.depth = np.full((HEIGHT, WIDTH), -1e6, np.float32)

    def draw(self, a, b, r_a: float, r_b: float, colour: np.ndarray) -> None:
        (a, zoom_a), (b, zoom_b) = _image(np.asarray(a)), _image(np.asarray(b))
        r_a, r_b = r_a * _SCALE * zoom_a, r_b * _SCALE * zoom_b
        most = max(r_a, r_b) + 1
        x0, y0 = np.clip(np.minimum(a, b)[:2] - most, 0, (WIDTH, HEIGHT)).astype(int)
        x1, y1 = np.clip(np.maximum(a, b)[:2] + most, 0, (WIDTH, HEIGHT)).astype(int)
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        along = (b - a)[:2]
        t = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(along @ along, 1e-6)
        t = np.clip(t, 0, 1)
        radius = r_a + t * (r_b - r_a)
        dx, dy = (x - a[0] - t * along[0]) / radius, (y - a[1] - t * along[1]) / radius
        out = dx * dx + dy * dy
        up = np.sqrt(np.clip(1 - out, 0, 1))
        depth = a[2] + t * (b[2] - a[2]) + radius * up
        shade = 0.5 + 0.62 * np.clip(dx * _LIGHT[0] + dy * _LIGHT[1] + up * _LIGHT[2], 0, 1)
        seen = (out < 1) & (depth > self.depth[y0:y1, x0:x1])
        self.depth[y0:y1, x0:x1][seen] = depth[seen]
        self.rgb[y0:y1, x0:x1][seen] = (shade[..., None] * colour)[seen]


def _figure(pose: np.ndarray) -> Iterator[Capsule]:
    """Head, trunk and arms from MediaPipe's 33 points in metres."""
    hips, left, right = pose[23:25].mean(0), pose[11], pose[12]
    middle = (left + right) / 2
    head = pose[:11].mean(0) * [1, 1, 0] + [0, 0.01, 0.0]
    for side, shoulder in ((1, left), (-1, right)):
        yield middle + [0.05 * side, -0.05, 0], hips + [0.05 * side, 0, 0], 0.1, 0.1, _SHIRT
        yield middle + [0, -0.01, 0], shoulder + [0, -0.02, 0], 0.055, 0.06, _SHIRT
        yield shoulder + [-0.05 * side, -0.06, 0], pose[23 if side > 0 else 24], 0.09, 0.1, _SHIRT
    for shoulder, elbow, wrist in ((11, 13, 15), (12, 14, 16)):
        yield pose[shoulder] + [0, -0.02, 0], pose[elbow], 0.056, 0.044, _SHIRT
        yield pose[elbow], pose[wrist], 0.042, 0.028, _SKIN
    yield middle, head - [0, 0.08, 0], 0.055, 0.052, _SKIN
    yield head + [0, 0.045, 0], head - [0, 0.055, 0], 0.078, 0.052, _SKIN
    yield head + [0, 0.07, -0.04], head + [0, 0.05, -0.05], 0.09, 0.085, _HAIR
    yield head + [-0.04, 0.115, 0.01], head + [0.04, 0.115, 0.01], 0.04, 0.04, _HAIR
    front = head + [0, 0, 0.075]
    for side in (-1, 1):
        eye = front + [0.031 * side, 0.035, -0.008]
        yield eye - [0.009, 0, 0], eye + [0.009, 0, 0], 0.0065, 0.0065, _WHITE
        yield eye + [0, 0, 0.006], eye + [0, 0, 0.006], 0.006, 0.006, _DARK
        brow = eye + [0, 0.02, 0]
        yield brow - [0.016, 0, 0], brow + [0.016, 0.001, 0], 0.0042, 0.0042, _HAIR
        yield head + [0.078 * side, 0.02, 0], head + [0.076 * side, -0.01, 0], 0.014, 0.01, _SKIN
        yield (
            front + [0.008 * side, -0.006, 0.006],
            front + [0.008 * side, -0.006, 0.006],
            0.006,
            0.006,
            _SKIN * 0.8,
        )
    yield front + [0, 0.03, -0.002], front + [0, 0, 0.012], 0.007, 0.012, _SKIN
    yield front + [-0.021, -0.042, -0.012], front + [0.021, -0.042, -0.012], 0.0055, 0.0055, _LIPS
    yield front + [-0.013, -0.048, -0.012], front + [0.013, -0.048, -0.012], 0.006, 0.006, _LIPS


def _hand(points: np.ndarray) -> Iterator[Capsule]:
    """A palm and five fingers from 21 points in metres; nails are lighter."""
    thick = {1: 0.0125, 5: 0.0105, 9: 0.0105, 13: 0.01, 17: 0.009}
    for first, r in thick.items():
        base = points[first] if first > 1 else points[1]
        yield points[0], base, 0.019, 0.0135, _SKIN
        for i in range(first, first + 3):
            thin = 1 - 0.09 * (i - first)
            yield points[i], points[i + 1], r * thin, r * (thin - 0.09), _SKIN
    for a, b in ((5, 9), (9, 13), (13, 17), (2, 5)):
        yield points[a], points[b], 0.0125, 0.0125, _SKIN
        yield (points[0] + points[a]) / 2, (points[0] + points[b]) / 2, 0.016, 0.016, _SKIN


def picture(pose: np.ndarray, hand: np.ndarray | None) -> np.ndarray:
    """u8[HEIGHT, WIDTH, 3]."""
    canvas = _Canvas()
    for capsule in (*_figure(pose), *(_hand(hand) if hand is not None else ())):
        canvas.draw(*capsule)
    grain = np.random.default_rng(0).normal(0, 2.5, canvas.rgb.shape)
    return np.clip(canvas.rgb + grain, 0, 255).astype(np.uint8)


def spelling_video(text: str, seed: int = 0) -> np.ndarray:
    """u8[T, HEIGHT, WIDTH, 3]: somebody spells `text`, hand up from rest and down again."""
    rng = np.random.default_rng(seed)
    crowd = people.draw(rng, 1)
    batch = spelling.spell(rng, crowd, [text])
    frames = len(batch.sequence)
    hand = crowd.wrist[0] + crowd.palm[0].astype(np.float32) * batch.hand
    still = np.broadcast_to(np.eye(3, dtype=np.float32), (frames, 3, 3))
    pose = body.pose(
        hand, np.zeros(frames, bool), np.ones(frames), still, np.zeros((frames, 3), np.float32)
    )
    return np.stack([picture(p, h) for p, h in zip(pose, hand, strict=True)])
