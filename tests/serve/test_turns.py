"""The order in which the server works, and what it keeps."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from aslx.export import exported, interpreters
from aslx.serve import interpreter_pool as engine_lib
from aslx.serve import refusals, turns
from tests.serve import servers


async def order(places: int, *asked: tuple[turns.Client, float]) -> list[int]:
    """The order in which pieces of work that were asked for at the same time have their turns."""
    line, done = turns.Turns(places), []
    busy = [turns.Client() for _ in range(places)]
    for client in busy:
        await line.take(client, 1)

    async def work(number: int, client: turns.Client, cost: float) -> None:
        await line.take(client, cost)
        done.append(number)
        await asyncio.sleep(0)
        line.give()

    tasks = [asyncio.create_task(work(i, *one)) for i, one in enumerate(asked)]
    await asyncio.sleep(0)
    for _ in busy:
        line.give()
    await asyncio.gather(*tasks)
    return done


def test_a_small_piece_of_work_does_not_wait_for_large_ones_that_came_before():
    clients = [turns.Client() for _ in range(9)]
    asked = [*((client, 1200) for client in clients[:8]), (clients[8], 1)]
    assert servers.ran(order(1, *asked))[0] == 8


def test_a_client_that_has_had_much_waits_for_one_that_has_had_little():
    greedy, modest = turns.Client(), turns.Client()
    asked = [*((greedy, 10) for _ in range(5)), *((modest, 10) for _ in range(2))]
    assert servers.ran(order(1, *asked)) == [0, 5, 1, 6, 2, 3, 4]


def test_a_large_piece_of_work_is_done_though_small_ones_keep_coming():
    large = (turns.Client(), 100)
    asked = [large, *((turns.Client(), 10) for _ in range(5))]

    async def run() -> int:
        line, done = turns.Turns(1), 0
        await line.take(turns.Client(), 1)
        task = asyncio.create_task(line.take(*large))
        await asyncio.sleep(0)
        while not task.done():
            small = asyncio.create_task(line.take(turns.Client(), 10))
            await asyncio.sleep(0)
            line.give()
            await asyncio.sleep(0)
            done += small.done()
            small.cancel()
            assert done < 50
        return done

    assert servers.ran(order(1, *asked))[-1] == 0
    assert servers.ran(run()) > 1


def test_a_client_that_has_gone_holds_no_turn():
    async def run() -> None:
        line = turns.Turns(1)
        await line.take(turns.Client(), 1)
        gone = [asyncio.create_task(line.take(turns.Client(), 1)) for _ in range(2)]
        await asyncio.sleep(0)
        gone[0].cancel()  # In the line.
        await asyncio.sleep(0)
        line.give()
        gone[1].cancel()  # In the moment in which its turn comes.
        await asyncio.gather(*gone, return_exceptions=True)
        await asyncio.wait_for(line.take(turns.Client(), 1), 5)

    servers.ran(run())


@pytest.fixture
def engine(trained) -> Iterator[engine_lib.Engine]:
    engine = engine_lib.Engine(exported.open_export(trained.workdir / "export"), 1)
    yield engine
    engine.close()


def test_the_data_of_a_refused_piece_of_work_are_freed_at_once(engine):
    held = []

    def work() -> None:
        mine = np.zeros(1000)
        held.append(weakref.ref(mine))
        raise refusals.Refused(422, "no")

    async def run() -> None:
        with pytest.raises(refusals.Refused):
            await engine.run(work, turns.Client(), 1)

    gc.disable()
    try:
        servers.ran(run())
        assert held[0]() is None
    finally:
        gc.enable()


def test_an_interpreter_does_not_keep_the_memory_of_a_long_clip(engine, monkeypatch):
    made, interpreter = [], interpreters.of_clips
    monkeypatch.setattr(
        interpreters, "of_clips", lambda *given: made.append(1) or interpreter(*given)
    )
    clip = np.zeros((600, 126), np.float32)
    assert engine.read(clip[:400]) and not made
    assert engine.read(clip) == engine.read(clip) and len(made) == 2
