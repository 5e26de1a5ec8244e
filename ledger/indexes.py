"""Indexes: for each term, the seqs of the events that have it, by *block* of 4,096 seqs.

A row is one term in one block. Rows are made when a block is complete, so they depend on the log alone, and never on how
it was followed: that makes them checkable byte by byte, and keeps a ledger that grows event by event as small as one
that grows in bulk. The events after the last complete block are read from the log; the newest are kept in memory, grouped.

    index    tag ‖ term ‖ u32 block                          the places of its events in the block, as below
             "p" ‖ stream ‖ 00 ‖ u64 first stream_seq ‖ u32 block      nothing: says where the n-th event of a stream is
             "w" ‖ u64 recorded_at ‖ u32 block                         nothing: says when the block's first event was recorded

    tag  what            term
    t    type            the type ‖ 00; and each of its families, as `detection.*` ‖ 00
    s    source          the source ‖ 00
    m    stream          the stream ‖ 00
    j    subject         first 8 bytes of SHA-256(subject): readers look at the event itself
    r    correlation     the trace id, 16 bytes
    c    cause           the id of the cause, 16 bytes: ids are in order of time, and so are the rows

Up to 255 places are a list: the low byte of each, ascending, then the high byte of each; so apart, they compress better, and
a place is found by its low byte at once. More are a bitmap of 512 bytes, which is never longer than the list would be:
place n is bit n, counted from the highest bit of the first byte. So the length tells which it is.

Two detections of source "dex", at seqs 0 and 2, with one heartbeat between them, give among others

    74 "detection.*" 00 00000000  ->  0002 0000        70 "detection/dex" 00 0000000000000000 00000000  ->
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import chain, compress
from operator import itemgetter
from struct import Struct
from typing import Literal

import msgspec

from decision_dna.ledger.followers import (
    REBUILD_KEY,
    START,
    STRETCH_EVENTS,
    ClaimFacts,
    Cursor,
    EntryFacts,
    Stretch,
    cursor_key,
    read_cursor,
    read_stretch,
    stretches,
)
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Batch, Store
from decision_dna.schemas.claims import decode_entry
from decision_dna.schemas.codec import encode
from decision_dna.schemas.errors import InvariantBroken, LedgerError, Malformed

BLOCK_EVENTS = 8 * STRETCH_EVENTS
NAME, VERSION = "indexes", 2
BLOCK_MAX = 2**32 - 1
BITMAP_BYTES = BLOCK_EVENTS // 8
LIST_MAX = BITMAP_BYTES // 2 - 1
BLOCKS_CACHED = 4
WINDOW_BLOCKS = 64
WINDOWS_CACHED = 1024
"""Of 64 blocks that were asked for several terms at once, what they have in common is kept: mostly little, at most 32 KiB."""
BLOCKS_NAMED = 4
"""Of so many blocks that differ the rows are named, of the others their number: each costs a second reading."""
STRAYS_NAMED = 10_000
CHECKED_EVENTS = 16 * BLOCK_EVENTS
"""Between two reports of progress."""
STEPS_FOR_A_GET = 6
"""A scan steps over so many rows in the time that one get takes."""

Row = tuple[bytes, bytes]
Kind = Literal["c", "r", "j", "m", "s", "t"]
Word = tuple[Kind, str | bytes]
"""A tag and what is sought below it: the id of a cause, a trace id in hex, a subject, a stream, a source, a type or a family."""


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


def term_of(word: Word) -> bytes:
    """The term that stands for a word in the rows."""
    match word:
        case ("c", bytes() as event_id):
            return cause_term(event_id)
        case ("r", str() as trace_id):
            return correlation_term(trace_id)
        case ("j", str() as subject):
            return subject_term(subject)
        case (kind, str() as name):
            return kind.encode() + name.encode() + b"\0"
    raise InvariantBroken(f"no index has a word like {word!r}")


def place_key(stream: str, stream_seq: int, block: int) -> bytes:
    """That a block's first event of a stream is its `stream_seq`-th."""
    return b"p" + stream.encode() + b"\0" + stream_seq.to_bytes(8) + block.to_bytes(4)


def time_key(recorded_at: int, block: int) -> bytes:
    """That a block's first event was recorded then."""
    return b"w" + recorded_at.to_bytes(8) + block.to_bytes(4)


# --- places of one row ---------------------------------------------------------------------------------------------

_lists = [Struct(f"<{count}H").pack for count in range(LIST_MAX + 1)]
_ALL = range(BLOCK_EVENTS)
_singles = [place.to_bytes(2, "little") for place in _ALL]
_SELECTORS = bytes.maketrans(b"01", b"\0\1")


def pack(places: Sequence[int]) -> bytes:
    """The row of some places, ascending."""
    count = len(places)
    if count == 1:  # most rows: causes and traces
        return _singles[places[0]]
    if count > LIST_MAX:
        return bitmap(places)
    packed = _lists[count](*places)
    return packed[::2] + packed[1::2]


def bitmap(places: Iterable[int]) -> bytes:
    """The same as a bitmap, however few they are."""
    digits = bytearray(b"0") * BLOCK_EVENTS
    for at in places:
        digits[at] = 49
    return int(digits, 2).to_bytes(BITMAP_BYTES)


def unpack(row: bytes) -> Sequence[int]:
    """The places of a row, ascending."""
    return [*_in_bitmap(int.from_bytes(row))] if _is_bitmap(row) else _listed(row)


def in_order(row: bytes, *, reverse: bool) -> Iterable[int]:
    """The places of a row, from the first or the last on. Lazy where there are many: a page seldom wants them all."""
    if _is_bitmap(row):
        return _in_bitmap(int.from_bytes(row), reverse=reverse)
    return reversed(_listed(row)) if reverse else _listed(row)


def _is_bitmap(row: bytes) -> bool:
    return len(row) == BITMAP_BYTES


def _listed(row: bytes) -> list[int]:
    return [high << 8 | low for low, high in zip(row, row[len(row) // 2 :], strict=False)]


def _in_bitmap(bits: int, *, reverse: bool = False) -> Iterator[int]:
    digits = format(bits, f"0{BLOCK_EVENTS}b").encode().translate(_SELECTORS)
    return compress(reversed(_ALL), reversed(digits)) if reverse else compress(_ALL, digits)


def union(one: bytes, other: bytes) -> bytes:
    """The row of the places of both."""
    bits = _bits(one) | _bits(other)
    return bits.to_bytes(BITMAP_BYTES) if bits.bit_count() > LIST_MAX else pack([*_in_bitmap(bits)])


def _bits(row: bytes) -> int:
    return int.from_bytes(row if _is_bitmap(row) else bitmap(_listed(row)))


def common(one: bytes, other: bytes) -> bytes:
    """The places that both rows have, as a row; empty where there is none. The hot loop of queries with several terms."""
    if len(other) < len(one):
        one, other = other, one  # bitmaps are the longest
    if _is_bitmap(one):
        bits = int.from_bytes(one) & int.from_bytes(other)
        return bits.to_bytes(BITMAP_BYTES) if bits else b""
    wanted = zip(one, one[len(one) // 2 :], strict=False)
    if _is_bitmap(other):
        found = [pair for pair in wanted if other[(pair[1] & 15) << 5 | pair[0] >> 3] << (pair[0] & 7) & 128]
    else:
        found, lows, highs = [], other[: len(other) // 2], other[len(other) // 2 :]
        for low, high in wanted:
            at = lows.find(low)
            while at >= 0 and highs[at] != high:
                at = lows.find(low, at + 1)
            if at >= 0:
                found.append((low, high))
    return bytes([low for low, _ in found] + [high for _, high in found]) if found else b""


# --- rows ----------------------------------------------------------------------------------------------------------


class Grouping:
    """The events of one block, grouped by what they have in common: filled from the first on, then made into rows."""

    def __init__(self) -> None:
        self.count = 0
        self._types, self._sources, self._streams, self._subjects, self._traces = (
            defaultdict[str, list[int]](list) for _ in range(5)
        )
        self._effects = defaultdict[bytes, list[int]](list)
        self._firsts: dict[str, int] = {}
        self._recorded_at = 0

    def add(self, entries: Sequence[EntryFacts], claims: Sequence[ClaimFacts]) -> None:
        """The events that follow on those before. The hot loop: no call that can be saved."""
        types, sources, streams, subjects = self._types, self._sources, self._streams, self._subjects
        if entries and not self.count:
            self._recorded_at = entries[0].recorded_at
        end = self.count + len(entries)
        for at, entry, claim in zip(range(self.count, end), entries, claims, strict=True):
            types[claim.type].append(at)
            sources[claim.source].append(at)
            places = streams[entry.stream]
            if not places:
                self._firsts[entry.stream] = entry.stream_seq
            places.append(at)
            subjects[claim.subject].append(at)
            if claim.trace:
                self._traces[claim.trace[3:35]].append(at)
            if claim.causes:
                for cause in claim.causes:
                    self._effects[cause].append(at)
        self.count = end

    def places(self, word: Word) -> Sequence[int]:
        """The places of a word's events so far, ascending; of a subject too they are exact."""
        kind, name = word
        if isinstance(name, bytes):
            return tuple(self._effects.get(name, ()))
        if kind == "t" and name.endswith(".*"):
            return sorted(chain(*(places for known, places in self._types.items() if known.startswith(name[:-1]))))
        groups = {"r": self._traces, "j": self._subjects, "m": self._streams, "s": self._sources, "t": self._types}
        return tuple(groups[kind].get(name, ()))

    def rows(self, block: int) -> list[Row]:
        """All rows of the block, ascending by key."""
        suffix = block.to_bytes(4)
        rows = [(time_key(self._recorded_at, block), b"")]
        rows += [(place_key(name, first, block), b"") for name, first in self._firsts.items()]
        rows += [(cause_term(name) + suffix, pack(places)) for name, places in self._effects.items()]
        rows += [(correlation_term(name) + suffix, pack(places)) for name, places in self._traces.items()]
        rows += [(stream_term(name) + suffix, pack(places)) for name, places in self._streams.items()]
        rows += [(source_term(name) + suffix, pack(places)) for name, places in self._sources.items()]
        rows += merged([(subject_term(name) + suffix, pack(at)) for name, at in self._subjects.items() if name])
        types = [(type_terms(name), pack(places)) for name, places in self._types.items()]
        rows += merged([(term + suffix, row) for terms, row in types for term in terms])
        rows.sort(key=itemgetter(0))
        return rows


def merged(rows: list[Row]) -> Iterable[Row]:
    """One row for each key, where some share it."""
    by_key = dict(rows)
    if len(by_key) < len(rows):
        by_key.clear()
        for key, row in rows:
            by_key[key] = union(by_key[key], row) if key in by_key else row
    return by_key.items()


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
        self._newest: dict[int, Grouping] = {}
        self._cursor: bytes | None = None
        self._saved = 0
        self._lock = threading.Lock()
        self._windows = lru_cache(maxsize=WINDOWS_CACHED)(self._read_window)

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

    def candidates(self, words: Sequence[Word], low: int, high: int, *, reverse: bool) -> Iterator[int]:
        """The seqs in [low, high), all visible, whose events have all words, the rarest of them first; in order. Lazy.

        Events that the rows have not caught up with are grouped here, so nothing visible is missed. Of a subject there may
        be some too many: look at the event.
        """
        saved = self.saved()
        middle = min(max(low, saved), high)
        in_rows = self._in_rows(words, low, middle, saved, reverse=reverse)
        after_rows = self._after_rows(words, middle, high, reverse=reverse)
        for block, places in chain(after_rows, in_rows) if reverse else chain(in_rows, after_rows):
            first = block * BLOCK_EVENTS
            for place in places:
                if low <= first + place < high:
                    yield first + place

    def _in_rows(
        self, words: Sequence[Word], low: int, high: int, saved: int, *, reverse: bool
    ) -> Iterator[tuple[int, Iterable[int]]]:
        """Blocks of [low, high) that have all words, with the places that do; some blocks beside them too."""
        if low >= high:
            return
        terms, start, end = tuple(map(term_of, words)), low // BLOCK_EVENTS, -(-high // BLOCK_EVENTS)
        if len(terms) == 1:
            rows: Iterable[Row] = self._scan(terms[0], start, end, reverse=reverse)
        else:
            rows = self._with_all(terms, start, end, saved // BLOCK_EVENTS, reverse=reverse)
        for key, row in rows:
            yield _block(key), in_order(row, reverse=reverse)

    def _with_all(
        self, terms: tuple[bytes, ...], start: int, end: int, complete: int, *, reverse: bool
    ) -> Iterator[Row]:
        """By block, what the rows of several terms have in common: window by window, of what is complete."""
        windows = range(start - start % WINDOW_BLOCKS, end, WINDOW_BLOCKS)
        for first in reversed(windows) if reverse else windows:
            rows = self._windows(terms, first, min(first + WINDOW_BLOCKS, complete))
            yield from reversed(rows) if reverse else rows

    def _read_window(self, terms: tuple[bytes, ...], start: int, end: int) -> list[Row]:
        """Blocks in [start, end), all complete, so that this never changes. The first term by a scan, the others by scans too, or by gets
        where few are left."""
        found = {key[-4:]: row for key, row in self._scan(terms[0], start, end)}
        for term in terms[1:]:
            both: dict[bytes, bytes] = {}
            for key, row in self._rows_of(term, found, start, end):
                one = found.get(key[-4:])
                if one is not None and (shared := common(one, row)):
                    both[key[-4:]] = shared
            found = both
        return list(found.items())

    def _rows_of(self, term: bytes, blocks: Collection[bytes], start: int, end: int) -> Iterable[Row]:
        """A term's rows in [start, end), at least those in some blocks of it."""
        if len(blocks) * STEPS_FOR_A_GET > end - start:
            return self._scan(term, start, end)
        keys = [term + block for block in blocks]
        rows = self.store.get_many("index", keys)
        return [(key, row) for key, row in zip(keys, rows, strict=True) if row is not None]

    def _scan(self, term: bytes, start: int, end: int, *, reverse: bool = False) -> Iterator[Row]:
        return self.store.scan("index", term + start.to_bytes(4), term + end.to_bytes(4), reverse=reverse)

    def _after_rows(
        self, words: Sequence[Word], low: int, high: int, *, reverse: bool
    ) -> Iterator[tuple[int, Iterable[int]]]:
        """The same of the events that no row has yet."""
        blocks = range(low // BLOCK_EVENTS, -(-high // BLOCK_EVENTS) if low < high else 0)
        for block in reversed(blocks) if reverse else blocks:
            end = min((block + 1) * BLOCK_EVENTS, high)
            first, *others = sorted(self._grouped(block, end, words), key=len)
            places = sorted(set(first).intersection(*others)) if others else first
            yield block, reversed(places) if reverse else places

    def _grouped(self, block: int, end: int, words: Sequence[Word]) -> list[Sequence[int]]:
        """For each word its places in a block, at least those before `end`. What was read is kept for the next time."""
        with self._lock:
            grouping = self._newest.pop(block, None) or Grouping()
            for stretch in stretches(self.store, block * BLOCK_EVENTS + grouping.count, end):
                grouping.add(stretch.entries, stretch.claims)
            while len(self._newest) >= BLOCKS_CACHED:
                del self._newest[next(iter(self._newest))]  # the one longest unused
            self._newest[block] = grouping
            return [grouping.places(word) for word in words]

    def place_of(self, stream: str, stream_seq: int) -> tuple[int, int] | None:
        """The last block that begins, for the stream, at or before its n-th event; and the stream_seq that it begins with. None where no row says so."""
        key = place_key(stream, stream_seq, BLOCK_MAX)
        found = self.store.last("index", key)
        if found is None or found[0][:-12] != key[:-12]:
            return None
        return _block(found[0]), int.from_bytes(found[0][-12:-4])

    def seq_after(self, reader: LogReader, recorded_at: int) -> int:
        """As `LogReader.seq_after`, the first visible seq recorded after a time: by the rows, it lies in one block, so that few runs are read."""
        low, high = self._around(recorded_at, reader.size)
        while low < high:
            middle = (low + high) // 2
            if decode_entry(reader.raw(middle)).recorded_at <= recorded_at:
                low = middle + 1
            else:
                high = middle
        return low

    def _around(self, recorded_at: int, size: int) -> tuple[int, int]:
        """Bounds for `seq_after`: from the last block in the rows that begins at or before a time, to the next."""
        saved = self.saved()
        key, _ = self.store.last("index", time_key(recorded_at, BLOCK_MAX)) or (b"", b"")
        first = _block(key) * BLOCK_EVENTS if key[:1] == b"w" else 0
        if first >= saved:
            return 0, size
        end = first + BLOCK_EVENTS
        return min(first, size), min(end, size) if end < saved else size


# --- checking ------------------------------------------------------------------------------------------------------


class Extent(msgspec.Struct, frozen=True):
    """How far the rows should go: events before `saved` have theirs, and those from there to `covered`, past the head that is
    looked at, may. `wrong` says why the cursor does not count, `left_out` what is not compared."""

    saved: int = 0
    covered: int = 0
    wrong: str = ""
    left_out: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """The saved rows against the log: every difference, what was not compared, and up to which seq they were."""

    differences: list[str]
    left_out: list[str]
    compared_to: int


def read_extent(store: Store, reader: LogReader) -> Extent:
    """The extent that the cursor names. Where no cursor counts, the rows themselves say how far they go."""
    stored, cursor = store.get("views", cursor_key(NAME)), read_cursor(store, NAME)
    if stored is None and store.get("views", REBUILD_KEY) is not None:
        return Extent(left_out="the indexes are being rebuilt: no query reads their rows until there is a cursor")
    if cursor is not None and cursor.version < VERSION and cursor.seq % BLOCK_EVENTS == 0:
        return Extent(
            left_out=f"the indexes are of version {cursor.version}, {VERSION} is known here: no query reads them"
        )
    if cursor is not None and cursor.version == VERSION and _is_of_log(store, cursor):
        saved = min(cursor.seq, reader.size - reader.size % BLOCK_EVENTS)
        past = (
            f"index rows from seq {saved} on are of entries past the head of size {reader.size}: they were not compared"
        )
        return Extent(saved, cursor.seq, left_out=past if cursor.seq > saved else "")
    blocks = reader.size // BLOCK_EVENTS
    last = max((block for key, _ in store.scan("index") if (block := _block(key)) < blocks), default=-1)
    if stored is None and last < 0:
        return Extent()
    wrong = f"the cursor of the indexes is {_hex(stored)}: no cursor of this log"
    return Extent((last + 1) * BLOCK_EVENTS, wrong=wrong)


def _is_of_log(store: Store, cursor: Cursor) -> bool:
    """Whether the entry before a cursor is in the store, be it past the head that a reader sees: a follower may be ahead of it."""
    if cursor.seq % BLOCK_EVENTS:
        return False
    try:
        return cursor.hash == (
            entry_hash(read_stretch(store, cursor.seq - 1, cursor.seq).raws[0]) if cursor.seq else START
        )
    except LedgerError:
        return False


def rebuild(store: Store, blocks: Iterable[int]) -> Iterator[tuple[int, list[Row]]]:
    """The rows of complete blocks, from the log alone. Raises Malformed, InvariantBroken."""
    for block in blocks:
        grouping = Grouping()
        try:
            for stretch in stretches(store, block * BLOCK_EVENTS, (block + 1) * BLOCK_EVENTS):
                grouping.add(stretch.entries, stretch.claims)
            yield block, grouping.rows(block)
        except (ValueError, OverflowError) as error:  # the log is not verified here
            raise Malformed(f"an entry of block {block} has no rows: {error}") from None


def block_digest(rows: Iterable[Row]) -> bytes:
    """SHA-256 over the rows of one block, ascending by key: each as the array of key and value."""
    return sha256(b"".join(map(encode, rows))).digest()


def digests_of(store: Store, start: int, end: int) -> dict[int, bytes]:
    """The digests of the blocks that lie whole in [start, end), from the log alone. Raises Malformed, InvariantBroken."""
    blocks = range(-(-start // BLOCK_EVENTS), end // BLOCK_EVENTS)
    return {block: block_digest(rows) for block, rows in rebuild(store, blocks)}


def stored_digests(store: Store, saved: int) -> tuple[dict[int, bytes], list[bytes]]:
    """The digests of the stored blocks before `saved`, in one scan; and the keys of rows of no such block, the first of them.

    No term is the beginning of another, so a scan meets the rows of each block in their order. Memory is bounded by the
    number of blocks.
    """
    hashes = {block.to_bytes(4): sha256() for block in range(saved // BLOCK_EVENTS)}
    strays: list[bytes] = []
    for row in store.scan("index"):
        known = hashes.get(row[0][-4:])
        if known is not None:
            known.update(encode(row))
        elif len(strays) < STRAYS_NAMED:
            strays.append(row[0])
    return {int.from_bytes(block): known.digest() for block, known in hashes.items()}, strays


def compare(store: Store, reader: LogReader, extent: Extent, given: Mapping[int, bytes]) -> Comparison:
    """Compare the saved rows with the digests that the log gives, block by block; name the rows of the first blocks that differ."""
    found, strays = stored_digests(store, extent.saved)
    blocks = range(extent.saved // BLOCK_EVENTS)
    unknown = [block for block in blocks if block not in given]
    wrong = [block for block in blocks if block in given and found.get(block) != given[block]]
    differences = [extent.wrong] if extent.wrong else []
    named = wrong[:BLOCKS_NAMED]
    differences += _differences(store, named)
    left_out = [extent.left_out] if extent.left_out else []
    if len(wrong) > len(named):
        differences.append(f"the index rows of {len(wrong) - len(named)} more blocks are not what the log gives")
    if strays and (extent.covered or not extent.left_out):
        since = max(
            read_extent(store, reader).covered, extent.covered, extent.saved
        )  # a follower here may have gone on
        differences += [
            f"index row {key.hex()} is extra" for key in strays if len(key) < 4 or _block(key) * BLOCK_EVENTS >= since
        ]
    if unknown:
        left_out.append(f"the index rows of {len(unknown)} blocks were not compared: their entries do not hold")
    return Comparison(differences, left_out, extent.saved)


def compare_indexes(
    store: Store, reader: LogReader, progress: Callable[[int, int], None] = lambda _done, _size: None
) -> Comparison:
    """Compare the saved rows with what the log gives: the cursor; missing, altered and extra rows. The log is not verified."""
    extent = read_extent(store, reader)
    given: dict[int, bytes] = {}
    for start in range(0, extent.saved, CHECKED_EVENTS):
        given |= digests_of(store, start, min(start + CHECKED_EVENTS, extent.saved))
        progress(min(start + CHECKED_EVENTS, extent.saved), extent.saved)
    return compare(store, reader, extent, given)


def check_indexes(store: Store, reader: LogReader) -> list[str]:
    """Every way in which the saved rows differ from what the log gives, and what was not compared. An empty list: the indexes are
    what the log says, up to their cursor."""
    compared = compare_indexes(store, reader)
    return compared.differences + compared.left_out


def _differences(store: Store, blocks: Sequence[int]) -> list[str]:
    """Missing, altered and extra rows of some blocks, by key."""
    if not blocks:
        return []
    differences: list[str] = []
    expected: set[bytes] = set()
    for _, rows in rebuild(store, blocks):
        keys = [key for key, _ in rows]
        expected.update(keys)
        differences += [
            f"index row {key.hex()} is {_hex(there)}, the log gives {value.hex()}"
            for (key, value), there in zip(rows, store.get_many("index", keys), strict=True)
            if there != value
        ]
    ends = {block.to_bytes(4) for block in blocks}
    extra = [key for key, _ in store.scan("index") if key[-4:] in ends and key not in expected]
    return differences + [f"index row {key.hex()} is extra" for key in extra]


def _hex(value: bytes | None) -> str:
    return "missing" if value is None else value.hex()


def _block(key: bytes) -> int:
    return int.from_bytes(key[-4:])
