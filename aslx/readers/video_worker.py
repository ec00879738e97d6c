"""Tracks, reads and writes videos, in a process apart from the trainer's packages.

`aslx.readers.video` starts it, with the folder of MediaPipe's packages as first argument:

    python -I -S video_worker.py PACKAGES landmarks|pictures FILE FPS
    python -I -S video_worker.py PACKAGES write FILE FPS WIDTH HEIGHT

It writes a line of JSON and then raw frames to stdout, or reads raw RGB from stdin. It tells of
faults of a file in a line on stderr that begins with "error: ".
"""

import json
import os
import re
import struct
import sys
import types
from collections.abc import Iterator
from typing import Any

MOST_PIXELS = 2**25  # Of a frame: 8K.
MOST_HEADER = 64 << 20  # Bytes of an MP4's header.
# The matrices with a mirror, and what they make of the stored pixels; OpenCV only rotates.
MIRRORS: dict = {
    (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
    (1, 0, 0, -1): lambda picture: picture[::-1],
    (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
    (0, -1, -1, 0): lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
}
# Parts of a frame and their points, in the order that `landmarks.holistic` reads.
PARTS = (("pose", 33), ("face", 468), ("left_hand", 21), ("right_hand", 21))


def decoded(path) -> Iterator[Any]:
    """First a dict of the video's properties, then (seconds, BGR picture) of every frame."""
    import cv2  # pyright: ignore[reportMissingImports]
    import numpy as np

    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise ValueError(f"{path} is no video that can be read")
    # Phones store pixels as the camera is held. OpenCV rotates them, and width and height too.
    mirrored = MIRRORS.get(matrix(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0 if mirrored else 1)
    rate = capture.get(cv2.CAP_PROP_FPS)
    usual = rate if 1 <= rate <= 240 else 30.0  # Streams without a rate have 1,000, or none.
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    seconds = count / rate if count > 0 and rate > 0 else 0.0
    sides = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
    width, height = (int(capture.get(side)) for side in sides)
    if mirrored:
        height, width = mirrored(np.empty((height, width, 0))).shape[:2]
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError(f"{path} has {width} x {height} pixels: at most {MOST_PIXELS} are taken")
    yield {"rate": usual, "seconds": seconds, "width": width, "height": height}
    first, last = None, -1 / usual
    while True:
        there, picture = capture.read()
        if not there:
            break
        at = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        first = at if first is None else first
        # Some containers store no times.
        last = at - first if at - first > last else last + 1 / usual
        picture = np.ascontiguousarray(mirrored(picture)) if mirrored else picture
        if picture.shape[:2] != (height, width):  # Recorded calls change their size on the way.
            picture = cv2.resize(picture, (width, height))
        yield last, picture
    if first is None:
        raise ValueError(f"{path} holds no frame that can be decoded{codec(capture, path)}")
    if last + 1 < 0.8 * seconds:
        raise ValueError(f"{path} is damaged: it ends after {last:.1f} of {seconds:.1f} seconds")


def matrix(path):
    """The signs of the 2 x 2 display matrix of the first picture track, of MP4 and QuickTime; None
    for other films."""
    begin, end = 0, os.path.getsize(path)
    with open(path, "rb") as f:
        while len(head := f.read(16)) >= 8:
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            if head[4:8] == b"moov":
                return first_matrix(f.read(min(size, MOST_HEADER)))
            begin += size
            if size < 8 or begin >= end:  # A size of 0 means: to the end.
                return None
            f.seek(begin)
    return None


def first_matrix(moov):
    for found in re.finditer(b"tkhd", moov):
        at = found.end() + (52 if moov[found.end() : found.end() + 1] == b"\1" else 40)
        numbers = moov[at : at + 44]
        if len(numbers) == 44:
            a, b, _, c, d, *_, width, height = struct.unpack(">11i", numbers)
            if width and height:
                return tuple((n > 0) - (n < 0) for n in (a, b, c, d))
    return None


def codec(capture, path):
    """The end of an error message: the film's codec, and the fix."""
    import cv2  # pyright: ignore[reportMissingImports]

    name = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    if not name.isalnum():
        return ""
    named = {"av01": "AV1"}.get(name.decode().lower(), name.decode())
    return f": it is coded as {named}; convert it, as by ffmpeg -i {path} -c:v libx264 NEW.mp4"


def timed(frames, fps, rate):
    """All frames if `fps` is 0, else those shown in the middle of each 1/fps of a second, as on the
    live page. The last frame is shown for 1/rate of a second."""
    if not fps:
        yield from frames
        return
    count, current, last = 0, None, 0.0
    for seconds, picture in frames:
        while current is not None and (count + 0.5) / fps < seconds - 1e-6:
            yield count / fps, current
            count += 1
        current, last = picture, seconds
    while current is not None and count < max(1, round((last + 1 / rate) * fps)):
        yield count / fps, current
        count += 1


def values(found):
    """f32[1662] of MediaPipe's results, NaN for a part that it did not find."""
    import numpy as np

    out = []
    for part, count in PARTS:
        points, width = getattr(found, f"{part}_landmarks"), 4 if part == "pose" else 3
        if points is None:
            out.append(np.full(count * width, np.nan))
        else:
            out.append([(p.x, p.y, p.z, p.visibility)[:width] for p in points.landmark])
    return np.concatenate([np.ravel(part) for part in out]).astype("<f4")


def track(frames):
    """The seconds and values of every frame, as bytes."""
    # MediaPipe only draws with matplotlib, whose 100 MB are not installed.
    for name in ("matplotlib", "matplotlib.pyplot"):
        sys.modules[name] = types.ModuleType(name)
    import cv2  # pyright: ignore[reportMissingImports]
    import mediapipe  # pyright: ignore[reportMissingImports]
    import numpy as np

    with mediapipe.solutions.holistic.Holistic() as holistic:
        before, row = None, b""
        for seconds, picture in frames:
            if picture is not before:
                row = values(holistic.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))).tobytes()
            before = picture
            yield np.float32(seconds).tobytes() + row


def pictures(frames):
    for _, picture in frames:
        yield picture[..., ::-1].tobytes()


def write(path, fps, width, height):
    """An mp4 of the raw RGB pictures on stdin."""
    import cv2  # pyright: ignore[reportMissingImports]
    import numpy as np

    code = cv2.VideoWriter_fourcc(*"mp4v")
    out = cv2.VideoWriter(path, cv2.CAP_FFMPEG, code, fps, (width, height))
    if not out.isOpened():
        raise ValueError(f"{path} cannot be written")
    size, frames = width * height * 3, 0
    while len(raw := sys.stdin.buffer.read(size)) == size:
        out.write(np.frombuffer(raw, np.uint8).reshape(height, width, 3)[..., ::-1])
        frames += 1
    out.release()
    # The writer does not report failures.
    written = cv2.VideoCapture(path, cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT)
    if written != frames:
        raise ValueError(f"{path} holds {written:.0f} of {frames} frames: is the disk full?")


def main(packages, task, path, fps, *size):
    sys.path.insert(0, packages)
    # Libraries print to stdout: send that to stderr.
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if task == "write":
        return write(path, float(fps), *map(int, size))
    frames = decoded(path)
    head = next(frames)
    stdout.write(json.dumps(head).encode() + b"\n")
    chosen = timed(frames, float(fps), head["rate"])
    for raw in {"landmarks": track, "pictures": pictures}[task](chosen):
        stdout.write(raw)
        stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ImportError as error:
        sys.exit(f"error: {sys.argv[1]} is damaged, remove it and run again: {error}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
