"""Reads clips, images or videos: python -m aslx.predict clip.mp4 ..."""

import dataclasses
import json
import pathlib
import re
import sys
from typing import Annotated, Any

import tyro
from etils import epath

from aslx import cli, errors
from aslx.readers import video


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints what aslx's own reader of fingerspelling reads in videos or files of landmarks, or
    what the best checkpoint of a run reads in files of the kind that it was trained on.

    MediaPipe Holistic finds the landmarks of a video; it is set up when it is first needed. Every
    frame is used as it is, whatever the video's frame rate: Kaggle's clips have about 30 a second.
    """

    files: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Kaggle's parquet, folders of keypoint frames, images or videos; without any, the command
    asks for one file after the other. If a file cannot be read, the rest are still read, and the
    exit status is 2."""
    workdir: str = ""
    """A directory that aslx.train wrote, or hf://OWNER/NAME; by default the reader that the package
    brings reads."""
    fps: float | None = None
    """Frames per second to take of a video; by default all frames."""
    stream: bool = False
    """Read the frames one after the other, and print every character when it is final; needs a
    streaming network."""
    overlay: str | None = None
    """Write the video with the skeleton and the text over it to this .mp4 or .gif; needs exactly
    one video to read."""
    draw: bool = False
    """Draw each clip: NAME.png shows the hand over time, and below it the decoder's attention, the
    CTC posteriors or the classes' probabilities; NAME.gif is an animation."""
    drawings: str | None = None
    """The folder for the drawings; by default drawings/ in --workdir."""
    pose: str | None = None
    """A folder: write the landmarks of each clip into it as a .pose file."""
    eaf: str | None = None
    """Write what was read, with times and confidences, to this .eaf file of ELAN's; needs exactly
    one video or .pose file to read."""

    @property
    def drawn(self) -> bool:
        return self.draw or self.overlay is not None


def main() -> int | None:
    command = tyro.cli(Command)
    if (command.drawn or command.stream) and not command.workdir:
        raise errors.BadInput(
            "--draw, --overlay and --stream need a network, and the reader that the package brings "
            "is an exported file: pass the --workdir of a run"
        )
    if command.overlay is not None:
        if pathlib.Path(command.overlay).suffix.lower() not in (".mp4", ".gif"):
            raise errors.BadInput(
                f"--overlay {command.overlay}: needs a name that ends in .mp4 or .gif"
            )
        if len(command.files) != 1 or not video.is_video(command.files[0]):
            raise errors.BadInput(f"--overlay {command.overlay}: needs one video to read")
    if command.eaf is not None:
        if pathlib.Path(command.eaf).suffix.lower() != ".eaf":
            raise errors.BadInput(f"--eaf {command.eaf}: needs a name that ends in .eaf")
        if len(command.files) != 1:
            raise errors.BadInput(f"--eaf {command.eaf}: needs one video or .pose file to read")
        import pympi  # noqa: F401  # Says that it is missing before anything is read.
    if command.pose is not None:
        import pose_format  # noqa: F401
    run = _opened(command.workdir)
    if command.files:
        return max(_status(run, file, command) for file in command.files)
    while True:
        try:
            file = input("file, or x to end: ").strip()
        except EOFError:
            return None
        if file == "x":
            return None
        try:
            _read(run, file, command)
        except errors.BadInput as error:
            print("error:", error)


def _opened(workdir: str) -> Any:
    """The run, or the reader that the package brings."""
    if not workdir:
        from aslx.export import exported

        return exported.open_reader()
    from aslx.kernels import malloc_tuning
    from aslx.runs import trained_run

    malloc_tuning.share()
    return trained_run.open_run(workdir)


def _status(run: Any, file: str, command: Command) -> int:
    """Reads a file and returns the exit status; a file that cannot be read gets a line of JSON
    too."""
    try:
        _read(run, file, command)
    except errors.BadInput as error:
        print(json.dumps({"file": file, "error": str(error)}), flush=True)
        return cli.failed(error)
    return 0


def _read(run: Any, file: str, command: Command) -> None:
    from aslx.predict import predictions

    keep = command.drawn or command.pose is not None
    found = predictions.read(run, file, fps=command.fps, keep_points=keep)
    if not found:
        print(f"{file} holds no sequence")
    streamed = None
    if command.stream:
        from aslx.predict import stream_reader  # The reader of the package needs no network.

        streamed = stream_reader.of(run)
    for one in found:
        if streamed is not None:
            _read_stream(streamed, run.cfg.features.rate, file, one)
        line = {"file": file, "sequence_id": one.name} | one.report
        if one.track is not None:
            hands = int(one.track.hands.sum())
            line |= {"frames": len(one.track.hands), "frames_with_a_hand": hands}
            if not hands:
                line["note"] = f"no hand was found in any of {len(one.track.hands)} frames"
        elif one.answer is None:
            line["note"] = f"nothing was tracked in any of {len(one.clip)} frames"
        print(json.dumps(line), flush=True)
        if command.drawn:
            _draw(run, file, one, command)
        if command.pose is not None:
            _write_pose(run, file, one, pathlib.Path(command.pose))
        if command.eaf is not None:
            _write_eaf(run, file, one, command, command.eaf)


def _read_stream(streamed: Any, rate: float, file: str, one: Any) -> None:
    text = ""
    for written in streamed(one.clip, one.rate):
        text += written.character
        at = round((written.frame + 1) / rate, 2)
        said = {"seconds": at, "confidence": round(written.confidence, 4), "text": text}
        print(json.dumps({"file": file, "sequence_id": one.name} | said), flush=True)


def _name(file: str, one: Any) -> str:
    """A name for what is written about a clip, without a suffix."""
    parts = pathlib.Path(file).absolute().with_suffix("").parts[-2:]
    if one.track is None and str(one.name) != file:
        parts = (*parts, str(one.name))
    return re.sub(r"[^\w.-]+", "-", "-".join(parts))


def _write_pose(run: Any, file: str, one: Any, folder: pathlib.Path) -> None:
    from aslx.predict import annotations

    path = folder / f"{_name(file, one)}.pose"
    annotations.write_pose(run.source, one, path)
    print(f"written: {path}", file=sys.stderr)


def _write_eaf(run: Any, file: str, one: Any, command: Command, path: str) -> None:
    from aslx.predict import annotations

    film = pathlib.Path(file) if video.is_video(file) else None
    annotations.write_eaf(run if command.workdir else None, one, film, pathlib.Path(path))
    print(f"written: {path}", file=sys.stderr)


def _draw(run: Any, file: str, one: Any, command: Command) -> None:
    from aslx.predict import animation, reading_figure

    folder = epath.Path(command.drawings) if command.drawings else run.workdir / "drawings"
    name = _name(file, one)
    if "length" not in run.source.reads:
        reading_figure.image(run, one.clip, one.answer, folder / f"{name}.png")
        return
    reading = reading_figure.read(run, one.clip, one.answer, one.track)
    if command.draw:
        reading_figure.draw(run, reading, name, folder / f"{name}.png")
        animation.skeleton(reading, folder / f"{name}.gif")
        print(f"drawn: {folder / name}.png and .gif", file=sys.stderr)
    if command.overlay and one.track:
        animation.overlay(reading, file, one.track, command.fps, command.overlay)
        print(f"written: {command.overlay}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
