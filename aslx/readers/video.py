"""Videos in and out: MediaPipe Holistic and OpenCV, in an environment and a process of their own.

MediaPipe 0.10.14, the last that holds Holistic's models, wants protobuf before 5, and TensorFlow
wants a later one. So what it needs is installed once, beside and not among the packages of the
trainer: in a folder of ~/.cache/aslx that only `video_worker.py` looks into.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

from aslx import errors
from aslx.readers import file_kinds
from aslx.schema import landmarks
from aslx.storage import files

# All that the worker imports, and no more: MediaPipe also names JAX and matplotlib.
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
RATE = 30  # Frames a second of Kaggle's clips, about.
_NEWEST = (3, 12)  # Python for which MediaPipe 0.10.14 is made.
_WRISTS = landmarks.ALL.indices("left_hand_0", "right_hand_0")
_WORKER = pathlib.Path(__file__).with_name("video_worker.py")


@dataclasses.dataclass(frozen=True)
class Track:
    """What MediaPipe Holistic found in T frames."""

    seconds: np.ndarray  # f32[T], since the first frame.
    hands: np.ndarray  # bool[T]: whether a hand was found.
    values: np.ndarray
    """f32[T, 1662], see `landmarks.holistic`, NaN where a part was not found; or what `track` was
    told to take."""
    width: int  # Of the picture, in pixels.
    height: int
    rate: float  # Frames a second, as the file says.

    @functools.cached_property
    def points(self) -> np.ndarray:
        """f32[T, 543, 3] of all values."""
        return landmarks.holistic(self.values)


def is_video(path: str | os.PathLike) -> bool:
    """By what it holds, or else by its name; a GIF is one too."""
    kind = file_kinds.kind(path)
    if kind:
        return kind in (file_kinds.VIDEO, file_kinds.GIF)
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def track(
    path: str | os.PathLike,
    fps: float | None = None,
    *,
    take: Callable[[np.ndarray], np.ndarray] = lambda values_TD: values_TD,
    quiet: bool = False,
) -> Track:
    """The landmarks of a video's frames, or of those at `fps` a second, with progress on a terminal
    unless `quiet`. `take` makes of values f32[T, 1662], 6.6 kB a frame, what is kept of them.
    BadInput names a file that is missing, damaged, no video or empty; OSError says why MediaPipe
    cannot be set up."""
    size = 4 * (1 + landmarks.KEYPOINTS)
    none = take(np.zeros((0, landmarks.KEYPOINTS), "<f4"))
    seconds, hands, kept = bytearray(), [], bytearray()  # They grow in place.
    with _reading("landmarks", path, fps) as (head, stdout):
        total = round(head["seconds"] * (fps or head["rate"])) or None
        name = pathlib.Path(path).name
        with tqdm.tqdm(
            total=total, desc=name, unit=" frames", leave=False, disable=quiet or None
        ) as bar:
            while len(raw := stdout.read(size)) == size:
                values_1D = np.frombuffer(raw, "<f4", offset=4)[None]
                seconds += raw[:4]
                hands.append(np.isfinite(landmarks.holistic(values_1D)[0, _WRISTS]).any())
                kept += take(values_1D).tobytes()
                bar.update()
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
    """The frames that `track` tracks, u8[H, W, 3]; errors as there."""
    with _reading("pictures", path, fps) as (head, stdout):
        shape = head["height"], head["width"], 3

        def each() -> Iterator[np.ndarray]:
            while len(raw := stdout.read(int(np.prod(shape)))) == np.prod(shape):
                yield np.frombuffer(raw, np.uint8).reshape(shape)

        yield each()


def write(
    path: str | os.PathLike, frames: Iterator[np.ndarray], fps: float, width: int, height: int
) -> None:
    """An mp4 of u8[height, width, 3] pictures, which appears when it is whole."""
    whole = pathlib.Path(path)
    files.make(whole.parent)
    with (
        files.replacing(whole) as partial,
        _worker("write", partial, fps, width, height) as process,
    ):
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # The worker says why.
            for frame in frames:
                process.stdin.write(frame.tobytes())
            process.stdin.close()


@contextlib.contextmanager
def _reading(task: str, path: str | os.PathLike, fps: float | None) -> Iterator[tuple]:
    if not pathlib.Path(path).is_file():
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
    raise errors.BadInput(f"{path} cannot be read")  # The worker ended well and said nothing.


@contextlib.contextmanager
def _worker(task: str, path: str | os.PathLike, *rest: object) -> Iterator[subprocess.Popen]:
    """Runs the worker; BadInput is what it says of the file."""
    command = [sys.executable, "-I", "-S", _WORKER, packages(), task, os.path.abspath(path), *rest]
    with tempfile.TemporaryFile() as log:  # The libraries' talk: to be shown only where they fail.
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
    """What the worker ended with: a word on the file, the end of the machine's memory, or a bug."""
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if told:
        return errors.BadInput(told[-1])
    if status == -9:  # SIGKILL, which Windows does not know.
        return errors.Unavailable(f"what reads {path} was killed, perhaps for want of memory")
    if status < 0:
        return errors.BadInput(
            f"{path} crashes its decoder (signal {-status}): it is damaged, convert it"
        )
    return RuntimeError("\n".join(["the worker that reads videos failed", *lines[-30:]]))


def packages() -> pathlib.Path:
    """The folder of what the worker imports, installed there by pip if it is not yet.

    BadInput and `errors.Unavailable` say why it cannot be."""
    tag = " ".join((*REQUIREMENTS, sys.implementation.cache_tag or "", sys.platform))
    folder = files.cache() / f"mediapipe-{hashlib.sha256(tag.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    version = ".".join(map(str, sys.version_info[:2]))
    if tuple(sys.version_info[:2]) > _NEWEST:
        raise errors.BadInput(
            f"videos are read by MediaPipe 0.10.14, which is made for Python 3.9 to 3.12, and this "
            f"is {version}: use such a Python, or give parquet files of landmarks"
        )
    print(f"setting up MediaPipe, once, in {folder}: 105 MB to fetch", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".mediapipe-", dir=folder.parent)
    # Each package is pinned, so none needs to be resolved.
    pip = "-m pip install --quiet --no-deps --only-binary :all: --no-compile --no-user --no-input"
    command = [sys.executable, *pip.split(), "--target", partial, *REQUIREMENTS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=_without_constraints())
        if done.returncode:
            told = [
                line for line in done.stderr.splitlines() if "ERROR" in line or "No mod" in line
            ]
            raise errors.Unavailable(
                "MediaPipe 0.10.14 cannot be set up; it needs pip, a package index and Python 3.9 "
                f"to 3.12 (this is {version}): {told[-1] if told else done.stderr.strip()[-300:]}"
            )
        try:
            os.rename(partial, folder)
        except OSError:
            if not folder.is_dir():  # Else another process was faster.
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _without_constraints() -> dict[str, str]:
    """The environment without constraints, which are the trainer's and not the worker's."""
    return {k: v for k, v in os.environ.items() if k not in ("PIP_CONSTRAINT", "PIP_REQUIREMENT")}
