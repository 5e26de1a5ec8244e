"""Who may speak a type, judged once and twice: refused at submission, failed by step 4; and how many sources a principal opens."""

from collections.abc import Collection, Iterator

import msgspec
import pytest

from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryLock, MemoryStore
from decision_dna.ledger.opening import resume, write_genesis
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.errors import LedgerError, Malformed, Refused
from decision_dna.schemas.ledgering import POLICY as POLICY_TYPE
from decision_dna.schemas.ledgering import SourceRule
from decision_dna.schemas.payloads import known_types
from decision_dna.schemas.stating import StateCommitted
from tests.ledger.memory_log import ORIGIN, POLICY, START, keyring, new_log

STATE = codec.encode(StateCommitted(as_of=1, entries=1, projection="detections", root=bytes(32), version=1))


def outcome_of(
    ledger: Ledger, type_name: str, source: str, principal: str = "alice", payload: bytes = b"\x80"
) -> object:
    return ledger.append([Draft(type=type_name, schema=1, source=source, payload=payload)], principal).outcomes[0]


@pytest.mark.parametrize("source", ["engine", "dex"])
def test_engine_state_of_a_caller_is_refused(source: str) -> None:
    """One such event made verification fail for ever."""
    ledger, _, _ = new_log()
    assert isinstance(outcome_of(ledger, "engine.state", source, payload=STATE), Refused)
    assert ledger.reader.size == 1


@pytest.mark.parametrize(("name", "schema"), [each for each in known_types() if not each[0].startswith("x.")])
def test_every_declared_type_has_a_speaker_that_is_no_caller(name: str, schema: int) -> None:
    """Whatever a caller hands in under a type of the system's is refused, from any source, and nothing is written."""
    ledger, _, _ = new_log()
    for source in ("engine", "dex", "ledger", "anchor"):
        draft = Draft(type=name, schema=schema, source=source, payload=b"\x80")
        try:
            assert isinstance(ledger.append([draft], "alice").outcomes[0], LedgerError)
        except Malformed:
            assert source in ("ledger", "anchor") or name.partition(".")[0] in ("ledger", "anchor")
    assert ledger.reader.size == 1


@pytest.mark.parametrize("principal", ["engine", "ledger", "anchor"])
def test_principals_of_the_ledgers_own_parts_are_no_callers(principal: str) -> None:
    """A caller that is named so would speak as the system."""
    ledger, _, _ = new_log()
    with pytest.raises(Refused, match="part of the ledger"):
        outcome_of(ledger, "x.seen", "dex", principal)


@pytest.mark.parametrize("type_name", ["x.seen", "detection.sandwich"])
def test_system_source_is_the_systems_alone(type_name: str) -> None:
    """A stranger who could speak as it would take the ids of its events, which follow from the block."""
    ledger, _, _ = new_log()
    assert isinstance(outcome_of(ledger, type_name, "engine"), Refused)


def test_mixed_batch_passes_no_stranger() -> None:
    """What was judged for one type, or one principal, says nothing of another in the same stream."""
    ledger, _, _ = new_log()
    own = Draft(type="engine.state", schema=1, source="engine", payload=STATE)
    rows = [*ledger._prepare_as("engine", [own]), *ledger.prepare([own], "alice"), *ledger._prepare_as("engine", [own])]
    outcomes = ledger.writer.append(rows).outcomes
    assert [isinstance(each, Placed) for each in outcomes] == [True, False, True]


@pytest.mark.parametrize("type_name", ["control.pause", "control.ack", "y.seen", "engines.state", "xx.seen"])
def test_type_without_a_speaker_here_is_refused(type_name: str) -> None:
    """Commands need an operator's key, and a type that is not in the table has no speaker at all."""
    ledger, _, _ = new_log()
    assert isinstance(outcome_of(ledger, type_name, "ops"), Refused)
    assert ledger.reader.size == 1


# --- how many sources a principal opens ---------------------------------------------------------------------------------


def capped(most: int) -> Ledger:
    policy = msgspec.structs.replace(POLICY, default_attestation="notary", sources_per_principal_max=most)
    store, clock = MemoryStore(), ManualClock(START)
    return resume(
        None, store, MemoryLock(write_genesis(store, keyring(), ORIGIN, policy, None, clock)), keyring(), clock
    )


def opened(ledger: Ledger, principal: str, *sources: str, atomic: bool = False) -> list[bool]:
    drafts = [Draft(type="x.seen", schema=1, source=source, payload=b"\x80") for source in sources]
    return [isinstance(outcome, Placed) for outcome in ledger.append(drafts, principal, atomic=atomic).outcomes]


def test_sources_of_a_principal_are_bounded() -> None:
    """So many without a rule, also over batches and after a restart; others, and sources with a rule, are not concerned."""
    ledger = capped(3)
    assert opened(ledger, "alice", "a", "b", "a", "c", "d", "a") == [True, True, True, True, False, True]
    assert opened(ledger, "bob", "d", "a") == [True, True]
    assert opened(ledger, "alice", "e", "b") == [False, True]
    again = resume(None, ledger.store.kill(), MemoryLock(ledger.reader.head()), keyring(), ledger.clock)  # type: ignore[attr-defined]
    assert opened(again, "alice", "e", "c") == [False, True]
    rule = SourceRule(attestation="notary", keys=(), role="", source="e")
    policy = again.policy_change(
        msgspec.structs.replace(again.writer.authority.policy, sources=(rule, *POLICY.sources))
    )
    again.append_signed(again.sign_own(keyring().of_purpose("root")[0], POLICY_TYPE, policy))
    assert opened(again, "alice", "e", "f") == [True, False]
    assert verify(StoreSource(again.store, again.reader.head()), again.vkey).findings == []


def test_sources_of_what_is_refused_are_not_open() -> None:
    """Neither an atomic request that is refused as a whole, nor a claim that fails another rule, leaves a row."""
    ledger = capped(3)
    assert opened(ledger, "alice", "a", "b", "c", "d", atomic=True) == [False] * 4
    missing = Draft(type="x.seen", schema=1, source="lost", payload=b"\x80", causes=(new_ids(1, START)[0],))
    assert isinstance(ledger.append([missing], "alice").outcomes[0], Malformed)
    assert opened(ledger, "alice", "x", "y", "z", "w") == [True, True, True, False]
    assert verify(StoreSource(ledger.store, ledger.reader.head()), ledger.vkey).findings == []


class CountedReads(Collection[str]):
    """The sources of a principal, and how often all of them were read."""

    def __init__(self, sources: set[str]) -> None:
        self._sources, self.reads = sources, 0

    def __contains__(self, source: object) -> bool:
        return source in self._sources

    def add(self, source: str) -> None:
        self._sources.add(source)

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[str]:
        self.reads += 1
        return iter(self._sources)


@pytest.mark.parametrize("most", [50, 500])
def test_many_new_sources_count_those_of_a_principal_once(most: int) -> None:
    """Counted for each claim, a request of 10,000 sources holds the writer's turn for seconds, let in or refused."""
    ledger = capped(most)
    assert all(opened(ledger, "alice", *(f"s{number}" for number in range(50))))
    counted = ledger.writer._sources["alice"] = CountedReads(set(ledger.writer.sources_of("alice")))  # type: ignore[assignment]
    assert sum(opened(ledger, "alice", *(f"new{number}" for number in range(300)))) == min(300, most - 50)
    assert counted.reads == 1


@pytest.mark.parametrize("change", ["removed", "added"])
def test_sources_rows_are_compared(change: str) -> None:
    """A row of `sources` that somebody changed at rest is named by step 3."""
    ledger = capped(3)
    opened(ledger, "alice", "a")
    batch = ledger.store.batch()
    if change == "removed":
        batch.delete("sources", b"alice\0a")
    else:
        batch.put("sources", b"alice\0b", b"")
    ledger.store.write(batch, durable=True)
    report = verify(StoreSource(ledger.store, ledger.reader.head()), ledger.vkey)
    assert {finding.step for finding in report.findings} == {3}
