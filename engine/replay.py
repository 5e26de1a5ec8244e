"""Replay: fold a state from the log alone, and hold it against every commitment to it (docs/format.md, section 13; step 10).

What followers keep is not looked at, so it can be checked by the same fold (`check_views`). One thing a replay cannot
know: what erased payloads said. A state folded without them that differs is reported as unknown, and not as wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

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
from decision_dna.ledger import layout
from decision_dna.ledger.audit import Check, Extra
from decision_dna.ledger.followers import (
    STRETCH_EVENTS,
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
from decision_dna.schemas.errors import BadInput, FoldFailed, Malformed
from decision_dna.schemas.payloads import kind_of
from decision_dna.schemas.stating import STATE, StateCommitted

NOTE_TYPES = frozenset({STATE})


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
) -> Replayed:
    """Fold events, and compare with the commitments to states on the way. Pure but for the reading of the events."""
    mine = [each for each in commitments if each.said.projection == projection.name]
    mine = [each for each in mine if each.said.version == projection.version]
    compared: list[Compared] = []
    last = Folded(0, StateMap(), 0)
    try:
        for last in states(events, projection, [each.said.as_of for each in mine], start):
            here = [each for each in mine if each.said.as_of == last.as_of]
            known = {each.commitment.seq for each in compared}
            compared += [_compare(each, last) for each in here if each.seq not in known]
    except FoldFailed as error:
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


def state_check(source: Source, projections: Sequence[Projection]) -> Check:
    """The check of step 10 over `source`; its verification must note `NOTE_TYPES`."""

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
        replays = _replays(source, projections, commitments, findings)
        compared = [each for replayed in replays for each in replayed.compared]
        findings += [_difference(each) for each in compared if each.outcome == "different"]
        failures = [str(replayed.failed) for replayed in replays if replayed.failed is not None]
        unknown = len(foreign) + sum(each.outcome == "unknown" for each in compared) + len(failures)
        status = "fail" if findings else "inconclusive" if unknown or not commitments else "pass"
        text = f"{sum(each.outcome == 'equal' for each in compared)} of {len(commitments)} state commitments are what the log gives"
        return Extra(
            Step.STATE, status, "; ".join([text if commitments else "no state was committed", *failures]), findings
        )

    return check


def _replays(
    source: Source, projections: Sequence[Projection], commitments: list[Commitment], findings: list[Finding]
) -> list[Replayed]:
    """Every commitment to a projection that is known here; those that no entry may make are findings."""
    early = [each for each in commitments if each.said.as_of <= each.seq]
    findings += [
        Finding(Step.STATE, each.seq, f"{STATE} is of as_of {each.said.as_of}, which lies after it")
        for each in commitments
        if each.said.as_of > each.seq
    ]
    replays: list[Replayed] = []
    for projection in projections:
        last = max((each.said.as_of for each in early if each.said.projection == projection.name), default=0)
        try:
            replays.append(replay(source_stretches(source, last), projection, early))
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


def check_views(
    store: Store, reader: LogReader, projections: Sequence[Projection], others: Sequence[bytes] = ()
) -> list[str]:
    """Every way in which the family `views` differs from what the log gives: rows, snapshots and cursors of projections, and keys that are nobody's.

    `others` are prefixes that somebody else checks; the cursor of the indexes is checked with them (`ledger.indexes`).
    """
    differences: list[str] = []
    expected: set[bytes] = set()
    for projection in projections:
        prefixes = (state_prefix(projection), snapshot_prefix(projection), cursor_key(projection.name))
        stored = {key: value for prefix in prefixes for key, value in store.scan("views", prefix, after_prefix(prefix))}
        try:
            rows, erased = _expected_rows(store, reader, projection)
        except FoldFailed as error:
            differences.append(f"the rows of {projection.name} cannot be checked: {error}")
            expected |= set(stored)
            continue
        doubt = f" (unless {erased} payloads are erased that it came from)" if erased else ""
        for key in sorted({*rows, *stored}):
            have, want = stored.get(key), rows.get(key)
            if have != want:
                differences.append(f"view row {key!r} is {_hex(have)}, the log gives {_hex(want)}{doubt}")
        expected |= {*rows, *stored}
    mine = (cursor_key(INDEXES), *others)
    nobodys = [key for key, _ in store.scan("views") if key not in expected and not key.startswith(mine)]
    return differences + [f"view row {key!r} is nobody's" for key in nobodys]


def _expected_rows(store: Store, reader: LogReader, projection: Projection) -> tuple[dict[bytes, bytes], int]:
    """What the log gives for a projection: its cursor, its rows as of that, its snapshots; and how many payloads were gone.
    Without a cursor that fits, no rows belong there."""
    cursor = read_cursor(store, projection.name)
    if cursor is not None and not fits(cursor, projection.version, reader):
        cursor = None
    prefix = snapshot_prefix(projection)
    committed = {each.said.as_of for each in log_commitments(store, reader) if each.said.projection == projection.name}
    taken = committed & {int.from_bytes(at) for at, _ in read_rows(store, prefix)}
    end = cursor.seq if cursor is not None else 0
    rows: dict[bytes, bytes] = {}
    folded = Folded(0, StateMap(), 0)
    for folded in states(stretches(store, 0, max([end, *taken])), projection, {end, *taken}):
        if folded.as_of in taken:
            rows[prefix + layout.seq_key(folded.as_of)] = encode_snapshot(projection, folded.state.items())
        if cursor is not None and folded.as_of == end:
            rows.update((state_prefix(projection) + name, value) for name, value in folded.state.items())
            rows[cursor_key(projection.name)] = codec.encode(cursor)
    return rows, folded.erased


def _hex(value: bytes | None) -> str:
    return "missing" if value is None else value.hex()
