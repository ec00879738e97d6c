"""Data sets that TensorFlow Datasets (TFDS) knows by name: their fields and their clips.

A builder is code. A name is resolved by TFDS' registered builders alone, and no path is taken: the
features.json of a folder may name any module of Python, which TFDS would import.
"""

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from aslx import errors
from aslx.readers import pose_files
from aslx.schema import landmarks

SIGN_LANGUAGE = "sign_language_datasets.datasets"  # Registers builders where it is installed.
_NAME = re.compile(r"(\w+)(?:/([\w.,:-]+?))?(?::(\d+\.\d+\.\d+))?", re.ASCII)
_GLOSSES, _TEXTS = ("gloss", "sign", "label"), ("text", "phrase", "transcription")
_SIGNERS = ("signer", "signer_id", "participant_id", "participant", "speaker")
_PARTS = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}


@dataclasses.dataclass(frozen=True)
class Fields:
    """The names of the fields that are read; of a nested one, such as meaning/english."""

    pose: str
    word: str  # The text or the gloss.
    gloss: bool  # It is one of a number of signs, and no phrase.
    signer: str | None


@dataclasses.dataclass(frozen=True)
class Example:
    """A clip, and what is said of it."""

    name: str  # SPLIT/NUMBER.
    part: str | None  # One of splits.PARTS; None where the split has another name.
    points: np.ndarray  # f32[T, 543, 3], as `pose_files.Clip.points`; of no frames if absent.
    word: str
    signer: str  # Empty where it is unknown.
    mended: tuple[str, ...]


def builder(name: str, module: str | None, config: str | None, data_dir: str | None) -> Any:
    """The builder that TFDS has registered as NAME, NAME/CONFIG or NAME:VERSION, after `module` was
    imported, with a config of its own kind and the values that a JSON object gives.

    BadInput names what is unknown."""
    import importlib_resources  # noqa: F401  # TFDS needs both, and does not install them.
    import tensorflow  # noqa: F401
    import tensorflow_datasets as tfds

    found = _NAME.fullmatch(name)
    if not found:
        raise errors.BadInput(
            f"--source {name}: no name of a data set, NAME, NAME/CONFIG or NAME:VERSION; a path or "
            "a data set of a community is not taken, because reading it may run its code"
        )
    word, chosen, version = found.groups()
    if module:
        _import(module)
    elif importlib.util.find_spec(SIGN_LANGUAGE.partition(".")[0]):
        importlib.import_module(SIGN_LANGUAGE)
    known = tfds.list_builders(with_community_datasets=False)
    if word not in known:
        near = difflib.get_close_matches(word, known, 3)
        meant = f"did you mean {' or '.join(near)}?" if near else "none is near."
        raise errors.BadInput(
            f"--source {name}: TFDS has no data set of this name: {meant} Those of a package are "
            "known after it is imported: --module PACKAGE"
        )
    made = tfds.builder_cls(word)
    try:
        given = _config(made, config) if config else chosen
        return made(config=given, version=version, data_dir=data_dir)
    except (ValueError, AssertionError) as error:
        raise errors.BadInput(f"--source {name}: {error}") from error


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise errors.BadInput(f"--module {module} is not installed, or not found") from error
        raise


def _config(made: Any, text: str) -> Any:
    """A config of a builder's own kind; BadInput names what it does not take."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise errors.BadInput(f"--config {text}: no JSON: {error}") from None
    if not isinstance(values, dict) or not made.BUILDER_CONFIGS:
        takes = "is no JSON object" if made.BUILDER_CONFIGS else "the data set has no configs"
        raise errors.BadInput(f"--config {text}: {takes}")
    # TFDS keeps what it prepares under the config's name: other values have another one.
    digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=8)
    try:
        return type(made.BUILDER_CONFIGS[0])(**({"name": digest.hexdigest()} | values))
    except (TypeError, ValueError) as error:
        raise errors.BadInput(f"--config {text}: {error}") from error


def fields(
    features: Mapping[str, Any],
    *,
    pose: str | None,
    phrase: str | None,
    gloss: str | None,
    signer: str | None,
) -> Fields:
    """The fields that options name, or that are the only ones of their type; BadInput names those
    that could be meant, and the options."""
    every = dict(_flat(features))
    for option, name in (("pose", pose), ("phrase", phrase), ("gloss", gloss), ("signer", signer)):
        if name is not None and name not in every:
            raise errors.BadInput(
                f"--{option} {name}: there is no such field; there are {', '.join(every)}"
            )
    poses = [name for name, feature in every.items() if _holds_poses(feature)]
    if pose is None and len(poses) != 1:
        has = f"{len(poses)} fields with poses, {', '.join(poses)}: name one with --pose"
        lacks = (
            f"no field with poses of {', '.join(every)}: name another config in --source, or ask "
            """for them, as in --config '{"include_pose": "holistic", "include_video": false}'"""
        )
        raise errors.BadInput(f"the data set has {has if poses else lacks}")
    if pose is not None and pose not in poses:
        raise errors.BadInput(
            f"--pose {pose} holds no poses; {', '.join(poses) or 'no field'} does"
        )
    if phrase is not None and gloss is not None:
        raise errors.BadInput(f"--phrase {phrase} and --gloss {gloss}: name one of them")
    words = {name: feature for name, feature in every.items() if _holds_words(feature)}
    for option, name in (("phrase", phrase), ("gloss", gloss)):
        if name is not None and name not in words:
            raise errors.BadInput(f"--{option} {name} holds no text and no label")
    word = phrase or gloss or _word(words)
    isolated = gloss is not None or (phrase is None and _is_gloss(word, words[word]))
    if signer is None:
        signer = next((name for name in _SIGNERS if name in every), None)
    return Fields(pose or poses[0], word, isolated, signer)


def _flat(features: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The fields and their features, those of nested dictionaries too."""
    for name, feature in features.items():
        if hasattr(feature, "items") and not _holds_poses(feature):
            yield from _flat(feature, f"{before}{name}/")
        else:
            yield before + name, feature


def _holds_poses(feature: Any) -> bool:
    """Whether a field is of pose-format's arrays, as sign-language-datasets has it, or a tensor of
    all points of Holistic."""
    info = feature.get_tensor_info()
    if isinstance(info, dict):
        return {"data", "conf"} <= info.keys()
    shape = getattr(info, "shape", ())
    return len(shape) == 3 and tuple(shape[1:]) == (len(landmarks.POINTS), 3)


def _holds_words(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(feature, (tfds.features.Text, tfds.features.ClassLabel))


def _is_gloss(name: str, feature: Any) -> bool:
    """Whether a field's type or name says that it is one of a number of signs."""
    return hasattr(feature, "int2str") or name.rpartition("/")[2] in _GLOSSES


def _word(words: Mapping[str, Any]) -> str:
    """The field of the texts or glosses."""
    usual = [name for name in words if name.rpartition("/")[2] in (*_GLOSSES, *_TEXTS)]
    labels = [name for name, feature in words.items() if hasattr(feature, "int2str")]
    meant = list(dict.fromkeys([*usual, *labels])) or [*words]
    if len(meant) != 1:
        which = f"{len(meant)} fields that may be" if meant else "no field of"
        raise errors.BadInput(
            f"the data set has {which} texts or glosses, {', '.join(meant) or 'none'}: name one "
            "with --phrase, for phrases that are spelled, or with --gloss, for single signs"
        )
    return meant[0]


def download(made: Any, name: str) -> None:
    """Prepares the data set where it is not prepared already.

    BadInput where files must be fetched by hand, Unavailable where they cannot be fetched."""
    import tensorflow_datasets as tfds

    try:
        made.download_and_prepare()
    except AssertionError as error:  # TFDS' own, with the instructions for a download by hand.
        raise errors.BadInput(f"--source {name}: {error}") from error
    except (OSError, tfds.download.DownloadError) as error:
        if errors.number(error) is not None:  # A fault of the disk.
            raise
        raise errors.Unavailable(f"--source {name} cannot be downloaded: {error}") from error


def examples(made: Any, asked: Fields) -> Iterator[Example]:
    """All clips of a builder, split by split, each in its order. BadInput where a pose is not of
    Holistic, or of more frames than are read."""
    import tensorflow_datasets as tfds

    every = dict(_flat(made.info.features))
    label = every[asked.word]
    names = [asked.pose, asked.word, *([asked.signer] if asked.signer else [])]
    wanted: dict[str, Any] = {}
    for name in names:
        *outer, last = name.split("/")
        inside = wanted
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[last] = True
    decoders = tfds.decode.PartialDecoding(wanted)
    for split in made.info.splits:
        read = made.as_dataset(split=split, shuffle_files=False, decoders=decoders)
        for number, example in enumerate(tfds.as_numpy(read)):
            at = f"{split}/{number:06d}"
            where = f"{made.info.full_name}, {at}, {asked.pose}"
            points_TN3, mended = _points(every[asked.pose], _value(example, asked.pose), where)
            word = _value(example, asked.word)
            word = label.int2str(int(word)) if hasattr(label, "int2str") else _said(word)
            signer = _said(_value(example, asked.signer)) if asked.signer else ""
            yield Example(at, _PARTS.get(split), points_TN3, word, signer, mended)


def _value(example: Any, name: str) -> Any:
    for key in name.split("/"):
        example = example[key]
    return example


def _said(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _points(feature: Any, value: Any, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """f32[T, 543, 3], and what was put right in them."""
    if not isinstance(value, dict):
        return np.asarray(value, np.float32), ()
    data, seen = np.asarray(value["data"], np.float32), np.asarray(value["conf"])
    if not len(data):
        return np.zeros((0, len(landmarks.POINTS), 3), np.float32), ()
    header = getattr(feature, "_header", None)
    if header is None:
        raise errors.BadInput(f"{where} has no header of pose-format: its points have no names")
    clip = pose_files.of_arrays(
        _without_more(header), float(value.get("fps", 0)), data[..., :3], seen, where
    )
    return clip.points, clip.mended


def _without_more(header: Any) -> Any:
    """A header whose points have x, y, z and a confidence; a fourth value is left out."""
    from pose_format import pose_header

    components = [
        pose_header.PoseHeaderComponent(c.name, c.points, c.limbs, c.colors, "XYZC")
        if c.format == "XYZKC"
        else c
        for c in header.components
    ]
    return pose_header.PoseHeader(header.version, header.dimensions, components)
