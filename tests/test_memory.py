"""Freed memory stays with a process that asked for it."""

import subprocess
import sys

import pytest

# Pages that the second of two arrays of 256 MiB brings in, after the first is gone.
PROGRAM = """
import resource
import numpy as np
from aslx import memory
if {keep}:
    memory.keep()
np.ones(1 << 25)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    program = PROGRAM.format(keep=keep)
    return int(subprocess.check_output([sys.executable, "-c", program], text=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_what_was_freed_is_taken_again_without_a_page_fault():
    assert faults(keep=True) < 100 < faults(keep=False)
