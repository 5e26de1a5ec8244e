"""What the writer answers, as receipts: the other half of `ledger.receipts`, which checks them.

The proofs of one commit's events have most of their lines in common: `CommitReceipts` writes each of them once.
"""

import base64
from collections.abc import Callable

from decision_dna.ledger import merkle
from decision_dna.ledger.fingerprint import fingerprint_of_hash
from decision_dna.ledger.merkle import NodeReader
from decision_dna.ledger.plan import SALT_BYTES
from decision_dna.ledger.tlogproof import HEADER, format_proof
from decision_dna.ledger.writer import Appended, Placed
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.receipts import BatchReceipt, EventReceipt, Problem
from decision_dna.schemas.texts import id_text


def event_receipt(placed: Placed, size: int, note: bytes, read: NodeReader) -> EventReceipt:
    """The receipt of one event in the tree of `size` that `note` signs; `read` gives the nodes of that tree."""
    return EventReceipt(
        placed.seq,
        id_text(placed.id),
        str(fingerprint_of_hash(placed.seq, placed.hash)),
        placed.hash.hex(),
        placed.entry,
        placed.salted[:SALT_BYTES].hex() or None,
        placed.duplicate,
        format_proof(placed.seq, merkle.prove_inclusion(placed.seq, size, read), note),
    )


class CommitReceipts:
    """Receipts for the new events of one commit, which `answer` is of: the same as those of `event_receipt`."""

    def __init__(self, answer: Appended) -> None:
        self.read = answer.read
        self._note = answer.head.note
        self._lines: dict[tuple[int, int], str] = {}
        # The path from the root down to the smallest subtree with all of the commit in it is the same for all: walked once.
        first, start, end = answer.first, 0, answer.head.size
        above: list[str] = []
        while end - start > 1 and first >= (middle := _middle(start, end)):
            above.append(self._line(start, middle))
            start = middle
        self._top, self._above = (start, end), "".join(reversed(above))

    def receipt(self, placed: Placed) -> EventReceipt:
        """Of one of them."""
        seq, hashed = placed.seq, placed.hash
        return EventReceipt(
            seq,
            id_text(placed.id),
            str(fingerprint_of_hash(seq, hashed)),
            hashed.hex(),
            placed.entry,
            placed.salted[:SALT_BYTES].hex(),
            False,
            f"{HEADER}\nindex {seq}\n{self._path(seq)}\n{self._note}",
        )

    def _path(self, seq: int) -> str:
        """The hashes from the leaf upward, each with the end of its line."""
        path, (start, end) = self._above, self._top
        while end - start > 1:
            middle = _middle(start, end)
            if seq < middle:
                path = self._line(middle, end) + path
                end = middle
            else:
                path = self._line(start, middle) + path
                start = middle
        return path

    def _line(self, start: int, end: int) -> str:
        """The hash over the leaves [start, end), as a proof has it."""
        line = self._lines.get((start, end))
        if line is None:
            nodes = self.read(merkle.cover(start, end))
            root = nodes.pop()
            while nodes:
                root = merkle.node_hash(nodes.pop(), root)
            line = self._lines[start, end] = base64.b64encode(root).decode() + "\n"
        return line


def _middle(start: int, end: int) -> int:
    """Where RFC 6962 parts a range: at the largest power of two of leaves that leaves some over."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def batch_receipt(answer: Appended, read_log: NodeReader, problem: Callable[[LedgerError], Problem]) -> BatchReceipt:
    """The receipt of a request. `read_log` gives the nodes of the visible log, for events that stood there before."""
    run = run_of(answer)
    size, note = answer.head.size, answer.head.note.encode()
    first, count = (run[0].seq, len(run)) if run else (0, 0)
    end = first + count
    outside = {
        placed.seq: placed for placed in answer.outcomes if isinstance(placed, Placed) and not first <= placed.seq < end
    }
    proof = merkle.prove_range(first, end, size, answer.read) if run else []
    read_once = _remembering(read_log)
    return BatchReceipt(
        first,
        count,
        [id_text(placed.id) for placed in run],
        [placed.hash.hex() for placed in run],
        [placed.entry for placed in run],
        [placed.salted[:SALT_BYTES].hex() for placed in run],
        answer.head.note,
        [base64.b64encode(value).decode() for value in proof],
        [placed.seq if isinstance(placed, Placed) else problem(placed) for placed in answer.outcomes],
        [event_receipt(outside[seq], size, note, read_once) for seq in sorted(outside)],
    )


def _remembering(read: NodeReader) -> NodeReader:
    """For proofs of one tree: those of events near each other have most of their nodes in common."""
    known: dict[merkle.Node, bytes] = {}

    def nodes(asked: list[merkle.Node]) -> list[bytes]:
        missing = [node for node in asked if node not in known]
        known.update(zip(missing, read(missing), strict=True))
        return [known[node] for node in asked]

    return nodes


def run_of(answer: Appended) -> list[Placed]:
    """The new events of a request, which follow on each other: each once, ascending.

    A submission that says what another request of the same commit said stands with that one, before the run.
    """
    new = {placed.seq: placed for placed in answer.outcomes if isinstance(placed, Placed) and not placed.duplicate}
    seqs = sorted(new)
    return [new[seq] for at, seq in enumerate(seqs) if seqs[-1] - seq == len(seqs) - 1 - at]
