"""Compares the answers of exported models with those of JAX, and times them."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from aslx.export import tflite


def compare(
    evaluation: Any, cfg: Any, model: Any, flatbuffers: Mapping[Any, bytes]
) -> dict[str, dict]:
    """Compares each flatbuffer with JAX on the clips of an evaluation.

    The latency is CPU time of the one core that a model runs on: other work does not lengthen it.
    """
    task, source = cfg.task, cfg.features.source
    expected, _ = evaluation.run(model)
    reports: dict[str, dict] = {}
    for quantize, flatbuffer in flatbuffers.items():
        run, found, seconds = tflite.runner(flatbuffer), [], []
        for clip in evaluation.clips():
            inputs = source.pack(clip)
            start = time.process_time()
            outputs = run(inputs=inputs)["outputs"]
            seconds.append(time.process_time() - start)
            found.append(task.read(outputs))
        text = task.report.text
        same = [text(a) == text(b) for a, b in zip(expected, found, strict=True)]
        reports[quantize] = {
            "model_bytes": len(flatbuffer),
            "clips": len(found),
            "same_text": float(np.mean(same)),
            "score": evaluation.score(found)["score"],
            "score_jax": evaluation.score(expected)["score"],
            "latency_ms_median": round(float(np.median(seconds)) * 1e3, 2),
            "latency_ms_p95": round(float(np.quantile(seconds, 0.95)) * 1e3, 2),
        }
    return reports


def table(variants: dict[str, dict]) -> str:
    """The reports of several types of weights, one in a line."""
    names = ("model_bytes", "score", "same_text", "latency_ms_median", "latency_ms_p95")
    lines = [f"  {'weights':<8}" + "".join(f"{name:>20}" for name in names)]
    for quantize, report in variants.items():
        values = "".join(f"{round(report[name], 4):>20}" for name in names)
        lines.append(f"  {quantize:<8}{values}")
    return "\n".join(lines)
