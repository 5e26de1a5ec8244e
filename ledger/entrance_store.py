"""A store whose log is verified from a place on (`ledger.entrance`)."""

from contextlib import suppress

from decision_dna.ledger import merkle
from decision_dna.ledger.entrance import OWN_STREAM
from decision_dna.ledger.indexes import Extent, Indexes
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.queries import EventFilter, find, heads_before
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.sources import Derived, StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.streams import StreamHead
from decision_dna.ledger.verification import Joint
from decision_dna.schemas.errors import LedgerError


class EnterableStore(StoreSource):
    """As `StoreSource`; of the small families, what the entries from the place on say is compared. Nodes come from the family `nodes`,
    places from the indexes; both may be wrong, and are checked by who asks."""

    def __init__(self, store: Store, head: Locked) -> None:
        super().__init__(store, head, Extent())
        self._log, self._indexes = LogReader(store, lambda: head), Indexes(store)

    def judge_derived(self, joint: Joint) -> Derived:  # noqa: ARG002  # the seam's signature
        """Nothing: each index row is of a term and not of a place, so comparing some means reading all. `Entrance.unverified` says so."""
        return Derived()

    def nodes(self, nodes: list[merkle.Node]) -> list[bytes]:
        """From the rows of tiles. Raises InvariantBroken where one is missing."""
        return self._log.nodes(nodes)

    def own_seqs(self, end: int) -> list[int]:
        """By the stream's index, and by looking where that has not caught up."""
        return list(find(self._indexes, EventFilter(stream=OWN_STREAM), 0, end))

    def stream_heads_at(self, seq: int) -> dict[str, StreamHead] | None:
        """By the indexes; None where they can't be read."""
        with suppress(LedgerError):
            return heads_before(self._log, self.store, self._indexes, seq)
        return None
