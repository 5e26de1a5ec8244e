"""Long reads take turns, and whoever comes when too many wait is told so."""

import asyncio
import threading

import pytest

from decision_dna.schemas.errors import Busy, NotFound
from decision_dna.service.http.beside import WAITING_MAX, LongReads


async def test_long_reads_run_so_many_at_once_and_in_turn() -> None:
    reads, pair, running, most = LongReads(2), threading.Barrier(2), 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pair.wait(timeout=30)  # for another one that runs at the same time
        with lock:
            running -= 1
        return number

    asked = [asyncio.ensure_future(reads.run(lambda number=number: work(number))) for number in range(10)]
    assert await asyncio.gather(*asked) == list(range(10))
    assert (most, reads.waiting) == (2, 0)
    reads.close()


async def test_long_read_past_those_that_may_wait_is_refused_at_once() -> None:
    reads, gate = LongReads(1), threading.Event()
    asked = [asyncio.ensure_future(reads.run(gate.wait)) for _ in range(1 + WAITING_MAX)]
    while reads.waiting < WAITING_MAX:
        await asyncio.sleep(0)
    with pytest.raises(Busy):
        await reads.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*asked) == [True] * len(asked)
    assert await reads.run(gate.wait)
    reads.close()


async def test_long_read_whose_turn_does_not_come_is_refused() -> None:
    reads, gate = LongReads(1, wait_seconds_max=0.01), threading.Event()
    first = asyncio.ensure_future(reads.run(gate.wait))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await reads.run(gate.wait)
    gate.set()
    assert await first
    reads.close()


async def test_long_read_that_fails_gives_its_turn_back() -> None:
    reads = LongReads(1)

    def fail() -> None:
        raise NotFound("nothing")

    for _ in range(3):
        with pytest.raises(NotFound):
            await reads.run(fail)
    reads.close()
