"""A receipt proves what was submitted, in every field, or it is refused."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import Checkpoint, Vkey, note_of
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.receipts import (
    Before,
    Said,
    check_answer,
    check_receipt,
    compare_answer,
    derive,
    uncompared,
)
from decision_dna.schemas.claims import AHEAD_NS_MAX
from decision_dna.schemas.errors import BadInput, LedgerError, NotFound, ProofRejected
from decision_dna.schemas.receipts import BatchReceipt, EventReceipt, Problem
from decision_dna.schemas.submissions import decode_json
from decision_dna.service.http.problems import problem_of
from decision_dna.service.receipts import batch_receipt
from tests.data import ROOT
from tests.ledger.samples import SECOND, START, Author, draft, new_ledger, register
from tests.second_verifier.both import second
from tests.service.serving import TRACE

ROOT_OF_2 = bytes.fromhex("e5096605b235c2af403813dbba69dcba971670959e95a7423aeff1c34bde79d5")
REPLACED = msgspec.structs.replace


class Log(NamedTuple):
    """A ledger, and its clock."""

    ledger: Ledger
    clock: ManualClock

    def answer(self, *said: Said, atomic: bool = False) -> BatchReceipt:
        """Submit, and get the receipt as it arrives."""
        appended = self.ledger.append(list(said), atomic=atomic)  # type: ignore[arg-type]
        receipt = batch_receipt(appended, self.ledger.reader.nodes, problem_of)
        return msgspec.json.decode(msgspec.json.encode(receipt), type=BatchReceipt)

    def check(self, batch: BatchReceipt, *said: Said | BadInput, before: Before | None = None) -> Checkpoint:
        """Hold an answer against submissions, under the log's key."""
        return check_answer(batch, said, [self.ledger.vkey], before)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        register(ledger)
        yield Log(ledger, clock)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Log]:
    """Another log of the same origin."""
    ledger, clock = new_ledger(tmp_path / "other")
    with ledger:
        yield Log(ledger, clock)


def named(number: int, **fields: Any) -> Draft:
    """A submission with an id, and everything that one can say."""
    event_id = bytes.fromhex(f"01a0c4506c0074df8f56{number:012x}")
    return draft(number, id=event_id, subject="pool-1", trace=TRACE, occurred_at=START, **fields)


FIELDS: dict[str, dict[str, Any]] = {
    "type": {"type": "x.saw"},
    "schema": {"schema": 2},
    "source": {"source": "engine-2"},
    "subject": {"subject": "pool-2"},
    "causes": {"causes": (bytes.fromhex("01a0c4506c0074df8f56000000000063"),)},
    "trace": {"trace": ""},
    "id": {"id": bytes.fromhex("01a0c4506c0074df8f56000000000063")},
    "occurred_at": {"occurred_at": START - 1},
    "payload_commitment": {"payload": draft(8).payload},
    "expected_stream_seq": {"expected_stream_seq": 7},
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_receipt_binds_every_field_of_a_submission(field: str, log: Log) -> None:
    """An entry that differs from what was submitted in one field is refused, by the field's name."""
    log.answer(named(98))
    said = named(1, causes=(named(98).id,), expected_stream_seq=1)
    batch = log.answer(said)
    assert log.check(batch, said).size == log.ledger.reader.size
    check_receipt(derive(batch, 0), [log.ledger.vkey], said)
    with pytest.raises(ProofRejected, match=f": {field} is "):
        log.check(batch, REPLACED(said, **FIELDS[field]))
    if field != "expected_stream_seq":  # of a new event alone
        with pytest.raises(ProofRejected, match=f": {field} is "):
            check_receipt(derive(batch, 0), [log.ledger.vkey], REPLACED(said, **FIELDS[field]))


AUTHORED: dict[str, Callable[[AuthorDraft], dict[str, Any]]] = {
    "claim": lambda said: {"claim": said.claim[:-1] + b"\0"},
    "key_id": lambda said: {"key_id": bytes(8)},
    "signature": lambda said: {"signature": bytes(64)},
    "salt": lambda said: {"salt": bytes(16)},
    "payload_commitment": lambda said: {"payload": draft(8).payload},
}


@pytest.mark.parametrize("field", AUTHORED)
def test_a_receipt_binds_every_field_of_an_authors_claim(field: str, log: Log) -> None:
    """An author's claim stands byte by byte, with its key and signature."""
    said = Author().say(1, log.clock.now_ns())
    batch = log.answer(said)
    log.check(batch, said)
    with pytest.raises(ProofRejected, match=f": {field} is "):
        log.check(batch, REPLACED(said, **AUTHORED[field](said)))


def test_an_authors_claim_is_no_answer_to_a_submission_of_ones_own(log: Log) -> None:
    """What the ledger was to make a claim of may not stand as what an author signed."""
    author = Author().say(1, log.clock.now_ns())
    batch = log.answer(author)
    claim = log.ledger.reader.event(batch.first).claim
    said = Draft(claim.type, claim.schema, claim.source, author.payload, occurred_at=claim.occurred_at)
    with pytest.raises(ProofRejected, match="author"):
        log.check(batch, said)


def bent(batch: BatchReceipt, **fields: Any) -> BatchReceipt:
    return REPLACED(batch, **fields)


REFUSED = Problem("about:blank", "Refused", 403, "no")
BENT: dict[str, tuple[Callable[[BatchReceipt], BatchReceipt], str]] = {
    "an outcome outside the run": (lambda b: bent(b, outcomes=[b.first + 2, *b.outcomes[1:]]), "does not show it"),
    "an outcome before the run": (lambda b: bent(b, outcomes=[0, *b.outcomes[1:]]), "does not show it"),
    "too few outcomes": (lambda b: bent(b, outcomes=b.outcomes[:1]), "1 outcomes for 2"),
    "too many outcomes": (lambda b: bent(b, outcomes=[*b.outcomes, b.first]), "3 outcomes for 2"),
    "outcomes in another order": (lambda b: bent(b, outcomes=b.outcomes[::-1]), "payload_commitment"),
    "one event for both": (lambda b: bent(b, outcomes=[b.first] * 2), "payload_commitment|has no id"),
    "an event that is refused": (lambda b: bent(b, outcomes=[REFUSED, b.outcomes[1]]), "was not submitted"),
    "another entry": (lambda b: bent(b, entries=b.entries[::-1]), "the proof gives root"),
    "another id": (lambda b: bent(b, ids=b.ids[::-1]), "id is"),
    "another hash": (lambda b: bent(b, hashes=b.hashes[::-1]), "hash is"),
    "another salt": (lambda b: bent(b, salts=b.salts[::-1]), "payload_commitment"),
    "a shorter column": (lambda b: bent(b, salts=b.salts[:1]), "columns have other lengths"),
    "another place": (lambda b: bent(b, first=b.first - 1), "hash"),
    "a longer proof": (lambda b: bent(b, proof=[*b.proof, b.proof[0]]), "range proof of"),
    "another head": (lambda b: bent(b, checkpoint=b.checkpoint.replace("\n4\n", "\n5\n")), "does not verify"),
    "no head": (lambda b: bent(b, checkpoint=""), "a note needs"),
    "a place without events": (
        lambda b: bent(b, count=0, ids=[], hashes=[], entries=[], salts=[], outcomes=[REFUSED] * 2),
        "without new events",
    ),
}


@pytest.mark.parametrize("what", BENT)
def test_a_batch_receipt_that_was_bent_is_refused(what: str, log: Log) -> None:
    """Outcomes outside the proved run, of another number, or of other events do not pass."""
    said = [draft(1), draft(2)]
    batch = log.answer(*said)
    assert (log.check(batch, *said).size, batch.count) == (4, 2)
    bend, why = BENT[what]
    with pytest.raises(ProofRejected, match=why):
        log.check(bend(batch), *said)


def test_without_a_key_a_receipt_is_still_held_against_the_submissions(log: Log) -> None:
    """Whoever has no key sees at least whether the answer fits."""
    said = [draft(1), draft(2)]
    batch = log.answer(*said)
    compare_answer(batch, said)
    for what, (bend, _) in BENT.items():
        if what != "another head":
            with pytest.raises(ProofRejected):
                compare_answer(bend(batch), said)


def test_what_stood_before_is_shown_and_compared(log: Log) -> None:
    """A duplicate is the entry that stands elsewhere: it says the same, under the same head."""
    known, new = named(1), named(2)
    log.answer(known)
    first = log.answer(named(50))
    batch = log.answer(new, known)
    assert [receipt.duplicate for receipt in batch.elsewhere] == [True]
    log.check(batch, new, known)
    check_receipt(derive(batch, 1), [log.ledger.vkey], known)
    for changed in (REPLACED(known, subject="x"), REPLACED(known, payload=draft(9).payload), REPLACED(known, id=None)):
        with pytest.raises(ProofRejected):
            log.check(batch, new, changed)
    log.answer(draft(60))
    lies = {
        "another event": bent(batch, outcomes=[batch.first, first.first], elsewhere=[derive(first, 0)]),
        "under another head": bent(batch, elsewhere=[derive(log.answer(known), 0)]),
        "twice": bent(batch, elsewhere=[*batch.elsewhere] * 2),
        "of no submission": bent(batch, outcomes=[batch.first, REFUSED]),
        "and none of it": bent(batch, elsewhere=[]),
    }
    for what, lie in lies.items():
        with pytest.raises(ProofRejected):
            pytest.fail(f"{what}: {log.check(lie, new, known)}")


def test_two_that_say_the_same_share_an_entry_only_by_an_id(log: Log) -> None:
    """Without ids two submissions are two events, however alike: one entry cannot stand for both."""
    batch = log.answer(named(1), named(1))
    assert batch.outcomes == [batch.first] * 2
    log.check(batch, named(1), named(1))
    alike = log.answer(draft(1), draft(1))
    log.check(alike, draft(1), draft(1))
    one = log.answer(draft(1))
    with pytest.raises(ProofRejected, match="has no id"):
        log.check(bent(one, outcomes=one.outcomes * 2), draft(1), draft(1))


def test_a_receipt_of_before_is_no_answer_to_now(log: Log) -> None:
    """A replayed receipt is refused: by the newest head that was seen, and by the time at which its events were recorded."""
    said = [named(1), named(2)]
    old = log.answer(*said)
    seen = log.check(old, *said, before=Before(log.clock.now_ns(), None))
    log.clock.advance(SECOND)
    with pytest.raises(ProofRejected, match="a head of size 4 was seen before"):
        log.check(old, *said, before=Before(log.clock.now_ns(), seen))
    now = log.answer(*said)
    assert (now.count, now.outcomes) == (0, old.outcomes)
    log.check(now, *said, before=Before(log.clock.now_ns(), seen))
    late = START + AHEAD_NS_MAX + SECOND
    with pytest.raises(ProofRejected, match="a receipt of then"):
        log.check(old, *said, before=Before(late, None))
    log.check(old, *said, before=Before(START + AHEAD_NS_MAX, None))


def test_a_head_never_shrinks_or_forks(log: Log) -> None:
    """A head smaller than one seen before, or of its size with another root, is refused."""
    batch = log.answer(draft(1))
    size, root = note_of(batch.checkpoint.encode()).size, bytes(32)
    now = log.clock.now_ns()
    for seen, why in (((size + 1, root), f"one of size {size + 1} was seen"), ((size, root), "with different roots")):
        with pytest.raises(ProofRejected, match=why):
            log.check(batch, draft(1), before=Before(now, Checkpoint(log.ledger.origin, *seen)))


def test_a_receipt_of_another_log_is_refused(log: Log, other: Log) -> None:
    """The same submissions in a log of other keys prove nothing here."""
    batch = other.answer(draft(1))
    with pytest.raises(ProofRejected, match="not signed by"):
        log.check(batch, draft(1))
    with pytest.raises(ProofRejected):
        check_answer(batch, [draft(1)], [Vkey("example.org/other", other.ledger.vkey.key)])


def test_an_erased_payload_is_said_to_be_uncompared(log: Log) -> None:
    """Of an erased event the salt is gone: everything else is compared, and the rest is counted."""
    said = named(1)
    first = log.answer(said).first
    log.ledger.erase(first, "me", "asked")
    again = log.answer(said)
    assert (again.elsewhere[0].salt, uncompared(again), uncompared(log.answer(draft(1)))) == (None, 1, 0)
    log.check(again, said)
    with pytest.raises(ProofRejected, match="subject"):
        log.check(again, REPLACED(said, subject="x"))


def test_a_submission_that_cannot_be_read_is_no_submission_that_stands(log: Log) -> None:
    """What this side cannot read may be refused there, but not stand."""
    wrong = BadInput("of no known type")
    batch = log.answer(draft(1))
    with pytest.raises(ProofRejected, match="cannot be compared"):
        log.check(batch, wrong)
    refused = bent(batch, outcomes=[batch.first, REFUSED])
    log.check(refused, draft(1), wrong)


def test_a_refused_batch_has_nothing_to_prove(log: Log) -> None:
    """Where all is refused, only the head is left."""
    said = REPLACED(draft(1), expected_stream_seq=9)
    batch = log.answer(said)
    assert (batch.count, batch.elsewhere) == (0, [])
    log.check(batch, said)
    with pytest.raises(NotFound):
        derive(batch, 0)


def test_the_documents_example_holds() -> None:
    """The receipts in docs/format.md, section 17, are written byte by byte as the service writes them, and hold."""
    text = (ROOT / "docs" / "format.md").read_text().partition("<!-- receipt -->\n```json\n")[2]
    vkey_text, said_text, one, batch_text = text.partition("\n```")[0].splitlines()
    vkey, said = Vkey.parse(json.loads(vkey_text)), decode_json(said_text.encode())
    receipt = msgspec.json.decode(one, type=EventReceipt)
    batch = msgspec.json.decode(batch_text, type=BatchReceipt)
    assert [msgspec.json.encode(value).decode() for value in (receipt, batch)] == [one, batch_text]
    assert (
        check_receipt(receipt, [vkey], said)
        == check_answer(batch, [said], [vkey])
        == Checkpoint(vkey.name, 2, ROOT_OF_2)
    )
    assert derive(batch, 0) == receipt
    # The same by the second verifier's arithmetic, and nothing of ours.
    leaf = hashlib.sha256(b"\0" + base64.b64decode(json.loads(one)["entry"])).digest()
    proof = [base64.b64decode(line) for line in json.loads(one)["proof"].split("\n\n")[0].splitlines()[2:]]
    second.check_inclusion(1, 2, leaf, proof, ROOT_OF_2)


def test_malformed_receipts_raise_nothing_but_errors_of_ours(log: Log) -> None:
    """Whatever stands in a receipt's texts, it is ProofRejected."""
    batch = log.answer(draft(1), named(2))
    again = log.answer(named(2))
    for data in (msgspec.to_builtins(batch), msgspec.to_builtins(again)):
        for name, value in data.items():
            for other_value in ("", "x", [], [""], -1, 2**63, None, {}, [{}], "é" * 32):
                try:
                    lie = msgspec.convert({**data, name: other_value}, BatchReceipt)
                except msgspec.ValidationError:
                    continue
                if other_value != value:
                    with pytest.raises(LedgerError):
                        log.check(lie, draft(1), named(2))
