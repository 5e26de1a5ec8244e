"""A tail past the lock that breaks a rule which only entries before it tell: no start signs it, since verification would reject it for ever."""

from collections.abc import Callable

import msgspec
import pytest

from decision_dna.ledger import hashing, layout, merkle
from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryLock, MemoryStore
from decision_dna.ledger.opening import resume
from decision_dna.ledger.own_claims import heartbeat_claim
from decision_dna.ledger.plan import Prepared, Tip, link, prepare_signed
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.streams import list_leaves, list_root
from decision_dna.schemas import codec
from decision_dna.schemas.claims import decode_claim
from decision_dna.schemas.errors import CannotOpen
from decision_dna.schemas.ledgering import ERASURE, KEY, NO_BEACON, Erasure, Heartbeat, NamedCheckpoint
from tests.ledger.memory_log import ORIGIN, new_log
from tests.ledger.samples import Author, change_key, draft, root_of

OPERATOR = SigningKey(b"\x09" * 32)
PRIVATE = 2
"""The seq of an event whose payload can be erased."""


class Scene(msgspec.Struct):
    """A ledger at rest, with an operator who also speaks for source `ext`, and what he signed."""

    ledger: Ledger
    store: MemoryStore
    clock: ManualClock
    author: Author
    rowless: bool = False

    def opened(self) -> Ledger:
        """The next process, on the lock as it is."""
        return resume(None, self.store, MemoryLock(self.ledger.writer.head), self.ledger.keys, self.clock)

    def write(self, row: Prepared) -> None:
        """Write one entry past the lock, as a commit does that dies before the lock."""
        last = self.ledger.reader.event(self.ledger.reader.size - 1)
        size, heads = self.ledger.reader.size, self.ledger.writer.stream_heads()
        tip = Tip(self.ledger.reader.frontier(size), hashing.entry_hash(last.raw), last.entry.recorded_at)
        plan = link(tip, [row], heads.get, self.clock.now_ns())
        batch, claim = self.store.batch(), decode_claim(row.claim)
        batch.put_many("entries", layout.entry_rows(size, plan.entries))
        batch.put_many("payloads", layout.payload_rows(size, plan.payloads))
        batch.put("ids", row.key, size.to_bytes(8))
        batch.put("streams", row.stream.encode(), codec.encode(plan.streams[row.stream]))
        if row.attestation != "author" and row.source != "ledger" and not self.rowless:
            batch.put("sources", layout.source_key(row.principal, row.source), b"")
        if row.attestation == "author":
            batch.put("authors", row.key_id, codec.encode((claim.author_seq + 1, hashing.claim_hash(row.claim))))
        if claim.type == KEY:
            seqs = layout.decode_seqs(self.store.get("meta", layout.AUTHORITY_KEY) or b"")
            batch.put("meta", layout.AUTHORITY_KEY, codec.encode([*seqs, size]))
        root = merkle.Frontier.root(plan.tip.frontier)
        record = layout.TipRecord(ORIGIN, size + 1, root, plan.tip.prev, plan.tip.recorded_at)
        batch.put("meta", layout.TIP_KEY, codec.encode(record))
        self.store.write(batch, durable=True)

    def erasure(self, seq: int, event_id: bytes | None = None) -> Prepared:
        """An erasure that the operator signed."""
        payload = Erasure(id=event_id or self.ledger.reader.event(seq).claim.id, seq=seq, who="op", why="asked to")
        return prepare_signed(self.ledger.sign_own(OPERATOR, ERASURE, payload), origin=ORIGIN)

    def change(self, named: NamedCheckpoint) -> Prepared:
        """A registration that root signed."""
        change = self.ledger.key_change("register", "author", SigningKey(b"\x21" * 32).public, sources=("other",))
        change = msgspec.structs.replace(change, checkpoint=named)
        return prepare_signed(self.ledger.sign_own(root_of(self.ledger), KEY, change), origin=ORIGIN)

    def heartbeat(self, **lie: bytes) -> Prepared:
        """A heartbeat at the next place, signed by the notary."""
        leaves, head = list_leaves(self.ledger.writer.stream_heads()), self.ledger.reader.head()
        payload = Heartbeat(
            beacon=NO_BEACON,
            last=hashing.entry_hash(self.ledger.reader.raw(head.size - 1)),
            root=head.root,
            size=head.size,
            streams_count=len(leaves),
            streams_root=list_root(leaves),
        )
        notary = self.ledger.keys.of_purpose("notary")[0]
        return heartbeat_claim(ORIGIN, notary, msgspec.structs.replace(payload, **lie), self.clock.now_ns())

    def said_later(self) -> Prepared:
        """The author's third claim, when the ledger has his first."""
        self.author.say(2, self.clock.now_ns())
        return prepare_signed(self.author.say(3, self.clock.now_ns()), origin=ORIGIN)


def scene() -> Scene:
    """Genesis, a key, two events and a signed one."""
    ledger, store, clock = new_log()
    change_key(
        ledger,
        "register",
        "author",
        OPERATOR.public,
        sources=("ext",),
        operator="op",
        roles=("clock", "erasure"),
    )
    ledger.append([draft(1), draft(2)])
    author = Author(OPERATOR, "ext", ORIGIN)
    ledger.append([author.say(1, clock.now_ns())])
    return Scene(ledger, store, clock, author)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda s: s.said_later(), "author_seq"),
        (lambda s: s.change(NamedCheckpoint(root=bytes(32), size=2)), "names root"),
        (lambda s: s.heartbeat(streams_root=bytes(32)), "list the streams"),
        (lambda s: s.heartbeat(root=bytes(32)), "another root"),
        (lambda s: s.erasure(1), "can be erased"),
        (lambda s: s.erasure(PRIVATE, bytes(16)), "can be erased"),
    ],
)
def test_a_tail_that_contradicts_entries_before_it_is_not_signed(made: Callable[[Scene], Prepared], why: str) -> None:
    """All of these are signed by whom their type needs; only the log before them shows that they may not stand there."""
    at_rest = scene()
    at_rest.write(made(at_rest))
    with pytest.raises(CannotOpen, match=why):
        at_rest.opened()


def test_a_tail_without_the_row_of_its_source_is_not_signed() -> None:
    """The row moves a bound only, but verification compares it: signed, the ledger would fail step 3 from then on."""
    at_rest = scene()
    at_rest.rowless = True
    at_rest.write(at_rest.ledger.prepare([draft(9, "unheard")], "local")[0])
    with pytest.raises(CannotOpen, match="spoke as unheard"):
        at_rest.opened()


@pytest.mark.parametrize(
    "made",
    [
        lambda s: prepare_signed(s.author.say(2, s.clock.now_ns()), origin=ORIGIN),
        lambda s: s.change(s.ledger.named_checkpoint()),
        lambda s: s.heartbeat(),
        lambda s: s.ledger.prepare([draft(9)], "local")[0],
    ],
)
def test_a_tail_that_follows_is_signed_and_holds(made: Callable[[Scene], Prepared]) -> None:
    at_rest = scene()
    at_rest.write(made(at_rest))
    with at_rest.opened() as again:
        again.append([draft(10)])
        assert verify(StoreSource(at_rest.store, again.writer.head), again.vkey).holds
