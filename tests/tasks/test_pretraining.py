"""Pretraining: hidden frames stay hidden, and other runs begin with the pretrained encoder."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx import config, errors
from aslx.checkpoints import stored
from aslx.decode import decoding_options
from aslx.export import conversion
from aslx.models import fingerspelling_lstm, lstm, squeezeformer, transformer
from aslx.runs import initial_weights, opening, trained_run
from aslx.schema import networks
from aslx.tasks import pretraining
from aslx.train import loop, setup
from tests import tiny, tiny_runs

TASK = pretraining.Task(share=0.5, span=3, codes=32)
NETWORKS = [
    transformer.Config(dim=16, num_layers=1, num_heads=2, kernel=3, stride=4),
    lstm.Config(dim=16, num_layers=1, num_heads=2),
    squeezeformer.Config(dim=16, num_layers=2, halve_after=1, num_heads=2, kernel=3, stride=2),
]


class Spy(networks.Guesser):
    """A network that records its inputs, and is certain of `guess`, i32[B,S]."""

    def __init__(self, guess: jax.Array | int = 0):
        self.guess = guess

    def __call__(self, inputs, mask, key=None):
        self.shown, self.mask = inputs, mask
        guess = jnp.broadcast_to(self.guess, mask.shape)
        return 50.0 * jax.nn.one_hot(guess, TASK.codes)


def clips(rng=0, rows=4, frames=40):
    x = np.random.default_rng(rng).normal(size=(rows, frames, 6)).astype(np.float32)
    lengths = np.array([frames, 23, 5, 0][:rows])
    return jnp.asarray(x), jnp.asarray(np.arange(frames) < lengths[:, None])


@pytest.mark.parametrize("key", [None, 0, 1, 2])
def test_nothing_of_a_hidden_frame_reaches_the_encoder(key):
    key = None if key is None else jax.random.key(key)
    (x, mask), spy = clips(), Spy()
    TASK.guess(spy, x, mask, key)
    hidden = np.asarray(TASK.hidden(mask, None if key is None else jax.random.split(key)[0]))
    shown = np.asarray(spy.shown)
    assert hidden.any() and not hidden[~np.asarray(mask)].any()
    assert not shown[hidden].any()
    # Nor does the velocity of the next frame.
    assert not shown[:, 1:][hidden[:, :-1]].any()
    after = np.pad(hidden[:, :-1], ((0, 0), (1, 0)))
    seen = np.asarray(mask) & ~hidden & ~after
    np.testing.assert_array_equal(shown[seen], np.asarray(x)[seen])
    # The encoder gets the mask of the clip's length alone.
    np.testing.assert_array_equal(spy.mask, mask)


@pytest.mark.parametrize("key", [None, 3])
@pytest.mark.parametrize("seen", [0.0, 0.25])
def test_a_wrong_code_costs_less_if_its_frame_was_seen(key, seen):
    key = None if key is None else jax.random.key(key)
    task, (x, mask) = dataclasses.replace(TASK, seen=seen), clips()
    hidden = task.hidden(mask, None if key is None else jax.random.split(key)[0])
    right = pretraining.codes(x, mask, task.codes)
    batch = {"weight": jnp.array([1.0, 1.0, 0.0, 1.0])}
    hidden_count, seen_count = float(hidden[:2].sum()), float((mask & ~hidden)[:2].sum())
    for wrong, cost in ((hidden, hidden_count), (mask & ~hidden, seen * seen_count), (~mask, 0)):
        guess = jnp.where(wrong, (right + 1) % task.codes, right)
        total, count, _ = task.loss(Spy(guess), x, mask, batch, key)
        assert float(total) == pytest.approx(50 * cost, abs=1e-3)
        assert float(count) == pytest.approx(hidden_count + seen * seen_count)


def test_the_score_is_the_share_of_hidden_frames_whose_code_is_guessed():
    x, mask = clips()
    hidden, right = TASK.hidden(mask, None), pretraining.codes(x, mask, TASK.codes)
    elsewhere = jnp.where(hidden, right, 0)
    answers = TASK.decode(np.asarray(TASK.predict(Spy(elsewhere), x, mask)))
    assert TASK.report.score([""] * 4, answers, np.zeros(4))["score"] == 1
    half = jnp.where(jnp.arange(4)[:, None] == 0, right, (right + 1) % TASK.codes)
    answers = TASK.decode(np.asarray(TASK.predict(Spy(half), x, mask)))
    share = float(hidden[0].sum() / hidden.sum())
    assert TASK.report.score([""] * 4, answers, np.zeros(4))["score"] == pytest.approx(share)


def test_similar_frames_have_the_same_code_in_every_process():
    x, mask = clips(rows=2)
    found = pretraining.codes(x, mask, 64)
    assert found.max() < 64 and len(np.unique(found[0])) > 10
    # Codes depend neither on a clip's position and size nor on its padding.
    other = jnp.where(mask[..., None], 3 * x + 7, 100.0)
    same = pretraining.codes(other, mask, 64) == found
    assert same[np.asarray(mask)].all()
    near = pretraining.codes(x + 1e-4, mask, 64)
    assert float((near == found)[np.asarray(mask)].mean()) > 0.95
    constant = jnp.full((1, 9, 2), 0.1)
    found = pretraining.standardised(constant, jnp.ones((1, 9), bool))
    np.testing.assert_allclose(found, 0, atol=1e-4)


@pytest.mark.parametrize(("share", "span"), [(0.5, 1), (0.5, 8), (0.2, 5), (0.8, 10)])
def test_as_many_frames_are_hidden_as_the_share_says(share, span):
    task = pretraining.Task(share=share, span=span)
    mask = jnp.ones((64, 400), bool)
    for key, near in ((jax.random.key(0), 0.03), (None, 0.06)):
        assert float(task.hidden(mask, key).mean()) == pytest.approx(share, abs=near)
    # At the ends of clips as often as in between.
    many = jnp.ones((4000, 12), bool)
    np.testing.assert_allclose(task.hidden(many, jax.random.key(1)).mean(0), share, atol=0.04)
    with pytest.raises(ValueError, match="span 0"):
        pretraining.Task(span=0)
    with pytest.raises(ValueError, match="codes 1: give 2 or more"):
        pretraining.Task(codes=1)


@pytest.mark.parametrize("model", NETWORKS, ids=["transformer", "lstm", "squeezeformer"])
@pytest.mark.long
def test_every_encoder_guesses_the_code_of_every_frame_and_gets_gradients(model):
    features = dataclasses.make_dataclass("Features", ["num_features"])(6)
    built = jax.jit(lambda: TASK.build(model, features, nnx.Rngs(0)))()
    names = {name.split("/")[0] for name in stored.flatten(built)}
    assert names == {"encoder", "norm_memory", "guess"}
    x, mask = clips(rows=3, frames=37)

    @jax.jit
    def gradient(m):
        return jax.grad(lambda m: TASK.loss(m, x, mask, {"weight": jnp.ones(3)}, None)[0])(m)

    assert built(x, mask).shape == (*mask.shape, TASK.codes)
    for name, g in stored.flatten(gradient(built)).items():
        assert np.isfinite(g).all() and np.abs(g).max() > 0, name


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory) -> tuple[config.Config, pathlib.Path]:
    """A pretraining run of the tiny network."""
    cfg = tiny.cfg(dataset, task=TASK)
    workdir = tmp_path_factory.mktemp("pretrained")
    config.claim(workdir, cfg)
    scores, _ = loop.run(cfg, workdir)
    assert 0 <= scores["score"] < 1 < scores["eval_loss"]
    return cfg, workdir


@pytest.mark.long
def test_another_run_begins_with_exactly_the_pretrained_encoder(dataset, run, caplog):
    cfg = tiny.cfg(dataset, weights=str(run[1]))
    first = stored.flatten(setup.of(cfg).init())
    learnt = stored.flatten(trained_run.open_run(run[1]).model)
    fresh = stored.flatten(tiny_runs.network(cfg))
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


def test_a_run_whose_weights_do_not_fit_is_an_error(dataset, run, tmp_path):
    other = dataclasses.replace(run[0].model, dim=24)
    with pytest.raises(ValueError, match="no weight of that run has the name and the shape"):
        setup.of(tiny.cfg(dataset, weights=str(run[1]), model=other)).init()
    with pytest.raises(errors.BadInput, match="train first"):
        initial_weights.from_run(None, str(tmp_path))


def test_a_pretraining_run_has_nothing_to_predict_or_export(run):
    opened = trained_run.open_run(run[1])
    answer = opened.answers([np.zeros((9, 42, 3), np.float32)])[0]
    for ask in (lambda: TASK.report.line(answer), TASK.report.silent):
        with pytest.raises(ValueError, match="nothing to predict or export; train a recogniser"):
            ask()
    with pytest.raises(ValueError, match="nothing to predict or export; train a recogniser"):
        conversion.convert(opened.cfg, opened.model, "none")
    with pytest.raises(ValueError, match="leave out --ctc, --beams, --prior and --fallback"):
        trained_run.open_run(run[1], options=decoding_options.Options(beams=8))


def test_a_network_without_an_encoder_is_refused(dataset):
    cfg = tiny.cfg(dataset, task=TASK, model=fingerspelling_lstm.Config())
    with pytest.raises(ValueError, match="PositionsLSTM has no encoder"):
        opening.network(cfg)
