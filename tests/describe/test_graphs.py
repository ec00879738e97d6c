"""What the host launches of a program for GPUs, as its compiler lists it."""

import pathlib

import pytest

from aslx import errors
from aslx.describe import graphs

# A kernel, a graph of a product and a loop of a kernel, and a loop outside of graphs.
LISTED = """
000: kKernel fusion.1
001: kCommandBuffer command_buffer
  000: kGemm product
  001: kWhile while.1
    000: kKernel fusion.2
002: kWhile while.2
  000: kKernel fusion.3
003: kCopy copy.1
"""


def test_a_graph_is_launched_once_and_what_it_holds_is_not(tmp_path):
    outside, inside = graphs.counted(LISTED)
    assert outside == {"kKernel": 2, "kCommandBuffer": 1, "kCopy": 1}
    assert inside == {"kGemm": 1, "kKernel": 1}
    (tmp_path / "m.thunk_sequence_after_thunk_passes.txt").write_text(LISTED)
    assert graphs.launches(str(tmp_path)) == {"launches": 4, "in_graphs": 2}


def test_a_compiler_that_lists_nothing_is_named(tmp_path: pathlib.Path):
    with pytest.raises(errors.Unavailable, match="has not said what the host launches"):
        graphs.launches(str(tmp_path))
