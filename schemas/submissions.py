"""Submissions as they arrive: JSON, NDJSON or MessagePack in, checked words out (what `dna append` and `POST /api/events` read).

    {"type": "detection.arbitrage", "source": "engine", "payload": {…}}                       the ledger makes the claim
    {"claim": base64, "salt": hex, "signature": hex, "key_id": hex, "payload": {…}}           its author made and signed it

In MessagePack the same fields hold bytes as bytes, `occurred_at` as integer ns, and `payload` as a map in any encoding:
it is written again in the one encoding. In either, a key that stands twice in one object is refused. A body of several
submissions keeps its order, and a bad one is an error at its own place.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from decision_dna.schemas import codec, doubled
from decision_dna.schemas.claims import BATCH_EVENTS_MAX, Natural, decode_claim
from decision_dna.schemas.errors import BadInput, Malformed, TooLarge
from decision_dna.schemas.payloads import (
    PAYLOAD_BYTES_MAX,
    counted_payload,
    is_foreign,
    kind_of,
    newest_schema,
)
from decision_dna.schemas.texts import base64_bytes, hex_bytes, time_ns

BODY_BYTES_MAX = 16 * 1024 * 1024
SUBMISSION_BYTES_MAX = 8 * PAYLOAD_BYTES_MAX
"""Of one: escapes and blanks can make JSON six times as long as its payload."""

Media = Literal["json", "ndjson", "msgpack"]
MEDIA_TYPES: dict[str, Media] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
}

Schema = Annotated[int, Meta(ge=1, le=65_535)]
Id = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Submission(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants recorded. `payload` is canonical and checked against its type; what is None the ledger fills in. Times in ns."""

    type: str
    schema: int
    source: str
    payload: bytes
    id: bytes | None
    subject: str
    occurred_at: int | None
    causes: tuple[bytes, ...]
    trace: str
    expected_stream_seq: int | None


class SignedSubmission(msgspec.Struct, frozen=True, gc=False):
    """A claim that its author made and signed, with what its commitment is over. `payload` is canonical and of the claim's type."""

    claim: bytes
    salt: bytes
    payload: bytes
    key_id: bytes
    signature: bytes
    expected_stream_seq: int | None


class Body(msgspec.Struct, frozen=True):
    """The submissions of one request in their order, errors in their places. `single`: one was sent by itself, not in a list."""

    items: Sequence[Submission | SignedSubmission | BadInput]
    single: bool


class _Json(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Either kind, as JSON has it."""

    payload: msgspec.Raw
    type: str | None = None
    source: str | None = None
    schema: Schema | None = None
    id: UUID | None = None
    subject: str | None = None
    occurred_at: str | None = None
    causes: tuple[UUID, ...] | None = None
    trace: str | None = None
    expected_stream_seq: Natural | None = None
    claim: str | None = None
    salt: str | None = None
    signature: str | None = None
    key_id: str | None = None


class _Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Either kind, as MessagePack has it."""

    payload: msgspec.Raw
    type: str | None = None
    source: str | None = None
    schema: Schema | None = None
    id: Id | None = None
    subject: str | None = None
    occurred_at: Natural | None = None
    causes: tuple[Id, ...] | None = None
    trace: str | None = None
    expected_stream_seq: Natural | None = None
    claim: bytes | None = None
    salt: Id | None = None
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)] | None = None
    key_id: Annotated[bytes, Meta(min_length=8, max_length=8)] | None = None


_FIELDS_COUNT = len(_Json.__struct_fields__)
_json = msgspec.json.Decoder(_Json).decode
_packed = msgspec.msgpack.Decoder(_Packed).decode
_json_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_packed_list = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


def decode_body(data: bytes, media: Media) -> Body:
    """The submissions of a body. Raises Malformed and TooLarge for the body as a whole; errors of its items stay in their places."""
    if len(data) > BODY_BYTES_MAX:
        raise TooLarge(f"a body of {len(data)} bytes, at most {BODY_BYTES_MAX}")
    if media == "ndjson":
        return _body([line for line in data.split(b"\n") if line.strip()], decode_json)
    try:
        if is_single(data, media):
            return Body([decode_json(data) if media == "json" else decode_msgpack(data)], single=True)
        if media == "json":
            return _body(_json_list(data), decode_json)
        return _body(_packed_list(data), decode_msgpack)
    except _UNREADABLE as error:
        raise Malformed(f"the body is not a list in {media}: {error}") from None


def is_single(data: bytes, media: Media) -> bool:
    """Whether a body is one submission by itself: no list, and no NDJSON."""
    if media == "msgpack":
        return not data or not (data[0] >> 4 == 0x9 or data[0] in (0xDC, 0xDD))
    return media == "json" and not data.lstrip(b" \t\r\n").startswith(b"[")


def _body(
    texts: Sequence[bytes | msgspec.Raw], decode: Callable[[bytes | msgspec.Raw], Submission | SignedSubmission]
) -> Body:
    if not texts:
        raise Malformed("a body without a submission")
    if len(texts) > BATCH_EVENTS_MAX:
        raise TooLarge(f"{len(texts)} submissions at once, at most {BATCH_EVENTS_MAX}")
    items: list[Submission | SignedSubmission | BadInput] = []
    for text in texts:
        try:
            items.append(decode(text))
        except BadInput as error:
            items.append(error)
    return Body(items, single=False)


def decode_json(data: bytes | msgspec.Raw) -> Submission | SignedSubmission:
    """One JSON object. Raises Malformed, TooLarge, UnknownType."""
    text = _sized(data)
    try:
        wire = _json(text)
    except _UNREADABLE as error:
        raise Malformed(f"not a submission: {error}") from None
    if wire.claim is not None or wire.type is None or wire.source is None:
        return _signed_json(wire, text)
    schema = wire.schema or newest_schema(wire.type)
    payload, keys = counted_payload(wire.type, schema, bytes(wire.payload))
    doubled.check_json(text, keys + _keys_of(wire))
    return Submission(
        wire.type,
        schema,
        wire.source,
        payload,
        None if wire.id is None else wire.id.bytes,
        wire.subject or "",
        None if wire.occurred_at is None else time_ns(wire.occurred_at),
        tuple([cause.bytes for cause in wire.causes]) if wire.causes else (),
        wire.trace or "",
        wire.expected_stream_seq,
    )


def decode_msgpack(data: bytes | msgspec.Raw) -> Submission | SignedSubmission:
    """One MessagePack map. Raises Malformed, TooLarge, UnknownType."""
    text = _sized(data)
    try:
        wire = _packed(text)
    except _UNREADABLE as error:
        raise Malformed(f"not a submission: {error}") from None
    if wire.claim is not None or wire.type is None or wire.source is None:
        return _signed_msgpack(wire, text)
    doubled.check_msgpack_map(text, _keys_of(wire))
    schema = wire.schema or newest_schema(wire.type)
    return Submission(
        wire.type,
        schema,
        wire.source,
        payload_from_msgpack(wire.type, schema, bytes(wire.payload)),
        wire.id,
        wire.subject or "",
        wire.occurred_at,
        wire.causes or (),
        wire.trace or "",
        wire.expected_stream_seq,
    )


def _sized(data: bytes | msgspec.Raw) -> bytes:
    text = bytes(data)
    if len(text) > SUBMISSION_BYTES_MAX:
        raise TooLarge(f"a submission of {len(text)} bytes, at most {SUBMISSION_BYTES_MAX}")
    return text


def _keys_of(wire: _Json | _Packed) -> int:
    """Fields that were given (one that is null counts as not given: then keys are looked at one by one)."""
    return _FIELDS_COUNT - msgspec.structs.astuple(wire).count(None)


def payload_from_msgpack(type_name: str, schema: int, data: bytes) -> bytes:
    """Canonical payload bytes of a MessagePack map in any encoding, checked against its type. Raises Malformed, TooLarge, UnknownType."""
    try:
        if is_foreign(type_name):
            foreign = msgspec.msgpack.decode(data, type=dict[str, Any])
            codec.check_plain(foreign)
            canonical = codec.encode(foreign)
        else:
            canonical = codec.encode(kind_of(type_name, schema).from_msgpack.decode(data))
    except _UNREADABLE as error:
        raise Malformed(f"payload of {type_name}: {error}") from None
    if len(canonical) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"payload of {len(canonical)} bytes, at most {PAYLOAD_BYTES_MAX}")
    # In a declared type an integer may stand for a float, which is longer: then lengths say nothing.
    doubled.check_msgpack(data, canonical, lengths_tell=is_foreign(type_name))
    return canonical


def _signed_json(wire: _Json, text: bytes) -> SignedSubmission:
    _check_signed(wire)
    if wire.claim is None or wire.salt is None or wire.signature is None or wire.key_id is None:
        raise Malformed(_MISSING)
    claim = base64_bytes(wire.claim, "claim")
    said = decode_claim(claim)
    payload, keys = counted_payload(said.type, said.schema, bytes(wire.payload))
    doubled.check_json(text, keys + _keys_of(wire))
    return SignedSubmission(
        claim,
        hex_bytes(wire.salt, 16, "salt"),
        payload,
        hex_bytes(wire.key_id, 8, "key_id"),
        hex_bytes(wire.signature, 64, "signature"),
        wire.expected_stream_seq,
    )


def _signed_msgpack(wire: _Packed, data: bytes) -> SignedSubmission:
    _check_signed(wire)
    if wire.claim is None or wire.salt is None or wire.signature is None or wire.key_id is None:
        raise Malformed(_MISSING)
    doubled.check_msgpack_map(data, _keys_of(wire))
    said = decode_claim(wire.claim)
    return SignedSubmission(
        wire.claim,
        wire.salt,
        payload_from_msgpack(said.type, said.schema, bytes(wire.payload)),
        wire.key_id,
        wire.signature,
        wire.expected_stream_seq,
    )


_OWN_WORDS = ("type", "source", "schema", "id", "subject", "occurred_at", "causes", "trace")
_MISSING = "a signed submission needs claim, salt, signature and key_id"


def _check_signed(wire: _Json | _Packed) -> None:
    """Raise Malformed where it is neither kind, or both."""
    if wire.claim is None:
        raise Malformed("a submission needs type, source and payload, or a signed claim")
    both = [word for word in _OWN_WORDS if getattr(wire, word) is not None]
    if both:
        raise Malformed(f"a signed claim says {', '.join(both)} itself: leave out what stands beside it")
