"""What the attacks are made from: an honest folder, bent copies, exports of them."""

from pathlib import Path

import msgspec

from decision_dna.ledger.cheat import Copy, Row
from decision_dna.ledger.exports import export_lines
from decision_dna.ledger.folder import read_folder
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.sources import StoreSource
from decision_dna.schemas import codec
from decision_dna.schemas.payloads import Payload
from tests.ledger.samples import fill, new_ledger


def honest(path: Path) -> Path:
    """A closed ledger with every kind of entry."""
    ledger, clock = new_ledger(path)
    with ledger:
        fill(ledger, clock, 2)
    return path


def vkey_of(path: Path) -> Vkey:
    """What `init` left beside the folder."""
    return Vkey.parse(path.with_name(path.name + ".vkey").read_text())


def export_of(path: Path) -> bytes:
    """The folder's log as one file."""
    with read_folder(path) as view:
        return b"".join(export_lines(StoreSource(view.store, view.lock.read())))


def add_own(copy: Copy, like: int, payload: Payload) -> int:
    """One more notarised entry of the type of entry `like`, at the end; its seq. Relink and sign heads after the last."""
    old, now, at = copy.rows[like], copy.rows[-1].entry.recorded_at, len(copy.rows)
    claim = msgspec.structs.replace(old.claim, id=new_ids(1, now)[0], occurred_at=now)
    copy.rows.append(Row(msgspec.structs.replace(old.entry, recorded_at=now), claim, None))
    copy.reopen(at, codec.encode(payload))
    copy.attest(at)
    return at
