"""Indexes: the same rows however the log was followed, and every byte of them named when it is not what the log gives."""

from random import Random

import pytest

from decision_dna.ledger.followers import Followers, cursor_key, read_stretch
from decision_dna.ledger.indexes import (
    BLOCK_EVENTS,
    Grouping,
    Indexes,
    IndexFollower,
    cause_term,
    check_indexes,
    correlation_term,
    merged,
    pack,
    place_key,
    rebuild,
    source_term,
    stream_term,
    subject_term,
    type_term,
    unpack,
)
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryStore
from tests.ledger.memory_log import Events, new_log


@pytest.fixture(scope="module")
def log() -> tuple[Ledger, MemoryStore]:
    """Two complete blocks and a bit, indexed. Not to be changed."""
    ledger, store, clock = new_log()
    events = Events(1)
    for count in (1, 40, 2000, 7, 3000, 3500, 31):
        events.append(ledger, clock, count)
    Followers(store, ledger.reader, [IndexFollower()]).catch_up()
    return ledger, store


def index_rows(store: MemoryStore) -> list[tuple[bytes, bytes]]:
    return list(store.scan("index"))


def slow_rows(ledger: Ledger, block: int) -> dict[bytes, list[int]]:
    """The postings of a block, written down as the document says it."""
    found: dict[bytes, list[int]] = {}
    for at in range(BLOCK_EVENTS):
        event = ledger.reader.event(block * BLOCK_EVENTS + at)
        words = event.claim.type.split(".")
        terms = {type_term(event.claim.type), source_term(event.claim.source), stream_term(event.entry.stream)}
        terms |= {type_term(".".join(words[:n]) + ".*") for n in range(1, len(words))}
        terms |= {subject_term(event.claim.subject)} if event.claim.subject else set()
        terms |= {correlation_term(event.claim.correlation)} if event.claim.trace else set()
        terms |= {cause_term(cause) for cause in event.claim.causes}
        for term in terms:
            found.setdefault(term, []).append(at)
    return found


@pytest.mark.parametrize("block", [0, 1])
def test_rows_are_what_the_document_says(log, block):
    ledger, store = log
    stretch = read_stretch(store, block * BLOCK_EVENTS, (block + 1) * BLOCK_EVENTS)
    grouping = Grouping()
    grouping.add(stretch.entries[:100], stretch.claims[:100])
    grouping.add(stretch.entries[100:], stretch.claims[100:])
    rows = dict(grouping.rows(block))
    places = {key: value for key, value in rows.items() if key[:1] == b"p"}
    postings = {key[:-4]: list(unpack(value)) for key, value in rows.items() if key[:1] != b"p"}
    assert postings == slow_rows(ledger, block)
    assert all(key[-4:] == block.to_bytes(4) for key in rows)
    firsts = {entry.stream: entry.stream_seq for entry in reversed(stretch.entries)}
    assert places == {place_key(stream, seq, block): b"" for stream, seq in firsts.items()}


def test_the_example_of_the_docstring():
    assert type_term("detection.*") + bytes(4) == bytes.fromhex("74") + b"detection.*\0" + bytes(4)
    assert place_key("detection/dex", 0, 0) == bytes.fromhex("70") + b"detection/dex\0" + bytes(12)
    assert pack([0, 2]) == bytes.fromhex("00000002")
    assert list(unpack(pack([0, 2, 4095]))) == [0, 2, 4095]


def test_two_terms_that_are_alike_share_a_row():
    assert merged([(b"a", [1, 5]), (b"b", [2]), (b"a", [3])]) == {b"a": [1, 3, 5], b"b": [2]}


@pytest.mark.parametrize("sizes", [(9000,), (1, 4095, 4096, 808), (4096,) * 2 + (808,), (313,) * 28 + (236,)])
def test_rows_do_not_depend_on_how_the_log_grew_under_the_follower(sizes):
    ledger, store, clock = new_log()
    events = Events(2)
    followers = Followers(store, ledger.reader, [IndexFollower()])
    for size in sizes:
        events.append(ledger, clock, size)
        followers.catch_up()
    assert [row for _, rows in rebuild(store, range(2)) for row in rows]
    assert sorted(row for _, rows in rebuild(store, range(2)) for row in rows) == index_rows(store)
    assert Indexes(store).saved() == 2 * BLOCK_EVENTS
    assert check_indexes(store, ledger.reader) == []


def test_every_flipped_byte_of_every_key_and_value_is_named(log):
    """A byte of every row at once, then the next byte of every row, …: each row must be named in every round."""
    ledger, store = log
    rows = index_rows(store)
    chance = Random(1)
    longest = max(len(key) for key, _ in rows)
    for place in range(longest):
        changed = store.kill()
        batch = changed.batch()
        bent = {flipped(key, place, chance): value for key, value in rows}
        for key, _ in rows:
            batch.delete("index", key)
        batch.put_many("index", list(bent.items()))
        changed.write(batch, durable=False)
        named = " ".join(check_indexes(changed, ledger.reader))
        assert [key for key, _ in rows if key not in bent and f"{key.hex()} is missing" not in named] == []
        assert [key for key in bent if key not in dict(rows) and f"{key.hex()} is extra" not in named] == []
    for place in range(64):
        changed = store.kill()
        batch = changed.batch()
        bent = {key: flipped(value, place * 131, chance) for key, value in rows if value}
        batch.put_many("index", list(bent.items()))
        changed.write(batch, durable=False)
        named = " ".join(check_indexes(changed, ledger.reader))
        assert [key for key, value in bent.items() if f"{key.hex()} is {value.hex()}" not in named] == []


def flipped(data: bytes, place: int, chance: Random) -> bytes:
    at = place % len(data)
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def test_a_single_flip_is_named_alone(log):
    ledger, store = log
    rows = index_rows(store)
    for number, (key, value) in enumerate(Random(2).sample(rows, 25)):
        changed = store.kill()
        batch = changed.batch()
        if number % 2 and value:
            batch.put("index", key, flipped(value, number, Random(number)))
            expected = 1
        else:
            batch.delete("index", key)
            batch.put("index", flipped(key, number, Random(number)), value)
            expected = 2  # one is missing, one is extra
        changed.write(batch, durable=False)
        assert len(check_indexes(changed, ledger.reader)) == expected


def test_every_flipped_byte_of_the_cursor_is_named(log):
    ledger, store = log
    key = cursor_key("indexes")
    value = store.get("views", key)
    for place in range(len(key) + len(value)):
        changed = store.kill()
        batch = changed.batch()
        if place < len(key):
            batch.delete("views", key)
            batch.put("views", flipped(key, place, Random(place)), value)
        else:
            batch.put("views", key, flipped(value, place - len(key), Random(place)))
        changed.write(batch, durable=False)
        assert [text for text in check_indexes(changed, ledger.reader) if "cursor" in text], place


def test_a_cursor_without_its_rows_is_named(log):
    ledger, store = log
    lost = store.kill()
    batch = lost.batch()
    for key, _ in index_rows(store):
        batch.delete("index", key)
    lost.write(batch, durable=False)
    assert len(check_indexes(lost, ledger.reader)) == len(index_rows(store))
    empty, empty_store, _ = new_log()
    assert check_indexes(empty_store, empty.reader) == []
