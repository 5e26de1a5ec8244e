"""What a log must answer, as plain lists and dicts: no bytes, no hashes, no storage.

`predict` says for each item of a request what it becomes, and what the log is afterwards; the world compares.
"""

from typing import Literal

import msgspec

from decision_dna.ledger.hashing import claim_hash
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.schemas.claims import decode_claim, stream_of
from decision_dna.schemas.errors import Conflict, IdConflict, LedgerError, Malformed, Refused, StreamMoved

Item = Draft | AuthorDraft
Key = tuple[bytes, str]
"""(id, source)"""


class New(msgspec.Struct, frozen=True):
    """It stands at `seq` from now on."""

    seq: int


class Same(msgspec.Struct, frozen=True):
    """It stood at `seq` before."""

    seq: int


Expected = New | Same | type[LedgerError]


class Author(msgspec.Struct):
    """A speaker's key as the log knows it: whether it may speak, the number of its next claim, the hash of its last."""

    live: bool
    next: int
    prev: bytes


class Model(msgspec.Struct):
    """The log: for each seq what was said (None: an entry of the ledger's own), and what follows from it."""

    said: list[Item | None]
    places: dict[Key, int]
    streams: dict[str, int]
    authors: dict[bytes, Author]
    erased: set[int]
    default: Literal["notary", "none"]
    clock_step: int

    def copy(self) -> "Model":
        """One to change."""
        authors = {key: msgspec.structs.replace(author) for key, author in self.authors.items()}
        return Model(
            list(self.said),
            dict(self.places),
            dict(self.streams),
            authors,
            set(self.erased),
            self.default,
            self.clock_step,
        )

    def predict(self, items: list[Item], *, atomic: bool, first: int) -> tuple[list[Expected], "Model"]:
        """What becomes of each item of one request in a batch that begins at `first`, and the model after it."""
        after = self.copy()
        expected = [after._take(item, first) for item in items]
        refused = any(isinstance(each, type) for each in expected)
        if atomic and refused:
            return [each if isinstance(each, type) else Conflict for each in expected], self
        return expected, after

    def _take(self, item: Item, batch_first: int) -> Expected:
        """One item. The twin of one in its own batch has the same place, and is no duplicate."""
        key, stream, causes = spoken(item)
        if key in self.places:
            seq = self.places[key]
            first = self.said[seq]
            if first is None or not same(item, first):
                return IdConflict
            return New(seq) if seq >= batch_first else Same(seq)
        if isinstance(item, AuthorDraft):
            if not self._may_speak(item):
                return Refused
        elif item.source == "bot":
            return Refused
        if not {cause for cause, _ in self.places}.issuperset(causes):
            return Malformed
        if item.expected_stream_seq is not None and item.expected_stream_seq != self.streams.get(stream, 0):
            return StreamMoved
        if isinstance(item, AuthorDraft):
            self.authors[item.key_id].next += 1
            self.authors[item.key_id].prev = claim_hash(item.claim)
        return New(self.put(item))

    def _may_speak(self, item: AuthorDraft) -> bool:
        author = self.authors.get(item.key_id)
        claim = decode_claim(item.claim)
        return author is not None and author.live and claim.author_seq == author.next and item.signature != bytes(64)

    def put(self, item: Item | None) -> int:
        """One more entry; its seq."""
        self.said.append(item)
        if item is not None:
            key, stream, _ = spoken(item)
            self.places[key] = len(self.said) - 1
            self.streams[stream] = self.streams.get(stream, 0) + 1
        return len(self.said) - 1


def spoken(item: Item) -> tuple[Key, str, tuple[bytes, ...]]:
    """An item's (id, source), its stream, and its causes."""
    if isinstance(item, AuthorDraft):
        claim = decode_claim(item.claim)
        return (claim.id, claim.source), stream_of(claim.type, claim.source), claim.causes
    assert item.id is not None, "a simulated draft brings its id, so that a seed says it all"
    return (item.id, item.source), stream_of(item.type, item.source), item.causes


def same(item: Item, first: Item) -> bool:
    """Whether two items say the same, wherever they wished to stand."""
    return msgspec.structs.replace(item, expected_stream_seq=None) == msgspec.structs.replace(
        first, expected_stream_seq=None
    )
