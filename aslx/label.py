"""Reads clips that nobody has labelled:
python -m aslx.label --workdir runs/modern --source DIR --out DIR/read.csv
"""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import tyro

from aslx import cli, errors
from aslx.decode import decoding_options

COLUMNS = ("path", "sequence_id", "participant_id", "phrase", "confidence")
_LEAST, _FRAMES = 64, 8192  # Frames of the shortest batch's clips, and of a batch in all.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes what a run reads in every clip of Kaggle's parquet, and how sure it is: the mean of
    the characters' probabilities. aslx.prepare fingerspelling --phrases takes it."""

    workdir: str
    """A directory that aslx.train wrote."""
    source: str
    """A folder with parquet in it, at any depth; Kaggle's csv there, if any, says who signs."""
    out: str
    """The csv to write. A clip in which nothing is read is left out."""
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
            for number, clip in run.cfg.features.source.clips(str(path)):
                yield (name, number), clip

    found = sorted(read(run, clips()))
    rows = [
        (*clip, signers.get(clip, -1), text.strip(), f"{sure:.4f}")
        for clip, text, sure in found
        if text.strip()
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    files.write(out, text.getvalue())
    quartiles = np.quantile([float(row[-1]) for row in rows] or [0.0], (0.25, 0.5, 0.75))
    print(
        "a quarter, half and three quarters of the clips are read with a confidence below", end=" "
    )
    print(", ".join(f"{q:.3f}" for q in quartiles))
    print(f"next: python -m aslx.prepare fingerspelling --source {source} --phrases {command.out}")
    print(json.dumps({"path": command.out, "clips": len(rows), "empty": len(found) - len(rows)}))


def read(run: Any, clips: Iterator[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, str, float]]:
    """What each clip is called, its text and the confidence; clips of about one length go together,
    so that few shapes are compiled whatever comes."""
    import jax

    field = run.cfg.features.source.field()

    def together(frames: int, clips: list) -> Iterator[tuple[Any, str, float]]:
        batch = field.allocate(max(1, _FRAMES // frames), frames)
        for row, (_, clip) in enumerate(clips):
            field.put(batch, row, clip)
        answers = run.cfg.task.decode(jax.device_get(run.predict(run.model, batch)))
        for (name, _), answer in zip(clips, answers, strict=False):
            yield name, answer.text, answer.confidence

    waiting: dict[int, list] = {}
    for name, clip in clips:
        if run.cfg.features.source.blank(clip):
            yield name, "", 0.0
            continue
        frames = _LEAST
        while frames < len(clip):
            frames *= 2
        waiting.setdefault(frames, []).append((name, clip))
        if len(waiting[frames]) == max(1, _FRAMES // frames):
            yield from together(frames, waiting.pop(frames))
    for frames, rest in waiting.items():
        yield from together(frames, rest)


if __name__ == "__main__":
    cli.run(main)
