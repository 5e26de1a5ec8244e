"""Ways to bend an honest log: each gives a function that makes the broken export, all layers around the lie mended."""

from collections.abc import Callable
from typing import Any

from tests.vectors.honest import little, plain, seen
from tests.vectors.log import POLICY, Log, Row, key_id

Made = Callable[[], bytes]
Lies = dict[str, tuple[tuple[int, ...], Made]]
"""A file's name → the steps that must name the lie, and the bytes."""


def claim(at: int = 2, *, log: Callable[[], Log] = little, **fields: Any) -> Made:
    """Another claim, signed and linked again."""

    def made() -> bytes:
        bent = log()
        bent.rows[at].claim.update(fields)
        bent.rows[at].seal()
        bent.rows[at].attest()
        bent.mend()
        return bent.export()

    return made


def entry(at: int = 2, *, log: Callable[[], Log] = little, attest: bool = True, **fields: Any) -> Made:
    """Another entry, its claim signed as it now asks for, and everything after it linked to it."""

    def made() -> bytes:
        bent = log()
        bent.rows[at].entry.update(fields)
        if attest and "signature" not in fields:
            bent.rows[at].attest()
        bent.relink(at + 1)
        bent.sign_heads()
        return bent.export()

    return made


def opened(at: int, *, log: Callable[[], Log] = little, mend: bool = True, **fields: Any) -> Made:
    """Another payload in an open entry, committed to and signed; a field set to `...` is left out."""

    def made() -> bytes:
        bent = log()
        row = bent.rows[at]
        said = {**row.opened(), **fields}
        row.reopen({name: value for name, value in said.items() if value is not ...})
        row.attest()
        bent.relink(at, beats=mend)
        bent.sign_heads()
        return bent.export()

    return made


def reopened(at: int, change: Callable[[Row], bytes]) -> Made:
    """Other bytes for an open payload, committed to and signed."""

    def made() -> bytes:
        bent = little()
        bent.rows[at].reopen(change(bent.rows[at]))
        bent.rows[at].attest()
        bent.mend()
        return bent.export()

    return made


def attested(at: int, *by: str, log: Callable[[], Log] = little, **how: str) -> Made:
    """The same entry, attested by another or in another way."""

    def made() -> bytes:
        bent = log()
        bent.rows[at].attest(*by, **how)
        bent.mend()
        return bent.export()

    return made


def genesis(**fields: Any) -> Made:
    """Another genesis."""
    return opened(0, **fields)


def more(*acts: Callable[[Log], object], log: Callable[[], Log] = little) -> Made:
    """More entries, honestly made, and a head."""

    def made() -> bytes:
        bent = log()
        for act in acts:
            act(bent)
        bent.sign_heads()
        return bent.export()

    return made


def bent(act: Callable[[Log], object], log: Callable[[], Log] = plain) -> Made:
    """Whatever the act does to a log, and nothing else."""

    def made() -> bytes:
        one = log()
        act(one)
        return one.export()

    return made


def said(by: str = "notary", source: str = "engine-1", **fields: Any) -> Callable[[Log], Row]:
    """One more foreign entry."""
    return lambda log: log.say("x.said", source, seen(9), by=by, **fields)


def key(action: str, purpose: str, name: str, **fields: Any) -> Callable[[Log], Row]:
    """One more `ledger.key`."""
    return lambda log: log.change_key(action, purpose, name, **fields)


def rules(*more: dict[str, Any]) -> dict[str, Any]:
    """The policy with more rules."""
    return {**POLICY, "sources": sorted([*POLICY["sources"], *more], key=lambda rule: str(rule["source"]))}


ROTATE_NOTARY = {"replaces": key_id("notary")}
ROTATE_LOG = {"replaces": key_id("log")}
ANN: dict[str, Any] = {"operator": "ann", "roles": ["clock", "erasure"]}


def with_operator(**fields: Any) -> Callable[[], Log]:
    """A log with the key of an operator; what is given differs from ann, who may do all."""

    def make() -> Log:
        log = little()
        log.change_key("register", "author", "operator", **{**ANN, "sources": [], **fields})
        return log

    return make
