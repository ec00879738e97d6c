"""How commands start and end: exit status, messages, home folder, cache and usage."""

import errno
import functools
import os
import pathlib
import re
import sys
import tempfile

import pytest

import aslx
from aslx import cli, errors
from aslx.__main__ import COMMANDS
from aslx.storage import user_folders
from tests import processes

# The script that pip generates from `[project.scripts]`.
SCRIPT = "import sys; from aslx.__main__ import main; sys.exit(main())"


def python(*words: str) -> processes.Done:
    return processes.run(processes.python(*words))


def fail(error, cause=None):
    raise error from cause


def ended(main) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("main", "status", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (lambda: fail(errors.BadInput("'é'\n  is odd")), 2, "error: 'é' is odd\n"),
        (lambda: fail(KeyboardInterrupt()), 130, "error: interrupted\n"),
    ],
)
def test_bad_input_ends_in_one_line_and_status_2(main, status, line, capsys):
    assert ended(main) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        ValueError("shapes (3,) and (4,) not aligned"),
        FileNotFoundError(errno.ENOENT, "No such file", "a.csv"),
        PermissionError(errno.EACCES, "Permission denied", "a.csv"),
        KeyError("text"),
    ],
)
def test_a_bug_keeps_its_traceback_and_ends_with_1(error, capsys):
    assert ended(lambda: fail(error)) == 1
    out, err = capsys.readouterr()
    assert not out and err.startswith("Traceback") and type(error).__name__ in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.EIO, "Input/output error", "a"), None),
        (OSError(errno.ESTALE, "Stale file handle", "a"), None),
        (OSError(errno.ENOSPC, "No space left on device", "a"), None),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), None),
        (TimeoutError("timed out"), None),
        (errors.Unavailable("the registry does not answer"), None),
        (KeyError("no entry"), OSError(errno.EIO, "Input/output error", "a")),
        (ValueError('INTERNAL: Failed to open "a" [OS error 5: EIO Input/output error]'), None),
        (ValueError("UNKNOWN: Failed to write [os_error_code='28']"), None),
    ],
)
def test_a_fault_of_storage_or_network_keeps_its_traceback_and_ends_with_75(error, cause, capsys):
    assert ended(lambda: fail(error, cause)) == 75
    err = capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("error: ")


def test_a_tilde_means_the_home_folder_in_every_argument(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = ["x", "--out=~/set", "--source", "~/in", "a~b", "~", "--beam=--a=~/b", "--note=~~"]
    monkeypatch.setattr(sys, "argv", ["command", *given])
    seen = []
    assert ended(lambda: seen.extend(sys.argv[1:])) == 0
    home = str(tmp_path)
    wanted = ["x", f"--out={home}/set", "--source", f"{home}/in", "a~b", home]
    assert seen == [*wanted, "--beam=--a=~/b", "--note=~~"]


NO_HOME = """
import os, sys
from aslx import cli
for name in ("XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
    os.environ.pop(name, None)
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
sys.argv = ["command", *sys.argv[1:]]
cli.run(lambda: print(os.environ["JAX_COMPILATION_CACHE_DIR"]))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_user_without_a_name_or_a_home_folder_has_a_cache_and_no_tilde():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        closed = pathlib.Path(folder, "home")
        closed.mkdir(0o700)
        words = processes.python("-c", NO_HOME)
        env = processes.environment(TMPDIR=folder, HOME=str(closed))
        assert processes.run(words, env=env).succeeded().startswith(f"{folder}/aslx-12345/")
        env = processes.environment("HOME", TMPDIR=folder)
        printed = processes.run(words, env=env).succeeded()
        assert printed.startswith(f"{folder}/aslx-12345/")
        cache = os.stat(f"{folder}/aslx-12345")
        assert (cache.st_uid, cache.st_mode & 0o777) == (12345, 0o700)
        refusal = processes.run([*words, "--out=~/x"], env=env).refusal()
        assert refusal.startswith("error: ~/x: this user has no home folder")


@pytest.mark.parametrize(
    "planted", ["a link", "another user's folder", "a folder that all may write"]
)
def test_a_cache_that_another_user_may_have_filled_is_refused(planted, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", functools.partial(fail, RuntimeError("no home")))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = user_folders.cache()
    assert cache.parent == tmp_path and user_folders.cache() == cache
    cache.rmdir()
    if planted == "a link":
        cache.symlink_to(tmp_path)
    else:
        cache.mkdir()
        cache.chmod(0o777 if planted == "a folder that all may write" else 0o755)
        if planted == "another user's folder":
            if os.geteuid() != 0:
                pytest.skip("needs root")
            os.chown(cache, 12345, -1)
    with pytest.raises(errors.BadInput, match="what is kept there is run"):
        user_folders.cache()


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (("-m", "aslx.train"), "python -m aslx.train"),
        (("-m", "aslx", "train"), "python -m aslx train"),
        (("-c", SCRIPT, "train"), "aslx train"),
        (("-c", SCRIPT, "prepare", "image-folder"), "aslx prepare image_folder"),
    ],
    ids=lambda words: "-".join(words[1:3]) if isinstance(words, tuple) else "",
)
@pytest.mark.long
def test_the_usage_of_a_command_begins_with_the_words_that_start_it(words, usage):
    done = python(*words, "--help")
    assert done.out.startswith(f"usage: {usage} [-h]"), done


def test_aslx_lists_its_commands_and_imports_no_library_to_do_so():
    done = python("-X", "importtime", "-m", "aslx", "--help")
    for name in COMMANDS:
        (line,) = [x for x in done.out.splitlines() if x.split()[:1] == [name]]
        assert len(line) <= 80
    assert not re.search(r"\b(numpy|jax|tyro)\b", done.err)
    assert python("-m", "aslx").out == done.out
    assert python("-m", "aslx", "--version").out == f"aslx {aslx.__version__}\n"
    assert python("-m", "aslx", "trian").refusal().endswith("did you mean train?\n")


def test_every_command_of_the_package_is_listed():
    aslx = processes.ROOT / "aslx"
    rooms = {path.parent.name for path in aslx.glob("*/__main__.py")}
    files = [*aslx.glob("*.py"), *aslx.glob("*/*.py")]
    modules = {path.stem for path in files if "cli.run(main)" in path.read_text()} - {"__main__"}
    assert rooms | modules == set(COMMANDS)
