"""The keypoint seed's clips: folders CLASS/SEQUENCE/FRAME.npy, or arrays X, y and seq in an npz.

A frame has 1,662 values, or 258 without the face, in the order pose, face, left hand, right hand;
zeros stand for what the tracker lost.
"""

import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from aslx import errors, files
from aslx.data import fields
from aslx.datasets import labelled

WIDTHS = (fields.KEYPOINTS, fields.KEYPOINTS_NO_FACE)


def prepare(source: pathlib.Path, scratch: files.Path, options: labelled.Options) -> dict:
    found = [source] if source.suffix == ".npz" else sorted(source.glob("*.npz"))
    items = from_npz(found[0]) if found else from_folders(source)
    classes = sorted({item.label for item in items})
    frames, width = _load(items[0].source).shape
    kind = labelled.Kind(
        name="keypoint_clips",
        array="keypoints",
        shape=(None, width),
        dtype=np.float16,
        size=frames * width * 2,
        read=functools.partial(read, width=width),
        metadata={"values": width},
    )
    division = labelled.divide(items, options, source.name)
    return labelled.prepare(scratch, kind, division, classes, options, source.name)


def from_npz(path: pathlib.Path) -> list[labelled.Item]:
    try:
        with np.load(path, allow_pickle=False) as f:
            labels, numbers = f["y"], f["seq"] if "seq" in f else np.arange(len(f["y"]))
    except (OSError, ValueError, KeyError) as error:
        raise errors.BadInput(f"{path} has no arrays X and y of clips: {error}") from error
    names = [f"{label}/{number}" for label, number in zip(labels, numbers, strict=True)]
    return [
        labelled.Item(name, str(label), (path, i))
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    ]


def from_folders(source: pathlib.Path) -> list[labelled.Item]:
    """BadInput names a clip that lacks a frame."""
    clips = sorted(path for path in source.glob("*/*") if path.is_dir())
    if not clips:
        raise errors.BadInput(f"{source} has no folders CLASS/SEQUENCE of frames, and no npz")
    frames = max(len(list(clip.glob("*.npy"))) for clip in clips)
    for clip in clips:
        missing = [i for i in range(frames) if not (clip / f"{i}.npy").exists()]
        if missing:
            raise errors.BadInput(
                f"{clip} has no {missing[0]}.npy, and others have {frames} frames: "
                "record the clip again, or remove it"
            )
    return [labelled.Item(f"{c.parent.name}/{c.name}", c.parent.name, c) for c in clips]


def _load(source: Any) -> np.ndarray:
    """A clip [T, D] of a folder, of an .npy, or of a place in an npz."""
    try:
        if isinstance(source, tuple):
            return _clips(source[0])[source[1]]
        if source.is_file():
            return np.load(source)
        frames = sorted(source.glob("*.npy"), key=lambda path: int(path.stem))
        return np.stack([_frame(np.load(path), path) for path in frames])
    except (OSError, ValueError, EOFError) as error:
        where = source[0] if isinstance(source, tuple) else source
        raise errors.BadInput(f"{where} holds no clip of frames: {error}") from error


@functools.lru_cache(1)
def _clips(path: pathlib.Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as f:
        return f["X"]


def _frame(values: np.ndarray, path: pathlib.Path) -> np.ndarray:
    if values.shape not in {(width,) for width in WIDTHS}:
        raise errors.BadInput(
            f"{path} has {values.size} values, and a frame has {WIDTHS[0]} or {WIDTHS[1]}"
        )
    return values


def read(source: Any, width: int) -> np.ndarray:
    """A clip of frames of this width, as float16."""
    clip_TD = _load(source)
    if clip_TD.ndim != 2 or clip_TD.shape[1] != width:
        raise errors.BadInput(f"{source} is {clip_TD.shape}, and not frames of {width} values")
    with np.errstate(over="ignore"):
        half_TD = clip_TD.astype("<f2")
    if not np.isfinite(half_TD).all():
        raise errors.BadInput(f"{source} holds values that are no finite float16")
    return half_TD


def clips(path: str, field: Callable[[dict], fields.Keypoints]) -> Iterator[tuple[str, np.ndarray]]:
    """The clips of a folder of frames, an .npy or an npz, as `field` of such data wants them."""
    where = pathlib.Path(path)
    if not where.exists():
        raise errors.BadInput(f"there is no {path}")
    is_npz = where.suffix == ".npz"
    sources = {item.file: item.source for item in from_npz(where)} if is_npz else {path: where}
    for name, source in sources.items():
        clip_TD = _load(source)
        if clip_TD.ndim != 2 or clip_TD.shape[1] not in WIDTHS:
            raise errors.BadInput(f"{path} is {clip_TD.shape}, and not frames of {WIDTHS} values")
        yield name, field({"values": clip_TD.shape[1]}).take(clip_TD)
