"""A training that goes on while its storage fails: nothing is lost, and the status says why."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from tests import tiny, trees

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("strace"), reason="strace makes system calls fail"),
]
ROOT = pathlib.Path(__file__).parent.parent
NOTES, NAMES, ARRAYS = "_CHECKPOINT_METADATA", "state/manifest.ocdbt", "state/ocdbt.process_0/d/*"


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory) -> pathlib.Path:
    """A run that is at its end, and its config beside it."""
    folder = tmp_path_factory.mktemp("trained")
    tiny.config_file(folder / "tiny.py", dataset, save_every=2, epochs=3)
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder


def train(folder: pathlib.Path, *before: object) -> subprocess.CompletedProcess:
    words = [*before, sys.executable, "-m", "aslx.train", "--config", folder / "tiny.py"]
    words += ["--workdir", folder / "run"]
    return subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("file", "calls", "error", "status"),
    [
        (NOTES, "openat", "EIO", 75),
        (NOTES, "openat", "EACCES", 2),
        (NAMES, "openat", "ESTALE", 75),
        (NAMES, "pread64", "EIO", 75),  # Of TensorStore, once the checksum is right.
        (ARRAYS, "openat", "EIO", 75),
        (ARRAYS, "openat", "EACCES", 2),
        (ARRAYS, "openat:when=2+", "EIO", 75),
        (ARRAYS, "openat:when=2+", "EACCES", 2),
        (ARRAYS, "read,pread64", "EIO", 75),
    ],
)
def test_what_cannot_be_read_is_kept_and_ends_the_run(
    trained, tmp_path, file, calls, error, status
):
    copy = pathlib.Path(shutil.copytree(trained, tmp_path / "copy"))
    checkpoints = copy / "run" / "checkpoints"
    newest = max((p for p in checkpoints.iterdir()), key=lambda p: int(p.name))
    (path,) = newest.glob(file)
    before, lines = trees.contents(checkpoints), (copy / "run" / "metrics.jsonl").read_bytes()
    names, _, when = calls.partition(":")
    inject = f"inject={names}:error={error}" + (f":{when}" if when else "")
    done = train(copy, "strace", "-f", "-o", tmp_path / "calls", "-P", path, "-e", inject)
    assert done.returncode == status, done.stderr
    assert str(newest) in done.stderr.splitlines()[-1]
    if status == 2:
        assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    assert trees.contents(checkpoints) == before
    assert (copy / "run" / "metrics.jsonl").read_bytes() == lines
