"""How a log lies in a store: the keys and values of each family (docs/format.md, section 11). Pure.

Entries and payloads are kept in *runs*: what one commit wrote, cut at multiples of 32. A run is a slice of the public
log's entry bundle, so bundles are joined runs; runs are small enough that one event is read cheaply, and appended only,
so that a commit of one event writes one event.
"""

from collections.abc import Iterator, Sequence

import msgspec

from decision_dna.schemas import codec
from decision_dna.schemas.claims import Hash, Natural
from decision_dna.schemas.errors import CannotOpen, Malformed

RUN_EVENTS = 32
TIP_KEY = b"tip"
AUTHORITY_KEY = b"authority"
ACCOUNTED_KEY = b"accounted"
FORMAT_KEY = b"format"
STORE_FORMAT = 2
"""The version of this layout, in `meta/format`. Version 1, which had no `sources`, could lack the row."""

StoredPayload = bytes | list[bytes] | None
"""salt ‖ payload · nothing, for open types · [retry tag], where erased"""


class TipRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`meta/tip`: what the log comes to."""

    origin: str
    size: Natural
    root: Hash
    last_hash: Hash
    recorded_at: Natural


_tips = msgspec.msgpack.Decoder(TipRecord)
_payloads = msgspec.msgpack.Decoder(list[bytes | tuple[bytes] | None])
_heads = msgspec.msgpack.Decoder(tuple[Natural, Hash])
_formats = msgspec.msgpack.Decoder(Natural)
_seqs = msgspec.msgpack.Decoder(list[Natural])


def check_format(row: bytes | None) -> None:
    """Raise CannotOpen unless `meta/format` is this version; a store without the row is of version 1."""
    try:
        found = 1 if row is None else codec.decode_as(_formats, row)
    except Malformed:
        raise CannotOpen(
            "other-format", f"the database's format row is {(row or b'').hex()!r}, not a version number"
        ) from None
    if found != STORE_FORMAT:
        raise CannotOpen(
            "other-format",
            f"the database has format {found}, this program reads format {STORE_FORMAT}: use the program that wrote it",
        )


def seq_key(seq: int) -> bytes:
    """u64, big-endian."""
    return seq.to_bytes(8)


def run_bounds(first: int, count: int) -> Iterator[tuple[int, int]]:
    """[first, first + count) cut at multiples of `RUN_EVENTS`, as (start, end)."""
    start, end = first, first + count
    while start < end:
        cut = min(end, start - start % RUN_EVENTS + RUN_EVENTS)
        yield start, cut
        start = cut


def entry_rows(first: int, entries: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Rows of the family `entries` for one commit."""
    return [
        (seq_key(start), join_entries(entries[start - first : end - first]))
        for start, end in run_bounds(first, len(entries))
    ]


def join_entries(entries: Sequence[bytes]) -> bytes:
    """A slice of a bundle: for each entry, u16 length ‖ entry."""
    return b"".join([part for entry in entries for part in (len(entry).to_bytes(2), entry)])


def split_entries(run: bytes) -> list[bytes]:
    """The entries of a slice. Raises Malformed."""
    entries: list[bytes] = []
    at, size = 0, len(run)
    try:
        while at < size:
            start = at + 2
            at = start + (run[at] << 8 | run[at + 1])
            entries.append(run[start:at])
    except IndexError:
        at = -1
    if at != size:
        raise Malformed("a run of entries that ends inside an entry")
    return entries


def payload_rows(first: int, payloads: Sequence[bytes | None]) -> list[tuple[bytes, bytes]]:
    """Rows of the family `payloads` for one commit."""
    return [
        (seq_key(start), codec.encode(payloads[start - first : end - first]))
        for start, end in run_bounds(first, len(payloads))
    ]


def split_payloads(run: bytes) -> list[bytes | tuple[bytes] | None]:
    """The stored payloads of a run. Raises Malformed."""
    return codec.decode_as(_payloads, run)


def node_key(height: int, index: int) -> bytes:
    """Level (height / 8) and index of a full subtree that tiles hold."""
    return bytes([height // 8]) + seq_key(index)


def source_key(principal: str, source: str) -> bytes:
    """Key of a source that a principal spoke as; neither holds a zero byte."""
    return principal.encode() + b"\0" + source.encode()


def id_key(event_id: bytes, source: str) -> bytes:
    """By id first, so that an event is found by its id alone."""
    return event_id + source.encode()


def decode_tip(data: bytes) -> TipRecord:
    """Raises Malformed."""
    return codec.decode_as(_tips, data)


def decode_head(data: bytes) -> tuple[int, bytes]:
    """A row of `streams` or `authors`: (next number, hash of the last). Raises Malformed."""
    return codec.decode_as(_heads, data)


def decode_seqs(data: bytes) -> list[int]:
    """`meta/authority`: the seqs of the entries that keys and policy fold from. Raises Malformed."""
    return codec.decode_as(_seqs, data)
