"""Freed memory stays with a process that asked for it."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslx import config
from aslx.kernels import malloc_tuning
from tests import processes, tiny_runs

ROOT = pathlib.Path(__file__).parent.parent.parent

# Pages that the second of two arrays of 256 MiB brings in, after the first is gone.
PROGRAM = """
import resource
import numpy as np
from aslx.kernels import malloc_tuning
if {keep}:
    malloc_tuning.keep()
np.ones(1 << 25)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# KiB of huge pages under 256 MiB that are no numpy array: numpy asks for such itself.
HUGE = """
import re
from aslx.kernels import malloc_tuning
if {keep}:
    malloc_tuning.keep()
written = b"1" * (1 << 28)
print(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
"""
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone is told")
MODE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ran(program: str, keep: bool, platform: str = "cpu", limit: int = 0) -> int:
    """The number that a process prints; `limit`: KiB of addresses that it may have."""
    words = [sys.executable, "-c", program.format(keep=keep)]
    if limit:
        words = ["bash", "-c", f'ulimit -v {limit}; exec "$@"', "bash", *words]
    env = os.environ | {"JAX_PLATFORMS": platform}
    return int(subprocess.check_output(words, text=True, env=env))


@LINUX
def test_what_was_freed_is_taken_again_without_a_page_fault():
    assert ran(PROGRAM, keep=True) < 100 < ran(PROGRAM, keep=False)


# MiB of addresses that the process has taken, and that it goes on and works.
ADDRESSES = """
import re
import numpy as np
from aslx.kernels import malloc_tuning
if {keep}:
    malloc_tuning.keep()
np.ones(1 << 25)
print(int(re.search(r"VmPeak:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


@LINUX
def test_nothing_is_kept_beside_an_accelerator():
    assert ran(PROGRAM, keep=True, platform="cuda") > 100


@LINUX
def test_under_a_limit_of_addresses_half_of_what_is_left_is_reserved():
    plain, kept = (ran(ADDRESSES, keep=keep, limit=4 << 20) for keep in (False, True))
    assert plain + 1000 < kept < 3200


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/a/b\n", {"a/memory.max": "4096", "a/b/memory.max": "max"}, [4096]),
        ("0::/a/b\n", {"a/memory.max": "4096", "a/b/memory.max": "512"}, [512, 4096]),
        ("0::/\n", {"memory.max": "4096"}, [4096]),
        # A container's own view: the path is the host's, and its limit is the root's.
        ("0::/../pods/c\n", {"memory.max": "4096"}, [4096]),
        (
            "9:cpu:/x\n4:memory:/pods/c\n0::/\n",
            {"memory/memory.limit_in_bytes": "9223372036854771712"},
            [9223372036854771712],
        ),
        ("4:memory,cpu:/a\n", {"memory/a/memory.limit_in_bytes": "7"}, [7]),
        ("1:name=systemd:/\n", {}, []),
        ("", {}, []),
    ],
)
def test_the_limits_of_control_groups_of_either_version_are_found(tmp_path, groups, files, limits):
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert malloc_tuning.group_limits(tmp_path / "groups", tmp_path / "root") == limits


# KiB that the features of a clip of each length add to what the process had at most before.
FEATURES = """
import resource
import jax
import numpy as np
from aslx.inputs import phrase_features
kind = phrase_features.Modern(min_frames=96, max_frames=96)
run = jax.jit(kind)
for frames in (1000, 16000):
    clip = np.zeros((1, frames, len(kind.selection.points), 3), np.float16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    jax.block_until_ready(run(clip, np.array([frames])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_features_of_a_long_clip_take_memory_that_grows_with_its_frames():
    assert ran(FEATURES, keep=False) < 4 * 16000


def tiled(path: pathlib.Path, sample: pathlib.Path, frames: int, names: Sequence[str]) -> None:
    """Writes one sequence of so many frames in a parquet file: a real clip's, again and again."""
    table = pq.read_table(sample)
    ids = table["sequence_id"].to_numpy()
    first = table.take(np.flatnonzero(ids == ids[0]))
    at = np.arange(frames) % len(first)
    columns = {n: first[n].to_numpy()[at].astype("f4") for n in names}
    beside = {"sequence_id": np.full(frames, 7), "frame": np.arange(frames)}
    pq.write_table(pa.table(columns | beside), path)


# The most that a command holds, asked by a small process: a process that starts another one is
# counted as its first memory.
MOST = """
import os, resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@pytest.mark.slow
def test_an_hour_is_predicted_in_400_mb_and_4_kb_a_frame(tmp_path, shared):
    cfg = config.load("quickstart")
    workdir = tiny_runs.untrained(cfg, tmp_path / "run")
    sample = min(shared.glob("fingerspelling_sample/*_landmarks/*.parquet"))
    cache = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    env = processes.environment("XLA_FLAGS", **cache)
    for frames in (1000, 16000, 108000):
        path = tmp_path / f"{frames}.parquet"
        tiled(path, sample, frames, cfg.features.source.about["columns"])
        predict = processes.command("predict", "--workdir", workdir, path)
        answer, most = (
            processes.run(processes.python("-c", MOST, *predict), env=env).succeeded().splitlines()
        )
        assert json.loads(answer)["sequence_id"] == 7
        print(f"{frames} frames: {int(most) * 1024 / 1e6:.0f} MB")
        assert int(most) * 1024 <= 400e6 + 4000 * frames


@pytest.mark.skipif(
    not MODE.exists() or "[madvise]" not in MODE.read_text(),
    reason="the kernel gives huge pages to all or to none",
)
def test_what_is_kept_lies_in_huge_pages():
    assert ran(HUGE, keep=False) < 2**10 < 2**17 < ran(HUGE, keep=True)
