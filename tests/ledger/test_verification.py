"""The quick way through a segment says what the long way says: on whole logs, and on logs with one thing bent."""

from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from decision_dna.ledger import hashing
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.plan import NO_SALT
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import Schedule, Segment, SegmentCheck, StoredPayload, fold_schedule
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ZEROS, decode_claim, decode_entry
from tests.ledger.memory_log import Events, new_log

EVENTS = 150
Rows = list[tuple[bytes, StoredPayload]]
OTHER = {
    int: (0, 1, 2**40, 2**63 - 1),
    str: ("", "x", "x.other", "a/b", "é", "\n", "00-" + "1" * 52),
    bytes: (b"", ZEROS, b"\xff" * 16),
}


class Counting(SegmentCheck):
    """Counts what went the long way."""

    judged = 0

    def _judge(self, *given: object) -> None:
        self.judged += 1
        super()._judge(*given)  # type: ignore[arg-type]


class Log:
    """A log of random unsigned events, as rows."""

    def __init__(self, seed: int) -> None:
        ledger, store, clock = new_log()
        events = Events(seed)
        while ledger.reader.size < EVENTS:
            events.append(ledger, clock, 7)
        head: Locked = ledger.writer.head
        source = StoreSource(store, head)
        self.origin = source.origin
        self.schedule: Schedule = fold_schedule(source.authority_hint())
        self.rows: Rows = source.rows(0, source.size)[0]

    def checked(
        self, rows: Rows, *, quick: bool, payloads_known: bool = True, piece: int = EVENTS
    ) -> tuple[Segment, int]:
        """What a segment says, and how many of its entries went the long way."""
        check = Counting(self.origin, 0, self.schedule, payloads_known, frozenset())
        check.quick = quick
        for start in range(0, len(rows), piece):
            check.add(start, rows[start : start + piece])
        return check.finish([len(rows)]), check.judged


def bent(row: tuple[bytes, StoredPayload], chance: Random) -> Iterator[tuple[bytes, StoredPayload]]:
    """The row with one thing changed: a byte; a field of the entry or the claim, encoded anew; its payload."""
    raw, payload = row
    for data in [raw] * 12:
        at = chance.randrange(len(data))
        yield data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :], payload
    yield raw[:-1], payload
    yield raw + b"\x00", payload
    entry = decode_entry(raw)
    claim = decode_claim(entry.claim)
    fields = list(msgspec.structs.asdict(claim).items())
    for at, (_, value) in enumerate(fields):
        for other in OTHER.get(type(value), ((NO_SALT,), (NO_SALT, NO_SALT))):
            said = [value for _, value in fields]
            said[at] = other
            yield (
                codec.encode(
                    [*msgspec.structs.astuple(entry)[:7], codec.encode(said), *msgspec.structs.astuple(entry)[8:]]
                ),
                payload,
            )
    for at, value in enumerate(msgspec.structs.astuple(entry)):
        for other in OTHER[type(value)]:
            stands = list(msgspec.structs.astuple(entry))
            stands[at] = other
            yield codec.encode(stands), payload
    if payload is not None:
        for other in (None, payload[:-1], payload[:15], bytes(len(payload)), b""):
            yield raw, other


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_log_goes_the_quick_way_and_says_the_same(seed: int) -> None:
    log = Log(seed)
    for payloads_known in (True, False):
        rows = log.rows if payloads_known else [(raw, None) for raw, _ in log.rows]
        quick, judged = log.checked(rows, quick=True, payloads_known=payloads_known)
        slow, all_judged = log.checked(rows, quick=False, payloads_known=payloads_known)
        assert quick == slow
        assert not quick.findings
        assert judged < EVENTS // 2
        assert all_judged == len(rows)
        for piece in (1, 7, 64):
            assert log.checked(rows, quick=True, payloads_known=payloads_known, piece=piece) == (quick, judged)


@pytest.mark.parametrize("seed", range(3))
def test_a_bent_log_is_judged_alike_both_ways(seed: int) -> None:
    log, chance = Log(seed), Random(seed)
    named = 0
    for at in chance.sample(range(EVENTS // 2, EVENTS), 4):
        for row in bent(log.rows[at], chance):
            rows = [*log.rows[:at], row, *log.rows[at + 1 :]]
            quick, slow = (log.checked(rows, quick=way)[0] for way in (True, False))
            assert quick == slow
            named += bool(quick.findings)
    assert named > 100


@pytest.mark.parametrize("seed", range(3))
def test_policy_turns_at_the_same_entry_both_ways(seed: int) -> None:
    """The schedule is a guess, and may name any places: between two of them nobody needs a signature, or everybody."""
    log, chance = Log(seed), Random(seed)
    (start,) = log.schedule
    strict = msgspec.structs.replace(start[1].policy, default_attestation="notary")
    kinds = start[1], msgspec.structs.replace(start[1], policy=strict)
    for _ in range(20):
        turns = sorted(chance.sample(range(2, EVENTS), 5))
        log.schedule = [start, *((seq, chance.choice(kinds)) for seq in turns)]
        quick, slow = (log.checked(log.rows, quick=way) for way in (True, False))
        assert quick[0] == slow[0]
        assert quick[1] < slow[1]


def test_hashers_for_many_hash_as_those_for_one() -> None:
    entry_hash, payload_hash = hashing.entry_hasher(), hashing.payload_hasher()
    for size in (0, 1, 63, 64, 65, 1024, 1025, 70_000):
        data = bytes(size % 251 for size in range(size))
        assert entry_hash(data) == hashing.entry_hash(data)
        assert payload_hash(data) == hashing.payload_commitment(data)
