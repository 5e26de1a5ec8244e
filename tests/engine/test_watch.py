"""From files to events."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from decision_dna.engine.answers import read_block, read_transactions
from decision_dna.engine.blocks import Block
from decision_dna.engine.watch import SourceBlock, SourceSkip, blocks_from, decide, decide_skip, follow
from decision_dna.schemas.codec import encode
from decision_dna.schemas.market import BlockObserved, BlockSkipped, Sandwich
from decision_dna.schemas.payloads import check_payload
from tests.data import shared


def answer(parent_slot: int) -> bytes:
    """A block without transactions."""
    key = "5" * 43
    fields = {"blockhash": key, "previousBlockhash": key, "parentSlot": parent_slot, "transactions": [], "blockTime": 7}
    return json.dumps(fields).encode()


def real(slot: int) -> Block:
    return read_block(shared(f"data/blocks/slot_{slot}.json").read_bytes(), slot)


def names(found: list[SourceBlock | SourceSkip]) -> list[tuple[str, int]]:
    return [(each.name, each.block.slot if isinstance(each, SourceBlock) else -each.slot) for each in found]


def test_a_folder_is_read_by_slot(tmp_path: Path) -> None:
    for name, parent in (("slot_20.json", 1), ("9.json", 1), ("unnamed.json", 14), ("truth_9.json", 1)):
        (tmp_path / name).write_bytes(answer(parent))
    (tmp_path / "enveloped.json").write_bytes(b'{"jsonrpc":"2.0","id":1,"result":' + answer(11) + b"}")
    (tmp_path / "notes.txt").write_text("no block")
    expected = [("9.json", 9), ("enveloped.json", 12), ("unnamed.json", 15), ("slot_20.json", 20)]
    assert names(list(blocks_from(tmp_path))) == expected


def test_what_is_no_block_is_said(tmp_path: Path) -> None:
    (tmp_path / "slot_5.json").write_text("{")
    (tmp_path / "slot_6.json").mkdir()
    (tmp_path / "slot_7.json").write_text('{"jsonrpc":"2.0","error":{"code":-32009,"message":"skipped"}}')
    found = list(blocks_from(tmp_path))
    assert names(found) == [("slot_5.json", -5), ("slot_6.json", -6), ("slot_7.json", -7)]
    reasons = [each.reason for each in found if isinstance(each, SourceSkip)]
    assert "cannot be read" in reasons[1]
    assert "-32009: skipped" in reasons[2]
    (missing,) = blocks_from(tmp_path / "nowhere.json")
    assert isinstance(missing, SourceSkip)


def test_a_file_with_parts_of_blocks_gives_each(tmp_path: Path) -> None:
    path = shared("data/sandwiches/same_block.slot406751392.json")
    (found,) = blocks_from(path)
    assert isinstance(found, SourceBlock)
    assert found.block.slot == 406_751_392


def test_following_finds_new_files_once_and_whole(tmp_path: Path) -> None:
    (tmp_path / "slot_1.json").write_bytes(answer(0))
    growing = tmp_path / "slot_3.json"
    steps: list[Callable[[], object]] = [
        lambda: growing.write_bytes(answer(2)[:40]),
        lambda: (growing.write_bytes(answer(2)), (tmp_path / "slot_2.json").write_bytes(answer(1))),
        lambda: None,
        lambda: (tmp_path / "slot_4.json").write_bytes(answer(3)),
        lambda: None,
    ]
    turns = iter(steps)

    def wait() -> bool:
        step = next(turns, None)
        if step is not None:
            step()
        return step is not None

    assert names(list(follow(tmp_path, wait))) == [(f"slot_{slot}.json", slot) for slot in (1, 2, 3, 4)]


def test_the_events_of_a_block() -> None:
    block = real(285_000_037)
    observed, *found = decide(block)
    assert (observed.type, observed.source, observed.subject) == ("observation.block", "engine", block.blockhash)
    assert observed.occurred_at == 1_724_267_459 * 10**9
    assert isinstance(observed.payload, BlockObserved)
    counts = (observed.payload.transactions_count, observed.payload.votes_count, observed.payload.failed_count)
    assert counts == (557, 62, 99)
    assert [each.type for each in found] == ["detection.sandwich_pattern"] * 10 + ["detection.arbitrage"] * 3
    assert all(each.causes == (observed.id,) and each.source == "engine" for each in found)
    assert found[-1].subject == block.transactions[548].signature
    assert found[0].subject.count("/") == 1 and len(found[0].subject) <= 128
    for event in (observed, *found):
        check_payload(event.type, 1, encode(event.payload))


def test_ids_are_uuids_of_the_blocks_time_and_come_again() -> None:
    block = real(285_000_037)
    first, again = decide(block), decide(real(285_000_037))
    assert first == again
    ids = [UUID(bytes=event.id) for event in first]
    assert len(set(ids)) == 14
    for each in ids:
        assert each.version == 7
        assert each.variant == "specified in RFC 4122"
        assert int.from_bytes(each.bytes[:6], "big") == block.block_time * 1_000
    other = decide(read_block(shared("data/blocks/slot_285000037.json").read_bytes(), 285_000_038))
    assert not {event.id for event in other} & {event.id for event in first}


def test_a_part_of_a_block_is_named_by_its_digest() -> None:
    (block,) = read_transactions(shared("data/sandwiches/same_block.slot406751392.json").read_bytes())
    observed, found = decide(block)
    assert isinstance(observed.payload, BlockObserved)
    assert observed.subject == observed.payload.digest
    assert isinstance(found.payload, Sandwich)
    assert found.subject == found.payload.pool


def test_a_skip_is_an_event_that_comes_again() -> None:
    skip = SourceSkip("slot_5.json", 5, "no block: " + "x" * 9_999)
    event = decide_skip(skip)
    assert event == decide_skip(skip)
    assert (event.type, event.subject, UUID(bytes=event.id).version) == ("observation.skip", "5", 7)
    check_payload(event.type, 1, encode(event.payload))
    assert event.id != decide_skip(skip._replace(name="slot_6.json")).id


def test_skip_reason_of_any_text(tmp_path: Path) -> None:
    """A file's name and a node's message may hold anything: what the log says of them fits the range of a reason."""
    skip = SourceSkip("slot_5\udcff\n.json", 5, "the node answered with error 1: \x00\x1b[31m" + "\u00e9" * 9_999)
    event = decide_skip(skip)
    check_payload(event.type, 1, encode(event.payload))
    assert isinstance(event.payload, BlockSkipped)
    assert event.payload.reason.startswith("slot_5??.json: the node answered with error 1: ??[31m\u00e9")
    assert len(event.payload.reason) == 500


def test_the_engine_loads_no_chain_library() -> None:
    heavy = "{'solders', 'solana', 'rocksdict', 'litestar'}"
    code = f"import sys, decision_dna.engine.watch; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
