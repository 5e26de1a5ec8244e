"""A log to be verified over HTTP: its public tiles and nothing else. Payloads are private, so step 5 stays inconclusive for them."""

from collections import defaultdict

from decision_dna.ledger import merkle
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.remote import RemoteLog
from decision_dna.ledger.sources import Rows
from decision_dna.ledger.verification import AuthorityEntry, Finding, Joint, Segment, Step
from decision_dna.schemas.errors import Malformed, NotFound, ProofRejected, Unavailable

_WRONG = (Malformed, NotFound, ProofRejected)
"""What a service can do wrong besides not answering."""


class RemoteSource:
    """`ledger.sources.Source` over a service, as of the checkpoint that it showed first. For one thread."""

    payloads_known = False

    def __init__(self, log: RemoteLog) -> None:
        """Raises Unavailable where nobody answers like a log."""
        self._log = log
        self._note = log.checkpoint()
        try:
            head = note_of(self._note)
        except ProofRejected as error:
            raise Unavailable(f"what answers shows no checkpoint: {error}") from None
        self.origin, self.size = head.origin, head.size

    def rows(self, start: int, end: int) -> tuple[Rows, list[Finding]]:
        """From entry bundles; one that is missing or misshapen is a finding. Raises Unavailable."""
        entries: list[bytes] = []
        for index in range(start // merkle.TILE_WIDTH, -(-end // merkle.TILE_WIDTH)):
            first = index * merkle.TILE_WIDTH
            try:
                bundle = self._log.entries(index, min(merkle.TILE_WIDTH, self.size - first))
            except _WRONG as error:
                return [(raw, None) for raw in entries], [Finding(Step.ENCODING, max(first, start), str(error))]
            entries += bundle[max(0, start - first) : end - first]
        return [(raw, None) for raw in entries], []

    def heads(self) -> list[tuple[int, bytes]]:
        """The one that it showed: a service publishes its newest only."""
        return [(self.size, self._note)]

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
