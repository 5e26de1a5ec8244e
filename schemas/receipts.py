"""Receipts: what a submitter keeps (docs/format.md, section 17). Each holds what shows, offline, that the log signed for the event.

A receipt has the entry's own bytes, and the salt of its payload: with what was submitted, everything that it says follows from
these and the signed checkpoint. `ledger.receipts` checks it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from decision_dna.schemas.claims import BATCH_EVENTS_MAX, ENTRY_BYTES_MAX, Natural

RECEIPT_FORMAT = "decision-dna/receipt@v1"
BATCH_RECEIPT_FORMAT = "decision-dna/batch-receipt@v1"

HexHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
HexSalt = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
EntryBytes = Annotated[bytes, Meta(max_length=ENTRY_BYTES_MAX)]


class Problem(msgspec.Struct, frozen=True):
    """Why something was not done (RFC 9457): `type` names the kind for programs, `detail` is one sentence for people."""

    type: str
    title: str
    status: int
    detail: str


class EventReceipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag=RECEIPT_FORMAT):
    """One event is in the log: `proof` is a `c2sp.org/tlog-proof@v1` text that leads from `entry` (base64) to a signed checkpoint.

    `hash` is H_entry, which the chain and the fingerprint are made of. `salt` is null where the payload was erased.
    `duplicate`: it stood there before this request.
    """

    seq: Natural
    id: str
    fingerprint: str
    hash: HexHash
    entry: EntryBytes
    salt: HexSalt | None
    duplicate: bool
    proof: str


class BatchReceipt(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag=BATCH_RECEIPT_FORMAT
):
    """The answer to several submissions.

    The new events are the run [first, first + count): column n of `ids`, `hashes`, `entries` (base64) and `salts` is event
    first + n, and one range proof (base64) leads from all entries to the signed `checkpoint`. `outcomes` has, for each
    submission in its order, the seq of its event, or the problem. Those that stand outside the run (they were there before)
    have receipts of their own in `elsewhere`, each once, ascending by seq, with proofs in the same checkpoint.
    """

    first: Natural
    count: Annotated[int, Meta(ge=0, le=BATCH_EVENTS_MAX)]
    ids: Annotated[list[str], Meta(max_length=BATCH_EVENTS_MAX)]
    hashes: Annotated[list[HexHash], Meta(max_length=BATCH_EVENTS_MAX)]
    entries: Annotated[list[EntryBytes], Meta(max_length=BATCH_EVENTS_MAX)]
    salts: Annotated[list[HexSalt], Meta(max_length=BATCH_EVENTS_MAX)]
    checkpoint: str
    proof: Annotated[list[str], Meta(max_length=128)]
    outcomes: list[Natural | Problem]
    elsewhere: list[EventReceipt]
