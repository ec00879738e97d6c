"""The kinds of input: columns and frames of landmarks, keypoints, images.

Each is a `schema.features.Source`, which says what its functions give. The commands ask the
`source` of the features, and never which kind of input it is.
"""

import collections
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from aslx import errors
from aslx.data import record_fields
from aslx.inputs import model_inputs
from aslx.readers import (
    file_kinds,
    keypoint_files,
    mending,
    parquet,
    pose_files,
    sign_parquet,
)
from aslx.schema import landmarks

Clips = Iterator[tuple[int | str, np.ndarray]]  # What a file calls it, and the clip or image.


class _Given:
    """A source of no competition, whose features have no field that the data set decides."""

    @property
    def submission(self) -> dict[str, bytes] | None:
        return None

    def settled(self, metadata: dict) -> dict[str, int]:
        del metadata
        return {}


def _clip(
    name: str,
    inputs: jax.Array,
    frames: jax.Array | None,
    arranged: Callable[[jax.Array], jax.Array] = lambda inputs: inputs,
) -> model_inputs.Batch:
    """A batch of one clip: `arranged` of [t, ...]. t may be symbolic where `frames` is None."""
    if frames is not None:
        return {name: arranged(inputs)[None], "length": frames}
    t = inputs.shape[0]
    # One frame more, all missing, and before anything else: XNNPACK refuses an empty clip, and
    # tflite-runtime 2.14 divides by its size where it transposes one.
    more = jnp.pad(inputs, ((0, 1), *((0, 0),) * (inputs.ndim - 1)), constant_values=jnp.nan)
    return {name: arranged(more)[None], "length": jnp.array([t], jnp.int32)}


@dataclasses.dataclass(frozen=True)
class _Landmarks(_Given):
    """Points f[T, N, 3] of a selection, NaN where the tracker lost them."""

    selection: landmarks.Selection
    reads: ClassVar[tuple[str, ...]] = ("landmarks", "length")
    takes: ClassVar[dict[str, str]] = {
        file_kinds.PARQUET: "parquet files of landmarks",
        file_kinds.POSE: ".pose files",
    }

    def field(self, metadata: dict | None = None) -> record_fields.Clip:
        if metadata is None:
            return record_fields.landmarks_clip(self.selection, self.selection)
        if "selection" not in metadata:
            raise errors.BadInput("it holds no landmarks")
        stored = landmarks.selection(metadata["selection"])
        return record_fields.landmarks_clip(stored, self.selection)

    def blank(self, clip: np.ndarray) -> bool:
        return bool(np.isnan(clip).all())

    def tracked(self, values_TD: np.ndarray) -> np.ndarray:
        """A clip from a video's frames, whose values are in `landmarks.holistic`'s order."""
        return self.selected(landmarks.holistic(values_TD))

    def posed(self, path: str) -> pose_files.Clip:
        """All points of a .pose file. Repairs are reported on stderr."""
        clip = pose_files.read(pathlib.Path(path))
        for line in mending.said(dict.fromkeys(clip.mended, 1)):
            print(f"{path}: {line}", file=sys.stderr)
        return clip

    def selected(self, points_TN3: np.ndarray) -> np.ndarray:
        """A clip from all points."""
        return points_TN3[:, landmarks.ALL.indices(*self.selection.points)]

    def points(self, clip: np.ndarray) -> tuple[landmarks.Selection, np.ndarray]:
        """The points of a clip that can be drawn, and their places, f[T, N, 3]."""
        return self.selection, clip


@dataclasses.dataclass(frozen=True)
class Columns(_Landmarks):
    """Landmarks as the fingerspelling competition has them: f32[t, 3 N], all x, all y, all z."""

    @property
    def shape(self) -> tuple:
        return ("t", len(self.selection.columns))

    @property
    def about(self) -> dict:
        return {"kind": "columns", "shape": self.shape, "columns": self.selection.columns}

    @property
    def submission(self) -> dict[str, bytes] | None:
        args = {"selected_columns": list(self.selection.columns)}
        return {"inference_args.json": json.dumps(args).encode()}

    def clips(self, path: str) -> Clips:
        """All clips of a file. Repairs are reported on stderr."""
        if file_kinds.kind(path) == file_kinds.POSE:
            yield path, self.selected(self.posed(path).points)
            return
        counts = collections.Counter()
        for sequence in parquet.read(path, self.selection):
            counts.update(sequence.mended)
            yield sequence.id, sequence.points
        for line in mending.said(counts):
            print(f"{path}: {line}", file=sys.stderr)

    def batch(self, inputs: jax.Array, frames: jax.Array | None = None) -> model_inputs.Batch:
        def points_TN3(inputs: jax.Array) -> jax.Array:
            points_T3N = inputs.reshape(inputs.shape[0], 3, len(self.selection.points))
            return points_T3N.transpose(0, 2, 1)

        return _clip("landmarks", inputs, frames, points_TN3)

    def pack(self, clip: np.ndarray) -> np.ndarray:
        return landmarks.columns(clip)


@dataclasses.dataclass(frozen=True)
class Frames(_Landmarks):
    """Landmarks as the isolated-sign competition has them: f32[t, 543, 3]."""

    @property
    def submission(self) -> dict[str, bytes] | None:
        return {}

    @property
    def shape(self) -> tuple:
        return ("t", len(landmarks.POINTS), 3)

    @property
    def about(self) -> dict:
        return {"kind": "frames", "shape": self.shape}

    def clips(self, path: str) -> Clips:
        if file_kinds.kind(path) == file_kinds.POSE:
            yield path, self.selected(self.posed(path).points)
            return
        clip = sign_parquet.clip(path)
        if not len(clip.points):
            raise errors.BadInput(f"{path} is a clip of no frames")
        for line in mending.said(dict.fromkeys(clip.mended, 1)):
            print(f"{path}: {line}", file=sys.stderr)
        yield path, self.selected(clip.points)

    def batch(self, inputs: jax.Array, frames: jax.Array | None = None) -> model_inputs.Batch:
        batch = _clip("landmarks", inputs, frames)
        # As a product: points are static, but a gather beside a symbolic axis does not export.
        take_NP = np.zeros((len(landmarks.POINTS), len(self.selection.points)), np.float32)
        for i, point in enumerate(landmarks.ALL.indices(*self.selection.points)):
            take_NP[point, i] = 1
        lost_BTN3 = jnp.isnan(batch["landmarks"]).astype(jnp.float32)
        both = jnp.where(lost_BTN3 > 0, 0.0, batch["landmarks"]), lost_BTN3
        exact = jax.lax.Precision.HIGHEST
        x, lost = (jnp.einsum("btnc,np->btpc", x, take_NP, precision=exact) for x in both)
        return batch | {"landmarks": jnp.where(lost > 0, jnp.nan, x)}

    def pack(self, clip: np.ndarray) -> np.ndarray:
        every = np.full((len(clip), len(landmarks.POINTS), 3), np.nan, np.float32)
        every[:, landmarks.ALL.indices(*self.selection.points)] = clip
        return every


@dataclasses.dataclass(frozen=True)
class Keypoints(_Given):
    """The keypoint LSTM's frames of 1,662 values, or 258 without the face."""

    face: bool
    reads: ClassVar[tuple[str, ...]] = ("keypoints", "length")
    takes: ClassVar[dict[str, str]] = {
        file_kinds.FOLDER: "folders of frames",
        file_kinds.NPY: "npy",
        file_kinds.ZIP: "npz files of clips",
    }

    @property
    def shape(self) -> tuple:
        return ("t", landmarks.KEYPOINTS if self.face else landmarks.KEYPOINTS_NO_FACE)

    @property
    def about(self) -> dict:
        return {"kind": "keypoints", "shape": self.shape}

    def field(self, metadata: dict | None = None) -> record_fields.Clip:
        stored = self.shape[1] if metadata is None else metadata.get("values", 0)
        if stored < self.shape[1]:
            raise errors.BadInput(f"its frames have {stored} values, and not {self.shape[1]}")
        return record_fields.keypoints_clip(stored, self.shape[1])

    def clips(self, path: str) -> Clips:
        yield from keypoint_files.clips(path, self.field)

    def blank(self, clip: np.ndarray) -> bool:
        return not np.nan_to_num(clip).any()

    def tracked(self, values_TD: np.ndarray) -> np.ndarray:
        # Zeros stand for what was lost.
        return self.field({"values": landmarks.KEYPOINTS}).take(np.nan_to_num(values_TD))

    def points(self, clip: np.ndarray) -> tuple[landmarks.Selection, np.ndarray]:
        points_TN3 = landmarks.holistic(clip.astype(np.float32))
        return landmarks.ALL, np.where((points_TN3 == 0).all(-1, keepdims=True), np.nan, points_TN3)

    def batch(self, inputs: jax.Array, frames: jax.Array | None = None) -> model_inputs.Batch:
        return _clip("keypoints", inputs, frames)

    def pack(self, clip: np.ndarray) -> np.ndarray:
        return clip.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Image(_Given):
    """Images of one size, grey or RGB, f32[H, W, C] from 0 to 255."""

    height: int
    width: int
    channels: int
    cutouts: bool = False  # Whether batches have them; no file does.
    reads: ClassVar[tuple[str, ...]] = ("image",)
    takes: ClassVar[dict[str, str]] = {
        file_kinds.IMAGE: "images",
        file_kinds.GIF: "the first picture of a GIF",
    }

    @property
    def shape(self) -> tuple:
        return (self.height, self.width, self.channels)

    @property
    def about(self) -> dict:
        return {"kind": "image", "shape": self.shape}

    def settled(self, metadata: dict) -> dict[str, int]:
        """The stored size of the images."""
        size = metadata.get("size", ())
        if not isinstance(size, list) or len(size) != 3 or size[2] != self.channels:
            return {}
        return {"height": size[0], "width": size[1]}

    def field(self, metadata: dict | None = None) -> record_fields.Image:
        metadata = {"size": self.shape, "cutouts": self.cutouts} if metadata is None else metadata
        size, cut = tuple(metadata.get("size", ())), metadata.get("cutouts", False)
        if size != self.shape:
            raise errors.BadInput(
                f"its images are {size or 'none'}, and not {self.shape}; image_folder has --size"
            )
        if self.cutouts and not cut:
            raise errors.BadInput("its images have no cutouts: prepare them with --cutouts")
        stored, wanted = (
            2 * self.channels + 1 if has else self.channels for has in (cut, self.cutouts)
        )
        return record_fields.Image(*self.shape, stored=stored, wanted=wanted)

    def clips(self, path: str) -> Clips:
        from aslx.readers import images  # Late: clips need no Pillow, and it is 5 MB.

        yield path, images.read(path, self.shape)

    def blank(self, clip: np.ndarray) -> bool:
        del clip
        return False

    def batch(self, inputs: jax.Array, frames: jax.Array | None = None) -> model_inputs.Batch:
        del frames
        return {"image": inputs[None]}

    def pack(self, clip: np.ndarray) -> np.ndarray:
        return clip.astype(np.float32)
