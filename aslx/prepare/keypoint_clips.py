"""Clips of keypoints -> shards: folders CLASS/SEQUENCE/FRAME.npy, or X, y and seq in an npz.

A frame has 1,662 values, or 258 without the face, in the order pose, face, left hand, right hand;
zeros stand for parts that the tracker lost. Clips in folders may have different lengths.
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, class_items
from aslx.readers import folders, keypoint_files
from aslx.storage import files

_PARTS = {  # Usual names of npz files -> the part that each holds.
    **dict.fromkeys(("train", "training"), None),  # Divided further where parts are lacking.
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ODD = 5  # Clips of unusual length that are named.


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeypointClips(class_dataset.Options):
    """Clips of MediaPipe keypoints, CLASS/SEQUENCE/FRAME.npy or an npz, into TFRecord shards."""

    source: str
    """The folder of the classes, or an npz of X, y and seq."""

    def prepare(self, scratch: files.Path) -> dict:
        found = find(self.folder())
        frames, width = _first(found.items).shape
        kind = class_items.Kind(
            name="keypoint_clips",
            array="keypoints",
            shape=(None, width),
            dtype=np.float16,
            size=frames * width * 2,
            read=functools.partial(read, width=width),
            metadata={"values": width},
        )
        return class_dataset.prepare(scratch, kind, found, self)


def find(source: pathlib.Path) -> class_items.Found:
    """All clips of a folder or an npz. BadInput where the folder holds several kinds of them."""
    if source.suffix.lower() == ".npz":
        return class_items.Found(_items(source))
    packed = [path for path in folders.inside(source) if path.suffix.lower() == ".npz"]
    clips = [clip for each in folders.classes(source) for clip in folders.classes(each)]
    if not packed:
        return _from_folders(source, clips)
    if clips:
        raise errors.BadInput(
            f"{source} holds {packed[0].name} and clips as {clips[0].relative_to(source)}: point "
            f"--source at {packed[0]}, or remove it"
        )
    if len(packed) == 1:
        return class_items.Found(_items(packed[0]))
    parts = [_PARTS.get(path.stem.lower(), "") for path in packed]
    if "" in parts or len(set(parts)) < len(parts):
        names = " and ".join(path.name for path in packed[:3])
        raise errors.BadInput(
            f"{source} holds {names}: name them train.npz, validation.npz and test.npz, or point "
            "--source at one"
        )
    return class_items.Found(
        [
            dataclasses.replace(item, file=f"{path.stem}/{item.file}", part=part)
            for path, part in zip(packed, parts, strict=True)
            for item in _items(path)
        ]
    )


def _items(path: pathlib.Path) -> list[class_items.Item]:
    return [class_items.Item(*clip) for clip in keypoint_files.npz(path)]


def _from_folders(source: pathlib.Path, clips: Sequence[pathlib.Path]) -> class_items.Found:
    if not clips:
        raise errors.BadInput(f"{source} has no folders CLASS/SEQUENCE of frames, and no npz")
    frames_of = {clip: keypoint_files.frame_files(clip) for clip in clips}
    most = _usual(len(frames) for frames in frames_of.values())
    # All clips begin with the same frame, 0 or 1; a clip with a later first frame lacks some.
    first = _usual(min(frames) for frames in frames_of.values() if frames)
    items = [
        class_items.Item(
            f"{clip.parent.name}/{clip.name}",
            clip.parent.name,
            keypoint_files.Source(clip, first=first),
        )
        for clip in clips
    ]
    odd = [
        f"{item.file} has {len(frames)}"
        for item, frames in zip(items, frames_of.values(), strict=True)
        if len(frames) != most
    ]
    more = f" and {len(odd) - _ODD} more" if len(odd) > _ODD else ""
    notes = [f"clips have {most} frames, but {', '.join(odd[:_ODD])}{more}"] if odd else []
    empty = [each.name for each in folders.classes(source) if not folders.classes(each)]
    if empty:
        notes.append(f"without a clip, and so no class: {', '.join(empty)}")
    loose = [path.suffix for each in folders.classes(source) for path in folders.inside(each)
             if files.is_file(path)]  # fmt: skip
    dropped = collections.Counter(f"{suffix} files in no folder of a clip" for suffix in loose)
    return class_items.Found(items, dropped, notes)


def _usual(values: Iterator[int]) -> int:
    """The most frequent value; the least of several."""
    return max(collections.Counter(values).items(), key=lambda pair: (pair[1], -pair[0]))[0]


def _first(items: Sequence[class_items.Item]) -> np.ndarray:
    """The first clip that can be read. All clips must have its width."""
    for item in items:
        try:
            return keypoint_files.load(item.source)
        except errors.BadInput:
            if item is items[-1]:
                raise
    raise errors.BadInput("no clip was found")


def read(source: keypoint_files.Source, width: int) -> np.ndarray:
    """A clip float16[T, width]; BadInput where its frames have another width."""
    clip_TD = keypoint_files.load(source)
    if clip_TD.shape[1] != width:
        raise errors.BadInput(
            f"{source} has frames of {clip_TD.shape[1]} values, the first clip of {width}"
        )
    with np.errstate(over="ignore"):
        half_TD = clip_TD.astype("<f2")
    if not np.isfinite(half_TD).all():
        raise errors.BadInput(f"{source} holds values that are no finite float16")
    return half_TD
