"""The 543-point MediaPipe Holistic schema, and named selections of its points.

A point is called "left_hand_8". Kaggle's parquet has the columns "x_left_hand_8", "y_...", "z_...":
all x, then all y, then all z, each axis in the order of `POINTS`. Coordinates are fractions of the
image's width (x, and z roughly) and height (y, downwards); NaN where the tracker lost the part.
"""

import dataclasses
import functools

import numpy as np

from aslx import errors

AXES = "xyz"
PARTS = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
POINTS = tuple(f"{part}_{i}" for part, n in PARTS.items() for i in range(n))

# Values of each part in a frame of the published keypoint LSTM, and of a tracked video, in order.
# The pose has x, y, z and visibility, the other parts x, y, z.
KEYPOINT_PARTS = {"pose": 4 * 33, "face": 3 * 468, "left_hand": 3 * 21, "right_hand": 3 * 21}
KEYPOINTS = sum(KEYPOINT_PARTS.values())
KEYPOINTS_NO_FACE = KEYPOINTS - KEYPOINT_PARTS["face"]

# MediaPipe's hand: the wrist (0), then four joints of each finger from the palm to the tip.
FINGERS = {
    "thumb": (1, 2, 3, 4),
    "index": (5, 6, 7, 8),
    "middle": (9, 10, 11, 12),
    "ring": (13, 14, 15, 16),
    "little": (17, 18, 19, 20),
}
HAND_EDGES = (
    *(edge for a, b, c, d in FINGERS.values() for edge in ((0, a), (a, b), (b, c), (c, d))),
    *((5, 9), (9, 13), (13, 17)),
)

# Outlines of the face mesh, from MediaPipe's face_mesh_connections. A list of the lips is its own
# mirror image when reversed; the lists of the eyes are mirror images point by point.
_LIPS_OUTER_TOP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_LIPS_OUTER_BOTTOM = (146, 91, 181, 84, 17, 314, 405, 321, 375)
_LIPS_INNER_TOP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_LIPS_INNER_BOTTOM = (95, 88, 178, 87, 14, 317, 402, 318, 324)
_EYE_RIGHT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
_EYE_LEFT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
_NOSE = (98, 2, 1, 327)
LIPS = _LIPS_OUTER_TOP + _LIPS_OUTER_BOTTOM + _LIPS_INNER_TOP + _LIPS_INNER_BOTTOM
ARMS = tuple(range(11, 23))  # Shoulders, elbows, wrists, and three fingers of each hand.


def _mirror_points() -> dict[str, str]:
    """Each point's mirror image; points on the middle line, and unlisted ones of the face, are
    their own."""
    pairs = [(f"left_hand_{i}", f"right_hand_{i}") for i in range(21)]
    # MediaPipe's pose: 1-3 are the left eye, 4-6 the right; from 7 on, left is odd, right even.
    pose = [(1, 4), (2, 5), (3, 6), *((i, i + 1) for i in range(7, 33, 2))]
    pairs += [(f"pose_{a}", f"pose_{b}") for a, b in pose]
    face = [(98, 327), *zip(_EYE_RIGHT, _EYE_LEFT, strict=True)]
    for lip in (_LIPS_OUTER_TOP, _LIPS_OUTER_BOTTOM, _LIPS_INNER_TOP, _LIPS_INNER_BOTTOM):
        face += zip(lip, reversed(lip), strict=True)
    pairs += [(f"face_{a}", f"face_{b}") for a, b in face]
    return {p: p for p in POINTS} | dict(pairs) | {b: a for a, b in pairs}


MIRROR = _mirror_points()


@dataclasses.dataclass(frozen=True)
class Selection:
    """Some of the 543 points, in an order of its own."""

    name: str
    points: tuple[str, ...]

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns of Kaggle's parquet, and the exported model's `selected_columns`."""
        return tuple(f"{axis}_{point}" for axis in AXES for point in self.points)

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """int[N]: the position of each point's mirror image, which must be selected too."""
        return np.array([self.points.index(MIRROR[p]) for p in self.points])

    def part(self, prefix: str) -> np.ndarray:
        """int[n]: positions of the points of one part ("right_hand", "pose", "face")."""
        return np.array([i for i, p in enumerate(self.points) if _part(p) == prefix], int)

    def indices(self, *points: str) -> np.ndarray:
        """int[n]: positions of these points; BadInput names one that is not selected."""
        missing = [p for p in points if p not in self.points]
        if missing:
            raise errors.BadInput(f"the selection {self.name} lacks {missing[0]}")
        return np.array([self.points.index(p) for p in points], int)

    def from_columns(self, columns_TC: np.ndarray) -> np.ndarray:
        """[T, 3N] in the order of `columns` -> [T, N, 3]."""
        return columns_TC.reshape(len(columns_TC), 3, len(self.points)).transpose(0, 2, 1)


def holistic(values_TD: np.ndarray) -> np.ndarray:
    """Frames [T, D] in the layout of `KEYPOINT_PARTS` -> f32[T, 543, 3] in the order of `POINTS`.

    D is 1,662, or 258 without the face, which is then NaN."""
    if values_TD.shape[1] < KEYPOINTS:
        face_TD = np.full((len(values_TD), KEYPOINT_PARTS["face"]), np.nan)
        pose_TD, hands_TD = np.split(values_TD, [KEYPOINT_PARTS["pose"]], axis=1)
        values_TD = np.concatenate([pose_TD, face_TD, hands_TD], axis=1)
    ends = np.cumsum([*KEYPOINT_PARTS.values()])[:-1]
    parts = dict(zip(KEYPOINT_PARTS, np.split(values_TD, ends, axis=1), strict=True))
    points = [
        parts[part].reshape(-1, n, parts[part].shape[1] // n)[..., :3] for part, n in PARTS.items()
    ]
    return np.concatenate(points, axis=1).astype(np.float32)


def without_face(values_TD: np.ndarray) -> np.ndarray:
    """Frames of `KEYPOINT_PARTS` without the face: [T, 1662] -> [T, 258]."""
    pose = KEYPOINT_PARTS["pose"]
    return np.delete(values_TD, np.s_[pose : pose + KEYPOINT_PARTS["face"]], axis=1)


def lost_where_zero(points_TN3: np.ndarray, selection: Selection) -> tuple[np.ndarray, int]:
    """Points f[T, N, 3] with NaN for every part (a hand, the face, the pose) that is 0 at all its
    points in a frame, as some tools write a lost part; and the number of such frames and parts.

    Without any, the array is returned as it is. A single point at 0 stays: it is the wrist where
    coordinates are relative to the wrist.
    """
    found, count = points_TN3, 0
    for part in PARTS:
        mine = selection.part(part)
        if not len(mine):
            continue
        # The first point nearly always rules a part out; testing all takes as long as reading.
        maybe = np.flatnonzero((points_TN3[:, mine[0], :2] == 0).all(-1))
        values = points_TN3[np.ix_(maybe, mine)]
        frames = maybe[((values == 0) | np.isnan(values)).all((1, 2))]  # z may be NaN.
        if len(frames):
            found = points_TN3.copy() if found is points_TN3 else found
            found[np.ix_(frames, mine)] = np.nan
            count += len(frames)
    return found, count


def _part(point: str) -> str:
    return point.rpartition("_")[0]


def _named(part: str, ids) -> tuple[str, ...]:
    return tuple(f"{part}_{i}" for i in ids)


_RIGHT, _LEFT = _named("right_hand", range(21)), _named("left_hand", range(21))

# Of both fingerspelling baselines: hands, and the pose's left, then right forearm and fingers.
HANDS_ARMS = Selection(
    "hands_arms", _RIGHT + _LEFT + _named("pose", (13, 15, 17, 19, 21, 14, 16, 18, 20, 22))
)
# Of the competition's first place: hands, arms, and 76 points of the face.
HOLISTIC130 = Selection(
    "holistic130",
    _RIGHT + _LEFT + _named("pose", ARMS) + _named("face", LIPS + _NOSE + _EYE_RIGHT + _EYE_LEFT),
)
ALL = Selection("all", POINTS)
SELECTIONS = {s.name: s for s in (HANDS_ARMS, HOLISTIC130)}


def of_parts(parts: tuple[str, ...]) -> Selection:
    """The points of HOLISTIC130 that are in these parts, or whose mirror images are."""
    points = [p for p in HOLISTIC130.points if {_part(p), _part(MIRROR[p])} & set(parts)]
    return Selection("+".join(sorted(set(map(_part, points)))), tuple(points))


def selection(name: str) -> Selection:
    if name not in SELECTIONS:
        raise errors.BadInput(f"no selection {name!r}; there are {', '.join(SELECTIONS)}")
    return SELECTIONS[name]


def columns(clip_TN3: np.ndarray) -> np.ndarray:
    """A clip [T, N, 3] as in Kaggle's parquet: f32[T, 3 N], all x, all y, all z."""
    return clip_TN3.astype(np.float32).transpose(0, 2, 1).reshape(len(clip_TN3), -1)
