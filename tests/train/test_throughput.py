"""What a run says of its speed while it runs."""

import dataclasses
import re
import time

import jax
import numpy as np
import pytest

from aslx.kernels import peaks
from aslx.train import kernel_times, logs, loop, throughput
from tests import tiny


def clips(lengths: list[int], weight: list[int], frames: int) -> dict[str, np.ndarray]:
    return {
        "landmarks": np.zeros((len(lengths), frames, 2, 3), np.float16),
        "length": np.array(lengths, np.int32),
        "weight": np.array(weight, np.float32),
    }


def test_rates_count_what_is_no_padding_since_the_last_line(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    now = [100.0]
    speed = throughput.Throughput(2, lambda batch: 30.0, 10.0, _since=100.0)
    batch = jax.device_put(clips([5, 3, 8], [1, 1, 0], 8))
    speed.rows(clips([5, 3, 8], [1, 1, 0], 8))
    assert speed.step(batch)  # Compiles.
    now[0] += 4.0
    found = speed.figures(waited=1.0)
    assert found == {
        "seq_per_s": 2 * 2 / 4,
        "frames_per_s": 2 * 8 / 4,
        "padding": round(1 - 8 / 24, 4),
        "input_wait": 0.25,
        "mfu": 30 / 4 / 10,
    }
    speed.rows({"image": np.zeros((4, 9, 9, 3)), "weight": np.array([1, 1, 1, 0])})
    assert not speed.step(batch)
    now[0] += 1.0
    found = speed.figures(waited=1.5)
    assert found["frames_per_s"] == found["seq_per_s"] == 2 * 3 and found["padding"] == 0.25
    assert found["input_wait"] == 0.5
    assert speed.figures(waited=1.5) == found  # No step since then.


def test_the_chips_of_the_table_are_known_by_the_names_of_their_devices():
    assert peaks.of("NVIDIA H200") is peaks.CHIPS["h200"] and peaks.of("cpu") is None


@pytest.fixture
def known(monkeypatch) -> peaks.Chip:
    """A chip with the name of this machine's devices."""
    kind = jax.devices()[0].device_kind
    chip = dataclasses.replace(peaks.CHIPS["v5e"], name=kind, flops={"f32": 1e10})
    monkeypatch.setitem(peaks.CHIPS, "v5e", chip)
    return chip


@pytest.mark.long
def test_a_run_says_its_share_of_the_peak_and_the_kernels_of_a_profile(
    dataset, tmp_path, known, capsys
):
    cfg = tiny.cfg(dataset, epochs=2, eval_every=2, log_every=1)
    loop.run(cfg, tmp_path, profile=2)
    steps = [line for line in logs.read(tmp_path / "metrics.jsonl") if "loss" in line]
    assert 0 < max(line["mfu"] for line in steps) < 1  # The first one compiles.
    assert all(0 <= line["padding"] < 1 for line in steps)
    assert all(0 <= line["input_wait"] <= 1 and line["frames_per_s"] > 0 for line in steps)
    said = capsys.readouterr().out
    idle = re.search(r"devices idle for (\d+)% of the traced time; the longest kernels:", said)
    assert idle and int(idle[1]) <= 100
    assert len(re.findall(r"^ +[\d.]+ ms a step +\d+% +[\d,.]+ times  \S", said, re.M)) == 10


def test_a_loops_own_time_is_without_its_trips():
    inner = [(1.0, 2.0, "add"), (2.0, 4.0, "add")]
    every = [(0.0, 10.0, "while"), *inner, (10.0, 11.0, "last")]
    found = sorted(kernel_times._own(every))
    assert found == [("add", 1.0), ("add", 2.0), ("last", 1.0), ("while", 7.0)]
    assert kernel_times._covered([(0, 4), (1, 2), (3, 5), (7, 8)]) == 6
