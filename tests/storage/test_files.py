"""Whether a place can be written is said before the work for it begins."""

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


ASKED = """
import pathlib, sys
from aslx.export import exports
exports.check(pathlib.Path(sys.argv[1]) / "export")
"""


@pytest.mark.skipif(not shutil.which("strace"), reason="strace makes system calls fail")
def test_a_disk_that_fails_once_is_not_said_to_be_closed(tmp_path):
    calls = "access,faccessat,faccessat2"
    strace = ["strace", "-f", "-qq", "-P", tmp_path, "-e", f"trace={calls}"]
    strace += ["-e", f"inject={calls}:error=EIO", "-o", tmp_path / "log"]
    done = processes.run([*strace, *processes.python("-c", ASKED, tmp_path)])
    assert "may not be" not in done.err and done.status == 0, done.err
