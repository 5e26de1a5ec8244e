"""Step 9, offline: honest anchors hold, each lie is named at its entry, the verdict is never more than inconclusive."""

import msgspec
import pytest

from decision_dna.anchors.memo import parse_memo
from decision_dna.anchors.transaction import check_anchor_transaction
from decision_dna.anchors.verify import AnchorEntry, verify_anchors
from decision_dna.ledger.notes import Vkey, open_checkpoint
from decision_dna.schemas.errors import LedgerError
from tests.anchors.samples import (
    ANCHOR_KEY,
    LOG_KEY,
    ORIGIN,
    OTHER_KEY,
    anchors,
    memo_call,
    memos,
    note,
    requoted,
    root_at,
    signed,
    transfer_for,
    verified,
    with_transaction,
)

HONEST = anchors(5, 9, 23)
NOTES = [note(size) for size in (5, 9, 23)]


def changed(at: int, **fields: object) -> list[AnchorEntry]:
    """The honest anchors, with fields of one payload changed."""
    entry = AnchorEntry(HONEST[at].seq, msgspec.structs.replace(HONEST[at].payload, **fields))
    return [*HONEST[:at], entry, *HONEST[at + 1 :]]


def resigned(at: int, memo: bytes) -> list[AnchorEntry]:
    """The honest anchors, one of them with another memo that the anchor key signed."""
    return [*HONEST[:at], requoted(HONEST[at], memo), *HONEST[at + 1 :]]


def test_honest_anchors_hold_and_what_was_not_asked_is_said():
    report = verified(HONEST)
    assert (report.status, report.findings) == ("inconclusive", ())
    assert len(report.shown) == 3
    assert report.shown[2] == (
        "anchor 2 (entry 23): the anchor key signed the log's head of size 23; "
        "the bytes hold; that local has them in slot 1002 was not asked"
    )


def test_a_log_without_anchors_shows_nothing_and_fails_nothing():
    report = verified([])
    assert (report.status, report.findings, report.shown) == ("inconclusive", (), ())


LIES = {
    "signature quoted wrongly": (changed(1, signature=bytes(64)), ["anchor 1: the entry gives signature 0000"]),
    "size quoted wrongly": (changed(1, size=8), ["anchor 1: the entry gives size 8, the transaction 9"]),
    "root quoted wrongly": (changed(1, root=bytes(32)), ["anchor 1: the entry gives root 0000"]),
    "n quoted wrongly": (changed(1, n=2), ["anchor 1: the entry gives n 2, the transaction 1"]),
    "transaction of another anchor": (
        changed(1, transaction=HONEST[2].payload.transaction),
        [
            "the number 1 was due, the memo says 2",
            "the memo before",
            "size 23, but the entry",
            *("gives n 1", "gives size 9", "gives root", "gives signature"),
            *("the number 3 was due, the memo says 2", "the memo before"),
        ],
    ),
    "no transaction": (changed(1, transaction=b""), ["anchor 1: not a transaction"]),
    "another log key": (
        resigned(0, memos(note(5, key=OTHER_KEY))[0]),
        ["is not signed by", "the memo before hashes to"],
    ),
    "another root": (
        resigned(2, memos(*NOTES[:2], note(23, root=b"\x07" * 32))[2]),
        [f"the first 23 entries of this log have the root {root_at(23).hex()}, the anchored one is {'07' * 32}"],
    ),
    "another origin": (
        [
            with_transaction(
                HONEST[0], signed([memo_call(m := memos(note(5, origin="example.org/b"))[0]), transfer_for(m)])
            )
        ],
        ["of the log 'example.org/b', not of 'example.org/log'"],
    ),
    "larger than the log at its entry": (
        [AnchorEntry(4, HONEST[0].payload)],
        ["its checkpoint has size 5, but the entry that reports it is number 4"],
    ),
    "larger than the log ever was": (
        [AnchorEntry(99, requoted(HONEST[0], memos(note(41))[0]).payload)],
        ["its checkpoint has size 41, of which this log has no root"],
    ),
    "one left out": ([HONEST[0], HONEST[2]], ["the number 1 was due, the memo says 2", "the memo before hashes to"]),
    "the first left out": (HONEST[1:], ["the number 0 was due, the memo says 1", "the memo before hashes to 00"]),
    "one twice": ([HONEST[0], HONEST[0]], ["the number 1 was due, the memo says 0", "the memo before hashes to"]),
    "two swapped": (
        [AnchorEntry(30, entry.payload) for entry in (HONEST[1], HONEST[0], HONEST[2])],
        [
            "number 0 was due",
            "the memo before",
            "number 2 was due",
            "the memo before",
            "number 1 was due",
            "the memo before",
        ],
    ),
    "the middle one forked": (
        resigned(1, memos(NOTES[0], note(9, root=b"\x07" * 32))[1]),
        ["the first 9 entries of this log have the root", "anchor 2: the memo before hashes to"],
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_every_lie_is_named(name):
    entries, sentences = LIES[name]
    report = verified(entries)
    assert report.status == "fail"
    assert len(report.findings) == len(sentences)
    for finding, sentence in zip(report.findings, sentences, strict=True):
        assert finding.step == 9
        assert sentence in finding.text


def test_a_broken_anchor_does_not_take_the_next_one_with_it():
    report = verified(changed(1, transaction=b"\x00"))
    assert [(finding.seq, len(report.shown)) for finding in report.findings] == [(9, 2)]


def test_another_key_is_named_at_every_anchor():
    report = verified(HONEST, OTHER_KEY)
    assert [finding.seq for finding in report.findings] == [5, 9, 23]
    assert all("signs alone" in finding.text for finding in report.findings)


def test_the_key_is_the_one_live_at_the_entry():
    vkey = Vkey(ORIGIN, LOG_KEY.public)

    def rotated_at_ten(seq: int) -> bytes:
        return (ANCHOR_KEY if seq < 10 else OTHER_KEY).public

    report = verify_anchors(HONEST, ORIGIN, rotated_at_ten, root_at, lambda data: open_checkpoint(data, [vkey]))
    assert [finding.seq for finding in report.findings] == [23]
    assert len(report.shown) == 2


@pytest.mark.parametrize("at", [0, 1, 2])
def test_every_bit_of_a_memo_is_covered_even_against_the_anchor_key(at):
    """The operator flips one bit of a memo, signs the transaction anew and quotes it rightly: numbers, links, the log's
    signature and the tree name each bit. Only the note's signature by the log key and the log itself hold the operator
    here: who has that key too is caught by the root."""
    raw = HONEST[at].payload.transaction
    memo = check_anchor_transaction(raw, ANCHOR_KEY.public, ORIGIN).memo
    for place in range(len(memo)):
        for bit in range(8):
            flipped = memo[:place] + bytes([memo[place] ^ 1 << bit]) + memo[place + 1 :]
            try:
                parse_memo(flipped)
                entries = resigned(at, flipped)
            except LedgerError:
                forged = signed([memo_call(flipped), transfer_for(memo)])
                entries = [*HONEST[:at], with_transaction(HONEST[at], forged), *HONEST[at + 1 :]]
            assert verified(entries).status == "fail", f"byte {place}, bit {bit}"
