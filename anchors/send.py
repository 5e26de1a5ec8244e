"""One anchor on its way: memo → transaction → chain → what the log keeps.

    raw = await prepare_anchor(chain, key, n, previous, note)      keep these bytes before sending them
    confirmed = await chain.send(raw)
    payload = confirmed_anchor(raw, …, chain.cluster, confirmed)   goes into the log as `anchor.confirmed`

If the process dies after `send` and before the entry is in the log, the chain holds an anchor that the log does not
know. Nothing is lost as long as the raw bytes were kept: on start, `chain.find` their signature (the first after the
count byte) and go on with what it says. Signing the same number anew instead would fork the numbering on the chain.
"""

from decision_dna.anchors.build import COMPUTE_UNITS_MAX, build_anchor_transaction
from decision_dna.anchors.chain import Chain, Confirmed
from decision_dna.anchors.memo import build_memo
from decision_dna.anchors.transaction import check_anchor_transaction
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.errors import InvariantBroken


async def prepare_anchor(
    chain: Chain, anchor_key: SigningKey, n: int, previous: bytes, note: bytes, *, micro_lamports_per_unit: int = 0
) -> bytes:
    """The raw transaction of anchor `n`; its compute limit, which is what gets paid for, is a tenth above a simulation.

    Raises what `build_memo` and `Chain.compute_units` raise: an anchor that would fail on the chain fails here, unsent.
    """
    memo, blockhash = build_memo(n, previous, note), await chain.blockhash()
    trial = build_anchor_transaction(memo, anchor_key, blockhash, micro_lamports_per_unit=micro_lamports_per_unit)
    units = await chain.compute_units(trial)
    return build_anchor_transaction(
        memo,
        anchor_key,
        blockhash,
        compute_units_max=min(units * 11 // 10 + 1, COMPUTE_UNITS_MAX),
        micro_lamports_per_unit=micro_lamports_per_unit,
    )


def confirmed_anchor(raw: bytes, anchor_key: bytes, origin: str, cluster: str, confirmed: Confirmed) -> AnchorConfirmed:
    """The payload for the log, of a transaction as `prepare_anchor` gave it. `anchor_key` is the public one.

    Raises ProofRejected where the bytes are no anchor, InvariantBroken where the chain's answer is about others.
    """
    proof = check_anchor_transaction(raw, anchor_key, origin)
    if confirmed.signature != proof.signature:
        raise InvariantBroken(f"sent {proof.signature.hex()}, but the chain confirmed {confirmed.signature.hex()}")
    return AnchorConfirmed(
        block_time=confirmed.block_time,
        cluster=cluster,
        n=proof.n,
        root=proof.checkpoint.root,
        signature=proof.signature,
        size=proof.checkpoint.size,
        slot=confirmed.slot,
        transaction=raw,
    )
