"""The rows that a writer goes on from: heads of streams, counters of authors, and ids (docs/format.md, section 11).

They follow from the entries. A writer that continues from a wrong row appends an entry that verification rejects for
ever, so start-up compares them before the first append:

    streams, authors   with the positions that the log key signed (`ledger.accounting`), after the entries since are folded in
    ids                the row of every entry since, and the highest of all

Ids of entries before that are not compared at start: that would read the whole family. The writer proves such a row at
the entry that it names, when it first needs it. A row that is missing there is found by verification alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated

import msgspec

from decision_dna.ledger import layout, merkle
from decision_dna.ledger.authority import AuthorCounter, counter_from
from decision_dna.ledger.hashing import claim_hash, entry_hash
from decision_dna.ledger.store import Store
from decision_dna.ledger.streams import StreamHead, list_leaves, list_root
from decision_dna.schemas import codec
from decision_dna.schemas.claims import CLAIMS, ENTRIES, Hash, Natural
from decision_dna.schemas.errors import Malformed
from decision_dna.schemas.texts import id_text

ID_BYTES = 16
ID_KEY_MAX = b"\xff" * 81

KeyId = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
EventId = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]


class Positions(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a log stands after some entries: its highest id, the list of its stream heads, and `(key_id, next author_seq,
    H_claim of the last claim)` of every author, ascending."""

    highest_id: EventId
    streams_count: Natural
    streams_root: Hash
    authors: tuple[tuple[KeyId, Natural, Hash], ...]


NOWHERE = Positions(bytes(ID_BYTES), 0, merkle.EMPTY_ROOT, ())
"""Before the first entry."""


def positions_of(
    highest_id: bytes, streams: Mapping[str, StreamHead], authors: Mapping[bytes, AuthorCounter]
) -> Positions:
    """Positions from heads and counters."""
    leaves = list_leaves(streams)
    counters = tuple((key_id, *authors[key_id]) for key_id in sorted(authors))
    return Positions(highest_id, len(leaves), list_root(leaves), counters)


def read_positions(store: Store) -> Positions:
    """Positions as the rows have them: for the writer, which compared them at its start. Raises Malformed."""
    return positions_of(_highest_row(store), stream_rows(store), _author_rows(store))


class PositionFold:
    """Folds entries, in their order, into the positions before them."""

    def __init__(self, start: Positions) -> None:
        self.start, self.highest_id = start, start.highest_id
        self.before: dict[str, StreamHead] = {}
        self._last: dict[
            str, tuple[int, bytes]
        ] = {}  # by stream, its next stream_seq and last entry; hashed when asked for
        self._spoke: dict[bytes, tuple[int, bytes]] = {}  # by author, the last author_seq and claim; likewise

    def add(self, first: int, entries: Sequence[bytes]) -> dict[bytes, bytes]:
        """Fold entries, the first of which has seq `first`. Returns their rows of the family `ids`. Raises Malformed."""
        before, last, ids = self.before, self._last, dict[bytes, bytes]()
        try:
            for seq, raw in enumerate(entries, first):
                entry = ENTRIES.decode(raw)
                claim = CLAIMS.decode(entry.claim)
                if entry.stream not in before:
                    before[entry.stream] = (entry.stream_seq, entry.stream_prev)
                last[entry.stream] = (entry.stream_seq + 1, raw)
                if entry.attestation == "author":
                    self._spoke[entry.key_id] = (claim.author_seq, entry.claim)
                ids[claim.id + claim.source.encode()] = seq.to_bytes(8)
        except codec.NOT_DECODED as error:
            raise Malformed(f"an entry of [{first}, {first + len(entries)}) can't be read: {error}") from None
        self.highest_id = max(self.highest_id, max(ids, default=b"")[:ID_BYTES])
        return ids

    @property
    def after(self) -> dict[str, StreamHead]:
        """The heads of the streams that the entries moved."""
        return {stream: (next_seq, entry_hash(raw)) for stream, (next_seq, raw) in self._last.items()}

    @property
    def authors(self) -> dict[bytes, AuthorCounter]:
        """The counters of all authors."""
        counters = {key_id: (seq, head) for key_id, seq, head in self.start.authors}
        return counters | {key: counter_from(seq, claim_hash(claim)) for key, (seq, claim) in self._spoke.items()}

    def copy(self) -> "PositionFold":
        """The fold as it is now."""
        copied = PositionFold(self.start)
        copied.highest_id, copied.before = self.highest_id, dict(self.before)
        copied._last, copied._spoke = dict(self._last), dict(self._spoke)
        return copied


def positions_at(store: Store, there: PositionFold, end: PositionFold) -> Positions:
    """Positions where one fold ended, in a store whose rows are those where a longer one did. Raises Malformed."""
    heads = _heads_before(stream_rows(store), end) | there.after
    return positions_of(there.highest_id, heads, there.authors)


def _heads_before(rows: dict[str, StreamHead], fold: PositionFold) -> dict[str, StreamHead]:
    """The rows of streams as they were before the folded entries."""
    heads = rows | fold.before
    return {stream: head for stream, head in heads.items() if head[0] or stream not in fold.before}


# --- comparing -----------------------------------------------------------------------------------------------------


def check_ids(store: Store, due: Mapping[bytes, bytes]) -> None:
    """Raise Malformed unless the family `ids` has these rows."""
    for key, found in wrong_ids(store, due):
        raise Malformed(
            f"the row of id {id_text(key[:ID_BYTES])} is {found.hex() if found else 'missing'}, "
            f"its entry is {int.from_bytes(due[key])}"
        )


def wrong_ids(store: Store, due: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    """The keys of `ids` that do not lead where they must, each with what is there.

    Ids are in order of time, so a scan from the first to the last meets little else; what a scan of twice as many rows does not
    meet is looked up.
    """
    if not due:
        return
    near = dict(islice(store.scan("ids", min(due), max(due) + b"\0"), 2 * len(due)))
    if due.items() <= near.items():
        return
    keys = list(due)
    for key, found in zip(keys, store.get_many("ids", keys), strict=True):
        if found != due[key]:
            yield key, found


def check_rows(store: Store, fold: PositionFold) -> None:
    """Raise Malformed unless the rows of streams and authors, and the highest id, are what a fold to the last entry gives."""
    rows = stream_rows(store)
    for stream, head in fold.after.items():
        if rows.get(stream) != head:
            raise Malformed(f"the row of stream {stream} is {_text(rows.get(stream))}, the entries give {_text(head)}")
    leaves = list_leaves(_heads_before(rows, fold))
    signed = fold.start.streams_count, fold.start.streams_root
    if (len(leaves), list_root(leaves)) != signed:
        raise Malformed(
            f"the rows of streams were {len(leaves)} with root {list_root(leaves).hex()}, not {_text(signed)}"
        )
    authors = _author_rows(store)
    for key_id in sorted({*authors, *fold.authors}):
        have, want = authors.get(key_id), fold.authors.get(key_id)
        if have != want:
            raise Malformed(f"the row of author {key_id.hex()} is {_text(have)}, the entries give {_text(want)}")
    if (highest := _highest_row(store)) != fold.highest_id:
        raise Malformed(f"the highest id is {highest.hex()}, the entries give {fold.highest_id.hex()}")


def _text(head: tuple[int, bytes] | None) -> str:
    return "missing" if head is None else f"({head[0]}, {head[1].hex()})"


def stream_rows(store: Store) -> dict[str, StreamHead]:
    """The rows of all streams. Raises Malformed."""
    try:
        return {name.decode(): layout.decode_head(value) for name, value in store.scan("streams")}
    except UnicodeDecodeError as error:
        raise Malformed(f"a row of streams has no name: {error}") from None


def _author_rows(store: Store) -> dict[bytes, AuthorCounter]:
    return {key_id: layout.decode_head(value) for key_id, value in store.scan("authors")}


def _highest_row(store: Store) -> bytes:
    found = store.last("ids", ID_KEY_MAX)
    return bytes(ID_BYTES) if found is None else found[0][:ID_BYTES]
