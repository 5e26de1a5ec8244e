"""Anchors in the log: the `anchor.confirmed` entries, read through the index of types."""

from collections.abc import Iterator

from decision_dna.ledger.indexes import Indexes
from decision_dna.ledger.queries import EventFilter, find
from decision_dna.ledger.reader import LogReader
from decision_dna.schemas import codec
from decision_dna.schemas.anchoring import CONFIRMED, AnchorConfirmed
from decision_dna.schemas.errors import Malformed
from decision_dna.schemas.payloads import kind_of


def read_anchor(reader: LogReader, seq: int) -> AnchorConfirmed:
    """Return the payload of an `anchor.confirmed` entry. Raises Malformed."""
    event = reader.event(seq)
    payload = codec.decode_as(kind_of(CONFIRMED, event.claim.schema).from_msgpack, event.entry.open)
    if not isinstance(payload, AnchorConfirmed):
        raise Malformed(f"entry {seq} is no {CONFIRMED}")
    return payload


def anchors_of(reader: LogReader, indexes: Indexes) -> Iterator[tuple[int, AnchorConfirmed]]:
    """Yield the anchors in the log with the seqs of their entries, the newest first."""
    for seq in find(indexes, EventFilter(type=CONFIRMED), 0, reader.size, reverse=True):
        yield seq, read_anchor(reader, seq)
