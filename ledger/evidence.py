"""Check evidence from its bytes and a pinned key alone (docs/format.md, section 10).

`check_evidence` is the twin of the functions in `ledger.proving`. It imports pure modules only: no store, lock, clock or network.
What it leaves to a verification of the whole log is listed in `relies_on`.
"""

import msgspec

from decision_dna.ledger import hashing, merkle, streams
from decision_dna.ledger.authority import Authority, authority_after, decode_ledger_payload, signature_job
from decision_dna.ledger.freshness import ahead_of
from decision_dna.ledger.notes import Checkpoint, Vkey, decode_base64, open_checkpoint, open_head
from decision_dna.ledger.signatures import is_signed
from decision_dna.ledger.tlogproof import TlogProof, parse_proof
from decision_dna.ledger.verification import Finding, Step
from decision_dna.schemas import claims, codec
from decision_dna.schemas.claims import Claim, Entry, decode_claim, decode_entry
from decision_dna.schemas.errors import BadInput, LedgerError, ProofRejected
from decision_dna.schemas.evidence import (
    EVIDENCE_BYTES_MAX,
    ROLES,
    AnchorGiven,
    Evidence,
    ForkGiven,
    Item,
    RunGiven,
    StreamsGiven,
    evidence_decoder,
)
from decision_dna.schemas.ledgering import GENESIS, HEARTBEAT, KEY, POLICY, Heartbeat
from decision_dna.schemas.payloads import is_open
from decision_dna.schemas.texts import time_text

_TYPE_OF_ROLE: dict[str, str] = {
    "genesis": GENESIS,
    "key": KEY,
    "policy": POLICY,
    "heartbeat_before": HEARTBEAT,
    "heartbeat_after": HEARTBEAT,
}

ANCHOR_NOT_CHECKED = "the anchor beside it was not checked here: `dna check` and the chain tell"
"""Said by steps 1 to 7 of evidence with an anchor; step 9 is `anchors.beside`'s."""


class Shown(msgspec.Struct, frozen=True):
    """One entry that the evidence shows."""

    role: str
    raw: bytes
    entry: Entry
    claim: Claim


class EvidenceReport(msgspec.Struct):
    """What a check found. It holds where there are no findings; `facts` are sentences that then are true."""

    kind: str = ""
    origin: str = ""
    findings: list[Finding] = []
    facts: list[str] = []
    relies_on: list[str] = []
    shown: list[Shown] = []
    payload: bytes | None = None
    checkpoint: Checkpoint | None = None
    anchor: AnchorGiven | None = None

    @property
    def holds(self) -> bool:
        """Whether everything that was checked holds."""
        return bool(self.kind) and not self.findings

    def freshness(self, now: int) -> str:
        """`pass`, or `fail: ` where an entry lies in the future of the verifier's clock (ns)."""
        last = max((shown.entry.recorded_at for shown in self.shown), default=0)
        ahead = ahead_of(last, now)
        return f"fail: the newest entry that it shows was recorded {ahead}" if ahead else "pass"


def check_evidence(data: bytes, vkey: Vkey) -> EvidenceReport:
    """Check evidence against a key pinned from outside. Never raises for what the bytes say."""
    report = EvidenceReport()
    try:
        evidence = _read(data)
        report.kind, report.origin = evidence.kind, evidence.origin
        if vkey.name != evidence.origin:
            raise _Fails(Step.CHECKPOINTS, f"the evidence is of {evidence.origin!r}, the key is {vkey.name!r}'s")
        if evidence.fork is not None:
            _check_fork(report, evidence.fork, vkey)
        else:
            _Check(report, evidence, vkey).run()
    except _Fails as failure:
        report.findings.append(Finding(failure.step, failure.seq, str(failure)))
    return report


class _Fails(Exception):
    """Ends a check, with its step."""

    def __init__(self, step: Step, text: str, seq: int | None = None) -> None:
        super().__init__(text)
        self.step, self.seq = step, seq


def _read(data: bytes) -> Evidence:
    """The form of the file: step 1."""
    if len(data) > EVIDENCE_BYTES_MAX:
        raise _Fails(Step.ENCODING, f"evidence of {len(data)} bytes, at most {EVIDENCE_BYTES_MAX}")
    if data[-1:] != b"\n":
        raise _Fails(Step.ENCODING, "evidence ends with LF")
    try:
        evidence = codec.decode_json(evidence_decoder, data[:-1])
        claims.check_origin(evidence.origin)
    except BadInput as error:
        raise _Fails(Step.ENCODING, str(error)) from None
    _check_shape(evidence)
    return evidence


def _check_shape(evidence: Evidence) -> None:
    """Which parts a kind has."""
    kind, roles = evidence.kind, [item.role for item in evidence.items]
    count = {role: roles.count(role) for role in ROLES}
    timeless = kind in ("run", "absence")
    shape = [
        (kind == "fork") == (evidence.fork is not None),
        timeless == (evidence.run is not None) == (evidence.streams is not None),
        kind == "event" or evidence.payload is None,
        kind != "fork" or not (roles or evidence.anchor),
        kind == "fork" or count["genesis"] == 1,
        count["event"] == (kind == "event"),
        count["heartbeat_before"] <= 1,
        count["heartbeat_after"] == 1 if timeless else count["heartbeat_after"] <= 1,
        roles == sorted(roles, key=ROLES.index),
    ]
    if not all(shape):
        raise _Fails(Step.ENCODING, f"evidence of kind {kind!r} with other parts than that kind has")
    if evidence.run is not None and (kind == "run") != bool(evidence.run.entries):
        raise _Fails(Step.ENCODING, "a run has entries, an absence has none")
    try:
        if evidence.run is not None:
            if evidence.run.from_ns > evidence.run.to_ns:
                raise _Fails(Step.ENCODING, "a run's times are from <= to")
            claims.check_stream(evidence.run.stream)
        if evidence.anchor is not None:
            decode_base64(evidence.anchor.transaction, "transaction")
    except (BadInput, ProofRejected) as error:
        raise _Fails(Step.ENCODING, str(error)) from None


def _check_fork(report: EvidenceReport, fork: ForkGiven, vkey: Vkey) -> None:
    try:
        one, other = (open_checkpoint(note.encode(), [vkey]) for note in (fork.first, fork.second))
    except LedgerError as error:
        raise _Fails(Step.CHECKPOINTS, str(error)) from None
    if one.size != other.size or one.root == other.root:
        raise _Fails(Step.CHECKPOINTS, "two heads convict where they have one size and two roots")
    report.facts.append(f"{vkey.name} signed two heads of size {one.size}: {one.root.hex()} and {other.root.hex()}")


def _leaf_proofs(given: StreamsGiven) -> list[streams.LeafProof]:
    try:
        return [
            streams.LeafProof(
                leaf.index,
                decode_base64(leaf.leaf, "leaf"),
                tuple(decode_base64(item, "leaf proof") for item in leaf.proof),
            )
            for leaf in given.leaves
        ]
    except ProofRejected as error:
        raise _Fails(Step.ENCODING, str(error)) from None


def _check_place(shown: Shown) -> None:
    """A heartbeat says its own seq and prev."""
    try:
        payload = decode_ledger_payload(shown.claim, shown.entry.open)
    except LedgerError:
        return  # named by step 4
    if isinstance(payload, Heartbeat) and (payload.size, payload.last) != (shown.entry.seq, shown.entry.prev):
        raise _Fails(
            Step.STREAMS,
            f"the heartbeat says that it stands at {payload.size}, or after another entry",
            shown.entry.seq,
        )


def _due(number: int, before: tuple[int, bytes] | None) -> bytes | None:
    """The link that an entry of this number must have, as far as the file tells: zeros at 0, the hash of a neighbour."""
    if number == 0:
        return hashing.ZEROS
    return hashing.entry_hash(before[1]) if before is not None and before[0] == number - 1 else None


class _Check:
    """The check of one file, in the order in which each part rests on the last."""

    def __init__(self, report: EvidenceReport, evidence: Evidence, vkey: Vkey) -> None:
        self.report, self.evidence, self.vkey = report, evidence, vkey

    def run(self) -> None:
        """Raises _Fails at the first thing that does not hold."""
        proofs = [self._item(item) for item in self.evidence.items]
        if self.evidence.run is not None:
            for at, given in enumerate(self.evidence.run.entries):
                self.report.shown.append(self._entry("run", given.entry, f"run entry {at}"))
        self._check_order()
        self._check_together()
        authority = self._check_attestations()
        self._check_payloads()
        checkpoint = self._check_tree(proofs, authority)
        self.report.checkpoint = checkpoint
        if self.evidence.run is not None and self.evidence.streams is not None:
            self._check_run(self.evidence.run, self.evidence.streams)
        self._say(checkpoint)

    def _entry(self, role: str, text: str, what: str) -> Shown:
        try:
            raw = decode_base64(text, what)
            entry = decode_entry(raw)
            claim = decode_claim(entry.claim)
            if claim.origin != self.evidence.origin:
                raise ProofRejected(f"claim for origin {claim.origin!r}")
            if entry.stream != claims.stream_of(claim.type, claim.source):
                raise ProofRejected(f"stream {entry.stream!r} is not of its type and source")
            claims.check_times(claim.occurred_at, claim.id, entry.recorded_at)
        except LedgerError as error:
            raise _Fails(Step.ENCODING, f"{what}: {error}") from None
        return Shown(role, raw, entry, claim)

    def _item(self, item: Item) -> TlogProof:
        shown = self._entry(item.role, item.entry, f"item {item.role}")
        self.report.shown.append(shown)
        expected = _TYPE_OF_ROLE.get(item.role, shown.claim.type)
        if shown.claim.type != expected:
            raise _Fails(Step.ENCODING, f"item {item.role} is a {shown.claim.type}", shown.entry.seq)
        try:
            proof = parse_proof(item.proof)
        except ProofRejected as error:
            raise _Fails(Step.ENCODING, f"item {item.role}: {error}", shown.entry.seq) from None
        if proof.index != shown.entry.seq:
            raise _Fails(Step.ENCODING, f"item {item.role}: its proof is for {proof.index}", shown.entry.seq)
        return proof

    def _of_role(self, *roles: str) -> list[Shown]:
        return [shown for shown in self.report.shown if shown.role in roles]

    def _check_order(self) -> None:
        for role in ("key", "policy"):
            seqs = [shown.entry.seq for shown in self._of_role(role)]
            if seqs != sorted(set(seqs)):
                raise _Fails(Step.ENCODING, f"items {role} ascend by seq")
        middle = [shown.entry.seq for shown in self._of_role("event", "run")]
        if not middle:
            return
        if any(shown.entry.seq >= middle[0] for shown in self._of_role("heartbeat_before")):
            raise _Fails(Step.ENCODING, "heartbeat_before lies before the event")
        if any(shown.entry.seq <= middle[-1] for shown in self._of_role("heartbeat_after")):
            raise _Fails(Step.ENCODING, "heartbeat_after lies after the event")

    def _check_together(self) -> None:
        """The rules between entries that are both in the file: ids and times (1), the chain (2), streams (3)."""
        ids: set[tuple[bytes, str]] = set()
        before: Shown | None = None
        last_of: dict[str, Shown] = {}
        for shown in self._in_order():
            entry, seq = shown.entry, shown.entry.seq
            last = last_of.get(entry.stream)
            if (shown.claim.id, shown.claim.source) in ids:
                raise _Fails(Step.ENCODING, "its source and id are those of an earlier entry", seq)
            if before is not None and entry.recorded_at < before.entry.recorded_at:
                raise _Fails(Step.ENCODING, "recorded before an earlier entry", seq)
            prev = _due(entry.seq, None if before is None else (before.entry.seq, before.raw))
            if prev is not None and entry.prev != prev:
                raise _Fails(Step.CHAIN, f"prev is {entry.prev.hex()}, {prev.hex()} was due", seq)
            if last is not None and entry.stream_seq <= last.entry.stream_seq:
                raise _Fails(Step.STREAMS, "stream_seq does not grow with seq", seq)
            prev = _due(entry.stream_seq, None if last is None else (last.entry.stream_seq, last.raw))
            if prev is not None and entry.stream_prev != prev:
                raise _Fails(Step.STREAMS, f"stream_prev is {entry.stream_prev.hex()}, {prev.hex()} was due", seq)
            if shown.claim.type == HEARTBEAT:
                _check_place(shown)
            ids.add((shown.claim.id, shown.claim.source))
            before = last_of[entry.stream] = shown

    def _check_attestations(self) -> Authority:
        """Fold keys and policies, and judge every entry by those before it: step 4. Returns the last state."""
        authority: Authority | None = None
        for shown in self._in_order():
            self._judge(authority, shown)
            try:
                authority = authority_after(authority, shown.entry, shown.claim)
            except LedgerError as error:
                raise _Fails(Step.ATTESTATIONS, str(error), shown.entry.seq) from None
        if authority is None:
            raise _Fails(Step.ATTESTATIONS, "without a genesis no attestation can be checked")
        return authority

    def _in_order(self) -> list[Shown]:
        """Each shown entry once, by seq: one seq has one content."""
        by_seq: dict[int, Shown] = {}
        for shown in self.report.shown:
            if by_seq.setdefault(shown.entry.seq, shown).raw != shown.raw:
                raise _Fails(Step.ENCODING, "two different entries of one seq", shown.entry.seq)
        return [by_seq[seq] for seq in sorted(by_seq)]

    def _judge(self, authority: Authority | None, shown: Shown) -> None:
        try:
            job = signature_job(authority, shown.entry, shown.claim)
        except LedgerError as error:
            raise _Fails(Step.ATTESTATIONS, str(error), shown.entry.seq) from None
        if job is not None and not is_signed(*job):
            raise _Fails(
                Step.ATTESTATIONS, f"the {shown.entry.attestation}'s signature does not verify", shown.entry.seq
            )
        if shown.entry.attestation != "author" and shown.claim.author_seq:
            raise _Fails(Step.ATTESTATIONS, "author_seq in a claim that no author signed", shown.entry.seq)

    def _check_payloads(self) -> None:
        """Open payloads always, others where given: step 5."""
        given: dict[int, bytes] = {}
        event = self._of_role("event")
        try:
            if self.evidence.payload is not None:
                salt = bytes.fromhex(self.evidence.payload.salt)
                if len(salt) != 16 or salt.hex() != self.evidence.payload.salt:
                    raise _Fails(Step.ENCODING, "a salt is 16 bytes in lowercase hex")
                given[id(event[0])] = salt + decode_base64(self.evidence.payload.bytes, "payload")
                self.report.payload = given[id(event[0])][16:]
            if self.evidence.run is not None:
                for shown, entry in zip(self._of_role("run"), self.evidence.run.entries, strict=True):
                    if entry.payload is not None:
                        given[id(shown)] = decode_base64(entry.payload, "payload")
        except (ValueError, ProofRejected) as error:
            raise _Fails(Step.ENCODING, f"payload: {error}") from None
        for shown in self.report.shown:
            self._check_payload(shown, given.get(id(shown)))

    def _check_payload(self, shown: Shown, salted: bytes | None) -> None:
        entry, claim = shown.entry, shown.claim
        if is_open(claim.type) and salted is not None:
            raise _Fails(Step.PAYLOADS, f"{claim.type} is open, and yet has a payload beside its entry", entry.seq)
        if not is_open(claim.type) and entry.open:
            raise _Fails(Step.PAYLOADS, f"{claim.type} is not open, and yet its entry holds a payload", entry.seq)
        if is_open(claim.type):
            salted = bytes(16) + entry.open
        if salted is None:
            return
        if not 16 <= len(salted) <= 16 + 262_144 or hashing.payload_commitment(salted) != claim.payload_commitment:
            raise _Fails(Step.PAYLOADS, "payload and salt are not what the claim commits to", entry.seq)

    def _check_tree(self, proofs: list[TlogProof], authority: Authority) -> Checkpoint:
        """The checkpoint (7), and each item in its tree (6)."""
        note = proofs[0].checkpoint
        if any(proof.checkpoint != note for proof in proofs):
            raise _Fails(Step.ENCODING, "the items' proofs are against different checkpoints")
        try:
            checkpoint = open_head(note, self.evidence.origin, authority.log_keys_at)
        except LedgerError as error:
            raise _Fails(Step.CHECKPOINTS, str(error)) from None
        if self.vkey.key not in (*authority.log_keys_at(checkpoint.size), authority.root):
            raise _Fails(
                Step.CHECKPOINTS,
                f"the given key {self.vkey} did not sign this checkpoint, and is not the log's root key",
            )
        for shown, proof in zip(self.report.shown, proofs, strict=False):
            try:
                leaf = merkle.leaf_hash(shown.raw)
                merkle.check_inclusion(proof.index, checkpoint.size, leaf, proof.hashes, checkpoint.root)
            except ProofRejected as error:
                raise _Fails(Step.TREE, str(error), shown.entry.seq) from None
        return checkpoint

    def _check_run(self, run: RunGiven, given: StreamsGiven) -> None:
        """A gapless run up to the head in the heartbeat's list, or the stream's absence from it: step 3."""
        heartbeat = self._of_role("heartbeat_after")[0]
        payload = decode_ledger_payload(heartbeat.claim, heartbeat.entry.open)
        if not isinstance(payload, Heartbeat) or heartbeat.entry.recorded_at <= run.to_ns:
            raise _Fails(Step.STREAMS, "the heartbeat was not recorded after the time asked for", heartbeat.entry.seq)
        if given.count != payload.streams_count:
            raise _Fails(
                Step.STREAMS, f"the heartbeat counts {payload.streams_count} streams, the evidence {given.count}"
            )
        leaves = _leaf_proofs(given)
        try:
            for leaf in leaves:
                claims.check_plain_text(streams.decode_leaf(leaf.leaf).stream, "stream", EVIDENCE_BYTES_MAX)
            if not run.entries:
                streams.check_absent(run.stream, given.count, payload.streams_root, leaves)
                return
            head = streams.check_present(run.stream, given.count, payload.streams_root, leaves)
        except LedgerError as error:
            raise _Fails(Step.STREAMS, str(error)) from None
        self._check_links(run, head)

    def _check_links(self, run: RunGiven, head: streams.HeadLeaf) -> None:
        shown = self._of_role("run")
        first = shown[0].entry
        if first.stream_seq and first.recorded_at > run.from_ns:
            raise _Fails(
                Step.STREAMS, "the run starts neither with the stream nor before the time asked for", first.seq
            )
        expected, previous = first.stream_seq, first.stream_prev
        for item in shown:
            entry = item.entry
            if (entry.stream, entry.stream_seq, entry.stream_prev) != (run.stream, expected, previous):
                raise _Fails(Step.STREAMS, f"entry {expected} of {run.stream} was due here", entry.seq)
            expected, previous = expected + 1, hashing.entry_hash(item.raw)
        if (head.next_seq, head.head) != (expected, previous):
            raise _Fails(
                Step.STREAMS,
                f"the run ends at {expected - 1}, the heartbeat's head of {run.stream} is {head.next_seq - 1}",
            )

    def _say(self, checkpoint: Checkpoint) -> None:
        report = self.report
        report.facts.append(
            f"the checkpoint of {checkpoint.origin} at size {checkpoint.size} is signed as its keys demand"
        )
        for shown in self._of_role("event"):
            entry, claim = shown.entry, shown.claim
            report.facts.append(
                f"{claim.type} of {claim.source} stands at seq {entry.seq}, attested: {entry.attestation}"
            )
        if report.kind == "run" and self.evidence.run is not None:
            run = self.evidence.run
            inside = [at for at in self._of_role("run") if run.from_ns < at.entry.recorded_at <= run.to_ns]
            after = f" after {time_text(run.from_ns)}" if run.from_ns else ""
            others = (
                f"; {rest} around them, to tie them to what comes before and after"
                if (rest := len(run.entries) - len(inside))
                else ""
            )
            report.facts.append(
                f"{len(inside)} of these entries are all of {run.stream} recorded{after} up to {time_text(run.to_ns)}{others}"
            )
        if report.kind == "absence" and self.evidence.run is not None:
            run = self.evidence.run
            report.facts.append(f"the log has no stream {run.stream} up to {time_text(run.to_ns)}")
        if self.evidence.anchor is not None:
            report.anchor = self.evidence.anchor
            report.relies_on.append(ANCHOR_NOT_CHECKED)
        report.relies_on.append(
            "a whole verification of the log: that no key or policy entry was left out here, and that heartbeats are true"
        )
