"""Reads clips that have no labels into a csv:
python -m aslx.label --workdir runs/modern --source DIR --out DIR/read.csv
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import tyro

from aslx import cli, errors
from aslx.decode import decoding_options

COLUMNS = ("path", "sequence_id", "participant_id", "phrase", "confidence")
_SHORTEST = 64  # Frames per clip in the batch of the shortest clips.
_BATCH = 8192  # Frames of a batch.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes the text that a run reads in each clip of Kaggle's parquet, and its confidence: the
    mean of the characters' probabilities. `aslx.prepare fingerspelling --phrases` takes the csv."""

    workdir: str
    """A directory that aslx.train wrote, or hf://OWNER/NAME."""
    source: str
    """A folder that holds parquet at any depth. If it holds Kaggle's csv, the signers come from
    there."""
    out: str
    """The csv to write. Clips with an empty text are left out."""
    options: Annotated[decoding_options.Options, tyro.conf.arg(name="")] = (
        decoding_options.Options()
    )


def main() -> None:
    command = tyro.cli(Command)
    import tqdm

    from aslx.prepare import fingerspelling
    from aslx.runs import trained_run
    from aslx.storage import files, remote_files
    from aslx.tasks import transcription

    out = remote_files.path(command.out)
    files.check_place(out)
    run = trained_run.open_run(command.workdir, options=command.options)
    if not isinstance(run.cfg.task, transcription.Task):
        raise errors.BadInput(f"{command.workdir} reads no text: take a run that does")
    source = pathlib.Path(command.source)
    paths = sorted(source.rglob("*.parquet"))
    if not paths:
        raise errors.BadInput(f"--source {source} holds no parquet")
    signers = fingerspelling.signers(source)

    def clips() -> Iterator[tuple[tuple[str, int], np.ndarray]]:
        for path in tqdm.tqdm(paths, desc="reading", unit=" files", disable=None):
            name = path.relative_to(source).as_posix()
            for number, clip in run.source.clips(str(path)):
                yield (name, number), clip

    found = sorted(read(run, clips()))
    rows = [
        (*clip, signers.get(clip, -1), text.strip(), f"{confidence:.4f}")
        for clip, text, confidence in found
        if text.strip()
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    files.write(out, text.getvalue())
    quartiles = np.quantile([float(row[-1]) for row in rows] or [0.0], (0.25, 0.5, 0.75))
    print(f"quartiles of the confidence: {', '.join(f'{q:.3f}' for q in quartiles)}")
    print(f"next: python -m aslx.prepare fingerspelling --source {source} --phrases {command.out}")
    cli.last_json({"path": command.out, "clips": len(rows), "empty": len(found) - len(rows)})


def read(run: Any, clips: Iterator[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, str, float]]:
    """The name, the text and the confidence of each clip.

    Clips of similar lengths are read in one batch, so that few shapes are compiled.
    """
    import jax

    field = run.source.field()

    def answers(frames: int, clips: list) -> Iterator[tuple[Any, str, float]]:
        batch = field.allocate(_BATCH // frames or 1, frames)
        for row, (_, clip) in enumerate(clips):
            field.put(batch, row, clip)
        answers = run.cfg.task.decode(jax.device_get(run.predict(batch)))
        for (name, _), answer in zip(clips, answers, strict=False):
            yield name, answer.text, answer.confidence

    waiting: dict[int, list] = {}  # By the frames to which their batch pads them.
    for name, clip in clips:
        if run.source.blank(clip):
            yield name, "", 0.0
            continue
        frames = max(_SHORTEST, 1 << (len(clip) - 1).bit_length())
        waiting.setdefault(frames, []).append((name, clip))
        if len(waiting[frames]) == (_BATCH // frames or 1):
            yield from answers(frames, waiting.pop(frames))
    for frames, rest in waiting.items():
        yield from answers(frames, rest)


if __name__ == "__main__":
    cli.run(main)
