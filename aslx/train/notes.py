"""The lines that a run prints before its first step."""

from collections.abc import Iterator

from aslx import config, optim
from aslx.data import training_data
from aslx.runs import evaluator
from aslx.train import step


def of(
    cfg: config.Config,
    state: step.State,
    training: training_data.Pool,
    evaluation: evaluator.Evaluation,
) -> Iterator[str]:
    """Lines of text; `state` may be abstract."""
    yield optim.shares(cfg.optim, state.model)
    for data in (*(data for data, _ in training.sources), evaluation.data):
        count = cfg.task.unaligned(state.best_model, cfg.features, data)
        if count:
            yield (
                f"{count} of the {len(data)} clips of {data.split} in {data.directory} have fewer "
                "frames than CTC needs for their phrases: it learns nothing of them"
            )
