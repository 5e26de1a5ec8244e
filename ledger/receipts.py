"""Receipts, checked from their text alone and held against what was submitted (docs/format.md, section 17).

    check_answer(batch, submissions, [vkey], before)     returns the checkpoint that proves it, or raises
    receipt = derive(batch, 3)                           the receipt of the fourth submission, by arithmetic alone
    check_receipt(receipt, [vkey], submission)           the same for a single receipt

A receipt holds the entries' own bytes and the salts of their payloads. So every field of every submission is compared with
the entry at its seq, and that entry is a leaf under the signed checkpoint. What a submitter cannot see in it is left to a
verification of the log: that the notary's signature is the notary's, and that entries before and after it are as they should.
"""

from collections.abc import Mapping, Sequence

import msgspec

from decision_dna.ledger import hashing, merkle
from decision_dna.ledger.fingerprint import fingerprint_of_hash
from decision_dna.ledger.merkle import NodeReader
from decision_dna.ledger.notes import Checkpoint, UnverifiedCheckpoint, Vkey, decode_base64, note_of, open_checkpoint
from decision_dna.ledger.plan import NO_SALT, AuthorDraft, Draft
from decision_dna.ledger.tlogproof import format_proof, parse_proof
from decision_dna.schemas.claims import (
    AHEAD_NS_MAX,
    ZEROS,
    Claim,
    Entry,
    check_times,
    decode_claim,
    decode_entry,
    stream_of,
)
from decision_dna.schemas.errors import BadInput, LedgerError, NotFound, ProofRejected
from decision_dna.schemas.payloads import is_open
from decision_dna.schemas.receipts import BatchReceipt, EventReceipt, Problem
from decision_dna.schemas.submissions import SignedSubmission, Submission
from decision_dna.schemas.texts import id_text, time_text

Said = Submission | SignedSubmission | Draft | AuthorDraft
"""What was submitted."""


class Before(msgspec.Struct, frozen=True):
    """What a submitter knew before it asked: its own time (ns), and the newest head that it had seen, if any."""

    asked_at: int
    seen: Checkpoint | None


class _Met(msgspec.Struct, frozen=True):
    """An entry that a receipt shows, read."""

    raw: bytes
    entry: Entry
    claim: Claim
    salt: bytes | None
    in_run: bool


def derive(batch: BatchReceipt, place: int) -> EventReceipt:
    """The receipt of the submission at a place. Raises NotFound where it was refused, ProofRejected where the batch contradicts itself.

    The batch is held against its own checkpoint on the way; who signed that is for `check_receipt` to see.
    """
    if not 0 <= place < len(batch.outcomes):
        raise NotFound(f"the batch has {len(batch.outcomes)} submissions, none at {place}")
    seq = batch.outcomes[place]
    if isinstance(seq, Problem):
        raise NotFound(f"submission {place} was refused: {seq.detail}")
    if not batch.first <= seq < batch.first + batch.count:
        found = next((receipt for receipt in batch.elsewhere if receipt.seq == seq), None)
        if found is None:
            raise ProofRejected(f"the batch says that submission {place} stands at {seq}, and has no receipt for it")
        return found
    checkpoint = note_of(batch.checkpoint.encode())
    tree, at = _checked_run(batch, checkpoint), seq - batch.first
    return EventReceipt(
        seq,
        batch.ids[at],
        str(fingerprint_of_hash(seq, bytes.fromhex(batch.hashes[at]))),
        batch.hashes[at],
        batch.entries[at],
        batch.salts[at],
        False,
        format_proof(seq, merkle.prove_inclusion(seq, checkpoint.size, tree), batch.checkpoint.encode()),
    )


def check_receipt(receipt: EventReceipt, vkeys: Sequence[Vkey], said: Said | None = None) -> Checkpoint:
    """Raise ProofRejected unless the receipt's entry is in the tree of a checkpoint that all of `vkeys` signed, and says what was
    submitted, if that is given. Returns that checkpoint."""
    checkpoint = open_checkpoint(parse_proof(receipt.proof).checkpoint, vkeys)
    met = _checked_receipt(receipt, checkpoint)
    if said is not None:
        _check_said(said, met, f"event {receipt.seq}")
    return checkpoint


def check_batch_receipt(batch: BatchReceipt, vkeys: Sequence[Vkey]) -> Checkpoint:
    """Raise ProofRejected unless the whole run, and every receipt beside it, is in the tree of a checkpoint that all of `vkeys` signed."""
    checkpoint = open_checkpoint(batch.checkpoint.encode(), vkeys)
    _met_in(batch, checkpoint)
    return checkpoint


def check_answer(
    batch: BatchReceipt, said: Sequence[Said | BadInput], vkeys: Sequence[Vkey], before: Before | None = None
) -> Checkpoint:
    """Raise ProofRejected unless a batch receipt answers these very submissions, in their order, under a checkpoint that all of
    `vkeys` signed. Returns that checkpoint.

    Every event in it was submitted, every outcome is refused or an entry that says what was submitted, and what carries no id is
    a new entry of its own. Where `before` is given, new entries come after all that was seen before.
    """
    checkpoint = open_checkpoint(batch.checkpoint.encode(), vkeys)
    met = _compare(batch, said, checkpoint)
    if before is not None:
        _check_progress(batch, checkpoint, met, before)
    return checkpoint


def compare_answer(batch: BatchReceipt, said: Sequence[Said | BadInput]) -> None:
    """Raise ProofRejected where a batch receipt contradicts itself or the submissions. Nobody's signature is looked at."""
    _compare(batch, said, note_of(batch.checkpoint.encode()))


def _compare(
    batch: BatchReceipt, said: Sequence[Said | BadInput], checkpoint: UnverifiedCheckpoint
) -> Mapping[int, _Met]:
    if len(batch.outcomes) != len(said):
        raise ProofRejected(f"the receipt has {len(batch.outcomes)} outcomes for {len(said)} submissions")
    met = _met_in(batch, checkpoint)
    named: set[int] = set()
    for place, (outcome, what) in enumerate(zip(batch.outcomes, said, strict=True)):
        if isinstance(outcome, Problem):
            continue
        if outcome not in met:
            raise ProofRejected(
                f"submission {place}: the receipt says that it stands at {outcome}, and does not show it"
            )
        if isinstance(what, BadInput):
            raise ProofRejected(f"submission {place}: it cannot be compared with the receipt: {what}")
        if isinstance(what, Submission | Draft) and what.id is None and (outcome in named or not met[outcome].in_run):
            raise ProofRejected(f"submission {place} has no id, and is said to stand at {outcome} already")
        _check_said(what, met[outcome], f"submission {place}, at seq {outcome}")
        named.add(outcome)
    if named != met.keys():
        raise ProofRejected(f"the receipt shows event {min(met.keys() - named)}, which was not submitted")
    return met


def uncompared(batch: BatchReceipt) -> int:
    """How many outcomes name events whose payload was erased: it can no longer be compared with what was submitted."""
    erased = {receipt.seq for receipt in batch.elsewhere if receipt.salt is None}
    return sum(outcome in erased for outcome in batch.outcomes if isinstance(outcome, int))


# --- the tree ----------------------------------------------------------------------------------------------------------


def _met_in(batch: BatchReceipt, checkpoint: UnverifiedCheckpoint) -> Mapping[int, _Met]:
    """All entries that a batch receipt shows, by seq, each under the checkpoint."""
    met: dict[int, _Met] = {}
    columns = (batch.ids, batch.hashes, batch.entries, batch.salts)
    if any(len(column) != batch.count for column in columns):
        raise ProofRejected(f"a batch of {batch.count} whose columns have other lengths")
    if batch.count:
        _checked_run(batch, checkpoint)
    elif batch.first or batch.proof:
        raise ProofRejected("a receipt without new events, and yet with a place or a proof for them")
    for seq, (event_id, hashed, raw, salt) in enumerate(zip(*columns, strict=True), batch.first):
        met[seq] = _read(seq, raw, checkpoint.origin, (event_id, hashed), bytes.fromhex(salt), in_run=True)
    last = -1
    for receipt in batch.elsewhere:
        if receipt.seq <= last or receipt.seq in met:
            raise ProofRejected("the receipts beside the run do not ascend by seq, each once and outside of it")
        if parse_proof(receipt.proof).checkpoint != batch.checkpoint.encode():
            raise ProofRejected(f"the receipt of event {receipt.seq} is under another checkpoint than its batch")
        met[receipt.seq] = _checked_receipt(receipt, checkpoint)
        last = receipt.seq
    return met


def _checked_receipt(receipt: EventReceipt, checkpoint: UnverifiedCheckpoint) -> _Met:
    proof = parse_proof(receipt.proof)
    if proof.index != receipt.seq:
        raise ProofRejected(f"the receipt is for {receipt.seq}, its proof for {proof.index}")
    leaf = merkle.leaf_hash(receipt.entry)
    merkle.check_inclusion(proof.index, checkpoint.size, leaf, proof.hashes, checkpoint.root)
    if str(fingerprint_of_hash(receipt.seq, bytes.fromhex(receipt.hash))) != receipt.fingerprint:
        raise ProofRejected("the receipt's fingerprint is not that of its seq and hash")
    salt = None if receipt.salt is None else bytes.fromhex(receipt.salt)
    return _read(receipt.seq, receipt.entry, checkpoint.origin, (receipt.id, receipt.hash), salt, in_run=False)


def _checked_run(batch: BatchReceipt, checkpoint: UnverifiedCheckpoint) -> NodeReader:
    """Check the range proof. Returns a reader of all nodes that proofs for the run need."""
    leaves = [merkle.leaf_hash(raw) for raw in batch.entries]
    hashes = [decode_base64(value, "proof hash") for value in batch.proof]
    start, end, size = batch.first, batch.first + batch.count, checkpoint.size
    merkle.check_range(start, end, size, leaves, hashes, checkpoint.root)
    given = dict(zip(merkle.cover(0, start) + merkle.cover(end, size), hashes, strict=True))
    given.update(((0, seq), leaf) for seq, leaf in enumerate(leaves, start))
    return _reader_over(given)


def _reader_over(given: dict[merkle.Node, bytes]) -> NodeReader:
    """Nodes that are given, or follow from two below them."""

    def node(height: int, index: int) -> bytes:
        found = given.get((height, index))
        if found is None:
            if height == 0:
                raise ProofRejected(f"the batch does not show leaf {index}")
            left, right = node(height - 1, 2 * index), node(height - 1, 2 * index + 1)
            found = given[height, index] = merkle.node_hash(left, right)
        return found

    return lambda nodes: [node(height, index) for height, index in nodes]


# --- what an entry says ------------------------------------------------------------------------------------------------


def _read(seq: int, raw: bytes, origin: str, words: tuple[str, str], salt: bytes | None, *, in_run: bool) -> _Met:
    """Read an entry at its place. `words` are the id and the hash that the receipt repeats. Raises ProofRejected."""
    try:
        entry = decode_entry(raw)
        claim = decode_claim(entry.claim)
        stream = stream_of(claim.type, claim.source)
        check_times(claim.occurred_at, claim.id, entry.recorded_at)
    except LedgerError as error:
        raise ProofRejected(f"the entry at {seq} is not one: {error}") from None
    _check_equal(
        f"the entry at {seq}",
        {"seq": (entry.seq, seq), "origin": (claim.origin, origin), "stream": (entry.stream, stream)},
    )
    _check_equal(
        f"the receipt of {seq}",
        {"id": (words[0], id_text(claim.id)), "hash": (words[1], hashing.entry_hash(raw).hex())},
    )
    return _Met(raw, entry, claim, salt, in_run)


def _check_said(said: Said, met: _Met, what: str) -> None:
    """Raise ProofRejected unless the entry says what was submitted, in every field."""
    entry, claim = met.entry, met.claim
    if isinstance(said, SignedSubmission | AuthorDraft):
        _check_equal(
            what,
            {
                "attestation": (entry.attestation, "author"),
                "claim": (entry.claim, said.claim),
                "key_id": (entry.key_id, said.key_id),
                "signature": (entry.signature, said.signature),
                "salt": (met.salt, said.salt if met.salt is not None else None),
            },
        )
    else:
        _check_equal(
            what,
            {
                "type": (claim.type, said.type),
                "schema": (claim.schema, said.schema),
                "source": (claim.source, said.source),
                "subject": (claim.subject, said.subject),
                "causes": (claim.causes, tuple(said.causes)),
                "trace": (claim.trace, said.trace),
                "id": (claim.id, claim.id if said.id is None else said.id),
                "occurred_at": (claim.occurred_at, claim.occurred_at if said.occurred_at is None else said.occurred_at),
                "author_seq": (claim.author_seq, 0),
                "author_prev": (claim.author_prev, ZEROS),
            },
        )
        if entry.attestation == "author":
            raise ProofRejected(f"{what}: attested by an author, who did not submit it")
    if met.in_run and said.expected_stream_seq is not None:
        _check_equal(what, {"expected_stream_seq": (entry.stream_seq, said.expected_stream_seq)})
    _check_payload(said, met, what)


def _check_payload(said: Said, met: _Met, what: str) -> None:
    opened = is_open(met.claim.type)
    _check_equal(what, {"open payload": (met.entry.open, said.payload if opened else b"")})
    if met.salt is None:
        return  # erased: `uncompared` counts it
    if opened and met.salt != NO_SALT:
        raise ProofRejected(f"{what}: an open payload with a salt")
    given = hashing.payload_commitment(met.salt + said.payload)
    _check_equal(what, {"payload_commitment": (met.claim.payload_commitment, given)})


def _check_equal(what: str, fields: Mapping[str, tuple[object, object]]) -> None:
    for name, (found, expected) in fields.items():
        if found != expected:
            raise ProofRejected(f"{what}: {name} is {_shown(found)}, not {_shown(expected)}")


def _shown(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _check_progress(batch: BatchReceipt, checkpoint: Checkpoint, met: Mapping[int, _Met], before: Before) -> None:
    """Raise ProofRejected where the receipt is one of before: new entries come after all that was seen, and after the question."""
    seen = before.seen
    if seen is not None:
        if checkpoint.size < seen.size:
            raise ProofRejected(
                f"the receipt's head is of size {checkpoint.size}, one of size {seen.size} was seen before"
            )
        if checkpoint.size == seen.size and checkpoint.root != seen.root:
            raise ProofRejected(
                f"two heads of size {seen.size} with different roots: {seen.root.hex()}, {checkpoint.root.hex()}"
            )
        if batch.count and batch.first < seen.size:
            raise ProofRejected(
                f"event {batch.first} is said to be new, and a head of size {seen.size} was seen before"
            )
    earliest = before.asked_at - AHEAD_NS_MAX
    for seq, each in met.items():
        if each.in_run and each.entry.recorded_at < earliest:
            raise ProofRejected(
                f"event {seq} is said to be new, and was recorded at {time_text(each.entry.recorded_at)}, long before it was "
                f"submitted at {time_text(before.asked_at)}: a receipt of then, or one of the clocks is wrong"
            )
