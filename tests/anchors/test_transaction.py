"""What an anchor transaction's bytes prove: the honest one is accepted, every other one is named."""

import ast
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.instruction import AccountMeta
from solders.pubkey import Pubkey

from decision_dna.anchors.build import build_anchor_transaction
from decision_dna.anchors.memo import MEMO_BYTES_MAX, parse_memo, reference_keys
from decision_dna.anchors.transaction import (
    COMPUTE_BUDGET_PROGRAM,
    MEMO_PROGRAM,
    SYSTEM_PROGRAM,
    TRANSACTION_BYTES_MAX,
    check_anchor_transaction,
)
from decision_dna.engine.wire import decode_transaction
from decision_dna.schemas.errors import LedgerError, ProofRejected, TooLarge
from tests.anchors.samples import (
    ANCHOR_KEY,
    BLOCKHASH,
    LIMIT,
    MEMO_V1,
    ORIGIN,
    OTHER_KEY,
    PRICE,
    memo_call,
    memos,
    note,
    signed,
    transfer_call,
    transfer_for,
)

MEMO, FORK = memos(note(5))[0], memos(note(5, root=bytes(32)))[0]
RAW = build_anchor_transaction(MEMO, ANCHOR_KEY, BLOCKHASH)
REFERENCES = reference_keys(parse_memo(MEMO).checkpoint)


def check(raw: bytes, key: bytes = ANCHOR_KEY.public, origin: str = ORIGIN):
    return check_anchor_transaction(raw, key, origin)


def test_an_anchor_proves_its_number_link_and_note():
    proof = check(RAW)
    assert (proof.n, proof.previous, proof.note, proof.memo) == (0, bytes(32), note(5), MEMO)
    assert (proof.signature, proof.checkpoint.size) == (RAW[1:65], 5)


def test_the_program_names_are_those_of_the_chain():
    names = {
        COMPUTE_BUDGET_PROGRAM: "ComputeBudget111111111111111111111111111111",
        MEMO_PROGRAM: "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
        SYSTEM_PROGRAM: "11111111111111111111111111111111",
    }
    assert {key: str(Pubkey(key)) for key in names} == names


def test_building_is_deterministic_and_is_what_a_second_builder_makes():
    assert build_anchor_transaction(MEMO, ANCHOR_KEY, BLOCKHASH) == RAW
    assert signed([LIMIT, PRICE, memo_call(MEMO), transfer_for(MEMO)]) == RAW


def test_the_v0_form_and_other_or_no_budgets_prove_the_same():
    for calls in ([memo_call(MEMO), transfer_for(MEMO)], [LIMIT, memo_call(MEMO), transfer_for(MEMO)]):
        for v0 in (False, True):
            assert check(signed(calls, v0=v0), ANCHOR_KEY.public).memo == MEMO


def test_the_largest_memo_fills_the_transaction_to_its_last_byte():
    filler = note(5) + "— w QUFBQUFBQUE=\n".encode()
    room = MEMO_BYTES_MAX - len(MEMO) + len(note(5)) - len(filler)
    largest = memos(note(5) + f"— w{'w' * room} QUFBQUFBQUE=\n".encode())[0]
    raw = build_anchor_transaction(largest, ANCHOR_KEY, BLOCKHASH)
    assert (len(largest), len(raw)) == (MEMO_BYTES_MAX, TRANSACTION_BYTES_MAX)
    assert check(raw).memo == largest
    too_long = largest[:-14] + b"w" + largest[-14:]
    with pytest.raises(TooLarge, match="1233 bytes"):
        build_anchor_transaction(too_long, ANCHOR_KEY, BLOCKHASH)
    with pytest.raises(ProofRejected, match="1233 bytes"):
        check(signed([LIMIT, PRICE, memo_call(too_long), transfer_for(too_long)]))


def with_signer(call, key):
    return type(call)(
        call.program_id, call.data, [*call.accounts, AccountMeta(Pubkey(key), is_signer=True, is_writable=False)]
    )


MEMO_HERE, TRANSFER = memo_call(MEMO), transfer_for(MEMO)
STRANGER = Pubkey(OTHER_KEY.public)
NAMED = {
    "no memo": ([LIMIT, PRICE, TRANSFER], "one memo"),
    "no transfer": ([LIMIT, PRICE, MEMO_HERE], "one system transfer"),
    "two memos": ([MEMO_HERE, MEMO_HERE, TRANSFER], "one memo"),
    "two different memos": ([MEMO_HERE, memo_call(FORK), TRANSFER], "one memo"),
    "two transfers": ([MEMO_HERE, TRANSFER, TRANSFER], "one system transfer"),
    "the transfer first": ([TRANSFER, MEMO_HERE], "then one system transfer"),
    "a budget in between": ([MEMO_HERE, LIMIT, TRANSFER], "compute budget, then"),
    "the first memo program": ([memo_call(MEMO, MEMO_V1), TRANSFER], "one memo"),
    "a program beside": ([LIMIT, memo_call(MEMO, MEMO_V1), MEMO_HERE, TRANSFER], "one memo"),
    "a memo with accounts": (
        [memo_call(MEMO, accounts=[AccountMeta(STRANGER, is_signer=False, is_writable=False)]), TRANSFER],
        "lists accounts",
    ),
    "a memo that is none": ([memo_call(b"hello"), TRANSFER], "begins with"),
    "a lamport": ([MEMO_HERE, transfer_call(REFERENCES, lamports=1)], "0 lamports"),
    "to somebody else": ([MEMO_HERE, transfer_call(REFERENCES, to=STRANGER)], "alone is writable"),
    "no references": ([MEMO_HERE, transfer_call([])], "references"),
    "the root missing": ([MEMO_HERE, transfer_call(REFERENCES[:1])], "references"),
    "the origin missing": ([MEMO_HERE, transfer_call(REFERENCES[1:])], "references"),
    "references swapped": ([MEMO_HERE, transfer_call(REFERENCES[::-1])], "references"),
    "a third reference": ([MEMO_HERE, transfer_call([*REFERENCES, bytes(31) + b"\x09"])], "references"),
    "references of the fork": ([MEMO_HERE, transfer_for(FORK)], "references"),
    "writable references": (
        [MEMO_HERE, transfer_call(REFERENCES, writable=True)],
        "alone is writable",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_every_other_transaction_of_the_anchor_key_is_named(name):
    calls, reason = NAMED[name]
    with pytest.raises(ProofRejected, match=reason):
        check(signed(calls))


def test_only_the_anchor_key_signs_and_it_signs_alone():
    with pytest.raises(ProofRejected, match="signs alone"):
        check(signed([MEMO_HERE, TRANSFER], keys=[OTHER_KEY, ANCHOR_KEY]))
    with pytest.raises(ProofRejected, match="signs alone"):
        check(RAW, OTHER_KEY.public)
    together = [memo_call(MEMO, accounts=[AccountMeta(STRANGER, is_signer=True, is_writable=False)]), TRANSFER]
    with pytest.raises(ProofRejected, match="signs alone"):
        check(signed(together, keys=[ANCHOR_KEY, OTHER_KEY]))


def test_a_mention_of_the_anchor_key_is_no_signature():
    """Anyone can pay for a transaction that lists the anchor key and its references; the signer flags tell."""
    raw = signed([MEMO_HERE, transfer_call(REFERENCES)], keys=[ANCHOR_KEY])
    stranger_pays = raw.replace(ANCHOR_KEY.public, OTHER_KEY.public)
    message = stranger_pays[65:]
    forged = b"\x01" + OTHER_KEY.sign(message) + message
    assert check(forged, OTHER_KEY.public).memo == MEMO
    with pytest.raises(ProofRejected, match="signs alone"):
        check(forged)


def test_an_anchor_of_another_log_is_named():
    with pytest.raises(ProofRejected, match=r"of the log 'example.org/log', not of 'example.org/other'"):
        check(RAW, origin="example.org/other")


def test_tables_of_the_chain_are_not_followed():
    raw = signed([LIMIT, PRICE, MEMO_HERE, TRANSFER], v0=True)
    message = raw[65:-1] + b"\x01" + bytes(32) + b"\x01\x00\x00"
    assert decode_transaction(b"\x01" + bytes(64) + message).loads == (1, 0)
    with pytest.raises(ProofRejected, match="tables"):
        check(b"\x01" + ANCHOR_KEY.sign(message) + message)


HONEST = decode_transaction(RAW)
CALLS_AT = len(RAW) - len(RAW.partition(HONEST.blockhash)[2]) + 1
TRANSFER_ACCOUNTS_AT = len(RAW) - 12 - 1 - 4
KEY_AT = 65 + 3 + 1
UNRUNNABLE = {
    "the payer as a program": (CALLS_AT, b"\x00", "outside the"),
    "a program past the keys": (CALLS_AT, bytes([len(HONEST.keys)]), "outside the"),
    "an account past the keys": (TRANSFER_ACCOUNTS_AT, bytes([len(HONEST.keys)]), "outside the"),
    "a key twice": (KEY_AT + 32, HONEST.keys[2], "stands twice"),
    "a read-only payer": (66, b"\x01", "alone is writable"),
    "a header that counts more keys than there are": (67, b"\x7f", "alone is writable"),
}


@pytest.mark.parametrize("name", UNRUNNABLE)
def test_what_no_validator_would_run_is_named_though_the_anchor_key_signed_it(name):
    at, put, reason = UNRUNNABLE[name]
    message = RAW[65:at] + put + RAW[at + len(put) :]
    with pytest.raises(ProofRejected, match=reason):
        check(b"\x01" + ANCHOR_KEY.sign(message) + message)


def test_a_second_signature_has_no_place():
    with pytest.raises(ProofRejected, match="signs alone"):
        check(b"\x02" + RAW[1:65] + RAW[1:65] + RAW[65:])


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: RAW[:100] + tail))
def test_nothing_but_proof_rejected_leaves_the_check(data):
    with pytest.raises(ProofRejected):
        check(data)


@pytest.mark.parametrize("v0", [False, True], ids=["legacy", "v0"])
def test_every_bit_of_the_raw_transaction_is_covered(v0):
    """No bit is free: the signature is over the message, has one valid value itself, and the count byte frames both."""
    raw = signed([LIMIT, PRICE, MEMO_HERE, TRANSFER], v0=v0)
    assert check(raw).memo == MEMO
    for at in range(len(raw)):
        for bit in range(8):
            flipped = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
            with pytest.raises(ProofRejected):
                check(flipped)


def test_bits_flipped_and_signed_anew_prove_nothing_else_about_the_same_bytes():
    """The anchor key itself signs changed messages: what is still an anchor says the changed thing, never the old one
    with another meaning. Free are the blockhash and the budgets' data alone: they say when and for how much."""
    message_at, honest = 65, decode_transaction(RAW)
    blockhash_at = RAW.index(honest.blockhash)
    limit_at, price_at = (RAW.index(call.data) for call in honest.instructions[:2])
    memo_at = RAW.index(MEMO)
    free = {*range(blockhash_at, blockhash_at + 32), *range(limit_at, limit_at + 5), *range(price_at, price_at + 9)}
    same, other = set(), set()
    for at in range(message_at, len(RAW)):
        message = bytearray(RAW[message_at:])
        message[at - message_at] ^= 1
        try:
            proof = check(b"\x01" + ANCHOR_KEY.sign(bytes(message)) + bytes(message))
        except LedgerError:
            continue
        (same if proof.memo == MEMO else other).add(at)
    assert same == free
    assert other
    assert other <= set(range(memo_at, memo_at + len(MEMO)))


def test_checking_loads_no_chain_library():
    code = "import sys, decision_dna.anchors.verify; print(sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ast.literal_eval(run.stdout)}
    assert "decision_dna" in loaded
    assert loaded.isdisjoint({"solders", "solana", "rocksdict", "litestar"})
