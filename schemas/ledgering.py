"""The payloads of the ledger's own types (docs/format.md, section 5). Open: they stand in their entries."""

from typing import Annotated, Literal

from msgspec import Meta

from decision_dna.schemas.claims import Attestation, Hash, Id, Natural
from decision_dna.schemas.payloads import Payload, payload_type

KeyId = Annotated[bytes, Meta(min_length=8, max_length=8)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]

GENESIS = "ledger.genesis"
KEY = "ledger.key"
POLICY = "ledger.policy"
CLOCK = "ledger.clock"
HEARTBEAT = "ledger.heartbeat"
ERASURE = "ledger.erasure"
AUTHORITY_TYPES = frozenset({GENESIS, KEY, POLICY})
"""What keys and policy fold from."""


class SourceRule(Payload, frozen=True):
    """What a source needs at least, and which author keys may speak for it (any bound to it, where none is named)."""

    attestation: Attestation
    keys: tuple[KeyId, ...]
    source: str


class Policy(Payload, frozen=True):
    """What the log promises: the longest silence, in seconds and events, and who must sign."""

    anchor_events_max: Positive
    anchor_seconds_max: Positive
    default_attestation: Attestation
    heartbeat_seconds_max: Positive
    sources: tuple[SourceRule, ...]


class SuccessorOf(Payload, frozen=True):
    """The head of the log that this one goes on from after a loss."""

    origin: str
    root: Hash
    size: Positive


@payload_type(GENESIS, schema=1)
class Genesis(Payload, frozen=True):
    """Entry 0: who this log is, and by which keys."""

    anchor_key: Hash
    format_version: Literal[1]
    log_key: Hash
    notary_key: Hash
    origin: str
    policy: Policy
    root_key: Hash
    successor_of: SuccessorOf | None


@payload_type(KEY, schema=1)
class KeyChange(Payload, frozen=True):
    """A key begins, takes another's place, or ends."""

    action: Literal["register", "rotate", "revoke"]
    key: Hash
    overlap: Natural
    purpose: Literal["log", "notary", "anchor", "author"]
    replaces: Annotated[bytes, Meta(max_length=8)]
    sources: tuple[str, ...]
    suspect_from: Natural | None


@payload_type(POLICY, schema=1)
class PolicyChange(Payload, frozen=True):
    """A new policy, from the next entry on."""

    policy: Policy


@payload_type(CLOCK, schema=1)
class ClockStep(Payload, frozen=True):
    """An operator vouches for a step of the clock, in ns."""

    reason: str
    step: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Beacon(Payload, frozen=True):
    """A recent fact from outside that could not be known before: `kind` is `solana`, `recorded`, or `none`."""

    blockhash: str
    kind: str
    slot: Natural


NO_BEACON = Beacon(blockhash="", kind="none", slot=0)


@payload_type(HEARTBEAT, schema=1)
class Heartbeat(Payload, frozen=True):
    """All stream heads before this entry, as one root, and the beacon."""

    beacon: Beacon
    streams_count: Natural
    streams_root: Hash


@payload_type(ERASURE, schema=1)
class Erasure(Payload, frozen=True):
    """The payload and salt of an earlier entry are gone, by whom and why."""

    id: Id
    seq: Natural
    who: str
    why: str
