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
from decision_dna.schemas.errors import CannotOpen
from tests.attacks.samples import honest
from tests.ledger.samples import ORIGIN, draft


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
