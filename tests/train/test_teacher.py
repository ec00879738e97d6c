"""A run that another one teaches."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from aslx import errors
from aslx.inputs import phrase_features
from aslx.tasks import distillation, heads, transcription
from aslx.train import loop, setup
from tests import tiny_runs


@pytest.fixture
def teacher(learned, tmp_path):
    """A run with a CTC head, which reads six letters."""
    shutil.copytree(learned("ctc").workdir, tmp_path / "teacher")
    return tmp_path / "teacher"


def taught(teacher, kind: str = "ctc", **changes):
    """A smaller network on the teacher's data."""
    cfg = tiny_runs.learning(kind, str(teacher.parent / "none"))
    data = json.loads((teacher / "config.json").read_text())["data"]["path"]
    cfg = dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, path=data), epochs=2)
    distill = distillation.Config(teacher=str(teacher), **changes)
    return dataclasses.replace(cfg, distill=distill)


def metrics(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_a_network_of_other_features_learns_to_say_what_its_teacher_says(teacher, tmp_path):
    cfg = taught(teacher, "streaming", weight=1.0)
    cfg = dataclasses.replace(cfg, epochs=6, eval_every=6, log_every=1)
    loop.run(cfg, tmp_path / "run")
    losses = [line["taught_ctc_loss"] for line in metrics(tmp_path / "run") if "grad_norm" in line]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


@pytest.mark.long
def test_a_run_without_a_teacher_has_the_losses_that_it_had(teacher, tmp_path):
    cfg = dataclasses.replace(taught(teacher, weight=0.0), epochs=1, eval_every=1, log_every=1)
    alone = dataclasses.replace(cfg, distill=distillation.Config())
    loop.run(cfg, tmp_path / "run")
    loop.run(alone, tmp_path / "alone")
    both = [
        [line["loss"] for line in metrics(tmp_path / name) if "grad_norm" in line]
        for name in ("run", "alone")
    ]
    np.testing.assert_allclose(*both, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"task": transcription.Task(head=heads.Autoregressive(), max_tokens=8)},
            "no head of that run, and of this, is of the same kind",
        ),
        ({"features": phrase_features.Baseline()}, "its features read other points"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(teacher, change, said):
    cfg = dataclasses.replace(taught(teacher), **change)
    with pytest.raises(errors.BadInput, match=said):
        setup.of(cfg)


def test_a_teacher_that_went_on_is_told(teacher, tmp_path):
    cfg = dataclasses.replace(taught(teacher), epochs=1, eval_every=1)
    loop.run(cfg, tmp_path / "run")
    form = json.loads((tmp_path / "run" / "config.json").read_text())
    form["data_sets"]["distill.teacher"] = "step 3"
    (tmp_path / "run" / "config.json").write_text(json.dumps(form))
    with pytest.raises(errors.BadInput, match=r"distill.teacher is at step \d+, and .* at step 3"):
        loop.run(cfg, tmp_path / "run")
