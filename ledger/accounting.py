"""What start-up knows without reading: entries that change keys or policy, and positions (docs/format.md, section 11). Pure, but for the store that it reads.

`meta/authority` names them. Whoever has the disk can take a name out, a revocation's, and each one that is left still holds
by itself. So start-up reads the entries, all of them, from the last place on that the ledger vouched for in `meta/accounted`:

    "of the first `size` entries, which have this root, those at `seqs` change keys or policy, and no other;
     and after them streams, authors and ids are at `positions` (`ledger.positions`)"

signed by the log key. A statement cannot be made without the key. An old one that somebody puts back is still true, and says
how far: more is read then. Without one everything is.

Signed is `decision-dna/accounted/v1\\n` ‖ the MessagePack array `[origin, size, root, seqs, positions]`. No head looks like that: after
the first line of a head's text there is a digit, here the mark of an array.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated

import msgspec

from decision_dna.ledger import layout, merkle
from decision_dna.ledger.authority import Authority
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.positions import PositionFold, Positions, check_ids
from decision_dna.ledger.signatures import is_signed
from decision_dna.ledger.store import Store
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Hash, Natural, decode_claim, decode_entry
from decision_dna.schemas.ledgering import AUTHORITY_TYPES

ACCOUNTED_EVENTS = 1 << 15
"""A statement is made about every so many events: what a start has to read, and with the last commit's at most that much more."""
EVENTS_FOR_A_STREAM = 8
"""At least so many events lie between two statements for each stream: a statement lists them all."""
MESSAGE = b"decision-dna/accounted/v1\n"
MARK = b"ledger."
"""Stands in every entry whose type begins so; few others have it, and are looked at more closely."""


class Accounted(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`meta/accounted`: of the first `size` entries, those at `seqs` change keys or policy, and no other; `positions` are those
    after them."""

    origin: str
    size: Natural
    root: Hash
    seqs: tuple[Natural, ...]
    positions: Positions
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]

    def is_by(self, keys: Iterable[bytes]) -> bool:
        """Whether one of these public keys signed it."""
        message = _message(self.origin, self.size, self.root, self.seqs, self.positions)
        return any(is_signed(key, message, self.signature) for key in keys)


_statements = msgspec.msgpack.Decoder(Accounted)


def decode_accounted(data: bytes) -> Accounted:
    """Raises Malformed."""
    return codec.decode_as(_statements, data)


def sign_accounted(
    keys: Keyring, authority: Authority, head: Locked, seqs: Sequence[int], positions: Positions
) -> bytes:
    """The row about a locked head, signed by its newest key. `seqs` may go on after it; `positions` are those at its size.
    Raises Unavailable where the key is missing."""
    before = tuple(seq for seq in seqs if seq < head.size)
    key = keys.get(authority.log_keys_at(head.size)[-1], "log")
    signature = key.sign(_message(head.origin, head.size, head.root, before, positions))
    return codec.encode(Accounted(head.origin, head.size, head.root, before, positions, signature))


def is_due(authority: Authority, before: int, after: int, streams_count: int = 0) -> bool:
    """Whether a commit that takes the log from one size to another brings a statement about the first of them: at every so many
    events, and about the first head of a new log key, which soon is the only one that a start believes."""
    interval = ACCOUNTED_EVENTS * (1 + EVENTS_FOR_A_STREAM * streams_count // ACCOUNTED_EVENTS)
    return before // interval != after // interval or authority.log[-1].first == before


def read_changes(
    store: Store, frontier: merkle.Frontier, fold: PositionFold, end: int
) -> tuple[merkle.Frontier, list[int]]:
    """Read every entry after the frontier's, up to `end`: the tree with them, and the seqs of those that change keys or policy.
    Folds them into positions, and compares their rows of `ids`.

    What lies there are the log's entries only if the tree has the root that was signed, which the caller compares. Raises BadInput.
    """
    at, seqs, read = frontier.size, list[int](), list[bytes]()
    for _, run in store.scan("entries", layout.seq_key(at), layout.seq_key(end)):
        entries = layout.split_entries(run)
        if MARK in run:
            seqs += [seq for seq, entry in enumerate(entries, at) if MARK in entry and _is_change(entry)]
        at += len(entries)
        read += entries
        if len(read) >= ACCOUNTED_EVENTS:
            frontier, read = _extend(store, frontier, fold, read), []
    return _extend(store, frontier, fold, read), seqs


def _extend(store: Store, frontier: merkle.Frontier, fold: PositionFold, entries: list[bytes]) -> merkle.Frontier:
    check_ids(store, fold.add(frontier.size, entries))
    return merkle.extend(frontier, [sha256(b"\x00" + entry).digest() for entry in entries])


def _is_change(raw: bytes) -> bool:
    return decode_claim(decode_entry(raw).claim).type in AUTHORITY_TYPES


def _message(origin: str, size: int, root: bytes, seqs: Sequence[int], positions: Positions) -> bytes:
    return MESSAGE + codec.encode((origin, size, root, seqs, positions))
