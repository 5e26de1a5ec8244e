"""What the log keeps of an anchor (docs/format.md, section 12): the raw transaction, and where the chain put it."""

from typing import Annotated

from msgspec import Meta

from decision_dna.schemas.payloads import Payload, payload_type

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PlainText = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f]*\Z")]


@payload_type("anchor.confirmed", schema=1)
class AnchorConfirmed(Payload, frozen=True):
    """An anchor that the chain confirmed. `n`, `root`, `signature` and `size` repeat what the transaction's bytes say,
    so that they can be asked for; step 9 compares. `block_time` (s since 1970), `cluster` and `slot` are the sender's
    word until a chain is asked. Plain nodes keep days of history, therefore the raw transaction stays here.
    """

    block_time: Count
    cluster: PlainText
    n: Count
    root: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    size: Count
    slot: Count
    transaction: bytes
