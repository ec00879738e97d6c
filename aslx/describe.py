"""What a config makes: python -m aslx.describe --config configs/quickstart.py"""

import dataclasses

from aslx import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints a config's layers, its parameters, and the FLOPs of one clip."""

    config: str
    """A Python file with get_config(); its fields become options of this command."""
    frames: int = 160
    """Frames of the clip that FLOPs are counted for; Kaggle's mean is 160."""


def main() -> None:
    from aslx import config

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    import functools

    import jax
    import jax.numpy as jnp

    from aslx import checkpoint, inference, step

    model = jax.eval_shape(functools.partial(inference.build, cfg))
    leaves = checkpoint.flatten(model)
    width = max(map(len, leaves))
    for name, leaf in leaves.items():
        print(f"  {name:<{width}}  {'x'.join(map(str, leaf.shape)):>16}  {leaf.size:>12,}")
    total = sum(leaf.size for leaf in leaves.values())
    points = len(cfg.features.selection.points)
    batch = {
        "landmarks": jax.ShapeDtypeStruct((1, command.frames, points, 3), jnp.float16),
        "length": jax.ShapeDtypeStruct((1,), jnp.int32),
    }

    def forward(model, batch):
        return cfg.task.predict(model, *step.inputs(batch, cfg.features))

    # Loops count once: of an autoregressive decoder, one character.
    flops = (jax.jit(forward).lower(model, batch).cost_analysis() or {}).get("flops", 0.0)
    print(f"features: {cfg.features.num_features} a frame")
    print(f"FLOPs of a forward pass over {command.frames} frames: {flops / 1e6:.1f} M")
    print(f"trainable parameters: {total}")
    inference.last_json({"trainable_parameters": total, "flops": flops})


if __name__ == "__main__":
    cli.run(main)
