"""The time, from outside: wall and monotonic clocks in ns. The only module of the ledger that reads them."""

import ctypes
import time
from contextlib import suppress
from typing import Protocol

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC counts time asleep."""


_TIMEX_BYTES, _TIME_ERROR = 256, 5
"""More than `struct timex` has; zeros only read. The state of a clock that nothing synchronises."""


class Clock(Protocol):
    """Two clocks that should run alike; where they part by more than a second, somebody set the wall clock."""

    def now_ns(self) -> int:
        """Wall time, ns since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that nobody sets."""
        ...

    def is_synchronised(self) -> bool | None:
        """Whether the system says that something keeps its wall clock right; None if it does not say."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Wall time."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Since boot, time asleep included: Linux's own monotonic clock stands still in suspend, and a closed lid would look like a step."""
        return time.clock_gettime_ns(_STEADY)

    def is_synchronised(self) -> bool | None:
        """As the Linux kernel says (adjtimex(2)); other systems do not."""
        with suppress(OSError, AttributeError):
            state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
            return None if state < 0 else state != _TIME_ERROR
        return None


class ManualClock:
    """A clock that is set by hand, for tests and simulation."""

    def __init__(self, now_ns: int) -> None:
        self.wall = now_ns
        self.steady = 0
        self.synchronised: bool | None = True

    def now_ns(self) -> int:
        """As set."""
        return self.wall

    def monotonic_ns(self) -> int:
        """As advanced."""
        return self.steady

    def is_synchronised(self) -> bool | None:
        """As set."""
        return self.synchronised

    def advance(self, ns: int) -> None:
        """Both clocks go on."""
        self.wall += ns
        self.steady += ns
