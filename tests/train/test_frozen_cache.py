"""Cached outputs of frozen layers: training on them equals training on images."""

import dataclasses
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx import config, errors, sharding
from aslx.data import loader
from aslx.models import resnet
from aslx.runs import flat, opening
from aslx.train import frozen_cache, logs, loop, setup
from tests import processes, tiny


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> config.Config:
    """ResNet50 on 40 noisy pictures of two classes."""
    source = tmp_path_factory.mktemp("pictures")
    tiny.pictures(source, {"dark": (40, 40), "bright": (200, 200)}, 20)
    out = tmp_path_factory.mktemp("data") / "set"
    processes.ran("prepare", "image_folder", "--source", source, "--out", out, "--size", 32).last()
    options = f"--data.path {out} --data.batching.rows 8 --task.classes 2 --model.dense 16"
    options += " --features.height 32 --features.width 32 --features.channels 3 --epochs 1"
    options += " --weights= --optim.peak-lr 0.001 --log-every 1"
    for flag in ("no-flip-horizontal", "no-flip-vertical", "brightness 0", "contrast 0"):
        options += f" --augmentation.{flag}"
    return opening.settled(config.load("sign_mnist_resnet50", options.split()))


def losses(cfg: config.Config, workdir: pathlib.Path) -> list[float]:
    loop.run(cfg, workdir)
    lines = logs.read(workdir / "metrics.jsonl")
    return [line[name] for line in lines for name in ("loss", "eval_loss") if name in line]


@pytest.mark.slow
def test_a_run_on_cached_outputs_has_the_losses_of_a_run_on_images(cfg, tmp_path):
    cached = dataclasses.replace(cfg, cache_frozen=True)
    found, expected = losses(cached, tmp_path / "cached"), losses(cfg, tmp_path / "images")
    assert len(set(expected)) >= 4
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_step_on_cached_outputs_saves_three_quarters_of_the_arithmetic(cfg):
    mesh = sharding.make_mesh(cfg.mesh)
    flops = {}
    for keep in (False, True):
        s = setup.of(dataclasses.replace(cfg, cache_frozen=keep))
        batch = next(iter(loader.stream(s.pool.batches(s.plan(0), 1))))
        if keep:
            whole = s.abstract.best_model
            outputs = jax.eval_shape(lambda m, b: frozen_cache.outputs(cfg, m, b), whole, batch)
            batch["image"] = np.zeros(outputs.shape, np.float32)
        (batch,) = sharding.put(mesh, iter([batch]))
        step = s.train.lower(flat.Flat(s.abstract), batch, s.key)  # pyright: ignore[reportFunctionMemberAccess]
        analysis = step.compile().cost_analysis()
        flops[keep] = analysis["flops"]
    assert flops[True] < 0.25 * flops[False]


def test_a_corrupt_image_has_zeros_in_the_table_and_weighs_nothing(cfg, tmp_path):
    copy = pathlib.Path(shutil.copytree(cfg.data.path, tmp_path / "data"))
    where = tiny.damage(copy, cfg.data.train_split, 3)
    damaged = tiny.with_data(cfg, path=str(copy))
    state, mesh = setup.of(damaged).init(), sharding.make_mesh(cfg.mesh)
    with pytest.raises(errors.BadInput, match=re.escape(where)):
        frozen_cache.table(damaged, mesh, state)
    table = frozen_cache.table(tiny.with_data(damaged, skip_corrupt=True), mesh, state)
    empty = ~table.reshape(len(table), -1).any(1)
    assert np.flatnonzero(empty).tolist() == [3]


def test_runs_that_cannot_cache_are_refused(cfg):
    cached = dataclasses.replace(cfg, cache_frozen=True)
    shown = config.load("asl_alphabet_resnet50").augmentation
    with pytest.raises(ValueError, match="augmentation shows every image anew"):
        frozen_cache.config(dataclasses.replace(cached, augmentation=shown))
    with pytest.raises(ValueError, match="for images of one data set"):
        frozen_cache.config(tiny.cfg(pathlib.Path("none")))
    first = dataclasses.replace(cached, model=resnet.Config(trainable_from="conv1_conv"))
    batch = {"image": jnp.zeros((8, 32, 32, 3), "u1")}
    with pytest.raises(ValueError, match="trains its first layer"):
        jax.eval_shape(lambda: frozen_cache.outputs(first, opening.network(first), batch))
    plain = config.load("asl_alphabet_cnn")
    batch = {"image": jnp.zeros((8, 100, 100, 3), "u1")}
    with pytest.raises(ValueError, match="no layer of this network is frozen"):
        jax.eval_shape(lambda: frozen_cache.outputs(plain, opening.network(plain), batch))
