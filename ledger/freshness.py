"""Freshness: the newest entry, heartbeat and anchor of a log against what policy promises and the verifier's own clock.

    fail            an entry lies in the future of that clock, or a heartbeat or an anchor is later than promised
    inconclusive    no heartbeat or no anchor was seen, and none was late yet
    pass            both were seen, and are as recent as promised

All times are ns since 1970. The clock is an argument.
"""

import msgspec

from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.claims import AHEAD_NS_MAX
from decision_dna.schemas.ledgering import Policy


class LastAnchor(msgspec.Struct, frozen=True):
    """How long a log has gone on without an anchor: since a time (ns) and a size, up to `entries` entries; and what policy
    promises. Size 0: there was none yet, and `since` is when the log began."""

    since: int
    size: int
    entries: int
    seconds_max: int
    events_max: int


def last_anchor(newest: AnchorConfirmed | None, recorded_at: int, entries: int, policy: Policy) -> LastAnchor:
    """Return how long the log has gone on since the newest anchor, reported by an entry recorded at that time; None: since the
    log began, then.

    An anchor's block time is its sender's word: one that lies after its own entry counts from that entry.
    """
    since = recorded_at if newest is None else min(newest.block_time * 10**9, recorded_at)
    size = 0 if newest is None else newest.size
    return LastAnchor(since, size, entries, policy.anchor_seconds_max, policy.anchor_events_max)


class Newest(msgspec.Struct, frozen=True):
    """What freshness is judged by.

    `began_at`: when entry 0 was recorded; None if the log was not read from there. `recorded_at`: of the newest entry.
    `heartbeat_at`: of the newest heartbeat; None if none was seen. `anchor` None: no anchor was seen or looked for.
    """

    began_at: int | None
    recorded_at: int
    heartbeat_at: int | None
    heartbeat_seconds_max: int
    anchor: LastAnchor | None


def freshness(newest: Newest, now: int) -> str:
    """Return `pass`, or `fail: ` or `inconclusive: ` with the reasons."""
    if ahead := ahead_of(newest.recorded_at, now):
        return f"fail: the newest entry was recorded {ahead}"
    late = _late_heartbeat(newest, now) + ([] if newest.anchor is None else _late_anchor(newest.anchor, now))
    if late:
        return f"fail: {'; '.join(late)}"
    unseen = ["heartbeat"] if newest.heartbeat_at is None else []
    unseen += ["anchor"] if newest.anchor is None or newest.anchor.size == 0 else []
    where = "yet" if newest.began_at is not None else "among the entries that were read"
    return f"inconclusive: no {' and no '.join(unseen)} {where}" if unseen else "pass"


def ahead_of(recorded_at: int, now: int) -> str:
    """Say how far a time lies in the future of this clock; empty if it does not, by more than the 60 s that clocks may differ."""
    return f"{(recorded_at - now) / 1e9:.0f} s in the future of this clock" if recorded_at > now + AHEAD_NS_MAX else ""


def _late_heartbeat(newest: Newest, now: int) -> list[str]:
    what, since = "the newest heartbeat", newest.heartbeat_at
    if since is None:
        what, since = "the log's beginning, and no heartbeat yet,", newest.began_at
    if since is None:
        return []
    late = (now - since) / 1e9 - newest.heartbeat_seconds_max
    return (
        [f"{what} is {late:.0f} s past the {newest.heartbeat_seconds_max} s that policy promises"] if late > 0 else []
    )


def _late_anchor(anchor: LastAnchor, now: int) -> list[str]:
    what = "the newest anchor" if anchor.size else "the log's beginning, and no anchor yet,"
    late, past = (now - anchor.since) / 1e9 - anchor.seconds_max, anchor.entries - anchor.size
    said = [f"{what} is {late:.0f} s past the {anchor.seconds_max} s that policy promises"] if late > 0 else []
    if past > anchor.events_max:
        said.append(f"{past} entries are not anchored, policy promises at most {anchor.events_max}")
    return said
