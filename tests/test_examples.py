"""The notebooks of examples/."""

import json
import pathlib

import pytest

from tests import processes

pytestmark = pytest.mark.long

NOTEBOOKS = sorted((processes.ROOT / "examples").glob("*.ipynb"))


def code(path: pathlib.Path) -> list[dict]:
    """The cells of code."""
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_output(path):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_the_first_cell_to_the_last(path, tmp_path):
    text = "\n\n".join("".join(cell["source"]) for cell in code(path))
    env = processes.environment(PYTHONPATH=str(processes.ROOT))
    printed = processes.run(processes.python("-c", text), tmp_path, env=env).succeeded()
    assert printed.splitlines()[-1].startswith("(")  # The last cell prints a shape.
