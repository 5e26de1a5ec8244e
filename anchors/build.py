"""Build the transaction that carries an anchor: the twin of `anchors.transaction`, which checks it. Needs the `solana` extra."""

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta
from solders.instruction import Instruction as Call
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from decision_dna.anchors.memo import parse_memo, reference_keys
from decision_dna.anchors.transaction import MEMO_PROGRAM, SYSTEM_PROGRAM, TRANSFER_NOTHING
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.anchoring import TRANSACTION_BYTES_MAX
from decision_dna.schemas.errors import TooLarge

COMPUTE_UNITS_MAX = 110_000
"""The budget of a trial run, and the most that is ever paid for; what the chain at hand takes, the trial says."""


def build_anchor_transaction(
    memo: bytes,
    anchor_key: SigningKey,
    blockhash: bytes,
    *,
    compute_units_max: int = COMPUTE_UNITS_MAX,
    micro_lamports_per_unit: int = 0,
) -> bytes:
    """The raw signed transaction, legacy form; the same arguments give the same bytes.

    Raises ProofRejected where the memo is none, TooLarge past 1,232 bytes.
    """
    payer = Pubkey(anchor_key.public)
    references = [Pubkey(key) for key in reference_keys(parse_memo(memo).checkpoint)]
    transfer_accounts = [
        AccountMeta(payer, is_signer=True, is_writable=True),
        AccountMeta(payer, is_signer=False, is_writable=True),
        *(AccountMeta(key, is_signer=False, is_writable=False) for key in references),
    ]
    calls = [
        set_compute_unit_limit(compute_units_max),
        set_compute_unit_price(micro_lamports_per_unit),
        Call(Pubkey(MEMO_PROGRAM), memo, []),
        Call(Pubkey(SYSTEM_PROGRAM), TRANSFER_NOTHING, transfer_accounts),
    ]
    message = Message.new_with_blockhash(calls, payer, Hash(blockhash))
    signature = Signature(anchor_key.sign(bytes(message)))
    raw = bytes(VersionedTransaction.populate(message, [signature]))
    if len(raw) > TRANSACTION_BYTES_MAX:
        raise TooLarge(f"an anchor transaction of {len(raw)} bytes, at most {TRANSACTION_BYTES_MAX}")
    return raw
