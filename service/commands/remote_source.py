"""A log to be verified over HTTP: its public tiles and nothing else. Payloads are private, so step 5 stays inconclusive for them.

Nothing is walked before `check_head`: a size that nobody signed, or that no tiles lead to, is not believed. Every tile that the
log must publish for its size is then read and compared, partial ones too: level 0 with each bundle of entries, levels 1 and 2
with each segment, those above by the tiles below them. A tile that is missing ends the verification: nobody can tell.

From a place on, the service is also asked where the ledger's own entries stand: a page of events each thousand.
"""

from collections import defaultdict

from decision_dna.ledger import merkle
from decision_dna.ledger.audit import Work, do_work
from decision_dna.ledger.entrance import OWN_STREAM
from decision_dna.ledger.notes import Vkey, note_of, parse_note, verified_signers
from decision_dna.ledger.queries import PAGE_EVENTS_MAX
from decision_dna.ledger.remote import RemoteLog
from decision_dna.ledger.sources import Derived, Rows
from decision_dna.ledger.streams import StreamHead
from decision_dna.ledger.verification import SEGMENT_HEIGHT, AuthorityEntry, Finding, Joint, Segment, Step
from decision_dna.schemas.errors import BadInput, Malformed, ProofRejected, Refused, Unavailable
from decision_dna.schemas.ledgering import AUTHORITY_TYPES
from decision_dna.service.commands.remote import Service
from decision_dna.service.steps import NOTE_TYPES

_WRONG = (Malformed, ProofRejected)
"""What a service can show that is wrong, besides showing nothing."""
_SEGMENT_LEVELS = SEGMENT_HEIGHT // merkle.TILE_HEIGHT
"""The highest level of tiles that one segment's entries give hashes of."""
_RETAINED = tuple(name.encode() for name in AUTHORITY_TYPES | NOTE_TYPES)
RETAINED_BYTES_MAX = 64 * 1024 * 1024
"""Of entries that a verification keeps until its end: those that change keys or policy, anchors, states."""
HOPELESS_FINDINGS = 1000
OWN_PAGE_EVENTS_MIN = 100
"""In every page of the ledger's own entries but the last: they are small, so that a short one only costs time."""


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
        self._retained = 0
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def check_head(self, vkey: Vkey | None) -> None:
        """Raise ProofRejected unless the tiles lead to the checkpoint's root and the key, where it signs heads of this log, signed
        this one; Unavailable where tiles are missing."""
        note, head = parse_note(self.note), note_of(self.note)
        if vkey is not None:
            if vkey.name != head.origin:
                raise ProofRejected(f"the checkpoint is of {head.origin!r}, the key is {vkey.name!r}'s")
            verified_signers(note, [vkey])  # of the root key, or a log key of before, there is no line
        frontier = merkle.Frontier.of(head.size, self.nodes(merkle.cover(0, head.size)))
        if frontier.root() != head.root:
            root = frontier.root().hex()
            raise ProofRejected(
                f"the checkpoint of size {head.size} has root {head.root.hex()}, the tiles give {root} (step 6)"
            )

    def rows(self, start: int, end: int) -> tuple[Rows, list[Finding]]:
        """From entry bundles; one that is missing or misshapen is a finding. Raises Unavailable."""
        entries: list[bytes] = []
        findings: list[Finding] = []
        for index in range(start // merkle.TILE_WIDTH, -(-end // merkle.TILE_WIDTH)):
            first = index * merkle.TILE_WIDTH
            try:
                bundle = self._bundle(index, findings)
            except _WRONG as error:
                findings.append(Finding(Step.ENCODING, max(first, start), str(error)))
                break
            entries += bundle[max(0, start - first) : end - first]
        return [(raw, None) for raw in entries], findings

    def _bundle(self, index: int, findings: list[Finding]) -> list[bytes]:
        """Return a bundle, asked for once where one entry after the other is wanted. What its tile says else is a finding."""
        if self._last[0] != index:
            width = min(merkle.TILE_WIDTH, self.size - index * merkle.TILE_WIDTH)
            self._last = index, self._log.entries(index, width)
            self._check_retained()
            given = dict(enumerate(map(merkle.leaf_hash, self._last[1])))
            findings += self._compare(0, index, given)[:1]
        return self._last[1]

    def _check_retained(self) -> None:
        """Raise Unavailable where the log has more to keep in memory than this process has room for."""
        kept = (len(raw) for raw in self._last[1] if any(name in raw for name in _RETAINED))
        self._retained += sum(kept)
        if self._retained > RETAINED_BYTES_MAX:
            raise Unavailable(
                f"more than {RETAINED_BYTES_MAX} bytes of keys, policies, anchors and states: verify a copy or an export of the log"
            )

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
            for event in page.events:
                if event.stream != OWN_STREAM or not (seqs[-1] if seqs else -1) < event.seq < end:
                    raise Unavailable(
                        f"asked where its own entries stand, the service lists event {event.seq}, {event.stream}"
                    )
                seqs.append(event.seq)
            if page.next_cursor is None:
                return seqs
            if len(page.events) < OWN_PAGE_EVENTS_MIN:
                raise Unavailable("the service lists its own entries in pages that do not end")
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
        """The published hashes above the leaves must be what the entries give. Raises ProofRejected where so much is wrong that
        nothing is gained by reading on, Unavailable."""
        tiles: dict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
        for (height, index), value in segment.tile_nodes.items():
            tiles[height // merkle.TILE_HEIGHT, index // merkle.TILE_WIDTH][index % merkle.TILE_WIDTH] = value
        for (level, tile), given in tiles.items():
            segment.findings += self._compare(level, tile, given)
        segment.tile_nodes = {}
        segment.count_findings()
        wrong = sum(segment.found.get(step, 0) for step in (Step.ENCODING, Step.TREE))
        if wrong >= HOPELESS_FINDINGS and segment.end < self.size:
            first = next(finding for finding in segment.findings if finding.step in (Step.ENCODING, Step.TREE))
            raise ProofRejected(
                f"it does not hold, and was not read past seq {segment.end}: step {first.step}, seq {first.seq}: {first.text}"
            )

    def _compare(self, level: int, tile: int, given: dict[int, bytes]) -> list[Finding]:
        have = (self.size >> (level * merkle.TILE_HEIGHT)) - tile * merkle.TILE_WIDTH
        try:
            published = self._log.hashes(level, tile, min(merkle.TILE_WIDTH, have))
        except _WRONG as error:
            return [Finding(Step.TREE, None, str(error))]
        return [
            Finding(
                Step.TREE,
                tile * merkle.TILE_WIDTH + at if level == 0 else None,
                f"tile {level}/{tile} says {published[at].hex()} at {at}, the entries give {value.hex()}",
            )
            for at, value in given.items()
            if published[at] != value
        ]

    def judge_derived(self, joint: Joint) -> Derived:  # noqa: ARG002  # the seam's signature
        """Nothing: it holds no derived rows."""
        return Derived()

    def erased_past_lock(self) -> dict[int, bytes]:
        """None: payloads are not part of the public log."""
        return {}

    def judge(self, joint: Joint) -> list[Finding]:
        """Tiles above those of segments hold what the tiles below them give. Raises Unavailable."""
        del joint
        findings: list[Finding] = []
        for level, tile, width in merkle.tile_rows(self.size):
            if level > _SEGMENT_LEVELS:
                below = [(level - 1, tile * merkle.TILE_WIDTH + at) for at in range(width)]
                given = {
                    at: merkle.tree_root(self._log.hashes(*place, merkle.TILE_WIDTH)) for at, place in enumerate(below)
                }
                findings += self._compare(level, tile, given)
        return findings


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
