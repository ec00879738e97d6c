"""The time of a training step, compared with Keras on the same machine at the same time.

python -m benchmarks.train_step configs/fingerspelling_lstm.py configs/asl_alphabet_cnn.py
python -m benchmarks.train_step configs/squeezeformer_small.py --rows 128 --frames 96

Squeezeformers are compared with compiled ones in PyTorch if PyTorch is installed.

The step of aslx is that of aslx.train: features, augmentation, loss, gradient and update. The step
of Keras is that of `fit` on preprocessed features of a baseline, with and without XLA. Each
contender runs in a process of its own; they take turns with each other and a large matrix product.
"""

import dataclasses
import functools
import importlib.util
import json
import pathlib
from typing import Annotated, Any

import tyro

from aslx import cli
from benchmarks import turns

_HEAD = ("config", "trainer", "rows", "ms a step", "seq/s", "of the product's rate", "times ours")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(turns.Options):
    """Times a training step of configs, and of their networks in Keras and PyTorch."""

    configs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Python files with get_config(). Options of a config go into the same word:
    "configs/quickstart.py --mesh.cpu-devices 2"."""
    against: tuple[str, ...] = ("tensorflow", "tensorflow-xla", "jax")
    """Backends of Keras; tensorflow-xla is tensorflow with jit_compile."""
    rows: int = 0
    """Clips in the batch; 0 for the config's own batch of clips of --frames."""
    frames: int = 148
    """Frames of every clip; the default is the median of Kaggle's."""
    matrix: int = 2048
    """Rows and columns of the matrix product with which the FLOP/s of a step are compared."""
    dtype: str = "float32"
    """The dtype of the matrix product."""


def ours(words: str, rows: int, frames: int) -> Any:
    """Training steps of a config, as in aslx.train, on one batch."""
    import jax
    import numpy as np

    from aslx import config, optim, sharding
    from aslx.describe import cost
    from aslx.kernels import malloc_tuning
    from aslx.kernels import mode as modes
    from aslx.runs import flat
    from aslx.train import frozen_cache, setup
    from benchmarks import batches

    malloc_tuning.keep()
    path, *options = words.split()
    cfg = config.placed(config.load(path, tuple(options)))
    sharding.use_cpu_devices(cfg.mesh)
    mesh, tx = sharding.make_mesh(cfg.mesh), optim.build(cfg.optim, 1000)
    abstract, init = setup.state(cfg, mesh, tx)
    batch, stepped = batches.noise(cfg, np.full(rows, frames)), cfg
    if cfg.cache_frozen:
        stepped = frozen_cache.config(cfg)
        outputs = jax.eval_shape(
            functools.partial(frozen_cache.outputs, cfg), abstract.best_model, batch
        )
        batch["image"] = np.random.default_rng(0).random(outputs.shape, np.float32)
    (batch,) = sharding.put(mesh, iter([batch]))
    key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))

    def compiled(cfg: config.Config, mode: modes.Mode | None = None):
        step = setup.train_step(cfg, mesh, tx, abstract, 1000, mode)
        return step.lower(flat.Flat(abstract), batch, key).compile()

    train = compiled(stepped)
    # The FLOPs are those of the plain forms, without Fourier transforms or recomputation.
    if hasattr(stepped.model, "remat"):
        once = dataclasses.replace(stepped.model, remat=False)
        stepped = dataclasses.replace(stepped, model=once)
    written = compiled(stepped, modes.PLAIN)
    state = flat.Flat(init())

    def run(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = train(state, batch, key)
        jax.block_until_ready(state)

    return turns.Work(run, cost.cost(written.as_text() or "").flops * mesh.size)


def torch_steps(words: str, rows: int, frames: int) -> Any:
    from benchmarks import torch_peers

    return torch_peers.build(words, rows, frames)


def contenders(command: Command, words: str, rows: int) -> list[Any]:
    from benchmarks import keras_peers, machine

    name = pathlib.Path(words.split()[0]).stem
    product = functools.partial(machine.product, command.matrix, command.dtype)
    found = [
        turns.Contender("product", product),
        turns.Contender("aslx", functools.partial(ours, words, rows, command.frames)),
    ]
    if name in keras_peers.PEERS:
        for backend in command.against:
            framework, _, xla = backend.partition("-")
            build = functools.partial(
                keras_peers.build, name, rows, bool(xla or framework == "jax")
            )
            where = {"KERAS_BACKEND": framework}
            found.append(turns.Contender(f"keras {backend}", build, where))
    if name.startswith("squeezeformer") and importlib.util.find_spec("torch"):
        build = functools.partial(torch_steps, words, rows, command.frames)
        found.append(turns.Contender("torch compiled", build))
    return found


def rows_of(command: Command, words: str) -> int:
    import numpy as np

    from aslx import config

    path, *options = words.split()
    batching = config.load(path, tuple(options)).data.batching
    return command.rows or batching.shapes(np.array([command.frames]))[-1].rows


def main() -> None:
    command = tyro.cli(Command)
    from benchmarks import machine

    table = []
    for words in command.configs:
        rows = rows_of(command, words)
        times = turns.race(
            contenders(command, words, rows), turns=command.turns, steps=command.steps
        )
        best = times["product"].rate()
        for name, found in times.items():
            if name == "product":
                continue
            line = {"benchmark": "train_step", "config": words, "contender": name, "rows": rows}
            line |= {"frames": command.frames, **found.spread(), "flops": found.flops}
            line |= {"seq_per_s": round(rows / found.median(), 1), "product_flops_per_s": best}
            line |= {"real_frames_per_s": round(rows * command.frames / found.median())}
            line |= {"matmul_share": round(found.rate() / best, 3), "peak_bytes": found.peak_bytes}
            line |= {"ratio": round(found.median() / times["aslx"].median(), 2)}
            print(json.dumps(line | machine.facts()), flush=True)
            share = f"{line['matmul_share']:.2f}" if found.flops else ""
            low, ms, high = (f"{line[k]:,.1f}" for k in ("step_ms_min", "step_ms", "step_ms_max"))
            ms = f"{ms} ({low} to {high})"
            table.append((f"`{words}`", name, rows, ms, line["seq_per_s"], share, line["ratio"]))
    print(machine.table(_HEAD, table))


if __name__ == "__main__":
    cli.run(main)
