"""Indexes: the same rows however the log was followed, and every byte of them named when it is not what the log gives."""

from random import Random

import pytest

from decision_dna.ledger.followers import Followers, cursor_key, read_stretch
from decision_dna.ledger.indexes import (
    BITMAP_BYTES,
    BLOCK_EVENTS,
    LIST_MAX,
    WINDOW_BLOCKS,
    Grouping,
    Indexes,
    IndexFollower,
    Word,
    bitmap,
    cause_term,
    check_indexes,
    common,
    correlation_term,
    in_order,
    merged,
    pack,
    place_key,
    rebuild,
    source_term,
    stream_term,
    subject_term,
    term_of,
    time_key,
    type_term,
    union,
    unpack,
)
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.reader import LogReader
from tests.ledger.memory_log import ORIGIN, Events, new_log


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
    times = {key: value for key, value in rows.items() if key[:1] == b"w"}
    postings = {key[:-4]: list(unpack(value)) for key, value in rows.items() if key[:1] not in b"pw"}
    assert postings == slow_rows(ledger, block)
    assert all(key[-4:] == block.to_bytes(4) for key in rows)
    firsts = {entry.stream: entry.stream_seq for entry in reversed(stretch.entries)}
    assert places == {place_key(stream, seq, block): b"" for stream, seq in firsts.items()}
    assert times == {time_key(stretch.entries[0].recorded_at, block): b""}


def test_the_example_of_the_docstring():
    assert type_term("detection.*") + bytes(4) == bytes.fromhex("74") + b"detection.*\0" + bytes(4)
    assert place_key("detection/dex", 0, 0) == bytes.fromhex("70") + b"detection/dex\0" + bytes(12)
    assert pack([0, 2]) == bytes.fromhex("00020000")
    assert unpack(pack([0, 2, 4095])) == [0, 2, 4095]


@pytest.mark.parametrize("count", [1, LIST_MAX, LIST_MAX + 1, 3000, BLOCK_EVENTS])
def test_a_row_is_a_list_or_a_bitmap_whichever_is_shorter(count):
    places = sorted(Random(count).sample(range(BLOCK_EVENTS), count))
    row = pack(places)
    as_list = bytes([place % 256 for place in places] + [place // 256 for place in places])
    as_bitmap = bytearray(BITMAP_BYTES)
    for place in places:
        as_bitmap[place // 8] |= 128 >> place % 8
    assert row == min(as_bitmap, as_list, key=len)
    assert list(unpack(row)) == places
    assert list(in_order(row, reverse=False)) == places
    assert list(in_order(row, reverse=True)) == places[::-1]
    assert list(unpack(bitmap(places))) == places


@pytest.mark.parametrize("sizes", [(3, 4), (200, 100), (5, 400), (1000, 2000), (0, 255), (0, 256)])
def test_two_terms_that_are_alike_share_a_row(sizes):
    one, other = (sorted(Random(size).sample(range(BLOCK_EVENTS), size)) for size in sizes)
    row = pack(sorted({*one, *other}))
    assert union(pack(one), pack(other)) == row
    assert dict(merged([(b"a", pack(one)), (b"b", b"x"), (b"a", pack(other))])) == {b"a": row, b"b": b"x"}


@pytest.mark.parametrize("seed", range(60))
def test_what_two_rows_have_in_common_is_a_row(seed):
    chance = Random(seed)
    size = chance.choice((30, 400, BLOCK_EVENTS))  # the fewer there are to choose from, the more are common
    counts = [min(size, chance.choice((1, 4, 80, LIST_MAX, LIST_MAX + 1, 1000, BLOCK_EVENTS))) for _ in range(2)]
    one, other = (sorted(chance.sample(range(size), count)) for count in counts)
    assert list(unpack(common(pack(one), pack(other)))) == sorted({*one} & {*other})
    assert list(unpack(common(pack(other), pack(one)))) == sorted({*one} & {*other})


def test_places_that_share_a_byte_are_not_the_same():
    others = [0x0101, 0x0201, 0x0203, 0x0F02]
    for place in (0x0102, 0x0001, 0x0301, 0x0F01):
        assert common(pack([place]), pack(others)) == b""
        assert common(pack([place]), bitmap(others)) == b""
    assert common(pack([0x0201, 0x0F02]), pack(others)) == common(pack([0x0201, 0x0F02]), bitmap(others))
    assert unpack(common(pack([0x0201, 0x0F02]), pack(others))) == [0x0201, 0x0F02]


BLOCKS = 3 * WINDOW_BLOCKS + 10
WORDS = (("c", b"c" * 16), ("r", "ab" * 16), ("j", "pool"), ("m", "x/dex"), ("s", "dex"), ("s", "nobody"), ("t", "x.*"))


class Complete(Indexes):
    """Indexes of rows without a log: all of them count."""

    def saved(self) -> int:
        return BLOCKS * BLOCK_EVENTS


def many_blocks(seed: int) -> tuple[Complete, dict[Word, list[int]]]:
    """Rows of words from seldom to everywhere, and the seqs that are in them."""
    chance, store = Random(seed), MemoryStore()
    batch, seqs = store.batch(), {}
    in_blocks = {"c": 0.01, "r": 0.1, "j": 0.9, "m": 1.0, "s": 1.0, "t": 1.0}
    in_each = {"c": 1, "r": 3, "j": 8, "m": 60, "s": 250, "t": 2000}
    for word in WORDS:
        seqs[word] = []
        for block in range(BLOCKS):
            if word[1] != "nobody" and chance.random() < in_blocks[word[0]]:
                count = chance.randint(1, 2 * in_each[word[0]])
                places = sorted(chance.sample(range(BLOCK_EVENTS), count))
                batch.put("index", term_of(word) + block.to_bytes(4), pack(places))
                seqs[word] += [block * BLOCK_EVENTS + place for place in places]
    store.write(batch, durable=False)
    return Complete(store), seqs


def test_over_many_blocks_candidates_are_the_seqs_that_all_words_have():
    indexes, seqs = many_blocks(1)
    chance = Random(2)
    for _ in range(60):
        words = sorted(chance.sample(WORDS, chance.choice((1, 2, 2, 3, 4))), key=WORDS.index)
        low, high = sorted(chance.randrange(BLOCKS * BLOCK_EVENTS + 1) for _ in range(2))
        low, high = chance.choice(((low, high), (0, high), (low, BLOCKS * BLOCK_EVENTS), (low, low + 1), (high, low)))
        common_to_all = {*seqs[words[0]]}.intersection(*(seqs[word] for word in words[1:]))
        expected = sorted(seq for seq in common_to_all if low <= seq < high)
        for _ in range(2):  # as it is read, and as it was kept
            assert list(indexes.candidates(words, low, high, reverse=False)) == expected
            assert list(indexes.candidates(words, low, high, reverse=True)) == expected[::-1]


def test_a_window_that_grew_is_read_again():
    """What is kept is of complete blocks alone: rows that are put later are found."""
    ledger, store, clock = new_log()
    events, followers, indexes = Events(3), Followers(store, ledger.reader, [IndexFollower()]), Indexes(store)
    words: tuple[Word, ...] = (("j", "pool-1"), ("t", "x.seen.*"))
    for count in (5000, 3000, 1, 5000, 200):
        events.append(ledger, clock, count)
        size = ledger.reader.size
        claims = [ledger.reader.event(seq).claim for seq in range(size)]
        expected = [
            seq
            for seq, claim in enumerate(claims)
            if claim.subject == "pool-1" and claim.type.startswith("x.seen.")  # not `x.seenless`
        ]
        for _ in range(2):  # before the rows have caught up, and after
            assert list(indexes.candidates(words, 0, size, reverse=False)) == expected
            assert list(indexes.candidates(words, 0, size, reverse=True)) == expected[::-1]
            followers.catch_up()


@pytest.mark.parametrize("lag", [0, 5000, 100_000])
def test_the_seq_after_a_time_is_that_of_the_log(lag):
    ledger, store, clock = new_log()
    events, followers, indexes = Events(6), Followers(store, ledger.reader, [IndexFollower()]), Indexes(store)
    for count in (1, 3000, 1095, 900, 4000, 2500, 900):
        events.append(ledger, clock, count)
        if ledger.reader.size > lag:
            followers.catch_up()
    assert indexes.saved() == (0 if lag > ledger.reader.size else 12_288)
    batch = store.batch()
    batch.put("index", time_key(1, 50), b"")  # past what is saved, as another history may leave it: does not count
    store.write(batch, durable=False)
    readers = [LogReader(store, lambda size=size: Locked(ORIGIN, size, bytes(32), "")) for size in (1, 4096, 9000)]
    times = {ledger.reader.event(seq).entry.recorded_at for seq in range(0, ledger.reader.size, 7)}
    for reader in (ledger.reader, *readers):
        for at in {0, 2**63, *(time + more for time in times for more in (-1, 0, 1))}:
            assert indexes.seq_after(reader, at) == reader.seq_after(at)


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
