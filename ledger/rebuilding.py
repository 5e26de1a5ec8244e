"""Rebuilding what followers keep, from the log alone: one follower after the other, each from nothing.

    views    "rebuild"    array [[names still to be rebuilt], whether the first of them was cleared]

While a follower is rebuilt its cursor says how far its rows go, so a reader never takes them for whole: it reads the rest
from the log. The marker is written before anything is cleared and removed at the end. A rebuild that was interrupted goes on
from the cursor; where it was interrupted while clearing, it clears again.
"""

from collections.abc import Callable, Sequence

import msgspec

from decision_dna.ledger.followers import REBUILD_KEY, Follower, Followers, clear
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Store
from decision_dna.schemas import codec
from decision_dna.schemas.errors import Malformed

Progress = Callable[[str, int, int], None]
"""(name of the follower, events done, of how many)"""


class Pending(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a rebuild has yet to do."""

    names: tuple[str, ...]
    cleared: bool


_pending = msgspec.msgpack.Decoder(Pending)


def read_pending(store: Store) -> Pending | None:
    """The rebuild that was interrupted, or None."""
    stored = store.get("views", REBUILD_KEY)
    try:
        return None if stored is None else codec.decode_as(_pending, stored)
    except Malformed:
        return None


def rebuild_followers(
    store: Store,
    reader: LogReader,
    followers: Sequence[Follower],
    *,
    begin: Callable[[Follower], None] = lambda _: None,
    progress: Progress = lambda _name, _done, _size: None,
) -> bool:
    """Rebuild the rows of these followers, in their order. Returns whether an interrupted rebuild was continued.

    `begin` may give a follower, once it is cleared, rows and a cursor to start from. Raises FoldFailed for an event that a
    follower cannot fold: it is then left at its cursor, and those after it are not rebuilt.
    """
    by_name = {follower.name: follower for follower in followers}
    pending = read_pending(store)
    continued = pending is not None and bool(pending.names) and set(pending.names) <= set(by_name)
    if pending is None or not continued:
        pending = Pending(tuple(by_name), cleared=False)
    while pending.names:
        _save(store, pending)
        follower = by_name[pending.names[0]]
        if not pending.cleared:
            clear(store, follower)
            begin(follower)
            _save(store, Pending(pending.names, cleared=True))
        _fold(store, reader, follower, progress)
        pending = Pending(pending.names[1:], cleared=False)
    batch = store.batch()
    batch.delete("views", REBUILD_KEY)
    store.write(batch, durable=True)
    return continued


def _save(store: Store, pending: Pending) -> None:
    # Lost with the power, everything written after it is lost too.
    batch = store.batch()
    batch.put("views", REBUILD_KEY, codec.encode(pending))
    store.write(batch, durable=False)


def _fold(store: Store, reader: LogReader, follower: Follower, progress: Progress) -> None:
    running = Followers(store, reader, [follower])
    running.load()
    more = True
    while more:
        progress(follower.name, running.positions[follower.name], reader.size)
        more = running.step()
    for failure in running.failures.values():
        raise failure
