"""The choice among the checkpoints of a run, beside a training that saves and removes them."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import pytest

from aslx import config, errors
from aslx.checkpoints import checkpoint, checkpoint_list
from aslx.predict import __main__ as predict
from tests import tiny, trees

ABSTRACT = jax.eval_shape(lambda: {"step": jnp.int32(0)})


@pytest.fixture
def directory(tmp_path) -> pathlib.Path:
    """Step 1 has the best score."""
    with checkpoint.Checkpoints(tmp_path / "checkpoints") as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, {"step": jnp.int32(step)}, checkpoint.Progress(), 1 / step)
    return tmp_path / "checkpoints"


def read(directory: pathlib.Path, choose=checkpoint_list.best) -> int:
    steps, states = checkpoint_list.read(lambda: choose(directory), ABSTRACT)
    assert [int(state["step"]) for state in states] == steps
    return steps[-1]


def test_the_best_is_read_and_nothing_is_changed(directory):
    (directory / "4.orbax-checkpoint-tmp").mkdir()
    (directory / "4.orbax-checkpoint-tmp" / "part").write_text("being written")
    before = trees.contents(directory)
    assert read(directory) == 1
    assert trees.contents(directory) == before


@pytest.mark.parametrize("text", ["", '{"score": 0.', "[0.5]", '{"score": null}'])
def test_a_score_that_is_half_written_is_passed_over(directory, text, caplog):
    (directory / "1" / "metrics" / "metrics").write_text(text)
    before = trees.contents(directory)
    assert read(directory) == 2
    assert trees.contents(directory) == before
    assert "passed over: " in caplog.text and "1/metrics/metrics is damaged" in caplog.text


def test_another_is_chosen_where_one_is_removed_while_it_is_read(directory):
    def choose(directory):
        chosen = checkpoint_list.best(directory)
        if chosen[0].step < 3:
            shutil.rmtree(chosen[0].path)
        return chosen

    assert read(directory, choose) == 3


def test_a_run_whose_checkpoints_are_always_removed_is_given_up(directory):
    def choose(directory):
        (again,) = checkpoint_list.best(directory)
        again.path.rename(directory / str(again.step + 1))
        return [again]

    shutil.rmtree(directory / "2")
    shutil.rmtree(directory / "3")
    with pytest.raises(errors.Unavailable, match="removed 10 times while they were read"):
        read(directory, choose)


def test_a_run_without_a_checkpoint_says_so_in_one_line(tmp_path, run):
    workdir, command = tmp_path / "run", (predict, "--workdir", tmp_path / "run", "any.parquet")
    config.save(tiny.cfg(tmp_path), workdir / "config.json")
    line = f"error: {workdir}/checkpoints holds no checkpoint yet: train first\n"
    assert run(*command).refusal() == line
    assert not (workdir / "checkpoints").exists()
    (workdir / "checkpoints" / "1.orbax-checkpoint-tmp").mkdir(parents=True)
    assert run(*command).refusal() == line
    assert (workdir / "checkpoints" / "1.orbax-checkpoint-tmp").is_dir()
