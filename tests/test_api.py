"""The five functions of `aslx`: they are what the commands call."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

import aslx
from aslx import errors, sharding
from aslx.export import exporting
from aslx.schema import landmarks
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
MESH = sharding.Config(cpu_devices=8)  # As many as the tests have: JAX may have started.


def test_an_import_of_aslx_imports_no_library_and_names_five_functions():
    code = (
        "import sys, aslx\n"
        "assert not {'jax', 'numpy', 'tyro'} & set(sys.modules)\n"
        "assert set(aslx.__all__) <= set(dir(aslx)) and len(aslx.__all__) == 5\n"
        "assert not hasattr(aslx, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
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


@pytest.fixture(scope="module")
def clips() -> dict[int, np.ndarray]:
    rng = np.random.default_rng(0)
    return {7: tiny.clip(rng, "abc", 20), 9: np.full((5, 130, 3), np.nan, np.float32)}


@pytest.fixture(scope="module")
def parquet(clips, tmp_path_factory) -> pathlib.Path:
    columns = list(tiny.SELECTION.columns)
    tables = [
        pd.DataFrame(
            landmarks.columns(clip), pd.Index([i] * len(clip), name="sequence_id"), columns
        )
        for i, clip in clips.items()
    ]
    path = tmp_path_factory.mktemp("parquet") / "clips.parquet"
    pd.concat(tables).to_parquet(path)
    return path


def test_a_run_is_resumed_and_stops_when_it_is_told_to(dataset, tmp_path):
    cfg = tiny.cfg(dataset, epochs=1, mesh=MESH)
    _, ended = aslx.train_run(cfg, tmp_path / "run", stop=lambda step: step == 2)
    assert not ended
    scores, ended = aslx.train_run(cfg, tmp_path / "run")
    assert ended and scores["score"] <= 1
    with pytest.raises(errors.BadInput, match="a run of another config"):
        aslx.train_run(tiny.cfg(dataset, epochs=1, seed=3, mesh=MESH), tmp_path / "run")


def test_training_says_that_jax_has_started_otherwise(dataset, tmp_path):
    there, mesh = jax.device_count(), sharding.Config(cpu_devices=4)
    with pytest.raises(errors.BadInput, match=f"has started with {there} CPU devices"):
        aslx.train_run(tiny.cfg(dataset, mesh=mesh), tmp_path / "run")


def test_a_run_and_its_export_read_the_same_in_a_file_and_in_an_array(
    workdir, exported, clips, parquet
):
    assert exported.folder == workdir / "export" and exported.file == "submission.zip"
    run, export = aslx.open_run(workdir), aslx.open_export(workdir / "export")
    assert export.about.step == run.step == exported.report["step"]
    mine = clips[7][:, tiny.SELECTION.indices(*run.source.selection.points)]
    every = np.full((20, 543, 3), np.nan, np.float32)
    every[:, landmarks.ALL.indices(*tiny.SELECTION.points)] = clips[7]
    texts = set()
    for model in (run, export):
        first, blank = aslx.read(model, parquet)
        assert (first.name, blank.name) == (7, 9)
        assert np.array_equal(first.clip, mine, equal_nan=True)
        assert blank.answer is None and blank.text == "" == blank.report["text"]
        for array in (mine, every):
            (alone,) = aslx.read(model, array)
            assert alone.text == first.text and alone.name is None
        texts.add(first.text)
    assert len(texts) == 1


def test_what_a_model_does_not_read_is_bad_input(workdir, exported, tmp_path):
    for model in (aslx.open_run(workdir), aslx.open_export(exported.folder)):
        with pytest.raises(errors.BadInput, match=r"shape \(5, 9, 3\): this model reads \[T, 42"):
            aslx.read(model, np.zeros((5, 9, 3)))
        (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
        with pytest.raises(errors.BadInput, match="is an array of numpy, and this model reads"):
            aslx.read(model, tmp_path / "x.npy")
    for open_it in (aslx.open_run, aslx.open_export):
        with pytest.raises(errors.BadInput):
            open_it(tmp_path / "nothing")
