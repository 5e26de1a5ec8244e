"""Verifying a whole log: walks a source in segments, on one core or more, and writes the numbered report.

Keys are assumed and then compared: a first walk takes the schedule of keys that the source hints at; where the entries
turn out to say otherwise, one more walk with what they say. A result counts only if assumed and met are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

import msgspec

from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.sources import Source
from decision_dna.ledger.verification import (
    SEGMENT_EVENTS,
    Finding,
    Joint,
    Pin,
    Schedule,
    Segment,
    Step,
    check_segment,
    fold_schedule,
    judge_earlier,
    judge_heads,
)
from decision_dna.schemas.claims import AHEAD_NS_MAX, decode_claim, decode_entry
from decision_dna.schemas.errors import LedgerError, ProofRejected

WALKS_MAX = 4
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
    """The verification of a log. It holds where no step failed."""

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

    @property
    def holds(self) -> bool:
        """Whether no step failed."""
        return all(step.status != "fail" for step in self.steps)


class Work(msgspec.Struct, frozen=True):
    """One segment's worth of work, small enough to be sent to another process."""

    start: int
    end: int
    schedule: Schedule
    sizes: list[int]
    note_types: frozenset[str]


class Extra(msgspec.Struct, frozen=True):
    """What a step past 7 says: brought by the rooms above, through `checks`."""

    step: int
    status: str
    text: str
    findings: list[Finding]


Check = Callable[[Joint, list[tuple[int, bytes]]], Extra]
"""(the joined log, the kept heads) → a step's result"""


def do_work(source: Source, work: Work) -> Segment:
    """Check one segment of a source."""
    rows, findings = source.rows(work.start, work.end)
    lost = work.end - work.start - len(rows)  # named in `findings`; empty entries keep the tree's places
    rows = [*rows, *[(b"", None)] * lost] if lost > 0 else rows[: work.end - work.start]
    segment = check_segment(
        source.origin,
        work.start,
        rows,
        work.schedule,
        work.sizes,
        payloads_known=source.payloads_known,
        note_types=work.note_types,
    )
    segment.findings += findings
    segment.count_findings()
    source.settle(segment)
    return segment


def verify(
    source: Source,
    vkey: Vkey | None,
    *,
    executor: Executor | None = None,
    remote_work: Callable[[Work], Segment] | None = None,
    progress: Progress | None = None,
    note_types: frozenset[str] = frozenset(),
    checks: tuple[Check, ...] = (),
    earlier: Sequence[bytes] = (),
) -> Report:
    """Verify a log against a pinned key (None: authenticity stays unpinned). Never raises for what the log says.

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
    sizes = sorted({size for size, _ in heads} | {size for size, _ in known if size <= source.size})
    hint = source.authority_hint()
    for _ in range(WALKS_MAX):
        schedule = fold_schedule(hint)
        joint = Joint(source.origin, schedule)
        ids = _Ids()
        for segment in _segments(source, _work(source, schedule, sizes, note_types), executor, remote_work):
            ids.join(joint, segment)
            joint.add(segment)
            if progress is not None:
                progress(joint.size, source.size)
        if joint.authority == hint:
            break
        hint = joint.authority
    else:
        early.append(Finding(Step.ATTESTATIONS, None, f"keys did not settle after {WALKS_MAX} walks"))
    joint.folded()
    joint.judge_payloads(source.erased_past_lock())
    joint.check_erasure_targets(dict(_targets(source, joint.erasure_targets())))
    for finding in [*early, *source.judge(joint)]:
        joint.find(Step(finding.step), finding.seq, finding.text)
    pin = judge_heads(joint, heads, source.size, vkey)
    judge_earlier(joint, known)
    extras = [check(joint, heads) for check in checks]
    return _report(source, joint, pin, extras)


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


def _work(source: Source, schedule: Schedule, sizes: list[int], note_types: frozenset[str]) -> Iterator[Work]:
    at = 0
    for start in range(0, source.size, SEGMENT_EVENTS):
        end = min(start + SEGMENT_EVENTS, source.size)
        inside: list[int] = []
        while at < len(sizes) and sizes[at] <= end:
            if sizes[at] > start:
                inside.append(sizes[at])
            at += 1
        yield Work(start, end, schedule, inside, note_types)


def _segments(
    source: Source, works: Iterator[Work], executor: Executor | None, remote_work: Callable[[Work], Segment] | None
) -> Iterator[Segment]:
    if executor is None or remote_work is None:
        for work in works:
            yield do_work(source, work)
    else:
        yield from executor.map(remote_work, works)


class _Ids:
    """Unique ids and earlier causes, where the source has no index that was verified on the way."""

    def __init__(self) -> None:
        self._places: dict[tuple[bytes, str], int] = {}
        self._first: dict[bytes, int] = {}

    def join(self, joint: Joint, segment: Segment) -> None:
        """Judge the next segment."""
        for seq, event_id, source in segment.ids:
            earlier = self._places.setdefault((event_id, source), seq)
            self._first.setdefault(event_id, seq)
            if earlier != seq:
                joint.find(Step.ENCODING, seq, f"id {event_id.hex()} of {source} stands at {earlier} already")
        for seq, cause in segment.causes:
            if self._first.get(cause, seq) >= seq:
                joint.find(Step.ENCODING, seq, f"its cause {cause.hex()} is no earlier event")


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
    for extra in extras:
        for finding in extra.findings:
            joint.find(Step(extra.step), finding.seq, finding.text)
    asked = {extra.step: extra for extra in extras}
    texts = _texts(joint, pin)
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
    return report


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


def freshness(joint_heartbeat_at: int | None, heartbeat_seconds_max: int, now: int) -> str:
    """Whether the newest heartbeat is as recent as the policy promises, by the verifier's own clock."""
    if joint_heartbeat_at is None:
        return "inconclusive: no heartbeat"
    if joint_heartbeat_at > now + AHEAD_NS_MAX:
        return "fail: the newest heartbeat lies in the future of this clock"
    late = (now - joint_heartbeat_at) / 1e9 - heartbeat_seconds_max
    return (
        "pass"
        if late <= 0
        else f"fail: the newest heartbeat is {late:.0f} s past the {heartbeat_seconds_max} s that policy promises"
    )
