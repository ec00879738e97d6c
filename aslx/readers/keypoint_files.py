"""Clips of keypoints: a folder of FRAME.npy, an .npy, or arrays X, y and seq in an npz.

A frame has 1,662 values, or 258 without the face, in the order pose, face, left hand, right hand;
zeros stand for what the tracker lost.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from aslx import errors
from aslx.data import record_fields
from aslx.readers import folders
from aslx.schema import landmarks
from aslx.storage import npy_files

WIDTHS = (landmarks.KEYPOINTS, landmarks.KEYPOINTS_NO_FACE)
_NUMBER = re.compile(r"\d+$")
Source = Any  # A path; or (an npz, which of its clips); or (a folder, None, its first frame).


def npz(path: pathlib.Path) -> list[tuple[str, str, Source]]:
    """Each clip's name, label and place; BadInput says what is wrong with the arrays."""
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
    for name in found:
        if len(found[name]) != len(clips):
            raise errors.BadInput(
                f"{path}: X has {len(clips)} clips, and {name} {len(found[name])}"
            )
    if clips.dtype.kind not in "iuf":
        raise errors.BadInput(f"{path}: X holds {clips.dtype}, and numbers are wanted")
    texts = [_text(label) for label in labels]
    names = [f"{label}/{_text(n)}" for label, n in zip(texts, found.get("seq", ()), strict=False)]
    if len(set(names)) < len(texts):  # The same number twice, or none.
        names = [f"{label}/{i}" for i, label in enumerate(texts)]
    return [
        (name, label, (path, i)) for i, (name, label) in enumerate(zip(names, texts, strict=True))
    ]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def frame_files(clip: pathlib.Path) -> dict[int, pathlib.Path]:
    """Number -> file of a clip's frames: 0.npy, 00.npy or frame_0.npy."""
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
    """A clip [T, D] of a folder, of an .npy, or of a place in an npz."""
    if isinstance(source, pathlib.Path):
        clip_TD = npy_files.npy(source)
    elif source[1] is not None:
        clip_TD = _clips(source[0])["X"][source[1]]
    else:
        clip_TD = _frames(source[0], source[2])
    is_clip = clip_TD.ndim == 2 and clip_TD.dtype.kind in "iuf" and len(clip_TD)
    if not is_clip or clip_TD.shape[1] not in WIDTHS:
        raise errors.BadInput(
            f"{called(source)} is {clip_TD.shape} of {clip_TD.dtype}, and frames of {WIDTHS[0]} or "
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
        like = next(iter(found.values())).name
        name = _NUMBER.sub(lambda m: f"{missing:0{len(m[0])}}", pathlib.Path(like).stem)
        raise errors.BadInput(
            f"{clip} has no {name}.npy, and later frames: record the clip again, or remove it"
        )
    frames = [_frame(npy_files.npy(path), path) for path in found.values()]
    if len({frame.shape for frame in frames}) > 1:
        raise errors.BadInput(f"{clip} has frames of {WIDTHS[0]} values and of {WIDTHS[1]}")
    return np.stack(frames)


@functools.lru_cache(1)
def _clips(path: pathlib.Path) -> dict[str, np.ndarray]:
    return npy_files.npz(path, ["X", "y"], ["seq"])


def _frame(values: np.ndarray, path: pathlib.Path) -> np.ndarray:
    if values.shape not in {(width,) for width in WIDTHS}:
        raise errors.BadInput(
            f"{path} has {values.size} values, and a frame has {WIDTHS[0]} or {WIDTHS[1]}"
        )
    return values


def called(source: Source) -> str:
    if isinstance(source, pathlib.Path):
        return str(source)
    return str(source[0]) if source[1] is None else f"clip {source[1]} of {source[0]}"


def clips(
    path: str, field: Callable[[dict], record_fields.Clip]
) -> Iterator[tuple[str, np.ndarray]]:
    """The clips of a folder of frames, an .npy or an npz, as `field` of such data wants them."""
    where = pathlib.Path(path)
    if not where.exists():
        raise errors.BadInput(f"there is no {path}")
    sources: dict[str, Source] = {path: (where, None, None) if where.is_dir() else where}
    if where.suffix.lower() == ".npz":
        sources = {name: place for name, _, place in npz(where)}
    for name, source in sources.items():
        clip_TD = load(source)
        yield name, field({"values": clip_TD.shape[1]}).take(clip_TD)
