"""A run in a tracker of experiments: what it is told, resuming, failing, and ids that are gone."""

import json
import os
import pathlib
import sqlite3
import sys
from collections.abc import Iterator

import pytest

from aslx import errors
from aslx.export import __main__ as export
from aslx.runs import tracking
from aslx.train import logs
from tests import processes, tiny

pytestmark = pytest.mark.long

UNKNOWN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module", autouse=True)
def there(tmp_path_factory) -> Iterator[pathlib.Path]:
    """The folder that each tracker writes to, empty at first: the working directory."""
    place = tmp_path_factory.mktemp("trackers")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(place)
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")
        yield place


def trained(train, dataset, workdir: pathlib.Path, kind: str, epochs: int) -> str:
    """Trains with a tracker, or goes on; returns the tracker's id of the run."""
    config = tiny.config_file(workdir.with_suffix(".py"), dataset, tiny.small, epochs=epochs)
    train("--config", config, "--workdir", workdir, "--track", kind).succeeded()
    (id,) = json.loads((workdir / tracking.NAME).read_text()).values()
    return id


def test_a_run_in_wandb_has_numbers_figures_and_samples_and_goes_on_when_it_resumes(
    train, dataset, tmp_path, there
):
    id = trained(train, dataset, tmp_path / "run", "wandb", 1)
    assert trained(train, dataset, tmp_path / "run", "wandb", 2) == id
    found = sorted(there.glob(f"wandb/offline-run-*-{id}"))
    assert len(found) == 2  # `wandb sync` joins them: they have one id.
    for folder in found:
        lines = (folder / f"run-{id}.wandb").read_bytes()
        for name in (b"eval_loss", b"score", b"seq_per_s", b"plots/loss", b"samples", b"peak_lr"):
            assert name in lines, name
        assert list((folder / "files" / "media" / "images" / "plots").glob("loss_*.png"))


class Full:
    """A tracker whose disk is full."""

    id = "1"

    def __init__(self):
        self.closed: list[bool] = []

    def scalars(self, step: int, values: dict[str, float]) -> None:
        with open("/dev/full", "w") as f:
            f.write(f"{step} {values}")

    def image(self, step: int, name: str, picture) -> None:
        self.scalars(step, {name: picture.width})

    def text(self, step: int, name: str, text: str) -> None:
        self.scalars(step, {name: len(text)})

    def exported(self, folder: pathlib.Path) -> None:
        self.scalars(0, {folder.name: 0})

    def close(self, ended: bool) -> None:
        self.closed.append(ended)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on_to_its_end(tmp_path, caplog):
    backend = Full()
    tracker = tracking.Tracker("full", backend)
    with logs.Log(tmp_path, start=0, steps=3, tracker=tracker) as log:
        for i in range(1, 4):
            log.write(i, {"loss": 1 / i})
            log.samples(i, ["target"], ["prediction"])
    tracker.close(True)
    assert backend.closed == [True] and len(logs.read(tmp_path / "metrics.jsonl")) == 3
    (record,) = caplog.records
    assert record.message.startswith("full failed, going on without it: OSError: [Errno 28]")


@pytest.fixture(scope="module")
def client(there):
    from mlflow import tracking as mlflow_tracking

    del there
    return mlflow_tracking.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])


@pytest.mark.slow
def test_a_run_in_mlflow_has_all_and_goes_on_when_it_resumes_unless_its_id_is_gone(
    train, dataset, tmp_path, there, client
):
    id = trained(train, dataset, tmp_path / "run", "mlflow", 1)
    before = client.get_metric_history(id, "loss")
    assert trained(train, dataset, tmp_path / "run", "mlflow", 2) == id
    found = client.get_run(id)
    assert found.info.status == "FINISHED" and found.data.params["optim.peak_lr"] == "0.001"
    steps = [metric.step for metric in client.get_metric_history(id, "loss")]
    assert len(steps) > len(before) > 1 and steps == sorted(steps)
    assert "score" in found.data.metrics
    names = {file.path for folder in (None, "plots") for file in client.list_artifacts(id, folder)}
    assert {"config.json", "samples", "plots/loss.png", "plots/score.png"} <= names

    client.delete_run(id)
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    words = ("--config", tmp_path / "run.py", "--workdir", tmp_path / "run", "--track", "mlflow")
    for gone in (id, UNKNOWN):
        (tmp_path / "run" / tracking.NAME).write_text(json.dumps({"mlflow": gone}))
        refusal = train(*words, "--epochs", 3).err.splitlines()[-1]
        assert f"mlflow's run {gone}" in refusal and "is not in sqlite:///" in refusal
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == lines


@pytest.mark.slow
def test_mlflow_whose_store_breaks_is_named_once(tmp_path, there, client, caplog):
    with tracking.opened("mlflow", tmp_path, {"seed": 1}) as tracker:
        tracker.scalars(1, {"loss": 2.0, "name": "no number"})
    with sqlite3.connect(there / "mlflow.db") as store:
        store.execute("ALTER TABLE metrics RENAME TO kept")
    try:
        with tracking.opened("mlflow", tmp_path, {"seed": 1}) as tracker:
            for i in range(4):
                tracker.scalars(i, {"loss": 1.0})
                tracker.samples(i, "target")
    finally:
        with sqlite3.connect(there / "mlflow.db") as store:
            store.execute("ALTER TABLE kept RENAME TO metrics")
    (record,) = (r for r in caplog.records if r.name == "aslx")
    assert record.message.startswith("mlflow failed, going on without it: MlflowException")
    runs = client.search_runs([client.get_experiment_by_name("aslx").experiment_id])
    assert any(run.info.status == "FINISHED" and run.data.metrics == {"loss": 2.0} for run in runs)


@pytest.mark.slow
def test_a_run_in_aim_has_all_and_goes_on_when_it_resumes_unless_its_id_is_gone(
    train, dataset, tmp_path, there
):
    aim = pytest.importorskip("aim")
    id = trained(train, dataset, tmp_path / "run", "aim", 1)
    assert trained(train, dataset, tmp_path / "run", "aim", 2) == id
    # As `aim up` does, which shows the runs.
    processes.run(
        [pathlib.Path(sys.executable).with_name("aim"), "storage", "reindex", "-y"], there
    )
    run = aim.Repo(str(there)).get_run(id)
    names = {metric.name for metric in run.metrics()}
    assert {"loss", "score"} <= names and run["config", "optim", "peak_lr"] == 0.001
    (tmp_path / "run" / tracking.NAME).write_text(json.dumps({"aim": UNKNOWN[:24]}))
    with (
        pytest.raises(errors.BadInput, match=f"aim's run {UNKNOWN[:24]} .* is not in "),
        tracking.opened("aim", tmp_path / "run", {}),
    ):
        raise AssertionError


def test_an_export_for_a_tracker_that_has_no_run_is_refused_at_once(run, tmp_path):
    words = ("--workdir", tmp_path, "--track", "mlflow")
    assert "tracked.json names no run of mlflow: train with --track" in run(export, *words).err


@pytest.mark.slow
def test_an_export_goes_to_the_tracked_run(run, train, dataset, tmp_path, there, client):
    id = trained(train, dataset, tmp_path / "run", "mlflow", 1)
    words = ("--workdir", tmp_path / "run", "--clips", 0, "--track", "mlflow")
    assert f"given to mlflow: its run {id}" in run(export, *words).succeeded()
    names = {file.path for file in client.list_artifacts(id, "export")}
    assert {"export/model.tflite", "export/model.json"} <= names


@pytest.mark.parametrize("held", ['{"mlflow": 7}', "[]", "{", '{"wandb": ""}'])
def test_a_damaged_note_of_ids_is_refused(tmp_path, held):
    (tmp_path / tracking.NAME).write_text(held)
    with pytest.raises(errors.BadInput, match=r"tracked\.json"):
        tracking.noted(tmp_path)
