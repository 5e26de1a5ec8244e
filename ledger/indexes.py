"""Indexes: for each term, the seqs of the events that have it, as lists by *block* of 4,096 seqs.

A row is one term in one block. Rows are made when a block is complete, so they depend on the log alone, and never on how
it was followed: that makes them checkable byte by byte, and keeps a ledger that grows event by event as small as one
that grows in bulk. The events after the last complete block are read from the log; the newest are kept in memory, decoded.

    index    tag ‖ term ‖ u32 block                          u16 for each event: its place in the block, ascending
             "p" ‖ stream ‖ 00 ‖ u64 first stream_seq ‖ u32 block      nothing: says where the n-th event of a stream is

    tag  what            term
    t    type            the type ‖ 00; and each of its families, as `detection.*` ‖ 00
    s    source          the source ‖ 00
    m    stream          the stream ‖ 00
    j    subject         first 8 bytes of SHA-256(subject): readers look at the event itself
    r    correlation     the trace id, 16 bytes
    c    cause           the id of the cause, 16 bytes: ids are in order of time, and so are the rows

Two detections of source "dex", at seqs 0 and 2, with one heartbeat between them, give among others

    74 "detection.*" 00 00000000  ->  0000 0002        70 "detection/dex" 00 0000000000000000 00000000  ->
"""

import sys
import threading
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import chain

from decision_dna.ledger.followers import (
    STRETCH_EVENTS,
    ClaimFacts,
    EntryFacts,
    Stretch,
    cursor_key,
    fits,
    read_cursor,
    read_stretch,
    stretches,
)
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Batch, Store
from decision_dna.schemas.errors import InvariantBroken, Malformed

BLOCK_EVENTS = 8 * STRETCH_EVENTS
NAME, VERSION = "indexes", 1
BLOCK_MAX = 2**32 - 1
BLOCKS_CACHED = 4
STEPS_BEFORE_SEEK = 4

Row = tuple[bytes, bytes]


# --- terms ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def type_terms(type_name: str) -> tuple[bytes, ...]:
    """A type's own term, and those of its families: of `a.b.c` they are `a.b.c`, `a.*` and `a.b.*`."""
    words = type_name.split(".")
    families = [".".join(words[:count]) + ".*" for count in range(1, len(words))]
    return tuple(type_term(name) for name in [type_name, *families])


def type_term(pattern: str) -> bytes:
    """Of a type, or of a family `a.*`."""
    return b"t" + pattern.encode() + b"\0"


def source_term(source: str) -> bytes:
    """Of a source."""
    return b"s" + source.encode() + b"\0"


def stream_term(stream: str) -> bytes:
    """Of a stream."""
    return b"m" + stream.encode() + b"\0"


@lru_cache(maxsize=65_536)
def subject_term(subject: str) -> bytes:
    """Of a subject; others may share it."""
    return b"j" + sha256(subject.encode()).digest()[:8]


def correlation_term(trace_id: str) -> bytes:
    """Of a trace id, 32 hex digits."""
    return b"r" + bytes.fromhex(trace_id)


def cause_term(event_id: bytes) -> bytes:
    """Of the events that name this one among their causes."""
    return b"c" + event_id


def place_key(stream: str, stream_seq: int, block: int) -> bytes:
    """That a block's first event of a stream is its `stream_seq`-th."""
    return b"p" + stream.encode() + b"\0" + stream_seq.to_bytes(8) + block.to_bytes(4)


# --- rows ----------------------------------------------------------------------------------------------------------

Postings = dict[bytes, list[int]]
"""By term, the places of its events in a block, ascending."""


class Grouping:
    """The events of one block, grouped by what they have in common: filled from the first on, then made into rows."""

    def __init__(self) -> None:
        self.count = 0
        self._types, self._sources, self._streams, self._subjects, self._traces = (
            defaultdict[str, list[int]](list) for _ in range(5)
        )
        self._effects = defaultdict[bytes, list[int]](list)
        self._firsts: dict[str, int] = {}

    def add(self, entries: Sequence[EntryFacts], claims: Sequence[ClaimFacts]) -> None:
        """The events that follow on those before. The hot loop: no call that can be saved."""
        types, sources, streams, subjects = self._types, self._sources, self._streams, self._subjects
        for at, (entry, claim) in enumerate(zip(entries, claims, strict=True), self.count):
            types[claim.type].append(at)
            sources[claim.source].append(at)
            places = streams[entry.stream]
            if not places:
                self._firsts[entry.stream] = entry.stream_seq
            places.append(at)
            subjects[claim.subject].append(at)
            if claim.trace:
                self._traces[claim.trace[3:35]].append(at)
            for cause in claim.causes:
                self._effects[cause].append(at)
        self.count += len(entries)

    def rows(self, block: int) -> list[Row]:
        """All rows of the block, ascending by key."""
        subjects = ((subject_term(name), places) for name, places in self._subjects.items() if name)
        postings: Postings = {
            **merged((term, places) for name, places in self._types.items() for term in type_terms(name)),
            **{source_term(name): places for name, places in self._sources.items()},
            **{stream_term(name): places for name, places in self._streams.items()},
            **merged(subjects),
            **{correlation_term(trace_id): places for trace_id, places in self._traces.items()},
            **{cause_term(event_id): places for event_id, places in self._effects.items()},
        }
        suffix = block.to_bytes(4)
        rows = [(term + suffix, pack(places)) for term, places in postings.items()]
        rows += [(place_key(name, first, block), b"") for name, first in self._firsts.items()]
        rows.sort()
        return rows


def merged(postings: Iterable[tuple[bytes, list[int]]]) -> Postings:
    """One list for each term, where several lists share it."""
    lists = defaultdict[bytes, list[list[int]]](list)
    for term, places in postings:
        lists[term].append(places)
    return {term: found[0] if len(found) == 1 else sorted(chain(*found)) for term, found in lists.items()}


def pack(places: Sequence[int]) -> bytes:
    """u16, big-endian, for each place."""
    packed = array("H", places)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def unpack(row: bytes) -> Sequence[int]:
    """The places of a row."""
    packed = array("H", row[: len(row) & ~1])
    if sys.byteorder == "little":
        packed.byteswap()
    return packed


class IndexFollower:
    """Keeps the indexes: groups the events of the unfinished block, and puts its rows when it is complete."""

    name, version, rows = NAME, VERSION, ("index", b"")

    def __init__(self) -> None:
        self._grouping = Grouping()
        self._saved = 0

    def load(self, store: Store, cursor: int) -> None:
        """The rows are all that there is: nothing is read."""
        del store
        self._grouping, self._saved = Grouping(), cursor

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        """A stretch crosses no block, so at most one is completed."""
        self._grouping.add(stretch.entries, stretch.claims)
        if self._grouping.count == BLOCK_EVENTS:
            batch.put_many("index", self._grouping.rows(self._saved // BLOCK_EVENTS))
            self._grouping, self._saved = Grouping(), stretch.end
        return self._saved


# --- reading -------------------------------------------------------------------------------------------------------


class Indexes:
    """Reads the rows that a follower saved, in any process; and the events after them, by block, from memory where they are the newest."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._newest: dict[int, Stretch] = {}
        self._cursor: bytes | None = None
        self._saved = 0
        self._lock = threading.Lock()

    def saved(self) -> int:
        """Events before this seq are in the rows: a multiple of `BLOCK_EVENTS`."""
        stored = self.store.get("views", cursor_key(NAME))
        if stored != self._cursor:
            self._saved, self._cursor = self._checked(), stored
        return self._saved

    def _checked(self) -> int:
        """A cursor counts only with the hash of the entry before it: a wrong one would hide events."""
        cursor = read_cursor(self.store, NAME)
        if cursor is None or cursor.version != VERSION or cursor.seq == 0:
            return 0
        try:
            last = read_stretch(self.store, cursor.seq - 1, cursor.seq).raws[0]
        except (InvariantBroken, Malformed):
            return 0
        return cursor.seq if entry_hash(last) == cursor.hash else 0

    def candidates(self, terms: Sequence[bytes], low: int, high: int, *, reverse: bool) -> Iterator[int]:
        """The seqs in [low, high) whose events have all terms, in order; [low, high) must be in the rows.
        A term of a subject may be shared by others: look at the event."""
        if low >= high:
            return
        for block, places in self._common(terms, low // BLOCK_EVENTS, (high - 1) // BLOCK_EVENTS, reverse=reverse):
            first = block * BLOCK_EVENTS
            for place in reversed(places) if reverse else places:
                if low <= first + place < high:
                    yield first + place

    def _common(
        self, terms: Sequence[bytes], lowest: int, highest: int, *, reverse: bool
    ) -> Iterator[tuple[int, Sequence[int]]]:
        """Blocks that have all terms, with the places that do: whoever is behind moves up to the foremost."""
        walks = [_Walk(self.store, term, lowest, highest, reverse=reverse) for term in terms]
        while all(walk.block is not None for walk in walks):
            blocks = [walk.block for walk in walks if walk.block is not None]
            foremost = min(blocks) if reverse else max(blocks)
            if all(block == foremost for block in blocks):
                yield foremost, _intersection([unpack(walk.row) for walk in walks])
                walks[0].next()
            else:
                for walk in walks:
                    walk.move_to(foremost)

    def place_of(self, stream: str, stream_seq: int) -> tuple[int, int] | None:
        """The last block that begins, for the stream, at or before its n-th event; and the stream_seq that it begins with. None where no row says so."""
        key = place_key(stream, stream_seq, BLOCK_MAX)
        found = self.store.last("index", key)
        if found is None or found[0][:-12] != key[:-12]:
            return None
        return _block(found[0]), int.from_bytes(found[0][-12:-4])

    def newest(self, start: int, end: int, *, reverse: bool) -> Iterator[Stretch]:
        """[start, end) by block, in order or from the end; what was read is kept for the next time."""
        blocks = range(start // BLOCK_EVENTS, -(-end // BLOCK_EVENTS))
        for block in reversed(blocks) if reverse else blocks:
            first = block * BLOCK_EVENTS
            stretch = self._read(block, min(first + BLOCK_EVENTS, end))
            yield stretch.between(max(first, start), end)

    def _read(self, block: int, end: int) -> Stretch:
        with self._lock:
            known = self._newest.pop(block, None)
            if known is None:
                known = read_stretch(self.store, block * BLOCK_EVENTS, end)
            elif known.end < end:
                known = known.joined(read_stretch(self.store, known.end, end))
            while len(self._newest) >= BLOCKS_CACHED:
                del self._newest[next(iter(self._newest))]  # the one longest unused
            self._newest[block] = known
            return known


class _Walk:
    """One term's rows, block by block; `block` is None at the end."""

    def __init__(self, store: Store, term: bytes, lowest: int, highest: int, *, reverse: bool) -> None:
        self._store, self._term, self._lowest, self._highest, self._reverse = store, term, lowest, highest, reverse
        self.block: int | None = None
        self.row = b""
        self._rows = self._scan(lowest, highest)
        self.next()

    def next(self) -> None:
        """To the next block."""
        found = next(self._rows, None)
        self.block = None if found is None else _block(found[0])
        self.row = b"" if found is None else found[1]

    def move_to(self, block: int) -> None:
        """To the first block at or after this one in the walk's direction: by steps where it is near, else by a seek."""
        for _ in range(STEPS_BEFORE_SEEK):
            if not self._is_before(block):
                return
            self.next()
        if self._is_before(block):
            self._rows = self._scan(self._lowest, block) if self._reverse else self._scan(block, self._highest)
            self.next()

    def _is_before(self, block: int) -> bool:
        return self.block is not None and (self.block > block if self._reverse else self.block < block)

    def _scan(self, lowest: int, highest: int) -> Iterator[Row]:
        start, end = self._term + lowest.to_bytes(4), self._term + (highest + 1).to_bytes(4)
        return self._store.scan("index", start, end, reverse=self._reverse)


def _intersection(lists: Sequence[Sequence[int]]) -> Sequence[int]:
    """What all have, ascending: each place of the shortest is looked up in the others."""
    shortest, *others = sorted(lists, key=len)
    return [place for place in shortest if all(_has(other, place) for other in others)] if others else shortest


def _has(places: Sequence[int], place: int) -> bool:
    at = bisect_left(places, place)
    return at < len(places) and places[at] == place


# --- checking ------------------------------------------------------------------------------------------------------


def rebuild(store: Store, blocks: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    """The rows of complete blocks, from the log alone. Raises Malformed, InvariantBroken."""
    for block in blocks:
        grouping = Grouping()
        for stretch in stretches(store, block * BLOCK_EVENTS, (block + 1) * BLOCK_EVENTS):
            grouping.add(stretch.entries, stretch.claims)
        yield block, grouping.rows(block)


def check_indexes(store: Store, reader: LogReader) -> list[str]:
    """Every way in which the saved rows differ from what the log gives: the cursor; missing, altered and extra rows.

    Compared byte by byte, block by block. An empty list: the indexes are what the log says, up to their cursor.
    """
    found = Counter(_block(key) for key, _ in store.scan("index"))
    differences, saved = _check_cursor(store, reader, found)
    counts: dict[int, int] = {}
    for block, rows in rebuild(store, range(saved // BLOCK_EVENTS)):
        stored = store.get_many("index", [key for key, _ in rows])
        differences += [
            f"index row {key.hex()} is {'missing' if there is None else there.hex()}, the log gives {value.hex()}"
            for (key, value), there in zip(rows, stored, strict=True)
            if there != value
        ]
        counts[block] = sum(there is not None for there in stored)
    suspects = {block for block, count in found.items() if count != counts.get(block, 0)}
    return differences + (_extra_rows(store, suspects, saved) if suspects else [])


def _check_cursor(store: Store, reader: LogReader, found: Counter[int]) -> tuple[list[str], int]:
    """What is wrong with the cursor, and up to which seq rows should be there: without a cursor, up to the last block that has some."""
    stored, cursor = store.get("views", cursor_key(NAME)), read_cursor(store, NAME)
    if cursor is not None and cursor.seq % BLOCK_EVENTS == 0 and fits(cursor, VERSION, reader):
        return [], cursor.seq
    if stored is None and not found:
        return [], 0
    last = min(max(found, default=-1) + 1, reader.size // BLOCK_EVENTS)
    return [f"the cursor of the indexes is {stored.hex() if stored else 'missing'}: no cursor of this log"], (
        last * BLOCK_EVENTS
    )


def _extra_rows(store: Store, suspects: set[int], saved: int) -> list[str]:
    """Of the blocks whose rows are not as many as the log gives: the rows that it does not give."""
    blocks = [block for block in suspects if block < saved // BLOCK_EVENTS]
    keys = {block: {key for key, _ in rows} for block, rows in rebuild(store, blocks)}
    return [
        f"index row {key.hex()} is extra"
        for key, _ in store.scan("index")
        if (block := _block(key)) in suspects and key not in keys.get(block, ())
    ]


def _block(key: bytes) -> int:
    return int.from_bytes(key[-4:])
