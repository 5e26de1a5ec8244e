"""An event as people and programs read it: JSON with RFC 3339 times, lowercase hex, ids as UUID text."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from decision_dna.schemas.errors import UnknownType
from decision_dna.schemas.payloads import decode_payload, is_foreign, newest_schema

_BYTES_MARKERS = (b"\xc4", b"\xc5", b"\xc6")
_plain = msgspec.msgpack.Decoder().decode


class EventView(msgspec.Struct, frozen=True, gc=False):
    """One event. `payload` is at the newest schema of its type, bytes in it as hex; null, with `redacted`, where it was erased."""

    seq: int
    id: str
    fingerprint: str
    type: str
    schema: int
    stream: str
    stream_seq: int
    source: str
    subject: str
    occurred_at: str
    recorded_at: str
    causes: list[str]
    trace: str
    payload: Any
    hash: str
    prev: str
    stream_prev: str
    attestation: str
    principal: str
    key_id: str
    signature: str
    author_seq: int
    payload_commitment: str
    salt: str | None
    redacted: bool | UnsetType = UNSET


class PageView(msgspec.Struct, frozen=True):
    """Events in the order asked for, the cursor of the next page, and the signed checkpoint that the walk reads under.

    Events before `indexed_to` were found by index rows, those from there on by reading the log.
    """

    events: list[EventView]
    next_cursor: str | None
    checkpoint: str
    indexed_to: int


class StreamView(msgspec.Struct, frozen=True):
    """The head of a stream: how many events it has, and H_entry of its last."""

    stream: str
    count: int
    hash: str


class StreamsView(msgspec.Struct, frozen=True):
    """Streams by name, the cursor of the next page, and the checkpoint that they were read under."""

    streams: list[StreamView]
    next_cursor: str | None
    checkpoint: str


class RunView(msgspec.Struct, frozen=True):
    """A gapless run of one stream: each event's `stream_prev` is the `hash` of the one before it.

    `next` is the stream_seq to go on from, null at the end. `evidence` is where the file is that shows the run to be complete.
    """

    stream: str
    events: list[EventView]
    next: int | None
    evidence: str
    checkpoint: str


class LineageView(msgspec.Struct, frozen=True):
    """Events by seq, `[cause, effect]` pairs of their seqs; `truncated` where the graph goes on past the depth or the limit.

    Effects before `indexed_to` were found by index rows, those from there on by reading the log.
    """

    nodes: list[EventView]
    edges: list[tuple[int, int]]
    truncated: bool
    checkpoint: str
    indexed_to: int


class ConsistencyView(msgspec.Struct, frozen=True):
    """That the tree of size `from` is the beginning of that of size `to`: base64 hashes (RFC 9162 §2.1.4)."""

    from_size: int = msgspec.field(name="from")
    to_size: int = msgspec.field(name="to")
    proof: list[str] = msgspec.field()


class StateRow(msgspec.Struct, frozen=True):
    """A key (what is no UTF-8 in it as \\xNN) and its value."""

    key: str
    value: Any


class StateView(msgspec.Struct, frozen=True):
    """A page of a projection's state, folded over the entries with seq < `as_of`: rows by key, and the cursor of the next page.

    `entries` is the number of rows of the whole state, `root` its hash (docs/format.md, section 13), hex.
    """

    projection: str
    version: int
    as_of: int
    entries: int
    root: str
    rows: list[StateRow]
    next_cursor: str | None


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


# --- health --------------------------------------------------------------------------------------------------------


class FailureView(msgspec.Struct, frozen=True):
    """The event at which a follower stopped. `error` names the kind of error, and quotes no payload."""

    seq: int
    id: str
    error: str


class FollowerHealth(msgspec.Struct, frozen=True):
    """The next seq that a follower folds, and why it never will, if it has failed."""

    next_seq: int
    failed: FailureView | None


class HealthView(msgspec.Struct, frozen=True):
    """How a service is. `reasons`: why it is not ready, if so."""

    status: str
    origin: str
    ready: bool
    reasons: list[str]
    followers: dict[str, FollowerHealth]
