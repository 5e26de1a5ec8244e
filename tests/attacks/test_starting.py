"""What someone with the disk, and no key, gets from the next start."""

import shutil
from pathlib import Path

import pytest

from decision_dna.ledger import hashing, layout
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import lock_file, open_ledger
from decision_dna.ledger.lock import Lock
from decision_dna.ledger.plan import Signer, Tip, link, prepare
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.schemas import codec
from decision_dna.schemas.errors import CannotOpen, LedgerError
from decision_dna.schemas.ledgering import KEY, KeyChange
from tests.attacks.samples import honest
from tests.ledger.samples import AUTHOR, ORIGIN, Author, draft, new_ledger, register


def test_a_revoked_key_does_not_come_back_by_a_row_of_meta(tmp_path: Path) -> None:
    ledger, clock = new_ledger(tmp_path / "d")
    author = Author()
    with ledger:
        register(ledger)
        ledger.append([author.say(1, clock.now_ns())])
        name = hashing.key_id(AUTHOR.public)
        change = KeyChange(
            action="revoke",
            key=AUTHOR.public,
            overlap=0,
            purpose="author",
            replaces=name,
            sources=(),
            suspect_from=None,
        )
        ledger.append_signed(ledger.sign_own(ledger.keys.of_purpose("root")[0], KEY, change))
    with RocksStore.open(str(tmp_path / "d" / "db"), create=False) as store:
        batch = store.batch()
        batch.put("meta", layout.AUTHORITY_KEY, codec.encode([0, 1]))
        store.write(batch, durable=True)
    try:
        with open_ledger(tmp_path / "d", clock=clock) as again:
            outcome = again.append([author.say(2, clock.now_ns())]).outcomes[0]
    except CannotOpen:
        return
    assert isinstance(outcome, LedgerError)


@pytest.mark.parametrize("lie", ["backdated", "misnumbered", "payload lost"])
def test_a_tail_that_breaks_the_rules_is_not_signed(lie: str, tmp_path: Path) -> None:
    path = shutil.copytree(honest(tmp_path / "honest"), tmp_path / "d")
    with RocksStore.open(str(path / "db"), create=False) as store:
        locked = Lock.open(str(lock_file(path)), read_only=True).read()
        reader = LogReader(store, lambda: locked)
        last, size = reader.event(locked.size - 1), locked.size
        then = 1_600_000_000 * 10**9 if lie == "backdated" else last.entry.recorded_at
        row = prepare(
            draft(1, "raw"),
            origin=ORIGIN,
            signer=Signer(None, ""),
            salt=bytes(16),
            fresh_id=new_ids(1, then)[0],
            now=then,
        )
        stored = layout.decode_head(store.get("streams", row.stream.encode()) or b"")
        head = (99, bytes(32)) if lie == "misnumbered" else stored
        tip = Tip(reader.frontier(size), hashing.entry_hash(last.raw), last.entry.recorded_at)
        plan = link(tip, [row], lambda _: head, then)
        batch = store.batch()
        batch.put_many("entries", layout.entry_rows(size, plan.entries))
        batch.put_many("payloads", layout.payload_rows(size, [None] if lie == "payload lost" else plan.payloads))
        batch.put("ids", row.key, size.to_bytes(8))
        batch.put("streams", row.stream.encode(), codec.encode(plan.streams[row.stream]))
        record = layout.TipRecord(ORIGIN, size + 1, plan.tip.frontier.root(), plan.tip.prev, last.entry.recorded_at)
        batch.put("meta", layout.TIP_KEY, codec.encode(record))
        store.write(batch, durable=True)
    with pytest.raises(CannotOpen):
        open_ledger(path).close()
