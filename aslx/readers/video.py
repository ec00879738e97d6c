"""Videos in and out: MediaPipe Holistic and OpenCV, with packages and a process of their own.

MediaPipe 0.10.14, the last version with Holistic's models, needs protobuf below 5; TensorFlow needs
a later one. So MediaPipe's packages are installed once into a folder of ~/.cache/aslx, apart from
the trainer's, and only `video_worker.py` imports them.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
import tqdm

from aslx import errors
from aslx.readers import file_kinds
from aslx.schema import landmarks
from aslx.storage import files, user_folders

# What the worker imports, and no more: MediaPipe also lists JAX and matplotlib.
REQUIREMENTS = (
    "mediapipe==0.10.14",
    "absl-py==2.5.1",
    "attrs==26.1.0",
    "flatbuffers==25.12.19",
    "numpy==1.26.4",
    "opencv-python-headless==4.11.0.86",
    "protobuf==4.25.9",
)
SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".webm", ".wmv"),
)
RATE = 30  # Frames per second, about those of Kaggle's clips.
_NEWEST = (3, 12)  # The latest Python that MediaPipe 0.10.14 supports.
_WRISTS = landmarks.ALL.indices("left_hand_0", "right_hand_0")
_WORKER = pathlib.Path(__file__).with_name("video_worker.py")


@dataclasses.dataclass(frozen=True)
class Track:
    """What MediaPipe Holistic found in T frames."""

    seconds: np.ndarray  # f32[T], since the first frame.
    hands: np.ndarray  # bool[T]: whether a hand was found.
    values: np.ndarray
    """f32[T, 1662], see `landmarks.holistic`, NaN where a part was not found; or what `take` of
    `track` made of them."""
    width: int  # Pixels of the picture.
    height: int
    rate: float  # Frames per second, according to the file.

    @functools.cached_property
    def points(self) -> np.ndarray:
        """f32[T, 543, 3] from `values` f32[T, 1662]."""
        return landmarks.holistic(self.values)


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is a video or a GIF, by its contents, or else by its name."""
    if kind := file_kinds.kind(path):
        return kind in (file_kinds.VIDEO, file_kinds.GIF)
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def track(
    path: str | os.PathLike,
    fps: float | None = None,
    *,
    take: Callable[[np.ndarray], np.ndarray] = lambda values_TD: values_TD,
    quiet: bool = False,
) -> Track:
    """The landmarks of a video's frames, or of `fps` frames per second.

    `take` reduces values f32[T, 1662], which have 6.6 kB a frame, to what is kept. Progress is
    shown on a terminal unless `quiet`. BadInput names a file that is missing, damaged, no video or
    empty; OSError says why MediaPipe cannot be set up."""
    size = 4 * (1 + landmarks.KEYPOINTS)
    none = take(np.zeros((0, landmarks.KEYPOINTS), "<f4"))
    seconds, hands, kept = bytearray(), [], bytearray()
    with _reading("landmarks", path, fps) as (head, stdout):
        total = round(head["seconds"] * (fps or head["rate"])) or None
        bar = functools.partial(tqdm.tqdm, unit=" frames", leave=False, disable=quiet or None)
        for raw in bar(_pieces(stdout, size), total=total, desc=pathlib.Path(path).name):
            values_1D = np.frombuffer(raw, "<f4", offset=4)[None]
            seconds += raw[:4]
            hands.append(np.isfinite(landmarks.holistic(values_1D)[0, _WRISTS]).any())
            kept += take(values_1D).tobytes()
    return Track(
        seconds=np.frombuffer(seconds, "<f4"),
        hands=np.array(hands),
        values=np.frombuffer(kept, none.dtype).reshape(-1, *none.shape[1:]),
        width=head["width"],
        height=head["height"],
        rate=fps or head["rate"],
    )


@contextlib.contextmanager
def pictures(path: str | os.PathLike, fps: float | None = None) -> Iterator[Iterator[np.ndarray]]:
    """The frames that `track` reads, u8[H, W, 3]; errors as there."""
    with _reading("pictures", path, fps) as (head, stdout):
        shape = head["height"], head["width"], 3
        pieces = _pieces(stdout, math.prod(shape))
        yield (np.frombuffer(raw, np.uint8).reshape(shape) for raw in pieces)


def _pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while len(raw := stream.read(size)) == size:
        yield raw


def write(
    path: str | os.PathLike, frames: Iterator[np.ndarray], fps: float, width: int, height: int
) -> None:
    """Writes an mp4 of pictures u8[height, width, 3]; it appears once it is complete."""
    whole = pathlib.Path(path)
    files.make(whole.parent)
    with (
        files.replacing(whole) as partial,
        _worker("write", partial, fps, width, height) as process,
    ):
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_worker` raises the worker's error.
            for frame in frames:
                process.stdin.write(frame.tobytes())
            process.stdin.close()


@contextlib.contextmanager
def _reading(
    task: str, path: str | os.PathLike, fps: float | None
) -> Iterator[tuple[dict[str, Any], IO[bytes]]]:
    """What the worker says of a video, and its output, frame after frame."""
    if not files.is_file(path):
        raise errors.BadInput(f"there is no file {path}")
    if (kind := file_kinds.kind(path)) and not is_video(path):
        raise errors.BadInput(f"{path} {file_kinds.words(kind)}, and a video is wanted")
    if fps is not None and not 1 <= fps <= 240:
        raise errors.BadInput(f"--fps {fps:g}: needs 1 to 240 frames a second")
    with _worker(task, path, fps or 0) as process:
        assert process.stdout is not None
        head = process.stdout.readline()
        if head:
            yield json.loads(head), process.stdout
            return
    raise errors.BadInput(f"{path} cannot be read")  # The worker ended without a word.


@contextlib.contextmanager
def _worker(task: str, path: str | os.PathLike, *rest: object) -> Iterator[subprocess.Popen]:
    """Runs the worker; BadInput tells what it reports of the file."""
    command = [sys.executable, "-I", "-S", _WORKER, packages(), task, os.path.abspath(path), *rest]
    with tempfile.TemporaryFile() as log:  # Libraries print much; it is shown after a failure.
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        try:
            yield process
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            status = process.wait()
        finally:
            process.kill()
            process.wait()
        if status:
            log.seek(0)
            raise _fault(path, status, log.read().decode(errors="replace").splitlines())


def _fault(path: str | os.PathLike, status: int, lines: list[str]) -> Exception:
    """The worker's failure: a fault of the file, too little memory, or a bug."""
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if told:
        return errors.BadInput(told[-1])
    if status == -9:  # SIGKILL, which Windows does not have.
        return errors.Unavailable(
            f"the process that reads {path} was killed, perhaps for lack of memory"
        )
    if status < 0:
        return errors.BadInput(
            f"{path} crashes its decoder (signal {-status}): it is damaged, convert it"
        )
    return RuntimeError("\n".join(["the worker that reads videos failed", *lines[-30:]]))


def packages() -> pathlib.Path:
    """The folder of the worker's packages, which pip installs there the first time.

    BadInput and `errors.Unavailable` say why they cannot be installed."""
    tag = " ".join((*REQUIREMENTS, sys.implementation.cache_tag or "", sys.platform))
    folder = user_folders.cache() / f"mediapipe-{hashlib.sha256(tag.encode()).hexdigest()[:12]}"
    if files.is_folder(folder):
        return folder
    version = ".".join(map(str, sys.version_info[:2]))
    if tuple(sys.version_info[:2]) > _NEWEST:
        raise errors.BadInput(
            f"videos are read by MediaPipe 0.10.14, which needs Python 3.9 to 3.12, and this is "
            f"{version}: use such a Python, or give parquet files of landmarks"
        )
    print(f"installing MediaPipe once in {folder}: downloads 105 MB", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".mediapipe-", dir=folder.parent)
    # Every package is pinned, so there is nothing to resolve.
    pip = "-m pip install --quiet --no-deps --only-binary :all: --no-compile --no-user --no-input"
    command = [sys.executable, *pip.split(), "--target", partial, *REQUIREMENTS]
    # Constraints in the environment are meant for the trainer's packages.
    env = {k: v for k, v in os.environ.items() if k not in ("PIP_CONSTRAINT", "PIP_REQUIREMENT")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode:
            lines = done.stderr.splitlines()
            told = [line for line in lines if "ERROR" in line or "No mod" in line]
            raise errors.Unavailable(
                "MediaPipe 0.10.14 cannot be set up; it needs pip, a package index and Python 3.9 "
                f"to 3.12 (this is {version}): {told[-1] if told else done.stderr.strip()[-300:]}"
            )
        try:
            os.rename(partial, folder)
        except OSError:
            if not files.is_folder(folder):  # Else another process was faster.
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
