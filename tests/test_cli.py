"""How a command ends."""

import pytest

from aslx import cli


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("main", "status", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (lambda: fail(ValueError("phrase 'é'\n  is odd")), 2, "error: phrase 'é' is odd\n"),
        (lambda: fail(FileNotFoundError(2, "No such file", "a.csv")), 2,
         "error: [Errno 2] No such file: 'a.csv'\n"),
        (lambda: fail(KeyboardInterrupt()), 130, "error: interrupted\n"),
    ],
)  # fmt: skip
def test_bad_input_ends_in_one_line_and_status_2(main, status, line, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == status
    assert capsys.readouterr() == ("", line)


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 // 0)
