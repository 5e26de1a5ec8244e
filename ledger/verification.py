"""The numbered verification of a whole log, steps 1–7 (docs/format.md, section 15), as pure functions on bytes.

A log is checked in *segments* of 65,536 entries, each by itself and anywhere (`SegmentCheck`), and the results are
joined in order (`Joint`). What a segment can't know (where its streams stood, which keys were live) it takes as a
starting point or leaves to the join:

    keys and policy   assumed from a schedule, then compared with the entries that the segments really met
    streams, authors  continuity inside the segment; the join checks first against last
    tree              hashes over aligned subtrees; the join pushes them and compares every kept head
    heartbeats        how the segment's streams moved up to them; the join lays that over what came before
    maxima, gaps      the entries up to the segment's first heartbeat, and the step to its first entry, are the join's
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from hashlib import sha256
from sys import maxsize
from typing import NamedTuple

import msgspec

from decision_dna.ledger import hashing, merkle, pace, streams
from decision_dna.ledger.authority import (
    AuthorCounter,
    Authority,
    SignatureJob,
    authority_after,
    counter_after,
    counter_from,
    decode_ledger_payload,
    named_checkpoint,
    signature_job,
    signed_by,
)
from decision_dna.ledger.notes import Vkey, open_head
from decision_dna.ledger.pace import EXEMPT_TYPES, NO_VOUCH, Beat, Limits, Vouch
from decision_dna.ledger.signatures import is_signed
from decision_dna.ledger.streams import StreamHead
from decision_dna.schemas import claims, codec
from decision_dna.schemas.claims import CLAIMS, ENTRIES, VERSION, ZEROS, Claim, Entry, decode_claim, decode_entry
from decision_dna.schemas.errors import BadInput, LedgerError, ProofRejected
from decision_dna.schemas.ledgering import AUTHORITY_TYPES, HEARTBEAT, ClockStep, Erasure, Heartbeat
from decision_dna.schemas.payloads import PAYLOAD_BYTES_MAX, is_open
from decision_dna.schemas.texts import id_text, time_text

SEGMENT_HEIGHT = 16
SEGMENT_EVENTS = 1 << SEGMENT_HEIGHT
FINDINGS_KEPT = 50
NO_SALT = bytes(16)
UNSIGNED = ("none", "", b"", b"", b"")
"""How an entry ends that nobody signed: attestation, principal, key_id, signature, and no open payload."""
UNCOUNTED = (0, ZEROS)
"""author_seq and author_prev of a claim that no author signed."""


class Step(IntEnum):
    """The steps, with the same numbers in code, report and README."""

    ENCODING = 1
    CHAIN = 2
    STREAMS = 3
    ATTESTATIONS = 4
    PAYLOADS = 5
    TREE = 6
    CHECKPOINTS = 7
    WITNESSES = 8
    ANCHORS = 9
    STATE = 10
    DECISIONS = 11


class Finding(msgspec.Struct, frozen=True):
    """What does not hold, in which step, at which seq (None: not at one entry)."""

    step: int
    seq: int | None
    text: str


StoredPayload = bytes | None
"""salt ‖ payload bytes, or nothing."""
Row = tuple[bytes, StoredPayload]
"""An entry's bytes, with its payload."""


class AuthorityEntry(msgspec.Struct, frozen=True):
    """An entry that changes keys or policy, as met."""

    seq: int
    raw: bytes


class AuthorSpan(msgspec.Struct):
    """What one author key said in a segment: its first claim, for the join to judge, and its counter at the end."""

    seq: int
    author_seq: int
    author_prev: bytes
    digest: bytes
    after: AuthorCounter


class StreamSpan(msgspec.Struct):
    """One stream in a segment: where it starts, for the join to judge, and its head at the end."""

    seq: int
    first_seq: int
    first_prev: bytes
    next_seq: int
    head: bytes


class HeartbeatMet(msgspec.Struct, frozen=True):
    """A heartbeat, and how the streams had moved since the segment's heartbeat before it, or its start."""

    seq: int
    recorded_at: int
    count: int
    root: bytes
    tree: bytes
    moved: dict[str, StreamHead]


class Pace(msgspec.Struct, frozen=True):
    """The last of some entries that came before a segment's first heartbeat, under these limits."""

    seq: int
    recorded_at: int
    limits: Limits


class Odd(NamedTuple):
    """An entry that can't be read (`entry` None; `before` is the last one before it that can), or whose time goes back:
    the next entry's time is not to be compared with the segment's latest."""

    seq: int
    entry: Beat | None
    before: Beat | None


class Named(msgspec.Struct, frozen=True):
    """An entry of root's that names the root of the log's first `size` entries."""

    seq: int
    size: int
    root: bytes


class Segment(msgspec.Struct):
    """What one segment says of itself. `first_prev` and `first_recorded_at` are None where its first entry can't be read."""

    start: int
    end: int
    findings: list[Finding] = []
    found: dict[int, int] = {}
    first_prev: bytes | None = None
    last_hash: bytes = ZEROS
    first_recorded_at: int | None = None
    last_recorded_at: int = 0
    streams: dict[str, StreamSpan] = {}
    authors: dict[bytes, AuthorSpan] = {}
    authority: list[AuthorityEntry] = []
    heartbeats: list[HeartbeatMet] = []
    erasures: list[tuple[int, int, bytes]] = []
    missing: list[tuple[int, bytes]] = []
    causes: list[tuple[int, bytes]] = []
    ids: list[tuple[int, bytes, str]] = []
    subtrees: dict[int, list[bytes]] = {}
    tile_nodes: dict[tuple[int, int], bytes] = {}
    noted: list[AuthorityEntry] = []
    index_digests: dict[int, bytes] = {}
    attestations: dict[str, int] = msgspec.field(default_factory=lambda: {"author": 0, "notary": 0, "none": 0})
    paces: list[Pace] = []
    last_beat: Beat | None = None
    first_vouch: Vouch = NO_VOUCH
    first_limits: Limits | None = None
    last_time: int | None = None
    named: list[Named] = []
    sources: set[tuple[str, str]] = set()

    def count_findings(self) -> None:
        """After findings were added from outside: no step has fewer than its list says."""
        listed = Counter(finding.step for finding in self.findings)
        self.found = {step: max(self.found.get(step, 0), listed[step]) for step in {*self.found, *listed}}


Schedule = list[tuple[int, Authority]]
"""(first seq at which it holds, keys and policy), ascending."""


class SegmentCheck:
    """Checks the entries of one segment, which starts at a multiple of its own width: `add` them in order, then `finish`."""

    quick = True
    """Whether entries that can be taken in without a word are."""

    def __init__(
        self, origin: str, start: int, schedule: Schedule, payloads_known: bool, note_types: frozenset[str]
    ) -> None:
        self.origin, self.start, self.payloads_known, self.note_types = origin, start, payloads_known, note_types
        self.schedule = [item for item in schedule if item[0] > start]
        before = [item for item in schedule if item[0] <= start]
        self.authority = before[-1][1] if before else None
        self.segment = Segment(start, start)
        self.leaves: list[bytes] = []
        self.prev: bytes | None = None
        self._judged: dict[tuple[str, str, str, str, bytes], bytes | None] = {}
        self._plain: dict[str, dict[str, str]] = {}  # by stream, the types that need no signature, with their source
        self._recorded_at, self._latest_id = -1, b""
        self._run_start, self._limits = start, self._limits_now()
        self._odd = Odd(-2, None, None)
        self._heard: dict[str, int] = {}  # by stream, its next stream_seq at the last heartbeat
        self._entry_hash, self._payload_hash = hashing.entry_hasher(), hashing.payload_hasher()

    def find(self, step: Step, seq: int | None, text: str) -> None:
        """Note what does not hold; the first `FINDINGS_KEPT` of a step with their text, all by number."""
        found = self.segment.found
        found[step] = found.get(step, 0) + 1
        if found[step] <= FINDINGS_KEPT:
            self.segment.findings.append(Finding(step, seq, text))

    def add(self, first: int, rows: Iterable[Row]) -> None:
        """Entries with their payloads, in their places from `first` on."""
        numbered = enumerate(rows, first)
        for seq, (raw, payload) in self._take_plain(first, numbered) if self.quick else numbered:
            if self.schedule and self.schedule[0][0] <= seq:
                self.close_run(seq, self._last_readable(seq))
                self.authority = self.schedule.pop(0)[1]
                self._judged.clear()
                self._plain.clear()
                self._limits = self._limits_now()
            digest = self._entry_hash(raw)
            self.leaves.append(sha256(b"\x00" + raw).digest())
            self._judge(seq, raw, payload, digest)
            self.prev = digest

    def _take_plain(self, first: int, numbered: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """Take in the unsigned entries of which nothing is to be said; the others are given out, and `add` judges them.

        The hot path of logs without signatures: the very conditions of `_judge`, without its words (a test compares the two).
        `prev` and the segment are shared with `add`: they are read anew for each entry.
        """
        segment, decode_entry, decode_claim, encode = self.segment, ENTRIES.decode, CLAIMS.decode, codec.encode
        entry_hash, span_of, sources_of = self._entry_hash, segment.streams.get, self._plain.get
        next_change = self._next_change(first - 1)
        pause = self._limits.pause_ns if self._limits else 0
        for seq, (raw, payload) in numbered:
            try:
                entry = decode_entry(raw)
                claim = decode_claim(entry.claim)
            except codec.NOT_DECODED:
                yield seq, (raw, payload)
                next_change = self._next_change(seq)
                continue
            stream, recorded_at, type_, source = entry.stream, entry.recorded_at, claim.type, claim.source
            span, sources, causes = span_of(stream), sources_of(stream), claim.causes
            if span is None or sources is None or sources.get(type_) != source or seq >= next_change:
                yield seq, (raw, payload)
                next_change = self._next_change(seq)
                pause = self._limits.pause_ns if self._limits else 0
                continue
            # An entry and a claim are arrays: of what is not theirs to say, each field is known.
            entry_fields = (
                VERSION,
                seq,
                self.prev,
                stream,
                span.next_seq,
                span.head,
                recorded_at,
                entry.claim,
                *UNSIGNED,
            )
            claim_fields = (
                VERSION,
                self.origin,
                claim.id,
                type_,
                claim.schema,
                source,
                claim.subject,
                claim.occurred_at,
            )
            if (
                encode(entry_fields) != raw
                or encode((*claim_fields, causes, claim.trace, *UNCOUNTED, claim.payload_commitment)) != entry.claim
                or not segment.last_recorded_at <= recorded_at <= segment.last_recorded_at + pause
                or len(causes) > 1
                or not self._is_timely(entry, claim)
                or not _is_plain(claim)
                or not self._is_committed(claim, payload)
            ):
                yield seq, (raw, payload)
                next_change = self._next_change(seq)
                continue
            self.prev = span.head = entry_hash(raw)
            self.leaves.append(sha256(b"\x00" + raw).digest())
            span.next_seq += 1
            segment.last_recorded_at = recorded_at
            segment.attestations["none"] += 1
            segment.ids.append((seq, claim.id, source))
            if causes:
                segment.causes.append((seq, causes[0]))

    def _next_change(self, seq: int) -> int:
        """The next seq at which keys or policy are others, or the entry after `seq` if its time is to be judged by that one."""
        if self._odd.seq == seq:
            return seq + 1
        return self.schedule[0][0] if self.schedule else maxsize

    def _is_timely(self, entry: Entry, claim: Claim) -> bool:
        if entry.recorded_at != self._recorded_at:  # one commit has one time
            self._recorded_at = entry.recorded_at
            self._latest_id = ((entry.recorded_at + claims.AHEAD_NS_MAX) // 1_000_000).to_bytes(9)[3:]
        return claim.occurred_at <= entry.recorded_at and claim.id[:6] <= self._latest_id

    def _is_committed(self, claim: Claim, salted: StoredPayload) -> bool:
        if salted is None:
            return not self.payloads_known
        return (
            len(NO_SALT) <= len(salted) <= len(NO_SALT) + PAYLOAD_BYTES_MAX
            and self._payload_hash(salted) == claim.payload_commitment
        )

    def _judge(self, seq: int, raw: bytes, payload: StoredPayload, digest: bytes) -> None:
        """Whatever is to be said of an entry."""
        segment = self.segment
        try:
            entry = decode_entry(raw)
        except BadInput as error:
            self.find(Step.ENCODING, seq, f"entry: {error}")
            self._odd = Odd(seq, None, self._last_readable(seq))
            return
        before = self._last_readable(seq)
        if self.prev is None:
            segment.first_prev, segment.first_recorded_at = entry.prev, entry.recorded_at
        else:
            if entry.prev != self.prev:
                self.find(Step.CHAIN, seq, f"prev is {entry.prev.hex()}, the entry before hashes to {self.prev.hex()}")
            if entry.recorded_at < segment.last_recorded_at:
                self.find(
                    Step.ENCODING,
                    seq,
                    f"recorded_at {time_text(entry.recorded_at)} lies before the last, {time_text(segment.last_recorded_at)}",
                )
        segment.last_recorded_at = max(segment.last_recorded_at, entry.recorded_at)
        if entry.seq != seq:
            self.find(Step.ENCODING, seq, f"the entry says seq {entry.seq}")
        claim = self._claim(seq, entry)
        self._judge_pace(seq, entry, claim, before)
        if entry.recorded_at < segment.last_recorded_at:
            self._odd = Odd(seq, Beat(seq, entry.recorded_at), None)
        if claim is not None:
            self._heartbeat(seq, entry, claim)  # commits to the streams before it
            self._attestation(seq, raw, entry, claim)
            self._payload(seq, entry, claim, payload)
            if claim.type in self.note_types:
                segment.noted.append(AuthorityEntry(seq, raw))
        self._stream(seq, entry, digest)

    def _claim(self, seq: int, entry: Entry) -> Claim | None:
        try:
            claim = decode_claim(entry.claim)
        except BadInput as error:
            self.find(Step.ENCODING, seq, f"claim: {error}")
            return None
        if claim.origin != self.origin:
            self.find(Step.ENCODING, seq, f"claim for origin {claim.origin!r} in the log {self.origin!r}")
        stream = claims.stream_of(claim.type, claim.source)
        if entry.stream != stream:
            self.find(Step.ENCODING, seq, f"stream is {entry.stream!r}, type and source give {stream!r}")
        self._times(seq, entry, claim)
        self.segment.ids.append((seq, claim.id, claim.source))
        if claim.causes:
            self.segment.causes.extend([(seq, cause) for cause in claim.causes])
        return claim

    def _times(self, seq: int, entry: Entry, claim: Claim) -> None:
        if not self._is_timely(entry, claim):
            try:
                claims.check_times(claim.occurred_at, claim.id, entry.recorded_at)
            except BadInput as error:
                self.find(Step.ENCODING, seq, str(error))

    def _stream(self, seq: int, entry: Entry, digest: bytes) -> None:
        span = self.segment.streams.get(entry.stream)
        if span is None:
            self.segment.streams[entry.stream] = StreamSpan(
                seq, entry.stream_seq, entry.stream_prev, entry.stream_seq + 1, digest
            )
            return
        if entry.stream_seq != span.next_seq:
            self.find(
                Step.STREAMS,
                seq,
                f"stream {entry.stream}: stream_seq is {entry.stream_seq}, the next is {span.next_seq}",
            )
        if entry.stream_prev != span.head:
            self.find(
                Step.STREAMS,
                seq,
                f"stream {entry.stream}: stream_prev is {entry.stream_prev.hex()}, its last entry hashes to {span.head.hex()}",
            )
        span.next_seq, span.head = span.next_seq + 1, digest

    def _attestation(self, seq: int, raw: bytes, entry: Entry, claim: Claim) -> None:
        self.segment.attestations[entry.attestation] += 1
        if claim.type in AUTHORITY_TYPES and claim.source == "ledger":
            self.segment.authority.append(AuthorityEntry(seq, raw))
            checkpoint = named_checkpoint(claim, entry.open)
            if checkpoint is not None and checkpoint.size <= seq:
                self.segment.named.append(Named(seq, checkpoint.size, checkpoint.root))
        try:
            job = self._job(seq, entry, claim)
            if job is None:
                self._learn(entry, claim)
            elif not is_signed(*job):
                self.find(
                    Step.ATTESTATIONS,
                    seq,
                    f"the {entry.attestation}'s signature does not verify under key {job[0].hex()}",
                )
        except LedgerError as error:
            self.find(Step.ATTESTATIONS, seq, str(error))
        if entry.attestation == "author":
            self._count(seq, entry, claim)
        elif claim.author_seq:
            self.find(Step.ATTESTATIONS, seq, f"author_seq {claim.author_seq} in a claim that no author signed")

    def _job(self, seq: int, entry: Entry, claim: Claim) -> SignatureJob | None:
        """As `signature_job`, which under one authority depends on these five alone, but for the ledger's own entries."""
        if claim.source == "ledger" or entry.stream != claims.stream_of(claim.type, claim.source):
            return signature_job(self.authority if seq else None, entry, claim)
        place = (claim.type, entry.stream, entry.attestation, entry.principal, entry.key_id)
        if place in self._judged:
            key = self._judged[place]
            return None if key is None else signed_by(key, entry)
        job = signature_job(self.authority if seq else None, entry, claim)
        if entry.attestation != "author":
            self.segment.sources.add((entry.principal, claim.source))
        self._judged[place] = None if job is None else job[0]
        return job

    def _learn(self, entry: Entry, claim: Claim) -> None:
        """That entries of this stream and type need nobody's signature, and nothing else is to be kept of them."""
        if claim.source == "ledger" or is_open(claim.type) or claim.type in self.note_types:
            return
        if entry.stream == claims.stream_of(claim.type, claim.source):
            self._plain.setdefault(entry.stream, {})[claim.type] = claim.source

    def _count(self, seq: int, entry: Entry, claim: Claim) -> None:
        digest = hashing.claim_hash(entry.claim)
        span = self.segment.authors.get(entry.key_id)
        if span is None:
            after = counter_from(claim.author_seq, digest)
            self.segment.authors[entry.key_id] = AuthorSpan(seq, claim.author_seq, claim.author_prev, digest, after)
            return
        try:
            span.after = counter_after(span.after, claim.author_seq, claim.author_prev, digest)
        except LedgerError as error:
            self.find(Step.ATTESTATIONS, seq, f"key {entry.key_id.hex()}: {error}")

    def _limits_now(self) -> Limits | None:
        return None if self.authority is None else Limits.of(self.authority.policy)

    def _last_readable(self, seq: int) -> Beat | None:
        """The newest entry of this segment before `seq` that can be read, and when it was recorded."""
        if seq - 1 < self.start:
            return None
        if self._odd.seq == seq - 1:
            return self._odd.entry or self._odd.before
        return Beat(seq - 1, self.segment.last_recorded_at)

    def _judge_pace(self, seq: int, entry: Entry, claim: Claim | None, before: Beat | None) -> None:
        """Judge the step to this entry from the one `before` it, and end the run of entries before it where the maxima count anew from it."""
        exempt = seq == 0 or (claim is not None and claim.type in EXEMPT_TYPES)
        vouch = NO_VOUCH
        if exempt:
            self.close_run(seq, before)
            self._run_start = seq + 1
            if claim is not None and self.authority is not None and seq:
                vouch = pace.vouch_of(self.authority, entry, claim)
            if seq == 0 or (claim is not None and claim.type == HEARTBEAT):
                self.segment.last_beat = Beat(seq, entry.recorded_at)
        if self.prev is None:
            self.segment.first_vouch, self.segment.first_limits = vouch, self._limits
        elif self._limits is not None and before is not None and before.seq == seq - 1:
            wrong = pace.stepped(self._limits, vouch, before.recorded_at, entry.recorded_at)
            if wrong is not None:
                self.find(Step.STREAMS, seq, wrong)

    def close_run(self, seq: int, last: Beat | None) -> None:
        """Judge the entries since the last heartbeat, policy or clock entry by the `last` that can be read: no other lies further behind."""
        limits = self._limits
        if last is not None and last.seq >= self._run_start and limits is not None:
            if self.segment.last_beat is None:
                self.segment.paces.append(Pace(last.seq, last.recorded_at, limits))
            elif (late := pace.overdue(limits, self.segment.last_beat, last.seq, last.recorded_at)) is not None:
                self.find(Step.STREAMS, last.seq, late)
        self._run_start = seq

    def end_runs(self, end: int) -> None:
        """After the segment's last entry."""
        last = self._last_readable(end)
        self.close_run(end, last)
        if last is not None and last.seq == end - 1:
            self.segment.last_time = last.recorded_at

    def _heartbeat(self, seq: int, entry: Entry, claim: Claim) -> None:
        if claim.source != "ledger":
            return
        try:
            payload = decode_ledger_payload(claim, entry.open)
        except LedgerError:
            return  # named by step 4
        if isinstance(payload, Heartbeat):
            seen = self._heard
            moved = {
                name: (span.next_seq, span.head)
                for name, span in self.segment.streams.items()
                if seen.get(name) != span.next_seq
            }
            seen.update((name, head[0]) for name, head in moved.items())
            met = HeartbeatMet(seq, entry.recorded_at, payload.streams_count, payload.streams_root, payload.root, moved)
            self.segment.heartbeats.append(met)
            if (payload.size, payload.last) != (seq, entry.prev):
                said = f"size {payload.size}, last {payload.last.hex()}"
                self.find(Step.STREAMS, seq, f"the heartbeat says {said}; its place is {seq}, {entry.prev.hex()}")
        elif isinstance(payload, ClockStep) and self.authority is not None and seq:
            wrong = pace.misplaced(self.authority.policy, payload, entry.recorded_at)
            if wrong is not None:
                self.find(Step.STREAMS, seq, wrong)
        elif isinstance(payload, Erasure):
            self.segment.erasures.append((seq, payload.seq, payload.id))

    def _payload(self, seq: int, entry: Entry, claim: Claim, payload: StoredPayload) -> None:
        salted = payload
        if is_open(claim.type):
            if payload is not None:
                self.find(Step.PAYLOADS, seq, f"{claim.type} is open, and yet has a payload beside its entry")
            salted = NO_SALT + entry.open
        elif entry.open:
            self.find(Step.PAYLOADS, seq, f"{claim.type} is not open, and yet its entry holds a payload")
        if salted is None:
            if self.payloads_known:
                self.segment.missing.append((seq, claim.id))
            return
        if not len(NO_SALT) <= len(salted) <= len(NO_SALT) + PAYLOAD_BYTES_MAX:
            self.find(Step.PAYLOADS, seq, f"salt and payload of {len(salted)} bytes")
        elif (given := self._payload_hash(salted)) != claim.payload_commitment:
            self.find(
                Step.PAYLOADS,
                seq,
                f"payload and salt commit to {given.hex()}, the claim says {claim.payload_commitment.hex()}",
            )

    def finish(self, sizes: Sequence[int]) -> Segment:
        """The segment, with the subtrees that the heads at `sizes` inside it need, and the nodes that tiles hold."""
        segment, start = self.segment, self.start
        segment.end, segment.last_hash = start + len(self.leaves), self.prev or ZEROS
        self.end_runs(segment.end)
        rows: merkle.Rows = []
        merkle.extend(merkle.Frontier(), self.leaves, rows)

        def node(height: int, index: int) -> bytes:
            return rows[height][1][index - (start >> height)]

        asked = {
            *(size for size in sizes if size <= segment.end),
            *(met.seq for met in segment.heartbeats),
            segment.end,
        }
        for size in sorted(asked - {start}):
            segment.subtrees[size] = [node(*place) for place in merkle.cover(start, size)]
        for height in range(8, len(rows), 8):
            segment.tile_nodes.update(
                ((height, (start >> height) + at), value) for at, value in enumerate(rows[height][1])
            )
        return segment


def _is_plain(claim: Claim) -> bool:
    """Whether id, subject and trace are of the most common forms that `claims.check_claim` lets pass."""
    return (
        claim.id[6] >> 4 == 7
        and claim.id[8] >> 6 == 2
        and (not claim.subject or (claim.subject.isascii() and claim.subject.isprintable()))
        and (not claim.trace or claims.TRACE.fullmatch(claim.trace) is not None)
    )


class Joint:
    """Joins segments in order, and judges what none of them could know alone."""

    def __init__(self, origin: str, schedule: Schedule) -> None:
        self.origin, self.schedule = origin, schedule
        self.findings: list[Finding] = []
        self.found: Counter[int] = Counter()
        self.first = 0
        self.frontier = merkle.Frontier()
        self.roots: dict[int, bytes] = {0: merkle.EMPTY_ROOT}
        self.streams: dict[str, StreamHead] = {}
        self.authors: dict[bytes, AuthorCounter] = {}
        self.authority: list[AuthorityEntry] = []
        self.noted: list[AuthorityEntry] = []
        self.index_digests: dict[int, bytes] = {}
        self.heartbeats: list[tuple[int, int]] = []
        self.attestations: Counter[str] = Counter()
        self.last_hash, self.recorded_at = ZEROS, 0
        self._missing: list[tuple[int, bytes]] = []
        self._erasures: list[tuple[int, int, bytes]] = []
        self.erased = 0
        self.heads_held = 0
        self.first_recorded_at = 0
        self.beat: Beat | None = None
        self.last_time: int | None = None
        self.named: list[Named] = []
        self.sources: set[tuple[str, str]] = set()

    @property
    def size(self) -> int:
        """Entries joined."""
        return self.frontier.size

    def find(self, step: Step, seq: int | None, text: str) -> None:
        """Note what does not hold."""
        self.found[step] += 1
        if self.found[step] <= FINDINGS_KEPT:
            self.findings.append(Finding(step, seq, text))

    def add(self, segment: Segment) -> None:
        """The next segment."""
        if segment.start == 0:
            self.first_recorded_at = segment.first_recorded_at or 0
        for finding in segment.findings:
            if self.found[finding.step] < FINDINGS_KEPT:
                self.findings.append(finding)
        self.found.update(segment.found)
        if segment.first_prev is not None and segment.first_prev != self.last_hash:
            self.find(
                Step.CHAIN,
                segment.start,
                f"prev is {segment.first_prev.hex()}, the entry before hashes to {self.last_hash.hex()}",
            )
        if segment.first_recorded_at is not None and segment.first_recorded_at < self.recorded_at:
            self.find(
                Step.ENCODING,
                segment.start,
                f"recorded_at {time_text(segment.first_recorded_at)} lies before the last, {time_text(self.recorded_at)}",
            )
        self._join_pace(segment)
        self._join_tree(segment)
        self._join_streams(segment)
        self._join_authors(segment)
        self.authority += segment.authority
        self.named += segment.named
        self.sources |= segment.sources
        self.noted += segment.noted
        self.index_digests |= segment.index_digests
        self.attestations.update(segment.attestations)
        self._missing += segment.missing
        self._erasures += segment.erasures
        self.last_hash, self.recorded_at = segment.last_hash, max(self.recorded_at, segment.last_recorded_at)

    def _join_pace(self, segment: Segment) -> None:
        if None not in (self.last_time, segment.first_recorded_at, segment.first_limits):
            step = segment.first_limits, segment.first_vouch, self.last_time, segment.first_recorded_at
            if (wrong := pace.stepped(*step)) is not None:  # type: ignore[arg-type]  # none is None
                self.find(Step.STREAMS, segment.start, wrong)
        self.last_time = segment.last_time
        beat = self.beat
        if beat is not None:
            for met in segment.paces:
                if (late := pace.overdue(met.limits, beat, met.seq, met.recorded_at)) is not None:
                    self.find(Step.STREAMS, met.seq, late)
        self.beat = segment.last_beat or self.beat

    def judge_named(self, before: dict[int, bytes]) -> None:
        """Step 4: the roots that entries of root's name are the log's. `before`: roots from before an entrance."""
        self.roots |= before
        for met in self.named:
            given = self.roots.get(met.size)
            if given is not None and given != met.root:
                self.find(
                    Step.ATTESTATIONS,
                    met.seq,
                    f"it names root {met.root.hex()} for the first {met.size} entries, they have {given.hex()}",
                )

    def sizes_wanted(self) -> set[int]:
        """Sizes whose roots entries name, and that the walk did not give."""
        return {met.size for met in self.named if met.size not in self.roots}

    def _join_streams(self, segment: Segment) -> None:
        heads = dict(self.streams) if segment.heartbeats else {}
        for heartbeat in segment.heartbeats:
            heads.update(heartbeat.moved)
            leaves = streams.list_leaves(heads)
            if heartbeat.count != len(leaves):
                self.find(
                    Step.STREAMS,
                    heartbeat.seq,
                    f"the heartbeat counts {heartbeat.count} streams, there are {len(leaves)}",
                )
            elif heartbeat.root != (root := streams.list_root(leaves)):
                self.find(
                    Step.STREAMS,
                    heartbeat.seq,
                    f"the heartbeat's root of streams is {heartbeat.root.hex()}, theirs is {root.hex()}",
                )
            if heartbeat.tree != (tree := self.roots.get(heartbeat.seq)):
                given = tree.hex() if tree else "nothing"
                self.find(
                    Step.STREAMS,
                    heartbeat.seq,
                    f"the heartbeat says root {heartbeat.tree.hex()}, the entries before it give {given}",
                )
            self.heartbeats.append((heartbeat.seq, heartbeat.recorded_at))
        for name, span in segment.streams.items():
            expected, head = self.streams.get(name, (0, ZEROS))
            if span.first_seq != expected:
                self.find(
                    Step.STREAMS, span.seq, f"stream {name}: stream_seq is {span.first_seq}, the next is {expected}"
                )
            if span.first_prev != head:
                self.find(
                    Step.STREAMS,
                    span.seq,
                    f"stream {name}: stream_prev is {span.first_prev.hex()}, its last entry hashes to {head.hex()}",
                )
            self.streams[name] = (span.next_seq, span.head)

    def _join_authors(self, segment: Segment) -> None:
        for key_id, span in segment.authors.items():
            try:
                counter_after(self.authors.get(key_id), span.author_seq, span.author_prev, span.digest)
            except LedgerError as error:
                self.find(Step.ATTESTATIONS, span.seq, f"key {key_id.hex()}: {error}")
            self.authors[key_id] = span.after

    def _join_tree(self, segment: Segment) -> None:
        self.roots[segment.start] = self.frontier.root()
        whole = self.frontier
        for size, hashes in segment.subtrees.items():
            frontier = self.frontier
            for (height, _), value in zip(merkle.cover(segment.start, size), hashes, strict=True):
                frontier = merkle.push(frontier, height, value)
            self.roots[size] = frontier.root()
            if size == segment.end:
                whole = frontier
        self.frontier = whole

    def judge_payloads(self, under_way: dict[int, bytes]) -> None:
        """Step 5, as far as it needs the whole log: what is missing was erased, and erasures name what may be.

        `under_way`: what signed erasures past the lock name; their payloads are gone already.
        """
        erased: dict[int, bytes] = {}
        for seq, target, event_id in self._erasures:
            if target >= seq:
                self.find(Step.PAYLOADS, seq, f"the erasure names event {target}, which is not before it")
            erased[target] = event_id
        for seq, event_id in self._missing:
            if event_id not in (erased.get(seq), under_way.get(seq)):
                self.find(Step.PAYLOADS, seq, "the payload is missing, and no erasure names it")
        self.erased = len(erased)

    def check_erasure_targets(self, target_of: dict[int, tuple[bytes, str]]) -> None:
        """Erasures must name the id of an entry that is not open. `target_of`: seq → (id, type) of each named entry."""
        for seq, target, event_id in self._erasures:
            found = target_of.get(target)
            if target >= seq or found is None:
                continue
            if found[0] != event_id:
                self.find(
                    Step.PAYLOADS,
                    seq,
                    f"the erasure names event {target} with id {id_text(event_id)}, its id is {id_text(found[0])}",
                )
            elif is_open(found[1]):
                self.find(Step.PAYLOADS, seq, f"the erasure names event {target}, whose payload is open")

    def erasure_targets(self) -> list[int]:
        """The seqs that erasures name, and that exist."""
        return sorted({target for seq, target, _ in self._erasures if target < seq})

    def folded(self) -> Schedule:
        """Keys and policy as the met entries give them; what can't be folded is a finding of step 4."""
        schedule: Schedule = []
        authority: Authority | None = None
        for met in self.authority:
            try:
                entry = decode_entry(met.raw)
                after = authority_after(authority, entry, decode_claim(entry.claim))
            except LedgerError as error:
                self.find(Step.ATTESTATIONS, met.seq, str(error))
                continue
            if after is not None and after is not authority:
                authority = after
                # Keys once used matter to the fold alone: without them a schedule's states share what they have in common.
                schedule.append((met.seq + 1, msgspec.structs.replace(after, used={})))
        return schedule


def fold_schedule(entries: Sequence[AuthorityEntry]) -> Schedule:
    """A schedule to assume, from entries believed to change keys or policy; what does not fold is left out."""
    joint = Joint("", [])
    joint.authority = list(entries)
    return joint.folded()


class Pin(msgspec.Struct, frozen=True):
    """What the verifier's key showed: `pinned` where a kept head (or genesis) is tied to it."""

    given: bool
    pinned: bool
    text: str


def judge_heads(joint: Joint, heads: Sequence[tuple[int, bytes]], size: int, vkey: Vkey | None) -> Pin:
    """Step 7 over all kept heads, (size, note) ascending, the last of which must be of the whole log; and step 6: its root."""
    authority = joint.schedule[-1][1] if joint.schedule else None
    if authority is None:
        joint.find(Step.CHECKPOINTS, None, "no keys to check heads with: genesis is missing or unreadable")
        return Pin(vkey is not None, False, "no genesis")
    if not heads or heads[-1][0] != size:
        joint.find(
            Step.CHECKPOINTS,
            None,
            f"the newest head is of size {heads[-1][0] if heads else 0}, the log has {size} entries",
        )
    pinned = False
    for at, note in heads:
        try:
            checkpoint = open_head(note, joint.origin, authority.log_keys_at)
            if checkpoint.size != at:
                raise ProofRejected(f"a head kept at size {at} says {checkpoint.size}")
            joint.heads_held += 1
        except (LedgerError, UnicodeDecodeError) as error:
            joint.find(Step.CHECKPOINTS, None, f"head {at}: {error}")
            continue
        root = joint.roots.get(at)
        if root != checkpoint.root:
            step = Step.TREE if at == size else Step.CHECKPOINTS
            given = root.hex() if root else "nothing"
            joint.find(step, None, f"the head of size {at} has root {checkpoint.root.hex()}, the entries give {given}")
        else:
            pinned = pinned or (vkey is not None and vkey.key in authority.log_keys_at(at))
    return _judge_pin(joint, authority, vkey, pinned)


def judge_earlier(joint: Joint, heads: Sequence[tuple[int, bytes]]) -> None:
    """Step 7, against heads kept from before: signed by the keys of their size, they must be of this very log."""
    authority = joint.schedule[-1][1] if joint.schedule else None
    for size, note in heads:
        try:
            if authority is None:
                raise ProofRejected("no keys to check it with: genesis is missing or unreadable")
            checkpoint = open_head(note, joint.origin, authority.log_keys_at)
        except LedgerError as error:
            joint.find(Step.CHECKPOINTS, None, f"an earlier head of size {size}: {error}")
            continue
        if size > joint.size:
            joint.find(
                Step.CHECKPOINTS,
                None,
                f"an earlier head has size {size}, the log only {joint.size}: its tail was dropped",
            )
        elif joint.roots.get(size) != checkpoint.root:
            joint.find(
                Step.CHECKPOINTS,
                None,
                f"an earlier head of size {size} has root {checkpoint.root.hex()}: history was rewritten",
            )


def _judge_pin(joint: Joint, authority: Authority, vkey: Vkey | None, pinned: bool) -> Pin:
    if vkey is None:
        return Pin(False, False, "no key given: who signed is not pinned")
    if any(joint.found[step] for step in (Step.ENCODING, Step.ATTESTATIONS, Step.TREE, Step.CHECKPOINTS)):
        return Pin(
            True, False, "nothing is pinned where entries, attestations or heads fail: anyone may have made them"
        )
    if vkey.name == joint.origin and (pinned or vkey.key == authority.root):
        return Pin(True, True, f"pinned to {vkey}")
    joint.find(
        Step.CHECKPOINTS, None, f"the given key {vkey} is neither this log's root key nor one that signed a kept head"
    )
    return Pin(True, False, "the given key is not this log's")
