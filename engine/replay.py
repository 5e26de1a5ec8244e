"""Replay: fold a state from the log alone, and hold it against every commitment to it (docs/format.md, section 13; step 10).

What followers keep is not read, so it can be compared by the same fold (`Kept`). One thing a replay cannot
know: what erased payloads said. A state folded without them that differs is reported as unknown, and not as wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, Protocol

import msgspec

from decision_dna.engine.projections import (
    SAVE_EVENTS,
    Projection,
    decode_snapshot,
    encode_snapshot,
    fold_stretch,
    read_rows,
    snapshot_prefix,
    state_prefix,
)
from decision_dna.ledger import hashing, layout
from decision_dna.ledger.audit import Check, Extra
from decision_dna.ledger.followers import (
    REBUILD_KEY,
    STRETCH_EVENTS,
    Cursor,
    Stretch,
    after_prefix,
    cursor_key,
    fits,
    read_cursor,
    stretch_of,
    stretches,
)
from decision_dna.ledger.indexes import NAME as INDEXES
from decision_dna.ledger.indexes import Indexes
from decision_dna.ledger.queries import EventFilter, find
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.sources import Source
from decision_dna.ledger.state import StateMap
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Finding, Joint, Step
from decision_dna.schemas import codec
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import BadInput, FoldFailed, LedgerError, Malformed
from decision_dna.schemas.payloads import kind_of
from decision_dna.schemas.stating import STATE, StateCommitted

NOTE_TYPES = frozenset({STATE})
ROWS_NAMED = 1000


class Commitment(msgspec.Struct, frozen=True):
    """An `engine.state` entry and its seq."""

    seq: int
    said: StateCommitted


class Compared(msgspec.Struct, frozen=True):
    """A commitment, and what the log gives in its place. `unknown`: they differ, but payloads that went into it are erased."""

    commitment: Commitment
    root: bytes
    entries: int
    outcome: Literal["equal", "different", "unknown"]


class Replayed(msgspec.Struct, frozen=True):
    """A state folded from all entries with seq < `as_of`, every commitment compared on the way, and how many payloads were gone.

    Where the fold failed, `as_of` is the seq of the event, there is no state (no root, no rows), and the commitments to
    later states are not compared.
    """

    root: bytes
    as_of: int
    entries: int
    erased: int
    compared: list[Compared]
    rows: list[tuple[bytes, bytes]]
    failed: FoldFailed | None = None


class Folded(msgspec.Struct, frozen=True):
    """A state on the way; it goes on changing when the next is asked for."""

    as_of: int
    state: StateMap
    erased: int


# --- the fold ------------------------------------------------------------------------------------------------------


def states(
    events: Iterable[Stretch], projection: Projection, stops: Iterable[int], start: tuple[int, StateMap] | None = None
) -> Iterator[Folded]:
    """The states at the stops that lie in the events, ascending, and at their end. `events` begin where `start` is (0, empty)."""
    at, state = start or (0, StateMap())
    erased, due = 0, sorted(set(stops), reverse=True)
    for stretch in events:
        while due and due[-1] < stretch.end:
            stop = due.pop()
            if stop >= at:
                erased += fold_stretch(projection, state, stretch.between(at, stop))[1]
                at = stop
                yield Folded(at, state, erased)
        erased += fold_stretch(projection, state, stretch.between(at, stretch.end))[1]
        at = stretch.end
    yield Folded(at, state, erased)


def replay(
    events: Iterable[Stretch],
    projection: Projection,
    commitments: Sequence[Commitment],
    start: tuple[int, StateMap] | None = None,
    *,
    kept: "Kept | None" = None,
) -> Replayed:
    """Fold events, and compare with the commitments to states on the way, and with the rows that are kept. Pure but for reading."""
    mine = [each for each in commitments if each.said.projection == projection.name]
    mine = [each for each in mine if each.said.version == projection.version]
    compared: list[Compared] = []
    last = Folded(0, StateMap(), 0)
    stops = {each.said.as_of for each in mine} | (kept.stops if kept is not None else set())
    met: set[int] = set()
    try:
        for last in states(events, projection, stops, start):
            if kept is not None and last.as_of not in met:
                kept.meet(last)
                met.add(last.as_of)
            here = [each for each in mine if each.said.as_of == last.as_of]
            known = {each.commitment.seq for each in compared}
            compared += [_compare(each, last) for each in here if each.seq not in known]
    except FoldFailed as error:
        if kept is not None and not kept.stops <= met:
            kept.left_out = f"the rows of {projection.name} were not all compared: {error}"
        return Replayed(b"", error.seq, 0, last.erased, compared, [], error)
    return Replayed(last.state.root(), last.as_of, len(last.state), last.erased, compared, last.state.items())


def _compare(commitment: Commitment, folded: Folded) -> Compared:
    root, entries = folded.state.root(), len(folded.state)
    if (root, entries) == (commitment.said.root, commitment.said.entries):
        return Compared(commitment, root, entries, "equal")
    return Compared(commitment, root, entries, "unknown" if folded.erased else "different")


def replay_log(
    store: Store, reader: LogReader, projection: Projection, to_seq: int | None = None, *, from_snapshot: bool = False
) -> Replayed:
    """Replay what is visible, or the entries before `to_seq`. With `from_snapshot`, from the newest snapshot whose root the log committed to."""
    end = reader.size if to_seq is None else min(to_seq, reader.size)
    commitments = log_commitments(store, reader)
    start = _best_snapshot(store, projection, commitments, end) if from_snapshot else None
    return replay(stretches(store, start[0] if start else 0, end), projection, commitments, start)


def log_commitments(store: Store, reader: LogReader) -> list[Commitment]:
    """The visible `engine.state` entries, found by the index of types: what it hid, verification would find (step 10)."""
    seqs = find(Indexes(store), EventFilter(type=STATE), 0, reader.size)
    return [commitment for seq in seqs if (commitment := _commitment(seq, reader.raw(seq))) is not None]


def _commitment(seq: int, raw: bytes) -> Commitment | None:
    """None for an entry of another type. Raises Malformed, UnknownType."""
    entry = decode_entry(raw)
    claim = decode_claim(entry.claim)
    if claim.type != STATE:
        return None
    said = codec.decode_as(kind_of(STATE, claim.schema).from_msgpack, entry.open)
    if not isinstance(said, StateCommitted):
        raise Malformed(f"schema {claim.schema} of {STATE} is not known here")
    return Commitment(seq, said)


def _best_snapshot(
    store: Store, projection: Projection, commitments: Sequence[Commitment], end: int
) -> tuple[int, StateMap] | None:
    roots = {
        (each.said.as_of, each.said.root)
        for each in commitments
        if (each.said.projection, each.said.version) == (projection.name, projection.version)
    }
    for key, value in reversed(read_rows(store, snapshot_prefix(projection))):
        as_of = int.from_bytes(key)
        try:
            snapshot = decode_snapshot(value)
        except Malformed:
            continue
        state = StateMap(snapshot.rows)
        if as_of <= end and snapshot.version == projection.version and (as_of, state.root()) in roots:
            return as_of, state
    return None


class _Overlay:
    """The rows of the store with what is folded over them: nothing is written."""

    def __init__(self, store: Store, prefix: bytes) -> None:
        self._store, self._prefix = store, prefix
        self._changed: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._changed[key] if key in self._changed else self._store.get("views", self._prefix + key)

    def put(self, key: bytes, value: bytes) -> None:
        self._changed[key] = value

    def delete(self, key: bytes) -> None:
        self._changed[key] = None


def follower_state(store: Store, reader: LogReader, projection: Projection) -> tuple[int, FoldFailed | None]:
    """Return the saved cursor of a projection, and the failure that a follower meets before it would save again, if any.

    Found by folding from the cursor on, so it is true of what is stored, whether a process is following or not.
    """
    cursor = read_cursor(store, projection.name)
    saved = cursor.seq if cursor is not None and fits(cursor, projection.version, reader) else 0
    rows = _Overlay(store, state_prefix(projection)) if saved else StateMap()
    try:
        for stretch in stretches(store, saved, min(reader.size, saved + SAVE_EVENTS + STRETCH_EVENTS)):
            fold_stretch(projection, rows, stretch)
    except FoldFailed as error:
        return saved, error
    return saved, None


# --- step 10 -------------------------------------------------------------------------------------------------------


def state_check(source: Source, projections: Sequence[Projection], views: Store | None = None) -> Check:
    """The check of step 10 over `source`; its verification must note `NOTE_TYPES`.

    With the store that keeps the projections, their rows are compared too. It must not be refreshed until then: a cursor past
    the verified log is left out.
    """

    def check(joint: Joint, _heads: list[tuple[int, bytes]]) -> Extra:
        findings: list[Finding] = []
        commitments: list[Commitment] = []
        for noted in joint.noted:
            try:
                found = _commitment(noted.seq, noted.raw)
            except BadInput as error:
                findings.append(Finding(Step.STATE, noted.seq, f"{STATE}: {error}"))
                continue
            if found is not None:
                commitments.append(found)
        known = {(each.name, each.version) for each in projections}
        foreign = [each for each in commitments if (each.said.projection, each.said.version) not in known]
        kept = _kept_by(views, projections, _SourceLog(source), commitments)
        replays = _replays(source, projections, commitments, kept, findings)
        compared = [each for replayed in replays for each in replayed.compared]
        findings += [_difference(each) for each in compared if each.outcome == "different"]
        findings += [Finding(Step.STATE, None, text) for each in kept for text in each.differences]
        findings += [Finding(Step.STATE, None, text) for text in nobodys_rows(views, projections)]
        failures = [str(replayed.failed) for replayed in replays if replayed.failed is not None]
        unknown = [*foreign, *failures, *(each for each in compared if each.outcome == "unknown")]
        unknown += [each.unknown for each in kept if each.unknown]
        status = "fail" if findings else "inconclusive" if unknown or not commitments else "pass"
        text = f"{sum(each.outcome == 'equal' for each in compared)} of {len(commitments)} state commitments are what the log gives"
        said = [
            text if commitments else "no state was committed",
            *failures,
            *(each.text for each in kept if each.text),
        ]
        return Extra(Step.STATE, status, "; ".join(said), findings, _left_out(views, kept))

    return check


def _kept_by(
    views: Store | None, projections: Sequence[Projection], log: "Log", commitments: Sequence[Commitment]
) -> list["Kept"]:
    return [] if views is None else [read_kept(views, each, log, commitments) for each in projections]


def _left_out(views: Store | None, kept: Sequence["Kept"]) -> list[str]:
    """What was not compared of the rows that are kept, in sentences."""
    sentences = [sentence for each in kept for sentence in (each.left_out, each.unknown) if sentence]
    if views is not None and views.get("views", REBUILD_KEY) is not None:
        sentences.append("a rebuild of derived rows is not finished: `dna index rebuild` continues it")
    return sentences


def _replays(
    source: Source,
    projections: Sequence[Projection],
    commitments: list[Commitment],
    kept: Sequence["Kept"],
    findings: list[Finding],
) -> list[Replayed]:
    """Every commitment to a projection that is known here; those that no entry may make are findings. What is kept is compared
    on the way."""
    early = [each for each in commitments if each.said.as_of <= each.seq]
    findings += [
        Finding(Step.STATE, each.seq, f"{STATE} is of as_of {each.said.as_of}, which lies after it")
        for each in commitments
        if each.said.as_of > each.seq
    ]
    replays: list[Replayed] = []
    for projection in projections:
        rows = next((each for each in kept if each.projection is projection), None)
        last = max((each.said.as_of for each in early if each.said.projection == projection.name), default=0)
        try:
            events = source_stretches(source, max(last, rows.last if rows else 0))
            replays.append(replay(events, projection, early, kept=rows))
        except BadInput as error:
            findings.append(Finding(Step.STATE, None, f"projection {projection.name} cannot be folded: {error}"))
    return replays


def _difference(compared: Compared) -> Finding:
    said = compared.commitment.said
    return Finding(
        Step.STATE,
        compared.commitment.seq,
        f"{said.projection} as of {said.as_of}: {said.entries} entries with root {said.root.hex()} were committed, "
        f"the log gives {compared.entries} with root {compared.root.hex()}",
    )


def source_stretches(source: Source, end: int) -> Iterator[Stretch]:
    """The entries [0, end) of a source that is verified. Raises Malformed."""
    for start in range(0, end, STRETCH_EVENTS):
        rows, _ = source.rows(start, min(end, start + STRETCH_EVENTS))
        payloads = [payload for _, payload in rows]
        yield stretch_of(start, [raw for raw, _ in rows], _slice_from(start, payloads))


def _slice_from(start: int, payloads: Sequence[bytes | None]) -> Callable[[int, int], Sequence[bytes | None]]:
    return lambda first, end: payloads[first - start : end - start]


# --- the rows of followers -----------------------------------------------------------------------------------------


class Log(Protocol):
    """Entries by seq, and how many there are."""

    @property
    def size(self) -> int:
        """Entries."""
        ...

    def raw(self, seq: int) -> bytes:
        """The bytes of one. Raises LedgerError."""
        ...


class _SourceLog:
    """The log of a source that is verified."""

    def __init__(self, source: Source) -> None:
        self._source, self.size = source, source.size

    def raw(self, seq: int) -> bytes:
        """Raises Malformed where it can't be read."""
        rows, _ = self._source.rows(seq, seq + 1)
        if not rows:
            raise Malformed(f"entry {seq} can't be read")
        return rows[0][0]


class Kept:
    """What a store keeps of one projection, compared with the log as a fold passes it.

    `unknown`: rows differ, but payloads that went into them are erased. `left_out`: why rows were not compared.
    """

    def __init__(self, store: Store, projection: Projection) -> None:
        self.store, self.projection = store, projection
        self.cursor: Cursor | None = None
        self.snapshots: set[int] = set()
        self.differences: list[str] = []
        self.left_out = self.unknown = self.text = ""

    @property
    def last(self) -> int:
        """How far a fold has to go."""
        return max([0 if self.cursor is None else self.cursor.seq, *self.snapshots])

    @property
    def stops(self) -> set[int]:
        """Where a fold has to stop."""
        return self.snapshots | ({self.cursor.seq} if self.cursor is not None else set())

    def meet(self, folded: "Folded") -> None:
        """Compare what is kept of the state at this place."""
        different: list[str] = []
        if folded.as_of in self.snapshots:
            key = snapshot_prefix(self.projection) + layout.seq_key(folded.as_of)
            self._compare(key, encode_snapshot(self.projection, folded.state.items()), different)
        if self.cursor is not None and folded.as_of == self.cursor.seq:
            self._compare_state(folded.state, different)
            if read_cursor(self.store, self.projection.name) != self.cursor:
                self.left_out = f"the rows of projection {self.projection.name} changed while they were compared"
                return
            self.text = f"rows of {self.projection.name} to seq {self.cursor.seq}"
        if different and folded.erased:
            self.unknown = (
                f"{len(different)} rows of projection {self.projection.name} are not what the log gives, "
                f"but {folded.erased} payloads are erased that may have gone into them: {different[0]}"
            )
        elif different:
            self.differences += different

    def _compare(self, key: bytes, want: bytes | None, different: list[str]) -> None:
        if (have := self.store.get("views", key)) != want:
            different.append(f"view row {key!r} is {_hex(have)}, the log gives {_hex(want)}")

    def _compare_state(self, state: StateMap, different: list[str]) -> None:
        prefix, met = state_prefix(self.projection), 0
        for key, have in self.store.scan("views", prefix, after_prefix(prefix)):
            want = state.get(key[len(prefix) :])
            met += want is not None
            if have != want and len(different) < ROWS_NAMED:
                different.append(f"view row {key!r} is {_hex(have)}, the log gives {_hex(want)}")
        if met < len(state):
            for name, want in state.items():
                if len(different) < ROWS_NAMED and self.store.get("views", prefix + name) is None:
                    different.append(f"view row {prefix + name!r} is missing, the log gives {_hex(want)}")


def read_kept(store: Store, projection: Projection, log: Log, commitments: Sequence[Commitment]) -> Kept:
    """What there is to compare: the rows at the cursor, and the snapshots that the log committed to. Other rows are differences."""
    kept, stored = Kept(store, projection), store.get("views", cursor_key(projection.name))
    cursor = read_cursor(store, projection.name)
    if cursor is not None and cursor.version < projection.version:
        kept.left_out = f"the rows of projection {projection.name} are of version {cursor.version}: nothing reads them"
    elif stored is None and store.get("views", REBUILD_KEY) is not None:
        kept.left_out = f"projection {projection.name} is being rebuilt: nothing reads its rows until there is a cursor"
    elif cursor is not None and cursor.version == projection.version and cursor.seq > log.size:
        kept.left_out = f"projection {projection.name} is at seq {cursor.seq}, past the log that was verified"
    elif cursor is not None and _fits(cursor, projection, log):
        kept.cursor = cursor
    else:
        rows = [] if stored is None else [(cursor_key(projection.name), stored)]
        rows += islice(
            store.scan("views", state_prefix(projection), after_prefix(state_prefix(projection))), ROWS_NAMED
        )
        kept.differences += [f"view row {key!r} is {_hex(have)}, the log gives missing" for key, have in rows]
    committed = {each.said.as_of for each in commitments if each.said.projection == projection.name}
    prefix = snapshot_prefix(projection)
    for key, _ in store.scan("views", prefix, after_prefix(prefix)):
        as_of = int.from_bytes(key[len(prefix) :])
        if len(key) == len(prefix) + 8 and as_of in committed and as_of <= log.size:
            kept.snapshots.add(as_of)
        elif len(kept.differences) < ROWS_NAMED:
            kept.differences.append(f"view row {key!r} is a snapshot that the log did not commit to")
    return kept


def _fits(cursor: Cursor, projection: Projection, log: Log) -> bool:
    if cursor.version != projection.version or not 0 < cursor.seq <= log.size:
        return False
    try:
        return cursor.hash == hashing.entry_hash(log.raw(cursor.seq - 1))
    except LedgerError:
        return False


def nobodys_rows(store: Store | None, projections: Sequence[Projection], others: Sequence[bytes] = ()) -> list[str]:
    """Rows of `views` that no follower keeps. `others` are prefixes of rows that somebody else checks."""
    found = () if store is None else _nobodys_keys(store, projections, others)
    return [f"view row {key!r} is nobody's" for key in islice(found, ROWS_NAMED)]


def _nobodys_keys(store: Store, projections: Sequence[Projection], others: Sequence[bytes] = ()) -> Iterator[bytes]:
    cursors = {cursor_key(INDEXES), REBUILD_KEY, *(cursor_key(each.name) for each in projections)}
    mine = tuple(prefix(each) for each in projections for prefix in (state_prefix, snapshot_prefix))
    return (key for key, _ in store.scan("views") if key not in cursors and not key.startswith((*mine, *others)))


def compare_views(
    store: Store, reader: LogReader, projections: Sequence[Projection], others: Sequence[bytes] = ()
) -> tuple[list[str], list[str]]:
    """Compare the family `views` with what the log gives: rows, snapshots and cursors of projections, and keys that are nobody's.
    Returns the differences, and what was not compared.

    `others` are prefixes that somebody else checks; the cursor of the indexes is checked with them (`ledger.indexes`).
    """
    kept = _kept_by(store, projections, reader, log_commitments(store, reader))
    for each in kept:
        replay(stretches(store, 0, each.last), each.projection, (), kept=each)
    differences = [text for each in kept for text in each.differences]
    return differences + nobodys_rows(store, projections, others), _left_out(store, kept)


def check_views(
    store: Store, reader: LogReader, projections: Sequence[Projection], others: Sequence[bytes] = ()
) -> list[str]:
    """Every way in which the family `views` differs from what the log gives, and what was not compared."""
    differences, left_out = compare_views(store, reader, projections, others)
    return differences + left_out


# --- rebuilding ----------------------------------------------------------------------------------------------------


def start_from_snapshot(store: Store, reader: LogReader, projection: Projection) -> int:
    """Give a projection without rows those of its newest snapshot that the log committed to, and its cursor. Returns the seq; 0 if
    there is none. What erased payloads said before it is kept so."""
    found = _best_snapshot(store, projection, log_commitments(store, reader), reader.size)
    if found is None or found[0] == 0:
        return 0
    as_of, state = found
    batch = store.batch()
    batch.put_many("views", [(state_prefix(projection) + key, value) for key, value in state.items()])
    cursor = Cursor(projection.version, as_of, hashing.entry_hash(reader.raw(as_of - 1)))
    batch.put("views", cursor_key(projection.name), codec.encode(cursor))
    store.write(batch, durable=False)
    return as_of


def drop_strays(store: Store, reader: LogReader, projections: Sequence[Projection]) -> int:
    """Remove snapshots that the log did not commit to, and rows of `views` that are nobody's. Returns how many."""
    strays = list(_nobodys_keys(store, projections))
    commitments = log_commitments(store, reader)
    for projection in projections:
        roots = {(each.said.as_of, each.said.root) for each in commitments if each.said.projection == projection.name}
        prefix = snapshot_prefix(projection)
        strays += [
            prefix + key
            for key, value in read_rows(store, prefix)
            if len(key) != 8 or (int.from_bytes(key), _snapshot_root(projection, value)) not in roots
        ]
    batch = store.batch()
    for key in strays:
        batch.delete("views", key)
    store.write(batch, durable=False)
    return len(strays)


def _snapshot_root(projection: Projection, value: bytes) -> bytes | None:
    """The root of a snapshot in its one form, or None."""
    try:
        rows = decode_snapshot(value).rows
    except Malformed:
        return None
    state = StateMap(rows)
    return state.root() if encode_snapshot(projection, state.items()) == value else None


def _hex(value: bytes | None) -> str:
    return "missing" if value is None else value.hex()
