"""The train state, and the step that advances it: pure functions of arrays."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from aslx import config as config_lib
from aslx import optim
from aslx.inputs import model_inputs
from aslx.kernels import mode as modes
from aslx.kernels import random_streams
from aslx.models import layers
from aslx.runs import partition
from aslx.tasks import task as task_lib

Batch = model_inputs.Batch
Metrics = dict[str, jax.Array]
Gradient = tuple[optax.Params, tuple[jax.Array, task_lib.Sums]]
Tree = TypeVar("Tree")


class Place(Protocol):
    """Lays arrays out over the devices, within a jitted function."""

    def __call__(self, tree: Tree, /) -> Tree: ...


def where_it_is(tree: Tree, /) -> Tree:
    return tree


def nobody(rows: Batch, /) -> Batch:
    return rows


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Everything a checkpoint holds. `ema` is None where no average is kept.

    `model` has what is trained, and `frozen` the rest of the network: see `layers.Frozen`.
    `skipped` counts the steps whose gradient was not finite, `streak` those in a row.
    """

    step: jax.Array
    model: optax.Params  # Its only leaves are parameters.
    frozen: optax.Params  # The same module with the leaves that `model` lacks; often none.
    opt_state: optax.OptState
    ema: optax.Params | None
    skipped: jax.Array
    streak: jax.Array

    @property
    def best_model(self) -> nnx.Module:
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """The next of `steps` steps; called with a state, a batch and the key of all steps, it gives
    the next state and the metrics.

    Losses find in the batch how far the training is: `progress` f32[B], from 0 to 1.
    """

    task: config_lib.Task
    features: config_lib.Features
    augment: config_lib.Augmentation | None
    tx: optax.GradientTransformation
    steps: int
    rows_at_once: int = 0
    """Of a part of a batch; 0: all."""
    devices: int = 1
    ema_decay: float = 0.0
    awp: optim.AWP = optim.AWP()
    teach: Callable[[Batch], Batch] = nobody
    """Adds to rows what a teacher says of them."""
    mode: modes.Mode = modes.PLAIN
    gather: Place = where_it_is
    """Makes parameters whole on every device."""
    scatter: Place = where_it_is
    """Leaves each device its part of the gradient."""
    spread: Place = where_it_is
    """Lays a first axis over the `devices`."""

    def __call__(self, state: State, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
        progress, key = state.step / self.steps, jax.random.fold_in(key, state.step)
        if self.augment is not None:  # Of the whole batch: a microbatch may have one row alone.
            mixed_key = random_streams.named(key, "mixed")
            batch = self.augment.mixed(batch, mixed_key, self.features)
        batch |= {"progress": jnp.full_like(batch["weight"], progress)}
        frozen = self.gather(state.frozen)

        def mean(model: optax.Params) -> tuple[optax.Params, Metrics]:
            grads, metrics = self.accumulated(self.gather(model), frozen, batch, key)
            return self.scatter(grads), metrics

        grads, metrics = mean(state.model)
        if self.awp.radius:
            worse = functools.partial(self.awp.perturbed, state.model, grads)
            late = progress >= self.awp.start
            grads = jax.lax.cond(late, lambda: mean(worse())[0], lambda: grads)
        metrics["grad_norm"] = optax.tree.norm(grads)
        good = jnp.isfinite(metrics["grad_norm"]) & jnp.isfinite(metrics["loss"])
        # A select of old and new would read and write the whole state once more.
        old = state.model, state.opt_state, state.ema
        moved = functools.partial(self._moved, grads, state.step)
        model, opt_state, ema = jax.lax.cond(good, moved, lambda *old: old, *old)
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

    def _moved(
        self,
        grads: optax.Params,
        step: jax.Array,
        model: optax.Params,
        opt_state: optax.OptState,
        ema: optax.Params | None,
    ) -> tuple[optax.Params, optax.OptState, optax.Params | None]:
        updates, opt_state = self.tx.update(grads, opt_state, model)
        model = optax.apply_updates(model, updates)
        if ema is not None:
            # Early on the average follows fast: TensorFlow's ExponentialMovingAverage(num_updates).
            decay = jnp.minimum(self.ema_decay, (1 + step) / (10 + step))
            ema = optax.incremental_update(model, ema, 1 - decay)
        return model, opt_state, ema

    def accumulated(
        self, model: optax.Params, frozen: optax.Params, batch: Batch, key: jax.Array
    ) -> tuple[optax.Params, Metrics]:
        """Mean gradient and metrics over the batch, in parts of `rows_at_once` rows. Each device
        adds up its own parts, one after the other; the devices' sums are added up once."""
        of = functools.partial(self.gradients, model, frozen)

        def beside(rows: Batch, number: jax.Array) -> Gradient:
            each = jax.vmap(lambda r, i: of(r, jax.random.fold_in(key, i)))
            return self.spread(each(rows, number))

        def add(total: Gradient, part: tuple[Batch, jax.Array]) -> tuple[Gradient, None]:
            return jax.tree.map(jnp.add, total, beside(*part)), None

        parts = len(batch["weight"]) // self.rows_at_once if self.rows_at_once else 1
        if parts == 1:
            grads, (count, sums) = of(batch, key)
        else:
            # A part has the same rows and key on every mesh.
            split = self.devices, parts // self.devices
            rows = {k: v.reshape(*split, -1, *v.shape[1:]).swapaxes(0, 1) for k, v in batch.items()}
            numbers = jnp.arange(parts).reshape(split).T
            first = jax.eval_shape(beside, {k: v[0] for k, v in rows.items()}, numbers[0])
            zero = self.spread(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first))
            total, _ = jax.lax.scan(add, zero, (rows, numbers))
            grads, (count, sums) = jax.tree.map(lambda x: x.sum(0), total)
        count = jnp.maximum(count, 1)
        metrics = {name: total / jnp.maximum(n, 1) for name, (total, n) in sums.items()}
        # The optimiser reads a gradient several times, and some come transposed.
        return self.mode.store(jax.tree.map(lambda g: g / count, grads)), metrics

    def gradients(
        self, model: optax.Params, frozen: optax.Params, batch: Batch, key: jax.Array
    ) -> Gradient:
        """Gradient of the summed loss, its count, and the sums of what is measured beside it."""

        def total(model: optax.Params) -> tuple[jax.Array, tuple[jax.Array, task_lib.Sums]]:
            rows = batch
            if self.augment is not None:
                clips_key = random_streams.named(key, "clips")
                rows = self.augment.clips(batch, clips_key, self.features)
            rows = self.teach(rows)
            x_BSF, mask_BS = model_inputs.of(rows, self.features)
            if self.augment is not None:
                inputs_key = random_streams.named(key, "inputs")
                x_BSF = self.augment.inputs(x_BSF, mask_BS, inputs_key, self.features)
            whole = layers.bound(partition.merge_frozen(model, frozen), self.mode)
            model_key = random_streams.named(key, "model")
            loss, count, sums = self.task.loss(whole, x_BSF, mask_BS, rows, model_key)
            return loss, (count, sums | {"loss": (loss, count)})

        return jax.grad(total, has_aux=True)(model)
