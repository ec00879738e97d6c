"""How soon a network with a state writes, measured where records have `holds`.

A whole clip has the path of its chunks, so it is read as a whole here; a character is written with
the last frame of its position's chunk. Shape suffixes: B clips, M positions.
"""

import jax
import numpy as np

from aslx import sharding
from aslx.decode import decoding
from aslx.inputs import model_inputs, streaming_features
from aslx.kernels import mode as modes
from aslx.models import layers, streaming
from aslx.runs import evaluator, flat, trained_run
from aslx.tasks import heads, metrics, transcription


def measured(run: trained_run.Run, evaluation: evaluator.Evaluation) -> dict:
    """Of the split of an evaluation, in milliseconds: `delay_ms_p50` and `delay_ms_p95` from the
    last frame in which a character is held to the frame with which it is written, of characters
    that are read right; their number; and `false_starts`, the characters that are written before
    the first one is held. Nothing of other networks and heads, and where the records do not know
    the holds.
    """
    cfg, data = run.cfg, evaluation.data
    features, task, mode = cfg.features, cfg.task, modes.of(sharding.platform(run.mesh))
    if (
        not isinstance(cfg.model, streaming.Config)
        or not isinstance(features, streaming_features.Streaming)
        or not isinstance(task, transcription.Task)
        or not isinstance(task.head, heads.CTC)
        or not len(data)
        or "holds" not in data[0]
    ):
        return {}
    delays, early, kept = [], 0, {int(n): i for i, n in enumerate(data.number)}
    length_of = np.minimum(data.index.frames, features.max_frames)

    def path(held: flat.Flat, batch: model_inputs.Batch) -> tuple[jax.Array, jax.Array]:
        model = layers.bound(held.tree, mode)
        memory_BMD, mask_BM = model.encode(*model_inputs.of(batch, features))
        path_BM, _, written_BM = decoding.ctc_path(model.ctc(memory_BMD), mask_BM, task.alphabet)
        return path_BM, written_BM

    jitted, held = jax.jit(path), flat.Flat(run.model)
    for numbers, real, (path_BM, written_BM) in evaluation.each(lambda batch: jitted(held, batch)):
        for number, row in zip(numbers.tolist(), real.tolist(), strict=True):
            if number not in kept:  # It is corrupt.
                continue
            i = kept[number]
            at_N = np.flatnonzero(written_BM[row])
            chunk = (at_N * cfg.model.stride // cfg.model.chunk + 1) * cfg.model.chunk
            frame_N = np.minimum(chunk, length_of[i]) - 1
            text = "".join(task.alphabet.characters[c] for c in path_BM[row, at_N])
            holds = np.frombuffer(data[i]["holds"].bytes_list.value[0], "<i4").reshape(-1, 2)
            delays += _delays(evaluation.targets[i], text, holds[:, 1], frame_N)
            early += int((frame_N < holds[0, 0]).sum())
    quantiles = np.quantile(delays, [0.5, 0.95]) if delays else [np.nan, np.nan]
    p50, p95 = (round(float(q) * 1000 / features.rate, 1) for q in quantiles)
    found = {"delay_ms_p50": p50, "delay_ms_p95": p95} if delays else {}
    return found | {"delays": len(delays), "false_starts": early}


def _delays(target: str, text: str, last: np.ndarray, frame: np.ndarray) -> list[int]:
    """Frames from the end of each character's hold until it was written, where it was."""
    found, i, j = [], 0, 0
    for wanted, got in metrics.align(target, text):
        if wanted and wanted == got:
            found.append(int(frame[j] - last[i]))
        i, j = i + len(wanted), j + len(got)
    return found
