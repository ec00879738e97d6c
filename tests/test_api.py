"""The five functions of `aslx`, which the commands call too."""

import pathlib

import jax
import numpy as np
import pytest

import aslx
from aslx import errors, sharding
from aslx.export import exporting
from aslx.schema import landmarks
from tests import processes, tiny

MESH = sharding.Config(cpu_devices=8)  # The number that JAX has started with.
IMPORT = """
import sys, aslx
assert not {'jax', 'numpy', 'tyro'} & set(sys.modules)
assert set(aslx.__all__) <= set(dir(aslx)) and len(aslx.__all__) == 5
assert not hasattr(aslx, 'nothing')
"""


def test_importing_aslx_imports_no_library_and_offers_five_functions():
    processes.run(processes.python("-c", IMPORT)).succeeded()
    for name in aslx.__all__:
        assert getattr(aslx, name).__name__ == name and getattr(aslx, name).__doc__


@pytest.fixture(scope="module")
def workdir(dataset, tmp_path_factory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("api") / "run"
    scores, ended = aslx.train_run(tiny.cfg(dataset, epochs=1, mesh=MESH), workdir)
    assert ended and scores["score"] <= 1
    return workdir


@pytest.fixture(scope="module")
def exported(workdir) -> exporting.Exported:
    return aslx.export_run(workdir, options=exporting.Options(clips=0))


CLIPS = {
    7: tiny.clip(np.random.default_rng(0), "abc", 20),
    9: np.full((5, 130, 3), np.nan, np.float32),
}


@pytest.mark.long
def test_training_stops_when_it_is_told_to_and_resumes(dataset, tmp_path):
    cfg = tiny.cfg(dataset, epochs=1, mesh=MESH)
    _, ended = aslx.train_run(cfg, tmp_path / "run", stop=lambda step: step == 2)
    assert not ended
    scores, ended = aslx.train_run(cfg, tmp_path / "run")
    assert ended and scores["score"] <= 1
    with pytest.raises(errors.BadInput, match="a run of another config"):
        aslx.train_run(tiny.cfg(dataset, epochs=1, seed=3, mesh=MESH), tmp_path / "run")


def test_training_refuses_another_number_of_devices_than_jax_started_with(dataset, tmp_path):
    there, mesh = jax.device_count(), sharding.Config(cpu_devices=4)
    with pytest.raises(errors.BadInput, match=f"has started with {there} CPU devices"):
        aslx.train_run(tiny.cfg(dataset, mesh=mesh), tmp_path / "run")


@pytest.mark.long
def test_a_run_and_its_export_read_files_and_arrays_alike(workdir, exported, tmp_path):
    tiny.parquet(tmp_path / "clips.parquet", CLIPS)
    assert exported.folder == workdir / "export" and exported.file == "submission.zip"
    run, export = aslx.open_run(workdir), aslx.open_export(workdir / "export")
    assert export.about.step == run.step == exported.report["step"]
    selected = CLIPS[7][:, tiny.SELECTION.indices(*tiny.selection(run.cfg).points)]
    every = np.full((20, 543, 3), np.nan, np.float32)
    every[:, landmarks.ALL.indices(*tiny.SELECTION.points)] = CLIPS[7]
    texts = set()
    for model in (run, export):
        first, blank = aslx.read(model, tmp_path / "clips.parquet")
        assert (first.name, blank.name) == (7, 9)
        assert np.array_equal(first.clip, selected, equal_nan=True)
        assert blank.answer is None and blank.text == "" == blank.report["text"]
        for array in (selected, every):
            (alone,) = aslx.read(model, array)
            assert alone.text == first.text and alone.name is None
        texts.add(first.text)
    assert len(texts) == 1


def test_input_that_a_model_cannot_read_is_refused(workdir, exported, tmp_path):
    for model in (aslx.open_run(workdir), aslx.open_export(exported.folder)):
        with pytest.raises(errors.BadInput, match=r"shape \(5, 9, 3\): this model reads \[T, 42"):
            aslx.read(model, np.zeros((5, 9, 3)))
        (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
        with pytest.raises(errors.BadInput, match="is a NumPy array, and this model reads"):
            aslx.read(model, tmp_path / "x.npy")
    for open_it in (aslx.open_run, aslx.open_export):
        with pytest.raises(errors.BadInput):
            open_it(tmp_path / "nothing")
