"""Long reads beside the loop: so many at once, so many that wait for them, each for a bounded time.

Evidence, lineages and states take seconds and many megabytes. A few at a time leave the rest of the service its share of
the interpreter and of the memory. If too many are asked for, the answer is 503 with Retry-After.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from decision_dna.schemas.errors import Busy

WAITING_MAX = 16
WAIT_SECONDS_MAX = 20.0

T = TypeVar("T")


class LongReads:
    """The turns of long reads. Lives on one event loop."""

    def __init__(self, at_once: int, *, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="long-read")
        self._turns = asyncio.Semaphore(at_once)
        self._wait_seconds_max = wait_seconds_max
        self.waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, in a thread of its own. Raises Busy if no turn comes in time, and what `work` raises."""
        if self.waiting >= WAITING_MAX:
            raise Busy(f"{self.waiting} long reads wait already: try again in a moment")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy("other long reads took too long: try again in a moment") from None
        finally:
            self.waiting -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._turns.release()

    def close(self) -> None:
        """Wait for the reads in hand; no more begin."""
        self._threads.shutdown()
