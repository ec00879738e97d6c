"""The benchmark of the loader, on a few short clips."""

import json
import sys

import pytest

from benchmarks import loader


@pytest.mark.slow
def test_each_way_of_reading_gets_a_line_and_a_row_of_the_table(monkeypatch, capsys):
    tiny = {"clips": 20, "frames": 5, "rows": 4, "turns": 2, "steps": 2}
    options = [word for name, value in tiny.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["loader", *options])
    loader.main()
    lines = capsys.readouterr().out.splitlines()
    found = {line["contender"]: line for line in map(json.loads, lines[:7])}
    head, _, *rows = lines[7:]
    with_threads = ["aslx", "aslx, threads", "copy and CRC", "copy and CRC, threads"]
    others = ["bare loop", "tf.data, the baselines'", "tf.data, tuned"]
    assert list(found) == with_threads + others
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(found)
    assert found["aslx"]["ratio"] == 1 and "times ours" in head
    for line in found.values():
        assert line["benchmark"] == "loader" and line["rows"] == 4 and line["frames"] == 5
        assert 0 < line["seq_per_s_min"] <= line["seq_per_s"] <= line["seq_per_s_max"]
