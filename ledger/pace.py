"""How far a log may go on without a heartbeat, and how far its time may step between two entries (docs/format.md, section 6).

Pure: the writer asks before it appends, verification asks afterwards, and both ask the same functions.
"""

from typing import NamedTuple

from decision_dna.ledger.authority import Authority, decode_ledger_payload, may_jump
from decision_dna.schemas.claims import Claim, Entry
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.ledgering import CLOCK, HEARTBEAT, Beacon, ClockStep, Heartbeat, Policy

SECOND = 10**9
BEACON_NS_MAX = 120 * SECOND
"""A finalized block vouches for the time so far around its own."""
VOUCHED_AHEAD_NS_MAX = 60 * SECOND
"""`ledger.clock` may be recorded so much before the time that it vouches for: two machines' clocks differ."""
EXEMPT_TYPES = frozenset({HEARTBEAT, CLOCK})
"""Entries that may stand past the maxima."""


class Beat(NamedTuple):
    """The newest heartbeat, or genesis: what the maxima count from."""

    seq: int
    recorded_at: int


class Vouch(NamedTuple):
    """What an entry says for the time between it and the entry before: the longest gap (ns; None: any) past
    `pause_seconds_max`, and of a `ledger.clock` the time that it says to go on from."""

    gap_ns_max: int | None
    from_ns: int | None


NO_VOUCH = Vouch(0, None)


class Limits(NamedTuple):
    """A policy's maxima, in events and ns."""

    events: int
    silence_ns: int
    pause_ns: int
    jump_ns: int

    @classmethod
    def of(cls, policy: Policy) -> "Limits":
        """The maxima of a policy."""
        return cls(
            policy.heartbeat_events_max,
            policy.heartbeat_seconds_max * SECOND,
            policy.pause_seconds_max * SECOND,
            policy.jump_seconds_max * SECOND,
        )


def overdue(limits: Limits, beat: Beat, seq: int, recorded_at: int) -> str | None:
    """Say why an entry that is no heartbeat and no `ledger.clock` stands too far after the newest heartbeat; None if it does not."""
    if seq - beat.seq > limits.events:
        return f"no heartbeat since seq {beat.seq}: {seq - beat.seq} entries, policy allows {limits.events}"
    if recorded_at - beat.recorded_at > limits.silence_ns:
        late = (recorded_at - beat.recorded_at) / SECOND
        return f"no heartbeat since seq {beat.seq}: {late:.3f} s, policy allows {limits.silence_ns // SECOND} s"
    return None


def stepped(limits: Limits, vouch: Vouch, before: int, recorded_at: int) -> str | None:
    """Say why the time between two neighbours (ns) needs another witness than it has; None if it has what it needs."""
    if vouch.from_ns is not None and vouch.from_ns != before:
        return f"ledger.clock goes on from {vouch.from_ns}, the entry before was recorded at {before}"
    gap = recorded_at - before
    if gap <= limits.pause_ns or vouch.gap_ns_max is None or gap <= vouch.gap_ns_max:
        return None
    needs = "a ledger.clock signed by root" if gap > limits.jump_ns else "a finalized beacon or a ledger.clock"
    return f"time went on by {gap / SECOND:.3f} s between this entry and the one before: that needs {needs}"


def vouch_of(authority: Authority, entry: Entry, claim: Claim) -> Vouch:
    """What a `ledger.*` entry vouches for; nothing if it does not decode."""
    if claim.type not in EXEMPT_TYPES:
        return NO_VOUCH
    try:
        payload = decode_ledger_payload(claim, entry.open)
    except LedgerError:
        return NO_VOUCH
    if isinstance(payload, ClockStep):
        limits = Limits.of(authority.policy)
        return Vouch(None if may_jump(authority, entry) else limits.jump_ns, payload.from_ns)
    if isinstance(payload, Heartbeat) and is_witness(payload.beacon, entry.recorded_at):
        return Vouch(authority.policy.jump_seconds_max * SECOND, None)
    return NO_VOUCH


def is_witness(beacon: Beacon, recorded_at: int) -> bool:
    """Whether a beacon vouches for a time: a finalized block not further than two minutes from it."""
    return beacon.kind == "finalized" and abs(beacon.block_time * SECOND - recorded_at) <= BEACON_NS_MAX


def misplaced(policy: Policy, step: ClockStep, recorded_at: int) -> str | None:
    """Say why a `ledger.clock` may not be recorded at a time; None if it may."""
    if not step.to_ns - VOUCHED_AHEAD_NS_MAX <= recorded_at <= step.to_ns + policy.pause_seconds_max * SECOND:
        return f"ledger.clock vouches for {step.to_ns}, and was recorded at {recorded_at}"
    return None
