"""When what lies below fails: callers are told, nobody hangs, and nothing that was acknowledged is missing."""

from typing import Any

import httpx
import pytest

from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import Faults, MemoryLock, MemoryStore
from decision_dna.ledger.opening import resume, write_genesis
from decision_dna.schemas.errors import StoreFailed, WriterStopped
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.ledger.memory_log import ORIGIN, POLICY, START, ManualClock, keyring, new_log, reopened
from tests.service.serving import Service, event


def over(faults: Faults) -> tuple[Ledger, MemoryStore, ManualClock]:
    """A ledger whose store fails at a write."""
    store, clock = MemoryStore(faults), ManualClock(START)
    locked = write_genesis(store, keyring(), ORIGIN, POLICY, None, clock)
    return resume(None, store, MemoryLock(locked), keyring(), clock), store, clock


@pytest.mark.parametrize("stored", ["never", "later"])
def test_a_write_that_fails_is_told_to_callers_and_ends_the_service(stored: Any) -> None:
    """The writer is stopped for good, so the service ends instead of living on; nothing acknowledged is missing."""
    ledger, store, clock = over(Faults(write=4, stored=stored))  # genesis, heartbeat, an event: then this one
    ledger.heartbeat()
    acknowledged: list[int] = []
    with (
        pytest.raises(ExceptionGroup) as ended,
        serving(ledger, Settings(port=0)) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        served = Service(ledger, clock, address, client)
        while (answer := served.post(event(len(acknowledged)))).status_code == 201:
            acknowledged.append(answer.json()["seq"])
        assert "the writer has stopped" in served.problem(answer, 503).detail
    assert ended.group_contains(WriterStopped)
    head = ledger.reader.head()
    again = reopened(store.crash(), head, clock)
    assert again.reader.size >= head.size == len(acknowledged) + 2
    assert [again.reader.event(seq).seq for seq in acknowledged] == acknowledged


def test_a_fault_of_our_own_ends_the_service_and_nobody_waits_for_ever() -> None:
    """A listener that raises is a bug, no error of the ledger: the committing thread dies, and with it the service."""
    ledger, _, clock = new_log()
    ledger.heartbeat()

    def fail(_: object) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ExceptionGroup) as ended, serving(ledger, Settings(port=0)) as address:
        ledger.writer.on_commit(fail)
        with httpx.Client(base_url=address, timeout=30) as client:
            served = Service(ledger, clock, address, client)
            served.problem(served.post(event(1)), 503)
    assert ended.group_contains(ZeroDivisionError)


def test_a_store_error_while_reading_is_no_fault_of_the_caller() -> None:
    ledger, store, clock = new_log()
    ledger.heartbeat()
    with serving(ledger, Settings(port=0)) as address, httpx.Client(base_url=address) as client:
        served = Service(ledger, clock, address, client)
        store.close()
        problem = served.problem(served.get("/api/events/1"), 503)
        assert problem.title in (StoreFailed.__name__, "Unavailable")
