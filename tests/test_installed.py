"""What is installed and what is not: extras, versions that do not go together, other systems, an
old Python, and what libraries say of themselves."""

import ast
import builtins
import importlib
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from aslx import cli
from aslx.data import records
from aslx.export import quiet
from aslx.prepare import building
from aslx.serve import connections
from aslx.storage import system
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# Of absl, oneDNN, libtpu, LiteRT and XNNPACK.
NOISE = re.compile(
    r"^(WARNING: (All log|Logging before)|[IWEF]\d{4} |INFO: |Failed to find host bounds"
    r"|=== Source Loc|learning/)",
    re.MULTILINE,
)


def needs(module: str, cause: Exception | None = None):
    def main() -> None:
        if cause:
            raise ImportError("please install it") from cause
        importlib.import_module(module)

    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    return ended.value.code


@pytest.mark.parametrize(("module", "extra"), [e for e in cli.EXTRAS.items() if e[1]])
def test_a_package_that_is_not_installed_is_one_line_with_the_command(
    module, extra, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, module, None)
    assert needs(module) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and module in err
    assert f"pip install -c constraints.txt -e '.[{extra}]' in {ROOT}\n" in err
    distribution = {"tensorflow": "tensorflow-cpu", "libtpu": "jax[tpu]"}
    distribution |= dict.fromkeys(("pydantic", "pydantic_core", "starlette"), "fastapi")
    distribution |= {"flatbuffers": "ai-edge-litert", "h11": "uvicorn"}
    name = distribution.get(module, module.replace("_", "-"))
    assert any(requirement.startswith(name) for requirement in EXTRAS[extra])


def test_a_package_that_another_asks_for_is_named_too(capsys):
    missing = ModuleNotFoundError("No module named 'gcsfs'", name="gcsfs")
    assert needs("fsspec", cause=missing) == 2
    assert "gcsfs" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["nosuchpackage", "h5py.nosuchmodule", "aslx.nosuchmodule"])
def test_a_module_that_no_extra_brings_is_a_bug(module, capsys):
    assert needs(module) == 1
    assert capsys.readouterr().err.startswith("Traceback")


def test_every_optional_package_that_is_imported_belongs_to_an_extra():
    found = set()
    for path in [*(ROOT / "aslx").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    ours = {
        "aslx",
        "benchmarks",
        "tests",
        "msvcrt",
        "cv2",
        "mediapipe",
    }  # The last: aslx.readers.video's.
    base = {"PIL", "absl", "editdistance", "etils", "flax", "fsspec", "google", "google_crc32c"}
    base |= {"grain", "jax", "jaxlib", "matplotlib", "numpy", "optax", "orbax", "pyarrow"}
    base |= {"rapidfuzz", "scipy", "tensorboardX", "tensorflow_datasets", "tensorstore"}
    base |= {"tqdm", "tyro"}
    assert found - ours - base - sys.stdlib_module_names <= set(cli.EXTRAS)


def test_what_a_library_says_of_itself_is_left_out_and_the_rest_stays(capfd):
    with pytest.raises(ZeroDivisionError), quiet.without(rb"INFO: "):
        os.write(2, b"INFO: all is well\nERROR: it is not\n")
        _ = 1 // 0
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "ERROR: it is not\nafter\n"


# Starts every library that has something to say.
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
    """Runs Python as a user does, who sets nothing; asserts that it ends well and without noise."""
    unset = ("JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", *cli.NO_TPU)
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    command = [sys.executable, *map(str, argv)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not NOISE.search(done.stdout + done.stderr), done.stderr


def test_libraries_say_nothing_of_themselves():
    quietly("-c", LIBRARIES)


@pytest.mark.slow
def test_commands_are_silent_but_for_what_they_say(dataset, shared, tmp_path):
    config, workdir = tmp_path / "tiny.py", tmp_path / "run"
    tiny.config_file(config, dataset, epochs=1)
    clip = next((shared / "fingerspelling_sample").glob("*/*.parquet"))
    quietly("-m", "aslx.train", "--config", config, "--workdir", workdir)
    quietly("-m", "aslx.evaluate", "--workdir", workdir, "--split", "validation")
    quietly("-m", "aslx.predict", "--workdir", workdir, clip)
    quietly("-m", "aslx.export", "--workdir", workdir, "--split", "validation")


def test_libtpu_is_left_to_look_where_there_may_be_a_tpu(monkeypatch, tmp_path):
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
    """A system that has nothing of POSIX, for aslx's own modules."""
    real = builtins.__import__

    def hidden(name, by=None, *more, **named):
        if name in ("resource", "fcntl") and by["__name__"].startswith("aslx."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, by, *more, **named)

    monkeypatch.setattr(builtins, "__import__", hidden)
    for name in ("O_DIRECTORY", "geteuid", "getuid", "posix_fadvise", "pread", "preadv"):
        monkeypatch.delattr(os, name)


def test_records_are_read_where_the_system_has_nothing_of_posix(dataset, request):
    whole = records.Records(dataset, "train")
    expected = [_values(whole, i) for i in range(len(whole))]
    request.getfixturevalue("windows")
    data = records.Records(dataset, "train")
    data.expect(data.number)
    assert [_values(data, i) for i in range(len(data))] == expected
    assert data[0] == whole[0]


def test_a_data_set_is_made_and_replaced_where_the_system_has_nothing_of_posix(windows, tmp_path):
    for text in ("first", "second"):
        with building.scratch(tmp_path / "out", overwrite=True) as folder:
            (folder / "out").mkdir()
            (folder / "out" / "dataset_info.json").write_text(text)
        assert (tmp_path / "out" / "dataset_info.json").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with open(tmp_path / "lock", "w") as f:
        assert system.lock(f.fileno())
    assert connections.most() > 16


def _values(data: records.Records, i: int) -> bytes:
    *_, begin, end = data.index.places.item(i)
    into = np.empty(end - begin, np.uint8)
    data.read(i, into)
    return into.tobytes()


@pytest.mark.parametrize("version", ["2.7.18", "3.10.1"])
def test_make_names_a_python_that_is_too_old(version, tmp_path):
    python = tmp_path / "oldpython"
    words = f'case $1 in -c) exit 1 ;; --version) echo "Python {version}" ;; *) exit 9 ;; esac'
    python.write_text(f"#!/bin/sh\n{words}\n")
    python.chmod(0o755)
    command = ["make", "-f", ROOT / "Makefile", f"PYTHON={python}", ".venv/bin/python"]
    # Below another make, make would print the folders that it enters.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    line, *rest = done.stderr.splitlines()
    assert line.startswith("aslx needs Python 3.11 or newer") and f"Python {version}" in line
    assert done.returncode == 2 and len(rest) == 1 and not done.stdout


def test_make_says_what_the_page_needs(tmp_path):
    web = tmp_path / "aslx" / "serve" / "web"
    web.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        (web / name).touch()
    command = ["/usr/bin/make", "-f", ROOT / "Makefile", "web"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 2 and "npm" in done.stderr.splitlines()[0]
    assert "aslx.serve" in done.stderr.splitlines()[0] and "Node.js" in done.stderr


def test_what_pip_is_told_of_an_old_python():
    code = "import sys; sys.version_info = (3, 10, 1); sys.argv = ['setup.py', '--name']\n"
    code += (ROOT / "setup.py").read_text()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "aslx needs Python 3.11 or newer, and this is 3.10\n"
