"""A database without its lock: read up to the newest head that the database itself shows to be signed, and never written.

Each commit writes down the head before it. So the newest head of the family `heads` is the one before the last commit; the
head of the last commit was in the lock alone. Which head was signed last, and whether the database is an old copy, only
the lock could tell: `Unlocked.caveat` says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import msgspec

from decision_dna.ledger import layout
from decision_dna.ledger.audit import Report
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.notes import note_of, open_head
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Step, fold_schedule
from decision_dna.schemas.errors import CannotOpen, LedgerError, Malformed, Unavailable

HEADS_TRIED = 64
"""A damaged head is passed over; a database with so many of them shows nothing."""


class Unlocked(msgspec.Struct, frozen=True):
    """A `HeadLock` in the place of one that is not read: it stays at one head, and cannot be advanced."""

    head: Locked
    unproven: int

    def read(self) -> Locked:
        """The head that the database shows to be signed."""
        return self.head

    def advance(self, expected: Locked, new: Locked) -> None:  # noqa: ARG002  # the seam's signature
        """Raise Unavailable: nothing is written without the lock."""
        raise Unavailable("the ledger is open for reading only, without its lock")

    def close(self) -> None:
        """Nothing is held."""

    @property
    def caveat(self) -> str:
        """What can no longer be known, in one sentence."""
        later = "1 later entry is" if self.unproven == 1 else f"{self.unproven} later entries are"
        return (
            f"read without the lock, up to size {self.head.size}, the newest head that the database shows to be signed; "
            "that nothing after it was signed and published, and that the database is not older than the lock was, "
            f"can no longer be known ({later} unproven)"
        )


def without_lock(store: Store, known: Sequence[bytes] = ()) -> Unlocked:
    """The newest head that the store shows to be signed by its own log key; one that the reader knows from elsewhere counts too.

    Raises CannotOpen `no-signed-head`.
    """
    why = "it holds none, for each commit writes down the head before it"
    rows = [*_keyed(known), *islice(store.scan("heads", reverse=True), HEADS_TRIED)]
    for key, note in sorted(rows, reverse=True):
        try:
            head = _shown(store, key, note)
        except LedgerError as error:
            why = f"at key {key.hex()}: {error}"
            continue
        return Unlocked(head, max(0, _held(store, head.size) - head.size))
    raise CannotOpen("no-signed-head", f"without the lock, the database shows no signed head: {why}")


def mark_report(report: Report, caveat: str) -> None:
    """Say in a report what the lock alone could tell: which head is the newest. Integrity and authenticity stay as they are."""
    report.unlocked = caveat
    report.unverified = [*report.unverified, caveat]
    report.steps = [
        msgspec.structs.replace(step, status="inconclusive", text=f"{step.text}; the lock was not read")
        if step.step == Step.CHECKPOINTS and step.status == "pass"
        else step
        for step in report.steps
    ]
    report.verdicts["completeness"] = unless_failed(report.verdicts["completeness"])


def unless_failed(verdict: str) -> str:
    """A verdict that needs the newest head, where the lock was not read."""
    return verdict if verdict.startswith("fail") else "inconclusive: the lock was not read"


def _keyed(notes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for note in notes:
        with suppress(LedgerError):
            yield layout.seq_key(note_of(note).size), note


def _shown(store: Store, key: bytes, note: bytes) -> Locked:
    """A row of `heads` as a head, if the entries have its root and the log key of its size signed it. Raises LedgerError."""
    checkpoint = note_of(note)
    head = Locked(checkpoint.origin, checkpoint.size, checkpoint.root, note.decode())
    if key != layout.seq_key(head.size):
        raise Malformed(f"a head of size {head.size} under another key")
    schedule = fold_schedule([met for met in StoreSource(store, head).authority_hint() if met.seq < head.size])
    if not schedule:
        raise Malformed("keys and policy can't be read")
    authority = schedule[-1][1]
    open_head(note, authority.origin, authority.log_keys_at)
    root = LogReader(store, lambda: head).frontier(head.size).root()
    if root != head.root:
        raise Malformed(f"its root is {head.root.hex()}, the entries give {root.hex()}")
    return head


def _held(store: Store, size: int) -> int:
    """Entries that the tip says were written; at least `size`."""
    try:
        return layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"").size
    except Malformed:
        return size
