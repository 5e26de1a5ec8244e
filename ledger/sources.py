"""Where a log comes from when it is verified, and a store on disk as such a source. (An export: `ledger.exports`.)

A source gives rows of (entry bytes, salt ‖ payload or None), the kept heads, and a hint of which entries change keys and
policy; the hint is only ever assumed, and compared with what the entries turn out to say.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Protocol

import msgspec

from decision_dna.ledger import layout, pace
from decision_dna.ledger.authority import AuthorCounter
from decision_dna.ledger.hashing import entry_hash, is_retry_tag
from decision_dna.ledger.indexes import Extent, compare, digests_of, read_extent
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.positions import wrong_ids
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Store
from decision_dna.ledger.stored import Tail, check_stored
from decision_dna.ledger.tails import judge_rest
from decision_dna.ledger.verification import (
    SEGMENT_EVENTS,
    AuthorityEntry,
    Finding,
    Joint,
    Row,
    Segment,
    SegmentCheck,
    Step,
    StoredPayload,
    fold_schedule,
)
from decision_dna.schemas.claims import decode_entry
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.texts import id_text

Rows = list[Row]
IDS_AT_ONCE = 4096


class Derived(msgspec.Struct, frozen=True):
    """Derived rows against the log: what does not hold, what was not compared (sentences), and up to where they were."""

    findings: list[Finding] = []
    left_out: list[str] = []
    text: str = ""


class Source(Protocol):
    """A log to be verified."""

    origin: str
    size: int
    payloads_known: bool

    def rows(self, start: int, end: int) -> tuple[Rows, list[Finding]]:
        """The entries [start, end) with their payloads, and what was wrong with how they lie there."""
        ...

    def heads(self) -> list[tuple[int, bytes]]:
        """The kept heads, (size, note), ascending; the newest last."""
        ...

    def authority_hint(self) -> list[AuthorityEntry]:
        """Entries that are believed to change keys and policy."""
        ...

    def settle(self, segment: Segment) -> None:
        """Judge what this source can judge of a segment better than the join: findings are added, what is settled is cleared."""
        ...

    def judge(self, joint: Joint) -> list[Finding]:
        """What else this source holds, against the joined log."""
        ...

    def judge_derived(self, joint: Joint) -> Derived:
        """What this source holds that is derived from the log and answers queries; it says nothing about the log itself."""
        ...

    def erased_past_lock(self) -> dict[int, bytes]:
        """seq → id of the events whose payload is gone already, by a signed erasure that is not visible yet."""
        ...


class StoreSource:
    """A log in a store, up to a locked head. Ids and tree nodes are looked up where they lie: that verifies them too."""

    payloads_known = True

    def __init__(self, store: Store, head: Locked, extent: Extent | None = None) -> None:
        self.store, self.head = store, head
        self.origin, self.size = head.origin, min(head.size, self._held())
        self._reader = LogReader(store, lambda: head)
        self._extent = extent

    @property
    def extent(self) -> Extent:
        """How far the indexes went when this was first asked: they may go on meanwhile."""
        if self._extent is None:
            self._extent = read_extent(self.store, self._reader)
        return self._extent

    def _held(self) -> int:
        """Entries that the store has, as far as the lock's size can be believed: a damaged lock can say any, and is not walked up to that."""
        last = self.store.last("entries", layout.seq_key(max(self.head.size - 1, 0)))
        with suppress(LedgerError):
            if last is not None and int.from_bytes(last[0]) + len(layout.split_entries(last[1])) >= self.head.size:
                return self.head.size
        held = 0
        for key, run in self.store.scan("entries"):
            if key != layout.seq_key(held):
                break
            with suppress(LedgerError):  # unreadable: the walk names it
                held += len(layout.split_entries(run))
        return held

    def rows(self, start: int, end: int) -> tuple[Rows, list[Finding]]:
        """Runs in their order; a run under a wrong key, across a multiple of 32, or unreadable, is a finding."""
        findings: list[Finding] = []
        begin = start - start % layout.RUN_EVENTS  # a run never crosses a multiple, so one begins here
        entries = [entry for _, run in self._runs("entries", begin, end, findings) for entry in run][: end - begin]
        payloads: list[StoredPayload] = []
        for at, stored in self._runs("payloads", begin, end, findings):
            payloads += [None] * (at - begin - len(payloads))
            if {*map(type, stored)} == {bytes}:
                payloads += stored
                continue
            payloads += [item if isinstance(item, bytes) else None for item in stored]
            findings += [
                Finding(Step.PAYLOADS, seq, "the tag that tells retries of the erased event is damaged")
                for seq, item in enumerate(stored, at)
                if isinstance(item, tuple) and not is_retry_tag(*item)
            ]
        if len(entries) != end - begin:
            findings.append(Finding(Step.ENCODING, start, f"{len(entries)} entries lie in [{begin}, {end})"))
        payloads += [None] * (len(entries) - len(payloads))
        return list(zip(entries, payloads, strict=False))[start - begin :], findings

    def _runs(self, family: str, start: int, end: int, findings: list[Finding]) -> Iterator[tuple[int, list]]:  # type: ignore[type-arg]  # of entries or of payloads
        step = Step.ENCODING if family == "entries" else Step.PAYLOADS
        split = layout.split_entries if family == "entries" else layout.split_payloads
        at = start
        for key, value in self.store.scan(family, layout.seq_key(start), layout.seq_key(end)):
            try:
                run = split(value)
            except LedgerError as error:
                findings.append(Finding(step, at, f"{family} under key {key.hex()}: {error}"))
                continue
            if key != layout.seq_key(at) or not run or at % layout.RUN_EVENTS + len(run) > layout.RUN_EVENTS:
                findings.append(
                    Finding(step, at, f"{family} under key {key.hex()}: {len(run)} where the run of seq {at} was due")
                )
                at = max(at, int.from_bytes(key[:8]))
            yield at, run
            at += len(run)
        if at < end:
            findings.append(Finding(step, at, f"{family} end at {at}, not at {end}"))

    def heads(self) -> list[tuple[int, bytes]]:
        """From the family `heads`, and the newest from the lock."""
        kept = [
            (int.from_bytes(key), note)
            for key, note in self.store.scan("heads")
            if int.from_bytes(key) < self.head.size
        ]
        return [*kept, (self.head.size, self.head.note.encode())]

    def authority_hint(self) -> list[AuthorityEntry]:
        """From `meta/authority`."""
        try:
            seqs = layout.decode_seqs(self.store.get("meta", layout.AUTHORITY_KEY) or b"\x90")
            return [AuthorityEntry(seq, self._reader.raw(seq)) for seq in seqs]
        except LedgerError:
            return []

    def settle(self, segment: Segment) -> None:
        """Every (source, id) must lead to its own entry, every cause to an earlier one, every node be what the entries give."""
        add = segment.findings.append
        for at in range(0, len(segment.ids), IDS_AT_ONCE):
            segment.findings += self._judge_ids(segment.ids[at : at + IDS_AT_ONCE])
        earliest: dict[bytes, int | None] = {}
        near = {event_id: seq for seq, event_id, _ in reversed(segment.ids)} if segment.causes else {}
        for seq, cause in segment.causes:
            if near.get(cause, seq) < seq:
                continue  # as for nearly all: it lies close before
            first = earliest[cause] if cause in earliest else earliest.setdefault(cause, self._reader.seq_of_id(cause))
            if first is None or first >= seq:
                add(Finding(Step.ENCODING, seq, f"its cause {id_text(cause)} is no earlier event"))
        nodes = list(segment.tile_nodes.items())
        stored = self.store.get_many("nodes", [layout.node_key(*node) for node, _ in nodes])
        for (node, value), found in zip(nodes, stored, strict=True):
            if value != found:
                add(
                    Finding(
                        Step.TREE,
                        None,
                        f"stored node {node} is {found.hex() if found else 'missing'}, the entries give {value.hex()}",
                    )
                )
        segment.ids, segment.causes, segment.tile_nodes = [], [], {}
        if not segment.findings:  # damaged entries have no rows
            segment.index_digests = digests_of(self.store, segment.start, min(segment.end, self.extent.saved))
        segment.count_findings()

    def _judge_ids(self, ids: list[tuple[int, bytes, str]]) -> list[Finding]:
        due = {event_id + source.encode(): seq.to_bytes(8) for seq, event_id, source in ids}
        if len(due) == len(ids) and not any(wrong_ids(self.store, due)):
            return []
        keys = [event_id + source.encode() for _, event_id, source in ids]
        return [
            Finding(
                Step.ENCODING,
                seq,
                f"its (source, id) leads to {found.hex() if found else 'nothing'}: not unique, or the id index is wrong",
            )
            for (seq, _, _), found in zip(ids, self.store.get_many("ids", keys), strict=True)
            if found != seq.to_bytes(8)
        ]

    def judge(self, joint: Joint) -> list[Finding]:
        """The small families, as far as the joined entries say what they hold, and the root that the lock says beside its checkpoint."""
        tail = self.tail(joint.authors if joint.first == 0 else None)
        given, findings = joint.frontier.root(), check_stored(self.store, joint, tail)
        if tail is not None:
            findings += tail.segment.findings
        if given != self.head.root:
            said = f"the lock says root {self.head.root.hex()}, the entries give {given.hex()}"
            findings.append(Finding(Step.TREE, None, said))
        return findings

    def judge_derived(self, joint: Joint) -> Derived:
        """The indexes, by the digests that the segments gave."""
        compared = compare(self.store, self._reader, self.extent, joint.index_digests)
        findings = [Finding(Step.TREE, None, text) for text in compared.differences]
        text = f"indexes to seq {compared.compared_to}" if compared.compared_to else ""
        return Derived(findings, compared.left_out, text)

    def erased_past_lock(self) -> dict[int, bytes]:
        """From a tail that holds: an erasure's write comes before its lock."""
        tail = self.tail()
        return {} if tail is None or tail.segment.findings else {seq: name for _, seq, name in tail.segment.erasures}

    def tail(self, authors: Mapping[bytes, AuthorCounter] | None = None) -> Tail | None:
        """What was written past the lock, judged as any entry is (steps 1 to 5); None where there is nothing.

        `authors` are the counters at the lock; where they are not given, the first claim of each author is not held against them.
        """
        try:
            tip = layout.decode_tip(self.store.get("meta", layout.TIP_KEY) or b"")
        except LedgerError:
            return None  # named where `meta` is compared
        if tip.size <= self.size or self.size < self.head.size:
            return None
        whole = StoreSource(self.store, Locked(self.origin, tip.size, tip.root, ""), Extent())
        schedule = fold_schedule(whole.authority_hint())
        check = SegmentCheck(self.origin, self.size, schedule, payloads_known=True, note_types=frozenset())
        segment = check.segment
        while segment.end < tip.size:
            rows, findings = whole.rows(segment.end, min(tip.size, segment.end + SEGMENT_EVENTS))
            check.add(segment.end, rows)
            segment.end += len(rows)
            segment.findings += findings
            if not rows:  # a tip can say any size
                break
        check.end_runs(segment.end)
        self._judge_joint(segment)
        if segment.end != tip.size or check.prev != tip.last_hash or segment.last_recorded_at != tip.recorded_at:
            segment.findings.append(
                Finding(Step.ENCODING, self.size, "the tail past the lock is not what meta/tip says")
            )
        segment.findings += judge_rest(segment, self.store, whole._reader, authors)
        whole.settle(segment)
        return Tail(segment, check.leaves, check.prev or b"")

    def _judge_joint(self, tail: Segment) -> None:
        """A tail must follow on the locked entries: chain, time, streams; and what it lacks it must have erased."""
        raw = self._reader.raw(self.size - 1)
        last = decode_entry(raw)
        if tail.first_prev != entry_hash(raw):
            tail.findings.append(Finding(Step.CHAIN, self.size, "the tail does not follow on the locked entries"))
        if tail.first_recorded_at is None or tail.first_recorded_at < last.recorded_at:
            tail.findings.append(Finding(Step.ENCODING, self.size, "the tail was recorded before the locked entries"))
        if tail.first_recorded_at is not None and tail.first_limits is not None:
            wrong = pace.stepped(tail.first_limits, tail.first_vouch, last.recorded_at, tail.first_recorded_at)
            tail.findings += [Finding(Step.STREAMS, self.size, wrong)] if wrong is not None else []
        beat = self._reader.last_beat() if tail.paces else None
        if beat is not None:
            late = [(met.seq, pace.overdue(met.limits, beat, met.seq, met.recorded_at)) for met in tail.paces]
            tail.findings += [Finding(Step.STREAMS, seq, text) for seq, text in late if text is not None]
        erased = {(seq, name) for _, seq, name in tail.erasures}
        tail.findings += [
            Finding(Step.PAYLOADS, seq, "the payload is missing, and no erasure names it")
            for seq, name in tail.missing
            if (seq, name) not in erased
        ]
        going_on = {name: span for name, span in tail.streams.items() if span.first_seq}
        for seq in range(self.size - 1, -1, -1):
            if not going_on:
                return
            raw = self._reader.raw(seq)
            before = decode_entry(raw)
            span = going_on.pop(before.stream, None)
            if span is not None and (span.first_seq, span.first_prev) != (before.stream_seq + 1, entry_hash(raw)):
                tail.findings.append(
                    Finding(Step.STREAMS, span.seq, f"stream {before.stream} does not go on from its last entry")
                )
        tail.findings += [
            Finding(Step.STREAMS, span.seq, f"stream {name} starts at {span.first_seq}")
            for name, span in going_on.items()
        ]
