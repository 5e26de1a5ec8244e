"""Honest logs, small and smaller; what is false is bent from them."""

from collections.abc import Callable
from typing import Any

from tests.vectors.log import DAY, JUMP, ORIGIN, PAUSE, POLICY, SECOND, Log, finalized, key_id

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def seen(number: int) -> dict[str, Any]:
    """A foreign payload."""
    return {"number": number, "what": "a thing"}


def genesis_alone() -> Log:
    """The smallest log."""
    log = Log()
    log.begin()
    return log


def plain() -> Log:
    """Ten entries, the base of most lies: see the numbers.

    0 genesis · 1 key of bot · 2 notarised · 3 not attested · 4, 5 by bot, counted · 6 caused by 2 · 7 erasure of 3 ·
    8 heartbeat · 9 notarised. Heads of sizes 1, 6, 10.
    """
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", sources=["bot"])
    first = log.say("x.seen", "engine-1", seen(1))
    log.say("x.seen", "raw", seen(2), by="none")
    log.count("author", "x.said", "bot", seen(3))
    log.count("author", "x.said", "bot", seen(4))
    log.head()
    log.say("x.seen", "engine-1", seen(5), subject="pool-1", causes=[first.claim["id"]], trace=TRACE)
    log.erase(3)
    log.beat()
    log.say("x.seen", "engine-1", seen(6), principal="bob")
    log.head()
    return log


def little() -> Log:
    """Six entries and two heads, for quick work: genesis, key, notarised, by bot, heartbeat, not attested."""
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", sources=["bot"])
    log.say("x.seen", "engine-1", seen(1))
    log.count("author", "x.said", "bot", seen(2))
    log.beat()
    log.say("x.seen", "raw", seen(3), by="none")
    log.head()
    return log


def rotations() -> Log:
    """Every key changes: the log's twice, with overlap and without, with heads of every size.

    0 genesis · 1 key of bot · 2 counted by bot · 3 log rotates, overlap 2 · 4 bot rotates · 5 counted by bot's new key ·
    6 notary rotates · 7 by the new notary · 8 log rotates, no overlap · 9 anchor rotates ·
    10 bot revoked, suspect from 5 · 11 heartbeat by the new notary. All changes are by the root key.
    """
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", sources=["bot", "bot-2"])
    log.head()
    log.count("author", "x.said", "bot", seen(1))
    log.head()
    log.change_key("rotate", "log", "log-2", replaces=key_id("log"), overlap=2)
    log.head()
    log.change_key("rotate", "author", "author-2", replaces=key_id("author"), sources=["bot", "bot-2"])
    log.head()
    log.count("author-2", "x.said", "bot-2", seen(2))
    log.head()
    log.change_key("rotate", "notary", "notary-2", replaces=key_id("notary"))
    log.notary = "notary-2"
    log.head()
    log.say("x.seen", "engine-1", seen(3))
    log.head()
    log.change_key("rotate", "log", "log-3", replaces=key_id("log-2"))
    log.head()
    log.change_key("rotate", "anchor", "anchor-2", replaces=key_id("anchor"))
    log.head()
    log.change_key("revoke", "author", "author-2", replaces=key_id("author-2"), suspect_from=5)
    log.head()
    log.beat()
    log.head()
    return log


def policies() -> Log:
    """The policy changes: first it names a key, then it asks for nothing; commands need their operator all the same.

    0 genesis · 1 key of operator ann · 2 another key · 3 policy: bot by author-2 alone · 4 by author-2 · 5 a command ·
    6 policy: nothing needs a name · 7 bot, not attested · 8 clock · 9 heartbeat.
    """
    rules = [{"attestation": "author", "keys": sorted([key_id("author-2")]), "role": "", "source": "bot"}]
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", operator="ann", roles=["pause"], sources=["bot", "ops"])
    log.change_key("register", "author", "author-2", sources=["bot"])
    log.change_policy(sources=rules)
    log.say("x.said", "bot", seen(1), by="author-2")
    log.say("control.pause", "ops", {"reason": "a drill"}, by="author")
    log.change_policy(default_attestation="none", sources=[])
    log.say("x.said", "bot", seen(2), by="none")
    log.clock()
    log.beat()
    log.head()
    return log


def operators() -> Log:
    """Operators erase and vouch for the clock, by two keys of one name, and root does too.

    0 genesis · 1 key of operator ann, for no source · 2 notarised · 3 not attested · 4 erasure of 2 by ann, counted · 5 erasure of 3 by
    root · 6 clock by ann, after eight days · 7 heartbeat · 8 ann's key rotates · 9 clock by the new key, of no pause at all ·
    10 another key of ann, for source ops · 11 a command by it · 12 by it as well, what anyone may say · 13 heartbeat.
    """
    log = Log()
    log.begin()
    log.change_key("register", "author", "operator", operator="ann", roles=["clock", "erasure"])
    log.say("x.seen", "engine-1", seen(1))
    log.say("x.seen", "raw", seen(2), by="none")
    erased = {"id": log.rows[2].claim["id"], "seq": 2, "who": "ann", "why": "w" * 499 + "ü"}
    log.rows[2].payload = None
    log.count("operator", "ledger.erasure", "ledger", erased)
    log.erase(3, who="w" * 127 + "ü")
    log.clock(PAUSE + DAY, by="operator", reason="r" * 499 + "ü")
    log.beat()
    same = {"operator": "ann", "roles": ["clock", "erasure"]}
    log.change_key("rotate", "author", "operator-2", replaces=key_id("operator"), **same)
    log.clock(by="operator-2")
    log.change_key("register", "author", "author", operator="ann", roles=["a", "a-", "pause"], sources=["ops", "x"])
    log.say("control.pause", "ops", {"reason": "a drill"}, by="author")
    log.say("x.said", "ops", seen(3), by="author")
    log.beat()
    log.head()
    return log


def speakers() -> Log:
    """Who may speak what, each once: the system, an operator, the anchor part, and anyone who says `x`.

    0 genesis · 1 key of an operator · 2–8 the system's: engine, route, observation, detection, market, two answers to commands · 9 a
    foreign word from its source · 10 a command · 11 anchor · 12–14 foreign: notarised, by an author, not attested · 15 heartbeat.
    """
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", operator="ann", roles=["pause"], sources=["bot", "ops"])
    for kind in ("engine.session", "route.epoch", "observation.block", "detection.sandwich", "market"):
        log.say(kind, "sys", seen(1))
    log.say("control.ack", "sys", {"after": 1})
    log.say("control.refused", "sys", {"after": 2})
    log.say("x.seen", "sys", seen(2))
    log.count("author", "control.pause", "ops", {"reason": "a drill"})
    log.say("anchor.confirmed", "anchor", {"not": "what section 12 asks for"})
    log.say("x.seen", "engine-1", seen(3))
    log.count("author", "x.said", "bot", seen(4))
    log.say("x", "raw", seen(5), by="none")
    log.beat()
    log.head()
    return log


def authors_by_default() -> Log:
    """Who has no rule speaks as an author; anchors and the system are notarised all the same.

    0 genesis · 1 key · 2 by an author · 3 anchor · 4, 5 the system's · 6 heartbeat.
    """
    log = Log()
    log.begin(policy={**POLICY, "default_attestation": "author"})
    log.change_key("register", "author", "author", sources=["bot-2"])
    log.say("x.said", "bot-2", seen(1), by="author")
    log.say("anchor.confirmed", "anchor", {"not": "what section 12 asks for"})
    log.say("observation.block", "sys", seen(2))
    log.say("x.seen", "sys", seen(3))
    log.beat()
    log.head()
    return log


def weekend() -> Log:
    """Time passes: each pause is vouched for as far as it has to be.

    0 genesis · 1 said · 2 heartbeat after a weekend · 3 said · 4 heartbeat after the longest pause that needs nobody · 5 heartbeat with
    a finalized block, a second past it, the block 120 s old · 6 said · 7 the same for the longest jump, the block 120 s ahead · 8 root's
    clock for a jump past it · 9 heartbeat · 10 said · 11 clock for a pause that needs nobody's word · 12 heartbeat.
    """
    log = Log()
    log.begin()
    log.say("x.seen", "engine-1", seen(1))
    log.beat(2 * DAY)
    log.say("x.seen", "engine-1", seen(2))
    log.beat(PAUSE - SECOND)
    now = log.now + PAUSE + SECOND
    log.beat(PAUSE, beacon=finalized(now // SECOND - 120))
    log.say("x.seen", "engine-1", seen(3))
    now = log.now + JUMP
    log.beat(JUMP - SECOND, beacon=finalized(now // SECOND + 120))
    log.clock(JUMP)
    log.beat(beacon=finalized(0, "recorded"))
    log.say("x.seen", "engine-1", seen(4))
    log.clock(DAY)
    log.beat()
    log.head()
    return log


def at_the_limits() -> Log:
    """Heartbeats as late as they may be, by entries and by time; named checkpoints of the first and of all entries; what root signs
    recorded at the last moment; a clock that says as much, and as little, as it may.

    0 genesis: two entries and ten seconds at most · 1 key, naming genesis · 2 said · 3 heartbeat · 4 said, ten seconds after it · 5 heartbeat ·
    6, 7 said · 8 heartbeat · 9 policy: four entries · 10 said: the policy counts from here · 11, 12 · 13 heartbeat · 14 clock of 60 s
    ahead · 15 clock of as far back as a pause may be · 16 heartbeat.
    """
    log = Log()
    log.begin(policy={**POLICY, "heartbeat_events_max": 2, "heartbeat_seconds_max": 10})
    log.change_key("register", "author", "author", sources=["bot"], not_after=log.now + SECOND)
    log.say("x.seen", "engine-1", seen(1))
    log.beat()
    log.now += 9 * SECOND
    log.say("x.seen", "engine-1", seen(2))
    log.beat()
    for number in (3, 4):
        log.say("x.seen", "engine-1", seen(number))
    log.beat()
    log.change_policy(heartbeat_events_max=4, heartbeat_seconds_max=10, checkpoint=log.named(1))
    for number in (5, 6, 7):
        log.say("x.seen", "engine-1", seen(number))
    log.beat()
    log.clock(to=log.now + 61 * SECOND)
    log.clock(PAUSE, to=log.now + SECOND)
    log.beat()
    log.head()
    return log


def open_types() -> Log:
    """Payloads that stand in their entries: whatever they hold is hashed, and the ledger's own alone is read. A log that succeeds another."""
    log = Log()
    log.begin(successor_of={"origin": ORIGIN + "-lost", "root": bytes(range(32)), "size": 7})
    log.say("engine.state", "sys", {"as_of": 1, "entries": 0, "projection": "pools", "root": bytes(32), "version": 1})
    log.say("engine.session", "sys", b"\xc1 not MessagePack, and nobody minds")
    log.say("route.decision", "sys", b"")
    log.say("anchor.confirmed", "anchor", {"not": "what section 12 asks for: step 9 says so, not 1 to 7"})
    log.beat()
    log.say("observation.block", "sys", b"")
    log.say("control.ack", "sys", b"\xff")
    log.head()
    return log


def extremes() -> Log:
    """Longest and largest values; private payloads that are no MessagePack; one id used by two sources."""
    log = Log(origin="!" * 64 + "~" * 64)
    log.begin()
    log.change_key("register", "author", "author", sources=["Z" * 64])
    causes = [log.say("x", "a", b"\xc1").claim["id"] for _ in range(2)]
    log.say("x", "b", b"", id=causes[0])
    log.say("x." + "y" * 62, "._-" + "Z" * 61, b"\xff" * 300, subject="größe " + "ü" * 60, principal="p" * 126 + "é")
    log.say("x", "a", seen(1), schema=65_535, occurred_at=0, causes=causes)
    log.say("x", "a", seen(2), occurred_at=log.now + 61 * SECOND)
    log.count("author", "x", "Z" * 64, b"", trace="00-" + "0" * 31 + "1-" + "f" * 16 + "-ff")
    end = 2**63 - 1
    log.clock(end - log.now - SECOND, reason="")
    log.beat(-SECOND, beacon={"block_time": end, "blockhash": "b" * 63 + "ü", "kind": "recorded", "slot": end})
    log.head()
    return log


def many_streams() -> Log:
    """Nine streams, so that absence has neighbours; two heartbeats, the first over the genesis stream alone."""
    log = Log()
    log.begin()
    log.beat()
    for number, source in enumerate(("bee", "ant", "cat", "dog", "elk", "fox", "gnu", "hen")):
        log.say("x.seen", source, seen(number))
    log.say("x.seen", "cat", seen(9))
    log.beat()
    log.head()
    return log


def with_entry_of(size: int) -> Log:
    """Genesis, and an entry of so many bytes: at most 65,535 are allowed."""
    log = Log()
    log.begin()
    spare = log.copy().say("engine.session", "sys", bytes(65_000)).bytes_of()
    log.say("engine.session", "sys", bytes(65_000 + size - len(spare)))
    log.head()
    return log


LOGS: dict[str, Callable[[], Log]] = {
    "genesis-alone": genesis_alone,
    "plain": plain,
    "little": little,
    "rotations": rotations,
    "policies": policies,
    "operators": operators,
    "speakers": speakers,
    "authors-by-default": authors_by_default,
    "weekend": weekend,
    "at-the-limits": at_the_limits,
    "open-types": open_types,
    "extremes": extremes,
    "many-streams": many_streams,
    "longest-entry": lambda: with_entry_of(65_535),
}
