"""Freed memory stays with a process that asked for it."""

import pathlib
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

# KiB of huge pages under 256 MiB that are no numpy array: numpy asks for such itself.
HUGE = """
import re
from aslx import memory
if {keep}:
    memory.keep()
written = b"1" * (1 << 28)
print(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
"""
MODE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ran(program: str, keep: bool) -> int:
    words = [sys.executable, "-c", program.format(keep=keep)]
    return int(subprocess.check_output(words, text=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_what_was_freed_is_taken_again_without_a_page_fault():
    assert ran(PROGRAM, keep=True) < 100 < ran(PROGRAM, keep=False)


@pytest.mark.skipif(
    not MODE.exists() or "[madvise]" not in MODE.read_text(),
    reason="the kernel gives huge pages to all or to none",
)
def test_what_is_kept_lies_in_huge_pages():
    assert ran(HUGE, keep=False) < 2**10 < 2**17 < ran(HUGE, keep=True)
