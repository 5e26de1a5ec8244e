"""Events as views: what the API, streams and the console show of an entry. Pure."""

from typing import Any

import msgspec
from msgspec import UNSET

from decision_dna.ledger.fingerprint import fingerprint_of_hash
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.reader import Event
from decision_dna.schemas.errors import UnknownType
from decision_dna.schemas.payloads import decode_payload, is_foreign, newest_schema
from decision_dna.schemas.texts import id_text, time_text
from decision_dna.schemas.views import EventView

_BYTES_MARKERS = (b"\xc4", b"\xc5", b"\xc6")
_plain = msgspec.msgpack.Decoder().decode


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


def payload_view(type_name: str, schema: int, data: bytes) -> Any:
    """What JSON can say of a payload: at the newest schema where the type is known here, as it stands where it is not."""
    if not is_foreign(type_name) and not _is_newest(type_name, schema):
        try:
            return plain_view(msgspec.to_builtins(decode_payload(type_name, schema, data), builtin_types=(bytes,)))
        except UnknownType:
            pass  # a type that nobody declared here: shown as it stands
    value = _plain(data)
    # Bytes are written with one of three markers: where none of them occurs, the map is JSON already.
    return plain_view(value) if any(marker in data for marker in _BYTES_MARKERS) else value


def _is_newest(type_name: str, schema: int) -> bool:
    try:
        return schema == newest_schema(type_name)
    except UnknownType:
        return False


def plain_view(value: Any) -> Any:
    """A decoded value as JSON can hold it: bytes as hex."""
    match value:
        case bytes():
            return value.hex()
        case list() | tuple():
            return [plain_view(item) for item in value]
        case dict():
            return {key: item if isinstance(item, str | int) else plain_view(item) for key, item in value.items()}
    return value
