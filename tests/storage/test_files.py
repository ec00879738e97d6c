"""What lies at a path, and whether it can be written, is not said where it cannot be known."""

import pathlib
import shutil
import tempfile

import pytest

from aslx import errors
from aslx.export import exports
from aslx.storage import files
from tests import processes


@pytest.fixture
def closed():
    """A folder in which only its owner may write."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        path.chmod(0o755)
        yield path


def test_a_place_that_may_not_be_written_is_bad_input_and_named(closed):
    checks = {
        files.check_folder: closed,
        files.check_place: closed / "table.csv",
        exports.check: closed / "some" / "export",
    }
    for check, path in checks.items():
        named = closed if check is exports.check else path
        with processes.unprivileged(), pytest.raises(errors.BadInput) as error:
            check(path)
        assert str(error.value).startswith(f"{named} may not be used: "), error.value
    assert not any(closed.iterdir())


def failing(calls: str, path: pathlib.Path, program: str) -> processes.Done:
    """How a program ended whose calls on a path fail."""
    strace = ["strace", "-f", "-qq", "-P", path, "-e", f"trace={calls}"]
    strace += ["-e", f"inject={calls}:error=EIO", "-o", path.parent / "log"]
    imports = "import sys\nfrom aslx.export import exports\nfrom aslx.storage import files\n"
    return processes.run([*strace, *processes.python("-c", imports + program, path)])


@pytest.mark.skipif(not shutil.which("strace"), reason="strace makes system calls fail")
def test_a_disk_that_fails_is_not_said_to_be_closed_or_empty(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    export = "exports.check(files.absolute(sys.argv[1]) / 'export')"
    assert failing("access,faccessat,faccessat2", folder, export).succeeded() == ""
    for ask in ("exists", "is_folder", "is_file"):
        found = f"print(files.{ask}(files.absolute(sys.argv[1])))"
        done = failing("stat,newfstatat,statx", folder, found)
        assert done.status == 1 and "[Errno 5]" in done.err and not done.out


def test_what_lies_at_a_path_is_told(tmp_path, closed):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    asked = (files.exists, files.is_folder, files.is_file)
    for name, wanted in {
        "": (True, True, False),
        "file": (True, False, True),
        "file/below": (False, False, False),
        "missing": (False, False, False),
        "loop": (False, False, False),
        "zero\0byte": (False, False, False),
    }.items():
        assert tuple(ask(tmp_path / name) for ask in asked) == wanted, name
    closed.chmod(0o700)
    for ask in asked:
        with processes.unprivileged(), pytest.raises(errors.BadInput, match="may not be used"):
            ask(closed / "file")
