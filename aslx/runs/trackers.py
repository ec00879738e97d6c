"""Runs of Weights & Biases, MLflow and Aim. Where they are kept is said as their users say it: in
WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, or by `aim init`."""

import html
import logging
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import aslx
from aslx import errors
from aslx.runs import tracking
from aslx.storage import files

_PROJECT = "aslx"
# They would tell their makers of every run.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}


def begin(
    kind: tracking.Kind, id: str, ours: str, workdir: files.Path, config: dict[str, Any] | None
) -> tracking.Backend:
    """The run of an id, named `ours` in errors, or with "" a new one; a `config` is written to it.

    BadInput where there is none of that id, Unavailable where the tracker does not answer."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    backend = {"wandb": _WandB, "mlflow": _MLflow, "aim": _Aim}[kind]
    return backend(id, ours, workdir, config)


def _gone(ours: str, where: str) -> errors.BadInput:
    return errors.BadInput(
        f"{ours} is not in {where}: name the place where it is, or remove {tracking.NAME} to begin "
        "a new one"
    )


class _WandB:
    def __init__(self, id: str, ours: str, workdir: files.Path, config: dict[str, Any] | None):
        import wandb
        from wandb import errors as faults

        self._wandb = wandb
        project = os.environ.get("WANDB_PROJECT", _PROJECT)
        offline = os.environ.get("WANDB_MODE") == "offline"
        try:
            self._run = wandb.init(
                project=project,
                name=workdir.name,
                id=id or None,
                # Offline there is nothing to look in; `wandb sync` joins what has one id.
                resume="must" if id and not offline else None,
                config=config,
                settings=wandb.Settings(console="off", silent=True),
            )
        except faults.UsageError as error:
            if id and "exist" in str(error):
                raise _gone(ours, f"project {project}") from error
            raise errors.BadInput(f"--track wandb: {error}") from error
        except faults.AuthenticationError as error:
            raise errors.BadInput(f"--track wandb: {error}: run `wandb login` first") from error
        except faults.CommError as error:
            raise errors.Unavailable(f"--track wandb: {error}") from error
        self.id = self._run.id
        if config:
            self._run.config.update(config | {"aslx": aslx.__version__}, allow_val_change=True)
        # A resumed run does some steps again, and W&B's own step never goes back.
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._run.log({"step": step} | values)

    def image(self, step: int, name: str, picture: Any) -> None:
        self._run.log({"step": step, f"plots/{name}": self._wandb.Image(picture)})

    def text(self, step: int, name: str, text: str) -> None:
        page = self._wandb.Html(f"<pre>{html.escape(text)}</pre>", inject=False)
        self._run.log({"step": step, name: page})

    def exported(self, folder: pathlib.Path) -> None:
        artifact = self._wandb.Artifact(f"export-{self.id}", "model")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)

    def close(self, ended: bool) -> None:
        self._run.finish(exit_code=0 if ended else 1)


class _MLflow:
    def __init__(self, id: str, ours: str, workdir: files.Path, config: dict[str, Any] | None):
        import mlflow

        self._client = mlflow.MlflowClient()
        try:
            self.id = id or self._new(workdir)
            if self._client.get_run(self.id).info.lifecycle_stage == "deleted":
                raise _gone(ours, mlflow.get_tracking_uri())
            self._client.update_run(self.id, status="RUNNING")
        except mlflow.MlflowException as error:
            if id and error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise _gone(ours, mlflow.get_tracking_uri()) from error
            refused = error.error_code in ("PERMISSION_DENIED", "UNAUTHENTICATED")
            kind = errors.BadInput if refused else errors.Unavailable
            raise kind(f"--track mlflow: {mlflow.get_tracking_uri()}: {error}") from error
        if config:
            self._client.log_dict(self.id, config, "config.json")
        if config and not id:  # A parameter never changes, and a run may grow by epochs.
            for name, value in _flat(config):
                self._client.log_param(self.id, name, value)

    def _new(self, workdir: files.Path) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        tags = {"aslx": aslx.__version__, "workdir": str(workdir)}
        run = self._client.create_run(experiment, run_name=workdir.name, tags=tags)
        return run.info.run_id

    def scalars(self, step: int, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1e3)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def image(self, step: int, name: str, picture: Any) -> None:
        self._client.log_image(self.id, picture, artifact_file=f"plots/{name}.png")

    def text(self, step: int, name: str, text: str) -> None:
        self._client.log_text(self.id, text, f"{name}/{step}.txt")

    def exported(self, folder: pathlib.Path) -> None:
        self._client.log_artifacts(self.id, str(folder), "export")

    def close(self, ended: bool) -> None:
        self._client.set_terminated(self.id, "FINISHED" if ended else "FAILED")


class _Aim:
    def __init__(self, id: str, ours: str, workdir: files.Path, config: dict[str, Any] | None):
        import aim  # pyright: ignore[reportMissingImports]

        # It warns of other writers: the run directory has one.
        logging.getLogger("aim.sdk.lock_manager").setLevel(logging.ERROR)
        self._aim = aim
        self._repo = repo = aim.Repo.default_repo(init=True)
        if id and id not in repo.list_all_runs():
            raise _gone(ours, repo.path)
        self._run = aim.Run(
            id or None,
            repo=repo,
            experiment=_PROJECT,
            force_resume=bool(id),  # A training that was killed holds it still.
            system_tracking_interval=None,
            capture_terminal_logs=False,
        )
        self.id = self._run.hash
        self._run.name = workdir.name
        if not self._run.artifacts_uri:
            self._run.set_artifacts_uri(pathlib.Path(repo.path, "artifacts").as_uri())
        if config:
            self._run["config"] = config
            self._run["aslx"] = aslx.__version__

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._run.track(value, name=name, step=step)

    def image(self, step: int, name: str, picture: Any) -> None:
        self._run.track(self._aim.Image(picture), name=f"plots/{name}", step=step)

    def text(self, step: int, name: str, text: str) -> None:
        self._run.track(self._aim.Text(text), name=name, step=step)

    def exported(self, folder: pathlib.Path) -> None:
        self._run.log_artifacts(str(folder), name="export")

    def close(self, ended: bool) -> None:
        self._run.close()
        self._repo.close()


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a config's JSON by their paths, as "optim.peak_lr"."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flat(each, f"{at}.{name}".strip("."))
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for i, each in enumerate(value):
            yield from _flat(each, f"{at}.{i}")
    else:
        yield at, value
