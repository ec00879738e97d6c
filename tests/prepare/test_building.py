"""A data set is whole at --out or not there, whoever is killed, and nothing else is overwritten."""

import errno
import inspect
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from aslx import errors
from aslx.data import records
from aslx.prepare import __main__ as prepare
from aslx.prepare import building, shards
from aslx.storage import files, system
from tests import power
from tests.prepare import kaggle

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def source(tmp_path):
    return kaggle.write(tmp_path / "kaggle", kaggle.some(16, frames=9))


def test_an_existing_out_is_replaced_only_when_told(run, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()  # An empty folder is as good as none.
    arguments = ("fingerspelling", "--source", source, "--out", out, *kaggle.FLAGS)
    assert run(prepare, *arguments)[0] == 0
    (out / "note").touch()
    status, _, err = run(prepare, *arguments)
    assert status == 2 and err == f"error: {out} exists already: pass --overwrite to replace it\n"
    assert (out / "note").exists()
    assert run(prepare, *arguments, "--overwrite", "--split", "none")[0] == 0
    assert not (out / "note").exists() and records.splits(out) == ["train"]
    assert kaggle.left(tmp_path) == ["out"]


def test_what_is_no_data_set_is_never_replaced(run, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").touch()
    arguments = ("fingerspelling", "--source", source, "--overwrite", *kaggle.FLAGS, "--out")
    status, _, err = run(prepare, *arguments, out)
    assert status == 2 and "holds something else than a data set" in err
    status, _, err = run(prepare, *arguments, out / "thesis.tex")
    assert status == 2 and "is a file: choose another --out" in err
    status, _, err = run(prepare, *arguments, source.parent)
    assert status == 2 and "holds" in err
    assert (out / "thesis.tex").exists() and (source / "train.csv").exists()


def test_a_source_inside_out_is_not_overwritten(run, tmp_path):
    out = tmp_path / "out"
    run(prepare, "synthetic", "--sequences", "4", "--out", out, *kaggle.FLAGS, "--split", "none")
    status, _, err = run(
        prepare,
        "fingerspelling",
        "--source",
        out / "kaggle",
        "--out",
        out,
        "--overwrite",
        *kaggle.FLAGS,
    )
    assert status == 2 and "and would replace it" in err
    assert (out / "kaggle" / "train.csv").exists()


def test_two_at_once_do_not_write_the_same_out(run, source, tmp_path):
    out = tmp_path / "out"
    with building.scratch(out) as scratch:
        status, _, err = run(
            prepare, "fingerspelling", "--source", source, "--out", out, *kaggle.FLAGS
        )
        assert status == 2 and "another process is preparing" in err
        assert scratch.exists()
        (scratch / "out").mkdir()
    assert kaggle.left(tmp_path) == ["out"]


def test_a_failed_write_leaves_the_old_data_set(run, source, tmp_path, monkeypatch):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    assert run(prepare, *arguments)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(shards, "_write_one", full)
    status, _, err = run(prepare, *arguments, "--overwrite")
    last = err.splitlines()[-1]
    assert status == 75 and last.startswith(f"error: {tmp_path} is full, make room and run again")
    assert "No space left on device" in last
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before
    assert kaggle.left(tmp_path) == ["out"]


def test_a_full_disk_asks_for_room_and_keeps_what_stood(tmp_path):
    with power.disk(tmp_path, 8) as place:
        fill(place / "set", "old")
        with (
            pytest.raises(errors.Unavailable, match=f"^{place} is full, make room and run again"),
            building.scratch(place / "set", overwrite=True) as scratch,
        ):
            (scratch / "out").write_bytes(bytes(16 << 20))
        assert held(place / "set") == ["old", "old"]
        assert kaggle.left(place) == ["lost+found", "set"]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from aslx import cli
from aslx.prepare import __main__ as prepare
cli.run(prepare.main)
"""


@pytest.mark.parametrize("limit", [20_000, 40_000])  # Of the spool, and of a shard.
def test_a_file_that_cannot_be_written_asks_for_room_and_leaves_nothing(limit, source, tmp_path):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, arguments), "--split", "none"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    last = ran.stderr.splitlines()[-1]
    assert ran.returncode == 75
    assert last.startswith(f"error: {tmp_path} is full, make room and run again")
    assert kaggle.left(tmp_path) == []


KILLED = """
import os, signal
from aslx import cli
from aslx.data import index
from aslx.prepare import __main__ as prepare
index.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cli.run(prepare.main)
"""


def test_a_killed_run_leaves_no_out_and_the_next_one_clears_up(run, source, tmp_path):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    ran = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], cwd=ROOT)
    assert ran.returncode == -9
    (left,) = kaggle.left(tmp_path)
    assert left.startswith(".out.incomplete-")
    assert run(prepare, *arguments)[0] == 0
    assert kaggle.left(tmp_path) == ["out"]


def fill(out: pathlib.Path, text: str, overwrite: bool = False) -> None:
    """Makes a data set of two files that hold the text."""
    with building.scratch(out, overwrite=overwrite) as scratch:
        (scratch / "out").mkdir()
        for name in ("dataset_info.json", "metadata.json"):
            (scratch / "out" / name).write_text(text)


def held(out: pathlib.Path) -> list[str]:
    return [path.read_text() for path in sorted(out.iterdir())]


@pytest.mark.parametrize("name", [".out.incomplete", ".out.incomplete-planted"])
def test_a_planted_link_is_not_followed(name, tmp_path):
    victim, shared = tmp_path / "photos", tmp_path / "shared"
    for folder in (victim, shared):
        folder.mkdir()
    victim.chmod(0o700)
    for file in ("thesis.tex", building._MARK):
        (victim / file).touch()
    (shared / name).symlink_to(victim)
    fill(shared / "out", "new")
    assert held(shared / "out") == ["new", "new"]
    assert {path.name for path in victim.iterdir()} == {"thesis.tex", building._MARK}


def test_a_folder_that_another_may_have_filled_or_that_is_no_scratch_stays(tmp_path):
    open_to_all, unmarked, linked = (tmp_path / f".out.incomplete-{i}" for i in range(3))
    for folder in (open_to_all, unmarked, linked):
        folder.mkdir(0o700)
        (folder / "thesis.tex").touch()
    open_to_all.chmod(0o755)
    (open_to_all / building._MARK).touch()
    (linked / building._MARK).symlink_to(tmp_path / "thesis.tex")
    folders = [open_to_all, unmarked, linked]
    if os.geteuid() == 0:
        of_another = tmp_path / ".out.incomplete-3"
        of_another.mkdir(0o700)
        (of_another / "thesis.tex").touch()
        (of_another / building._MARK).touch()
        os.chown(of_another, 12345, 12345)
        folders.append(of_another)
    fill(tmp_path / "out", "new")
    assert all((folder / "thesis.tex").exists() for folder in folders)


def test_a_scratch_folder_is_open_to_its_user_alone_and_the_data_set_to_all(tmp_path):
    with building.scratch(tmp_path / "out") as scratch:
        assert os.stat(scratch).st_mode & 0o777 == 0o700
        (scratch / "out").mkdir()
    usual = tmp_path / "usual"
    usual.mkdir()
    assert (tmp_path / "out").stat().st_mode == usual.stat().st_mode


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_link_that_another_user_made_is_not_followed(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dataset_info.json").touch()
    link = tmp_path / "out"
    link.symlink_to("photos")
    os.chown(link, 12345, -1, follow_symlinks=False)
    with pytest.raises(errors.BadInput, match="out is a link that another user made"):
        fill(link, "new", overwrite=True)
    with pytest.raises(errors.BadInput, match="another user made"), files.replacing_folder(link):
        pass
    assert kaggle.left(tmp_path / "photos") == ["dataset_info.json"]


def test_a_disk_without_locks_will_do_and_what_was_left_stays(tmp_path, monkeypatch):
    def none(opened):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    left = tmp_path / ".out.incomplete-left"
    left.mkdir(0o700)
    (left / building._MARK).touch()
    monkeypatch.setattr(system, "lock", none)
    fill(tmp_path / "out", "new")
    assert kaggle.left(tmp_path) == [".out.incomplete-left", "out"]


def test_what_others_may_not_read_stays_so(tmp_path):
    path = tmp_path / "read.csv"
    files.write(path, "old")
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~umask()
    path.chmod(0o600)
    files.write(path, "new")
    assert os.stat(path).st_mode & 0o777 == 0o600
    path.unlink()
    path.symlink_to("elsewhere")
    files.write(path, "newer")
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~umask() and not path.is_symlink()


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_an_out_that_is_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    fill(tmp_path / "out", "old")
    fill(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out").is_symlink() and held(tmp_path / "disk" / "out") == ["new", "new"]
    assert kaggle.left(tmp_path) == ["disk", "out"] and kaggle.left(tmp_path / "disk") == ["out"]


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path):
    out = tmp_path / ("手" * 85)  # 255 bytes.
    fill(out, "old")
    fill(out, "new", overwrite=True)
    assert held(out) == ["new", "new"]
    files.write(out / ("x" * 250 + ".json"), "")
    with files.replacing_folder(out) as folder:
        files.write(folder / "a", "")
    assert kaggle.left(out) == ["a"] and len(kaggle.left(tmp_path)) == 1


def test_a_place_that_cannot_be_taken_is_one_line(tmp_path):
    with pytest.raises(errors.BadInput, match=r"/proc is where a disk is mounted"):
        fill(pathlib.Path("/proc"), "new")
    (tmp_path / "file").touch()
    with pytest.raises(errors.BadInput, match="is a file, and a folder is wanted"):
        fill(tmp_path / "file" / "out", "new")


FAULTY = f"""
import pathlib, sys
from aslx.prepare import building
{inspect.getsource(fill)}
{inspect.getsource(held)}
out = pathlib.Path(sys.argv[1])
fill(out, "0")
print("ready", flush=True)
sys.stdin.readline()
stands, faults = "0", 0
for i in range(1, 121):
    try:
        fill(out, str(i), overwrite=True)
    except OSError:
        faults += 1
    for _ in range(9):  # What looks may fail, too.
        try:
            found = held(out)
            break
        except OSError:
            pass
    assert found in ([stands] * 2, [str(i)] * 2), (stands, i, found)
    stands = found[0]
print(faults, stands)
"""


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize(
    "faults",
    [
        ["renameat2,openat,rename,fsync,mkdir:error=EIO:when=2+23"],
        ["renameat2:error=EINVAL", "rename:error=EIO:when=2+4"],  # A system without exchange.
        ["renameat2:error=EINVAL", "openat,rename,fsync:error=EIO:when=3+31"],
    ],
)
def test_whatever_call_fails_the_old_data_set_stands_or_the_new(faults, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", FAULTY, tmp_path / "out"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    inject = [f"--inject={fault}" for fault in faults]
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", tmp_path / "trace", *inject, "-p", str(child.pid)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert tracer.stderr is not None and "attached" in tracer.stderr.readline()
    out, err = child.communicate("\n", timeout=120)
    tracer.communicate(timeout=60)
    assert child.returncode == 0, err
    failed, stands = map(int, out.split())
    assert 20 < failed < 115 and stands > 60  # Both happened, many times.


STARTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # Jobs in the background ignore it.
from aslx import cli
from aslx.prepare import __main__ as prepare
if __name__ == "__main__":
    cli.run(prepare.main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number, tmp_path):
    arguments = ["synthetic", "--sequences", "4000", "--out", tmp_path / "set", "--processes", "2"]
    child = subprocess.Popen(
        [sys.executable, "-c", STARTED, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(600):
        if list(tmp_path.glob(".set.incomplete-*/out/kaggle/*")):
            break
        time.sleep(0.1)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number, err
    assert err.endswith(f"error: {'terminated' if number == signal.SIGTERM else 'interrupted'}\n")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
