"""Reading the visible log: entries, payloads, hashes and proofs, up to the lock's size and never past it.

One reader serves many threads. `visible` says the head that may be seen: the writer's own in its process, the lock's
in every other.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from uuid import UUID

import msgspec

from decision_dna.ledger import layout, merkle
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.pace import Beat
from decision_dna.ledger.store import Store
from decision_dna.schemas.claims import Claim, Entry, decode_claim, decode_entry
from decision_dna.schemas.errors import InvariantBroken, NotFound
from decision_dna.schemas.ledgering import HEARTBEAT

ROWS_CACHED = 256
SEQ_MAX = 2**63 - 1
SEQ_DIGITS_MAX = len(str(SEQ_MAX))
_BEAT_MARK = HEARTBEAT.encode()
"""Stands in every heartbeat; other entries that have it are looked at more closely."""


class Event(msgspec.Struct, frozen=True):
    """One event as it stands: the entry's bytes, decoded, with its claim and what is left of its payload."""

    raw: bytes
    entry: Entry
    claim: Claim
    payload: bytes | None
    salt: bytes | None

    @property
    def seq(self) -> int:
        """Its place."""
        return self.entry.seq


class LogReader:
    """The visible log in a store."""

    def __init__(self, store: Store, visible: Callable[[], Locked]) -> None:
        self._store = store
        self._visible = visible
        self._full_rows = lru_cache(maxsize=ROWS_CACHED)(self._read_hashes)

    def head(self) -> Locked:
        """The newest visible head."""
        return self._visible()

    @property
    def size(self) -> int:
        """How many entries are visible."""
        return self._visible().size

    def raw(self, seq: int) -> bytes:
        """The bytes of one entry. Raises NotFound past the visible size."""
        self._check_visible(seq)
        return self._raw(seq)

    def raws(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes of the entries [start, end), as far as they are visible."""
        end = min(end, self.size)
        at = start
        while at < end:
            for entry in self.run_at(at, end):
                yield entry
                at += 1

    def run_at(self, seq: int, end: int) -> list[bytes]:
        """The entries from `seq` on that lie in one run, before `end`."""
        first, run = self._run("entries", seq)
        entries = layout.split_entries(run)[seq - first : end - first]
        if not entries:
            raise InvariantBroken(f"entry {seq} is not in the store")
        return entries

    def stored_payload(self, seq: int) -> bytes | tuple[bytes] | None:
        """salt ‖ payload; a tuple with the retry tag where erased; None for open types."""
        self._check_visible(seq)
        first, run = self._run("payloads", seq)
        payloads = layout.split_payloads(run)
        if seq - first >= len(payloads):
            raise InvariantBroken(f"payload {seq} is not in the store")
        return payloads[seq - first]

    def event(self, seq: int) -> Event:
        """One event. Raises NotFound."""
        raw = self.raw(seq)
        entry = decode_entry(raw)
        claim = decode_claim(entry.claim)
        if entry.open:
            return Event(raw, entry, claim, entry.open, bytes(16))
        stored = self.stored_payload(seq)
        if isinstance(stored, bytes):
            return Event(raw, entry, claim, stored[16:], stored[:16])
        return Event(raw, entry, claim, None, None)

    def last_beat(self, entries_max: int | None = None) -> Beat | None:
        """The newest heartbeat, or genesis, among the last `entries_max` entries (of all, if None). Raises Malformed for damaged entries."""
        end = self.size
        start = 0 if entries_max is None else max(0, end - entries_max)
        for key, run in self._store.scan("entries", b"", layout.seq_key(end), reverse=True):
            first = int.from_bytes(key)
            if _BEAT_MARK in run or first == 0:
                for seq, raw in reversed(list(enumerate(layout.split_entries(run), first))):
                    if seq < end and (seq == 0 or _BEAT_MARK in raw):
                        entry = decode_entry(raw)
                        if seq == 0 or decode_claim(entry.claim).type == HEARTBEAT:
                            return Beat(seq, entry.recorded_at)
            if first <= start:
                return None
        return None

    def seq_of_id(self, event_id: bytes, source: str | None = None) -> int | None:
        """The place of an event by its id (and source, where two sources use one id, else the earliest)."""
        if source is not None:
            found = self._store.get("ids", layout.id_key(event_id, source))
            seqs = [] if found is None else [int.from_bytes(found)]
        else:
            end = (int.from_bytes(event_id) + 1).to_bytes(17)[1:]
            seqs = [int.from_bytes(value) for _, value in self._store.scan("ids", event_id, end)]
        visible = [seq for seq in seqs if seq < self.size]
        return min(visible, default=None)

    def has_id(self, event_id: bytes) -> bool:
        """Whether any visible event has the id; looks at no more rows than it must."""
        end = (int.from_bytes(event_id) + 1).to_bytes(17)[1:]
        return any(int.from_bytes(value) < self.size for _, value in self._store.scan("ids", event_id, end))

    def proves_id(self, event_id: bytes) -> bool:
        """Whether any visible event has the id, by the entries that its rows name: a row alone may have been put there."""
        end = (int.from_bytes(event_id) + 1).to_bytes(17)[1:]
        seqs = (int.from_bytes(value) for _, value in self._store.scan("ids", event_id, end))  # one is enough
        return any(decode_claim(decode_entry(self._raw(seq)).claim).id == event_id for seq in seqs if seq < self.size)

    def resolve(self, name: str) -> int:
        """The seq of an event by what people type: a seq, an id, or a fingerprint. Raises NotFound."""
        if name.isascii() and name.isdigit():
            # Python reads no number of more than 4,300 digits: one that is too long is past every end.
            seq = int(name) if len(name) <= SEQ_DIGITS_MAX else SEQ_MAX
            self._check_visible(seq)
            return seq
        try:
            value = UUID(name)
        except ValueError:
            raise NotFound(f"{name!r} is neither a seq, nor an event id, nor a fingerprint") from None
        if value.version == 8:
            from decision_dna.ledger.fingerprint import fingerprint, fingerprint_seq

            seq = fingerprint_seq(value)
            if seq < self.size and fingerprint(seq, self._raw(seq)) == value:
                return seq
            raise NotFound(f"no event has the fingerprint {name}")
        seq_found = self.seq_of_id(value.bytes)
        if seq_found is None:
            raise NotFound(f"no event has the id {name}")
        return seq_found

    def seq_after(self, recorded_at: int) -> int:
        """The first seq recorded after a time: recorded_at never goes back, so this is a binary search."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            if decode_entry(self._raw(middle)).recorded_at <= recorded_at:
                low = middle + 1
            else:
                high = middle
        return low

    def heads(self) -> list[int]:
        """The sizes of all kept heads, ascending, the newest included."""
        newest = self.head().size
        return [size for key, _ in self._store.scan("heads") if (size := int.from_bytes(key)) < newest] + [newest]

    def note_of(self, size: int) -> bytes:
        """The checkpoint that was signed at a size. Raises NotFound."""
        head = self.head()
        if size == head.size:
            return head.note.encode()
        note = self._store.get("heads", layout.seq_key(size)) if size < head.size else None
        if note is None:
            raise NotFound(f"no head of size {size} was signed; sizes are those of commits")
        return note

    def hashes(self, level: int, start: int, end: int) -> list[bytes]:
        """A row of the tree: the hashes at height 8·level with indexes [start, end). Full rows of 256 are cached."""
        row = start // merkle.TILE_WIDTH
        if start == row * merkle.TILE_WIDTH and end == start + merkle.TILE_WIDTH:
            return self._full_rows(level, start, end)
        return self._read_hashes(level, start, end)

    def _read_hashes(self, level: int, start: int, end: int) -> list[bytes]:
        if level == 0:
            return [merkle.leaf_hash(entry) for entry in self._raws_unchecked(start, end)]
        height = level * merkle.TILE_HEIGHT
        found = self._store.scan("nodes", layout.node_key(height, start), layout.node_key(height, end))
        hashes = [value for _, value in found]
        if len(hashes) != end - start:
            raise InvariantBroken(f"tree nodes [{start}, {end}) of level {level}: the store has {len(hashes)}")
        return hashes

    def nodes(self, nodes: list[merkle.Node]) -> list[bytes]:
        """The hashes of full subtrees, from the rows of tiles: what proofs ask for."""
        return [self._node(height, index) for height, index in nodes]

    def _node(self, height: int, index: int) -> bytes:
        level, above = divmod(height, merkle.TILE_HEIGHT)
        start, end = index << above, (index + 1) << above
        tile = start // merkle.TILE_WIDTH * merkle.TILE_WIDTH
        if (tile + merkle.TILE_WIDTH) << (level * merkle.TILE_HEIGHT) <= self.size:
            row = self._full_rows(level, tile, tile + merkle.TILE_WIDTH)
            return merkle.tree_root(row[start - tile : end - tile])
        return merkle.tree_root(self._read_hashes(level, start, end))

    def frontier(self, size: int) -> merkle.Frontier:
        """The tree of the first `size` entries."""
        return merkle.Frontier.of(size, self.nodes(merkle.cover(0, size)))

    def prove_inclusion(self, seq: int, size: int) -> list[bytes]:
        """Proof that entry `seq` is in the tree of `size`. Raises NotFound."""
        if not 0 <= seq < size <= self.size:
            raise NotFound(f"no entry {seq} in a tree of size {size}; {self.size} are visible")
        return merkle.prove_inclusion(seq, size, self.nodes)

    def prove_consistency(self, size1: int, size2: int) -> list[bytes]:
        """Proof that the tree of `size1` is the beginning of that of `size2`. Raises NotFound."""
        if not 0 < size1 <= size2 <= self.size:
            raise NotFound(f"no consistency from size {size1} to {size2}; {self.size} are visible")
        return merkle.prove_consistency(size1, size2, self.nodes)

    def tile(self, level: int, index: int, width: int) -> bytes:
        """A tile of hashes (docs/format.md, section 9). Raises NotFound past the visible size."""
        start = index * merkle.TILE_WIDTH
        have = (self.size >> (level * merkle.TILE_HEIGHT)) - start if level < 8 else 0
        if not 1 <= width <= min(merkle.TILE_WIDTH, have):
            raise NotFound(f"no tile {level}/{index} of width {width} in a tree of size {self.size}")
        return b"".join(self.hashes(level, start, start + width))

    def bundle(self, index: int, width: int) -> bytes:
        """A bundle of entries, each u16 length ‖ entry. Raises NotFound past the visible size."""
        start = index * merkle.TILE_WIDTH
        if not 1 <= width <= min(merkle.TILE_WIDTH, self.size - start):
            raise NotFound(f"no entry bundle {index} of width {width} in a tree of size {self.size}")
        return layout.join_entries(list(self.raws(start, start + width)))

    def _check_visible(self, seq: int) -> None:
        if not 0 <= seq < self.size:
            raise NotFound(f"no event {seq}; the log has {self.size}")

    def _raw(self, seq: int) -> bytes:
        return self.run_at(seq, seq + 1)[0]

    def _raws_unchecked(self, start: int, end: int) -> Iterator[bytes]:
        at = start
        while at < end:
            entries = self.run_at(at, end)
            yield from entries
            at += len(entries)

    def _run(self, family: str, seq: int) -> tuple[int, bytes]:
        found = self._store.last(family, layout.seq_key(seq))
        if found is None:
            raise InvariantBroken(f"no run of {family} holds seq {seq}")
        return int.from_bytes(found[0]), found[1]


def nearest_head(sizes: list[int], size: int) -> int | None:
    """The smallest kept head that covers `size` entries."""
    at = bisect_right(sizes, size - 1)
    return sizes[at] if at < len(sizes) else None
