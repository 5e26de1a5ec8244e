"""Workers answer, or say why not: nobody waits for ever."""

import os
import threading

import pytest

from decision_dna.ledger.workers import Workers
from decision_dna.schemas.errors import CannotOpen, Unavailable

SECONDS_MAX = 60.0
"""For an answer on a busy machine: only a caller that nobody answers waits so long."""


def refuse() -> None:
    """Raise an error that pickles, and does not unpickle."""
    raise CannotOpen("no-ledger", "nothing is here")


def fail() -> None:
    """Raise one that does both."""
    raise ValueError("no")


def unmovable() -> object:
    """Return what can't be moved to another process."""
    return threading.Lock()


def test_answers_come_in_order_from_whichever_worker() -> None:
    with Workers(int, (), 2) as workers:
        assert list(workers.map(abs, range(-50, 0))) == list(range(50, 0, -1))


@pytest.mark.parametrize("function", [refuse, unmovable])
def test_what_cannot_be_moved_is_an_error_and_not_the_end(function) -> None:
    with Workers(int, (), 1) as workers:
        assert isinstance(workers.submit(function).exception(SECONDS_MAX), Exception)
        with pytest.raises(ValueError, match="no"):
            workers.submit(fail).result(SECONDS_MAX)
        assert workers.submit(abs, -3).result(SECONDS_MAX) == 3


def test_a_worker_that_dies_is_replaced_and_its_callers_are_told() -> None:
    with Workers(int, (), 1) as workers:
        assert isinstance(workers.submit(os._exit, 3).exception(SECONDS_MAX), Unavailable)
        assert workers.submit(abs, -3).result(SECONDS_MAX) == 3


def test_workers_that_cannot_begin_say_so() -> None:
    with Workers(int, (threading.Lock(),), 1) as workers:  # can't be pickled
        assert isinstance(workers.submit(abs, -3).exception(SECONDS_MAX), Unavailable)
        assert isinstance(workers.submit(abs, -3).exception(SECONDS_MAX), Unavailable)


def test_a_caller_that_no_longer_waits_stops_nobody() -> None:
    workers = Workers(int, (), 1)
    futures = [workers.submit(abs, -number) for number in range(50)]
    for future in futures[::2]:
        future.cancel()
    assert [future.result(SECONDS_MAX) for future in futures[1::2]] == list(range(1, 50, 2))
    late = [workers.submit(abs, -number) for number in range(50)]
    late[-1].cancel()
    workers.close()
    assert all(future.done() for future in late)
    with pytest.raises(Unavailable):
        workers.submit(abs, -3)
