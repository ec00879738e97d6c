"""How a command ends."""

import errno

import pytest

from aslx import cli, errors


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
        (lambda: fail(errors.BadInput("phrase 'é'\n  is odd")), 2,
         "error: phrase 'é' is odd\n"),
        (lambda: fail(KeyboardInterrupt()), 130, "error: interrupted\n"),
    ],
)  # fmt: skip
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
    ],
)
def test_a_fault_of_storage_or_network_keeps_its_traceback_and_ends_with_75(error, cause, capsys):
    assert ended(lambda: fail(error, cause)) == 75
    err = capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("error: ")
