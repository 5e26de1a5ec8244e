"""What a log must answer, as plain lists and dicts: no bytes, no hashes, no storage.

`predict` says for each item of a request what it becomes, and what the log is afterwards. `waits` and `beats_first` say
what the clock does to an append, from the promises of docs/format.md, section 6. The world compares.
"""

from typing import Literal

import msgspec

from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.schemas.claims import decode_claim, stream_of
from decision_dna.schemas.errors import Conflict, IdConflict, LedgerError, Malformed, Refused, StreamMoved
from decision_dna.schemas.ledgering import HEARTBEAT, Policy

Item = Draft | AuthorDraft
Key = tuple[bytes, str]
"""(id, source)"""
Witness = Literal["nobody", "block", "operator", "root"]
"""Who vouches for the time at which an entry is recorded."""
Doubt = Literal["none", "set", "pause", "jump", "behind"]
VOUCHES: dict[Doubt, tuple[Witness, ...]] = {
    "none": ("nobody", "block", "operator", "root"),
    "set": ("block", "operator", "root"),
    "pause": ("block", "operator", "root"),
    "jump": ("root",),
    "behind": (),
}
"""Who may vouch for which time."""

SECOND = 10**9
SYSTEM = "engine"
"""The system's principal, and its one source under the policies of the simulation."""


class Request(msgspec.Struct, frozen=True):
    """What is handed in together, by a caller or by the system."""

    items: list[Item]
    atomic: bool
    system: bool = False


class New(msgspec.Struct, frozen=True):
    """It stands at `seq` from now on."""

    seq: int


class Same(msgspec.Struct, frozen=True):
    """It stood at `seq` before."""

    seq: int


Expected = New | Same | type[LedgerError]


class Place(msgspec.Struct, frozen=True):
    """One entry: what was said (None: an entry of the ledger's own), as which type, how attested, when."""

    item: Item | None
    type: str
    attestation: str
    recorded_at: int


class Author(msgspec.Struct):
    """A speaker's key as the log knows it: whether it is live, for whom and as what it speaks, the number of its next claim, the seq of its last."""

    live: bool
    sources: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    next: int = 1
    last: int | None = None


NOBODY = Author(live=False)


class Model(msgspec.Struct):
    """The log: its entries, and what follows from them. `step` is how far the wall clock was set since start or since somebody
    vouched for it (ns); `step_at_beat` what it was at the newest heartbeat."""

    places: list[Place]
    policy: Policy
    live: dict[str, bytes]
    seqs: dict[Key, int] = {}
    streams: dict[str, int] = {}
    authors: dict[bytes, Author] = {}
    erased: set[int] = set()
    overlaps_until: int = 0
    beat: int = 0
    step: int = 0
    step_at_beat: int = 0

    def copy(self) -> "Model":
        """One to change."""
        return msgspec.structs.replace(
            self,
            places=list(self.places),
            live=dict(self.live),
            seqs=dict(self.seqs),
            streams=dict(self.streams),
            authors={key: msgspec.structs.replace(author) for key, author in self.authors.items()},
            erased=set(self.erased),
        )

    @property
    def size(self) -> int:
        """Entries."""
        return len(self.places)

    @property
    def last(self) -> int:
        """When the newest entry was recorded."""
        return self.places[-1].recorded_at

    # --- the clock -------------------------------------------------------------------------------------------------

    def doubt(self, wall: int) -> Doubt:
        """What is wrong with the time at which the next entry would be recorded."""
        gap = wall - self.last
        if gap < -SECOND:
            return "behind"
        if gap > self.policy.jump_seconds_max * SECOND:
            return "jump"
        if gap > self.policy.pause_seconds_max * SECOND:
            return "pause"
        return "set" if self.step > self.policy.pause_seconds_max * SECOND else "none"

    def waits(self, wall: int, witness: Witness = "nobody") -> bool:
        """Whether an entry has to wait for the clock, or for a better witness."""
        return witness not in VOUCHES[self.doubt(wall)]

    def beats_first(self, count: int, wall: int) -> bool:
        """Whether a heartbeat comes before so many entries: the last of them would stand past a maximum without it, or the wall
        clock was set forward since the newest one."""
        silence = max(wall, self.last) - self.places[self.beat].recorded_at
        return (
            self.size + count - 1 - self.beat > self.policy.heartbeat_events_max
            or silence > self.policy.heartbeat_seconds_max * SECOND
            or self.step - self.step_at_beat > SECOND
        )

    def put_beat(self, wall: int) -> None:
        """A heartbeat."""
        self.beat, self.step_at_beat = self.put(None, HEARTBEAT, "notary", wall), self.step

    # --- what is said ----------------------------------------------------------------------------------------------

    def predict(self, request: Request, first: int, wall: int) -> tuple[list[Expected], "Model"]:
        """What becomes of each item of one request in a batch that begins at `first`, and the model after it."""
        after = self.copy()
        expected = [after._take(item, first, wall, system=request.system) for item in request.items]
        refused = any(isinstance(each, type) for each in expected)
        if request.atomic and refused:
            return [each if isinstance(each, type) else Conflict for each in expected], self
        return expected, after

    def _take(self, item: Item, batch_first: int, wall: int, *, system: bool) -> Expected:
        """One item. The twin of one in its own batch has the same place, and is no duplicate."""
        key, type_name, causes = spoken(item)
        if isinstance(item, Draft) and self._attestation(item) is None:
            return Refused  # nobody may speak it, or its author alone
        if key in self.seqs:
            seq = self.seqs[key]
            first = self.places[seq].item
            if first is None or not same(item, first):
                return IdConflict
            return New(seq) if seq >= batch_first else Same(seq)
        if not (self._may_sign(item) if isinstance(item, AuthorDraft) else self._may_say(item, system=system)):
            return Refused
        if not {cause for cause, _ in self.seqs}.issuperset(causes):
            return Malformed
        stream = stream_of(type_name, key[1])
        if item.expected_stream_seq is not None and item.expected_stream_seq != self.streams.get(stream, 0):
            return StreamMoved
        if isinstance(item, Draft):
            return New(self.put(item, type_name, self._attestation(item) or "", wall))
        seq = self.put(item, type_name, "author", wall)
        self.count(item.key_id, seq)
        return New(seq)

    def _attestation(self, draft: Draft) -> str | None:
        """What the ledger attests such a claim with; None where it makes none."""
        family = draft.type.partition(".")[0]
        if family == "observation":
            return "notary"
        if family != "x":
            return None
        rules = {rule.source: rule.attestation for rule in self.policy.sources}
        attestation = rules.get(draft.source, self.policy.default_attestation)
        return None if attestation == "author" else attestation

    def _may_say(self, draft: Draft, *, system: bool) -> bool:
        """The system speaks for its source, and nobody else does; what is observed it alone says. Who is not attested is nobody."""
        is_system = system and self._attestation(draft) == "notary"
        return is_system == (draft.source == SYSTEM) and (is_system or draft.type.startswith("x."))

    def _may_sign(self, item: AuthorDraft) -> bool:
        author, claim = self.authors.get(item.key_id, NOBODY), decode_claim(item.claim)
        right = claim.author_seq == author.next and item.signature != bytes(64)
        return author.live and claim.source in author.sources and claim.source != SYSTEM and right

    def put(self, item: Item | None, type_name: str, attestation: str, wall: int) -> int:
        """One more entry; its seq."""
        self.places.append(Place(item, type_name, attestation, max(wall, self.last)))
        if item is not None:
            key, _, _ = spoken(item)
            stream = stream_of(type_name, key[1])
            self.seqs[key] = self.size - 1
            self.streams[stream] = self.streams.get(stream, 0) + 1
        return self.size - 1

    def count(self, key_id: bytes, seq: int) -> None:
        """A key goes on with its numbers."""
        author = self.authors[key_id]
        author.next, author.last = author.next + 1, seq


def spoken(item: Item) -> tuple[Key, str, tuple[bytes, ...]]:
    """An item's (id, source), its type, and its causes."""
    if isinstance(item, AuthorDraft):
        claim = decode_claim(item.claim)
        return (claim.id, claim.source), claim.type, claim.causes
    assert item.id is not None, "a simulated draft brings its id, so that a seed says it all"
    return (item.id, item.source), item.type, item.causes


def same(item: Item, first: Item) -> bool:
    """Whether two items say the same, wherever they wished to stand."""
    return msgspec.structs.replace(item, expected_stream_seq=None) == msgspec.structs.replace(
        first, expected_stream_seq=None
    )
