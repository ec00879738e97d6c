"""What stays the same over a run: the mesh, the data, and what is compiled for them."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aslx import config as config_lib
from aslx import optim, sharding
from aslx.data import loader, plan, records, training_data
from aslx.kernels import mode as modes
from aslx.kernels import random_streams
from aslx.runs import evaluator, flat, initial_weights, opening, partition
from aslx.train import frozen_cache, step
from aslx.train import teacher as teachers

FlatState = flat.Flat[step.State]


@dataclasses.dataclass(frozen=True)
class Setup:
    """What stays the same over a run: the mesh, the compiled functions, the data."""

    cfg: config_lib.Config
    mesh: jax.sharding.Mesh
    pool: training_data.Pool
    shapes: list[plan.Shape]
    abstract: step.State  # Shapes, dtypes and shardings.
    init: Callable[[], step.State]
    train: Callable[[FlatState, step.Batch, jax.Array], tuple[FlatState, step.Metrics]]
    evaluation: evaluator.Evaluation
    key: jax.Array
    steps_per_epoch: int
    teacher: teachers.Opened | None = None
    cached: np.ndarray | None = None
    """What frozen layers answered for each record, where that is kept."""

    def plan(self, salt: int) -> plan.Train:
        return self.pool.train(self.shapes, self.cfg.seed, salt)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.cfg.epochs

    @property
    def sets(self) -> dict[str, records.Records]:
        """The data sets of training and evaluation, by their places in the config."""
        first, *also = (data for data, _ in self.pool.sources)
        places = {"data.train_split": first, "data.eval_split": self.evaluation.data}
        return places | {f"data.also.{i}": data for i, data in enumerate(also)}

    @property
    def taught_by(self) -> dict[str, str]:
        """The step of the teacher, by its place in the config."""
        return {"distill.teacher": f"step {self.teacher.step}"} if self.teacher else {}

    @contextlib.contextmanager
    def batches(
        self, start: int, salt: int, tally: Callable[[dict], dict] = lambda rows: rows
    ) -> Iterator[Iterator[step.Batch]]:
        """Global batches from step `start` on, read ahead while the device computes. `tally` gets
        this host's rows of each batch."""
        rows = self.pool.batches(
            self.plan(salt),
            self.steps,
            shard=jax.process_index(),
            num_shards=jax.process_count(),
            skip_corrupt=self.cfg.data.skip_corrupt,
        )
        stream = loader.stream(rows, start=start, workers=self.cfg.data.workers)
        with contextlib.closing(iter(stream)) as every:
            yield sharding.put(self.mesh, map(self._from_cache, map(tally, every)))

    def _from_cache(self, rows: dict) -> dict:
        return rows if self.cached is None else rows | {"image": self.cached[rows["id"]]}


def of(cfg: config_lib.Config) -> Setup:
    """BadInput where the config, the data sets and the devices do not go together."""
    mesh = sharding.make_mesh(cfg.mesh)
    data = opening.training(cfg)
    shapes = data.shapes(cfg.data.batching, cfg.seed)
    for shape in shapes:
        sharding.check_rows(mesh, shape.rows, cfg.rows_at_once(sharding.platform(mesh)))
    steps_per_epoch = data.train(shapes, cfg.seed).steps_per_epoch
    steps = steps_per_epoch * cfg.epochs
    tx = optim.build(cfg.optim, steps)
    teacher = teachers.opened(cfg, mesh)
    stepped = frozen_cache.config(cfg) if cfg.cache_frozen else cfg
    abstract, init = state(cfg, mesh, tx)
    if cfg.weights:
        init = functools.partial(_with_weights, init, cfg.weights)
    evaluation = evaluator.Evaluation(cfg, mesh, cfg.data.eval_split)
    opening.fields_to_train(cfg, evaluation.data)
    train = train_step(stepped, mesh, tx, abstract, steps, teacher=teacher)
    _ = evaluation.batches  # A batch that does not divide over the devices is refused now.
    return Setup(
        cfg=cfg,
        mesh=mesh,
        pool=data,
        shapes=shapes,
        abstract=abstract,
        init=init,
        train=functools.partial(train, network=flat.Flat(teacher.network)) if teacher else train,
        teacher=teacher,
        evaluation=evaluation,
        key=jax.jit(
            lambda: random_streams.named(jax.random.key(cfg.seed), "steps"),
            out_shardings=sharding.replicated(mesh),
        )(),
        steps_per_epoch=steps_per_epoch,
    )


def state(
    cfg: config_lib.Config, mesh: jax.sharding.Mesh, tx: optax.GradientTransformation
) -> tuple[step.State, Callable[[], step.State]]:
    """The placed, abstract train state, and the compiled function that makes it."""
    build = functools.partial(opening.network, cfg)
    init = functools.partial(step.init, build, tx=tx, ema_decay=cfg.ema_decay)
    abstract = sharding.place(mesh, jax.eval_shape(init))
    return abstract, jax.jit(init, out_shardings=jax.tree.map(lambda x: x.sharding, abstract))


def _with_weights(init: Callable[[], step.State], path: str) -> step.State:
    fresh = init()
    whole = initial_weights.taken(partition.merge_frozen(fresh.model, fresh.frozen), path)
    model, frozen = partition.split_frozen(whole)
    ema = fresh.ema if fresh.ema is None else jax.tree.map(jnp.copy, model)
    return dataclasses.replace(fresh, model=model, frozen=frozen, ema=ema)


def train_step(
    cfg: config_lib.Config,
    mesh: jax.sharding.Mesh,
    tx: optax.GradientTransformation,
    abstract: step.State,
    steps: int,
    mode: modes.Mode | None = None,
    teacher: teachers.Opened | None = None,
):
    """The jitted step, of `steps`, on flat states placed as `abstract` is; it takes the old state's
    memory. `mode`: the kernels', or None for that of the mesh's platform. A teacher's network is
    its last argument, and no constant of the program, because its weights may be many."""
    place = jax.tree.map(lambda x: x.sharding, abstract)
    rows_at_once = cfg.rows_at_once(sharding.platform(mesh))
    mode = mode or modes.of(sharding.platform(mesh))
    gather = functools.partial(sharding.whole, mesh)
    if mesh.shape["fsdp"] > 1 and not rows_at_once:  # Parts of a batch would gather again.
        gather = functools.partial(sharding.whole_but_stacks, mesh)
        block = functools.partial(sharding.whole_block, mesh, opening.dtype(cfg))
        scan = functools.partial(mode.scan, gather=block)
        mode = dataclasses.replace(mode, scan=scan)
    train = step.Step(
        tx=tx,
        task=cfg.task,
        features=cfg.features,
        augment=cfg.augmentation,
        rows_at_once=rows_at_once,
        devices=mesh.size,
        ema_decay=cfg.ema_decay,
        awp=cfg.awp,
        steps=steps,
        mode=mode,
        gather=gather,
        scatter=functools.partial(jax.lax.with_sharding_constraint, shardings=place.model),
        spread=functools.partial(jax.lax.with_sharding_constraint, shardings=sharding.batch(mesh)),
    )

    def flat_train(
        state: FlatState, batch: step.Batch, key: jax.Array, network: flat.Flat | None = None
    ) -> tuple[FlatState, step.Metrics]:
        now = train
        if teacher and network:
            teach = functools.partial(teacher.teacher, network.tree, mode)
            now = dataclasses.replace(train, teach=teach)
        after, metrics = now(state.tree, batch, key)
        return flat.Flat(after), metrics

    out = flat.Flat(place), sharding.replicated(mesh)
    options = sharding.step_options(mesh, cfg.mesh.deterministic)
    return jax.jit(flat_train, out_shardings=out, donate_argnums=0, compiler_options=options)
