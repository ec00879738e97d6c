"""Eight simulated CPU devices, a compile cache, and the fixtures that all tests share: a small data
set, trained runs, commands and films."""

import functools
import os
import pathlib
import sys
from collections.abc import Iterator

import jax
import pytest
from absl import flags

from aslx import cli, errors, sharding
from aslx.kernels import malloc_tuning
from aslx.readers import video
from aslx.train import __main__ as train_command
from tests import person, processes, tiny, tiny_runs

# Files whose tests take minutes.
LONG = ("test_hosts.py", "test_bucket.py", "test_step.py", "test_loop.py", "test_export.py")


def pytest_configure(config):
    del config
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # The other one takes seconds to import.
    cache = processes.ROOT / ".cache" / "jax"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)  # For the processes that tests start.
    # libtpu is installed for its compiler. JAX must not look for a TPU and report that none exists.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    flags.FLAGS.mark_as_parsed()


def pytest_collection_modifyitems(items):
    # Long files run first, so that they do not keep one worker busy at the end.
    items.sort(key=lambda item: item.path.name not in LONG)


_MAKE, _FOR_READING = sharding.make_mesh, sharding.for_reading


def _small_mesh(cfg: sharding.Config, devices: list | None = None) -> jax.sharding.Mesh:
    """One device for a config that asks for no mesh, and all that another config asks for."""
    if devices is None and cfg.data in (-1, 1) and cfg.fsdp == 1:
        devices = jax.devices()[:1]
    return _MAKE(cfg, devices)


@pytest.fixture(scope="module", autouse=True)
def one_device() -> Iterator[None]:
    """Of the eight devices, tests use one unless their config names a mesh: a program for one
    device compiles and runs several times as fast."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sharding, "make_mesh", _small_mesh)
        monkeypatch.setattr(sharding, "for_reading", lambda rows: _small_mesh(sharding.Config()))
        yield


@pytest.fixture
def every_device(monkeypatch) -> None:
    """Programs of this test divide their batches over all eight devices, as a training does."""
    monkeypatch.setattr(sharding, "make_mesh", _MAKE)
    monkeypatch.setattr(sharding, "for_reading", _FOR_READING)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> pathlib.Path:
    """80 random clips in two training shards, 24 in one validation shard."""
    return tiny.dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def learned(tmp_path_factory) -> tiny_runs.Runs:
    """Opens the trained run of a kind, which all of pytest's workers share."""
    folder = tmp_path_factory.getbasetemp()
    return tiny_runs.Runs(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Samples of real data, if they lie beside the checkout."""
    path = processes.ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"needs the samples in {path}")
    return path


@pytest.fixture
def run(monkeypatch, capfd):
    """A function that runs a command with arguments, in this process."""

    def run(command, *arguments) -> processes.Done:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.run(command.main)
        assert isinstance(ended.value.code, int)
        return processes.Done(ended.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def train(run, monkeypatch):
    """A function that runs the training command in this process, and changes neither its allocator
    nor its devices."""
    monkeypatch.setattr(malloc_tuning, "keep", lambda: None)
    monkeypatch.setattr(sharding, "use_cpu_devices", lambda cfg: None)
    return functools.partial(run, train_command)


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> pathlib.Path:
    """A film of a drawn person who fingerspells. The first test that uses it installs MediaPipe
    (105 MB); where that fails, the test is skipped, in continuous integration it fails."""
    try:
        video.packages()
    except (OSError, errors.BadInput) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("films") / "spelling.mp4"
    frames = person.spelling_film("hello", seed=3)
    video.write(path, iter(frames), person.RATE, person.WIDTH, person.HEIGHT)
    return path


@pytest.fixture(scope="session")
def wall(film) -> pathlib.Path:
    """A film of a wall, without a person."""
    path = film.with_name("wall.mp4")
    video.write(path, iter([person.picture()] * 6), person.RATE, person.WIDTH, person.HEIGHT)
    return path


@pytest.fixture(scope="session")
def track(film) -> video.Track:
    """The landmarks of `film`."""
    return video.track(film)
