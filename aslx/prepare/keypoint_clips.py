"""The keypoint seed's clips: folders CLASS/SEQUENCE/FRAME.npy, or arrays X, y and seq in an npz.

A frame has 1,662 values, or 258 without the face, in the order pose, face, left hand, right hand;
zeros stand for what the tracker lost. Clips may be of different lengths, in folders.
"""

import collections
import functools
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from aslx import errors
from aslx.data import record_fields
from aslx.prepare import class_dataset, unreadable
from aslx.readers import folders
from aslx.storage import files, npy_files

WIDTHS = (record_fields.KEYPOINTS, record_fields.KEYPOINTS_NO_FACE)
_PARTS = {  # Of a data set, as people call the npz that hold them.
    **dict.fromkeys(("train", "training"), None),  # Divided further where parts are lacking.
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NUMBER = re.compile(r"\d+$")
_ODD = 5  # Clips of another length than most that are named.


def prepare(source: pathlib.Path, scratch: files.Path, options: class_dataset.Options) -> dict:
    found = find(source)
    frames, width = _first(found.items).shape
    kind = class_dataset.Kind(
        name="keypoint_clips",
        array="keypoints",
        shape=(None, width),
        dtype=np.float16,
        size=frames * width * 2,
        read=functools.partial(read, width=width),
        metadata={"values": width},
    )

    def build(found: class_dataset.Found) -> dict:
        classes = sorted({item.label for item in found.items})
        division = class_dataset.divide(found, options, source.name)
        return class_dataset.prepare(scratch, kind, division, classes, options, source.name)

    return unreadable.whole(build, found, kind, scratch, options)


def find(source: pathlib.Path) -> class_dataset.Found:
    """All clips of a folder or an npz. BadInput where it is not clear which are meant."""
    if source.suffix.lower() == ".npz":
        return class_dataset.Found(from_npz(source))
    packed = [path for path in folders.inside(source) if path.suffix.lower() == ".npz"]
    clips = [clip for each in folders.classes(source) for clip in folders.classes(each)]
    if not packed:
        return from_folders(source, clips)
    if clips:
        raise errors.BadInput(
            f"{source} holds {packed[0].name} and clips as {clips[0].relative_to(source)}: point "
            f"--source at {packed[0]}, or remove it"
        )
    if len(packed) == 1:
        return class_dataset.Found(from_npz(packed[0]))
    parts = [_PARTS.get(path.stem.lower(), "") for path in packed]
    if "" in parts or len(set(parts)) < len(parts):
        names = " and ".join(path.name for path in packed[:3])
        raise errors.BadInput(
            f"{source} holds {names}: name them train.npz, validation.npz and test.npz, or point "
            "--source at one"
        )
    items = []
    for path, part in zip(packed, parts, strict=True):
        items += [
            class_dataset.Item(f"{path.stem}/{item.file}", item.label, item.source, part=part)
            for item in from_npz(path)
        ]
    return class_dataset.Found(items)


def from_npz(path: pathlib.Path) -> list[class_dataset.Item]:
    """BadInput says what is wrong with the arrays."""
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
        class_dataset.Item(name, label, (path, i))
        for i, (name, label) in enumerate(zip(names, texts, strict=True))
    ]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def from_folders(source: pathlib.Path, clips: Sequence[pathlib.Path]) -> class_dataset.Found:
    """BadInput where there is none."""
    if not clips:
        raise errors.BadInput(f"{source} has no folders CLASS/SEQUENCE of frames, and no npz")
    files = {clip: _files(clip) for clip in clips}
    most = _usual(len(frames) for frames in files.values())
    # Clips begin with 0 or with 1; what begins otherwise than the others lacks its first frames.
    first = _usual(min(frames) for frames in files.values() if frames)
    items = [
        class_dataset.Item(f"{clip.parent.name}/{clip.name}", clip.parent.name, (clip, None, first))
        for clip in clips
    ]
    odd = [
        f"{item.file} has {len(frames)}"
        for item, frames in zip(items, files.values(), strict=True)
        if len(frames) != most
    ]
    more = f" and {len(odd) - _ODD} more" if len(odd) > _ODD else ""
    notes = [f"clips have {most} frames, but {', '.join(odd[:_ODD])}{more}"] if odd else []
    empty = [each.name for each in folders.classes(source) if not folders.classes(each)]
    if empty:
        notes.append(f"without a clip, and so no class: {', '.join(empty)}")
    loose = [path.suffix for each in folders.classes(source) for path in folders.inside(each)
             if path.is_file()]  # fmt: skip
    dropped = collections.Counter(f"{suffix} files in no folder of a clip" for suffix in loose)
    return class_dataset.Found(items, dropped, notes)


def _usual(values: Iterator[int]) -> int:
    return max(collections.Counter(values).items(), key=lambda pair: (pair[1], -pair[0]))[0]


def _files(clip: pathlib.Path) -> dict[int, pathlib.Path]:
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


def _first(items: Sequence[class_dataset.Item]) -> np.ndarray:
    """The first clip that can be read, by which the others are measured."""
    for item in items:
        try:
            return _load(item.source)
        except errors.BadInput:
            if item is items[-1]:
                raise
    raise errors.BadInput("no clip was found")


def _load(source: Any) -> np.ndarray:
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
            f"{_name(source)} is {clip_TD.shape} of {clip_TD.dtype}, and frames of {WIDTHS[0]} or "
            f"{WIDTHS[1]} numbers are wanted"
        )
    return clip_TD


def _frames(clip: pathlib.Path, first: int | None) -> np.ndarray:
    found = _files(clip)
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


def _name(source: Any) -> str:
    if isinstance(source, pathlib.Path):
        return str(source)
    return str(source[0]) if source[1] is None else f"clip {source[1]} of {source[0]}"


def read(source: Any, width: int) -> np.ndarray:
    """A clip of frames of this width, as float16."""
    clip_TD = _load(source)
    if clip_TD.shape[1] != width:
        raise errors.BadInput(
            f"{_name(source)} has frames of {clip_TD.shape[1]} values, the first clip of {width}"
        )
    with np.errstate(over="ignore"):
        half_TD = clip_TD.astype("<f2")
    if not np.isfinite(half_TD).all():
        raise errors.BadInput(f"{_name(source)} holds values that are no finite float16")
    return half_TD


def clips(
    path: str, field: Callable[[dict], record_fields.Keypoints]
) -> Iterator[tuple[str, np.ndarray]]:
    """The clips of a folder of frames, an .npy or an npz, as `field` of such data wants them."""
    where = pathlib.Path(path)
    if not where.exists():
        raise errors.BadInput(f"there is no {path}")
    sources: dict[str, Any] = {path: (where, None, None) if where.is_dir() else where}
    if where.suffix.lower() == ".npz":
        sources = {item.file: item.source for item in from_npz(where)}
    for name, source in sources.items():
        clip_TD = _load(source)
        yield name, field({"values": clip_TD.shape[1]}).take(clip_TD)
