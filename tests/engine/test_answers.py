"""The reader: one block in every encoding is one result, and what is broken is Malformed."""

import base64
import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_dna.engine import base58
from decision_dna.engine.answers import read_block, read_blocks, read_transactions
from decision_dna.engine.blocks import Block, Transaction, digest
from decision_dna.engine.watch import decide
from decision_dna.engine.wire import decode_transaction
from decision_dna.schemas.codec import encode
from decision_dna.schemas.errors import LedgerError, Malformed
from decision_dna.schemas.payloads import check_payload
from tests.data import shared

ENCODINGS = ("json", "base64", "json_parsed")


def block_in(encoding: str) -> Block:
    return read_block(shared(f"data/blocks/get_block_{encoding}_encoding.json").read_bytes())


def seen(tx: Transaction) -> tuple[object, ...]:
    """A transaction but for its instructions."""
    plain = (tx.position, tx.signatures, tx.keys, tx.signers_count, tx.err, tx.fee, tx.version, tx.compute_units)
    return (*plain, tx.pre_lamports, tx.post_lamports, tx.tokens, tx.moves, tx.vote)


def calls(tx: Transaction) -> list[tuple[int, tuple[int, ...], bytes]]:
    steps = [*tx.instructions, *(step for group in tx.inner for step in group.instructions)]
    return [(step.program, step.accounts, step.data) for step in steps]


def test_one_block_in_three_encodings_has_one_digest() -> None:
    digests = {digest(block_in(encoding)) for encoding in ENCODINGS}
    assert digests == {"28fc2ffb6c3c06f3261cd5a4dc05aeb9c611e61b536e3745da9fa78cf2752b53"}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_one_block_in_three_encodings_is_one_result(encoding: str) -> None:
    plain, other = block_in("json"), block_in(encoding)
    assert [seen(tx) for tx in other.transactions] == [seen(tx) for tx in plain.transactions]
    assert other.slot == plain.slot == 147_078_735
    assert (other.blockhash, other.block_time, other.height) == (plain.blockhash, 1_657_486_664, 139_015_678)
    programs = [[step[0] for step in calls(tx)] for tx in other.transactions]
    assert programs == [[step[0] for step in calls(tx)] for tx in plain.transactions]


def test_json_and_base64_agree_on_every_byte_of_every_instruction() -> None:
    plain, packed = block_in("json"), block_in("base64")
    assert [calls(tx) for tx in packed.transactions] == [calls(tx) for tx in plain.transactions]
    assert [tx.writable for tx in packed.transactions] == [tx.writable for tx in plain.transactions]


def test_one_transaction_in_three_encodings_has_one_digest() -> None:
    paths = [shared(f"data/blocks/get_transaction_{encoding}_encoding.json") for encoding in ENCODINGS]
    blocks = [read_blocks(path.read_bytes())[0] for path in paths]
    assert len({digest(block) for block in blocks}) == 1
    assert {block.slot for block in blocks} == {147_558_327}


@pytest.mark.parametrize(
    ("slot", "transactions", "votes", "failed", "loaded"),
    [(285_000_037, 557, 62, 99, 273), (254_170_887, 602, 158, 305, 263)],
)
def test_real_blocks_have_what_their_readme_says(
    slot: int, transactions: int, votes: int, failed: int, loaded: int
) -> None:
    block = read_block(shared(f"data/blocks/slot_{slot}.json").read_bytes())
    assert (block.slot, len(block.transactions)) == (slot, transactions)
    assert sum(tx.vote for tx in block.transactions) == votes
    assert sum(tx.failed for tx in block.transactions) == failed
    assert sum(tx.version == 0 for tx in block.transactions) == loaded
    assert not any(tx.moves for tx in block.transactions if tx.failed), "what failed moved nothing"


@pytest.mark.parametrize("slot", [285_000_037, 254_170_887])
def test_lamports_are_conserved_but_for_fees(slot: int) -> None:
    block = read_block(shared(f"data/blocks/slot_{slot}.json").read_bytes())
    for tx in block.transactions:
        assert sum(tx.pre_lamports) - sum(tx.post_lamports) == tx.fee
        assert len(tx.keys) == len(tx.writable) == len(tx.pre_lamports)


def test_moves_add_up_to_the_balances() -> None:
    """In transactions that only transfer, what the moves say is what the balances say."""
    block = read_block(shared("data/blocks/slot_285000037.json").read_bytes())
    checked = 0
    for tx in block.transactions:
        net: dict[int, int] = {}
        for move in tx.moves:
            if move.kind == "token":
                net[move.source] = net.get(move.source, 0) - move.amount
                net[move.destination] = net.get(move.destination, 0) + move.amount
        lasting = {row.account for row in tx.tokens if row.pre is not None and row.post is not None}
        told = {row.account: row.delta for row in tx.tokens if row.account in lasting and row.account in net}
        if not tx.failed and told:
            assert {account: net[account] for account in told} == told, tx.position
            checked += 1
    assert checked > 100


def test_real_transactions_are_read_or_refused_by_name() -> None:
    for path in sorted(shared("data/txs").glob("*.json")):
        if path.name.startswith("broken_"):
            with pytest.raises(Malformed):
                read_blocks(path.read_bytes())
        else:
            (block,) = read_blocks(path.read_bytes())
            assert len(block.transactions) == 1, path.name
            assert block.blockhash == ""


def test_the_slot_is_the_callers_or_the_parents_plus_one() -> None:
    text = shared("data/blocks/get_block_json_encoding.json").read_bytes()
    assert read_block(text).slot == read_block(text).parent_slot + 1
    assert read_block(text, 7).slot == 7


def test_base58_transactions_are_read_too() -> None:
    answer = json.loads(shared("data/blocks/get_block_base64_encoding.json").read_bytes())["result"]
    for each in answer["transactions"]:
        each["transaction"] = [base58.encode(base64.b64decode(each["transaction"][0])), "base58"]
    assert digest(read_block(json.dumps(answer).encode())) == digest(block_in("json"))
    for each in answer["transactions"]:
        each["transaction"] = each["transaction"][0]
    assert digest(read_block(json.dumps(answer).encode())) == digest(block_in("json"))


def small_block() -> dict[str, Any]:
    """The shortest real block, without envelope, with three of its transactions."""
    answer = json.loads(shared("data/blocks/get_block_json_encoding.json").read_bytes())["result"]
    answer["transactions"] = [answer["transactions"][place] for place in (0, 1, 20)]
    result: dict[str, Any] = answer
    return result


def _set(path: str, value: object) -> Any:
    def change(block: dict[str, Any]) -> None:
        *way, last = path.split(".")
        here: Any = block
        for step in way:
            here = here[int(step) if step.isdigit() else step]
        here[int(last) if last.isdigit() else last] = value

    return change


BROKEN: dict[str, tuple[Any, str]] = {
    "a balance too many": (_set("transactions.0.meta.preBalances", [1] * 6), "balances"),
    "a negative balance": (_set("transactions.0.meta.postBalances.0", -1), "preBalances|postBalances|int"),
    "a fee of 2^70": (_set("transactions.0.meta.fee", 2**70), "int"),
    "no meta": (_set("transactions.1.meta", None), "transaction 1: no meta"),
    "a key that is none": (_set("transactions.0.transaction.message.accountKeys.1", "!!!"), "key"),
    "a key of 32 zeros and Os": (_set("transactions.0.transaction.message.accountKeys.1", "0O" * 16), "base58"),
    "a program past the keys": (_set("transactions.0.transaction.message.instructions.0.programIdIndex", 200), "200"),
    "an account past the keys": (_set("transactions.0.transaction.message.instructions.0.accounts.0", 99), "99"),
    "data that are not base58": (_set("transactions.0.transaction.message.instructions.0.data", "0"), "base58"),
    "a header of too many": (
        _set("transactions.0.transaction.message.header.numReadonlyUnsignedAccounts", 5),
        "header",
    ),
    "no signature": (_set("transactions.0.transaction.signatures", []), "signatures"),
    "an amount of letters": (_set("transactions.1.meta.preTokenBalances.0.uiTokenAmount.amount", "1e9"), "amount"),
    "an amount of 65 bits": (_set("transactions.1.meta.preTokenBalances.0.uiTokenAmount.amount", str(2**64)), "amount"),
    "an amount with a sign": (_set("transactions.1.meta.preTokenBalances.0.uiTokenAmount.amount", "+5"), "amount"),
    "an amount in Arabic digits": (_set("transactions.1.meta.preTokenBalances.0.uiTokenAmount.amount", "٣"), "amount"),
    "a key for an index": (_set("transactions.0.transaction.message.instructions.0.accounts.0", "dv1Z"), "by key"),
    "keys for indexes": (_set("transactions.0.transaction.message.instructions.0.accounts", ["dv1Z"]), "by key"),
    "a token balance past the keys": (_set("transactions.1.meta.preTokenBalances.0.accountIndex", 250), "250"),
    "inner instructions of nothing": (_set("transactions.1.meta.innerInstructions.0.index", 9), "inner"),
    "zstd": (_set("transactions.0.transaction", ["AA==", "base64+zstd"]), "not read"),
    "base64 that is none": (_set("transactions.0.transaction", ["A$A", "base64"]), "base64"),
    "a transaction of one byte": (_set("transactions.0.transaction", ["AA==", "base64"]), "too early"),
    "a version of letters": (_set("transactions.0.version", "nought"), "version"),
    "a time past 63 bits of nanoseconds": (_set("blockTime", 2**62), "blockTime"),
    "a blockhash that is none": (_set("blockhash", "hello"), "key"),
    "a mint that is no key": (_set("transactions.1.meta.preTokenBalances.0.mint", "GOLD"), "key"),
    "an owner that is no key": (_set("transactions.1.meta.preTokenBalances.0.owner", "nobody"), "key"),
    "a signature of two digits": (_set("transactions.0.transaction.signatures.0", "zz"), "signature"),
    "a slot past 63 bits": (_set("parentSlot", 2**63 - 1), "parentSlot"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_malformed(name: str) -> None:
    change, words = BROKEN[name]
    block = small_block()
    read_block(json.dumps(block).encode())
    change(block)
    with pytest.raises(Malformed, match=words):
        read_block(json.dumps(block).encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not a"),
        (b"\xff\xfe", "not a"),
        (b"[]", "without transactions"),
        (b'"This is a broken data file"', "getTransaction"),
        (b'{"jsonrpc":"2.0","id":1,"result":null}', "null"),
        (
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32007,"message":"Slot 5 was skipped"}}',
            "-32007: Slot 5 was skipped",
        ),
        (b"[" * 100_000, "not"),
        (b"{" + b'"a":{' * 100_000, "not"),
    ],
)
def test_what_is_no_answer_is_malformed(text: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        read_blocks(text)


def wire_of(place: int) -> bytes:
    answer = json.loads(shared("data/blocks/slot_254170887.json").read_bytes())
    return base64.b64decode(answer["transactions"][place]["transaction"][0])


def test_every_truncation_of_a_transaction_is_malformed() -> None:
    data = wire_of(0)
    decode_transaction(data)
    for end in range(len(data)):
        with pytest.raises(Malformed):
            decode_transaction(data[:end])
    with pytest.raises(Malformed, match="follow"):
        decode_transaction(data + b"\0")


def test_a_length_has_one_form() -> None:
    data = wire_of(0)
    assert data[0] < 0x80
    with pytest.raises(Malformed, match="longer form"):
        decode_transaction(bytes([data[0] | 0x80, 0]) + data[1:])


def test_wire_decoder_agrees_with_solders() -> None:
    transaction = pytest.importorskip("solders.transaction", reason="solders is in the extra `solana`")
    for place in range(0, 602, 7):
        data = wire_of(place)
        known = transaction.VersionedTransaction.from_bytes(data)
        ours = decode_transaction(data)
        assert [bytes(key) for key in known.message.account_keys] == list(ours.keys)
        assert [bytes(each) for each in known.signatures] == list(ours.signatures)
        told = [(step.program_id_index, tuple(step.accounts), bytes(step.data)) for step in known.message.instructions]
        assert told == [(step.program, step.accounts, step.data) for step in ours.instructions]


@given(st.binary(max_size=80))
def test_base58_goes_there_and_back(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


@given(st.text(max_size=60))
def test_base58_refuses_or_reads(text: str) -> None:
    try:
        assert base58.encode(base58.decode(text)) == text
    except Malformed:
        assert set(text) - set(base58.ALPHABET)


def _spoil(value: Any, rng: random.Random) -> Any:
    """The value with one place in it, drawn, replaced by something of another kind, doubled, or gone."""
    while isinstance(value, dict | list) and value:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = rng.choice(list(places))
        inside = value[place]
        if not (isinstance(inside, dict | list) and inside and rng.random() < 0.93):
            odd: tuple[object, ...] = (
                None,
                -1,
                0,
                255,
                256,
                2**63,
                2**64,
                1.5,
                "",
                "1",
                "0",
                "é",
                True,
                [],
                {},
                [[]],
                {"parsed": 1},
                inside,
            )
            if rng.random() < 0.2:
                del value[place]
            else:
                value[place] = rng.choice(odd)
            return value
        value = inside
    return value


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), encoding=st.sampled_from((*ENCODINGS, "sandwich")))
def test_only_our_errors_escape_from_spoiled_blocks(seed: int, encoding: str) -> None:
    rng = random.Random(seed)
    answer = copy.deepcopy(_fuzz_block(encoding))
    for _ in range(rng.randint(1, 4)):
        _spoil(answer, rng)
    read_or_refuse(json.dumps(answer).encode())


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), encoding=st.sampled_from((*ENCODINGS, "sandwich")))
def test_only_our_errors_escape_from_flipped_bytes(seed: int, encoding: str) -> None:
    rng = random.Random(seed)
    text = bytearray(json.dumps(_fuzz_block(encoding)).encode())
    for _ in range(rng.randint(1, 6)):
        text[rng.randrange(len(text))] = rng.randrange(256)
    read_or_refuse(bytes(text[: rng.choice((len(text), rng.randrange(len(text))))]))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_only_our_errors_escape_from_spoiled_wire_transactions(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(rng.choice(_fuzz_wires()))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        decode_transaction(bytes(data))
    except LedgerError:
        return


def read_or_refuse(text: bytes) -> None:
    """Reading gives a block that can be decided on, or a LedgerError; anything else fails the test."""
    try:
        blocks = read_blocks(text)
    except LedgerError:
        return
    for block in blocks:
        for event in decide(block):
            check_payload(event.type, 1, encode(event.payload))


_kept: dict[str, Any] = {}


def _fuzz_block(encoding: str) -> Any:
    if encoding == "sandwich" and encoding not in _kept:
        _kept[encoding] = json.loads(shared("data/sandwiches/same_block.slot406751392.json").read_bytes())
    if encoding not in _kept:
        path = shared(f"data/blocks/get_block_{encoding}_encoding.json")
        block = json.loads(path.read_bytes())
        block["result"]["transactions"] = [block["result"]["transactions"][place] for place in (0, 1, 20)]
        _kept[encoding] = block
    return _kept[encoding]


def _fuzz_wires() -> list[bytes]:
    if "wires" not in _kept:
        _kept["wires"] = [wire_of(place) for place in (0, 1, 300, 601)]
    wires: list[bytes] = _kept["wires"]
    return wires


def test_an_array_of_transactions_is_the_known_part_of_a_block(tmp_path: Path) -> None:
    (block,) = read_transactions(shared("data/sandwiches/same_block.slot406751392.json").read_bytes())
    assert (block.slot, block.blockhash, len(block.transactions)) == (406_751_392, "", 3)
    assert [tx.position for tx in block.transactions] == [0, 1, 2]
