"""Contenders take turns in processes of their own."""

import functools
import os
import pathlib
import time

from benchmarks import turns


def _noting(path: pathlib.Path, name: str, seconds: float) -> turns.Work:
    def run(count: int) -> None:
        with open(path, "a") as f:
            f.write(f"{name} {os.getpid()} {os.environ.get('MARK', '')}\n")
        time.sleep(seconds * count)

    return turns.Work(run, flops=1e6)


def test_each_has_its_turn_after_the_other_and_the_first_does_not_count(tmp_path):
    path = tmp_path / "order"
    contenders = [
        turns.Contender("slow", functools.partial(_noting, path, "slow", 0.04), {"MARK": "a"}),
        turns.Contender("fast", functools.partial(_noting, path, "fast", 0.01)),
    ]
    found = turns.race(contenders, turns=3, steps=2)
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    assert [name for name, *_ in lines] == ["slow", "fast"] * 4
    assert len({pid for _, pid, _ in lines}) == 2
    assert {(name, mark) for name, _, mark in lines} == {("slow", "a"), ("fast", "")}
    assert len(found["slow"].seconds) == len(found["fast"].seconds) == 3
    assert found["slow"].median() > 2 * found["fast"].median()
    assert found["fast"].rate() == 1e6 / found["fast"].median()
    assert found["fast"].peak_bytes > 1e6
