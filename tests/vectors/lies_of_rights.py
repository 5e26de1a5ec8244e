"""Lies about rights, one export each: somebody speaks, signs, erases or changes keys who may not; keys that nobody can have."""

from collections.abc import Callable
from typing import Any

from decision_dna.schemas import codec
from decision_dna.schemas.claims import ZEROS
from tests.vectors.bending import (
    ANN,
    ROTATE_LOG,
    ROTATE_NOTARY,
    Lies,
    Made,
    attested,
    genesis,
    key,
    more,
    reopened,
    rules,
    with_operator,
)
from tests.vectors.honest import operators, speakers
from tests.vectors.log import JUMP, POLICY, SECOND, Log, Row, key_id, torsioned


def by_operator(word: str) -> Callable[[Log], Row]:
    """A clock or an erasure, signed by the operator's key."""
    return lambda log: log.clock(by="operator") if word == "clock" else log.erase(2, by="operator")


def registered(**fields: Any) -> Made:
    """One more author key, not as it should be."""
    return more(key("register", "author", "author-2", **fields))


ROTATED_BY_ITSELF: Lies = {
    "keys/log-rotates-itself": ((4,), more(key("rotate", "log", "log-2", by="log", **ROTATE_LOG))),
    "keys/notary-rotates-itself": ((4,), more(key("rotate", "notary", "notary-2", by="notary", **ROTATE_NOTARY))),
    "keys/anchor-rotates-itself": (
        (4,),
        more(key("rotate", "anchor", "anchor-2", by="anchor", replaces=key_id("anchor"))),
    ),
    "keys/author-rotates-itself": (
        (4,),
        more(key("rotate", "author", "author-2", by="author", replaces=key_id("author"), sources=["bot"])),
    ),
    "keys/log-rotated-by-an-operator": (
        (4,),
        more(key("rotate", "log", "log-2", by="operator", **ROTATE_LOG), log=with_operator()),
    ),
    "keys/log-rotated-by-the-new-key": ((4,), more(key("rotate", "log", "log-2", by="log-2", **ROTATE_LOG))),
    "keys/notary-rotated-by-the-log-key": ((4,), more(key("rotate", "notary", "notary-2", by="log", **ROTATE_NOTARY))),
}


def rule(**fields: Any) -> Made:
    """A policy with a rule more, in genesis."""
    return genesis(policy=rules({"attestation": "notary", "keys": [], "role": "", "source": "a", **fields}))


def many_rules(count: int) -> list[dict[str, Any]]:
    """So many rules, in order."""
    return [{"attestation": "none", "keys": [], "role": "", "source": f"{number:04}"} for number in range(count)]


def maximum(name: str, value: int) -> Made:
    """Another maximum in genesis."""
    return genesis(policy={**POLICY, name: value})


MAXIMA = (
    "anchor_events_max",
    "anchor_seconds_max",
    "heartbeat_events_max",
    "heartbeat_seconds_max",
    "jump_seconds_max",
    "pause_seconds_max",
    "sources_per_principal_max",
)

POLICIES: Lies = {
    **{f"policy/{name.replace('_', '-')}-of-0": ((4,), maximum(name, 0)) for name in MAXIMA},
    **{
        f"policy/{name.replace('_', '-')}-of-32-bits": ((4,), maximum(name, 2**31))
        for name in MAXIMA
        if "seconds" in name and name != "pause_seconds_max"
    },
    "policy/events-of-64-bits": ((4,), maximum("heartbeat_events_max", 2**63)),
    "policy/pause-longer-than-jump": ((4,), maximum("pause_seconds_max", JUMP // SECOND + 1)),
    "policy/without-a-maximum": (
        (4,),
        genesis(policy={name: value for name, value in POLICY.items() if name != "heartbeat_events_max"}),
    ),
    "policy/rule-without-a-role": (
        (4,),
        genesis(policy={**POLICY, "sources": [{"attestation": "none", "keys": [], "source": "raw"}]}),
    ),
    "policy/rule-of-an-unknown-role": ((4,), rule(role="operator")),
    "policy/system-not-attested": ((4,), rule(role="system", attestation="none")),
    "policy/system-as-author": ((4,), rule(role="system", attestation="author")),
    "policy/system-with-a-key": ((4,), rule(role="system", keys=[key_id("author")])),
    "policy/rule-with-65-keys": ((4,), rule(keys=[number.to_bytes(8) for number in range(65)])),
    "policy/with-1025-rules": ((4,), genesis(policy={**POLICY, "sources": many_rules(1025)})),
}

NAMED: Lies = {
    "named/root-of-another-history": (
        (4,),
        more(key("register", "author", "author-2", sources=["b"], checkpoint={"root": ZEROS, "size": 6})),
    ),
    "named/root-of-another-size": (
        (4,),
        more(
            lambda log: key("register", "author", "author-2", sources=["b"], checkpoint={**log.named(5), "size": 6})(
                log
            )
        ),
    ),
    "named/size-past-the-entry": (
        (4,),
        more(
            lambda log: key("register", "author", "author-2", sources=["b"], checkpoint={**log.named(), "size": 7})(log)
        ),
    ),
    "named/size-past-the-end": (
        (4,),
        more(key("register", "author", "author-2", sources=["b"], checkpoint={"root": ZEROS, "size": 2**63 - 1})),
    ),
    "named/size-0": (
        (4,),
        more(lambda log: key("register", "author", "author-2", sources=["b"], checkpoint=log.named(0))(log)),
    ),
    "named/nothing": ((4,), more(key("register", "author", "author-2", sources=["b"], checkpoint=None))),
    "named/recorded-after-not-after": (
        (4,),
        more(lambda log: key("register", "author", "author-2", sources=["b"], not_after=log.now + SECOND - 1)(log)),
    ),
    "named/rotation-of-another-history": (
        (4,),
        more(key("rotate", "log", "log-2", checkpoint={"root": ZEROS, "size": 1}, **ROTATE_LOG)),
    ),
    "named/revocation-of-another-history": (
        (4,),
        more(key("revoke", "author", "author", replaces=key_id("author"), checkpoint={"root": ZEROS, "size": 1})),
    ),
    "named/policy-of-another-history": (
        (4,),
        more(lambda log: log.change_policy(checkpoint={"root": ZEROS, "size": 1})),
    ),
    "named/policy-size-past-the-entry": (
        (4,),
        more(lambda log: log.change_policy(checkpoint={**log.named(), "size": 7})),
    ),
    "named/policy-recorded-after-not-after": (
        (4,),
        more(lambda log: log.change_policy(not_after=log.now + SECOND - 1)),
    ),
}

OPERATORS: Lies = {
    "operators/erasure-without-its-role": ((4,), more(by_operator("erasure"), log=with_operator(roles=["clock"]))),
    "operators/clock-without-its-role": ((4,), more(by_operator("clock"), log=with_operator(roles=["erasure"]))),
    "operators/clock-with-a-role-like-it": ((4,), more(by_operator("clock"), log=with_operator(roles=["clock-"]))),
    "operators/erasure-by-an-author": ((4,), more(lambda log: log.erase(2, by="author"))),
    "operators/clock-by-an-author": ((4,), more(lambda log: log.clock(by="author"))),
    "operators/clock-by-a-rotated-key": ((4,), more(by_operator("clock"), log=operators)),
    "operators/clock-by-a-revoked-key": (
        (4,),
        more(
            key("revoke", "author", "operator", replaces=key_id("operator")), by_operator("clock"), log=with_operator()
        ),
    ),
    "operators/clock-notarised": ((4,), more(lambda log: log.clock(by="notary"))),
    "operators/heartbeat-by-an-operator": (
        (4,),
        more(
            lambda log: log.own("heartbeat", log.heartbeat_payload(len(log.rows)), by="operator"),
            log=with_operator(roles=["clock", "erasure", "heartbeat"]),
        ),
    ),
    "operators/policy-by-an-operator": (
        (4,),
        more(lambda log: log.change_policy(by="operator"), log=with_operator(roles=["clock", "policy"])),
    ),
    "operators/key-by-an-operator": (
        (4,),
        more(key("register", "author", "author-2", sources=["b"], by="operator"), log=with_operator(roles=["key"])),
    ),
    "operators/roles-of-nobody": ((4,), registered(roles=["clock"], sources=["b"])),
    "operators/operator-without-roles": ((4,), registered(operator="ann", sources=["b"])),
    "operators/operator-with-17-roles": ((4,), registered(operator="ann", roles=[chr(97 + n) for n in range(17)])),
    "operators/roles-out-of-order": ((4,), registered(operator="ann", roles=["erasure", "clock"])),
    "operators/role-twice": ((4,), registered(operator="ann", roles=["clock", "clock"])),
    "operators/role-empty": ((4,), registered(operator="ann", roles=[""])),
    "operators/role-of-33-bytes": ((4,), registered(operator="ann", roles=["c" * 33])),
    "operators/role-with-a-capital": ((4,), registered(operator="ann", roles=["Clock"])),
    "operators/role-that-begins-with-a-hyphen": ((4,), registered(operator="ann", roles=["-clock"])),
    "operators/role-with-a-line-feed": ((4,), registered(operator="ann", roles=["clock\n"])),
    "operators/name-with-a-space": ((4,), registered(operator="ann b", roles=["clock"])),
    "operators/name-of-the-ledger": ((4,), registered(operator="ledger", roles=["clock"])),
    "operators/name-of-the-anchors": ((4,), registered(operator="anchor", roles=["clock"])),
    "operators/name-of-65-bytes": ((4,), registered(operator="a" * 65, roles=["clock"])),
    "operators/1025-sources": ((4,), registered(sources=[f"{number:04}" for number in range(1025)])),
    "operators/field-missing": (
        (4,),
        reopened(1, lambda row: codec.encode({n: v for n, v in row.opened().items() if n != "roles"})),
    ),
    "operators/rotation-with-other-roles": (
        (4,),
        more(
            key("rotate", "author", "operator-2", replaces=key_id("operator"), operator="ann", roles=["clock"]),
            log=with_operator(),
        ),
    ),
    "operators/rotation-to-another-operator": (
        (4,),
        more(
            key("rotate", "author", "operator-2", replaces=key_id("operator"), **{**ANN, "operator": "ben"}),
            log=with_operator(),
        ),
    ),
    "operators/rotation-of-an-author-to-an-operator": (
        (4,),
        more(key("rotate", "author", "author-2", replaces=key_id("author"), sources=["bot"], **ANN)),
    ),
    "operators/rotation-of-the-log-key-with-roles": ((4,), more(key("rotate", "log", "log-2", **ROTATE_LOG, **ANN))),
    "operators/rotation-of-the-notary-with-an-operator": (
        (4,),
        more(key("rotate", "notary", "notary-2", operator="ann", **ROTATE_NOTARY)),
    ),
    "operators/revocation-with-an-operator": (
        (4,),
        more(key("revoke", "author", "author", replaces=key_id("author"), operator="ann")),
    ),
    "operators/revocation-with-roles": (
        (4,),
        more(key("revoke", "author", "author", replaces=key_id("author"), roles=["clock"])),
    ),
}

NOBODYS_KEYS = {
    "the-neutral-point": bytes([1]) + bytes(31),
    "a-point-of-order-2": (2**255 - 20).to_bytes(32, "little"),
    "a-point-of-order-4": bytes(32),
    "a-point-of-order-8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "a-point-of-order-2l": torsioned("author-2"),
    "no-point-at-all": bytes([2]) + bytes(31),
    "y-past-the-field": (2**255 - 19 + 3).to_bytes(32, "little"),
    "a-sign-without-x": (1 | 1 << 255).to_bytes(32, "little"),
}
POINTS: Lies = {
    **{
        f"points/registered-is-{name}": ((4,), more(key("register", "author", value, sources=["b"])))
        for name, value in NOBODYS_KEYS.items()
    },
    **{
        f"points/genesis-{role}-is-{name}": ((4,), genesis(**{f"{role}_key": NOBODYS_KEYS[name]}))
        for role, name in (
            ("log", "a-point-of-order-2l"),
            ("notary", "a-point-of-order-8"),
            ("anchor", "y-past-the-field"),
        )
    },
    "points/rotated-to-a-point-of-order-2l": ((4,), more(key("rotate", "log", torsioned("log-2"), **ROTATE_LOG))),
}

# Each row of the table in section 5: somebody else speaks.


def by(who: str, *sources: str, kind: str = "x.said", **fields: Any) -> Made:
    """An author key that is registered for these sources, and what it says for the first of them."""
    return more(
        key("register", "author", "author-2", sources=list(sources), **fields),
        lambda log: log.say(kind, who, {}, by="author-2"),
    )


def spoken(kind: str, source: str = "engine-1", **how: Any) -> Made:
    """One more entry of that type."""
    return more(lambda log: log.say(kind, source, {}, **how))


SYSTEMS = {"engine": "state", "route": "decision", "observation": "block", "detection": "sandwich", "market": "price"}
SPEAKERS: Lies = {
    **{f"speakers/{word}-by-a-stranger": ((4,), spoken(f"{word}.{rest}")) for word, rest in SYSTEMS.items()},
    **{
        f"speakers/{word}-by-another-principal": ((4,), spoken(f"{word}.{rest}", "sys", principal="alice"))
        for word, rest in SYSTEMS.items()
    },
    **{
        f"speakers/{kind.replace('.', '-')}-by-{who}": ((4,), spoken(kind, source, **how))
        for kind in ("control.ack", "control.refused")
        for who, source, how in (
            ("a-stranger", "ops", {}),
            ("another-principal", "sys", {"principal": "alice"}),
            ("principal-engine-for-another-source", "ops", {"principal": "engine"}),
        )
    },
    "speakers/answer-by-an-operator": ((4,), by("ops", "ops", kind="control.ack", **ANN)),
    "speakers/engine-by-its-principal-for-another-source": ((4,), spoken("engine.state", principal="engine")),
    "speakers/engine-not-attested": ((4,), spoken("engine.state", "raw", by="none")),
    "speakers/engine-not-attested-for-the-system": ((4,), spoken("engine.state", "sys", by="none")),
    "speakers/engine-by-an-author": ((4,), by("b", "b", kind="engine.state")),
    "speakers/engine-by-an-author-for-the-system": ((4,), by("sys", "sys", kind="engine.state")),
    "speakers/engine-of-a-source-that-is-no-longer-the-systems": (
        (4,),
        more(
            lambda log: log.change_policy(sources=POLICY["sources"][:2]),
            lambda log: log.say("engine.state", "sys", {}),
        ),
    ),
    "speakers/foreign-word-by-an-author-for-the-system": ((4,), by("sys", "sys")),
    "speakers/foreign-word-of-the-system-by-alice": ((4,), spoken("x.seen", "sys", principal="alice")),
    "speakers/foreign-word-of-the-system-not-attested": ((4,), spoken("x.seen", "sys", by="none")),
    "speakers/foreign-word-by-principal-engine": ((4,), spoken("x.seen", principal="engine")),
    "speakers/foreign-word-by-principal-ledger": ((4,), spoken("x.seen", principal="ledger")),
    "speakers/foreign-word-by-principal-anchor": ((4,), spoken("x.seen", principal="anchor")),
    "speakers/engine-by-principal-anchor": ((4,), spoken("engine.state", "sys", principal="anchor")),
    "speakers/anchor-by-alice": ((4,), spoken("anchor.confirmed", "anchor", principal="alice")),
    "speakers/anchor-by-principal-engine": ((4,), spoken("anchor.confirmed", "anchor", principal="engine")),
    "speakers/anchor-by-the-anchor-key": ((4,), spoken("anchor.confirmed", "anchor", by="anchor")),
    "speakers/heartbeat-by-principal-anchor": ((4,), attested(4, principal="anchor")),
    "speakers/heartbeat-by-principal-engine": ((4,), attested(4, principal="engine")),
    "speakers/command-by-an-author": ((4,), by("ops", "ops", kind="control.pause")),
    "speakers/command-by-an-operator-of-another-source": ((4,), by("ops", "b", kind="control.pause", **ANN)),
    "speakers/command-by-an-operator-of-no-source": (
        (4,),
        more(lambda log: log.say("control.pause", "ops", {}, by="operator"), log=with_operator()),
    ),
    "speakers/command-by-the-root-key": (
        (4,),
        more(lambda log: log.count("root", "control.pause", "ops", {})),
    ),
    "speakers/command-by-a-rotated-key": (
        (4,),
        more(
            key(
                "rotate",
                "author",
                "author-2",
                replaces=key_id("author"),
                sources=["bot", "ops"],
                operator="ann",
                roles=["pause"],
            ),
            lambda log: log.count("author", "control.pause", "ops", {}),
            log=speakers,
        ),
    ),
    "speakers/command-of-the-system": ((4,), spoken("control.pause", "sys")),
    "speakers/command-by-an-operator-for-the-system": ((4,), by("sys", "sys", kind="control.pause", **ANN)),
    "speakers/command-that-begins-as-an-answer": ((4,), spoken("control.ack.more", "sys")),
    "speakers/family-unknown": ((4,), spoken("other.seen")),
    "speakers/family-unknown-of-the-system": ((4,), spoken("other.seen", "sys")),
    "speakers/family-unknown-by-an-operator": ((4,), by("ops", "ops", kind="engines.state", **ANN)),
    "speakers/family-unknown-not-attested": ((4,), spoken("xx.seen", "raw", by="none")),
}

RIGHTS: Lies = {**ROTATED_BY_ITSELF, **POLICIES, **NAMED, **OPERATORS, **POINTS, **SPEAKERS}
