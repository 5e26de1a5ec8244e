"""The time, from outside: wall and monotonic clocks in ns. The only module of the ledger that reads them."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks that should run alike; where they part by more than a second, somebody set the wall clock."""

    def now_ns(self) -> int:
        """Wall time, ns since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that nobody sets."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Wall time."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Since some start."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that is set by hand, for tests and simulation."""

    def __init__(self, now_ns: int) -> None:
        self.wall = now_ns
        self.steady = 0

    def now_ns(self) -> int:
        """As set."""
        return self.wall

    def monotonic_ns(self) -> int:
        """As advanced."""
        return self.steady

    def advance(self, ns: int) -> None:
        """Both clocks go on."""
        self.wall += ns
        self.steady += ns
