"""A Claim is what someone says; an Entry is a claim with its place in the log (docs/format.md, sections 3 and 4).

Both are MessagePack arrays of 13 in the one encoding. Shapes and ranges are checked while decoding, by msgspec; what
types can't say is checked by `check_claim` and `check_entry`, which return nothing and raise Malformed.
"""

import re
from functools import lru_cache
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from decision_dna.schemas import codec
from decision_dna.schemas.errors import Malformed, TooLarge
from decision_dna.schemas.texts import id_text, time_text

VERSION = 1
ENTRY_BYTES_MAX = 65_535
BATCH_EVENTS_MAX = 10_000
CAUSES_MAX = 64
AHEAD_NS_MAX = 60 * 10**9
ZEROS = bytes(32)

Attestation = Literal["author", "notary", "none"]
RANK: dict[str, int] = {"none": 0, "notary": 1, "author": 2}

Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
ShortText = Annotated[str, Meta(max_length=128)]


class Claim(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a speaker says; its bytes are what an author signs. Times in ns since 1970."""

    version: int
    origin: ShortText
    id: Id
    type: ShortText
    schema: Annotated[int, Meta(ge=1, le=65_535)]
    source: ShortText
    subject: ShortText
    occurred_at: Natural
    causes: Annotated[tuple[Id, ...], Meta(max_length=CAUSES_MAX)]
    trace: ShortText
    author_seq: Natural
    author_prev: Hash
    payload_commitment: Hash

    @property
    def correlation(self) -> str:
        """The trace id of `trace`: 32 hex digits, or empty."""
        return self.trace[3:35]


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The leaf: a claim in its place. `open` holds the payload bytes of open types, else nothing."""

    version: int
    seq: Natural
    prev: Hash
    stream: Annotated[str, Meta(max_length=129)]
    stream_seq: Natural
    stream_prev: Hash
    recorded_at: Natural
    claim: bytes
    attestation: Attestation
    principal: ShortText
    key_id: Annotated[bytes, Meta(max_length=8)]
    signature: Annotated[bytes, Meta(max_length=64)]
    open: bytes


CLAIMS, ENTRIES = msgspec.msgpack.Decoder(Claim), msgspec.msgpack.Decoder(Entry)
"""They check shapes alone: `decode_claim` and `decode_entry` are for everyone who does not check the rest in some faster way."""

_TYPE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*", re.ASCII)
_SOURCE = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_ORIGIN = re.compile(r"[!-*,-~]{1,128}", re.ASCII)
TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


def decode_claim(data: bytes) -> Claim:
    """A canonical claim that keeps the rules of section 3. Raises Malformed."""
    claim = codec.decode_as(CLAIMS, data)
    check_claim(claim)
    return claim


def decode_entry(data: bytes) -> Entry:
    """A canonical entry that keeps the rules of section 4 that need no other entry. Its claim is not looked into. Raises Malformed."""
    if len(data) > ENTRY_BYTES_MAX:
        raise TooLarge(f"an entry of {len(data)} bytes, at most {ENTRY_BYTES_MAX}")
    entry = codec.decode_as(ENTRIES, data)
    check_entry(entry)
    return entry


def check_claim(claim: Claim) -> None:
    """Raise Malformed where a claim breaks a rule that types can't say."""
    if claim.version != VERSION:
        raise Malformed(f"a claim of version {claim.version}, this is {VERSION}")
    check_origin(claim.origin)
    check_id(claim.id)
    stream_of(claim.type, claim.source)
    if claim.subject:
        check_plain_text(claim.subject, "subject", 128)
    if claim.trace and not TRACE.fullmatch(claim.trace):
        raise Malformed(f"trace is not a W3C traceparent: {claim.trace!r}")
    if len(claim.causes) > 1 and len(set(claim.causes)) != len(claim.causes):
        raise Malformed("the same cause twice")
    if claim.author_seq <= 1 and claim.author_prev != ZEROS:
        raise Malformed("author_prev must be zeros where author_seq is 0 or 1")


def check_entry(entry: Entry) -> None:
    """Raise Malformed where the parts of an entry contradict each other."""
    if entry.version != VERSION:
        raise Malformed(f"an entry of version {entry.version}, this is {VERSION}")
    signed = entry.attestation != "none"
    if len(entry.key_id) != 8 * signed or len(entry.signature) != 64 * signed:
        raise Malformed(
            f"attestation {entry.attestation!r} with a key id of {len(entry.key_id)} and a signature of {len(entry.signature)} bytes"
        )
    if entry.attestation == "notary":
        check_principal(entry.principal)
    elif entry.principal:
        raise Malformed(f"attestation {entry.attestation!r} with a principal")


@lru_cache(maxsize=4096)
def check_principal(principal: str) -> None:
    """Raise Malformed unless it may name who handed a claim in: 1–128 bytes of text."""
    if not principal:
        raise Malformed("a notarised entry without a principal")
    check_plain_text(principal, "principal", 128)


@lru_cache(maxsize=4096)
def check_origin(origin: str) -> None:
    """Raise Malformed unless it may name a log: 1–128 visible ASCII characters without `+`."""
    if not _ORIGIN.fullmatch(origin):
        raise Malformed(f"not an origin (1–128 visible ASCII characters without '+'): {origin!r}")


def check_id(event_id: bytes) -> None:
    """Raise Malformed unless the 16 bytes are a UUIDv7."""
    if event_id[6] >> 4 != 7 or event_id[8] >> 6 != 2:
        raise Malformed(f"an id that is not a UUIDv7: {UUID(bytes=event_id)}")


def id_time_ns(event_id: bytes) -> int:
    """The time that a UUIDv7 carries, to the millisecond, in ns."""
    return int.from_bytes(event_id[:6]) * 1_000_000


@lru_cache(maxsize=65_536)
def stream_of(type_name: str, source: str) -> str:
    """The stream of a type and a source: first word ‖ `/` ‖ source. Raises Malformed where one of them may not be called so."""
    if len(type_name) > 64 or not _TYPE.fullmatch(type_name):
        raise Malformed(f"not a type (words of a-z, 0-9 and _ joined by dots, at most 64 bytes): {type_name!r}")
    if len(source) > 64 or not _SOURCE.fullmatch(source):
        raise Malformed(f"not a source (A-Z, a-z, 0-9, '.', '_', '-', at most 64 bytes): {source!r}")
    family = type_name.partition(".")[0]
    for own in ("ledger", "anchor"):
        if (family == own) != (source == own):
            raise Malformed(f"type {type_name!r} and source {source!r}: types of {own} belong to source {own} alone")
    return f"{family}/{source}"


def check_stream(stream: str) -> None:
    """Raise Malformed unless a stream may be called so: a type's first word ‖ `/` ‖ a source."""
    family, slash, source = stream.partition("/")
    if not slash or "." in family or len(family) > 64 or not _TYPE.fullmatch(family):
        raise Malformed(f"not a stream (a type's first word, '/', a source): {stream!r}")
    if len(source) > 64 or not _SOURCE.fullmatch(source):
        raise Malformed(f"not a stream (a type's first word, '/', a source): {stream!r}")


def check_plain_text(text: str, what: str, bytes_max: int) -> None:
    """Raise Malformed for control characters, or more bytes of UTF-8 than allowed."""
    if not text.isprintable() and any(c < " " or c == "\x7f" for c in text):
        raise Malformed(f"{what} with control characters: {text!r}")
    codec.check_text(text)
    if len(text.encode()) > bytes_max:
        raise Malformed(f"{what} of more than {bytes_max} bytes")


_LATE = "more than 60 s after it was recorded"


def check_times(claim_occurred_at: int, event_id: bytes, recorded_at: int) -> None:
    """Raise Malformed where the claim's own times lie more than 60 s after `recorded_at`."""
    latest = recorded_at + AHEAD_NS_MAX
    if claim_occurred_at > latest:
        raise Malformed(f"occurred_at {time_text(claim_occurred_at)} is {_LATE} ({time_text(recorded_at)})")
    if id_time_ns(event_id) > latest:
        raise Malformed(f"the time in id {id_text(event_id)} is {_LATE} ({time_text(recorded_at)})")
