"""The training step: adversarial weights, progress, and clips that are mixed."""

import dataclasses
import math
import re
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
from aslx.kernels import blocks
from aslx.runs import flat
from aslx.train import setup, step
from tests import tiny
from tests.train import runs

ALWAYS = optim.AWP(radius=0.3, start=0.0)
WIDE = plan.Bucketed(frames=1024, buckets=1, multiple=16)


@pytest.fixture(scope="module")
def cfg(dataset) -> config.Config:
    return tiny.cfg(dataset)


@pytest.fixture(scope="module")
def small(dataset) -> config.Config:
    """For tests in which a step draws nothing: it compiles fast."""
    return tiny.small(dataset)


def advanced(cfg: config.Config, **changes) -> tuple[dict, dict]:
    """Every leaf of the state after one step on the first batch, and the step's metrics."""
    s = setup.of(dataclasses.replace(cfg, **changes))
    held, metrics = s.train(flat.Flat(s.init()), runs.first_batch(s), s.key)
    return {k: np.asarray(v) for k, v in stored.flatten(held.tree).items()}, metrics


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


def test_the_gradient_at_the_perturbed_weights_is_applied(small):
    s = setup.of(small)
    batch, state = runs.first_batch(s), s.init()
    bound = step.Step(
        task=small.task,
        features=small.features,
        augment=None,
        tx=optim.build(small.optim, 8),
        steps=8,
    )
    key = jax.random.fold_in(s.key, 0)

    def mean(model: Any) -> tuple:
        return bound.accumulated(model, state.frozen, batch, key)

    clean, _ = jax.jit(mean)(state.model)
    worse = ALWAYS.perturbed(state.model, clean)
    grads, metrics = jax.jit(mean)(worse)
    moments, found = advanced(small, awp=ALWAYS, optim=optim.Config(clip_norm=0.0))
    # Adam's first moment is a tenth of the first gradient.
    for name, g in stored.flatten(grads).items():
        (mu,) = (v for k, v in moments.items() if k.endswith("mu/" + name))
        wanted = 0.1 * np.asarray(g)
        assert np.linalg.norm(mu - wanted) <= 1e-4 * np.linalg.norm(wanted), name
    # The reported loss is that of the unperturbed weights.
    _, plain = advanced(small)
    assert float(found["loss"]) == float(plain["loss"]) < float(metrics["loss"])


@pytest.mark.long
def test_perturbation_begins_at_its_start_within_one_program(small):
    # Programs that differ in a constant alone round alike.
    never, late = (optim.AWP(radius=0.3, start=start) for start in (2.0, 0.5))
    a, b = (setup.of(dataclasses.replace(small, awp=awp)) for awp in (never, late))
    one, other = flat.Flat(a.init()), flat.Flat(b.init())
    with a.batches(0, 0) as batches:
        for i, batch in enumerate(batches):
            (one, _), (other, _) = a.train(one, batch, a.key), b.train(other, batch, b.key)
            same = all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), one, other)))
            assert same == (i < a.steps / 2)
    programs = b.train._cache_size()  # pyright: ignore[reportFunctionMemberAccess]
    assert programs == len(b.shapes)


@pytest.mark.long
def test_neither_microbatches_nor_the_mesh_change_an_adversarial_step(small):
    still = dataclasses.replace(small, awp=ALWAYS)
    one, _ = advanced(still)
    both = {"microbatch_rows": 1, "mesh": sharding.Config(fsdp=8)}
    other, _ = advanced(still, **both)
    for name in (name for name in one if "/mu/" in name):
        np.testing.assert_allclose(one[name], other[name], atol=1e-5, rtol=1e-3, err_msg=name)


@pytest.mark.slow
def test_dropout_draws_the_same_with_and_without_an_augmentation(cfg):
    dropping = dataclasses.replace(cfg.model, dropout=0.3)
    _, plain = advanced(cfg, model=dropping)
    _, augmented = advanced(cfg, model=dropping, augmentation=clip_augment.Clips())
    assert float(augmented["loss"]) == pytest.approx(float(plain["loss"]), rel=1e-5)
    _, other = advanced(cfg, model=dropping, seed=1)
    assert float(other["loss"]) != pytest.approx(float(plain["loss"]), rel=1e-3)


def test_an_adversarial_step_without_a_finite_gradient_is_skipped(small):
    s = setup.of(dataclasses.replace(runs.poisoned(small, *range(80)), awp=ALWAYS))
    first = s.init()
    before = jax.device_get(first.model)
    held, metrics = s.train(flat.Flat(first), runs.first_batch(s), s.key)
    assert int(metrics["skipped"]) == 1 and not np.isfinite(metrics["loss"])
    after = jax.device_get(held.tree.model)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, after)))


def trained_with(cfg: config.Config, task: Any, augment=None, rows_at_once=0, devices=1):
    """The compiled step of a training of eight steps, with another task."""
    train = step.Step(
        tx=optim.build(cfg.optim, 8),
        task=task,
        features=cfg.features,
        augment=augment,
        rows_at_once=rows_at_once,
        devices=devices,
        ema_decay=cfg.ema_decay,
        awp=cfg.awp,
        steps=8,
    )
    return jax.jit(train)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """A task whose loss is the progress in the batch."""

    def loss(self, model, inputs, mask, batch, key):
        del inputs, mask, key
        unused = sum(0 * x.sum() for x in jax.tree.leaves(model))
        return (batch["progress"] * batch["weight"]).sum() + unused, batch["weight"].sum(), {}


def test_losses_know_the_progress_of_the_training(small):
    s = setup.of(small)
    state, batch = s.init(), runs.first_batch(s)
    at = dataclasses.replace(state, step=jnp.asarray(6))
    _, metrics = trained_with(small, Told(), rows_at_once=2)(at, batch, s.key)
    assert float(metrics["loss"]) == 0.75


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spelled:
    """A task whose loss depends on every character and its place."""

    def loss(self, model, inputs, mask, batch, key):
        del inputs, mask, key
        unused = sum(0 * x.sum() for x in jax.tree.leaves(model))
        tokens = batch["tokens"].astype(jnp.float32)
        row = (tokens * jnp.arange(1, tokens.shape[1] + 1)).sum(1) * jnp.sin(batch["id"] + 1.0)
        return row.sum() + unused, batch["weight"].sum(), {}


@pytest.mark.long
def test_clips_are_mixed_alike_on_every_mesh_and_in_microbatches_of_every_size(cfg):
    s = setup.of(tiny.with_data(cfg, batching=WIDE))
    state, batch = s.init(), runs.first_batch(s)

    def spelled(rate: float, rows_at_once: int, devices: int) -> float:
        cutmix = clip_augment.Clips(cutmix=cutmix_lib.CutMix(rate=rate))
        train = trained_with(cfg, Spelled(), cutmix, rows_at_once, devices)
        return float(train(state, batch, s.key)[1]["loss"])

    whole = spelled(1.0, 0, 1)
    assert whole != pytest.approx(spelled(0.0, 0, 1), rel=1e-2)
    for devices in (1, 8):  # Microbatches of one row.
        assert spelled(1.0, 1, devices) == pytest.approx(whole, rel=1e-4)


def deep(cfg: config.Config, **changes) -> config.Config:
    """A config of three blocks, whose arrays are large enough to be split."""
    model = dataclasses.replace(cfg.model, dim=32, num_layers=3, dropout=0.0, **changes)
    return dataclasses.replace(tiny.with_data(cfg, batching=WIDE), model=model)


@pytest.mark.slow
def test_blocks_that_are_gathered_one_by_one_are_those_of_whole_parameters(cfg):
    one, metrics = advanced(deep(cfg, remat=True))
    split, others = advanced(deep(cfg, remat=True), mesh=sharding.Config(fsdp=8))
    assert float(others["loss"]) == pytest.approx(float(metrics["loss"]), rel=1e-5)
    for name in (name for name in one if "/mu/" in name):
        np.testing.assert_allclose(one[name], split[name], atol=1e-5, rtol=1e-3, err_msg=name)


def test_no_device_makes_a_stack_of_blocks_whole(cfg):
    s = setup.of(dataclasses.replace(deep(cfg), mesh=sharding.Config(fsdp=8)))
    step: Any = s.train
    text = step.lower(flat.Flat(s.abstract), runs.first_batch(s), s.key).compile().as_text()
    found = re.findall(r"= \(?\w+\[([\d,]+)\]\S* all-gather", text)
    gathered = {math.prod(map(int, shape.split(","))) for shape in found}
    variables = jax.tree.leaves(s.abstract.model, is_leaf=blocks.is_variable)
    stacked = [leaf for x in variables if blocks.is_stacked(x) for leaf in jax.tree.leaves(x)]
    stacks = {leaf.size for leaf in stacked if not leaf.sharding.is_fully_replicated}
    assert stacks and {size // 3 for size in stacks} <= gathered
    assert not gathered & stacks
