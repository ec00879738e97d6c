"""What a config makes: python -m aslx.describe --config configs/quickstart.py"""

import dataclasses
from typing import Any

from aslx import cli
from aslx.checkpoints import stored
from aslx.inputs import model_inputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints a config's layers, its parameters, and the FLOPs of one clip or image."""

    config: str
    """A Python file with get_config(), or the name of a file in configs/, such as quickstart. The
    fields of the config become options of this command."""
    frames: int = 160
    """Length of the clip that FLOPs are counted for; the mean of Kaggle's clips is 160."""
    augment: str = ""
    """Draw what each augmentation does to a clip into this .png."""


def main() -> None:
    from aslx import config

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    if command.augment:
        from etils import epath

        from aslx.describe import augmentation_figure

        augmentation_figure.draw(cfg, epath.Path(command.augment))
        print(f"drawn: {command.augment}")
        return
    import functools

    import jax

    from aslx import optim
    from aslx.runs import opening, partition

    model = jax.eval_shape(functools.partial(opening.network, cfg))
    parts = partition.split_frozen(model)
    trained, frozen = map(sizes, parts)
    batch = cfg.features.source.field().allocate(1, command.frames)

    def forward(model, batch):
        return cfg.task.predict(model, *model_inputs.of(batch, cfg.features))

    # The body of a loop counts once: an autoregressive decoder counts for one character.
    flops = (jax.jit(forward).lower(model, batch).cost_analysis() or {}).get("flops", 0.0)
    read = {name: list(array.shape[1:]) for name, array in batch.items()}
    print(f"inputs: {read}; features: {cfg.features.num_features}")
    print(f"FLOPs of a forward pass over them: {flops / 1e6:.1f} M")
    print(optim.shares(cfg.optim, parts[0]))
    print(f"frozen parameters: {frozen}")
    print(f"trainable parameters: {trained}")
    cli.last_json({"trainable_parameters": trained, "frozen_parameters": frozen, "flops": flops})


def sizes(part: Any) -> int:
    """Prints the parameters of a part of a model; returns their number."""
    leaves = stored.flatten(part)
    width = max(map(len, leaves), default=0)
    for name, leaf in leaves.items():
        print(f"  {name:<{width}}  {'x'.join(map(str, leaf.shape)):>16}  {leaf.size:>12,}")
    return sum(leaf.size for leaf in leaves.values())


if __name__ == "__main__":
    cli.run(main)
