"""A fold is total: it has a result, which the store can hold, for every event that its types allow."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_dna.engine.projections import PROJECTIONS, SUM_MAX, Projection, decode_tally, fold_stretch
from decision_dna.ledger.followers import ClaimFacts, EntryFacts, Stretch
from decision_dna.ledger.indexes import BLOCK_EVENTS, Grouping
from decision_dna.ledger.state import StateMap, check_key
from decision_dna.schemas import codec
from decision_dna.schemas.claims import stream_of
from tests.properties.payloads import LETTERS, edges, every_type, random_payload

TYPES = every_type()
EDGES = [(name, schema, payload) for name, schema in TYPES for payload in edges(name, schema)]
Event = tuple[str, int, bytes | None]


def random_events(chance: Random, count: int) -> list[Event]:
    """Events of every declared type; some erased, some of a type, a schema or with bytes that nobody here knows."""
    events: list[Event] = []
    for _ in range(count):
        name, schema = chance.choice(TYPES)
        payload = random_payload(name, schema, chance)
        strange: list[Event] = [
            (name, schema, None),
            (name, schema + 1, payload),
            (name, schema, chance.randbytes(chance.randrange(40))),
            (name, schema, payload[:-1]),
            ("detection.unheard_of", 1, payload),
            ("x.seen", 1, payload),
        ]
        events.append(chance.choice(strange) if chance.random() < 0.2 else (name, schema, payload))
    return events


def stretch(events: list[Event], chance: Random, first: int = 0) -> Stretch:
    """Events as followers are handed them, with the longest, shortest and strangest names that a claim may have."""
    facts = [claim_of(name, schema, chance) for name, schema, _ in events]
    entries = [
        EntryFacts(1, seq, b"", stream_of(claim.type, claim.source), chance.choice((0, 1, 2**63 - 1)), b"", seq, b"")
        for seq, claim in enumerate(facts, first)
    ]

    class Given(Stretch):
        def payload(self, at: int) -> bytes | None:
            return events[at][2]

    return Given(first, [b""] * len(events), entries, facts, lambda _start, _end: [])


def claim_of(name: str, schema: int, chance: Random) -> ClaimFacts:
    family = name.partition(".")[0]
    source = family if family in ("ledger", "anchor") else chance.choice(("e", "engine-1", "Z" * 64, "._-"))
    subject = "".join(chance.choices(LETTERS, k=chance.choice((0, 1, 32))))
    causes = tuple(chance.randbytes(16) for _ in range(chance.choice((0, 0, 1, 64))))
    trace = chance.choice(("", f"00-{chance.getrandbits(128):032x}-{1:016x}-01"))
    return ClaimFacts(
        1, "o", chance.randbytes(16), name, schema, source, subject, chance.getrandbits(63), causes, trace
    )


def check_fold(projection: Projection, events: list[Event], chance: Random) -> None:
    """Fold, and have every row encoded, decoded and proved."""
    state = StateMap()
    fold_stretch(projection, state, stretch(events, chance))
    rows = state.items()
    for _, value in rows:
        assert codec.encode(codec.decode(value)) == value
    if rows:
        key, value = chance.choice(rows)
        check_key(key, value, state.prove_key(key), state.root())
    assert StateMap(rows).root() == state.root()


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), count=st.integers(1, 30))
def test_fold_random_events(projection, seed, count):
    """No event of any declared type makes a fold raise, and the state encodes."""
    chance = Random(seed)
    check_fold(projection, random_events(chance, count), chance)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_fold_ends_of_ranges(projection):
    """Every field at either end of its range, three times over: sums that would leave 64 bits stop at their greatest."""
    check_fold(projection, 3 * EDGES, Random(1))


def test_fold_sums_saturate():
    """Victims and lamports are summed up to ±(2⁶³ − 1) and no further."""
    state, chance = StateMap(), Random(2)
    events = [event for event in EDGES if event[0].startswith("detection.")]
    fold_stretch(PROJECTIONS[0], state, stretch(events * 3, chance))
    tallies = [decode_tally(value) for _, value in state.items()]
    assert max(tally.victims for tally in tallies) == SUM_MAX
    assert min(tally.victims for tally in tallies) >= 0
    assert all(abs(tally.lamports) <= SUM_MAX for tally in tallies)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_index_random_events(seed):
    """The index has rows for a whole block of events with any names that claims may have, each key once."""
    chance, grouping = Random(seed), Grouping()
    for first in range(0, BLOCK_EVENTS, 512):
        part = stretch(random_events(chance, 20) + [("x.seen", 1, b"\x80")] * 492, chance, first)
        grouping.add(part.entries, part.claims)
    rows = grouping.rows(2**32 - 1)
    assert len({key for key, _ in rows}) == len(rows)
    assert all(isinstance(key, bytes) and isinstance(value, bytes) for key, value in rows)
