"""A run's streaming network reads clips as if their frames came one by one."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from aslx.decode import decoding_options
from aslx.export import stream_graph, stream_reading
from aslx.runs import trained_run


def of(
    run: trained_run.Run, rests: decoding_options.Rests = decoding_options.Rests()
) -> Callable[[np.ndarray, float], Iterator[stream_reading.Read]]:
    """Reads clips of a run's source, of so many frames a second, as if the frames came one by one;
    all clips share one compiled step. BadInput if the network reads whole clips only."""
    stream = stream_graph.of(run.cfg, run.model)
    step, names = jax.jit(stream.step), run.cfg.task.report.about()["answers"]
    frames = rests.frames(stream.rate)

    def read(clip: np.ndarray, rate: float) -> Iterator[stream_reading.Read]:
        reader = stream_reading.StreamReader(stream.start, step, stream.chunk, names, frames)
        camera = stream_reading.FixedRate(stream.rate)
        for number, frame_C in enumerate(run.source.pack(clip)):
            yield from reader.add(camera.add(number / rate, frame_C))
        yield from reader.end()

    return read
