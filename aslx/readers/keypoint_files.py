"""Clips of keypoints: a folder of FRAME.npy, an .npy, or arrays X, y and seq in an npz.

A frame has 1,662 values, or 258 without the face, in the order pose, face, left hand, right hand;
zeros stand for what the tracker lost.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from aslx import errors
from aslx.data import record_fields
from aslx.readers import folders
from aslx.schema import landmarks
from aslx.storage import files, npy_files

WIDTHS = (landmarks.KEYPOINTS, landmarks.KEYPOINTS_NO_FACE)
_NUMBER = re.compile(r"\d+$")


class Source(NamedTuple):
    """Where a clip is stored."""

    path: pathlib.Path
    clip: int | None = None  # Its position in an npz.
    first: int | None = None  # The number of a folder's first frame; None: any.

    def __str__(self) -> str:
        return str(self.path) if self.clip is None else f"clip {self.clip} of {self.path}"


def npz(path: pathlib.Path) -> list[tuple[str, str, Source]]:
    """The name, label and source of each clip; BadInput says what is wrong with the arrays."""
    found = _clips(path)
    clips, labels = found["X"], found["y"]
    if labels.ndim != 1:
        raise errors.BadInput(
            f"{path}: y has the shape {labels.shape}, and a number or a name for each clip is "
            "wanted: of one-hot labels take y.argmax(1)"
        )
    if clips.ndim != 3:
        raise errors.BadInput(
            f"{path}: X has the shape {clips.shape}, and clips, frames and values are wanted"
        )
    for name, array in found.items():
        if len(array) != len(clips):
            raise errors.BadInput(f"{path}: X has {len(clips)} clips, and {name} {len(array)}")
    if clips.dtype.kind not in "iuf":
        raise errors.BadInput(f"{path}: X holds {clips.dtype}, and numbers are wanted")
    texts = [_text(label) for label in labels]
    names = [f"{label}/{_text(n)}" for label, n in zip(texts, found.get("seq", ()), strict=False)]
    if len(set(names)) < len(texts):  # Numbers are missing, or occur twice.
        names = [f"{label}/{i}" for i, label in enumerate(texts)]
    sources = [Source(path, i) for i in range(len(texts))]
    return list(zip(names, texts, sources, strict=True))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def frame_files(clip: pathlib.Path) -> dict[int, pathlib.Path]:
    """Number -> file of the frames in a clip's folder: 0.npy, 00.npy or frame_0.npy."""
    found: dict[int, pathlib.Path] = {}
    for path in folders.inside(clip):
        if path.suffix.lower() != ".npy":
            continue
        number = _NUMBER.search(path.stem)
        if number is None:
            raise errors.BadInput(
                f"{path} has no number at the end of its name: which frame is it?"
            )
        if other := found.get(int(number[0])):
            raise errors.BadInput(f"{clip} has {other.name} and {path.name}: remove one")
        found[int(number[0])] = path
    return dict(sorted(found.items()))


def load(source: Source) -> np.ndarray:
    """The clip [T, D]; BadInput where it is none."""
    if source.clip is not None:
        clip_TD = _clips(source.path)["X"][source.clip]
    elif files.is_folder(source.path):
        clip_TD = _frames(source.path, source.first)
    else:
        clip_TD = npy_files.npy(source.path)
    is_clip = clip_TD.ndim == 2 and clip_TD.dtype.kind in "iuf" and len(clip_TD)
    if not is_clip or clip_TD.shape[1] not in WIDTHS:
        raise errors.BadInput(
            f"{source} is {clip_TD.shape} of {clip_TD.dtype}, and frames of {WIDTHS[0]} or "
            f"{WIDTHS[1]} numbers are wanted"
        )
    return clip_TD


def _frames(clip: pathlib.Path, first: int | None) -> np.ndarray:
    found = frame_files(clip)
    if not found:
        raise errors.BadInput(f"{clip} holds no frames 0.npy, 1.npy, ...")
    first = min(found) if first is None else first
    missing = next((i for i in range(first, max(found)) if i not in found), None)
    if missing is not None:
        like = next(iter(found.values())).stem
        name = _NUMBER.sub(lambda m: f"{missing:0{len(m[0])}}", like)
        raise errors.BadInput(
            f"{clip} has no {name}.npy, and later frames: record the clip again, or remove it"
        )
    frames = []
    for path in found.values():
        values = npy_files.npy(path)
        if values.shape not in {(width,) for width in WIDTHS}:
            has = f"{values.size} values" if values.ndim == 1 else f"the shape {values.shape}"
            raise errors.BadInput(
                f"{path} has {has}, and a frame has {WIDTHS[0]} or {WIDTHS[1]} values"
            )
        frames.append(values)
    if len({frame.shape for frame in frames}) > 1:
        raise errors.BadInput(f"{clip} has frames of {WIDTHS[0]} values and of {WIDTHS[1]}")
    return np.stack(frames)


@functools.lru_cache(1)
def _clips(path: pathlib.Path) -> dict[str, np.ndarray]:
    return npy_files.npz(path, ["X", "y"], ["seq"])


def clips(
    path: str, field: Callable[[dict], record_fields.Clip]
) -> Iterator[tuple[str, np.ndarray]]:
    """The clips of a folder of frames, an .npy or an npz, as wanted by `field` of such metadata."""
    where = pathlib.Path(path)
    if not files.exists(where):
        raise errors.BadInput(f"there is no {path}")
    sources = {path: Source(where)}
    if where.suffix.lower() == ".npz":
        sources = {name: source for name, _, source in npz(where)}
    for name, source in sources.items():
        clip_TD = load(source)
        yield name, field({"values": clip_TD.shape[1]}).take(clip_TD)
