"""Films of a drawn person who fingerspells: the synthetic set's hand and body as shaded capsules.

MediaPipe recognises a person, by skin, a head with hair, brows, eyes and a mouth, a shirt, and
fingers with a light and a dark side.
"""

import pathlib
import struct
from collections.abc import Iterator

import numpy as np

from aslx.prepare.synthetic_hand import body, spelling
from aslx.prepare.synthetic_hand import signers as people

WIDTH, HEIGHT, RATE = 480, 640, 30  # Pixels, and frames a second.
_SKIN, _HAIR, _SHIRT, _DARK, _LIPS, _WHITE = (
    np.array(c, np.float32)
    for c in ((214, 160, 130), (62, 44, 34), (52, 78, 120), (40, 28, 26), (176, 92, 86), (235,) * 3)
)
_SCALE, _DISTANCE = 560.0, 1.1  # Pixels a metre at the body's depth; metres to the camera.
_LIGHT = np.array([-0.45, -0.6, 0.66], np.float32)
Capsule = tuple  # Both ends [3] and their radii in metres, and a colour.
_LEFT, _RIGHT = 1, -1


class _Canvas:
    """A picture of a grey wall, and of the nearest capsule at each pixel."""

    def __init__(self) -> None:
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        wall = 198 - 28 * y / HEIGHT - 14 * x / WIDTH
        self.rgb = np.stack([wall, wall * 0.985, wall * 0.95], -1)
        self.depth = np.full((HEIGHT, WIDTH), -1e6, np.float32)

    def draw(self, a, b, r_a: float, r_b: float, colour: np.ndarray) -> None:
        (a, zoom_a), (b, zoom_b) = _seen(a), _seen(b)
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
        up = np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
        depth = a[2] + t * (b[2] - a[2]) + radius * up
        shade = 0.5 + 0.62 * np.clip(dx * _LIGHT[0] + dy * _LIGHT[1] + up * _LIGHT[2], 0, 1)
        nearest = (up > 0) & (depth > self.depth[y0:y1, x0:x1])
        self.depth[y0:y1, x0:x1][nearest] = depth[nearest]
        self.rgb[y0:y1, x0:x1][nearest] = (shade[..., None] * colour)[nearest]


def _seen(point) -> tuple[np.ndarray, float]:
    """A point in metres -> [x, y, depth] in pixels, greater depth is nearer; and the zoom there."""
    x, y, z = point
    zoom = _DISTANCE / (_DISTANCE - z)
    return np.array(
        [WIDTH / 2 + _SCALE * x * zoom, HEIGHT / 2 - _SCALE * y * zoom, _SCALE * z]
    ), zoom


def _at(point: np.ndarray, x: float, y: float, z: float = 0) -> np.ndarray:
    return point + np.array([x, y, z], np.float32)


def _trunk(pose: np.ndarray) -> Iterator[Capsule]:
    hips, neck = pose[23:25].mean(0), pose[11:13].mean(0)
    for side in (_LEFT, _RIGHT):
        first = 11 if side == _LEFT else 12
        shoulder, elbow, wrist, hip = pose[[first, first + 2, first + 4, first + 12]]
        yield _at(neck, 0.05 * side, -0.05), _at(hips, 0.05 * side, 0), 0.1, 0.1, _SHIRT
        yield _at(neck, 0, -0.01), _at(shoulder, 0, -0.02), 0.055, 0.06, _SHIRT
        yield _at(shoulder, -0.05 * side, -0.06), hip, 0.09, 0.1, _SHIRT
        yield _at(shoulder, 0, -0.02), elbow, 0.056, 0.044, _SHIRT
        yield elbow, wrist, 0.042, 0.028, _SKIN


def _head(pose: np.ndarray) -> Iterator[Capsule]:
    head = _at(pose[:11].mean(0) * (1, 1, 0), 0, 0.01)
    yield pose[11:13].mean(0), _at(head, 0, -0.08), 0.055, 0.052, _SKIN
    yield _at(head, 0, 0.045), _at(head, 0, -0.055), 0.078, 0.052, _SKIN
    yield _at(head, 0, 0.07, -0.04), _at(head, 0, 0.05, -0.05), 0.09, 0.085, _HAIR
    yield _at(head, -0.04, 0.115, 0.01), _at(head, 0.04, 0.115, 0.01), 0.04, 0.04, _HAIR
    front = _at(head, 0, 0, 0.075)
    for side in (_LEFT, _RIGHT):
        eye = _at(front, 0.031 * side, 0.035, -0.008)
        brow, nostril = _at(eye, 0, 0.02), _at(front, 0.008 * side, -0.006, 0.006)
        yield _at(eye, -0.009, 0), _at(eye, 0.009, 0), 0.0065, 0.0065, _WHITE
        yield _at(eye, 0, 0, 0.006), _at(eye, 0, 0, 0.006), 0.006, 0.006, _DARK
        yield _at(brow, -0.016, 0), _at(brow, 0.016, 0.001), 0.0042, 0.0042, _HAIR
        yield _at(head, 0.078 * side, 0.02), _at(head, 0.076 * side, -0.01), 0.014, 0.01, _SKIN
        yield nostril, nostril, 0.006, 0.006, _SKIN * 0.8
    yield _at(front, 0, 0.03, -0.002), _at(front, 0, 0, 0.012), 0.007, 0.012, _SKIN
    for half, y, radius in ((0.021, -0.042, 0.0055), (0.013, -0.048, 0.006)):
        yield _at(front, -half, y, -0.012), _at(front, half, y, -0.012), radius, radius, _LIPS


def _hand(points: np.ndarray) -> Iterator[Capsule]:
    """A palm and five fingers from 21 points."""
    thick = {1: 0.0125, 5: 0.0105, 9: 0.0105, 13: 0.01, 17: 0.009}
    for first, radius in thick.items():
        yield points[0], points[first], 0.019, 0.0135, _SKIN
        for i in range(first, first + 3):
            thin = radius * (1 - 0.09 * (i - first))
            yield points[i], points[i + 1], thin, 0.91 * thin, _SKIN
    for a, b in ((5, 9), (9, 13), (13, 17), (2, 5)):
        yield points[a], points[b], 0.0125, 0.0125, _SKIN
        yield (points[0] + points[a]) / 2, (points[0] + points[b]) / 2, 0.016, 0.016, _SKIN


def picture(*capsules: Capsule) -> np.ndarray:
    """u8[HEIGHT, WIDTH, 3], with the noise of a camera; without capsules, a wall."""
    canvas = _Canvas()
    for capsule in capsules:
        canvas.draw(*capsule)
    grain = np.random.default_rng(0).normal(0, 2.5, canvas.rgb.shape)
    return np.clip(canvas.rgb + grain, 0, 255).astype(np.uint8)


def spelling_film(text: str, seed: int = 0) -> list[np.ndarray]:
    """Pictures of a person who spells `text`: the hand rises, spells and sinks, as in the synthetic
    set."""
    rng = np.random.default_rng(seed)
    crowd = people.draw(rng, 1)
    batch = spelling.spell(rng, crowd, [text])
    frames = len(batch.sequence)
    hand = crowd.wrist[0] + crowd.palm[0].astype(np.float32) * batch.hand
    upright, still = np.broadcast_to(np.eye(3), (frames, 3, 3)), np.zeros((frames, 3))
    pose = body.pose(hand, np.zeros(frames, bool), np.ones(frames), upright, still)
    return [picture(*_trunk(p), *_head(p), *_hand(h)) for p, h in zip(pose, hand, strict=True)]


SEEN = {  # The rotation matrix in a film's header, and its effect on a picture.
    "turned 90": ((0, 1, -1, 0), lambda x: np.rot90(x, 3)),
    "turned 180": ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
    "turned 270": ((0, -1, 1, 0), lambda x: np.rot90(x)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside down in a mirror": ((1, 0, 0, -1), lambda x: x[::-1]),
    "turned 90 in a mirror": ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    "turned 270 in a mirror": ((0, -1, -1, 0), lambda x: x[::-1, ::-1].swapaxes(0, 1)),
}


def turned(film: pathlib.Path, path: pathlib.Path, way: str) -> None:
    """Writes a copy of a film whose header asks for a rotation, as the films of phones do."""
    raw, at = bytearray(film.read_bytes()), film.read_bytes().index(b"tkhd") + 44
    a, b, c, d = SEEN[way][0]
    struct.pack_into(">5i", raw, at, a << 16, b << 16, 0, c << 16, d << 16)
    path.write_bytes(raw)


def cut(film: pathlib.Path, path: pathlib.Path) -> None:
    """Writes the first half of a film's file."""
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
