"""Mutants of honest logs and evidence: bent at one layer, and then mended at the layers around it, so that the bend is what is judged.

Each operator is a function from a source of chance to bytes. The naive ones (bits, bytes, lines, json) die in step 1; the
others know every key, and sign and link anew what they changed. Some change nothing that matters: their mutants must be accepted.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

import msgspec

from decision_dna.schemas.claims import ZEROS
from tests.vectors import showing
from tests.vectors.honest import LOGS, TRACE, seen
from tests.vectors.lies import stranger_line
from tests.vectors.lies_of_rights import NOBODYS_KEYS
from tests.vectors.log import (
    JUMP,
    KEYS,
    NAMES,
    NO_BEACON,
    PAUSE,
    POLICY,
    SECOND,
    Log,
    Row,
    event_id,
    finalized,
    key_id,
    line,
    public,
    text,
    vkey,
)

BASES = (
    ("little",) * 4
    + ("plain", "operators", "speakers", "weekend") * 2
    + ("genesis-alone", "rotations", "policies", "authors-by-default", "at-the-limits")
    + ("open-types", "extremes", "many-streams")
)
INTEGERS = (
    0,
    1,
    2,
    31,
    32,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -1,
    -32,
    -33,
    -(2**63),
)
TEXTS = (
    "",
    "a",
    "ledger",
    "anchor",
    "bot",
    "raw",
    "sys",
    "engine",
    "system",
    "operator",
    "clock",
    "author",
    "notary",
    "none",
    "\n",
    "\x7f",
    "\x80",
    "ü" * 64,
    "a" * 65,
    "a" * 129,
    "é",
    "\U0001f9ec",
    TRACE,
)
BYTES = (b"", b"\x00", bytes(8), bytes(16), ZEROS, bytes(33), bytes(64), b"\xc0")


class Mutant(msgspec.Struct, frozen=True):
    """A file, what made it, and the key that it is checked with."""

    operator: str
    data: bytes
    key: str | None
    evidence: bool


@cache
def _honest(name: str) -> Log:
    return LOGS[name]()


def base(chance: Random) -> Log:
    """An honest log, to be bent; of its heads the newest and at most two more."""
    log = _honest(chance.choice(BASES)).copy()
    kept = sorted(chance.sample(range(len(log.heads) - 1), min(2, len(log.heads) - 1)))
    log.heads = [*(log.heads[at] for at in kept), log.heads[-1]]
    return log


# --- other values --------------------------------------------------------------------------------------------------------


def another(value: Any, chance: Random) -> Any:
    """A value near this one, or of its kind, or of another."""
    if chance.random() < 0.1:
        return chance.choice((None, True, False, 1.0, [], {}, *INTEGERS, *TEXTS, *BYTES))
    if isinstance(value, int) and not isinstance(value, bool):
        near = [value + step for step in (-1, 1, -SECOND, 60 * SECOND, 61 * SECOND)]
        return min(max(chance.choice((*near, *INTEGERS)), -(2**63)), 2**64 - 1)
    if isinstance(value, str):
        at = chance.randrange(len(value) + 1)
        grown = (
            value + "\n",
            value[:at] + value[at + 1 :],
            value[:at] + chance.choice("aZ0 ./+\x1f\u2003") + value[at:],
        )
        return chance.choice((*TEXTS, *grown, value.upper()))
    if isinstance(value, bytes):
        return chance.choice(
            (
                *BYTES,
                flipped(value, chance),
                value[:-1],
                value + b"\x00",
                public(chance.choice(NAMES)),
                chance.choice(tuple(NOBODYS_KEYS.values())),
                key_id(chance.choice(NAMES)),
            )
        )
    if isinstance(value, dict) and value:
        return another_map(value, chance)
    if isinstance(value, list | tuple) and value:
        return another_list(list(value), chance)
    return chance.choice((None, 0, "", [], [value], b"x" * 16))


def another_map(value: dict[str, Any], chance: Random) -> dict[str, Any]:
    """One field other, missing, or more."""
    name = chance.choice(sorted(value))
    kind = chance.random()
    if kind < 0.08:
        return {key: item for key, item in value.items() if key != name}
    if kind < 0.14:
        return {**value, chance.choice(("", "a", "zz", name + "_")): chance.choice((None, 0, ""))}
    return {**value, name: another(value[name], chance)}


def another_list(value: list[Any], chance: Random) -> list[Any]:
    """One item other, missing, twice, or in another place."""
    at, other = chance.randrange(len(value)), chance.randrange(len(value))
    kind = chance.randrange(5)
    if kind == 0:
        return value[:at] + value[at + 1 :]
    if kind == 1:
        return [*value[:at], value[other], *value[at:]]
    if kind == 2:
        value[at], value[other] = value[other], value[at]
        return value
    value[at] = another(value[at], chance)
    return value


def flipped(data: bytes, chance: Random) -> bytes:
    """One to three bits other."""
    bent = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3)) if bent else 0):
        at = chance.randrange(len(bent))
        bent[at] ^= 1 << chance.randrange(8)
    return bytes(bent)


def shuffled(data: bytes, chance: Random) -> bytes:
    """Some bytes more, fewer, or other."""
    at = chance.choice((chance.randrange(len(data) + 1), max(0, len(data) - 1)))
    end = min(len(data), at + chance.choice((0, 1, 1, 2, 5, 40)))
    new = chance.choice((b"", b"\x00", b"\n", b" ", b'"', b"\xc0", data[end : end + 7], chance.randbytes(3)))
    return data[:at] + new + data[end:]


# --- mending --------------------------------------------------------------------------------------------------------------


def mend(log: Log, chance: Random, *, heads: Sequence[int] | None = None) -> Log:
    """Most often all layers; else each of them or not."""
    every = chance.random() < 0.85
    if every or chance.random() < 0.5:
        _renumber_erasures(log)
        log.recount()
    if every or chance.random() < 0.5:
        log.relink(beats=every or chance.random() < 0.5)
    if every or chance.random() < 0.5:
        log.sign_heads(heads)
    return log


def _renumber_erasures(log: Log) -> None:
    places = {row.claim["id"]: seq for seq, row in enumerate(log.rows) if isinstance(row.claim["id"], bytes)}
    for seq, row in enumerate(log.rows):
        if row.claim["type"] != "ledger.erasure" or row.raw is not None:
            continue
        said = row.opened()
        named = places.get(said.get("id", b"")) if isinstance(said.get("id"), bytes) else None
        if named is not None and named < seq and named != said.get("seq"):
            row.reopen({**said, "seq": named})
            row.attest()


def place(log: Log, chance: Random) -> int:
    return chance.randrange(len(log.rows))


# --- operators on the rows of a log --------------------------------------------------------------------------------------


def edge_of(name: str, row: Row, chance: Random) -> Any:
    """A value of a claim's field on either side of its rule, while the rules around it hold."""
    recorded = row.entry["recorded_at"]
    edges: dict[str, tuple[Any, ...]] = {
        "id": (event_id(9, recorded + 60 * SECOND), event_id(9, recorded + 61 * SECOND), event_id(9, 0)),
        "schema": (1, 65_535, 0, 65_536),
        "source": ("a" * 64, "a" * 65, "Z.9_-", "a b", "sys", "ops", "bot"),
        "subject": ("a" * 128, "a" * 129, "ü" * 64, "ü" * 65, "a\x80", "a\x7f"),
        "type": ("x." + "a" * 62, "x." + "a" * 63, "x.9", "x.A", *TYPES),
        "occurred_at": (recorded + 60 * SECOND, recorded + 60 * SECOND + 1, 0, -1),
        "trace": (TRACE, TRACE.upper(), TRACE[:-2] + "ff", "01" + TRACE[2:]),
        "author_seq": (0, 1, 2),
    }
    return chance.choice(edges.get(name, (another(row.claim[name], chance),)))


def claim_field(log: Log, chance: Random) -> None:
    """Another value in a claim, signed."""
    row = log.rows[place(log, chance)]
    name = chance.choice(list(row.claim))
    value = edge_of(name, row, chance) if chance.random() < 0.5 else another(row.claim[name], chance)
    row.claim[name] = value
    if name in ("type", "source") and chance.random() < 0.7:
        row.entry["stream"] = f"{str(row.claim['type']).partition('.')[0]}/{row.claim['source']}"
    row.seal()
    row.attest()


def entry_field(log: Log, chance: Random) -> None:
    """Another value in an entry; the links after it lead to it."""
    at = place(log, chance)
    row = log.rows[at]
    name = chance.choice([name for name in row.entry if name != "claim"])
    log.relink(at)
    row.entry[name] = another(row.entry[name], chance)
    if chance.random() < 0.5:
        row.attest()
    row.raw = row.bytes_of()


def open_field(log: Log, chance: Random) -> None:
    """Another value in an open payload, committed to and signed."""
    rows = [row for row in log.rows if row.entry["open"]]
    row = chance.choice(rows)
    row.reopen(another_map(row.opened(), chance) if isinstance(row.opened(), dict) and row.opened() else seen(1))
    row.attest()
    if chance.random() < 0.5:
        row.raw = row.bytes_of()  # else mending would make true again what it says of the log before it


def entry_bytes(log: Log, chance: Random) -> None:
    """Other bytes for an entry, linked to."""
    at = place(log, chance)
    log.relink(at)
    row = log.rows[at]
    row.raw = chance.choice((flipped, shuffled))(row.bytes_of(), chance)


def claim_bytes(log: Log, chance: Random) -> None:
    """Other bytes for a claim, signed and linked to."""
    row = log.rows[place(log, chance)]
    row.entry["claim"] = chance.choice((flipped, shuffled))(row.entry["claim"], chance)
    row.attest()


def open_bytes(log: Log, chance: Random) -> None:
    """Other bytes for an open payload, committed to and signed."""
    row = chance.choice([row for row in log.rows if row.entry["open"]])
    row.reopen(chance.choice((flipped, shuffled))(row.entry["open"], chance))
    row.attest()


def payload(log: Log, chance: Random) -> None:
    """Another payload beside an entry, committed to or not."""
    row = log.rows[place(log, chance)]
    old = row.payload or b""
    choices = (
        None,
        b"",
        old[:15],
        old[:16],
        bytes(16),
        flipped(old, chance),
        shuffled(old, chance),
        bytes(16) + row.entry["open"],
    )
    row.payload = chance.choice(choices)
    if chance.random() < 0.6 and not row.entry["open"]:
        row.commit()
        row.attest()


def signer(log: Log, chance: Random) -> None:
    """Somebody else attests, or in another way."""
    row = log.rows[place(log, chance)]
    kind = chance.choice(("author", "notary", "none"))
    if kind == "none":
        row.entry.update(attestation="none", principal="", key_id=b"", signature=b"")
        return
    who = (chance.random() < 0.5 and row.entry["principal"]) or chance.choice(("alice", *RESERVED))
    row.attest(chance.choice(tuple(KEYS)), kind, who if kind == "notary" else "")


def drop(log: Log, chance: Random) -> None:
    """An entry less."""
    if len(log.rows) > 1:
        del log.rows[place(log, chance)]


def double(log: Log, chance: Random) -> None:
    """An entry twice, perhaps under another id."""
    at = place(log, chance)
    twin = log.copy().rows[at]
    if chance.random() < 0.6:
        twin.claim["id"] = event_id(1000 + chance.randrange(1000), log.now)
        twin.seal()
        twin.attest()
    if chance.random() < 0.5:
        twin.entry["recorded_at"] = log.rows[-1].entry["recorded_at"]
        log.rows.append(twin)
    else:
        log.rows.insert(at, twin)


def swap(log: Log, chance: Random) -> None:
    """Two entries in each other's place, with each other's times or not."""
    at, other = place(log, chance), place(log, chance)
    one, two = log.rows[at], log.rows[other]
    log.rows[at], log.rows[other] = two, one
    if chance.random() < 0.6:
        one.entry["recorded_at"], two.entry["recorded_at"] = two.entry["recorded_at"], one.entry["recorded_at"]


def splice(log: Log, chance: Random) -> None:
    """An entry of another log, as if it were ours."""
    donor = base(chance)
    row = donor.rows[place(donor, chance)]
    at = chance.randrange(len(log.rows) + 1)
    if chance.random() < 0.7:
        row.claim["origin"] = log.origin
        row.entry["recorded_at"] = log.rows[min(at, len(log.rows) - 1)].entry["recorded_at"]
        row.seal()
        row.attest()
    log.rows.insert(at, row)


TYPES = (
    *("x.seen", "x", "engine.state", "route.decision", "observation.block", "detection.sandwich", "market.price"),
    *("control.pause", "control.ack", "control.refused", "anchor.confirmed", "other.seen"),
)
SOURCES = ("engine-1", "raw", "bot", "bot-2", "ops", "sys", "anchor")
RESERVED = ("ledger", "anchor", "engine")


def say_more(log: Log, chance: Random) -> None:
    """What may be said by anyone, and mostly may be: by whom, as whom, to what cause, at what time."""
    causes = [row.claim["id"] for row in log.rows if chance.random() < 0.1]
    by = chance.choice(("notary", "notary", "notary", "none", "author", "author-2", "operator", "root", "stranger"))
    source, kind = chance.choice(SOURCES), chance.choice(("x.seen", "x.seen", *TYPES))
    if chance.random() < 0.5:  # mostly as it is allowed
        kind = chance.choice(TYPES[:-1])
        if kind == "control.pause":
            by, source = "author", "ops"
        else:
            by, source = "notary", "sys" if kind[0] != "x" else chance.choice(("engine-1", "sys"))
    source = "anchor" if kind.startswith("anchor") and chance.random() < 0.9 else source
    fields: dict[str, Any] = {
        "subject": chance.choice(("", "pool-1", "größe", chance.choice(TEXTS))),
        "causes": causes[:3],
        "trace": chance.choice(("", TRACE)),
    }
    if by == "notary" and chance.random() < 0.3:
        fields["principal"] = chance.choice(("alice", *RESERVED))
    if (chance.random() < 0.3 and by in log.counters) or by == "root":
        log.count(by, kind, source, seen(1), **fields)
    else:
        log.say(kind, source, chance.choice((seen(1), b"", b"\xc1", bytes(300))), by=by, **fields)


def beacon_near(now: int, chance: Random) -> dict[str, Any]:
    """A block of about that time (ns), or none."""
    kind = chance.choice(("finalized", "finalized", "finalized", "recorded", "none"))
    seconds = now // SECOND + chance.choice((0, 119, 120, 121, -119, -120, -121, -(2**20)))
    near = finalized(max(0, seconds), kind)
    return chance.choice((NO_BEACON, NO_BEACON, {**NO_BEACON, "block_time": 1}, near)) if kind == "none" else near


def after_a_pause(log: Log, chance: Random) -> None:
    """A heartbeat or a clock after a pause about as long as one may be."""
    pause = chance.choice((0, PAUSE, PAUSE, JUMP, PAUSE // 2)) + chance.choice((-SECOND, 1 - SECOND, 0))
    by, now = chance.choice(("root", "root", "operator", "author", "log")), log.now + pause + SECOND
    if chance.random() < 0.5:
        log.beat(pause, beacon=chance.choice((NO_BEACON, beacon_near(now, chance), beacon_near(now, chance))))
        return
    ends = (now, now, now, now + 60 * SECOND, now + 60 * SECOND + 1, now - PAUSE, now - PAUSE - 1)
    log.clock(pause, by=by, to=chance.choice(ends), reason=chance.choice(("", "", chance.choice(TEXTS))))


def insert(log: Log, at: int, act: Callable[[Log], object]) -> None:
    """An entry of now in the middle, as if it had been said then."""
    part = log.copy()
    del part.rows[at:]
    part.now = part.rows[-1].entry["recorded_at"]
    act(part)
    for row in part.rows[at:]:
        row.entry["recorded_at"] = log.rows[at].entry["recorded_at"] if at < len(log.rows) else part.now
    log.rows[at:at] = part.rows[at:]
    log._said = part._said


def time_passes(log: Log, chance: Random) -> None:
    """A longer pause before an entry, and perhaps a heartbeat or a clock that goes first."""
    at = chance.randrange(1, len(log.rows) + 1)
    step = chance.choice((PAUSE, JUMP, 600 * SECOND, 599 * SECOND, 5 * SECOND)) + chance.choice((-SECOND, 0, 1, -1))
    for row in log.rows[at:]:
        row.entry["recorded_at"] = min(row.entry["recorded_at"] + step, 2**63 - 1)
        if row.claim["type"] == "ledger.clock" and chance.random() < 0.8:
            row.reopen({**row.opened(), "to": min(row.opened()["to"] + step, 2**63 - 1)})
            row.attest()
    if chance.random() < 0.7:
        insert(log, at, lambda part: part.beat() if chance.random() < 0.7 else part.clock())
        now = log.rows[at].entry["recorded_at"]
        said = log.rows[at].opened()
        more = {"to": now} if "to" in said else {"beacon": beacon_near(now, chance)}
        log.rows[at].reopen({**said, **more})
        log.rows[at].attest()
    log.now = log.rows[-1].entry["recorded_at"]


def maxima(log: Log, chance: Random) -> None:
    """Other maxima from the beginning, or from a policy on."""
    fields: dict[str, Any] = {
        "heartbeat_events_max": chance.choice((1, 2, 3, 4, 5, 7, 10)),
        "heartbeat_seconds_max": chance.choice((1, 2, 3, 4, 5, 7, 10, 60)),
        "pause_seconds_max": chance.choice((1, 1, 2, PAUSE // SECOND)),
    }
    fields = {name: value for name, value in fields.items() if chance.random() < 0.4}
    if chance.random() < 0.3:
        fields |= {"jump_seconds_max": chance.choice((1, 2, JUMP // SECOND)), "pause_seconds_max": 1}
    if chance.random() < 0.7:
        said = log.rows[0].opened()
        log.rows[0].reopen({**said, "policy": {**said.get("policy", POLICY), **fields}})
        log.rows[0].attest()
    else:
        insert(log, chance.randrange(1, len(log.rows) + 1), lambda part: part.change_policy(**fields))


def own_more(log: Log, chance: Random) -> None:
    """One more entry of the ledger's own, mostly as it may be."""
    kind = chance.randrange(6)
    if kind == 0:
        log.beat(beacon=beacon_near(log.now, chance))
    elif kind == 1:
        private = [seq for seq, row in enumerate(log.rows) if row.payload is not None] or [0]
        log.erase(chance.choice(private), by=chance.choice(("root", "root", "operator", "author", "notary")))
    elif kind == 2:
        after_a_pause(log, chance)
    elif kind == 3:
        change_policy(log, chance)
    else:
        change_key(log, chance)


def change_policy(log: Log, chance: Random) -> None:
    """Another default, and rules in order or not."""
    ranks = ("none", "notary", "author")
    names = chance.sample(("bot", "raw", "sys", "a", "z", "ledger", "a b"), 2)
    keys = [[], [], [key_id("author")], sorted(map(key_id, ("author", "author-2"))), [b"b" * 8, b"a" * 8]]
    rules: list[dict[str, Any]] = [
        {"attestation": chance.choice(ranks), "keys": chance.choice(keys), "role": "", "source": name}
        for name in (sorted(names) if chance.random() < 0.8 else names)
    ]
    for rule in rules:
        if chance.random() < 0.3:
            plain = {"attestation": "notary", "keys": []} if chance.random() < 0.8 else {}
            rule |= {**plain, "role": "system"}
    fields = {"default_attestation": chance.choice(ranks), "sources": chance.choice((rules, rules, []))}
    log.change_policy(**fields, **named(log, chance))


def named(log: Log, chance: Random) -> dict[str, Any]:
    """Mostly what root should name; else something near it."""
    size, until = len(log.rows), log.now + SECOND
    if chance.random() < 0.6:
        return {}
    kinds: tuple[dict[str, Any], ...] = (
        {"checkpoint": log.named(chance.randrange(1, size + 1))},
        {"checkpoint": {**log.named(), "size": size + 1}},
        {"checkpoint": {"root": ZEROS, "size": 1}},
        {"not_after": until},
        {"not_after": until - 1},
    )
    return chance.choice(kinds)


def change_key(log: Log, chance: Random) -> None:
    """A key that comes, takes another's place, or ends."""
    action = chance.choice(("register", "rotate", "rotate", "rotate", "revoke"))
    purpose = chance.choice(("author", "log", "notary", "anchor")) if action == "rotate" else "author"
    mine = [name for name in NAMES if name.partition("-")[0] in (purpose, "operator" if purpose == "author" else "")]
    old, new = chance.choice(mine), chance.choice(mine)
    fields: dict[str, Any] = named(log, chance)
    if action != "revoke" and purpose == "author":
        operators = {"operator": "ann", "roles": ["clock", "erasure"], "sources": chance.choice(([], ["ops"]))}
        authors = chance.choice(({"sources": ["bot"]}, {"sources": ["bot", "ops"]}))
        fields |= operators if new.startswith("operator") else authors
    if chance.random() < 0.2:
        odd: tuple[dict[str, Any], ...] = (
            {"sources": ["b", "a"]},
            {"sources": ["ledger"]},
            {"sources": ["a b"]},
            {"sources": []},
            {"overlap": 1},
            {"suspect_from": 1},
            {"operator": chance.choice(("", "ben", "a b", "ledger"))},
            {"roles": chance.choice(([], ["a"], ["b", "a"], ["a" * 33], ["A"], ["a" * 32, "b-"]))},
        )
        fields |= chance.choice(odd)
    if action != "register":
        fields["replaces"] = key_id(old)
    if purpose == "log" and "overlap" not in fields:
        fields["overlap"] = chance.choice((0, 0, 1, 3, 2**63 - 1))
    brought: str | bytes = old if action == "revoke" else new
    if chance.random() < 0.05:
        brought = chance.choice(tuple(NOBODYS_KEYS.values()))
    log.change_key(action, purpose, brought, by=chance.choice(("root", "root", "root", "root", old)), **fields)
    if purpose == "notary":
        log.notary = new


def prefix(log: Log, chance: Random) -> None:
    """The beginning alone."""
    del log.rows[chance.randrange(1, len(log.rows) + 1) :]
    log.now = log.rows[-1].entry["recorded_at"]


def nothing(log: Log, chance: Random) -> None:
    """As it is."""


ROWS: dict[str, Callable[[Log, Random], None]] = {
    act.__name__: act
    for act in (
        claim_field, entry_field, open_field, entry_bytes, claim_bytes, open_bytes, payload, signer,
        drop, double, swap, splice, say_more, own_more, time_passes, maxima, prefix, nothing,
    )
}  # fmt: skip


# --- operators on notes ----------------------------------------------------------------------------------------------------


def another_note(log: Log, note: bytes, chance: Random) -> bytes:
    """A head with other lines, of another root or size, by other keys; or the same in other bytes."""
    size = int(note.split(b"\n")[1])
    lines = note.rpartition(b"\n\n")[2]
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: note + stranger_line(chance.randrange(3)),
        lambda: note + stranger_line(1) + stranger_line(2, log.origin),
        lambda: note.replace(b"\n\n", b"\n\n" + stranger_line(7), 1),
        lambda: note + b"".join(stranger_line(number) for number in range(chance.choice((15, 16)))),
        lambda: note + lines,
        lambda: note + stranger_line(1) * 2,
        lambda: log.head_note(size, keys=chance.sample(NAMES, chance.randrange(4))),
        lambda: log.head_note(size, keys=["log", "log-2", "log-3", "root", "stranger"]),
        lambda: log.head_note(max(1, size + chance.choice((-1, 1)))),
        lambda: log.head_note(size, root=ZEROS),
        lambda: log.head_note(size, origin="elsewhere.example/log"),
        lambda: log.head_note(size) + log.head_note(size, root=ZEROS, keys=["log-2"]).rpartition(b"\n\n")[2],
        lambda: flipped(note, chance),
        lambda: shuffled(note, chance),
    )
    return chance.choice(choices)()


def heads(log: Log, chance: Random) -> None:
    """Heads fewer, twice, in another order, other."""
    at = chance.randrange(len(log.heads))
    kind = chance.randrange(8)
    if kind == 0:
        del log.heads[at]
    elif kind == 1:
        del log.heads[:-1]
    elif kind == 2:
        log.heads.insert(at, log.heads[chance.randrange(len(log.heads))])
    elif kind == 3:
        chance.shuffle(log.heads)
    elif kind == 4:
        log.sign_heads(chance.sample(range(1, len(log.rows) + 1), chance.randrange(min(4, len(log.rows) + 1))))
    else:
        log.heads[at] = another_note(log, log.heads[at], chance)


def readable(note: bytes) -> bytes:
    """A note that JSON can hold."""
    return note.decode(errors="replace").encode()


# --- mutants ----------------------------------------------------------------------------------------------------------------


def pinned(chance: Random, log: Log, *, evidence: bool = False) -> str | None:
    """Mostly a key that is the log's; sometimes another, one of another name, or none."""
    if not evidence and chance.random() < 0.15:
        return None
    name = chance.choice(("root", "log", "log-2", "log-3", *KEYS) if chance.random() < 0.3 else ("root", "root", "log"))
    return str(vkey(name, "elsewhere.example/log" if chance.random() < 0.03 else log.origin))


def bent_log(chance: Random, operator: str) -> Log:
    """A base with an operator's change, or two, mended."""
    log = base(chance)
    ROWS[operator](log, chance)
    if operator not in ("entry_bytes", "entry_field") and chance.random() < 0.25:
        ROWS[chance.choice(("say_more", "say_more", "own_more", "drop", "claim_field"))](log, chance)
    if not log.rows:
        log = base(chance)
    return mend(log, chance)


def of_rows(operator: str) -> Callable[[Random], Mutant]:
    def made(chance: Random) -> Mutant:
        log = bent_log(chance, operator)
        if chance.random() < 0.1:
            heads(log, chance)
        log.heads = [readable(head) for head in log.heads]
        return Mutant(operator, log.export(), pinned(chance, log), evidence=False)

    return made


def of_heads(chance: Random) -> Mutant:
    """An honest log under bent heads."""
    log = base(chance)
    heads(log, chance)
    log.heads = [readable(head) for head in log.heads]
    return Mutant("heads", log.export(), pinned(chance, log), evidence=False)


def of_bytes(name: str, change: Callable[[bytes, Random], bytes]) -> Callable[[Random], Mutant]:
    def made(chance: Random) -> Mutant:
        log = base(chance)
        shown = chance.random() < 0.4
        data = line(evidence_of(log, chance)) if shown else log.export()
        return Mutant(name, change(data, chance), pinned(chance, log, evidence=shown), evidence=shown)

    return made


def lines(data: bytes, chance: Random) -> bytes:
    """Lines swapped, twice, gone, or another file's."""
    parts = data.splitlines(keepends=True)
    donor = base(chance).export().splitlines(keepends=True)
    return b"".join(another_list_of_lines(parts, donor, chance))


def another_list_of_lines(parts: list[bytes], donor: list[bytes], chance: Random) -> list[bytes]:
    at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    kind = chance.randrange(4)
    if kind == 0:
        parts[at], parts[other] = parts[other], parts[at]
    elif kind == 1:
        parts.insert(at, parts[other])
    elif kind == 2:
        del parts[at]
    else:
        parts[at] = chance.choice(donor)
    return parts


def json_values(data: bytes, chance: Random) -> bytes:
    """Another value somewhere in a line, in the one form or in another spelling."""
    parts = data.splitlines(keepends=True)
    at = chance.randrange(len(parts))
    value = another_json(json.loads(parts[at]), chance)
    if chance.random() < 0.85:
        parts[at] = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
    else:
        parts[at] = (
            json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 1))).encode(
                errors="replace"
            )
            + b"\n"
        )
    return b"".join(parts)


def another_json(value: Any, chance: Random) -> Any:
    """The same tree with one leaf or branch other."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        return {**value, name: another_json(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], another_json(value[at], chance), *value[at + 1 :]]
    changed = another(value, chance)
    return text(changed) if isinstance(changed, bytes) else json.loads(json.dumps(changed, default=repr))


# --- evidence ---------------------------------------------------------------------------------------------------------------


def evidence_of(log: Log, chance: Random) -> dict[str, Any]:
    """Some evidence of a log, honest where the log is."""
    beats = [seq for seq, row in enumerate(log.rows) if row.claim["type"] == "ledger.heartbeat"]
    kind = chance.choice(("event", "event", "run", "run", "absence", "fork"))
    if kind == "fork":
        return fork_of(log, chance)
    if kind == "event" or not beats:
        seq = place(log, chance)
        after = min((beat for beat in beats if beat > seq), default=None)
        before = max((beat for beat in beats if beat < seq), default=None) if chance.random() < 0.5 else None
        return showing.event(log, seq, before=before, after=after)
    after = chance.choice(beats)
    named = sorted({str(row.entry["stream"]) for row in log.rows[:after]})
    if kind == "absence" or not named:
        absent = chance.choice(("a/a", "m/m", "zz/zz", chance.choice(named or [""]) + "-"))
        return showing.run(log, absent, after, seqs=[])
    return run_of(log, chance.choice(named), after, chance)


def fork_of(log: Log, chance: Random) -> dict[str, Any]:
    """Two heads by one key, mostly of one size and two roots."""
    size, by = len(log.rows), [chance.choice(("root", "log", "log"))]
    other: dict[str, Any] = chance.choice(
        ({"root": ZEROS}, {"root": ZEROS}, {}, {"root": ZEROS, "origin": "elsewhere.example/log"})
    )
    second = chance.choice((size, size, max(1, size - 1)))
    return showing.fork(log, log.head_note(size, keys=by), log.head_note(second, keys=by, **other))


def run_of(log: Log, stream: str, after: int, chance: Random) -> dict[str, Any]:
    """A run from some entry on."""
    seqs = [seq for seq, row in enumerate(log.rows[:after]) if row.entry["stream"] == stream]
    first = chance.randrange(len(seqs)) if chance.random() < 0.4 else 0
    start = log.rows[seqs[first]].entry["recorded_at"] + chance.choice((0, 0, 1, -1)) if first else 0
    return showing.run(log, stream, after, seqs=seqs[first:], start=start)


def bent_evidence(operator: str) -> Callable[[Random], Mutant]:
    """Evidence of a bent log."""

    def made(chance: Random) -> Mutant:
        log = bent_log(chance, operator)
        value = evidence_of(log, chance) if provable(log) else showing.event(log, 0)
        return Mutant(f"evidence {operator}", line(value), pinned(chance, log, evidence=True), evidence=True)

    return made


def provable(log: Log) -> bool:
    """Whether the list of streams can be made."""
    return all(isinstance(row.entry["recorded_at"], int) and isinstance(row.entry["stream"], str) for row in log.rows)


def bent_items(chance: Random) -> Mutant:
    """Items fewer, twice, swapped, in other roles."""
    log = base(chance)
    value = evidence_of(log, chance)
    if value["items"]:
        items = value["items"]
        at = chance.randrange(len(items))
        kind = chance.randrange(5)
        if kind == 0:
            del items[at]
        elif kind == 1:
            items.insert(at, dict(items[at]))
        elif kind == 2:
            chance.shuffle(items)
        elif kind == 3:
            items[at]["role"] = chance.choice(
                ("genesis", "key", "policy", "heartbeat_before", "event", "heartbeat_after", "")
            )
        else:
            role = chance.choice(("key", "policy", "heartbeat_before", "event", "heartbeat_after"))
            items[at] = showing.items(log, [(role, place(log, chance))])[0]
    return Mutant("evidence items", line(value), pinned(chance, log, evidence=True), evidence=True)


def bent_proofs(chance: Random) -> Mutant:
    """Other lines in one proof, or another head in all of them."""
    log = base(chance)
    value = evidence_of(log, chance)
    if chance.random() < 0.5 and value["items"]:
        note = readable(another_note(log, log.head_note(len(log.rows)), chance)).decode()
        for item in value["items"]:
            item["proof"] = item["proof"].partition("\n\n")[0] + "\n\n" + note
    elif value["items"]:
        item = chance.choice(value["items"])
        head, _, note = item["proof"].partition("\n\n")
        item["proof"] = "\n".join(str(part) for part in another_list(head.split("\n"), chance)) + "\n\n" + note
    else:
        half = chance.choice(("first", "second"))
        value["fork"][half] = readable(another_note(log, value["fork"][half].encode(), chance)).decode()
    return Mutant("evidence proofs", line(value), pinned(chance, log, evidence=True), evidence=True)


def bent_parts(chance: Random) -> Mutant:
    """Payload, streams, run, anchor, kind, origin: left out, put in, or with other values."""
    log = base(chance)
    value = evidence_of(log, chance)
    key = pinned(chance, log, evidence=True)
    part = chance.choice(
        ("payload", "streams", "run", "times", "leaves", "entries", "anchor", "fork", "kind", "origin")
    )
    if part == "anchor":
        anchor = {"memo": chance.choice(TEXTS), "cluster": "x", "slot": 1, "block_time": 2, "transaction": "AA=="}
        value["anchor"] = chance.choice((anchor, anchor, another_json(anchor, chance)))
    elif part == "origin":
        value["origin"], key = (
            "elsewhere.example/log",
            str(vkey("root", chance.choice((log.origin, "elsewhere.example/log")))),
        )
    elif part == "times" and value["run"]:
        after = log.rows[-1].entry["recorded_at"]
        times = [row.entry["recorded_at"] + step for row in log.rows for step in (-1, 0, 1)]
        value["run"][chance.choice(("from", "to"))] = chance.choice((0, after, *times))
    elif part == "leaves" and value["streams"]:
        other = evidence_of(log, chance)["streams"] or value["streams"]
        value["streams"]["leaves"] = chance.choice(
            (other["leaves"], another_list([*value["streams"]["leaves"], *other["leaves"]], chance))
        )
    elif part == "entries" and value["run"] and value["run"]["entries"]:
        value["run"]["entries"] = another_list(value["run"]["entries"], chance)
    elif part == "kind":
        value["kind"] = chance.choice(("event", "run", "absence", "fork", "", None))
    elif part in value:
        other_part = evidence_of(base(chance), chance)[part]
        value[part] = chance.choice(
            (None, other_part, another_json(value[part], chance), another_json(value[part], chance))
        )
    return Mutant("evidence parts", line(plain_json(value)), key, evidence=True)


def plain_json(value: Any) -> Any:
    """The same with base64 for bytes, so that JSON can hold it."""
    return json.loads(json.dumps(value, default=lambda odd: text(odd) if isinstance(odd, bytes) else repr(odd)))


def _rows_twice() -> dict[str, Callable[[Random], Mutant]]:
    mutants = {name: of_rows(name) for name in ROWS}
    return {**mutants, **{f"evidence {name}": bent_evidence(name) for name in ROWS}}


OPERATORS: dict[str, Callable[[Random], Mutant]] = {
    "bits": of_bytes("bits", flipped),
    "bytes": of_bytes("bytes", shuffled),
    "lines": of_bytes("lines", lines),
    "json": of_bytes("json", json_values),
    "heads": of_heads,
    "evidence items": bent_items,
    "evidence proofs": bent_proofs,
    "evidence parts": bent_parts,
    **_rows_twice(),
}


OFTEN = ("claim_field", "entry_field", "open_field", "own_more", "say_more", "time_passes", "maxima", "signer", "heads")
OFTENER = ("evidence parts", "evidence items", "evidence proofs")
WEIGHTS = {name: 3 if name.removeprefix("evidence ") in OFTEN else 5 if name in OFTENER else 1 for name in OPERATORS}


def mutant(seed: int, number: int) -> Mutant:
    """The mutant of that number: the same for the same seed, whatever came before."""
    chance = Random(seed * 1_000_003 + number)
    (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    return OPERATORS[name](chance)
