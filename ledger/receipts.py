"""Receipts, checked from their text alone.

receipt = derive(batch, 3)              the receipt of the fourth submission, by arithmetic alone
check_receipt(receipt, [vkey])          returns the checkpoint that proves it, or raises
"""

from collections.abc import Sequence

from decision_dna.ledger import merkle
from decision_dna.ledger.fingerprint import fingerprint_of_hash
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.merkle import NodeReader
from decision_dna.ledger.notes import Checkpoint, UnverifiedCheckpoint, Vkey, decode_base64, note_of, open_checkpoint
from decision_dna.ledger.tlogproof import format_proof, parse_proof
from decision_dna.schemas.errors import NotFound, ProofRejected
from decision_dna.schemas.receipts import BatchReceipt, EventReceipt, Problem


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
    checkpoint, tree = _checked_run(batch)
    at = seq - batch.first
    hashed = _hash(batch.hashes[at])
    proof = merkle.prove_inclusion(seq, checkpoint.size, tree)
    return EventReceipt(
        seq,
        batch.ids[at],
        str(fingerprint_of_hash(seq, hashed)),
        batch.hashes[at],
        batch.leaves[at],
        False,
        format_proof(seq, proof, batch.checkpoint.encode()),
    )


def check_receipt(receipt: EventReceipt, vkeys: Sequence[Vkey], entry: bytes | None = None) -> Checkpoint:
    """Raise ProofRejected unless the receipt's leaf is in the tree of a checkpoint that all of `vkeys` signed; given the
    entry's bytes too, unless hash and leaf are theirs. Returns that checkpoint."""
    proof = parse_proof(receipt.proof)
    checkpoint = open_checkpoint(proof.checkpoint, vkeys)
    if proof.index != receipt.seq:
        raise ProofRejected(f"the receipt is for {receipt.seq}, its proof for {proof.index}")
    merkle.check_inclusion(proof.index, checkpoint.size, _hash(receipt.leaf), proof.hashes, checkpoint.root)
    if str(fingerprint_of_hash(receipt.seq, _hash(receipt.hash))) != receipt.fingerprint:
        raise ProofRejected("the receipt's fingerprint is not that of its seq and hash")
    if entry is not None:
        _check_entry(receipt, entry)
    return checkpoint


def check_batch_receipt(batch: BatchReceipt, vkeys: Sequence[Vkey]) -> Checkpoint:
    """Raise ProofRejected unless the whole run is in the tree of a checkpoint that all of `vkeys` signed, and every receipt beside it holds."""
    checkpoint = open_checkpoint(batch.checkpoint.encode(), vkeys)
    if batch.count:
        _checked_run(batch)
    for receipt in batch.elsewhere:
        check_receipt(receipt, vkeys)
    return checkpoint


def _check_entry(receipt: EventReceipt, entry: bytes) -> None:
    given = entry_hash(entry).hex(), merkle.leaf_hash(entry).hex()
    if given != (receipt.hash, receipt.leaf):
        raise ProofRejected(
            f"the entry has hash {given[0]} and leaf {given[1]}, the receipt says {receipt.hash} and {receipt.leaf}"
        )


def _checked_run(batch: BatchReceipt) -> tuple[UnverifiedCheckpoint, NodeReader]:
    """The checkpoint that the range proof leads to, and a reader of all nodes that proofs for the run need."""
    checkpoint = note_of(batch.checkpoint.encode())
    if not len(batch.ids) == len(batch.hashes) == len(batch.leaves) == batch.count:
        raise ProofRejected(f"a batch of {batch.count} whose columns have other lengths")
    leaves = [_hash(leaf) for leaf in batch.leaves]
    hashes = [decode_base64(value, "proof hash") for value in batch.proof]
    start, end, size = batch.first, batch.first + batch.count, checkpoint.size
    merkle.check_range(start, end, size, leaves, hashes, checkpoint.root)
    given = dict(zip(merkle.cover(0, start) + merkle.cover(end, size), hashes, strict=True))
    given.update(((0, seq), leaf) for seq, leaf in enumerate(leaves, start))
    return checkpoint, _reader_over(given)


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


def _hash(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != merkle.HASH_BYTES:
        raise ProofRejected(f"not a hash of 32 bytes in hex: {text[:80]!r}")
    return found
