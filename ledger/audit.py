"""Verifying a whole log: walks a source in segments, on one core or more, and writes the numbered report.

Keys are assumed and then compared: a first walk takes the schedule of keys that the source hints at; where the entries
turn out to say otherwise, one more walk with what they say. A result counts only if assumed and met are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from decision_dna.ledger.entrance import Entrance
from decision_dna.ledger.freshness import LastAnchor, Newest, last_anchor
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.sources import Source
from decision_dna.ledger.verification import (
    SEGMENT_EVENTS,
    Finding,
    Joint,
    Pin,
    Schedule,
    Segment,
    SegmentCheck,
    Step,
    fold_schedule,
    judge_earlier,
    judge_heads,
)
from decision_dna.schemas import codec
from decision_dna.schemas.anchoring import CONFIRMED, AnchorConfirmed
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import LedgerError, ProofRejected
from decision_dna.schemas.payloads import kind_of
from decision_dna.schemas.texts import id_text

WALKS_MAX = 4
PIECE_EVENTS = 2048
NOT_ASKED = {
    Step.WITNESSES: "no witness policy: nobody else signed these heads",
    Step.ANCHORS: "no anchor was checked",
    Step.STATE: "no state was folded",
    Step.DECISIONS: "no decisions to re-execute",
}

Progress = Callable[[int, int], None]
"""(events done, of how many)"""


class StepResult(msgspec.Struct, frozen=True):
    """One step: `pass`, `fail` or `inconclusive`, how many findings, and what it covered."""

    step: int
    name: str
    status: str
    found: int
    text: str


class Report(msgspec.Struct):
    """The verification of a log. It holds where no step failed; `checkpoint` is the newest head, as it stands, to be kept then.

    From `from_seq` on; `tied` then says whether an earlier head of the verifier's covers all before it. `unverified` says what
    was left out, in sentences. `unlocked`: what can no longer be known of a log that was read without its lock (`ledger.unlocked`).
    """

    origin: str
    size: int
    root: str
    steps: list[StepResult]
    findings: list[Finding]
    verdicts: dict[str, str]
    pinned: bool
    recorded: tuple[int, int]
    heartbeat_at: int | None
    heartbeat_seconds_max: int
    notes: list[str]
    checkpoint: str = ""
    last_anchor: LastAnchor | None = None
    from_seq: int = 0
    tied: bool = True
    unverified: list[str] = []
    unlocked: str = ""

    @property
    def holds(self) -> bool:
        """Whether no step failed."""
        return all(step.status != "fail" for step in self.steps)

    @property
    def newest(self) -> Newest:
        """What its freshness is judged by."""
        began_at = self.recorded[0] if self.from_seq == 0 else None
        return Newest(began_at, self.recorded[1], self.heartbeat_at, self.heartbeat_seconds_max, self.last_anchor)


class Work(msgspec.Struct, frozen=True):
    """One segment's worth of work, small enough to be sent to another process."""

    start: int
    end: int
    schedule: Schedule
    sizes: list[int]
    note_types: frozenset[str]


class Extra(msgspec.Struct, frozen=True):
    """What a step past 7 says: brought by the rooms above, through `checks`. `left_out`: what it did not compare, in sentences."""

    step: int
    status: str
    text: str
    findings: list[Finding]
    left_out: list[str] = []


Check = Callable[[Joint, list[tuple[int, bytes]]], Extra]
"""(the joined log, the kept heads) → a step's result"""


def do_work(source: Source, work: Work) -> Segment:
    """Check one segment of a source, piece by piece: what was just read is still near when it is hashed."""
    check = SegmentCheck(source.origin, work.start, work.schedule, source.payloads_known, work.note_types)
    findings: list[Finding] = []
    for at in range(work.start, work.end, PIECE_EVENTS):
        findings += _add_piece(check, source, at, min(at + PIECE_EVENTS, work.end))
    segment = check.finish(work.sizes)
    segment.findings += findings
    segment.count_findings()
    source.settle(segment)
    return segment


def _add_piece(check: SegmentCheck, source: Source, at: int, end: int) -> list[Finding]:
    """Check the entries [at, end). A piece is let go before the next one is read: of the largest entries one takes 134 MB."""
    rows, wrong = source.rows(at, end)
    lost = end - at - len(rows)  # named in `wrong`; empty entries keep the tree's places
    check.add(at, [*rows[: end - at], *[(b"", None)] * lost])
    return wrong


class Mapper(Protocol):
    """Calls a function for each item, elsewhere and many at a time; results in order."""

    def map(self, function: Callable[[Work], Segment], items: Iterator[Work], /) -> Iterator[Segment]:
        """As `ledger.workers.Workers.map`."""
        ...


def verify(
    source: Source,
    vkey: Vkey | None,
    *,
    executor: Mapper | None = None,
    remote_work: Callable[[Work], Segment] | None = None,
    progress: Progress | None = None,
    note_types: frozenset[str] = frozenset(),
    checks: tuple[Check, ...] = (),
    earlier: Sequence[bytes] = (),
    entrance: Entrance | None = None,
) -> Report:
    """Verify a log against a pinned key (None: authenticity stays unpinned). Never raises for what the log says.

    With an `entrance` of this source, from there on only; `checks` then see no entry before it.

    `earlier` are heads that the verifier kept from before, or got from others: the log must still begin as they say.

    With an `executor`, segments are checked by `remote_work` there, in parallel; they are joined here, in order.
    """
    early: list[Finding] = []
    try:
        heads = source.heads()
    except LedgerError as error:
        early.append(Finding(Step.CHECKPOINTS, None, str(error)))
        heads = []
    known = _earlier_heads(earlier, source, early)
    hint, first = source.authority_hint(), 0
    if entrance is not None:
        first = entrance.seq
        heads = [head for head in heads if head[0] >= first]
        hint = [*entrance.authority, *(met for met in hint if met.seq >= first)]
    sizes = sorted({size for size, _ in heads} | {size for size, _ in known if size <= source.size})
    for _ in range(WALKS_MAX):
        schedule = fold_schedule(hint)
        joint = Joint(source.origin, schedule)
        ids = _Ids(first)
        if entrance is not None:
            entrance.begin(joint)
        works = _work(source, schedule, sizes, note_types, first)
        for segment in _segments(source, works, executor, remote_work):
            if entrance is not None:
                entrance.admit(joint, segment)
            ids.join(joint, segment)
            joint.add(segment)
            if progress is not None:
                progress(joint.size, source.size)
        wanted = {size for size in joint.sizes_wanted() if size > first}
        if joint.authority == hint and not wanted:
            break
        hint, sizes = joint.authority, sorted({*sizes, *wanted})
    else:
        early.append(Finding(Step.ATTESTATIONS, None, f"keys did not settle after {WALKS_MAX} walks"))
    joint.folded()
    joint.judge_named({} if entrance is None else entrance.roots_before(source, joint.sizes_wanted()))
    joint.judge_payloads(source.erased_past_lock())
    joint.check_erasure_targets(dict(_targets(source, joint.erasure_targets())))
    for finding in [*early, *source.judge(joint)]:
        joint.find(Step(finding.step), finding.seq, finding.text)
    pin = judge_heads(joint, heads, source.size, vkey)
    judge_earlier(joint, known)
    extras = [check(joint, heads) for check in checks]
    report = _report(source, joint, pin, extras)
    report.checkpoint = heads[-1][1].decode(errors="replace") if heads else ""
    if CONFIRMED in note_types and joint.schedule:
        report.last_anchor = _last_anchor(joint)
    if entrance is not None:
        _narrow(report, joint, pin, entrance, [at for at, note in known if joint.roots.get(at) == note_of(note).root])
    return report


def _earlier_heads(notes: Sequence[bytes], source: Source, findings: list[Finding]) -> list[tuple[int, bytes]]:
    """(size, note) of heads from before, as far as they can be read and are of this log."""
    known: list[tuple[int, bytes]] = []
    for note in notes:
        try:
            checkpoint = note_of(note)
            if checkpoint.origin != source.origin:
                raise ProofRejected(f"an earlier head is of {checkpoint.origin!r}")
            known.append((checkpoint.size, note))
        except LedgerError as error:
            findings.append(Finding(Step.CHECKPOINTS, None, f"an earlier head: {error}"))
    return known


def _work(
    source: Source, schedule: Schedule, sizes: list[int], note_types: frozenset[str], first: int
) -> Iterator[Work]:
    """Segments that are one full subtree each, but for the last: a start between two of `SEGMENT_EVENTS` begins with small ones."""
    at, end = 0, first
    while end < source.size:
        start = end
        end = min(start + min(start & -start or SEGMENT_EVENTS, SEGMENT_EVENTS), source.size)
        inside: list[int] = []
        while at < len(sizes) and sizes[at] <= end:
            if sizes[at] > start:
                inside.append(sizes[at])
            at += 1
        yield Work(start, end, schedule, inside, note_types)


def _segments(
    source: Source, works: Iterator[Work], executor: Mapper | None, remote_work: Callable[[Work], Segment] | None
) -> Iterator[Segment]:
    if executor is None or remote_work is None:
        for work in works:
            yield do_work(source, work)
    else:
        yield from executor.map(remote_work, works)


class _Ids:
    """Unique ids and earlier causes, where the source has no index that was verified on the way."""

    def __init__(self, walked_from: int) -> None:
        self._walked_from = walked_from
        self._places: dict[tuple[bytes, str], int] = {}
        self._first: dict[bytes, int] = {}

    def join(self, joint: Joint, segment: Segment) -> None:
        """Judge the next segment."""
        for seq, event_id, source in segment.ids:
            earlier = self._places.setdefault((event_id, source), seq)
            self._first.setdefault(event_id, seq)
            if earlier != seq:
                joint.find(Step.ENCODING, seq, f"id {id_text(event_id)} of {source} stands at {earlier} already")
        for seq, cause in segment.causes:
            if cause not in self._first and self._walked_from:
                continue  # it may stand before; `Entrance.unverified` says that nobody looked
            if self._first.get(cause, seq) >= seq:
                joint.find(Step.ENCODING, seq, f"its cause {id_text(cause)} is no earlier event")


def _targets(source: Source, seqs: list[int]) -> Iterator[tuple[int, tuple[bytes, str]]]:
    """(id, type) of the entries that erasures name."""
    for seq in seqs:
        rows, _ = source.rows(seq, seq + 1)
        try:
            claim = decode_claim(decode_entry(rows[0][0]).claim)
        except (LedgerError, IndexError):
            continue  # named by step 1, or by the walk
        yield seq, (claim.id, claim.type)


def _report(source: Source, joint: Joint, pin: Pin, extras: list[Extra]) -> Report:
    derived = source.judge_derived(joint)  # after the pin: derived rows say nothing about the log
    for finding in derived.findings:
        joint.find(Step(finding.step), finding.seq, finding.text)
    for extra in extras:
        for finding in extra.findings:
            joint.find(Step(extra.step), finding.seq, finding.text)
    asked = {extra.step: extra for extra in extras}
    texts = _texts(joint, pin)
    texts[Step.TREE] += f"; {derived.text}" if derived.text else ""
    steps: list[StepResult] = []
    for step in Step:
        found = joint.found[step]
        status, text = "pass", texts.get(step, "")
        if step in asked:
            status, text = asked[step].status, asked[step].text
        elif step in NOT_ASKED:
            status, text = "inconclusive", NOT_ASKED[step]
        elif step == Step.PAYLOADS and not source.payloads_known:
            status, text = (
                "inconclusive",
                "payloads are private and not part of the public log: only open ones were checked",
            )
        steps.append(StepResult(step, step.name.lower(), "fail" if found else status, found, text))
    root = joint.frontier.root().hex()
    first = joint.first_recorded_at
    last_beat = joint.heartbeats[-1][1] if joint.heartbeats else None
    promised = joint.schedule[-1][1].policy.heartbeat_seconds_max if joint.schedule else 0
    suspects = joint.schedule[-1][1].suspects if joint.schedule else {}
    notes = [
        f"key {name.hex()} was revoked: its entries from seq {seq} on are suspect" for name, seq in suspects.items()
    ]
    findings = sorted(joint.findings, key=lambda f: (f.step, -1 if f.seq is None else f.seq))
    report = Report(
        source.origin,
        joint.size,
        root,
        steps,
        findings,
        {},
        pin.pinned,
        (first, joint.recorded_at),
        last_beat,
        promised,
        notes,
    )
    report.verdicts = _verdicts(report, joint, pin)
    report.unverified = [*derived.left_out, *(sentence for extra in extras for sentence in extra.left_out)]
    return report


def _narrow(report: Report, joint: Joint, pin: Pin, entrance: Entrance, earlier_sizes: list[int]) -> None:
    """Say of a report that it begins at an entrance, and what that leaves open."""
    report.from_seq, report.tied = entrance.seq, max(earlier_sizes, default=0) >= entrance.seq
    report.unverified = entrance.unverified(earlier_sizes)
    report.steps = [
        result if result.step in NOT_ASKED else _from_there(result, entrance, joint.size) for result in report.steps
    ]
    report.verdicts = {
        name: f"pass from seq {entrance.seq} on" if verdict == "pass" else verdict
        for name, verdict in _verdicts(report, joint, pin).items()
    }
    if report.last_anchor is not None and report.last_anchor.size == 0:
        report.last_anchor = None  # the newest may lie before


def _from_there(result: StepResult, entrance: Entrance, size: int) -> StepResult:
    unknown = result.step == Step.STREAMS and result.status == "pass" and entrance.streams is None
    text = f"{size - entrance.seq} entries" if result.step == Step.ENCODING else result.text
    return msgspec.structs.replace(
        result, status="inconclusive" if unknown else result.status, text=f"from seq {entrance.seq} on: {text}"
    )


def _last_anchor(joint: Joint) -> LastAnchor:
    """From what the walk noted; an entry that can't be read is step 9's business."""
    newest, recorded_at = None, joint.first_recorded_at
    for noted in joint.noted:
        with suppress(LedgerError):
            entry = decode_entry(noted.raw)
            claim = decode_claim(entry.claim)
            payload = codec.decode_as(kind_of(claim.type, claim.schema).from_msgpack, entry.open)
            if isinstance(payload, AnchorConfirmed):
                newest, recorded_at = payload, entry.recorded_at
    return last_anchor(newest, recorded_at, joint.size, joint.schedule[-1][1].policy)


def _texts(joint: Joint, pin: Pin) -> dict[int, str]:
    attested = ", ".join(f"{count} {name}" for name, count in joint.attestations.items())
    return {
        Step.ENCODING: f"{joint.size} entries",
        Step.CHAIN: f"last hash {joint.last_hash.hex()}",
        Step.STREAMS: f"{len(joint.streams)} streams, {len(joint.heartbeats)} heartbeats",
        Step.ATTESTATIONS: attested,
        Step.PAYLOADS: f"{joint.erased} erased",
        Step.TREE: f"root {joint.frontier.root().hex()}",
        Step.CHECKPOINTS: f"{joint.heads_held} heads; {pin.text}",
    }


def _verdicts(report: Report, joint: Joint, pin: Pin) -> dict[str, str]:
    status = {step.step: step.status for step in report.steps}

    def over(*steps: Step) -> str:
        found = [status[step] for step in steps]
        return "fail" if "fail" in found else "inconclusive" if "inconclusive" in found else "pass"

    authenticity = over(Step.ATTESTATIONS, Step.CHECKPOINTS)
    return {
        "integrity": over(Step.ENCODING, Step.CHAIN, Step.PAYLOADS, Step.TREE),
        "authenticity": authenticity if pin.pinned or authenticity == "fail" else "not pinned",
        "completeness": over(Step.STREAMS) if joint.heartbeats else "inconclusive: no heartbeat",
        "anchoring": status[Step.ANCHORS],
    }
