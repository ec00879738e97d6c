"""Installations: missing extras, other systems, an old Python, and messages that libraries print
about themselves."""

import builtins
import importlib
import os
import re
import sys
import tomllib

import numpy as np
import pytest
from packaging import requirements

from aslx import cli
from aslx.data import records
from aslx.export import quiet
from aslx.prepare import building
from aslx.serve import connections
from aslx.storage import system
from tests import processes, test_house, tiny

ROOT = processes.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Messages of absl, oneDNN, libtpu, LiteRT and XNNPACK.
NOISE = re.compile(
    r"^(WARNING: (All log|Logging before)|[IWEF]\d{4} |INFO: |Failed to find host bounds"
    r"|=== Source Loc|learning/)",
    re.MULTILINE,
)


def needs(module: str, cause: Exception | None = None):
    """The exit status of a command that imports a module."""

    def main() -> None:
        if cause:
            raise ImportError("please install it") from cause
        importlib.import_module(module)

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    return ended.value.code


@pytest.mark.parametrize(
    ("module", "extra"), [(m, extra) for extra, ms in cli.EXTRAS.items() if extra for m in ms]
)
def test_the_error_for_a_missing_package_is_one_line_with_the_command_that_installs_it(
    module, extra, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, module, None)
    assert needs(module) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and module in err
    assert f"pip install -c constraints.txt -e '.[{extra}]' in {ROOT}\n" in err
    distributions = {"tensorflow": "tensorflow-cpu", "libtpu": "jax[tpu]"}
    distributions |= dict.fromkeys(("pydantic", "pydantic_core", "starlette"), "fastapi")
    distributions |= {"flatbuffers": "ai-edge-litert", "h11": "uvicorn", "sqlalchemy": "optuna"}
    name = distributions.get(module, module.replace("_", "-"))
    assert any(requirement.startswith(name) for requirement in EXTRAS[extra])


def test_a_missing_package_that_another_package_needs_is_named_too(capsys):
    missing = ModuleNotFoundError("No module named 'gcsfs'", name="gcsfs")
    assert needs("fsspec", cause=missing) == 2
    assert "gcsfs" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["nosuchpackage", "h5py.nosuchmodule", "aslx.nosuchmodule"])
def test_a_module_that_no_extra_brings_is_a_bug(module, capsys):
    assert needs(module) == 1
    assert capsys.readouterr().err.startswith("Traceback")


def test_every_optional_package_that_is_imported_belongs_to_an_extra():
    paths = [*(ROOT / "aslx").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    modules = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    found = {name.split(".")[0] for module in modules for name in test_house.imports(module)}
    # aslx.readers.video installs the last two itself.
    ours = {"aslx", "benchmarks", "tests", "msvcrt", "cv2", "mediapipe"}
    base = {"PIL", "absl", "editdistance", "etils", "flax", "fsspec", "google", "crc32c"}
    base |= {"grain", "jax", "jaxlib", "matplotlib", "numpy", "optax", "orbax", "pyarrow"}
    base |= {"rapidfuzz", "scipy", "tensorboardX", "tensorflow_datasets", "tensorstore"}
    base |= {"tqdm", "tyro"}
    assert found - ours - base - sys.stdlib_module_names <= set().union(*cli.EXTRAS.values())


def needed(extra: str, **system: str) -> list[requirements.Requirement]:
    """What an installation with an extra asks for on a system."""
    asked = map(requirements.Requirement, [*PROJECT["dependencies"], *EXTRAS[extra]])
    return [each for each in asked if each.marker is None or each.marker.evaluate(system)]


@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize(
    ("platform", "machine", "tensorflow"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
        ("win32", "AMD64", "tensorflow-cpu"),
    ],
)
def test_every_system_is_asked_for_packages_that_have_wheels_for_it(
    platform, machine, tensorflow, python
):
    system = {"sys_platform": platform, "platform_machine": machine, "python_version": python}
    names = {each.name for each in needed("export", **system)}
    distance = "editdistance" if python == "3.11" else "rapidfuzz"
    assert names & {"tensorflow", "tensorflow-cpu"} == {tensorflow}
    assert names & {"editdistance", "rapidfuzz"} == {distance}


def test_an_installation_that_exports_has_no_jax_that_tensorflow_cannot_read():
    asked = [each.specifier for each in needed("export") if each.name == "jax"]
    assert all(each.contains("0.11.1") for each in asked)
    assert not all(each.contains("0.11.2") for each in asked)


def test_make_installs_what_draws_the_events_of_a_run():
    assert "tensorboard" in {each.name for each in needed("tensorboard")}
    lines = [x for x in (ROOT / "Makefile").read_text().splitlines() if "-e '.[export" in x]
    assert len(lines) == 2 and all("tensorboard]" in line for line in lines)


def test_messages_of_libraries_about_themselves_are_dropped_and_all_others_kept(capfd):
    with pytest.raises(ZeroDivisionError), quiet.without(rb"INFO: "):
        os.write(2, b"INFO: all is well\nERROR: it is not\n")
        _ = 1 // 0
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "ERROR: it is not\nafter\n"


# Starts every library that prints such messages.
LIBRARIES = """
import jax
from aslx import cli
from aslx.export import conversion, tflite

def main():
    print(jax.devices())
    conversion.check_versions()
    import tensorflow as tf
    module = tf.Module()
    shape = [tf.TensorSpec([4, 4], tf.float32, name="inputs")]
    module.serve = tf.function(lambda inputs: {"outputs": inputs @ inputs}, input_signature=shape)
    function = module.serve.get_concrete_function()
    model = tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert()
    tflite.runner(model)(inputs=tf.eye(4).numpy())

cli.run(main)
"""


def quietly(*argv: object) -> None:
    """Runs Python without the variables that tests set; it must succeed, without such messages."""
    unset = ("JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", *cli.NO_TPU)
    done = processes.run(processes.python(*argv), env=processes.environment(*unset))
    assert not NOISE.search(done.succeeded() + done.err), done.err


@pytest.mark.long
def test_libraries_print_nothing_about_themselves():
    quietly("-c", LIBRARIES)


@pytest.mark.slow
def test_commands_print_no_messages_of_libraries(dataset, shared, tmp_path):
    config, workdir = tmp_path / "tiny.py", tmp_path / "run"
    tiny.config_file(config, dataset, epochs=1)
    clip = next((shared / "fingerspelling_sample").glob("*/*.parquet"))
    quietly("-m", "aslx.train", "--config", config, "--workdir", workdir)
    quietly("-m", "aslx.evaluate", "--workdir", workdir, "--split", "validation")
    quietly("-m", "aslx.predict", "--workdir", workdir, clip)
    quietly("-m", "aslx.export", "--workdir", workdir, "--split", "validation")


def test_libtpu_looks_for_a_tpu_only_where_there_may_be_one(monkeypatch, tmp_path):
    def environment(**given) -> dict[str, str]:
        monkeypatch.setattr(os, "environ", dict(given))
        with pytest.raises(SystemExit):
            cli.run(lambda: None)
        return {k: v for k, v in os.environ.items() if k.startswith("TPU_")}

    monkeypatch.setattr(cli, "TPUS", (f"{tmp_path}/accel*",))
    assert environment() == cli.NO_TPU
    assert environment(TPU_WORKER_HOSTNAMES="a,b")["TPU_WORKER_HOSTNAMES"] == "a,b"
    assert environment(JAX_PLATFORMS="tpu,cpu") == {}
    (tmp_path / "accel0").touch()
    assert environment() == {}


@pytest.fixture
def windows(monkeypatch):
    """A system without POSIX, for the modules of aslx."""
    real = builtins.__import__

    def hidden(name, by=None, *more, **named):
        if name in ("resource", "fcntl") and by and by["__name__"].startswith("aslx."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, by, *more, **named)

    monkeypatch.setattr(builtins, "__import__", hidden)
    for name in ("O_DIRECTORY", "geteuid", "getuid", "posix_fadvise", "pread", "preadv"):
        monkeypatch.delattr(os, name)


def values(data: records.Records, i: int) -> bytes:
    """The bytes of a record's array."""
    *_, begin, end = data.index.places.item(i)
    into = np.empty(end - begin, np.uint8)
    data.read(i, into)
    return into.tobytes()


def test_records_are_read_on_a_system_without_posix(dataset, request):
    whole = records.Records(dataset, "train")
    expected = [values(whole, i) for i in range(len(whole))]
    request.getfixturevalue("windows")
    data = records.Records(dataset, "train")
    data.expect(data.number)
    assert [values(data, i) for i in range(len(data))] == expected
    assert data[0] == whole[0]


def test_a_data_set_is_made_and_replaced_on_a_system_without_posix(tmp_path, windows):
    for text in ("first", "second"):
        with building.scratch(tmp_path / "out", overwrite=True) as folder:
            (folder / "out").mkdir()
            (folder / "out" / "dataset_info.json").write_text(text)
        assert (tmp_path / "out" / "dataset_info.json").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with open(tmp_path / "lock", "w") as f:
        assert system.lock(f.fileno())
    assert connections.most() > 16


@pytest.mark.parametrize("version", ["2.7.18", "3.10.1"])
def test_make_names_a_python_that_is_too_old(version, tmp_path):
    python = tmp_path / "oldpython"
    words = f'case $1 in -c) exit 1 ;; --version) echo "Python {version}" ;; *) exit 9 ;; esac'
    python.write_text(f"#!/bin/sh\n{words}\n")
    python.chmod(0o755)
    # Below another make, make would print the folders that it enters.
    env = processes.environment(*(name for name in os.environ if name.startswith("MAKE")))
    words = ["make", "-f", ROOT / "Makefile", f"PYTHON={python}", ".venv/bin/python"]
    done = processes.run(words, tmp_path, env=env)
    line, *rest = done.err.splitlines()
    assert line.startswith("aslx needs Python 3.11 or newer") and f"Python {version}" in line
    assert done.status == 2 and len(rest) == 1 and not done.out


def test_make_says_what_the_page_needs(tmp_path):
    web = tmp_path / "aslx" / "serve" / "web"
    web.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        (web / name).touch()
    words = ["/usr/bin/make", "-f", ROOT / "Makefile", "web"]
    done = processes.run(words, tmp_path, env={"PATH": str(tmp_path)})
    line = done.err.splitlines()[0]
    assert done.status == 2 and "npm" in line and "aslx.serve" in line and "Node.js" in done.err


def test_setup_names_a_python_that_is_too_old():
    code = "import sys; sys.version_info = (3, 10, 1); sys.argv = ['setup.py', '--name']\n"
    done = processes.run(processes.python("-c", code + (ROOT / "setup.py").read_text()))
    assert done.err == "aslx needs Python 3.11 or newer, and this is 3.10\n"
