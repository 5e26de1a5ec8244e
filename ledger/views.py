"""Events as views: what the API, streams and the console show of an entry. Pure."""

from msgspec import UNSET

from decision_dna.ledger.fingerprint import fingerprint_of_hash
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.reader import Event
from decision_dna.schemas.texts import id_text, time_text
from decision_dna.schemas.views import EventView, payload_view


def event_view(event: Event) -> EventView:
    """The view of an event. Raises Malformed where its payload can't be read."""
    entry, claim, payload = event.entry, event.claim, event.payload
    hashed = entry_hash(event.raw)
    return EventView(
        entry.seq,
        id_text(claim.id),
        str(fingerprint_of_hash(entry.seq, hashed)),
        claim.type,
        claim.schema,
        entry.stream,
        entry.stream_seq,
        claim.source,
        claim.subject,
        time_text(claim.occurred_at),
        time_text(entry.recorded_at),
        [id_text(cause) for cause in claim.causes],
        claim.trace,
        None if payload is None else payload_view(claim.type, claim.schema, payload),
        hashed.hex(),
        entry.prev.hex(),
        entry.stream_prev.hex(),
        entry.attestation,
        entry.principal,
        entry.key_id.hex(),
        entry.signature.hex(),
        claim.author_seq,
        claim.payload_commitment.hex(),
        None if event.salt is None else event.salt.hex(),
        True if payload is None else UNSET,
    )
