"""Small data sets that TensorFlow Datasets knows once this module is imported."""

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from pose_format import pose_header

from aslx.readers import pose_files
from aslx.schema import landmarks
from tests import posed

SIZE = 1024, 1024  # A fraction times it, and back, is exact.
SIGNERS = "ana", "bo", "cy", "di"
SPLITS = {"train": 24, "test": 4}


class PoseArrays(tfds.features.FeatureConnector):
    """As sign-language-datasets keeps poses: arrays, and a header of pose-format beside them."""

    def __init__(self, header: Any):
        super().__init__()
        self._header = header
        self._points = sum(len(component.points) for component in header.components)

    def get_tensor_info(self) -> dict[str, Any]:
        return {
            "data": tfds.features.TensorInfo(shape=(None, 1, self._points, 3), dtype=np.float32),
            "conf": tfds.features.TensorInfo(shape=(None, 1, self._points), dtype=np.float32),
            "fps": tfds.features.TensorInfo(shape=(), dtype=np.int32),
        }

    def encode_example(self, example_data: Any) -> Any:
        return example_data

    def to_json_content(self) -> Any:
        return {"points": self._points}

    @classmethod
    def from_json_content(cls, value: Any, doc: Any = None) -> Any:
        raise AssertionError("the data set is read by its builder alone")


def header(size: tuple[int, int] = SIZE, parts: dict[str, str] | None = None) -> Any:
    """Of all points of Holistic, in pose-format's order of its parts."""
    components = [
        pose_header.PoseHeaderComponent(
            name, [*pose_files.NAMES[part]], [(0, 0)], [(9, 9, 9)], "XYZC"
        )
        for name, part in (parts or pose_files.PARTS).items()
    ]
    return pose_header.PoseHeader(0.1, pose_header.PoseHeaderDimensions(*size), components)


def clip(number: int) -> np.ndarray:
    """f32[T, 543, 3] of clip `number`; its places are exact in float16."""
    points_TN3 = posed.clip(6 + number % 3, seed=number).astype(np.float16)
    return points_TN3.astype(np.float32)


def arrays(points_TN3: np.ndarray, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    order = np.concatenate([landmarks.ALL.part(part) for part in pose_files.PARTS.values()])
    pixels_T1N3 = points_TN3[:, None, order] * np.array([*size, 1], np.float32)
    seen_T1N = np.isfinite(pixels_T1N3).all(-1)
    return {"data": np.nan_to_num(pixels_T1N3), "conf": seen_T1N.astype(np.float32), "fps": 30}


def text(number: int) -> str:
    return f"main st {number}"


class _Tiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar[dict[str, Any]]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self.FEATURES)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        starts = np.cumsum([0, *SPLITS.values()])
        return {
            split: self._generate_examples(range(start, start + count))
            for start, (split, count) in zip(starts, SPLITS.items(), strict=False)
        }

    def _generate_examples(self, numbers: range) -> Any:
        for number in numbers:
            yield number, self.example(number)

    def example(self, number: int) -> dict[str, Any]:
        raise NotImplementedError


class TinySpelled(_Tiny):
    """Poses with pose-format's header, a nested text, an id and a signer with a name."""

    FEATURES: ClassVar[dict[str, Any]] = {
        "id": tfds.features.Text(),
        "pose": PoseArrays(header()),
        "said": {"text": tfds.features.Text()},
        "signer_id": tfds.features.Text(),
    }

    def example(self, number: int) -> dict[str, Any]:
        points_TN3 = clip(number) if number != 3 else np.zeros((0, 543, 3), np.float32)
        said = text(number) if number != 5 else " "
        return {
            "id": f"clip {number}",
            "pose": arrays(points_TN3),
            "said": {"text": said},
            "signer_id": SIGNERS[number % len(SIGNERS)],
        }


class TinySigns(_Tiny):
    """A tensor of all points, fractions of the picture, and a label."""

    FEATURES: ClassVar[dict[str, Any]] = {
        "video_id": tfds.features.Text(),
        "landmarks": tfds.features.Tensor(shape=(None, 543, 3), dtype=np.float32),
        "sign": tfds.features.ClassLabel(names=["drink", "eat", "go"]),
    }

    def example(self, number: int) -> dict[str, Any]:
        return {"video_id": f"{number}", "landmarks": clip(number), "sign": number % 3}


class TinyTwice(_Tiny):
    """Two fields of each type, one of the poses as fractions of the picture."""

    FEATURES: ClassVar[dict[str, Any]] = {
        "pose": PoseArrays(header((640, 480))),
        "example_pose": PoseArrays(header()),
        "gloss": tfds.features.Text(),
        "text": tfds.features.Text(),
    }

    def example(self, number: int) -> dict[str, Any]:
        return {
            "pose": arrays(clip(number), (1, 1)),
            "example_pose": arrays(clip(number)),
            "gloss": ("eat", "go")[number % 2],
            "text": text(number),
        }


class TinyBare(_Tiny):
    """Neither poses nor words."""

    FEATURES: ClassVar[dict[str, Any]] = {"number": np.int32}

    def example(self, number: int) -> dict[str, Any]:
        return {"number": number}
