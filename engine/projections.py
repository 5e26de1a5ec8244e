"""Projections: states that are folded from the log, and from nothing else, so that anyone can fold them again.

A projection is a pure function from what stands under its keys and one event to the rows that change. A follower keeps
its state in the store; from time to time the root of it is committed to the log as an `engine.state` entry
(docs/format.md, section 13), which a replay compares.

    views    "state/" ‖ name ‖ "/" ‖ key              a row of the state, as of the follower's cursor
             "snapshot/" ‖ name ‖ "/" ‖ u64 as_of     array [version, [[key, value], …]]: the whole state as it was committed
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol

import msgspec

from decision_dna.ledger import layout
from decision_dna.ledger.followers import STORE_ERRORS, ClaimFacts, Stretch, after_prefix, fold_failed
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.state import StateMap
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Natural
from decision_dna.schemas.errors import BadInput, LedgerError, Unavailable
from decision_dna.schemas.market import Arbitrage, Sandwich, SandwichPattern
from decision_dna.schemas.payloads import decode_payload, newest_schema
from decision_dna.schemas.stating import STATE, StateCommitted

SAVE_EVENTS = 16_384
SNAPSHOTS_KEPT = 3
SOURCE = "engine"

Row = tuple[bytes, bytes]
Changes = Iterable[tuple[bytes, bytes | None]]
"""(key, new value); None removes the key."""

Fold = Callable[[Callable[[bytes], bytes | None], ClaimFacts, bytes | None], Changes]
"""(what stands under a key, the event's claim, its payload or None where it was erased) -> changes. Pure."""


class Projection(msgspec.Struct, frozen=True):
    """A fold with its name, and the beginning of the types that it looks at. `version` is raised whenever the same log gives another state."""

    name: str
    version: int
    types: str
    fold: Fold


# --- folding -------------------------------------------------------------------------------------------------------


class State(Protocol):
    """What is folded into."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        ...


def fold_stretch(projection: Projection, state: State, stretch: Stretch) -> tuple[set[bytes], int]:
    """Fold events into a state. Returns the keys that changed, and of how many events the payload is gone.

    Raises FoldFailed, with the event, for whatever the fold raises: the state then holds a part of what the event changes,
    and is of no more use.
    """
    changed: set[bytes] = set()
    erased, types, fold, get = 0, projection.types, projection.fold, state.get
    for at, claim in enumerate(stretch.claims):
        if not claim.type.startswith(types):
            continue
        payload = stretch.payload(at)
        erased += payload is None
        try:
            for key, value in fold(get, claim, payload):
                changed.add(key)
                if value is None:
                    state.delete(key)
                else:
                    state.put(key, value)
        except STORE_ERRORS:
            raise
        except Exception as error:
            raise fold_failed(projection.name, stretch, at, error) from error
    return changed, erased


class ProjectionFollower:
    """Keeps a projection's state in memory and, saved each time another `save_events` are folded, in the store.

    Rows that change often are so written rarely; what was folded since is folded again after a restart. The state may be
    asked for from any thread. After a failure there is none: what was saved is for the next process to go on from.
    """

    def __init__(self, projection: Projection, *, save_events: int = SAVE_EVENTS) -> None:
        self.projection, self._save_events = projection, save_events
        self.name, self.version = projection.name, projection.version
        self.rows = ("views", state_prefix(projection))
        self._state = StateMap()
        self._cursor = self._saved = 0
        self._unsaved: set[bytes] = set()
        self._failed: Exception | None = None
        self._lock = threading.Lock()

    @property
    def failed(self) -> Exception | None:
        """Why there is no state any more, if so."""
        return self._failed

    def load(self, store: Store, cursor: int) -> None:
        """Read the whole state."""
        with self._lock, self._keeping_failure():
            self._failed = None
            self._state, self._unsaved = StateMap(read_rows(store, self.rows[1])), set()
            self._cursor = self._saved = cursor

    def fold(self, stretch: Stretch, batch: Batch) -> int:
        """Fold; and where a save is due, put every row that changed since the last."""
        with self._lock, self._keeping_failure():
            changed, _ = fold_stretch(self.projection, self._state, stretch)
            self._unsaved |= changed
            self._cursor = stretch.end
            if self._cursor // self._save_events > self._saved // self._save_events:
                self._put_unsaved(batch)
            return self._saved

    def _put_unsaved(self, batch: Batch) -> None:
        rows = [(self.rows[1] + key, self._state.get(key)) for key in sorted(self._unsaved)]
        batch.put_many("views", [(key, value) for key, value in rows if value is not None])
        for key in [key for key, value in rows if value is None]:
            batch.delete("views", key)
        self._unsaved, self._saved = set(), self._cursor

    def commitment(self) -> tuple[StateCommitted, list[Row]]:
        """What the state comes to, and its rows. Raises Unavailable after a failure."""
        with self._lock:
            self._check_whole()
            return self._committed(), self._state.items()

    def page(self, after: bytes | None, limit: int) -> tuple[StateCommitted, list[Row]]:
        """Return what the whole state comes to, and its rows behind a key, at most `limit`. Raises Unavailable after a failure."""
        with self._lock:
            self._check_whole()
            return self._committed(), self._state.rows_after(after, limit)

    def _committed(self) -> StateCommitted:
        return StateCommitted(
            as_of=self._cursor,
            entries=len(self._state),
            projection=self.name,
            root=self._state.root(),
            version=self.version,
        )

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, as of the newest event folded. Raises Unavailable after a failure."""
        with self._lock:
            self._check_whole()
            return self._state.get(key)

    @contextmanager
    def _keeping_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._failed = error
            raise

    def _check_whole(self) -> None:
        if self._failed is not None:
            said = str(self._failed) if isinstance(self._failed, LedgerError) else type(self._failed).__name__
            raise Unavailable(f"the state of {self.name} is not kept any more: {said}")


def commit_state(ledger: Ledger, follower: ProjectionFollower) -> Placed:
    """Append the root of a follower's state, and keep a snapshot of it. Raises Refused, Busy, Unavailable.

    The snapshot is written after the entry: lost on the way, replay starts from an earlier one.
    """
    committed, rows = follower.commitment()
    draft = Draft(type=STATE, schema=1, source=SOURCE, payload=codec.encode(committed))
    placed = ledger.append_system([draft]).outcomes[0]
    if isinstance(placed, LedgerError):
        raise placed
    _save_snapshot(ledger.store, follower.projection, committed.as_of, rows)
    return placed


# --- rows in the store ---------------------------------------------------------------------------------------------


class Snapshot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A whole state. Believed only where its root was committed."""

    version: Natural
    rows: tuple[tuple[bytes, bytes], ...]


_snapshots = msgspec.msgpack.Decoder(Snapshot)


def state_prefix(projection: Projection) -> bytes:
    """Before the keys of its rows."""
    return f"state/{projection.name}/".encode()


def snapshot_prefix(projection: Projection) -> bytes:
    """Before the as_of of its snapshots."""
    return f"snapshot/{projection.name}/".encode()


def read_rows(store: Store, prefix: bytes) -> list[Row]:
    """The rows of `views` below a prefix, without it."""
    return [(key[len(prefix) :], value) for key, value in store.scan("views", prefix, after_prefix(prefix))]


def encode_snapshot(projection: Projection, rows: Sequence[Row]) -> bytes:
    """Its one form: rows ascending by key."""
    return codec.encode(Snapshot(projection.version, tuple(rows)))


def decode_snapshot(data: bytes) -> Snapshot:
    """Raises Malformed."""
    return codec.decode_as(_snapshots, data)


def _save_snapshot(store: Store, projection: Projection, as_of: int, rows: list[Row]) -> None:
    prefix, batch = snapshot_prefix(projection), store.batch()
    kept = [key for key, _ in read_rows(store, prefix) if key != layout.seq_key(as_of)]
    for key in kept[: len(kept) + 1 - SNAPSHOTS_KEPT]:
        batch.delete("views", prefix + key)
    batch.put("views", prefix + layout.seq_key(as_of), encode_snapshot(projection, rows))
    store.write(batch, durable=False)


# --- detections ----------------------------------------------------------------------------------------------------

SUM_MAX = 2**63 - 1


class Tally(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many detections; what their attackers gained, in lamports; and how many victims there were. Sums stop at ±(2⁶³ − 1)."""

    count: int
    lamports: int
    victims: int


_tallies = msgspec.msgpack.Decoder(Tally)
_NONE = Tally(0, 0, 0)


class Found(msgspec.Struct, frozen=True, gc=False):
    """What the tallies want to know of a detection."""

    lamports: int = 0
    victims: int = 0
    pools: tuple[str, ...] = ()
    wallets: tuple[str, ...] = ()


def fold_detection(get: Callable[[bytes], bytes | None], claim: ClaimFacts, payload: bytes | None) -> Changes:
    """Tallies of a kind, `detection.sandwich/all`; by pool, `…/pool/NAME`; and by attacking wallet, `…/wallet/NAME`.

    An event whose payload is gone or of a type that is not known here still counts for its kind.
    """
    found = _found(claim, payload)
    return [(key, _add(get(key), found)) for key in _keys(claim.type, found.pools, found.wallets)]


DETECTIONS = Projection("detections", 2, "detection.", fold_detection)
PROJECTIONS = (DETECTIONS,)


def _found(claim: ClaimFacts, payload: bytes | None) -> Found:
    try:
        if payload is None or claim.schema > newest_schema(claim.type):
            return Found()
        detection = decode_payload(claim.type, claim.schema, payload)
    except BadInput:
        return Found()
    match detection:
        case Sandwich():
            return Found(detection.profit_lamports, detection.victims_count, (detection.pool,), detection.attackers)
        case SandwichPattern():
            return Found(detection.profit_lamports, detection.victims_count, (detection.pool,), detection.wallets)
        case Arbitrage():
            return Found(detection.net_lamports, 0, tuple(hop.pool for hop in detection.hops), (detection.owner,))
    return Found()


@lru_cache(maxsize=65_536)
def _keys(kind: str, pools: tuple[str, ...], wallets: tuple[str, ...]) -> tuple[bytes, ...]:
    """Each once, also where an arbitrage goes through one pool twice."""
    names = (f"{kind}/all", *(f"{kind}/pool/{pool}" for pool in pools), *(f"{kind}/wallet/{name}" for name in wallets))
    return tuple(dict.fromkeys(name.encode() for name in names))


def _add(stored: bytes | None, found: Found) -> bytes:
    before = decode_tally(stored)
    lamports = max(-SUM_MAX, min(SUM_MAX, before.lamports + found.lamports))
    victims = min(SUM_MAX, before.victims + found.victims)
    return codec.encode(Tally(before.count + 1, lamports, victims))


def decode_tally(stored: bytes | None) -> Tally:
    """A row's value; of no row, nothing counted. Raises Malformed."""
    return _NONE if stored is None else codec.decode_as(_tallies, stored)
