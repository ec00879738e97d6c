"""Contenders take turns in processes of their own."""

import functools
import os
import pathlib
import threading
import time

from benchmarks import turns


def _noting(path: pathlib.Path, name: str, seconds: float) -> turns.Work:
    def run(count: int) -> None:
        with open(path, "a") as f:
            f.write(f"{name} {os.getpid()} {os.environ.get('MARK', '')}\n")
        time.sleep(seconds * count)

    return turns.Work(run, flops=1e6)


def test_contenders_alternate_and_the_first_turn_does_not_count(tmp_path):
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


def _counting(path: pathlib.Path) -> turns.Work:
    """Works in a thread of its own, as a loader that reads ahead does."""

    def count() -> None:
        while True:
            path.write_text("more")
            time.sleep(0.001)

    threading.Thread(target=count, daemon=True).start()
    return turns.Work(lambda _: time.sleep(0.05))


def _watching(path: pathlib.Path, seen: pathlib.Path) -> turns.Work:
    def run(_: int) -> None:
        path.unlink(missing_ok=True)
        time.sleep(0.1)
        with open(seen, "a") as f:
            f.write(f"{path.exists()} ")

    return turns.Work(run)


def test_a_contender_does_no_work_during_the_turns_of_others(tmp_path):
    path, seen = tmp_path / "count", tmp_path / "seen"
    contenders = [
        turns.Contender("counting", functools.partial(_counting, path)),
        turns.Contender("watching", functools.partial(_watching, path, seen)),
    ]
    turns.race(contenders, turns=3, steps=1)
    assert seen.read_text().split() == ["False"] * 4
