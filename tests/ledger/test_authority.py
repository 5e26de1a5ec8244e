"""Keys by their names of 8 bytes: no two keys of a log share one. Both verifiers are asked; a real pair would take 2³² tries."""

from dataclasses import replace as replaced
from typing import Any

import msgspec
import pytest

from decision_dna.ledger.admission import provisional_entry
from decision_dna.ledger.authority import authority_after, used_with
from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.plan import prepare_signed
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.claims import decode_claim
from decision_dna.schemas.errors import Refused
from decision_dna.schemas.ledgering import KEY
from tests.ledger.memory_log import ORIGIN, new_log
from tests.second_verifier.both import second

ONE, OTHER = b"1" * 32, b"2" * 32
NAME, ANOTHER = b"the name", b"no other"
USED: dict[str, tuple[dict[bytes, bytes], bytes, bytes, str]] = {
    "the first": ({}, NAME, ONE, ""),
    "another key of another name": ({NAME: ONE}, ANOTHER, OTHER, ""),
    "the same key again": ({NAME: ONE}, NAME, ONE, "used"),
    "another key of the same name": ({NAME: ONE}, NAME, OTHER, "stands for"),
}
"""(keys before, key_id, key, why the log may not have it)"""


@pytest.mark.parametrize("case", USED)
def test_a_key_id_stands_for_one_key(case: str) -> None:
    before, name, key, refusal = USED[case]
    if refusal:
        with pytest.raises(Refused, match=refusal):
            used_with(before, name, key)
    else:
        assert used_with(before, name, key) == {**before, name: key}


@pytest.mark.parametrize("case", USED)
def test_the_second_verifier_says_the_same(case: str) -> None:
    before, name, key, refusal = USED[case]
    used = dict(before)
    if refusal:
        with pytest.raises(second.Rejected, match=refusal):
            second.take_key_id(used, name, key)
    else:
        second.take_key_id(used, name, key)
    assert used == (before if refusal else {**before, name: key})


NEW = SigningKey(b"a key that nobody has had so far")
CHANGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "register an author": ("register", "author", ("bot",)),
    "rotate the log key": ("rotate", "log", ()),
    "rotate the notary's": ("rotate", "notary", ()),
    "rotate the anchor key": ("rotate", "anchor", ()),
}
"""(action, purpose, sources)"""


def changed(case: str, *others: bytes) -> Any:
    """The authority after a change to NEW, in a log where its name stands for another key already."""
    ledger, _, _ = new_log()
    action, purpose, sources = CHANGES[case]
    authority = ledger.writer.authority
    live = {"log": authority.log[-1].key, "notary": authority.notary, "anchor": authority.anchor}
    replaced = key_id(live[purpose]) if action == "rotate" else b""
    change = ledger.key_change(action, purpose, NEW.public, replaces=replaced, sources=sources)  # type: ignore[arg-type]
    row = prepare_signed(ledger.sign_own(ledger.keys.of_purpose("root")[0], KEY, change), origin=ORIGIN)
    used = {**authority.used, **{key_id(NEW.public): other for other in others}}
    entry = provisional_entry(row, 1, 0)
    return authority_after(msgspec.structs.replace(authority, used=used), entry, decode_claim(entry.claim))


@pytest.mark.parametrize("case", CHANGES)
def test_whatever_a_key_is_for_its_name_must_be_free(case: str) -> None:
    assert changed(case).used[key_id(NEW.public)] == NEW.public
    with pytest.raises(Refused, match="stands for key"):
        changed(case, OTHER)


@pytest.mark.parametrize("purpose", ["author", "log", "notary", "anchor"])
def test_the_second_verifier_asks_for_every_purpose(purpose: str) -> None:
    keys = second.Keys.__new__(second.Keys)
    keys.used, keys.authors, keys.log_rotations = {second.key_id_of(NEW.public): OTHER}, {}, []
    keys.live = dict.fromkeys(("log", "notary", "anchor"), ONE)
    rights: dict[str, Any] = {"named": None, "operator": "", "roles": (), "sources": (), "suspect_from": None}
    named = {"purpose": purpose, "replaces": second.key_id_of(ONE)}
    change = second.KeyChange(action="rotate", key=NEW.public, overlap=0, **named, **rights)
    with pytest.raises(second.Rejected, match="stands for two keys"):
        if purpose == "author":
            keys._register(replaced(change, action="register", sources=("bot",)))
        else:
            keys._rotate(change, 1)
