"""The payloads of the ledger's own types (docs/format.md, section 5). Open: they stand in their entries."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from decision_dna.schemas.claims import Attestation, Hash, Id, Natural
from decision_dna.schemas.payloads import Payload, payload_type

KeyId = Annotated[bytes, Meta(min_length=8, max_length=8)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Seconds = Annotated[int, Meta(ge=1, le=2**31 - 1)]
OriginText = Annotated[str, Meta(max_length=128)]
SourceText = Annotated[str, Meta(max_length=64)]
RoleText = Annotated[str, Meta(max_length=32)]
REASON_CHARS_MAX = 500
WHO_CHARS_MAX = 128
Reason = Annotated[str, Meta(max_length=REASON_CHARS_MAX)]

GENESIS = "ledger.genesis"
KEY = "ledger.key"
POLICY = "ledger.policy"
CLOCK = "ledger.clock"
HEARTBEAT = "ledger.heartbeat"
ERASURE = "ledger.erasure"
AUTHORITY_TYPES = frozenset({GENESIS, KEY, POLICY})
"""What keys and policy fold from."""


class SourceRule(Payload, frozen=True):
    """What a source needs at least, and which author keys may speak for it (any bound to it, if none is named).

    Role `system`: the source is the engine's own, and nobody else speaks for it.
    """

    attestation: Attestation
    keys: Annotated[tuple[KeyId, ...], Meta(max_length=64)]
    role: Literal["", "system"]
    source: SourceText


class Policy(Payload, frozen=True):
    """What the log promises, and who must sign.

    heartbeat_events_max, heartbeat_seconds_max    the longest stretch of entries without a heartbeat
    anchor_events_max, anchor_seconds_max          the longest stretch without an anchor
    pause_seconds_max                              the longest step between two entries that needs no outside witness
    jump_seconds_max                               the longest one that needs no signature of the root key
    sources_per_principal_max                      sources without a rule that one principal may open
    """

    anchor_events_max: Positive
    anchor_seconds_max: Seconds
    default_attestation: Attestation
    heartbeat_events_max: Positive
    heartbeat_seconds_max: Seconds
    jump_seconds_max: Seconds
    pause_seconds_max: Seconds
    sources: Annotated[tuple[SourceRule, ...], Meta(max_length=1024)]
    sources_per_principal_max: Positive


class SuccessorOf(Payload, frozen=True):
    """The head of the log that this one goes on from after a loss."""

    origin: OriginText
    root: Hash
    size: Positive


class NamedCheckpoint(Payload, frozen=True):
    """The log as its root key holder saw it when signing: a size, and the root of so many entries."""

    root: Hash
    size: Positive


@payload_type(GENESIS, schema=1)
class Genesis(Payload, frozen=True):
    """Entry 0: who this log is, and by which keys."""

    anchor_key: Hash
    format_version: Literal[1]
    log_key: Hash
    notary_key: Hash
    origin: OriginText
    policy: Policy
    root_key: Hash
    successor_of: SuccessorOf | None


@payload_type(KEY, schema=1)
class KeyChange(Payload, frozen=True):
    """A key begins, takes another's place, or ends. Recorded at `not_after` (ns) at the latest.

    `operator` and `roles` make an author key an operator's: what it may sign besides its sources' claims.
    """

    action: Literal["register", "rotate", "revoke"]
    checkpoint: NamedCheckpoint
    key: Hash
    not_after: Natural
    operator: SourceText
    overlap: Natural
    purpose: Literal["log", "notary", "anchor", "author"]
    replaces: Annotated[bytes, Meta(max_length=8)]
    roles: Annotated[tuple[RoleText, ...], Meta(max_length=16)]
    sources: Annotated[tuple[SourceText, ...], Meta(max_length=1024)]
    suspect_from: Natural | None


@payload_type(POLICY, schema=1)
class PolicyChange(Payload, frozen=True):
    """A new policy, from the next entry on. Recorded at `not_after` (ns) at the latest."""

    checkpoint: NamedCheckpoint
    not_after: Natural
    policy: Policy


@payload_type(CLOCK, schema=1)
class ClockStep(Payload, frozen=True):
    """Root or an operator vouches that the clock went from the last `recorded_at` to a time, both in ns."""

    from_ns: Natural = msgspec.field(name="from")
    reason: Reason
    to_ns: Natural = msgspec.field(name="to")


class Beacon(Payload, frozen=True):
    """A recent fact from outside that could not be known before: a finalized or recorded Solana block, or none."""

    block_time: Natural
    blockhash: Annotated[str, Meta(max_length=64)]
    kind: Literal["finalized", "recorded", "none"]
    slot: Natural


NO_BEACON = Beacon(block_time=0, blockhash="", kind="none", slot=0)


@payload_type(HEARTBEAT, schema=1)
class Heartbeat(Payload, frozen=True):
    """All stream heads before this entry as one root, its own place (`size` = seq, `last` = prev), the tree before it, and the beacon."""

    beacon: Beacon
    last: Hash
    root: Hash
    size: Natural
    streams_count: Natural
    streams_root: Hash


@payload_type(ERASURE, schema=1)
class Erasure(Payload, frozen=True):
    """The payload and salt of an earlier entry are gone, by whom and why."""

    id: Id
    seq: Natural
    who: Annotated[str, Meta(max_length=WHO_CHARS_MAX)]
    why: Reason
