"""A small source in Kaggle's layout, and the command that prepares one."""

import pytest

from aslx.prepare import __main__ as command
from tests.prepare import kaggle


@pytest.fixture
def source(tmp_path):
    return kaggle.write(tmp_path / "kaggle", kaggle.some(16, frames=9))


@pytest.fixture
def prepare(run):
    """Runs aslx.prepare fingerspelling."""

    def prepare(source, out, *flags):
        kind = ("fingerspelling", "--source", source, "--out", out)
        return run(command, *kind, *kaggle.FLAGS, *flags)

    return prepare
