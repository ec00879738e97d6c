"""The train state and the pure functions that make and advance it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from aslx import optim
from aslx.inputs import model_inputs
from aslx.kernels import mode as modes
from aslx.kernels import random_streams
from aslx.models import layers
from aslx.runs import partition

Batch = model_inputs.Batch
Metrics = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Everything a checkpoint holds. `ema` is None where no average is kept.

    `model` has what is trained, and `frozen` the rest of the network: see `layers.Frozen`.
    `skipped` counts the steps whose gradient was not finite, `streak` those in a row.
    """

    step: jax.Array
    model: Any  # nnx.Module whose only leaves are parameters.
    frozen: Any  # The same module with the leaves that `model` lacks; often none.
    opt_state: optax.OptState
    ema: Any
    skipped: jax.Array
    streak: jax.Array

    @property
    def best_model(self) -> Any:
        """The parameters to evaluate and export, frozen ones included."""
        return partition.merge_frozen(self.model if self.ema is None else self.ema, self.frozen)


def init(
    build: Callable[[], nnx.Module], *, tx: optax.GradientTransformation, ema_decay: float
) -> State:
    model, frozen = partition.split_frozen(build())
    zero = jnp.zeros((), jnp.int32)
    ema = jax.tree.map(jnp.copy, model) if ema_decay else None
    return State(
        step=zero,
        model=model,
        frozen=frozen,
        opt_state=tx.init(model),
        ema=ema,
        skipped=zero,
        streak=zero,
    )


def gradients(
    model: Any,
    frozen: Any,
    batch: Batch,
    key: jax.Array,
    *,
    task: Any,
    features: Any,
    augment: Any,
    mode: modes.Mode,
) -> tuple[Any, tuple[jax.Array, dict]]:
    """Gradient of the summed loss, its count, and the sums of what is measured beside it."""

    def total(model: Any) -> tuple[jax.Array, tuple[jax.Array, dict]]:
        rows = batch
        if augment is not None:
            rows = augment.clips(batch, random_streams.named(key, "clips"), features)
        x_BSF, mask_BS = model_inputs.of(rows, features)
        if augment is not None:
            inputs_key = random_streams.named(key, "inputs")
            x_BSF = augment.inputs(x_BSF, mask_BS, inputs_key, features)
        model_key = random_streams.named(key, "model")
        whole = layers.bound(partition.merge_frozen(model, frozen), mode)
        loss, count, sums = task.loss(whole, x_BSF, mask_BS, rows, model_key)
        return loss, (count, sums | {"loss": (loss, count)})

    return jax.grad(total, has_aux=True)(model)


def accumulated(
    model: Any,
    frozen: Any,
    batch: Batch,
    key: jax.Array,
    *,
    task: Any,
    features: Any,
    augment: Any,
    microbatches: int,
    devices: int,
    spread: Callable[[Any], Any],
    mode: modes.Mode = modes.PLAIN,
) -> tuple[Any, Metrics]:
    """Mean gradient and metrics over the batch, in parts of `rows / microbatches` rows. Each device
    adds up those of its own parts, one after the other; all devices' are added up once."""

    of = functools.partial(
        gradients, model, frozen, task=task, features=features, augment=augment, mode=mode
    )

    def beside(rows: Batch, number: jax.Array) -> Any:
        return spread(jax.vmap(lambda r, i: of(r, jax.random.fold_in(key, i)))(rows, number))

    def add(total: Any, part: tuple[Batch, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, beside(*part)), None

    if microbatches == 1:
        grads, (count, sums) = of(batch, key)
    else:
        # A part has the same rows and key on every mesh.
        split = devices, microbatches // devices
        parts = {k: v.reshape(*split, -1, *v.shape[1:]).swapaxes(0, 1) for k, v in batch.items()}
        numbers = jnp.arange(microbatches).reshape(split).T
        first = jax.eval_shape(beside, {k: v[0] for k, v in parts.items()}, numbers[0])
        zero = spread(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first))
        total, _ = jax.lax.scan(add, zero, (parts, numbers))
        grads, (count, sums) = jax.tree.map(lambda x: x.sum(0), total)
    count = jnp.maximum(count, 1)
    metrics = {name: total / jnp.maximum(n, 1) for name, (total, n) in sums.items()}
    # The optimiser reads a gradient several times, and some come transposed.
    return mode.store(jax.tree.map(lambda g: g / count, grads)), metrics


def train(
    state: State,
    batch: Batch,
    key: jax.Array,
    *,
    tx: optax.GradientTransformation,
    task: Any,
    features: Any,
    augment: Any,
    microbatches: int,
    devices: int,
    ema_decay: float,
    awp: optim.AWP,
    steps: int,
    mode: modes.Mode = modes.PLAIN,
    gather: Callable[[Any], Any],
    scatter: Callable[[Any], Any],
    spread: Callable[[Any], Any],
) -> tuple[State, Metrics]:
    """The next of `steps` steps. Losses find in the batch how far the training is:
    `progress` f32[B], from 0 to 1. `gather` makes parameters whole on every device, `scatter`
    leaves each its part of their gradient, and `spread` lays a first axis over the `devices`."""
    progress, key = state.step / steps, jax.random.fold_in(key, state.step)
    if augment is not None:  # Rows find one another in the whole batch: a part may have one alone.
        batch = augment.mixed(batch, random_streams.named(key, "mixed"), features)
    of = functools.partial(
        accumulated,
        frozen=gather(state.frozen),
        batch=batch | {"progress": jnp.full_like(batch["weight"], progress)},
        key=key,
        task=task,
        features=features,
        augment=augment,
        mode=mode,
        microbatches=microbatches,
        devices=devices,
        spread=spread,
    )

    def mean(model: Any) -> tuple[Any, Metrics]:
        grads, metrics = of(gather(model))
        return scatter(grads), metrics

    grads, metrics = mean(state.model)
    if awp.radius:
        worse = functools.partial(awp.perturbed, state.model, grads)
        grads = jax.lax.cond(progress >= awp.start, lambda: mean(worse())[0], lambda: grads)
    metrics["grad_norm"] = optax.tree.norm(grads)
    good = jnp.isfinite(metrics["grad_norm"]) & jnp.isfinite(metrics["loss"])

    def moved(model: Any, opt_state: Any, ema: Any) -> tuple[Any, Any, Any]:
        updates, opt_state = tx.update(grads, opt_state, model)
        model = optax.apply_updates(model, updates)
        if ema is not None:
            # Early on the average follows fast: TensorFlow's ExponentialMovingAverage(num_updates).
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = optax.incremental_update(model, ema, 1 - decay)
        return model, opt_state, ema

    # A condition, and no selection of either: that reads and writes all of it once more.
    model, opt_state, ema = jax.lax.cond(
        good, moved, lambda *old: old, state.model, state.opt_state, state.ema
    )
    state = State(
        step=state.step + 1,
        model=model,
        frozen=state.frozen,
        opt_state=opt_state,
        ema=ema,
        skipped=state.skipped + ~good,
        streak=jnp.where(good, 0, state.streak + 1),
    )
    return state, metrics | {"skipped": state.skipped, "streak": state.streak}
