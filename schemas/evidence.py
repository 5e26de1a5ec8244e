"""Evidence files (docs/format.md, section 10): what one person hands to another, checked with nothing of the server loaded."""

from typing import Literal

import msgspec

from decision_dna.schemas.claims import Natural

EVIDENCE_FORMAT: Literal["decision-dna/evidence@v1"] = "decision-dna/evidence@v1"
EVIDENCE_BYTES_MAX = 16 * 1024 * 1024

Kind = Literal["event", "run", "absence", "fork"]
Role = Literal["genesis", "key", "policy", "heartbeat_before", "event", "heartbeat_after"]
ROLES: tuple[Role, ...] = ("genesis", "key", "policy", "heartbeat_before", "event", "heartbeat_after")
"""The order of the items in a file."""


class _Exact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields in the order of the format, all of them present."""


class Item(_Exact, frozen=True):
    """An entry (base64) with its tlog-proof."""

    role: Role
    entry: str
    proof: str


class PayloadGiven(_Exact, frozen=True):
    """The event's payload: salt in hex, bytes in base64."""

    salt: str
    bytes: str


class LeafGiven(_Exact, frozen=True):
    """A leaf of the heartbeat's list of streams, with its inclusion proof (base64)."""

    index: Natural
    leaf: str
    proof: list[str]


class StreamsGiven(_Exact, frozen=True):
    """Leaves of the list that `heartbeat_after` commits to."""

    count: Natural
    leaves: list[LeafGiven]


class RunEntry(_Exact, frozen=True):
    """One entry of a run; base64; payload is salt ‖ payload bytes."""

    entry: str
    payload: str | None


class RunGiven(_Exact, frozen=True):
    """A stretch of one stream, and the times (ns) that it is complete for."""

    stream: str
    from_ns: Natural = msgspec.field(name="from")
    to_ns: Natural = msgspec.field(name="to")
    entries: list[RunEntry] = msgspec.field()


class AnchorGiven(_Exact, frozen=True):
    """An anchor that covers the checkpoint."""

    memo: str
    cluster: str
    slot: Natural
    block_time: Natural
    transaction: str


class ForkGiven(_Exact, frozen=True):
    """Two checkpoints of one size."""

    first: str
    second: str


class Evidence(_Exact, frozen=True):
    """The whole file."""

    format: Literal["decision-dna/evidence@v1"]
    kind: Kind
    origin: str
    items: list[Item]
    payload: PayloadGiven | None
    streams: StreamsGiven | None
    run: RunGiven | None
    anchor: AnchorGiven | None
    fork: ForkGiven | None


evidence_decoder = msgspec.json.Decoder(Evidence)
