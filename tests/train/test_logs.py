"""The log of a run: damaged lines, and the report of the clock."""

import json
import time

import pytest

from aslx.train import logs


@pytest.mark.parametrize("bad", [b'{"step": 2, "lo', b"\0" * 40, b"\xff\xfe", b"[1]", b'{"a": 1}'])
def test_a_damaged_line_is_named_and_all_others_are_kept(tmp_path, caplog, bad):
    path = tmp_path / "metrics.jsonl"
    good = [{"step": i, "loss": 0.5} for i in (1, 3)]
    whole = [json.dumps(line).encode() for line in good]
    path.write_bytes(b"\n".join([whole[0], bad, whole[1], b'{"step": 4']))
    assert logs.read(path) == good
    assert f"{path} line 2 is damaged" in caplog.text
    with logs.Log(tmp_path, start=3, steps=5) as log:
        log.write(4, {"loss": 0.25})
    caplog.clear()
    assert logs.read(path) == [*good, {"step": 4, "loss": 0.25}] and not caplog.text


def test_a_clock_that_has_timed_no_step_reports_no_goodput():
    clock = logs.Clock()
    with clock("frozen layers"):
        time.sleep(0.01)
    assert "frozen layers" in clock.report() and "goodput" not in clock.report()
