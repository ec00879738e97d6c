"""Checkpoints: whole or passed over, whatever happened to their files; none is ever lost."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import layout

from aslx import errors
from aslx.checkpoints import checkpoint, checkpoint_list, stored
from aslx.storage import checksums
from tests import processes, trees

STEPS = (2, 4, 6)


def state(step: int) -> dict[str, jax.Array]:
    """Weights that no compression makes smaller, so that decoders find no flipped bit in them."""
    weights = np.random.default_rng(step).normal(size=(40, 50)).astype(np.float32)
    return {"weights": jnp.array(weights), "step": jnp.array(step, jnp.int32)}


ABSTRACT = jax.eval_shape(lambda: state(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    """States that their step decides; the newest two, and the best, are kept."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    save(directory, {step: 1 / step for step in STEPS})
    return directory


@pytest.fixture
def copy(saved, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def save(directory: pathlib.Path, scores: dict[int, float | None]) -> None:
    with checkpoint.Checkpoints(directory) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, state(step), checkpoint.Progress(stale=step), score)


def restored(directory: pathlib.Path) -> int | None:
    """The step of the state that a training would go on from."""
    with checkpoint.Checkpoints(directory) as checkpoints:
        found = checkpoints.restore_latest(ABSTRACT)
    if found is None:
        return None
    values, progress = found
    step = int(values["step"])
    assert step in STEPS and progress.stale == step
    np.testing.assert_array_equal(values["weights"], state(step)["weights"])
    return step


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: pathlib.Path) -> None:
    damaged = bytearray(path.read_bytes())
    if damaged:
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)


def in_checkpoint(directory: pathlib.Path) -> list[pathlib.Path]:
    return [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("damage", [cut, flip, pathlib.Path.unlink])
def test_a_damaged_file_costs_a_checkpoint_and_never_a_run(saved, tmp_path, damage, summed, caplog):
    found = {}
    for i, name in enumerate(in_checkpoint(saved / "6")):
        copy = pathlib.Path(shutil.copytree(saved, tmp_path / str(i)))
        if not summed:
            for step in STEPS:
                (copy / str(step) / checksums.NAME).unlink()
            if name.name == checksums.NAME:
                continue
        before = trees.contents(copy)
        damage(copy / "6" / name)
        if not summed and damage is flip and found_by_checksums_alone(name, before):
            continue
        damaged = trees.contents(copy)
        found[name.as_posix()] = restored(copy)
        after = trees.contents(copy)
        if found[name.as_posix()] != 6:
            moved = {k.replace("6/", "damaged-6/", 1) if k[0] == "6" else k for k in damaged}
            assert set(after) == moved, name
        else:
            assert after == damaged, name
    assert 4 in found.values() and None not in found.values()
    if summed and damage is flip:
        assert set(found.values()) == {4}
    for warning in caplog.records:
        if warning.name == "aslx":
            assert len(warning.getMessage()) < 500 and "damaged-6" in warning.getMessage()


def found_by_checksums_alone(name: pathlib.Path, before: dict[str, bytes]) -> bool:
    """Whether a file holds arrays, or names and numbers of which every value is a valid one."""
    largest = max((k for k in before if k.startswith("6/")), key=lambda k: len(before[k]))
    return f"6/{name.as_posix()}" == largest or name.name == "_CHECKPOINT_METADATA"


def test_no_flipped_bit_of_a_checkpoint_is_silent(copy):
    rng = np.random.default_rng(0)
    one = stored.Stored(copy / "6")
    assert one.summed()
    for name in in_checkpoint(copy / "6"):
        if name.name == checksums.NAME:
            continue
        clean = (copy / "6" / name).read_bytes()
        for _ in range(20):
            damaged = bytearray(clean)
            damaged[rng.integers(len(clean))] ^= 1 << int(rng.integers(8))
            (copy / "6" / name).write_bytes(damaged)
            with pytest.raises(stored.Damaged, match=r"6.* is damaged"):
                stored.Stored(copy / "6").summed()
        (copy / "6" / name).write_bytes(clean)


def test_where_all_checkpoints_are_damaged_the_run_does_not_begin_anew(copy):
    for step in STEPS:
        flip(copy / str(step) / "_CHECKPOINT_METADATA")
    names = {path.name for path in copy.iterdir()}
    for _ in range(2):
        with pytest.raises(errors.BadInput, match=r"damaged checkpoints and no others: remove"):
            restored(copy)
    assert {path.name for path in copy.iterdir()} == {f"damaged-{name}" for name in names}


def test_what_is_set_aside_twice_is_kept_twice(copy):
    (copy / "damaged-6").mkdir()
    (copy / "damaged-6" / "old").write_text("old")
    flip(copy / "6" / "state" / "manifest.ocdbt")
    assert restored(copy) == 4
    assert (copy / "damaged-6" / "old").exists() and (copy / "damaged-6-2" / "state").is_dir()


def test_a_checkpoint_that_may_not_be_read_stays_and_ends_the_run(saved):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(shutil.copytree(saved, pathlib.Path(folder) / "checkpoints"))
        for path in (pathlib.Path(folder), copy, *copy.rglob("*")):
            path.chmod(0o777)
        before = trees.contents(copy)
        for name in in_checkpoint(copy / "6"):
            (copy / "6" / name).chmod(0)
            with processes.unprivileged(), pytest.raises(errors.BadInput, match="may not be used"):
                restored(copy)
            (copy / "6" / name).chmod(0o777)
        (copy / "6" / "state").chmod(0)
        with processes.unprivileged(), pytest.raises(errors.BadInput, match="may not be used"):
            restored(copy)
        (copy / "6" / "state").chmod(0o777)
        copy.chmod(0)
        with processes.unprivileged(), pytest.raises(errors.BadInput, match="may not be used"):
            restored(copy)
        copy.chmod(0o777)
        assert trees.contents(copy) == before


def test_a_disk_that_fails_costs_no_checkpoint(copy):
    before = trees.contents(copy)
    for name in in_checkpoint(copy / "6"):
        path, aside = copy / "6" / name, copy.parent / "aside"
        path.rename(aside)
        path.symlink_to("/proc/self/mem")  # Whose first byte is an input/output error to read.
        with pytest.raises(OSError, match=r"Input/output error: '.*/6'") as failed:
            restored(copy)
        assert errors.is_temporary(failed.value)
        path.unlink()
        aside.rename(path)
    assert trees.contents(copy) == before


OTHERS = {
    "6 has no renamed": {"renamed": jnp.zeros(3)},
    r"weights is float32\[40, 50\], and the network of the config has float32\[40, 60\]": {
        "weights": jnp.zeros((40, 60))
    },
    r"weights is float32\[40, 50\], and .* has bfloat16\[40, 50\]": {
        "weights": jnp.zeros((40, 50), jnp.bfloat16)
    },
}


@pytest.mark.parametrize("message", OTHERS)
def test_a_checkpoint_of_another_network_is_named_and_stays(copy, message):
    before = trees.contents(copy)
    other = jax.eval_shape(lambda: OTHERS[message] | {"step": state(0)["step"]})
    with checkpoint.Checkpoints(copy) as checkpoints:
        with pytest.raises(stored.OtherNetwork, match=message):
            checkpoints.restore_latest(other)
        assert checkpoints.steps == [2, 4, 6]
    assert trees.contents(copy) == before


def test_progress_of_another_version_ends_the_run(copy):
    path = copy / "6" / "_CHECKPOINT_METADATA"
    noted = json.loads(path.read_text())
    del noted["custom_metadata"]["salt"]
    path.write_text(json.dumps(noted))
    (copy / "6" / checksums.NAME).unlink()
    before = trees.contents(copy)
    with pytest.raises(errors.BadInput, match="6 does not say salt: another version"):
        restored(copy)
    assert trees.contents(copy) == before


def test_a_locale_that_cannot_spell_the_folder_costs_no_checkpoint(saved, tmp_path):
    copy = pathlib.Path(shutil.copytree(saved, tmp_path / "läuf"))
    before = trees.contents(copy)
    code = """
import sys
from aslx import cli
from aslx.checkpoints import checkpoint, checkpoint_list
for opened in checkpoint.Checkpoints, checkpoint_list.best:
    try:
        cli.run(lambda: opened(sys.argv[1]))
    except SystemExit as ended:
        assert ended.code == 2
"""
    unspeakable = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, copy]
    done = subprocess.run(command, env=unspeakable, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(": ")[2] for line in done.stderr.splitlines()] == [
        "set PYTHONUTF8=1, or LC_ALL=C.UTF-8"
    ] * 2
    assert trees.contents(copy) == before


def test_what_a_user_keeps_beside_checkpoints_stays(copy):
    ours = trees.contents(copy)
    (copy / ".DS_Store").write_bytes(b"\0")
    (copy / "notes.txt").write_text("best so far: 2")
    (copy / "8").write_text("a file, and no checkpoint")
    for name in ("26 (copy)", "old", "07", "-1", "mine.orbax-checkpoint-tmp", "6.bak"):
        (copy / name / "metrics").mkdir(parents=True)
        (copy / name / "metrics" / "metrics").write_text("no JSON")
    theirs = trees.contents(copy)
    assert restored(copy) == 6
    assert trees.contents(copy) == theirs
    save(copy, {10: None, 12: None})
    kept = trees.contents(copy)
    assert {name: kept[name] for name in set(theirs) - set(ours)} == {
        name: theirs[name] for name in set(theirs) - set(ours)
    }


def test_what_a_save_or_a_removal_left_is_removed_by_the_next_training(copy):
    for name in ("8.orbax-checkpoint-tmp", "3.orbax-checkpoint-tmp-removed"):
        (copy / name / "state").mkdir(parents=True)
    assert checkpoint_list.best(copy)[0].step == 2
    assert (copy / "8.orbax-checkpoint-tmp").exists()
    assert restored(copy) == 6
    assert sorted(path.name for path in copy.iterdir()) == ["2", "4", "6"]


def test_the_best_and_the_last_two_are_kept(saved):
    with checkpoint.Checkpoints(saved) as checkpoints:
        assert checkpoints.steps == [2, 4, 6]
    assert sorted(path.name for path in saved.iterdir()) == ["2", "4", "6"]


def test_a_checkpoint_that_a_link_leads_to_is_superseded_as_another(copy):
    (copy / "4").rename(copy.parent / "elsewhere")
    (copy / "4").symlink_to(copy.parent / "elsewhere")
    save(copy, {8: 0.0, 10: 0.0})
    assert sorted(path.name for path in copy.iterdir()) == ["10", "2", "8"]
    assert (copy.parent / "elsewhere" / "state").is_dir()


@pytest.mark.parametrize(
    ("scores", "kept", "best"),
    [
        ((0.5, "nan", 0.1, 0.2, 0.3), [1, 4, 5], 1),
        (("nan", 0.2, 0.1, 0.1, 0.1), [2, 4, 5], 2),
        (("nan", "nan", "nan", "nan"), [3, 4], 4),
        ((0.5, "nan"), [1, 2], 1),
        ((0.3, 0.3, 0.3, None), [1, 3, 4], 1),
    ],
)
def test_a_score_that_is_no_number_is_never_the_best(tmp_path, scores, kept, best):
    noted = {i + 1: score and float(score) for i, score in enumerate(scores)}
    save(tmp_path / "checkpoints", noted)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == kept
    assert checkpoint_list.best(tmp_path / "checkpoints")[0].step == best
    # A training that goes on knows it too.
    save(tmp_path / "checkpoints", {8: None, 9: None})
    expected = [8, 9] if noted[best] is None or np.isnan(noted[best]) else [best, 8, 9]
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == expected


def test_the_last_sound_state_is_kept_and_a_run_goes_back_to_it(tmp_path):
    with checkpoint.Checkpoints(tmp_path / "some") as checkpoints:
        for step in range(1, 8):  # The best is the first, and no evaluation after 3 is sound.
            score, sound = -float(step), step == 3
            checkpoints.save(step, state(step), checkpoint.Progress(), score, sound)
        assert checkpoints.steps == [1, 3, 6, 7]
    with checkpoint.Checkpoints(tmp_path / "some") as checkpoints:
        checkpoints.save(8, state(8), checkpoint.Progress())
        checkpoints.back_to_sound()
        assert checkpoints.steps == [1, 3]
        found = checkpoints.restore_latest(ABSTRACT)
        assert found and int(found[0]["step"]) == 3
        checkpoints.save(8, state(8), checkpoint.Progress())
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["1", "3", "8"]
    with checkpoint.Checkpoints(tmp_path / "none") as checkpoints:
        checkpoints.save(2, state(2), checkpoint.Progress(), 1.0)
        checkpoints.back_to_sound()
        assert checkpoints.restore_latest(ABSTRACT) is None


def test_a_state_that_a_device_must_copy_is_saved_where_transfers_are_refused(tmp_path):
    # A CPU hands an array of this layout over as an accelerator hands over any: by a copy.
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    transposed = layout.Format(layout.Layout((1, 0)), sharding)
    weights = jax.device_put(jnp.arange(2000.0).reshape(40, 50), transposed)
    step = state(2)["step"]
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with jax.transfer_guard("disallow"):
            checkpoints.save(2, {"weights": weights, "step": step}, checkpoint.Progress())
        checkpoints.wait()
    found = stored.Stored(tmp_path / "2").restore(ABSTRACT)
    np.testing.assert_array_equal(found["weights"], weights)


SAID = "Path is not a directory: checkpoints/2"
REFUSED = "PERMISSION_DENIED: [os_error_code='13']"


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (NotADirectoryError(SAID), errors.Unavailable),
        (ValueError(SAID), errors.Unavailable),
        (ValueError(REFUSED), ValueError),
        (PermissionError(13, "Permission denied"), PermissionError),
    ],
)
def test_what_orbax_says_where_the_system_failed_is_a_fault_of_storage(
    said, raised, tmp_path, monkeypatch
):
    """It takes an error of stat(2) for a path that is no folder, or that is not there."""

    class Failed:
        def result(self):
            raise said

    save_async = "orbax.checkpoint.v1.training.Checkpointer.save_async"
    monkeypatch.setattr(save_async, lambda *args, **named: Failed())
    with pytest.raises(raised) as caught:
        save(tmp_path / "checkpoints", {2: None})
    assert type(caught.value) is raised and str(said) in str(caught.value)
