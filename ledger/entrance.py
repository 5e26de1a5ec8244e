"""Where a verification begins that does not begin at entry 0: what the log was up to there, as far as bytes prove it.

    tree      the full subtrees before the place, as the source has them: with the entries from there on they must give the
              signed roots, and an earlier head of a verifier's own says whether they are the ones that it knows
    keys      the entries of the stream `ledger/ledger` before it, all of them: numbered and linked from genesis on, those
              that change keys or policy proved in the tree, and signed
    chain     the hash of the entry before it, from a stretch that is read and proved in the tree: from the newest heartbeat on
    streams   the list that this heartbeat commits to, carried over the stretch; where the source can't give the list, each
              stream begins where its first entry says
    authors   the counter of a key that was live already begins with its first claim from there on

Nothing else before the place is looked at: `unverified` says so, in sentences for a report.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, cast

import msgspec

from decision_dna.ledger import hashing, merkle, streams
from decision_dna.ledger.authority import (
    Authority,
    authority_after,
    decode_ledger_payload,
    named_checkpoint,
    signature_job,
)
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.pace import Beat
from decision_dna.ledger.signatures import is_signed
from decision_dna.ledger.sources import Source
from decision_dna.ledger.streams import StreamHead
from decision_dna.ledger.verification import SEGMENT_EVENTS, AuthorityEntry, Joint, Segment
from decision_dna.schemas.claims import Claim, Entry, decode_claim, decode_entry
from decision_dna.schemas.errors import InvariantBroken, LedgerError, NotFound, ProofRejected, Refused, Unavailable
from decision_dna.schemas.ledgering import AUTHORITY_TYPES, HEARTBEAT, Heartbeat

OWN_STREAM = "ledger/ledger"


class Enterable(Source, Protocol):
    """A source that can say what lies before a place. What it says is checked."""

    def nodes(self, nodes: list[merkle.Node]) -> list[bytes]:
        """Hashes of full subtrees. Raises NotFound, ProofRejected, InvariantBroken, Unavailable."""
        ...

    def own_seqs(self, end: int) -> list[int]:
        """Where the entries of `ledger/ledger` before `end` stand, ascending. Raises Unavailable."""
        ...

    def stream_heads_at(self, seq: int) -> dict[str, StreamHead] | None:
        """The heads of all streams of the entries before `seq`; None where it does not know them."""
        ...


class Entrance(msgspec.Struct, frozen=True):
    """The log as it was before entry `seq`. `streams` None: where streams stood is unknown but for the ledger's own.
    `roots`: at the sizes of earlier heads up to there. `live`: key_ids of the keys that may have spoken before."""

    seq: int
    frontier: merkle.Frontier
    last_hash: bytes
    recorded_at: int
    authority: list[AuthorityEntry]
    live: frozenset[bytes]
    own: StreamHead
    streams: dict[str, StreamHead] | None
    roots: dict[int, bytes]
    heartbeat: int | None
    beat: Beat

    def begin(self, joint: Joint) -> None:
        """Put an empty joint at this place."""
        joint.first = self.seq
        joint.frontier, joint.last_hash, joint.recorded_at = self.frontier, self.last_hash, self.recorded_at
        joint.roots = {**self.roots, self.seq: self.frontier.root()}
        joint.streams = {OWN_STREAM: self.own} if self.streams is None else dict(self.streams)
        joint.authority = list(self.authority)
        joint.beat, joint.last_time = self.beat, self.recorded_at

    def admit(self, joint: Joint, segment: Segment) -> None:
        """Before the joint takes the next segment: what is unknown begins as the segment says."""
        if segment.start == self.seq:
            joint.first_recorded_at = segment.first_recorded_at or 0
        for key_id, author in segment.authors.items():
            if key_id in self.live:
                joint.authors.setdefault(key_id, (author.author_seq, author.author_prev))
        if self.streams is None:
            for name, span in segment.streams.items():
                joint.streams.setdefault(name, (span.first_seq, span.first_prev))
            joint.heartbeats += [(met.seq, met.recorded_at) for met in segment.heartbeats]
            segment.heartbeats = []  # their lists hold streams that nothing here knows

    def roots_before(self, source: Source, sizes: Iterable[int]) -> dict[int, bytes]:
        """Return the roots of beginnings of the log up to this place, as far as the source can show them."""
        with suppress(
            LedgerError
        ):  # what it can't show stays unknown, and `unverified` says that nothing before was looked at
            return roots_at(cast(Enterable, source), [size for size in sizes if size <= self.seq], self.frontier)
        return {}

    def unverified(self, earlier_sizes: Sequence[int]) -> list[str]:
        """What a verification from here on leaves open, given earlier heads of these sizes that hold."""
        newest, last = max(earlier_sizes, default=0), self.seq - 1
        said = [
            f"entries 0 to {last} were not verified: of their bytes, links, signatures, payloads and ids nothing was looked at "
            f"but the {self.own[0]} entries of {OWN_STREAM}",
            _tie(newest, self.seq),
            f"that an id or a cause from seq {self.seq} on agrees with entries before it rests on the source's word",
            f"counters of author keys that were live before seq {self.seq} begin with each key's first claim from there on",
            f"kept heads below size {self.seq}, anchors, state commitments, stored indexes and views were not compared, nor was the "
            "number of ids, nor what is stored of streams and authors that were silent since",
        ]
        if self.streams is None:
            said.append(f"where streams stood before seq {self.seq} is unknown: heartbeats were not compared with them")
        elif self.heartbeat is not None:
            said.append(
                f"where streams stood is what the heartbeat at seq {self.heartbeat} says, which was not verified"
            )
        return said


def _tie(newest: int, seq: int) -> str:
    if newest >= seq:
        return f"they are the entries under your head of size {newest}: what you verified of them then holds now"
    if newest:
        return f"entries {newest} to {seq - 1} were verified neither now nor with your head of size {newest}"
    return f"nothing but this log's own signature says that entries 0 to {seq - 1} are what they were: give --head with a head kept from before"


class _Met(msgspec.Struct, frozen=True):
    """An entry before the place."""

    seq: int
    raw: bytes
    entry: Entry
    claim: Claim


class _Stretch(msgspec.Struct, frozen=True):
    """Entries that were read up to the place: the ledger's own, the last, and the streams' heads after them."""

    own: list[_Met]
    last: _Met
    heads: dict[str, StreamHead]


def enter(source: Enterable, from_seq: int, earlier: Sequence[bytes]) -> Entrance:
    """Where to begin so that entry `from_seq` is verified: rounded down to a whole tile of 256. `earlier` are heads from before.

    Raises Refused where there is no such tile before it in the log, ProofRejected (with the step) where what lies before
    contradicts itself, Unavailable where the source can't give it.
    """
    if not merkle.TILE_WIDTH <= from_seq <= source.size:
        raise Refused(
            f"a log of {source.size} entries is not entered at seq {from_seq}: from {merkle.TILE_WIDTH} up to its end"
        )
    seq = from_seq - from_seq % merkle.TILE_WIDTH
    try:
        return _entered(source, seq, earlier)
    except (NotFound, InvariantBroken) as error:
        raise ProofRejected(f"the log can't be entered at seq {seq} (step 6): {error}") from None


def _entered(source: Enterable, seq: int, earlier: Sequence[bytes]) -> Entrance:
    frontier = _frontier(source, seq)
    listed = source.own_seqs(seq)
    if not listed or not all(0 <= at < seq for at in listed):
        raise Unavailable(f"the source does not say where the entries of {OWN_STREAM} before seq {seq} stand")
    before = [_read(source, at, at + 1)[0] for at in listed]
    start = next((at for at in reversed(range(len(before))) if before[at].claim.type == HEARTBEAT), 0)
    begin = before[start].seq
    heads = {} if begin == 0 else _proved_heads(source, before[start])
    stretch = _read_stretch(source, begin, frontier, heads or {})
    own = [*before[:start], *stretch.own]
    _check_links(own)
    changes = [met for met in own if met.claim.type in AUTHORITY_TYPES]
    for met in changes:
        if met.seq < begin:
            _check_included(source, met, frontier)
    _check_named(source, changes, frontier)
    return Entrance(
        seq,
        frontier,
        hashing.entry_hash(stretch.last.raw),
        stretch.last.entry.recorded_at,
        [AuthorityEntry(met.seq, met.raw) for met in changes],
        _check_changes(changes),
        _head_after(own[-1]),
        None if heads is None else stretch.heads,
        _earlier_roots(source, earlier, frontier),
        begin or None,
        Beat(begin, before[start].entry.recorded_at),
    )


def _frontier(source: Enterable, size: int) -> merkle.Frontier:
    return merkle.Frontier.of(size, source.nodes(merkle.cover(0, size)))


def _read(source: Enterable, start: int, end: int) -> list[_Met]:
    rows, findings = source.rows(start, end)
    if findings or len(rows) != end - start:
        why = findings[0].text if findings else f"{len(rows)} entries lie in [{start}, {end})"
        raise ProofRejected(f"entries before the place can't be read (step 1): {why}")
    met: list[_Met] = []
    for seq, (raw, _) in enumerate(rows, start):
        try:
            entry = decode_entry(raw)
            claim = decode_claim(entry.claim)
        except LedgerError as error:
            raise ProofRejected(f"entry {seq} can't be read (step 1): {error}") from None
        if (entry.seq, claim.origin) != (seq, source.origin):
            raise ProofRejected(f"entry {seq} says that it is entry {entry.seq} of {claim.origin!r} (step 1)")
        met.append(_Met(seq, raw, entry, claim))
    return met


def _read_stretch(source: Enterable, start: int, whole: merkle.Frontier, heads: Mapping[str, StreamHead]) -> _Stretch:
    """The entries [start, whole.size), which must be those under the tree; `heads` are the streams' before them."""
    frontier, own, after = _frontier(source, start), list[_Met](), dict(heads)
    for at in range(start, whole.size, SEGMENT_EVENTS):
        some = _read(source, at, min(at + SEGMENT_EVENTS, whole.size))
        frontier = merkle.extend(frontier, [merkle.leaf_hash(met.raw) for met in some])
        own += [met for met in some if met.entry.stream == OWN_STREAM]
        after |= {met.entry.stream: _head_after(met) for met in some}
    if frontier != whole:
        raise ProofRejected(f"the entries {start} to {whole.size - 1} are not those under the tree (step 6)")
    return _Stretch(own, some[-1], after)


def _check_links(own: list[_Met]) -> None:
    """All of the ledger's own entries, none left out: numbers without gaps, each with the hash of the one before."""
    expected = hashing.ZEROS
    for number, met in enumerate(own):
        if (met.entry.stream, met.entry.stream_seq) != (OWN_STREAM, number):
            raise Unavailable(
                f"entry {met.seq} is not number {number} of {OWN_STREAM}: the source leaves some out; verify the whole log"
            )
        if met.entry.stream_prev != expected:
            raise ProofRejected(f"entry {met.seq} does not follow on the one before it in {OWN_STREAM} (step 3)")
        expected = hashing.entry_hash(met.raw)


def _check_included(source: Enterable, met: _Met, whole: merkle.Frontier) -> None:
    proof = merkle.prove_inclusion(met.seq, whole.size, source.nodes)
    try:
        merkle.check_inclusion(met.seq, whole.size, merkle.leaf_hash(met.raw), proof, whole.root())
    except ProofRejected as error:
        raise ProofRejected(
            f"entry {met.seq} changes keys or policy, and can't be shown to be in the tree (step 6): {error}"
        ) from None


def _check_named(source: Enterable, changes: list[_Met], whole: merkle.Frontier) -> None:
    """What root signed names a beginning of this log."""
    named = [(met, named_checkpoint(met.claim, met.entry.open)) for met in changes]
    roots = roots_at(source, {checkpoint.size for _, checkpoint in named if checkpoint is not None}, whole)
    for met, checkpoint in named:
        if checkpoint is not None and roots.get(checkpoint.size) != checkpoint.root:
            raise ProofRejected(
                f"entry {met.seq} names another root for the first {checkpoint.size} entries than they have (step 4)"
            )


def _check_changes(changes: list[_Met]) -> frozenset[bytes]:
    """Each is signed as those before it demand. Returns the key_ids of all keys that are live after the last."""
    authority: Authority | None = None
    for met in changes:
        try:
            job = signature_job(authority, met.entry, met.claim)
            if job is None or not is_signed(*job):
                raise ProofRejected("its signature does not verify")
            authority = authority_after(authority, met.entry, met.claim)
        except LedgerError as error:
            raise ProofRejected(f"entry {met.seq} changes keys or policy, and may not (step 4): {error}") from None
    if authority is None:
        raise ProofRejected("entry 0 is no genesis (step 4)")
    single = (authority.root, authority.notary, authority.anchor, authority.log[-1].key)
    return frozenset({*authority.authors, *(hashing.key_id(key) for key in single)})


def _proved_heads(source: Enterable, heartbeat: _Met) -> dict[str, StreamHead] | None:
    """The heads that a heartbeat commits to, where the source gives that very list."""
    given = source.stream_heads_at(heartbeat.seq)
    try:
        payload = decode_ledger_payload(heartbeat.claim, heartbeat.entry.open)
    except Refused:
        return None  # what lies before is not judged: it only is of no use
    if given is None or not isinstance(payload, Heartbeat):
        return None
    leaves = streams.list_leaves(given)
    said = (payload.streams_count, payload.streams_root)
    return dict(given) if said == (len(leaves), streams.list_root(leaves)) else None


def _head_after(met: _Met) -> StreamHead:
    return met.entry.stream_seq + 1, hashing.entry_hash(met.raw)


def _earlier_roots(source: Enterable, earlier: Sequence[bytes], whole: merkle.Frontier) -> dict[int, bytes]:
    """The roots at the sizes of earlier heads, from subtrees that the tree at this place consists of."""
    sizes: set[int] = set()
    for note in earlier:
        with suppress(ProofRejected):  # one that can't be read is named with the findings
            sizes.add(note_of(note).size)
    return roots_at(source, sizes, whole)


def roots_at(source: Enterable, sizes: Iterable[int], whole: merkle.Frontier) -> dict[int, bytes]:
    """Return the roots of the log's beginnings of these sizes, up to `whole`'s, each shown to be one of its tree's. Raises ProofRejected."""
    roots = {size: _frontier(source, size).root() for size in sizes if size <= whole.size}
    for size, root in roots.items():
        proof = merkle.prove_consistency(size, whole.size, source.nodes)
        merkle.check_consistency(size, whole.size, root, whole.root(), proof)
    return roots
