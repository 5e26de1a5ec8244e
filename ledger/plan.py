"""The append plan: which bytes a batch becomes, without touching anything (docs/format.md, sections 3, 4 and 7).

    Draft --prepare--> Prepared --link--> Plan --(writer)--> one synced batch

`prepare` makes claims: it needs no place in the log, so it may run beside the chain, in other processes. `link` gives each
its place: prev, stream, leaf, root. It is the one serial piece of work, and the seam where a native kernel may go.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta

from decision_dna.ledger import hashing, merkle
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.streams import StreamHead
from decision_dna.schemas import claims, codec
from decision_dna.schemas.claims import ENTRY_BYTES_MAX, VERSION, ZEROS, Claim, Id, Natural
from decision_dna.schemas.errors import Malformed, Refused, TooLarge
from decision_dna.schemas.payloads import check_payload, is_open

SALT_BYTES = 16
NO_SALT = bytes(SALT_BYTES)


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A submission whose claim the ledger makes. `payload` is canonical and checked against its type; what is None or empty the ledger fills in."""

    type: str
    schema: int
    source: str
    payload: bytes
    id: bytes | None = None
    subject: str = ""
    occurred_at: int | None = None
    causes: tuple[bytes, ...] = ()
    trace: str = ""
    expected_stream_seq: int | None = None


class AuthorDraft(msgspec.Struct, frozen=True, gc=False):
    """A submission whose claim its author made and signed; `payload` as the commitment has it."""

    claim: bytes
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    payload: bytes
    key_id: bytes
    signature: bytes
    expected_stream_seq: int | None = None


class Prepared(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A claim ready for its place.

    `key` is id ‖ source, as the id index has it; `salted` is salt ‖ payload bytes; `fresh`: we made the id ourselves, just
    now; `timed`: the caller said occurred_at; `verified`: the public key under which the author's signature was found
    good, where that was already checked.
    """

    key: bytes
    type: str
    stream: str
    claim: bytes
    salted: bytes
    open: bool
    attestation: str
    principal: str
    key_id: bytes
    signature: bytes
    occurred_at: Natural
    causes: tuple[Id, ...]
    author_seq: int
    fresh: bool
    timed: bool
    expected_stream_seq: int | None
    verified: bytes = b""

    @property
    def id(self) -> bytes:
        """16 bytes."""
        return self.key[:16]

    @property
    def source(self) -> str:
        """The claim's source."""
        return self.key[16:].decode()


class Signer(msgspec.Struct, frozen=True):
    """How claims that the ledger makes are attested: by `key` for `principal`, or not at all where `key` is None."""

    key: SigningKey | None
    principal: str


def prepare(
    draft: Draft,
    *,
    origin: str,
    signer: Signer,
    salt: bytes,
    fresh_id: bytes,
    now: int,
    commit: Callable[[bytes], bytes] = hashing.payload_commitment,
) -> Prepared:
    """The claim of a draft, with its commitment (by `commit`) and attestation. Raises Malformed, TooLarge."""
    type_name, source = draft.type, draft.source
    stream, opened = claims.stream_of(type_name, source), is_open(type_name)
    salted = (NO_SALT if opened else salt) + draft.payload
    event_id = draft.id or fresh_id
    occurred_at = now if draft.occurred_at is None else draft.occurred_at
    if not 0 <= occurred_at < 2**63 or not 1 <= draft.schema <= 65_535:
        raise Malformed(f"occurred_at {occurred_at} or schema {draft.schema} is out of range")
    said = (
        VERSION,
        origin,
        event_id,
        type_name,
        draft.schema,
        source,
        draft.subject,
        occurred_at,
        draft.causes,
        draft.trace,
        0,
        ZEROS,
        commit(salted),
    )
    if draft.id is not None or draft.subject or draft.trace or draft.causes:
        check_said(Claim(*said))
    data = codec.encode(said)
    key_id, signature, principal, attestation = b"", b"", "", "none"
    if signer.key is not None:
        attestation, principal = "notary", signer.principal
        key_id, signature = signer.key.key_id, signer.key.sign(hashing.notary_message(data, principal))
    return Prepared(
        event_id + source.encode(),
        type_name,
        stream,
        data,
        salted,
        opened,
        attestation,
        principal,
        key_id,
        signature,
        occurred_at,
        draft.causes,
        0,
        draft.id is None,
        draft.occurred_at is not None,
        draft.expected_stream_seq,
    )


def check_said(claim: Claim) -> None:
    """Raise Malformed where the caller's own words break a rule of section 3, or a length that types can't hold at construction."""
    if len(claim.id) != 16 or any(len(cause) != 16 for cause in claim.causes):
        raise Malformed("an id has 16 bytes")
    if len(claim.causes) > claims.CAUSES_MAX:
        raise TooLarge(f"{len(claim.causes)} causes, at most {claims.CAUSES_MAX}")
    claims.check_claim(claim)


def prepare_signed(draft: AuthorDraft, *, origin: str) -> Prepared:
    """A claim that its author signed, decoded strictly, its payload held against the commitment. The signature is the writer's to check, at its place.

    Raises Malformed, TooLarge, UnknownType, Refused.
    """
    claim = claims.decode_claim(draft.claim)
    if claim.origin != origin:
        raise Refused(f"the claim is for the log {claim.origin!r}, this is {origin!r}")
    if len(draft.key_id) != 8 or len(draft.signature) != 64 or len(draft.salt) != SALT_BYTES:
        raise Malformed("a key id has 8 bytes, a signature 64, a salt 16")
    opened = is_open(claim.type)
    if opened and draft.salt != NO_SALT:
        raise Malformed(f"{claim.type} is open: its salt is zeros")
    check_payload(claim.type, claim.schema, draft.payload)
    salted = draft.salt + draft.payload
    if hashing.payload_commitment(salted) != claim.payload_commitment:
        raise Malformed("payload and salt are not what the claim commits to")
    return Prepared(
        claim.id + claim.source.encode(),
        claim.type,
        claims.stream_of(claim.type, claim.source),
        draft.claim,
        salted,
        opened,
        "author",
        "",
        draft.key_id,
        draft.signature,
        claim.occurred_at,
        claim.causes,
        claim.author_seq,
        False,
        True,
        draft.expected_stream_seq,
    )


class Tip(msgspec.Struct, frozen=True):
    """Where a log stands: all that the next entry's bytes depend on, besides its stream."""

    frontier: merkle.Frontier
    prev: bytes
    recorded_at: int

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.frontier.size


EMPTY_TIP = Tip(merkle.Frontier(), ZEROS, 0)


class Plan(msgspec.Struct, frozen=True):
    """What a batch becomes: the bytes of its entries with their hashes, and the tip after them."""

    entries: list[bytes]
    hashes: list[bytes]
    leaves: list[bytes]
    payloads: list[bytes | None]
    streams: dict[str, StreamHead]
    rows: merkle.Rows
    before: Tip
    tip: Tip


StreamReader = Callable[[str], StreamHead | None]


def link(tip: Tip, batch: Sequence[Prepared], stream_head: StreamReader, recorded_at: int) -> Plan:
    """Give each claim its place after `tip`, all recorded at one time, which must not lie before the tip's.

    Raises TooLarge for an entry past the format's size: callers check sizes before, so that one event can't fail a batch.
    """
    prev = tip.prev
    streams: dict[str, StreamHead] = {}
    entries: list[bytes] = []
    hashes: list[bytes] = []
    entry_hash, encode = hashing.entry_hasher(), codec.encode  # the hot loop: no call per event that can be saved
    for seq, row in enumerate(batch, tip.size):
        stream = row.stream
        head = streams.get(stream) or stream_head(stream) or (0, ZEROS)
        entry = encode(
            (
                VERSION,
                seq,
                prev,
                stream,
                head[0],
                head[1],
                recorded_at,
                row.claim,
                row.attestation,
                row.principal,
                row.key_id,
                row.signature,
                row.salted[SALT_BYTES:] if row.open else b"",
            )
        )
        prev = entry_hash(entry)
        streams[stream] = (head[0] + 1, prev)
        entries.append(entry)
        hashes.append(prev)
    if entries and max(map(len, entries)) > ENTRY_BYTES_MAX:
        raise TooLarge(f"an entry of more than {ENTRY_BYTES_MAX} bytes")
    leaves = [sha256(b"\x00" + entry).digest() for entry in entries]
    payloads = [None if row.open else row.salted for row in batch]
    rows: merkle.Rows = []
    frontier = merkle.extend(tip.frontier, leaves, rows)
    after = Tip(frontier, prev, recorded_at) if entries else tip
    return Plan(entries, hashes, leaves, payloads, streams, rows, tip, after)


def entry_bytes_at_most(row: Prepared) -> int:
    """An upper bound of the bytes that a claim's entry will have, whatever its place."""
    opened = len(row.salted) if row.open else 0
    return len(row.claim) + opened + len(row.stream.encode()) + len(row.principal.encode()) + 256


def same_content(row: Prepared, original: Claim, payload: bytes) -> bool:
    """Whether a claim says what an earlier one of the same (source, id) said (section 14)."""
    claim = claims.decode_claim(row.claim)
    same_time = not row.timed or claim.occurred_at == original.occurred_at
    return same_time and retry_content(claim, row.salted[SALT_BYTES:]) == retry_content(original, payload)


def retry_content(claim: Claim, payload: bytes) -> bytes:
    """What the tag of an erased payload is made over (section 14)."""
    return codec.encode([claim.type, claim.schema, claim.subject, claim.causes, claim.trace, payload])
