"""Several networks answer as one."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from flax import nnx

from aslx import config, errors, sharding
from aslx.checkpoints import checkpoint
from aslx.decode import decoding
from aslx.export import __main__ as export
from aslx.export import ensemble
from aslx.inputs import phrase_features
from aslx.models import lstm, transformer
from aslx.runs import trained_run
from aslx.schema import vocab
from aslx.tasks import heads, transcription
from tests import tiny, tiny_runs
from tests.models import test_networks as networks
from tests.models.test_networks import LSTM, TOKENS, build

pytestmark = pytest.mark.long

FEATURES, MASK = jnp.asarray(networks.FEATURES), jnp.asarray(networks.MASK)
SQUEEZED = dataclasses.replace(networks.SQUEEZEFORMER, stride=1)
HALF = lstm.Config(dim=24, num_layers=1, decoder_layers=2, num_heads=2, stride=2)


@pytest.fixture(scope="module")
def members() -> list[Any]:
    """Networks of different kinds and widths, whose memories have the same number of positions."""
    return [build(cfg) for cfg in (SQUEEZED, LSTM, HALF)]


def joined(members) -> ensemble.Ensemble:
    widths = [m.encode(FEATURES, MASK)[0].shape[-1] for m in members]
    return ensemble.Ensemble(tuple(members), tuple(widths))


def test_an_ensemble_answers_with_the_mean_of_its_members_probabilities(members):
    def probabilities(model) -> list[jax.Array]:
        memory, mask = model.encode(FEATURES, MASK)
        return [jax.nn.softmax(x) for x in (model.ctc(memory), model.decode(TOKENS, memory, mask))]

    each = zip(*map(probabilities, members), strict=True)
    for found, expected in zip(probabilities(joined(members)), each, strict=True):
        np.testing.assert_allclose(found, np.mean(expected, 0), atol=1e-5)


def test_an_ensembles_cached_steps_equal_its_teacher_forcing(members):
    model = joined(members)
    memory, mask = model.encode(FEATURES, MASK)
    expected = model.decode(TOKENS, memory, mask)
    cache, steps = model.start(memory, mask, TOKENS.shape[1]), []
    for tokens in jnp.asarray(TOKENS.T):
        logits, cache = model.advance(tokens, cache)
        steps.append(logits)
    np.testing.assert_allclose(np.stack(steps, 1), expected, atol=1e-4)


def test_a_network_paired_with_itself_writes_what_it_writes_alone(members):
    twice = joined([members[0], members[0]])

    @jax.jit
    def write(model):
        memory, mask = model.encode(FEATURES, MASK)
        return decoding.greedy(model, memory, mask, vocab.KAGGLE, 9)[0]

    np.testing.assert_array_equal(write(twice), write(members[0]))


def a_run(workdir: str, model: Any, **changes: Any) -> trained_run.Run:
    task = transcription.Task(head=heads.CTC())
    values = {"task": task, "features": phrase_features.Baseline(), "model": model} | changes
    cfg, mesh = config.Config(**values), sharding.make_mesh(sharding.Config())
    network = jax.eval_shape(lambda: model.build(cfg.features.num_features, 59, rngs=nnx.Rngs(0)))
    return trained_run.Run(epath.Path(workdir), cfg, mesh, network, 0, "")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (a_run("b", LSTM, task=transcription.Task()), "task.head"),
        (a_run("b", LSTM, features=phrase_features.Modern()), "features.type"),
        (
            a_run("b", dataclasses.replace(LSTM, stride=1)),
            "positions of 64 frames: 32 here, 64 there",
        ),
    ],
    ids=["task", "features", "positions"],
)
def test_runs_that_do_not_answer_alike_are_refused(other, message):
    with pytest.raises(errors.BadInput, match=f"a and b do not answer together: .*{message}"):
        ensemble.together([a_run("a", LSTM), other])


def test_runs_of_different_networks_answer_together():
    found = ensemble.together([a_run("a", LSTM), a_run("b", transformer.Config(dim=32, stride=2))])
    assert str(found.workdir) == "a" and isinstance(found.model, ensemble.Ensemble)
    assert found.model.widths == (16, 32)


def test_an_average_is_the_mean_of_the_newest_checkpoints(tmp_path):
    workdir = tiny_runs.untrained(tiny.cfg(tmp_path, ema_decay=0.0), tmp_path / "run")
    first = trained_run.open_run(workdir).model
    for step in (2, 3):
        with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
            changed = jax.tree.map(lambda x, step=step: x + step, first)
            state = {"model": changed, "frozen": jax.tree.map(lambda x: None, first)}
            saved.save(step, state, checkpoint.Progress())
            saved.wait()
    found = trained_run.open_run(workdir, average=2)
    assert found.step == 3
    each = zip(jax.tree.leaves(found.model), jax.tree.leaves(first), strict=True)
    assert all(np.allclose(mean, x + 2.5, atol=1e-5) for mean, x in each)
    with pytest.raises(errors.BadInput, match=r"keeps 2 checkpoints.*there are no 9 to average"):
        trained_run.open_run(workdir, average=9)


@pytest.mark.slow
def test_the_command_compares_every_type_of_weights_of_two_runs_in_one_file(run, tmp_path):
    tiny.dataset(tmp_path, {"train": [1], "test": [6]})
    values = {"features": phrase_features.Modern(max_frames=32), "ema_decay": 0.0}
    cfgs = [tiny.cfg(tmp_path, seed=seed, **values) for seed in (0, 1)]
    one, two = (tiny_runs.untrained(cfg, tmp_path / f"run{cfg.seed}") for cfg in cfgs)
    (one / "evaluation-test").mkdir()  # Scores of one run do not hold for the ensemble.
    (one / "evaluation-test" / "scores.json").write_text('{"score": 0.123456}')
    words = ("--workdir", one, "--ensemble", two, "--variants", "--clips", 6)
    done = run(export, *words)
    report = json.loads((one / "export" / "report.json").read_text())
    assert done.last()["variants"] == report["variants"]
    assert f"score {report['score']:.4f} on all of the 6 in test" in done.out
    assert "0.1235" not in done.out
    assert list(report["variants"]) == ["none", "float16", "int8"]
    assert report["same_text"] == report["variants"]["none"]["same_text"] == 1.0
    files = {path.name: path.stat().st_size for path in (one / "export").iterdir()}
    for quantize, name in (("none", "model"), ("float16", "model_float16"), ("int8", "model_int8")):
        assert report["variants"][quantize]["model_bytes"] == files[f"{name}.tflite"]
