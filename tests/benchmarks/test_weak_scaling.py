"""Predicted weak scaling, from the figures of compiled programs."""

import pytest

from benchmarks import weak_scaling


def line(topology: str, step: float = 1e-3, sent: float = 9e6, config: str = "a") -> dict:
    return {
        "config": config,
        "topology": topology,
        "batch_per_chip": 4,
        "least_seconds": step,
        "collectives": [{"op": "all-reduce", "bytes": sent, "times": 1, "arrays": []}],
    }


def test_a_step_takes_the_time_of_the_chip_and_of_the_links():
    small, *_, large = weak_scaling.scaled([line("v5e:2x4"), line("v5e:16x16")])
    assert (small["chips"], small["clips"], large["chips"], large["clips"]) == (8, 32, 256, 1024)
    # There and back over lines of 2 and 4 chips at 45 GB/s each; over two rings at twice that
    # rate, and half of a ring to the farthest chip.
    assert small["collective_seconds"] == pytest.approx(18e6 / 90e9 + 2 * 4e-6)
    assert large["collective_seconds"] == pytest.approx(18e6 / 180e9 + 2 * 16e-6)
    assert small["seq_per_s"] == pytest.approx([32 / 1.208e-3, 32 / 1e-3])
    assert small["efficiency"] == [1, 1]
    assert large["efficiency"] == pytest.approx([1.208 / 1.132, 1])


def test_a_step_waits_for_slow_links():
    (first, *_) = weak_scaling.scaled([line("v5e:2x4", step=1e-4)])
    assert first["seq_per_s"][1] == pytest.approx(32 / 2.08e-4)


def test_the_program_for_the_nearest_number_of_chips_is_used():
    found = weak_scaling.scaled([line("v5e:2x4"), line("v5e:16x16")])
    told = [one["compiled_for"] for one in found]
    assert told == ["v5e:2x4"] * 3 + ["v5e:16x16"] * 3
    assert weak_scaling.table(found).count("\n") == 7


def test_lines_of_two_configs_or_of_none_are_an_error():
    with pytest.raises(ValueError, match="one config and chip"):
        weak_scaling.scaled([line("v5e:2x4"), line("v5e:2x4", config="b")])
    with pytest.raises(ValueError, match="one config and chip"):
        weak_scaling.scaled([])
