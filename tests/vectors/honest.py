"""Honest logs, small and smaller; what is false is bent from them."""

from collections.abc import Callable
from typing import Any

from tests.vectors.log import ORIGIN, POLICY, SECOND, Log, key_id

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

    0 genesis · 1 key of bot · 2 counted by bot · 3 log rotates, overlap 2 · 4 bot rotates itself · 5 counted by bot's new key ·
    6 notary rotates itself · 7 by the new notary · 8 log rotates, by the root key, no overlap · 9 anchor rotates ·
    10 bot revoked, suspect from 5 · 11 heartbeat by the new notary.
    """
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", sources=["bot", "bot-2"])
    log.head()
    log.count("author", "x.said", "bot", seen(1))
    log.head()
    log.change_key("rotate", "log", "log-2", replaces=key_id("log"), overlap=2, by="log")
    log.head()
    log.change_key("rotate", "author", "author-2", replaces=key_id("author"), sources=["bot", "bot-2"], by="author")
    log.head()
    log.count("author-2", "x.said", "bot-2", seen(2))
    log.head()
    log.change_key("rotate", "notary", "notary-2", replaces=key_id("notary"), by="notary")
    log.notary = "notary-2"
    log.head()
    log.say("x.seen", "engine-1", seen(3))
    log.head()
    log.change_key("rotate", "log", "log-3", replaces=key_id("log-2"))
    log.head()
    log.change_key("rotate", "anchor", "anchor-2", replaces=key_id("anchor"), by="anchor")
    log.head()
    log.change_key("revoke", "author", "author-2", replaces=key_id("author-2"), suspect_from=5)
    log.head()
    log.beat()
    log.head()
    return log


def policies() -> Log:
    """The policy changes: first it names a key, then it asks for nothing; commands need their author all the same.

    0 genesis · 1, 2 keys · 3 policy: bot by author-2 alone · 4 by author-2 · 5 a command · 6 policy: nothing needs a name ·
    7 bot, not attested · 8 clock · 9 heartbeat.
    """
    rules = [{"attestation": "author", "keys": sorted([key_id("author-2")]), "source": "bot"}]
    log = Log()
    log.begin()
    log.change_key("register", "author", "author", sources=["bot", "ops"])
    log.change_key("register", "author", "author-2", sources=["bot"])
    log.own("policy", {"policy": {**POLICY, "sources": rules}})
    log.say("x.said", "bot", seen(1), by="author-2")
    log.say("control.pause", "ops", {"reason": "a drill"}, by="author")
    log.own("policy", {"policy": {**POLICY, "default_attestation": "none", "sources": []}})
    log.say("x.said", "bot", seen(2), by="none")
    log.own("clock", {"reason": "daylight", "step": -3600 * SECOND})
    log.beat()
    log.head()
    return log


def open_types() -> Log:
    """Payloads that stand in their entries: whatever they hold is hashed, and the ledger's own alone is read. A log that succeeds another."""
    log = Log()
    log.begin(successor_of={"origin": ORIGIN + "-lost", "root": bytes(range(32)), "size": 7})
    log.say(
        "engine.state", "engine-1", {"as_of": 1, "entries": 0, "projection": "pools", "root": bytes(32), "version": 1}
    )
    log.say("engine.session", "engine-1", b"\xc1 not MessagePack, and nobody minds")
    log.say("route.draw_key", "engine-1", b"")
    log.say(
        "anchor.confirmed",
        "anchor",
        {"not": "what section 12 asks for: step 9 says so, not 1 to 7"},
        principal="anchor",
    )
    log.beat()
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
    log.own("clock", {"reason": "", "step": -(2**63)})
    log.beat()
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
    spare = log.copy().say("engine.session", "engine-1", bytes(65_000)).bytes_of()
    log.say("engine.session", "engine-1", bytes(65_000 + size - len(spare)))
    log.head()
    return log


LOGS: dict[str, Callable[[], Log]] = {
    "genesis-alone": genesis_alone,
    "plain": plain,
    "little": little,
    "rotations": rotations,
    "policies": policies,
    "open-types": open_types,
    "extremes": extremes,
    "many-streams": many_streams,
    "longest-entry": lambda: with_entry_of(65_535),
}
