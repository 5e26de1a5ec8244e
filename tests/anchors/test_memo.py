"""The memo: one form, read back exactly; and the words that the log keeps of an anchor."""

from hashlib import sha256

import pytest

from decision_dna.anchors.memo import (
    FIRST_PREVIOUS,
    MEMO_BYTES_MAX,
    N_MAX,
    build_memo,
    memo_hash,
    parse_memo,
    reference_keys,
)
from decision_dna.ledger.notes import Checkpoint, UnverifiedCheckpoint
from decision_dna.schemas import codec
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.errors import Malformed, ProofRejected, TooLarge
from decision_dna.schemas.payloads import check_payload, is_open
from tests.anchors.samples import anchors, memos, note, root_at

FIRST = build_memo(0, FIRST_PREVIOUS, note(5))
LINK = b"ab" * 32


def test_a_memo_is_a_numbered_linked_line_and_the_checkpoint_as_it_is():
    second = memos(note(5), note(9))[1]
    assert second == b"decision-dna-anchor/v1 1 " + sha256(FIRST).hexdigest().encode() + b"\n" + note(9)
    memo = parse_memo(second)
    assert (memo.n, memo.previous, memo.note) == (1, memo_hash(FIRST), note(9))
    assert memo.checkpoint == UnverifiedCheckpoint("example.org/log", 9, root_at(9))


def test_the_references_are_one_for_the_origin_and_one_for_the_head():
    of_origin, of_head = reference_keys(Checkpoint("example.org/log", 9, b"\x07" * 32))
    assert of_origin == sha256(b"decision-dna/v1/anchor\nexample.org/log").digest()
    assert of_head == b"\x07" * 32


MISSHAPEN = {
    "empty": b"",
    "another version": FIRST.replace(b"/v1 ", b"/v2 ", 1),
    "a zero before the number": FIRST.replace(b" 0 ", b" 00 ", 1),
    "a sign": FIRST.replace(b" 0 ", b" +0 ", 1),
    "a digit that is not ASCII": FIRST.replace(b" 0 ", " ٣ ".encode(), 1),
    "two spaces": FIRST.replace(b" 0 ", b"  0 ", 1),
    "capital hex": b"decision-dna-anchor/v1 1 " + LINK.upper() + b"\n" + note(5),
    "62 hex": b"decision-dna-anchor/v1 1 " + LINK[:-2] + b"\n" + note(5),
    "a space at the line's end": b"decision-dna-anchor/v1 1 " + LINK + b" \n" + note(5),
    "CR before LF": b"decision-dna-anchor/v1 1 " + LINK + b"\r\n" + note(5),
    "a byte before": b" " + FIRST,
    "a byte after": FIRST + b"\n",
    "the number too large": b"decision-dna-anchor/v1 %d " % (N_MAX + 1) + LINK + b"\n" + note(5),
    "the first names one before": b"decision-dna-anchor/v1 0 " + LINK + b"\n" + note(5),
    "the second names none before": b"decision-dna-anchor/v1 1 " + b"0" * 64 + b"\n" + note(5),
    "no note": FIRST.partition(b"\n")[0] + b"\n",
    "an unsigned checkpoint": FIRST.partition(b"\n\n")[0] + b"\n",
    "an extension line": FIRST.replace(b"\n\n", b"\nmore\n\n", 1),
}


@pytest.mark.parametrize("name", MISSHAPEN)
def test_every_other_form_is_rejected(name):
    assert parse_memo(FIRST).n == 0
    with pytest.raises(ProofRejected):
        parse_memo(MISSHAPEN[name])


def test_a_memo_may_be_as_large_as_a_transaction_holds():
    def signed_by_many(size: int) -> bytes:
        """A note of exactly `size` bytes: the name of an unknown witness fills it up."""
        fixed = note(5) + "— w QUFBQUFBQUE=\n".encode()
        return note(5) + f"— w{'w' * (size - len(fixed))} QUFBQUFBQUE=\n".encode()

    room = MEMO_BYTES_MAX - len(FIRST) + len(note(5))
    assert len(build_memo(0, FIRST_PREVIOUS, signed_by_many(room))) == MEMO_BYTES_MAX == 895
    with pytest.raises(TooLarge, match="896 bytes, at most 895"):
        build_memo(0, FIRST_PREVIOUS, signed_by_many(room + 1))


@pytest.mark.parametrize(
    ("n", "previous"),
    [(-1, bytes(32)), (0, b"\x01" * 32), (1, bytes(32)), (1, b"\x01" * 31), (N_MAX + 1, b"\x01" * 32)],
)
def test_what_could_not_be_read_is_not_built(n, previous):
    with pytest.raises(ProofRejected):
        build_memo(n, previous, note(5))


def test_the_payload_is_open_and_has_exactly_the_fields_of_the_format():
    payload = anchors(5)[0].payload
    fields = codec.decode(codec.encode(payload))
    assert list(fields) == ["block_time", "cluster", "n", "root", "signature", "size", "slot", "transaction"]
    check_payload("anchor.confirmed", 1, codec.encode(payload))
    assert is_open("anchor.confirmed")


BAD_FIELDS = {
    "n": [-1, 2**63, "0", None],
    "size": [-1, 2**63],
    "slot": [-1, 2**63],
    "block_time": [-1, 1.5],
    "root": [bytes(31), bytes(33), "text"],
    "signature": [bytes(63), bytes(65)],
    "cluster": ["a\nb", "a\x7f", "ends in LF\n", 3],
    "transaction": ["text"],
    "more": [1],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD_FIELDS.items() for value in values]
)
def test_payloads_of_another_shape_are_refused(field, value):
    fields = {name: getattr(anchors(5)[0].payload, name) for name in AnchorConfirmed.__struct_fields__}
    with pytest.raises(Malformed):
        check_payload("anchor.confirmed", 1, codec.encode(dict(sorted({**fields, field: value}.items()))))
