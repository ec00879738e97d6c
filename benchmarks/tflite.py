"""The cost of an exported model on one core: the size of its file, and the time for a clip.

python -m benchmarks.tflite --config configs/squeezeformer.py [--ctc] [--quantize none float16 int8]

The weights are initial ones, which cost as much as trained ones; a decoder is made to end its text
after 18 characters. A line has the bytes of the file and, for each length of clips, milliseconds of
CPU time: the minimum, the median and the 95th percentile of the readings. Other work on the machine
disturbs the caches; it lengthens the latter two, and hardly changes the minimum.
"""

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aslx import cli, config
from aslx.export import conversion, export_graph, tflite
from aslx.runs import opening
from aslx.schema import vocab
from aslx.tasks import heads, transcription

CHARACTERS = 18  # The mean length of Kaggle's phrases.
QUANTILES = (104, 148, 207, 384)  # Frames: the quartiles of Kaggle's clips, and the greatest input.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Measures the size and the latency of a config's exported models."""

    config: str
    """A Python file with get_config(); its fields become options of this command."""
    ctc: bool = False
    """Use the CTC head, without a decoder."""
    quantize: tuple[conversion.Quantize, ...] = conversion.VARIANTS
    frames: tuple[int, ...] = QUANTILES
    """Frames of the clips that are timed."""
    repeat: int = 20


def prepared(command: Command, cfg: config.Config) -> config.Config:
    """The config with the head that is measured."""
    if not command.ctc:
        return cfg
    model = dataclasses.replace(cfg.model, decoder_layers=0)
    return dataclasses.replace(cfg, task=transcription.Task(head=heads.CTC()), model=model)


def ending(model: Any) -> Any:
    """The model, with a decoder that ends after `CHARACTERS` if there is one."""
    if hasattr(model, "head"):
        model.advance = functools.partial(_ending, model.advance)
    return model


def _ending(advance: Callable[..., Any], tokens_B: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
    logits_BV, after = advance(tokens_B, cache)
    wanted = jnp.where(cache["index"] < CHARACTERS, 0, vocab.KAGGLE.end)
    return logits_BV + 100 * jax.nn.one_hot(wanted, vocab.KAGGLE.size), after


def milliseconds(model: bytes, clip: np.ndarray, repeat: int) -> dict[str, float]:
    """CPU times for a clip; the first reading, which allocates memory, does not count."""
    run, seconds = tflite.runner(model), []
    run(inputs=clip)
    for _ in range(repeat):
        start = time.process_time()
        run(inputs=clip)
        seconds.append(time.process_time() - start)
    found = np.quantile(np.array(seconds) * 1e3, (0, 0.5, 0.95))
    return {name: round(float(v), 1) for name, v in zip(("min", "p50", "p95"), found, strict=True)}


def main() -> None:
    command, cfg = config.parse(Command, lambda path: Command(config=path))
    cfg = prepared(command, cfg)
    cfg, model = export_graph.exact(cfg, opening.network(cfg))
    model = ending(model)
    features: Any = cfg.features
    rng, columns = np.random.default_rng(0), len(features.selection.columns)
    head = getattr(cfg.task, "head", None)
    for quantize in command.quantize:
        flatbuffer = conversion.convert(cfg, model, quantize)
        line: dict[str, Any] = {
            **{name: importlib.metadata.version(name) for name in ("ai-edge-litert", "jax")},
            "load": round(os.getloadavg()[0], 1),
            "config": pathlib.Path(command.config).stem,
            "head": "ctc" if command.ctc else type(head).__name__.lower(),
            "quantize": quantize,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(model)),
            "model_bytes": len(flatbuffer),
            "lengths": export_graph.lengths(cfg, model),
        }
        for frames in command.frames:
            clip = rng.random((frames, columns), np.float32)
            line[f"ms_{frames}_frames"] = milliseconds(flatbuffer, clip, command.repeat)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    cli.run(main)
