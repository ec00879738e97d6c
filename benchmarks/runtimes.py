"""The files of one export in their runtimes, on one core: same texts, and the time for a clip.

python -m aslx.export --workdir RUN --format stablehlo saved_model
python -m benchmarks.runtimes --workdir RUN [--clips 200]

A line a runtime has the share of the clips whose text is TFLite's, and milliseconds of CPU time:
the median and the 95th percentile. Each file is run once before it is timed; JAX and
TensorFlow compile the program anew for each length of clip, so their times are of clips padded with
NaN to one length.
"""

import dataclasses
import io
import json
import os
import pathlib
import tempfile
import time
import zipfile
from collections.abc import Callable

import numpy as np
import tyro

from aslx import cli

Runner = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Compares the files of an export, each in its own runtime."""

    workdir: str
    """A run with an export."""
    split: str = "test"
    clips: int = 200


def tflite(data: bytes) -> Runner:
    from aslx.export import tflite as lib

    run = lib.runner(data)
    return lambda inputs: run(inputs=inputs)["outputs"]


def stablehlo(data: bytes) -> Runner:
    from jax import export

    program = export.deserialize(bytearray(data))
    return lambda inputs: np.asarray(program.call(inputs))


def saved_model(data: bytes) -> Runner:
    import tensorflow as tf

    folder = tempfile.mkdtemp(prefix="aslx-")
    zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
    loaded = tf.saved_model.load(folder)
    run = loaded.signatures["serving_default"]  # type: ignore[attr-defined]
    return lambda inputs, _=loaded: run(inputs=tf.constant(inputs))["outputs"].numpy()


RUNTIMES: dict[str, Callable[[bytes], Runner]] = {
    "model.tflite": tflite,
    "model.stablehlo": stablehlo,
    "saved_model.zip": saved_model,
}


def main() -> None:
    command = tyro.cli(Command)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from aslx.runs import evaluator, trained_run
    from benchmarks import machine

    run = trained_run.open_run(command.workdir)
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, command.split, limit=command.clips)
    clips = [run.source.pack(clip) for clip in evaluation.clips()]
    print(json.dumps(machine.facts()))
    expected: list[str] = []
    for name, runtime in RUNTIMES.items():
        path = pathlib.Path(command.workdir, "export", name)
        if not path.is_file():
            continue
        texts, seconds = read(run, runtime(path.read_bytes()), clips, name != "model.tflite")
        expected = expected or texts
        print(
            json.dumps(
                {
                    "file": name,
                    "bytes": path.stat().st_size,
                    "clips": len(clips),
                    "same_text": float(
                        np.mean([a == b for a, b in zip(texts, expected, strict=True)])
                    ),
                    "ms_median": round(float(np.median(seconds)) * 1e3, 2),
                    "ms_p95": round(float(np.quantile(seconds, 0.95)) * 1e3, 2),
                }
            ),
            flush=True,
        )


def padded(clips: list[np.ndarray]) -> list[np.ndarray]:
    """Clips of one length: features leave out NaN, a frame in which nothing was tracked."""
    most = max(map(len, clips))
    return [np.pad(x, [(0, most - len(x)), (0, 0)], constant_values=np.nan) for x in clips]


def read(run, answer: Runner, clips: list[np.ndarray], pad: bool) -> tuple[list[str], list[float]]:
    """The texts of clips, and the seconds of CPU time that each took."""
    texts, seconds = [], []
    clips = padded(clips) if pad else clips
    answer(clips[0])
    for clip in clips:
        start = time.process_time()
        outputs = answer(clip)
        seconds.append(time.process_time() - start)
        texts.append(run.cfg.task.report.text(run.cfg.task.read(outputs)))
    return texts, seconds


if __name__ == "__main__":
    cli.run(main)
