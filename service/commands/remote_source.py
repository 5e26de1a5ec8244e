"""A log to be verified over HTTP: its public tiles and nothing else. Payloads are private, so step 5 stays inconclusive for them.

From a place on, the service is also asked where the ledger's own entries stand: a page of events each thousand.
"""

from collections import defaultdict

from decision_dna.ledger import merkle
from decision_dna.ledger.audit import Work, do_work
from decision_dna.ledger.entrance import OWN_STREAM
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.queries import PAGE_EVENTS_MAX
from decision_dna.ledger.remote import RemoteLog
from decision_dna.ledger.sources import Rows
from decision_dna.ledger.streams import StreamHead
from decision_dna.ledger.verification import AuthorityEntry, Finding, Joint, Segment, Step
from decision_dna.schemas.errors import BadInput, Malformed, NotFound, ProofRejected, Refused, Unavailable
from decision_dna.service.commands.remote import Service

_WRONG = (Malformed, NotFound, ProofRejected)
"""What a service can do wrong besides not answering."""


class RemoteSource:
    """`ledger.sources.Source` over a service, as of the checkpoint `note`, or the one that it shows first. For one thread."""

    payloads_known = False

    def __init__(self, log: RemoteLog, note: bytes | None = None) -> None:
        """Raises Unavailable where nobody answers like a log."""
        self._log = log
        self.note = log.checkpoint() if note is None else note
        head = note_of(self.note)
        self.origin, self.size = head.origin, head.size
        self._last: tuple[int, list[bytes]] = -1, []
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def rows(self, start: int, end: int) -> tuple[Rows, list[Finding]]:
        """From entry bundles; one that is missing or misshapen is a finding. Raises Unavailable."""
        entries: list[bytes] = []
        for index in range(start // merkle.TILE_WIDTH, -(-end // merkle.TILE_WIDTH)):
            first = index * merkle.TILE_WIDTH
            try:
                bundle = self._bundle(index)
            except _WRONG as error:
                return [(raw, None) for raw in entries], [Finding(Step.ENCODING, max(first, start), str(error))]
            entries += bundle[max(0, start - first) : end - first]
        return [(raw, None) for raw in entries], []

    def _bundle(self, index: int) -> list[bytes]:
        """Asked for once where one entry after the other is wanted."""
        if self._last[0] != index:
            have = self.size - index * merkle.TILE_WIDTH
            self._last = index, self._log.entries(index, min(merkle.TILE_WIDTH, have))
        return self._last[1]

    def nodes(self, nodes: list[merkle.Node]) -> list[bytes]:
        """From tiles of hashes. Raises ProofRejected, NotFound, Unavailable."""
        return [self._node(height, index) for height, index in nodes]

    def _node(self, height: int, index: int) -> bytes:
        level, above = divmod(height, merkle.TILE_HEIGHT)
        start = index << above
        tile = start // merkle.TILE_WIDTH
        have = (self.size >> (level * merkle.TILE_HEIGHT)) - tile * merkle.TILE_WIDTH
        if (level, tile) not in self._tiles:
            self._tiles[level, tile] = self._log.hashes(level, tile, min(merkle.TILE_WIDTH, have))
        first = start % merkle.TILE_WIDTH
        return merkle.tree_root(self._tiles[level, tile][first : first + (1 << above)])

    def own_seqs(self, end: int) -> list[int]:
        """As the service lists them. Raises Unavailable, also where it does not let everyone ask."""
        asked = {"stream": OWN_STREAM, "to_seq": str(end), "limit": str(PAGE_EVENTS_MAX)}
        seqs: list[int] = []
        while True:
            try:
                page = self._log.events(asked)
            except (Refused, BadInput) as error:
                raise Unavailable(f"the service does not say where its own entries stand: {error}") from None
            seqs += [event.seq for event in page.events]
            if page.next_cursor is None or not page.events or len(seqs) > end:
                return seqs
            asked["cursor"] = page.next_cursor

    def stream_heads_at(self, seq: int) -> dict[str, StreamHead] | None:
        """Not published: each stream begins where its first entry says."""
        del seq
        return None

    def heads(self) -> list[tuple[int, bytes]]:
        """The one that it showed: a service publishes its newest only."""
        return [(self.size, self.note)]

    def authority_hint(self) -> list[AuthorityEntry]:
        """None: the first walk finds them."""
        return []

    def settle(self, segment: Segment) -> None:
        """The published hashes of complete tiles must be what the entries give. Raises Unavailable."""
        tiles: dict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
        for (height, index), value in segment.tile_nodes.items():
            tiles[height // merkle.TILE_HEIGHT, index // merkle.TILE_WIDTH][index % merkle.TILE_WIDTH] = value
        for (level, tile), given in tiles.items():
            segment.findings += self._compare(level, tile, given)
        segment.tile_nodes = {}
        segment.count_findings()

    def _compare(self, level: int, tile: int, given: dict[int, bytes]) -> list[Finding]:
        have = (self.size >> (level * merkle.TILE_HEIGHT)) - tile * merkle.TILE_WIDTH
        try:
            published = self._log.hashes(level, tile, min(merkle.TILE_WIDTH, have))
        except _WRONG as error:
            return [Finding(Step.TREE, None, str(error))]
        return [
            Finding(
                Step.TREE,
                None,
                f"tile {level}/{tile} says {published[at].hex()} at {at}, the entries give {value.hex()}",
            )
            for at, value in given.items()
            if published[at] != value
        ]

    def erased_past_lock(self) -> dict[int, bytes]:
        """None: payloads are not part of the public log."""
        return {}

    def judge(self, joint: Joint) -> list[Finding]:
        """Nothing else is published that an anonymous verifier could hold against the log."""
        del joint
        return []


# --- in a worker process ---------------------------------------------------------------------------------------------

_source: RemoteSource | None = None
"""The process's own connection."""


def ask_in_worker(address: str, note: bytes) -> None:
    """Begin a worker that asks the same service for the same log."""
    global _source  # noqa: PLW0603  # a worker's first function has no other place to leave it
    _source = RemoteSource(Service.at(address), note)


def work_there(work: Work) -> Segment:
    """One segment's check."""
    if _source is None:
        raise Unavailable("a worker that never asked its service")
    return do_work(_source, work)
