"""Audit queries: pages of events by any filter, runs of streams, and lineage. Everything visible is seen, indexed or not.

    page = query(reader, indexes, EventFilter(type="detection.*", source="dex"), order="desc", limit=100)
    page = query(reader, indexes, EventFilter(type="detection.*", source="dex"), order="desc", cursor=page.next_cursor)

A walk over pages sees the log as it was at its first page: the cursor carries that size, and the filter that it is for.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import Literal, TypeVar

import msgspec

from decision_dna.ledger import layout, notes
from decision_dna.ledger.followers import ClaimFacts, EntryFacts, read_stretch
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.indexes import BLOCK_EVENTS, Indexes, Word
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.plan import NO_SALT, SALT_BYTES
from decision_dna.ledger.reader import Event, LogReader
from decision_dna.ledger.store import Store
from decision_dna.ledger.streams import StreamHead
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Claim, Entry, Natural, check_plain_text, decode_claim, decode_entry
from decision_dna.schemas.errors import InvariantBroken, Malformed, NotFound

PAGE_EVENTS_MAX = 1000
PAGE_BYTES_MAX = 8 * 1024 * 1024
"""From so many bytes of entries and payloads on a page ends, with the event that reached them."""
READ_EVENTS = 128
"""Events that are read at a time for a page: of the largest, 32 MiB."""
NO_END = 2**63 - 1

Order = Literal["asc", "desc"]
Direction = Literal["causes", "effects", "both"]


class EventFilter(msgspec.Struct, frozen=True, array_like=True):
    """What events to find; what is empty does not matter. Times are recorded_at in ns; ranges include their beginning and not their end.

    `type` is a type, or a family of them as `detection.*` (not `detection` itself). `correlation` is a trace id, `cause` an event id.
    """

    type: str = ""
    source: str = ""
    subject: str = ""
    stream: str = ""
    correlation: str = ""
    cause: bytes = b""
    time_from: int = 0
    time_to: int = NO_END
    from_seq: int = 0
    to_seq: int = NO_END


class Page(msgspec.Struct, frozen=True):
    """Events in order; the cursor of the next page, None at the end; and the head under which the whole walk reads.

    Events before `indexed_to` were found by index rows, those from there on by reading the log.
    """

    events: list[Event]
    next_cursor: str | None
    checkpoint: Locked
    indexed_to: int


class CursorState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a cursor says: the size of the walk, the seq after the last event (before it, for `desc`), and for which filter."""

    size: Natural
    at: Natural
    filter_digest: bytes


_cursors = msgspec.msgpack.Decoder(CursorState)

_TRACE_ID = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")
Test = Callable[[Entry | EntryFacts, Claim | ClaimFacts], bool]


# --- pages ---------------------------------------------------------------------------------------------------------


def query(
    reader: LogReader,
    indexes: Indexes,
    wanted: EventFilter,
    *,
    order: Order = "asc",
    limit: int = 100,
    cursor: str | None = None,
) -> Page:
    """The next page. Raises Malformed for a term that can't be one, a limit not in 1…1,000, and a cursor of another filter, order or log."""
    if not 1 <= limit <= PAGE_EVENTS_MAX:
        raise Malformed(f"a page has 1 to {PAGE_EVENTS_MAX} events, not {limit}")
    check_filter(wanted)
    digest = sha256(codec.encode((wanted, order))).digest()[:8]
    if cursor is None:
        head = reader.head()
        low, high = 0, head.size
    else:
        state = decode_cursor(cursor, digest)
        head = _head_at(reader, state.size)
        low, high = (state.at, state.size) if order == "asc" else (0, state.at)
    indexed_to = min(indexes.saved(), head.size)
    low, high = _narrowed(reader, indexes, wanted, low, high)
    seqs = find(indexes, wanted, low, high, reverse=order == "desc")
    found, more = _filled(_events(indexes.store, wanted, seqs, min(limit + 1, READ_EVENTS)), limit)
    following = None
    if more:
        at = found[-1].seq + (order == "asc")
        following = encode_cursor(CursorState(head.size, at, digest))
    return Page(found, following, head, indexed_to)


def _filled(events: Iterator[Event], limit: int) -> tuple[list[Event], bool]:
    """As many as a page takes, and whether there are more."""
    found: list[Event] = []
    size = 0
    for event in events:
        if len(found) == limit or size >= PAGE_BYTES_MAX:
            return found, True
        found.append(event)
        size += len(event.raw) + len(event.payload or b"")
    return found, False


def check_filter(wanted: EventFilter) -> None:
    """Raise Malformed where a term can't be one."""
    if "*" in wanted.type.removesuffix(".*"):
        raise Malformed(f"a family of types ends in `.*` and has no other `*`: {wanted.type!r}")
    if wanted.cause and len(wanted.cause) != 16:
        raise Malformed("the id of a cause has 16 bytes")
    if wanted.correlation and not _TRACE_ID.fullmatch(wanted.correlation):
        raise Malformed(f"a trace id is 32 hex digits in lower case, not {wanted.correlation!r}")
    for text in (wanted.type, wanted.source, wanted.subject, wanted.stream):
        check_plain_text(text, "a filter", 256)


def find(indexes: Indexes, wanted: EventFilter, low: int, high: int, *, reverse: bool = False) -> Iterator[int]:
    """The seqs in [low, high), all visible, that a filter's terms want, in order; its ranges do not count. Lazy.

    Of a subject there may be some too many.
    """
    words = filter_words(wanted)
    if not words:
        return iter(range(high - 1, low - 1, -1) if reverse else range(low, high))
    return indexes.candidates(words, low, high, reverse=reverse)


def filter_words(wanted: EventFilter) -> list[Word]:
    """What the indexes are asked for, the rarest first."""
    words: tuple[Word, ...] = (
        ("c", wanted.cause),
        ("r", wanted.correlation),
        ("j", wanted.subject),
        ("m", wanted.stream),
        ("s", wanted.source),
        ("t", wanted.type),
    )
    return [word for word in words if word[1]]


def filter_tests(wanted: EventFilter) -> list[Test]:
    """The same as questions to an event."""
    family = wanted.type.removesuffix("*")
    is_wanted_type: Test = (
        (lambda _, claim: claim.type == family)
        if family == wanted.type
        else (lambda _, claim: claim.type.startswith(family))
    )
    tests: tuple[tuple[object, Test], ...] = (
        (wanted.cause, lambda _, claim: wanted.cause in claim.causes),
        (wanted.correlation, lambda _, claim: claim.trace[3:35] == wanted.correlation),
        (wanted.subject, lambda _, claim: claim.subject == wanted.subject),
        (wanted.stream, lambda entry, _: entry.stream == wanted.stream),
        (wanted.source, lambda _, claim: claim.source == wanted.source),
        (wanted.type, is_wanted_type),
    )
    return [test for value, test in tests if value]


def _events(store: Store, wanted: EventFilter, seqs: Iterator[int], portion: int) -> Iterator[Event]:
    """The events of seqs that really match, read so many at a time."""
    tests = filter_tests(wanted)
    while some := list(islice(seqs, portion)):
        for event in read_events(store, some):
            if all(test(event.entry, event.claim) for test in tests):
                yield event


def _narrowed(reader: LogReader, indexes: Indexes, wanted: EventFilter, low: int, high: int) -> tuple[int, int]:
    """[low, high) within the ranges of seq and time: recorded_at never goes back."""
    low, high = max(low, wanted.from_seq), min(high, wanted.to_seq)
    if wanted.time_from > 0:
        low = max(low, indexes.seq_after(reader, wanted.time_from - 1))
    if wanted.time_to < NO_END:
        high = min(high, indexes.seq_after(reader, wanted.time_to - 1))
    return low, max(low, high)


# --- cursors -------------------------------------------------------------------------------------------------------


def encode_cursor(state: CursorState) -> str:
    """URL-safe text."""
    return base64.urlsafe_b64encode(codec.encode(state)).decode().rstrip("=")


def decode_cursor(cursor: str, digest: bytes) -> CursorState:
    """Raises Malformed unless it is a cursor for the filter and order of this digest."""
    try:
        data = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        state = codec.decode_as(_cursors, data)
    except (UnicodeEncodeError, binascii.Error, Malformed):
        raise Malformed("not a cursor: pass the one that the page before named") from None
    if state.filter_digest != digest:
        raise Malformed("the cursor is of another query: filter and order stay the same from page to page")
    if state.at > state.size:
        raise Malformed("not a cursor: it is past its own end")
    return state


def _head_at(reader: LogReader, size: int) -> Locked:
    """The head that was signed at a size. Raises Malformed where there was none: the cursor is not of this log."""
    head = reader.head()
    if size == head.size:
        return head
    try:
        note = reader.note_of(size)
    except NotFound:
        raise Malformed(f"the cursor is of another log: this one never had a head of size {size}") from None
    checkpoint = notes.note_of(note)
    return Locked(checkpoint.origin, checkpoint.size, checkpoint.root, note.decode())


# --- events in bulk ------------------------------------------------------------------------------------------------


def read_events(store: Store, seqs: Sequence[int]) -> list[Event]:
    """The visible events at these seqs, in their order: `LogReader.event` for many at once, at a fraction of the cost."""
    raws = _from_runs(store, "entries", seqs, _entries_in_run)
    entries = {seq: decode_entry(raw) for seq, raw in raws.items()}
    sealed = [seq for seq in seqs if not entries[seq].open]
    stored = _from_runs(store, "payloads", sealed, _payloads_in_run)
    return [_event(raws[seq], entries[seq], stored.get(seq)) for seq in seqs]


def _event(raw: bytes, entry: Entry, stored: bytes | tuple[bytes] | None) -> Event:
    claim = decode_claim(entry.claim)
    if entry.open:
        return Event(raw, entry, claim, entry.open, NO_SALT)
    if isinstance(stored, bytes):
        return Event(raw, entry, claim, stored[SALT_BYTES:], stored[:SALT_BYTES])
    return Event(raw, entry, claim, None, None)


def _from_runs(
    store: Store, family: str, seqs: Sequence[int], pick: Callable[[bytes, int, list[int], dict[int, T]], None]
) -> dict[int, T]:
    """What runs hold for each seq. In a log that grows in bulk runs begin at multiples of 32, in one that grows event by event
    at the event itself: both are asked for before anything is searched."""
    found: dict[int, T] = {}
    for alignment in (layout.RUN_EVENTS, 1):
        by_run: dict[int, list[int]] = {}
        for seq in seqs:
            by_run.setdefault(seq - seq % alignment, []).append(seq)
        runs = store.get_many(family, [layout.seq_key(first) for first in by_run])
        for (first, wanted), run in zip(by_run.items(), runs, strict=True):
            if run is not None:  # it may end before some of them: the next guess finds those
                pick(run, first, wanted, found)
        seqs = [seq for seq in seqs if seq not in found]
        if not seqs:
            return found
    for seq in seqs:
        key, run = store.last(family, layout.seq_key(seq)) or (bytes(8), b"")
        pick(run, int.from_bytes(key), [seq], found)
        if seq not in found:
            raise InvariantBroken(f"{family} of {seq} is not in the store")
    return found


def _entries_in_run(run: bytes, first: int, wanted: list[int], found: dict[int, bytes]) -> None:
    """Steps over the entries that nobody wants, without copying them; ends where the run does."""
    seq, at = first, 0
    for each in sorted(wanted):
        try:
            while seq < each:
                at += 2 + (run[at] << 8 | run[at + 1])
                seq += 1
            end = at + 2 + (run[at] << 8 | run[at + 1])
        except IndexError:
            return
        if end > len(run):
            return
        found[each] = run[at + 2 : end]


def _payloads_in_run(run: bytes, first: int, wanted: list[int], found: dict[int, bytes | tuple[bytes] | None]) -> None:
    payloads = layout.split_payloads(run) if run else []
    found.update((seq, payloads[seq - first]) for seq in wanted if seq - first < len(payloads))


# --- streams -------------------------------------------------------------------------------------------------------


def stream_run(
    reader: LogReader, indexes: Indexes, stream: str, start_seq: int, limit: int
) -> tuple[list[Event], bool]:
    """Return the events of a stream from its `start_seq`-th on, without a gap, and whether there are more.

    At most `limit` (1…1,000), and no more once they have `PAGE_BYTES_MAX`. Raises Malformed, InvariantBroken.
    """
    if not 1 <= limit <= PAGE_EVENTS_MAX or start_seq < 0:
        raise Malformed(f"a run has 1 to {PAGE_EVENTS_MAX} events from a stream_seq of at least 0")
    size, saved = reader.size, indexes.saved()
    place = indexes.place_of(stream, start_seq)
    low, first = (saved, 0) if place is None else (place[0] * BLOCK_EVENTS, place[1])
    seqs = find(indexes, EventFilter(stream=stream), low, size)
    skip = start_seq - first
    following = _events(indexes.store, EventFilter(), islice(seqs, skip, None), min(limit + 1, READ_EVENTS))
    events, more = _filled(following, limit)
    for expected, event in enumerate(events, start_seq):
        if event.entry.stream != stream or event.entry.stream_seq != expected:
            raise InvariantBroken(f"event {event.seq} is not number {expected} of stream {stream}: rebuild the indexes")
    return events, more


def stream_heads(reader: LogReader, store: Store) -> dict[str, StreamHead]:
    """The heads of all streams as of the visible size: (next stream_seq, H_entry of the last entry).

    The store may be ahead of what is visible, by the entries of one commit: those say what stood before them.
    """
    size = reader.size
    heads = {name.decode(): layout.decode_head(value) for name, value in store.scan("streams")}
    tip = layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"")
    hidden = read_stretch(store, size, tip.size).entries if tip.size > size else []
    for entry in reversed(hidden):
        heads[entry.stream] = (entry.stream_seq, entry.stream_prev)
    return {name: head for name, head in heads.items() if head[0] > 0}


def heads_before(reader: LogReader, store: Store, indexes: Indexes, seq: int) -> dict[str, StreamHead]:
    """The heads of all streams as an entry at `seq` had them before it: what a heartbeat there commits to."""
    heads: dict[str, StreamHead] = {}
    for stream in stream_heads(reader, store):
        last = next(find(indexes, EventFilter(stream=stream), 0, seq, reverse=True), None)
        if last is not None:
            raw = reader.raw(last)
            heads[stream] = (decode_entry(raw).stream_seq + 1, entry_hash(raw))
    return heads


# --- lineage -------------------------------------------------------------------------------------------------------


class Lineage(msgspec.Struct, frozen=True):
    """Events by seq; (cause, effect) pairs of their seqs; whether the graph goes on past the depth or the limit; the head it was
    read under; and up to which seq effects were found by index rows, and from which on by reading the log."""

    nodes: list[Event]
    edges: list[tuple[int, int]]
    truncated: bool
    checkpoint: Locked
    indexed_to: int


def lineage(
    reader: LogReader, indexes: Indexes, seq: int, direction: Direction = "both", *, depth: int = 8, limit: int = 200
) -> Lineage:
    """What led to an event, and what it led to: causes of causes, effects of effects, the nearest first. Raises NotFound, Malformed."""
    if not (0 <= depth <= PAGE_EVENTS_MAX and 1 <= limit <= PAGE_EVENTS_MAX):
        raise Malformed(f"depth is at most {PAGE_EVENTS_MAX}, limit 1 to {PAGE_EVENTS_MAX}")
    head = reader.head()
    indexed_to = min(indexes.saved(), head.size)
    root = reader.event(seq)
    graph = _Graph(reader, indexes, head.size, limit)
    graph.nodes[seq] = root
    if direction in ("causes", "both"):
        graph.spread(root, graph.causes, depth)
    if direction in ("effects", "both"):
        graph.spread(root, graph.effects, depth)
    nodes = [graph.nodes[at] for at in sorted(graph.nodes)]
    return Lineage(nodes, sorted(graph.edges), graph.truncated, head, indexed_to)


class _Graph:
    """A lineage in the making."""

    def __init__(self, reader: LogReader, indexes: Indexes, size: int, limit: int) -> None:
        self.nodes: dict[int, Event] = {}
        self.edges: set[tuple[int, int]] = set()
        self.truncated = False
        self._bytes = 0
        self._reader, self._indexes, self._size, self._limit = reader, indexes, size, limit

    def spread(self, root: Event, edges_of: Callable[[Event], Iterable[tuple[int, int]]], depth: int) -> None:
        """Level by level; the one past the depth is only looked for."""
        level = [root]
        for distance in range(depth + 1):
            room = self._limit - len(self.nodes) if distance < depth else 0
            found = {edge: edge[0] if edge[1] == event.seq else edge[1] for event in level for edge in edges_of(event)}
            unseen = list(dict.fromkeys(other for other in found.values() if other not in self.nodes))
            self.truncated |= len(unseen) > room
            level = self._read(unseen[:room])
            self.nodes.update((event.seq, event) for event in level)
            self.edges.update(edge for edge, other in found.items() if other in self.nodes)

    def _read(self, seqs: list[int]) -> list[Event]:
        """The events, as long as all nodes together have fewer than `PAGE_BYTES_MAX`."""
        found: list[Event] = []
        for event in _events(self._indexes.store, EventFilter(), iter(seqs), READ_EVENTS):
            if self._bytes >= PAGE_BYTES_MAX:
                self.truncated = True
                break
            found.append(event)
            self._bytes += len(event.raw) + len(event.payload or b"")
        return found

    def causes(self, event: Event) -> Iterator[tuple[int, int]]:
        """Edges to it."""
        for cause in event.claim.causes:
            found = self._reader.seq_of_id(cause)
            if found is not None and found < event.seq:
                yield found, event.seq

    def effects(self, event: Event) -> Iterator[tuple[int, int]]:
        """Edges from it, one more than the limit at most. Where several sources used one id, it names the first event that has it."""
        if self._reader.seq_of_id(event.claim.id) != event.seq:
            return
        wanted = EventFilter(cause=event.claim.id)
        for effect in islice(find(self._indexes, wanted, event.seq + 1, self._size), self._limit + 1):
            yield event.seq, effect
