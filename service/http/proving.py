"""Evidence on request: looks up what `ledger.proving` brings along, all under one head."""

from itertools import islice

from decision_dna.ledger import layout, streams
from decision_dna.ledger.indexes import Indexes
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.proving import Around, prove_event, prove_run
from decision_dna.ledger.queries import EventFilter, Order, find, heads_before, query
from decision_dna.ledger.reader import LogReader
from decision_dna.schemas.errors import NotFound, TooLarge
from decision_dna.schemas.ledgering import HEARTBEAT

RUN_EVENTS_MAX = 10_000


def event_evidence(ledger: Ledger, indexes: Indexes, seq: int, *, with_payload: bool) -> bytes:
    """The evidence file of an event, between the heartbeats around it. Raises NotFound."""
    reader = pinned(ledger)
    before = _heartbeat(reader, indexes, EventFilter(type=HEARTBEAT, to_seq=seq), "desc")
    after = _heartbeat(reader, indexes, EventFilter(type=HEARTBEAT, from_seq=seq + 1), "asc")
    return prove_event(reader, seq, Around(_authority_seqs(ledger, reader), before, after), with_payload=with_payload)


def run_evidence(ledger: Ledger, indexes: Indexes, stream: str, from_ns: int, to_ns: int) -> bytes:
    """The evidence file that a run of a stream is complete over (from, to], or that there is none. Raises NotFound, TooLarge."""
    reader = pinned(ledger)
    after = _heartbeat(reader, indexes, EventFilter(type=HEARTBEAT, time_from=to_ns + 1), "asc")
    if after is None:
        raise NotFound(
            "no heartbeat was recorded after that time: what came before it can't be shown to be complete yet"
        )
    wanted = EventFilter(stream=stream)
    earlier = find(indexes, wanted, 0, min(reader.seq_after(from_ns), after), reverse=True)
    start = next(earlier, 0)
    seqs = list(islice(find(indexes, wanted, start, after), RUN_EVENTS_MAX + 1))
    if len(seqs) > RUN_EVENTS_MAX:
        raise TooLarge(f"a run of more than {RUN_EVENTS_MAX} events: ask for a shorter time")
    before = _heartbeat(reader, indexes, EventFilter(type=HEARTBEAT, to_seq=seqs[0]), "desc") if seqs else None
    around = Around(_authority_seqs(ledger, reader), before, after)
    leaves = streams.list_leaves(heads_before(reader, ledger.store, indexes, after))
    return prove_run(reader, stream, seqs, from_ns, to_ns, around, leaves)


def pinned(ledger: Ledger) -> LogReader:
    """The log as it is now, while it goes on."""
    head = ledger.reader.head()
    return LogReader(ledger.store, lambda: head)


def _heartbeat(reader: LogReader, indexes: Indexes, wanted: EventFilter, order: Order) -> int | None:
    found = query(reader, indexes, wanted, order=order, limit=1).events
    return found[0].seq if found else None


def _authority_seqs(ledger: Ledger, reader: LogReader) -> tuple[int, ...]:
    seqs = layout.decode_seqs(ledger.store.get("meta", layout.AUTHORITY_KEY) or b"\x90")
    return tuple(seq for seq in seqs if seq < reader.size)
