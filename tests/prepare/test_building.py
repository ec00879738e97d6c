"""A data set is whole at --out or absent, whatever is killed, and nothing else is overwritten."""

import errno
import inspect
import os
import pathlib
import shutil
import signal
import subprocess
import time
from typing import Any

import pytest

from aslx import errors
from aslx.data import records
from aslx.prepare import building, shards
from aslx.storage import files, system
from tests import power, processes
from tests.prepare import kaggle


def test_an_existing_out_is_replaced_only_when_told(prepare, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()  # An empty folder is as good as none.
    assert prepare(source, out).status == 0
    (out / "note").touch()
    told = f"error: {out} exists already: pass --overwrite to replace it\n"
    assert prepare(source, out).refusal() == told
    assert (out / "note").exists()
    assert prepare(source, out, "--overwrite", "--split", "none").status == 0
    assert not (out / "note").exists() and records.splits(out) == ["train"]
    assert kaggle.left(tmp_path) == ["out"]


def test_what_is_no_data_set_is_never_replaced(prepare, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").touch()
    for place, words in (
        (out, "holds something else than a data set"),
        (out / "thesis.tex", "is a file: choose another --out"),
        (source.parent, "holds something else than a data set"),
    ):
        assert words in prepare(source, place, "--overwrite").refusal()
    assert (out / "thesis.tex").exists() and (source / "train.csv").exists()


def test_a_source_inside_out_is_not_overwritten(prepare, source, tmp_path):
    out = tmp_path / "out"
    assert prepare(source, out).status == 0
    inside = source.rename(out / "kaggle")
    assert "and would replace it" in prepare(inside, out, "--overwrite").refusal()
    assert (inside / "train.csv").exists()


def test_two_at_once_do_not_write_the_same_out(prepare, source, tmp_path):
    out = tmp_path / "out"
    with building.scratch(out) as scratch:
        assert "another process is preparing" in prepare(source, out).refusal()
        assert scratch.exists()
        (scratch / "out").mkdir()
    assert kaggle.left(tmp_path) == ["out"]


def test_a_failed_write_leaves_the_old_data_set(prepare, source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert prepare(source, out).status == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*")}

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(shards, "_write_one", full)
    failed = prepare(source, out, "--overwrite")
    last = failed.err.splitlines()[-1]
    assert failed.status == 75 and "No space left on device" in last
    assert last.startswith(f"error: {tmp_path} is full, make room and run again")
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    assert kaggle.left(tmp_path) == ["out"]


def test_a_full_disk_asks_for_room_and_keeps_what_stood(tmp_path):
    with power.disk(tmp_path, 8) as place:
        fill(place / "set", "old")
        with (
            pytest.raises(errors.Unavailable, match=f"^{place} is full, make room and run again"),
            building.scratch(place / "set", overwrite=True) as scratch,
        ):
            (scratch / "out").write_bytes(bytes(16 << 20))
        assert contents(place / "set") == ["old", "old"]
        assert kaggle.left(place) == ["lost+found", "set"]


def script(code: str, *arguments: object, **options: Any) -> processes.Started:
    """Starts a process that runs `code`, with `main` of aslx.prepare."""
    head = "from aslx import cli\nfrom aslx.prepare.__main__ import main\n"
    return processes.start(processes.python("-c", head + code, *arguments), **options)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
cli.run(main)
"""


@pytest.mark.parametrize("limit", [20_000, 40_000])  # Of the spool, and of a shard.
@pytest.mark.long
def test_a_file_that_cannot_be_written_asks_for_room_and_leaves_nothing(limit, source, tmp_path):
    arguments = ("fingerspelling", "--source", source, "--out", tmp_path / "out", *kaggle.FLAGS)
    child = script(LIMITED, limit, *arguments, "--split", "none")
    last = child.communicate()[1].splitlines()[-1]
    assert child.returncode == 75
    assert last.startswith(f"error: {tmp_path} is full, make room and run again")
    assert kaggle.left(tmp_path) == []


KILLED = """
import os, signal
from aslx.data import index
index.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cli.run(main)
"""


def test_a_killed_run_leaves_no_out_and_the_next_one_clears_up(prepare, source, tmp_path):
    out = tmp_path / "out"
    arguments = ("fingerspelling", "--source", source, "--out", out, *kaggle.FLAGS)
    assert script(KILLED, *arguments, stdout=None, stderr=None).wait() == -signal.SIGKILL
    (left,) = kaggle.left(tmp_path)
    assert left.startswith(".out.incomplete-")
    assert prepare(source, out).status == 0
    assert kaggle.left(tmp_path) == ["out"]


def fill(out: pathlib.Path, text: str, overwrite: bool = False) -> None:
    """Makes a data set of two files that hold the text."""
    with building.scratch(out, overwrite=overwrite) as scratch:
        (scratch / "out").mkdir()
        for name in ("dataset_info.json", "metadata.json"):
            (scratch / "out" / name).write_text(text)


def contents(out: pathlib.Path) -> list[str]:
    return [path.read_text() for path in sorted(out.iterdir())]


def scratch_folder(path: pathlib.Path) -> pathlib.Path:
    """A scratch folder that a killed run left, with a file in it."""
    path.mkdir(0o700)
    for name in ("thesis.tex", building._MARK):
        (path / name).touch()
    return path


@pytest.mark.parametrize("name", [".out.incomplete", ".out.incomplete-planted"])
def test_a_planted_link_is_not_followed(name, tmp_path):
    victim, shared = tmp_path / "photos", tmp_path / "shared"
    shared.mkdir()
    scratch_folder(victim)
    (shared / name).symlink_to(victim)
    fill(shared / "out", "new")
    assert contents(shared / "out") == ["new", "new"]
    assert {path.name for path in victim.iterdir()} == {"thesis.tex", building._MARK}


def test_a_folder_that_another_may_have_filled_or_that_is_no_scratch_stays(tmp_path):
    folders = [scratch_folder(tmp_path / f".out.incomplete-{i}") for i in range(4)]
    open_to_all, unmarked, linked, of_another = folders
    open_to_all.chmod(0o755)
    (unmarked / building._MARK).unlink()
    (linked / building._MARK).unlink()
    (linked / building._MARK).symlink_to(tmp_path / "thesis.tex")
    if os.geteuid() == 0:
        os.chown(of_another, 12345, 12345)
    else:
        folders.remove(of_another)
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

    scratch_folder(tmp_path / ".out.incomplete-left")
    monkeypatch.setattr(system, "lock", none)
    fill(tmp_path / "out", "new")
    assert kaggle.left(tmp_path) == [".out.incomplete-left", "out"]


def test_what_others_may_not_read_stays_so(tmp_path):
    path, usual = tmp_path / "read.csv", tmp_path / "usual.csv"
    usual.touch()
    files.write(path, "old")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o600)
    files.write(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    path.symlink_to("elsewhere")
    files.write(path, "newer")
    assert path.stat().st_mode == usual.stat().st_mode and not path.is_symlink()


def test_an_out_that_is_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    fill(tmp_path / "out", "old")
    fill(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out").is_symlink() and contents(tmp_path / "disk" / "out") == ["new", "new"]
    assert kaggle.left(tmp_path) == ["disk", "out"] and kaggle.left(tmp_path / "disk") == ["out"]


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path):
    out = tmp_path / ("手" * 85)  # 255 bytes.
    fill(out, "old")
    fill(out, "new", overwrite=True)
    assert contents(out) == ["new", "new"]
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
{inspect.getsource(contents)}
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
    found = None
    for _ in range(9):  # What looks may fail, too.
        try:
            found = contents(out)
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
        ["renameat2,openat,rename,fsync,mkdir:error=EIO:when=2+29"],
        ["renameat2:error=EINVAL", "rename:error=EIO:when=2+4"],  # A system without exchange.
        ["renameat2:error=EINVAL", "openat,rename,fsync:error=EIO:when=3+31"],
    ],
)
@pytest.mark.long
def test_whatever_call_fails_the_old_data_set_stands_or_the_new(faults, tmp_path):
    child = script(FAULTY, tmp_path / "out", stdin=subprocess.PIPE)
    assert processes.output(child).readline() == "ready\n"
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
if __name__ == "__main__":
    cli.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number, tmp_path):
    size = ("--sequences", 4000, "--processes", 2)
    child = script(STARTED, "synthetic", "--out", tmp_path / "set", *size)
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
