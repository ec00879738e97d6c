"""Typed experiment configuration.

A config file is a Python file with one function, `get_config() -> Config`. Which task, features and
network a run has is the type of its config's object; every field can be given on the command line.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import runpy
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import jax
import tyro

import aslx
from aslx import errors, sharding
from aslx import optim as optim_lib
from aslx.data import plan
from aslx.storage import config_json, files, user_folders
from aslx.tasks import distillation

if TYPE_CHECKING:
    from aslx.augment import augmentation
    from aslx.schema import features, networks
    from aslx.tasks import task

    # Any: a config combines a task with the network and the features that the task needs.
    Task = task.Task[Any, Any, Any]
    Augmentation = augmentation.Augmentation[Any]
    Batching = plan.Batching
    Features = features.Features
    Model = networks.Config
else:  # Any: tyro and config_json take the type of the value that stands at the field.
    Task = Augmentation = Features = Model = Batching = Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A further prepared data set to train on; it may hold other points, if those that the features
    read are among them."""

    path: str
    split: str = "train"
    weight: float = 1.0
    """Visits of each record while data.path's are visited once; 0.5: of half of them, and of the
    other half the next time."""
    one_per_phrase: bool = False
    """Count phrases, and visit one record of a phrase, drawn each time: Kaggle's supplemental clips
    have few phrases, each by many signers."""
    min_confidence: float = 0.0
    """Leave out the phrases that a model read with less (aslx.label); others have 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    path: str = "data/synthetic"
    """A folder that aslx.prepare wrote."""
    batching: Batching = plan.Bucketed()
    """plan.Bucketed or plan.Fixed."""
    workers: int = 0
    """Threads that read besides the first."""
    train_split: str = "train"
    limit: int = 0
    """How many records of the train split are used, spread evenly over it; 0: all."""
    also: tuple[Source, ...] = ()
    """Further data sets to train on."""
    join: float = 0.0
    """Share of the rows that are two clips of one signer, one after the other, a space between
    their phrases; fewer where they would exceed the longest clip or task.max_tokens."""
    eval_split: str = "validation"
    skip_corrupt: bool = False
    """Count a corrupt record and go on; else it ends the run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    data: Data = Data()
    task: Task
    features: Features
    model: Model
    augmentation: Augmentation = None  # type: ignore - tyro finds no options in a union with None.
    """augment.Clips, image_augment.Images, or None."""
    weights: str = ""
    """Pretrained weights to begin from: a file, Keras' .h5 or safetensors; or the directory of
    another run, or hf://OWNER/NAME, of which all is taken that has the same name and shape here."""
    cache_frozen: bool = False
    """Run a network's frozen layers once over what is trained on, keep what they answer in memory,
    and train the other layers on that. Nothing may be augmented."""
    distill: distillation.Config = distillation.Config()
    optim: optim_lib.Config = optim_lib.Config()
    awp: optim_lib.AWP = optim_lib.AWP()
    mesh: sharding.Config = sharding.Config()
    seed: int = 0
    epochs: int = 10
    """May grow: a run goes on, and its learning rate follows the schedule of all of them."""
    microbatch_rows: int = 0
    """Rows whose gradients a device computes at once, and adds up part by part; 0: all of its."""
    cached_rows: int = 0
    """The same on CPUs and TPUs, which keep few rows in caches; 0: as `microbatch_rows`."""
    ema_decay: float = 0.0
    """Of the average of the parameters that is evaluated and exported; 0: none is kept."""
    eval_every: int = 1
    """Epochs between evaluations."""
    patience: int = 0
    """Evaluations without a better score after which training stops; 0: never."""
    save_every: int = 500
    """Steps between checkpoints, beside those at each evaluation."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""

    def rows_at_once(self, platform: str) -> int:
        """Rows of a part of a batch on "cpu", "gpu" or "tpu"; 0: all of a device's."""
        return (self.cached_rows if platform != "gpu" else 0) or self.microbatch_rows


# A run may go on with other values of these: they do not change what is computed.
FREE_TO_CHANGE = (
    *("data.path", "data.also.path", "data.workers", "distill.teacher", "save_every", "log_every"),
    *("mesh.data", "mesh.fsdp", "mesh.cpu_devices"),
)
_MAY_GROW = ("epochs",)  # It changes the schedule, and loses nothing (aslx.train.loop).
# Beside the config in config.json: what the run was trained on, and the version of aslx.
_DATA, _VERSION = "data_sets", "aslx"

Command = TypeVar("Command")


def load(path: str | os.PathLike, argv: Sequence[str] = ()) -> Config:
    """The config of a file, with fields replaced as `--optim.peak-lr 1e-3` says."""
    return tyro.cli(Config, default=_from_file(path), args=list(argv))


def parse(
    command: type[Command], blank: Callable[[str], Command], argv: Sequence[str] | None = None
) -> tuple[Command, Config]:
    """A command's own options and, where they name a --config, that config's fields beside them.

    `blank` makes the command from the path alone.
    """
    peek = argparse.ArgumentParser(add_help=False)
    peek.add_argument("--config")
    path = peek.parse_known_args(argv)[0].config
    if path is None:
        return tyro.cli(command, args=argv), None  # type: ignore[return-value] - exits: required.
    default = _from_file(path)
    unnamed = tyro.conf.arg(name="")
    both = tuple[Annotated[command, unnamed], Annotated[Config, unnamed]]
    return tyro.cli(both, default=(blank(path), default), args=argv)


def _from_file(path: str | os.PathLike) -> Config:
    file = _file(path)
    try:
        get_config = runpy.run_path(str(file)).get("get_config")
        if not callable(get_config):
            raise errors.BadInput(f"{file} has no function get_config()")
        cfg = get_config()
    except errors.BadInput:
        raise
    except Exception as error:
        if not (place := _place(error, file)):
            raise
        what = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
        raise errors.BadInput(f"{place}: {what}") from error
    if not isinstance(cfg, Config):
        raise errors.BadInput(f"{file}: get_config() returns no config.Config: {cfg!r:.60}")
    return _at_home(cfg)


def _file(path: str | os.PathLike) -> pathlib.Path:
    """The config file of a path or, as `quickstart`, of a name in configs/: in the working
    directory, or of aslx itself."""
    package = pathlib.Path(__file__).parent
    shipped = package / "configs"  # Of a wheel; in a checkout it lies beside the package.
    if not files.is_folder(shipped):
        shipped = package.parent / "configs"
    folders = (pathlib.Path("configs"), shipped)
    named = [folder / name for folder in folders for name in (f"{path}.py", path)]
    for file in (pathlib.Path(path), pathlib.Path(f"{path}.py"), *named):
        if files.is_file(file):
            return file
    names = sorted({file.stem for folder in folders for file in folder.glob("*.py")})
    raise errors.BadInput(
        f"no config file {path}: give the path of a Python file, or one of {', '.join(names)}"
    )


def _place(error: Exception, file: pathlib.Path) -> str:
    """Where in a config file `error` arose; nothing where code that it calls raised it: that may be
    a bug there."""
    if isinstance(error, SyntaxError) and error.filename in (str(file), None):
        return f"{file}, line {error.lineno or 1}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.filename == __file__:  # It takes arguments.
        return str(file)
    return f"{file}, line {last.lineno}" if last.filename == str(file) else ""


def _at_home(cfg: Config) -> Config:
    """With what a ~ stands for in the paths that a config file gives."""
    also = tuple(dataclasses.replace(s, path=user_folders.home(s.path)) for s in cfg.data.also)
    data = dataclasses.replace(cfg.data, path=user_folders.home(cfg.data.path), also=also)
    distill = dataclasses.replace(cfg.distill, teacher=user_folders.home(cfg.distill.teacher))
    weights = user_folders.home(cfg.weights)
    return dataclasses.replace(cfg, data=data, weights=weights, distill=distill)


def save(cfg: Config, path: files.Path, data: dict[str, str] | None = None) -> None:
    form = config_json.to_json(cfg) | ({_DATA: data} if data else {})
    form[_VERSION] = aslx.__version__
    files.write(path, json.dumps(form, indent=2) + "\n")


def placed(cfg: Config, workdir: files.Path | None = None) -> Config:
    """With a number of CPU devices: that of the run in `workdir`, if there is one, else one a core.
    A part of a batch on each core is faster than a batch on both (benchmarks.scaling)."""
    if cfg.mesh.cpu_devices or cfg.mesh.data > 0:
        return cfg
    there = of_run(workdir) if workdir else None
    if there:
        devices = there.mesh.cpu_devices
    else:
        power = 1 << ((os.cpu_count() or 1).bit_length() - 1)
        parts = cfg.data.batching.multiple // (cfg.rows_at_once("cpu") or 1)
        devices = math.gcd(parts, power)
    return dataclasses.replace(cfg, mesh=dataclasses.replace(cfg.mesh, cpu_devices=devices))


def trained(workdir: files.Path) -> bool:
    """Whether a run directory holds a checkpoint, be it a damaged one."""
    folder = workdir / "checkpoints"
    if not files.exists(folder):
        return False
    return any(p.name.removeprefix("damaged-").isdigit() for p in folder.iterdir())


def of_run(workdir: files.Path) -> Config | None:
    """The config of the run in a directory; one without a checkpoint has nothing to lose."""
    path = workdir / "config.json"
    return read(path) if files.exists(path) and trained(workdir) else None


def check(workdir: files.Path, cfg: Config) -> None:
    """BadInput unless `workdir` is the run of `cfg`, or free; it names what differs."""
    there = of_run(workdir)
    different = there and differences(config_json.to_json(cfg), config_json.to_json(there))
    if different:
        raise errors.BadInput(
            f"{workdir} is a run of another config ({different[0]}): "
            "take another --workdir, or the same values"
        )


def claim(workdir: files.Path, cfg: Config, data: dict[str, str] | None = None) -> None:
    """Makes `workdir` the run of `cfg`, trained on `data`, if it may be."""
    check(workdir, cfg)
    if jax.process_index() == 0:
        save(cfg, workdir / "config.json", data)


def read(path: files.Path) -> Config:
    """The config that `save` wrote, or that a stranger did: BadInput says what it cannot be."""
    form, version = files.read_json(path), None
    if isinstance(form, dict):
        form.pop(_DATA, None)
        version = form.pop(_VERSION, None)
    try:
        return config_json.from_json(form, Config)
    except errors.BadInput as error:
        said = f"{path}: {error}"
        if isinstance(version, str) and version != aslx.__version__:
            said += f" (aslx {version!r:.30} wrote the file, and this is {aslx.__version__})"
        raise errors.BadInput(said) from None


def data(path: files.Path) -> dict[str, str]:
    """What `claim` noted of the data sets of a run."""
    form = files.read_json(path)
    noted = form.get(_DATA, {}) if isinstance(form, dict) else {}
    if not isinstance(noted, dict) or not all(isinstance(v, str) for v in noted.values()):
        raise errors.BadInput(f"{path}: {_DATA} cannot be {noted!r:.100}")
    return noted


def differences(a: Any, b: Any, at: str = "") -> list[str]:
    """Where two configs' JSON forms differ: "optim.peak_lr: 0.001 here, 0.002 there"."""
    if isinstance(a, dict) and isinstance(b, dict):
        pairs = {k: (a.get(k, "nothing"), b.get(k, "nothing")) for k in [*a, *b]}
        return [d for k, (x, y) in pairs.items() for d in differences(x, y, f"{at}.{k}".strip("."))]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for x, y in zip(a, b, strict=True) for d in differences(x, y, at)]
    return [] if a == b or at in (*FREE_TO_CHANGE, *_MAY_GROW) else [f"{at}: {a} here, {b} there"]
