"""A server stays as large as it is, whatever it refuses."""

import collections
import itertools
import sys
import time

import pytest

from tests.serve import bodies
from tests.serve.test_api import post
from tests.serve.test_hostile import resident

FLAT = 50  # Megabytes.


def settled(process, most: float) -> float:
    """Megabytes that a process holds, when they are below `most`, or after five seconds: what was
    taken for a body is given back a moment after its answer."""
    deadline = time.monotonic() + 5
    while (found := resident(process)) > most and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def flat(trained, server, count: int, first: int) -> None:
    """Bodies that are made to take memory are refused, and none is kept after the first few."""
    sizes, statuses = [], collections.Counter()
    for name, kind, body in itertools.islice(bodies.hostile(trained.columns), count):
        response = post(server, body, kind)
        statuses[response.status_code] += 1
        assert response.status_code in (400, 413, 422), (name, response.text)
        assert len(response.content) < 400, name
        most = sizes[first] + FLAT if len(sizes) > first else 0
        sizes.append(settled(server.process, most) if most else resident(server.process))
    after = sizes[first:]
    print(dict(statuses), f"{sizes[0]:.0f} MB, then {min(after):.0f} to {max(after):.0f} MB")
    assert max(after) < sizes[first] + FLAT < 400, after


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.long
def test_hostile_bodies_leave_no_memory_behind(trained, server):
    flat(trained, server, count=40, first=20)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_hostile_bodies_leave_no_memory_behind(trained, server):
    flat(trained, server, count=1000, first=50)
