"""Pretraining: what is hidden stays hidden, and another run begins from what was learnt."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx import checkpoint, config, export, inference, loop, pretrained, reading
from aslx.models import lstm, squeezeformer, transformer
from aslx.tasks import pretraining
from tests import tiny

TASK = pretraining.Task(share=0.5, span=3)
NETWORKS = [
    transformer.Config(dim=16, num_layers=1, num_heads=2, kernel=3, stride=4),
    lstm.Config(dim=16, num_layers=1, num_heads=2),
    squeezeformer.Config(dim=16, num_layers=2, halve_after=1, num_heads=2, kernel=3, stride=2),
]


class Spy:
    """A network that keeps what it is shown, and guesses `guess`."""

    def __init__(self, guess: jax.Array | float = 0.0):
        self.guess = guess

    def __call__(self, features, mask, key=None):
        self.shown, self.mask = features, mask
        return jnp.zeros_like(features) + self.guess


def clips(rng=0, rows=4, frames=40):
    x = np.random.default_rng(rng).normal(size=(rows, frames, 6)).astype(np.float32)
    lengths = np.array([frames, 23, 5, 0][:rows])
    return jnp.asarray(x), jnp.asarray(np.arange(frames) < lengths[:, None])


@pytest.mark.parametrize("key", [None, 0, 1, 2])
def test_nothing_of_a_hidden_frame_reaches_the_encoder(key):
    key = None if key is None else jax.random.key(key)
    (x, mask), spy = clips(), Spy()
    TASK.errors(spy, x, mask, key)
    hidden = np.asarray(TASK.hidden(mask, None if key is None else jax.random.split(key)[0]))
    shown = np.asarray(spy.shown)
    assert hidden.any() and not hidden[~np.asarray(mask)].any()
    assert not shown[hidden].any()
    # Nor what the next frame's velocity says of it.
    assert not shown[:, 1:][hidden[:, :-1]].any()
    after = np.pad(hidden[:, :-1], ((0, 0), (1, 0)))
    seen = np.asarray(mask) & ~hidden & ~after
    np.testing.assert_array_equal(shown[seen], np.asarray(x)[seen])
    # The encoder is told of the clip's length alone.
    np.testing.assert_array_equal(spy.mask, mask)


@pytest.mark.parametrize("key", [None, 3])
def test_hidden_positions_alone_count_in_the_loss(key):
    key = None if key is None else jax.random.key(key)
    x, mask = clips()
    hidden = TASK.hidden(mask, None if key is None else jax.random.split(key)[0])
    right = pretraining.standardised(x, mask)
    batch = {"weight": jnp.array([1.0, 1.0, 0.0, 1.0])}
    wrong_elsewhere = right + 100.0 * ~hidden[..., None]
    total, count, _ = TASK.loss(Spy(wrong_elsewhere), x, mask, batch, key)
    assert float(total) < 1e-6 and float(count) == float(hidden[:2].sum())
    wrong_there = right + 2.0 * hidden[..., None]
    total, count, _ = TASK.loss(Spy(wrong_there), x, mask, batch, key)
    assert float(total) == pytest.approx(4 * float(count))


def test_a_guess_of_the_mean_explains_nothing():
    x, mask = clips(rows=2, frames=2000)
    x = 3 * x + 7
    total, count, _ = TASK.loss(
        Spy(), x, mask[:, :1] | (mask | True), {"weight": jnp.ones(2)}, None
    )
    assert float(total / count) == pytest.approx(1, abs=0.05)
    constant = jnp.full((1, 9, 2), 0.1)
    found = pretraining.standardised(constant, jnp.ones((1, 9), bool))
    np.testing.assert_allclose(found, 0, atol=1e-4)


@pytest.mark.parametrize(("share", "span"), [(0.5, 1), (0.5, 8), (0.2, 5), (0.8, 10)])
def test_as_many_frames_are_hidden_as_the_share_says(share, span):
    task = pretraining.Task(share=share, span=span)
    mask = jnp.ones((64, 400), bool)
    for key, near in ((jax.random.key(0), 0.03), (None, 0.06)):
        assert float(task.hidden(mask, key).mean()) == pytest.approx(share, abs=near)
    # At the edges no less than within.
    many = jnp.ones((4000, 12), bool)
    np.testing.assert_allclose(task.hidden(many, jax.random.key(1)).mean(0), share, atol=0.04)
    with pytest.raises(ValueError, match="span 0"):
        pretraining.Task(span=0)


@pytest.mark.parametrize("model", NETWORKS, ids=["transformer", "lstm", "squeezeformer"])
def test_every_encoder_guesses_every_frame_and_learns(model):
    features = dataclasses.make_dataclass("Features", ["num_features"])(6)
    built = TASK.build(model, features, nnx.Rngs(0))
    names = {name.split("/")[0] for name in checkpoint.flatten(built)}
    assert names == {"encoder", "norm_memory", "guess"}
    x, mask = clips(rows=3, frames=37)

    @jax.jit
    def gradient(m):
        return jax.grad(lambda m: TASK.loss(m, x, mask, {"weight": jnp.ones(3)}, None)[0])(m)

    assert built(x, mask).shape == x.shape
    for name, g in checkpoint.flatten(gradient(built)).items():
        assert np.isfinite(g).all() and np.abs(g).max() > 0, name


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory) -> tuple[config.Config, pathlib.Path]:
    """A pretraining run of the tiny network."""
    cfg = tiny.cfg(dataset, task=TASK)
    workdir = tmp_path_factory.mktemp("pretrained")
    config.claim(workdir, cfg)
    scores, _ = loop.run(cfg, workdir)
    assert scores["score"] == pytest.approx(1 - scores["eval_loss"], abs=1e-5)
    return cfg, workdir


def test_another_run_begins_with_exactly_the_pretrained_encoder(dataset, run, caplog):
    cfg = tiny.cfg(dataset, weights=str(run[1]))
    first = checkpoint.flatten(loop.setup(cfg).init())
    learnt = checkpoint.flatten(inference.open_run(run[1]).model)
    fresh = checkpoint.flatten(inference.build(cfg))
    encoder = [name for name in fresh if name.startswith(("encoder/", "norm_memory/"))]
    moved = [name for name in encoder if not np.array_equal(learnt[name], fresh[name])]
    assert len(moved) > len(encoder) / 2
    for name in encoder:
        np.testing.assert_array_equal(first[f"model/{name}"], learnt[name])
        np.testing.assert_array_equal(first[f"ema/{name}"], learnt[name])
    for name in ("ctc_head/kernel/value", "ctc_head/bias/value"):
        np.testing.assert_array_equal(first[f"model/{name}"], fresh[name])
    assert "begun anew: ctc_head/bias, ctc_head/kernel" in caplog.text
    assert "not used: guess/bias, guess/kernel" in caplog.text


def test_a_run_of_which_nothing_fits_is_an_error(dataset, run, tmp_path):
    other = dataclasses.replace(run[0].model, dim=24)
    with pytest.raises(ValueError, match="no weight of that run has the name and the shape"):
        loop.setup(tiny.cfg(dataset, weights=str(run[1]), model=other)).init()
    with pytest.raises(FileNotFoundError, match="train first"):
        pretrained.from_run(None, str(tmp_path))


def test_a_pretraining_run_has_nothing_to_predict_or_export(run):
    opened = inference.open_run(run[1])
    answer = inference.answers(opened, [np.zeros((9, 42, 3), np.float32)])[0]
    for ask in (lambda: TASK.report(answer), TASK.silent):
        with pytest.raises(ValueError, match="nothing to predict or export; train a recogniser"):
            ask()
    with pytest.raises(ValueError, match="nothing to predict or export; train a recogniser"):
        export.convert(opened.cfg, opened.model, "none")
    with pytest.raises(ValueError, match="leave out --beams, --prior and --fallback"):
        inference.open_run(run[1], options=reading.Options(beams=8))


def test_a_network_without_an_encoder_is_refused(dataset):
    cfg = tiny.cfg(dataset, task=TASK, model=lstm.Seed())
    with pytest.raises(ValueError, match="PositionsLSTM has no encoder"):
        inference.build(cfg)
