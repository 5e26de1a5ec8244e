"""Claims prepared in other processes are those prepared here, and the workers end with whoever started them."""

import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.preparing import Preparation, Rules
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import LedgerError, Malformed, Refused
from tests.ledger.memory_log import new_log
from tests.ledger.samples import Author, draft, new_ledger, register

_decoder = msgspec.msgpack.Decoder(list[Draft])
_signed = msgspec.msgpack.Decoder(list[AuthorDraft])


def decode_drafts(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Drafts, and one that is no draft."""
    return [*_decoder.decode(data), Malformed("the last line is not JSON")]


def decode_signed(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    return list(_signed.decode(data))


def test_a_stream_of_requests_is_placed_in_order_and_errors_keep_their_places(tmp_path: Path) -> None:
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        preparers = ledger.preparers(1)
        try:
            batches = [[draft(n), draft(n, "raw"), draft(n, "bot")] for n in range(20)]
            appended = list(
                ledger.ingest(preparers, decode_drafts, [msgspec.msgpack.encode(b) for b in batches], "alice")
            )
            register(ledger)
            author = Author()
            said = [author.say(n, clock.now_ns()) for n in range(3)]
            forged = msgspec.structs.replace(author.say(4, clock.now_ns()), signature=bytes(64))
            signed = list(ledger.ingest(preparers, decode_signed, [msgspec.msgpack.encode([*said, forged])]))
        finally:
            preparers.close()
        for number, answer in enumerate(appended):
            first, second, refused, bad = answer.outcomes
            assert (first.seq, second.seq) == (1 + 2 * number, 2 + 2 * number)
            assert (type(refused), type(bad)) == (Refused, Malformed)
            assert ledger.reader.event(first.seq).payload == batches[number][0].payload
        event = ledger.reader.event(appended[0].outcomes[0].seq)
        assert (event.entry.attestation, event.entry.principal) == ("notary", "alice")
        assert [type(outcome) for outcome in signed[0].outcomes] == [Placed, Placed, Placed, Refused]


CHILD = """
import sys, time
from pathlib import Path
import os
from decision_dna.ledger.workers import Workers
if __name__ == "__main__":
    workers = Workers(int, (), 1)
    print(workers.submit(os.getpid).result(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see that a process is gone")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        worker = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.stdout.read()  # ends when the last process that holds it is gone: the worker inherited it
    assert not Path(f"/proc/{worker}").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text()


def test_types_and_sources_that_are_refused_are_not_kept() -> None:
    """A type that nobody may use can be as long as a submission: kept for the life of a policy, a few requests fill the memory."""
    ledger, _, _ = new_log()
    rules = Rules.of(ledger.writer.authority)
    preparation = Preparation(rules, None)
    tracemalloc.start()
    try:
        for number in range(20):
            long = f"x.{number}{'a' * 1_000_000}"
            (refused,) = preparation.prepare([msgspec.structs.replace(draft(1, "raw"), type=long)], "local", 0)
            assert isinstance(refused, Malformed)
            del refused, long
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5_000_000
