"""What the log keeps of an anchor (docs/format.md, section 12): the raw transaction, and where the chain put it."""

from typing import Annotated

from msgspec import Meta

from decision_dna.schemas.claims import Hash, Natural
from decision_dna.schemas.payloads import Payload, payload_type
from decision_dna.schemas.ranges import Seconds

CONFIRMED = "anchor.confirmed"
TRANSACTION_BYTES_MAX = 1_232
"""A transaction of Solana is one packet."""


@payload_type(CONFIRMED, schema=1)
class AnchorConfirmed(Payload, frozen=True):
    """An anchor that the chain confirmed. `n`, `root`, `signature` and `size` repeat what the transaction's bytes say,
    so that they can be asked for; step 9 compares. `block_time` (s since 1970), `cluster` and `slot` are the sender's
    word until a chain is asked. Plain nodes keep days of history, therefore the raw transaction stays here.
    """

    block_time: Seconds
    cluster: Annotated[str, Meta(max_length=64, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
    n: Natural
    root: Hash
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    size: Natural
    slot: Natural
    transaction: Annotated[bytes, Meta(max_length=TRANSACTION_BYTES_MAX)]
