"""Processes that the torture starts: `python -m tests.torture.appending NAME ARGUMENTS`.

Whoever appends does so under ids that follow from who it is and a number, so that the parent knows them all, and says
one line of JSON for each answer, after it has it.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.folder import read_folder
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.writer import Appended, Placed
from decision_dna.schemas.errors import LedgerError
from tests.faults.shim import Shim
from tests.ledger.samples import SECOND, START, draft

SOURCES = {"one": 1, "few": 3, "raw": 40, "atomic": 7, "ingested": 60}
"""Who appends, and how many events at once. Policy lets `raw` go unsigned; `ingested` is prepared by a worker process."""

WARDEN = "warden"
"""Who sends heartbeats and erases."""

LINES = threading.Lock()


def id_of(source: str, number: int) -> bytes:
    """A UUIDv7 of the year 2020: older than any that the ledger makes, so that each is looked for."""
    tail = sha256(f"{source} {number}".encode()).digest()
    stamp = (1_580_000_000_000 + number).to_bytes(6)
    return stamp + bytes((0x70 | tail[0] & 0x0F, tail[1], 0x80 | tail[2] & 0x3F)) + tail[3:10]


def drafts_of(source: str, numbers: Iterable[int]) -> list[Draft]:
    """The same whenever they are asked for."""
    return [draft(number, source, id=id_of(source, number)) for number in numbers]


def decode_numbers(data: bytes) -> list[Draft]:
    """A request of `ingested`: its first number."""
    first = int(data)
    return drafts_of("ingested", range(first, first + SOURCES["ingested"]))


_COMMON: dict[str, object] = {}
"""What stands in every line of a process."""


def say(**words: object) -> None:
    """One line to the parent."""
    with LINES:
        sys.stdout.write(json.dumps(_COMMON | words) + "\n")
        sys.stdout.flush()


def acknowledge(source: str, first: int, appended: Appended) -> None:
    """What the ledger answered to consecutive numbers of a source."""
    said = [
        [placed.seq, placed.hash.hex()] if isinstance(placed, Placed) else [type(placed).__name__, str(placed)]
        for placed in appended.outcomes
    ]
    say(source=source, first=first, placed=said, note=appended.head.note)


# --- appending under load, until killed ----------------------------------------------------------------------------


def load(path: str, first: str, ingesting: str) -> None:
    """All who append, each in a thread of its own, from number `first` on."""
    ledger = open_ledger(Path(path))
    work = [
        threading.Thread(target=_append, args=(ledger, source, int(first)))
        for source in SOURCES
        if source != "ingested"
    ]
    work.append(threading.Thread(target=_ward, args=(ledger,)))
    if ingesting == "ingesting":
        work.append(threading.Thread(target=_ingest, args=(ledger, int(first))))
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()


def _append(ledger: Ledger, source: str, first: int) -> None:
    while True:
        count = SOURCES[source]
        drafts = drafts_of(source, range(first, first + count))
        acknowledge(source, first, ledger.append(drafts, source, atomic=source == "atomic"))
        first += count


def _ingest(ledger: Ledger, first: int) -> None:
    count = SOURCES["ingested"]
    requests = (str(first + count * n).encode() for n in range(10**9))
    for n, appended in enumerate(ledger.ingest(ledger.preparers(1), decode_numbers, requests, "ingested")):
        acknowledge("ingested", first + n * count, appended)


def _ward(ledger: Ledger) -> None:
    """A heartbeat, and the erasure of an event before it, of `one`'s: over and over."""
    while True:
        acknowledge(WARDEN, 0, ledger.heartbeat())
        seq = ledger.reader.size - 1
        while seq and (ledger.reader.event(seq).claim.source != "one" or ledger.reader.event(seq).payload is None):
            seq -= 1
        if seq:
            acknowledge(WARDEN, 0, ledger.erase(seq, "warden", "it may"))
            say(erased=seq)


def look(path: str) -> None:
    """Beside the writer, whatever becomes of it: each new head that is visible, and the hash of its last entry."""
    seen = 0
    with read_folder(Path(path)) as view:
        while True:
            head = view.lock.read()
            if head.size == seen:
                continue
            seen = head.size
            view.store.refresh()
            say(size=seen, hash=entry_hash(view.reader.raw(seen - 1)).hex(), note=head.note)


# --- steps with a fault ----------------------------------------------------------------------------------------------

FAULTY = "few"


class TellingKey(SigningKey):
    """A log key that says what it signs."""

    def sign(self, message: bytes) -> bytes:
        """As every key does, and tells."""
        say(signed=message.decode())
        return super().sign(message)


def fail(folder: str, step: str, action: str, error: str, first: str, last: str) -> None:
    """Let each of the calls first…last of a step meet a fault, in a copy `folder/nth` and a process of its own; 0 is none.

    All at once, for RocksDB waits a second for a disk to recover before it closes.
    """
    children = []
    for nth in range(int(first), int(last) + 1):
        children.append(os.fork())
        if not children[-1]:
            _COMMON["nth"] = nth
            _fail(_STEPS[step], Path(folder) / str(nth), Fault(nth, int(action), int(error)))
            os._exit(0)
    ended = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    if not ended <= {0, -signal.SIGKILL}:
        sys.exit(f"one ended with {ended}")


class Fault:
    """One fault, met once `arm` was called."""

    def __init__(self, nth: int, action: int, error: int) -> None:
        self.shim, self._fault = Shim(), (nth, action, error)

    def arm(self) -> None:
        """Count from here on."""
        self.shim.arm(*self._fault)

    def tell(self, **words: object) -> None:
        """How many calls were counted, and which one failed."""
        say(count=self.shim.count(), name=self.shim.name(), **words)


Step = Callable[[Path, Fault], None]


def _fail(step: Step, path: Path, fault: Fault) -> None:
    try:
        step(path, fault)
    except LedgerError as failed:
        say(failed=type(failed).__name__, reason=getattr(failed, "reason", ""), text=str(failed))


def _commit(path: Path, fault: Fault) -> None:
    """A commit without a fault, one with it, one after."""
    ledger = _opened_telling(path)
    for round_ in range(3):
        first = round_ * SOURCES[FAULTY]
        if round_ == 1:
            fault.arm()
        try:
            acknowledge(FAULTY, first, ledger.append(drafts_of(FAULTY, range(first, first + SOURCES[FAULTY]))))
        except LedgerError as failed:
            say(failed=type(failed).__name__, text=str(failed))
        if round_ == 1:
            fault.tell(note=ledger.reader.head().note)


def _erase(path: Path, fault: Fault) -> None:
    """An erasure: a commit that takes something away, and the rewriting of what held it; then a commit."""
    ledger = _opened_telling(path)
    fault.arm()
    try:
        acknowledge(WARDEN, 0, ledger.erase(ERASED, "warden", "it must"))
        say(erased=ERASED)
    except LedgerError as failed:
        say(failed=type(failed).__name__, text=str(failed))
    fault.tell(note=ledger.reader.head().note)
    acknowledge(FAULTY, 0, ledger.append(drafts_of(FAULTY, range(SOURCES[FAULTY]))))


def _open(path: Path, fault: Fault) -> None:
    """Opening, with what it takes to bring the lock up to the store; and closing."""
    fault.arm()
    try:
        with open_ledger(path, clock=ManualClock(LATER)) as ledger:
            say(note=ledger.reader.head().note)
    finally:
        fault.tell()


def _opened_telling(path: Path) -> Ledger:
    ledger = open_ledger(path, clock=ManualClock(LATER))
    for key in ledger.keys.of_purpose("log"):
        ledger.keys.add("log", TellingKey(key.seed()))
    return ledger


ERASED = 2
LATER = START + 3600 * SECOND
_STEPS: dict[str, Step] = {"commit": _commit, "erase": _erase, "open": _open}


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
