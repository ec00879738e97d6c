"""The step: adversarial weights, and what it tells the losses."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx import config, optim, sharding
from aslx.augment import clip_augment
from aslx.augment import cutmix as cutmix_lib
from aslx.checkpoints import stored
from aslx.data import plan
from aslx.train import setup, step
from tests import tiny
from tests.train import runs

ALWAYS = optim.AWP(radius=0.3, start=0.0)


@pytest.fixture(scope="module")
def cfg(dataset) -> config.Config:
    return tiny.cfg(dataset)


def advanced(cfg: config.Config, **changes) -> tuple[dict, dict]:
    """Every leaf of the state after one step on the first batch, and the step's metrics."""
    s = setup.of(dataclasses.replace(cfg, **changes))
    state, metrics = s.train(s.init(), runs.first_batch(s), s.key)
    return {k: np.asarray(v) for k, v in stored.flatten(state).items()}, metrics


def test_every_matrix_moves_by_the_radius_along_its_gradient_and_nothing_else_moves():
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 4, 5), "bias": (3, 5), "scale": (5,)}
    params, grads = (
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(2)
    )
    found = ALWAYS.perturbed(params, grads)
    assert found["bias"] is params["bias"] and found["scale"] is params["scale"]
    w, g = params["kernel"], grads["kernel"]
    along = g / np.linalg.norm(g) * np.linalg.norm(w)
    np.testing.assert_allclose(found["kernel"], w + 0.3 * along, rtol=1e-5)
    still = ALWAYS.perturbed(params, jax.tree.map(np.zeros_like, grads))
    np.testing.assert_array_equal(still["kernel"], w)


def test_the_gradient_that_is_applied_is_that_at_the_perturbed_weights(cfg):
    s = setup.of(cfg)
    batch, state = runs.first_batch(s), s.init()
    bound = step.Step(
        task=cfg.task, features=cfg.features, augment=None, tx=optim.build(cfg.optim, 8), steps=8
    )
    key = jax.random.fold_in(s.key, 0)

    def mean(model: Any) -> tuple:
        return bound.accumulated(model, state.frozen, batch, key)

    clean, _ = jax.jit(mean)(state.model)
    worse = ALWAYS.perturbed(state.model, clean)
    grads, metrics = jax.jit(mean)(worse)
    moments, found = advanced(cfg, awp=ALWAYS, optim=optim.Config(clip_norm=0.0))
    # Adam's first moment is a tenth of the first gradient.
    for name, g in stored.flatten(grads).items():
        (mu,) = (v for k, v in moments.items() if k.endswith("mu/" + name))
        wanted = 0.1 * np.asarray(g)
        assert np.linalg.norm(mu - wanted) <= 1e-4 * np.linalg.norm(wanted), name
    # What is reported is the loss of the weights as they are.
    _, plain = advanced(cfg)
    assert float(found["loss"]) == float(plain["loss"]) < float(metrics["loss"])


def test_before_its_start_it_changes_nothing_and_then_it_does_in_the_same_program(cfg):
    # Of programs that differ in a constant alone: others may round otherwise.
    never, late = (optim.AWP(radius=0.3, start=start) for start in (2.0, 0.5))
    a, b = (setup.of(dataclasses.replace(cfg, awp=awp)) for awp in (never, late))
    one, other = a.init(), b.init()
    with a.batches(0, 0) as batches:
        for i, batch in enumerate(batches):
            (one, _), (other, _) = a.train(one, batch, a.key), b.train(other, batch, b.key)
            same = all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), one, other)))
            assert same == (i < a.steps / 2)
    assert b.train._cache_size() == len(b.shapes)  # type: ignore[attr-defined]


def test_neither_microbatches_nor_the_mesh_change_an_adversarial_step(cfg):
    still = dataclasses.replace(
        cfg,
        awp=ALWAYS,
        model=dataclasses.replace(cfg.model, dropout=0.0, dim=32),
        data=dataclasses.replace(
            cfg.data, batching=plan.Bucketed(frames=1024, buckets=1, multiple=16)
        ),
    )
    one, _ = advanced(still)
    both = {"microbatches": 16, "mesh": sharding.Config(fsdp=8)}
    other, _ = advanced(still, **both)
    for name in (name for name in one if "/mu/" in name):
        np.testing.assert_allclose(one[name], other[name], atol=1e-5, rtol=1e-3, err_msg=name)


def test_dropout_draws_the_same_with_and_without_an_augmentation(cfg):
    dropping = dataclasses.replace(cfg.model, dropout=0.3)
    _, plain = advanced(cfg, model=dropping)
    _, augmented = advanced(cfg, model=dropping, augmentation=clip_augment.Clips())
    assert float(augmented["loss"]) == pytest.approx(float(plain["loss"]), rel=1e-5)
    _, other = advanced(cfg, model=dropping, seed=1)
    assert float(other["loss"]) != pytest.approx(float(plain["loss"]), rel=1e-3)


def test_an_adversarial_step_without_a_finite_gradient_is_skipped(cfg):
    s = setup.of(dataclasses.replace(runs.poisoned(cfg, *range(80)), awp=ALWAYS))
    first = s.init()
    before = jax.device_get(first.model)
    state, metrics = s.train(first, runs.first_batch(s), s.key)
    assert int(metrics["skipped"]) == 1 and not np.isfinite(metrics["loss"])
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, jax.device_get(state.model))))


def trained_with(cfg: config.Config, task: Any, augment=None, microbatches=1, devices=1):
    """The jitted step of eight, with another task than the config's."""
    train = step.Step(
        tx=optim.build(cfg.optim, 8),
        task=task,
        features=cfg.features,
        augment=augment,
        microbatches=microbatches,
        devices=devices,
        ema_decay=cfg.ema_decay,
        awp=cfg.awp,
        steps=8,
    )
    return jax.jit(train)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """A task whose loss is the progress that it is told."""

    def loss(self, model, inputs, mask, batch, key):
        del inputs, mask, key
        unused = sum(0 * x.sum() for x in jax.tree.leaves(model))
        return (batch["progress"] * batch["weight"]).sum() + unused, batch["weight"].sum(), {}


def test_losses_are_told_how_far_the_training_is(cfg):
    s = setup.of(cfg)
    state, batch = s.init(), runs.first_batch(s)
    at = dataclasses.replace(state, step=jnp.asarray(6))
    _, metrics = trained_with(cfg, Told(), microbatches=2)(at, batch, s.key)
    assert float(metrics["loss"]) == 0.75


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spelled:
    """A task whose loss is a number that tells which characters are where in which row."""

    def loss(self, model, inputs, mask, batch, key):
        del inputs, mask, key
        unused = sum(0 * x.sum() for x in jax.tree.leaves(model))
        tokens = batch["tokens"].astype(jnp.float32)
        row = (tokens * jnp.arange(1, tokens.shape[1] + 1)).sum(1) * jnp.sin(batch["id"] + 1.0)
        return row.sum() + unused, batch["weight"].sum(), {}


def test_clips_are_mixed_alike_however_small_the_microbatches_and_whatever_the_mesh(cfg):
    batching = plan.Bucketed(frames=1024, buckets=1, multiple=16)
    s = setup.of(dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, batching=batching)))
    state, batch = s.init(), runs.first_batch(s)

    def spelled(rate: float, microbatches: int, devices: int) -> float:
        cutmix = clip_augment.Clips(cutmix=cutmix_lib.CutMix(rate=rate))
        train = trained_with(cfg, Spelled(), cutmix, microbatches, devices)
        return float(train(state, batch, s.key)[1]["loss"])

    rows = len(batch["weight"])
    whole = spelled(1.0, 1, 1)
    assert whole != pytest.approx(spelled(0.0, 1, 1), rel=1e-2)
    for devices in (1, 8):  # A row each.
        assert spelled(1.0, rows, devices) == pytest.approx(whole, rel=1e-4)
