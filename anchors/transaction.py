"""Check the transaction that carries an anchor (docs/format.md, section 12). `anchors.build` builds it.

    signature       1, by the anchor key, which also pays
    instructions    compute budget: unit limit, unit price
                    memo: `anchors.memo`, no accounts
                    system transfer: 0 lamports, anchor key to anchor key, with two more accounts, read-only and not
                    signing: SHA-256(`decision-dna/v1/anchor\\n` ‖ origin), and the root

The check reads instruction data and signer flags, never program logs: logs differ between versions of the memo
program, and any program can print anything.
"""

from typing import NamedTuple

import msgspec

from decision_dna.anchors.memo import memo_hash, parse_memo, reference_keys
from decision_dna.engine.blocks import Instruction
from decision_dna.engine.wire import WireTransaction, decode_transaction
from decision_dna.ledger.notes import UnverifiedCheckpoint
from decision_dna.ledger.signatures import check_signature
from decision_dna.schemas.anchoring import TRANSACTION_BYTES_MAX
from decision_dna.schemas.errors import Malformed, ProofRejected

COMPUTE_BUDGET_PROGRAM = bytes.fromhex("0306466fe5211732ffecadba72c39be7bc8ce5bbc5f7126b2c439b3a40000000")
MEMO_PROGRAM = bytes.fromhex("054a535a992921064d24e87160da387c7c35b5ddbc92bb81e41fa8404105448d")
SYSTEM_PROGRAM = bytes(32)

_MESSAGE_AT = 1 + 64  # a count of one, one signature
TRANSFER_NOTHING = (2).to_bytes(4, "little") + bytes(8)


class AnchorProof(msgspec.Struct, frozen=True):
    """What an anchor transaction's bytes prove: the anchor key signed this memo. Not that a chain has it, and not that
    the note's own signatures hold."""

    signature: bytes
    n: int
    previous: bytes
    note: bytes
    checkpoint: UnverifiedCheckpoint
    memo: bytes

    @property
    def memo_hash(self) -> bytes:
        """32 bytes: what anchor n + 1 must name as its previous."""
        return memo_hash(self.memo)


def check_anchor_transaction(raw: bytes, anchor_key: bytes, origin: str) -> AnchorProof:
    """What the transaction proves about the log `origin`, signed by its anchor key (32 bytes). Raises ProofRejected."""
    transaction = _decoded(raw)
    _check_keys(transaction, anchor_key)
    signature = transaction.signatures[0]
    check_signature(anchor_key, raw[_MESSAGE_AT:], signature, "anchor transaction")
    memo_call, transfer = _memo_and_transfer([_resolved(call, transaction.keys) for call in transaction.instructions])
    if memo_call.accounts:
        raise ProofRejected("the anchor's memo lists accounts; it has none")
    memo = parse_memo(memo_call.data)
    if memo.checkpoint.origin != origin:
        raise ProofRejected(f"the anchor is of the log {memo.checkpoint.origin!r}, not of {origin!r}")
    _check_transfer(transfer, anchor_key, reference_keys(memo.checkpoint))
    return AnchorProof(signature, memo.n, memo.previous, memo.note, memo.checkpoint, memo_call.data)


def anchor_memo(raw: bytes) -> bytes:
    """The memo's bytes in an anchor transaction that is not checked here. Raises ProofRejected where there is none."""
    transaction = _decoded(raw)
    return _memo_and_transfer([_resolved(call, transaction.keys) for call in transaction.instructions])[0].data


class _Call(NamedTuple):
    """An instruction with the keys themselves in place of their indexes."""

    program: bytes
    accounts: list[bytes]
    data: bytes


def _decoded(raw: bytes) -> WireTransaction:
    if len(raw) > TRANSACTION_BYTES_MAX:
        raise ProofRejected(f"a transaction of {len(raw)} bytes, at most {TRANSACTION_BYTES_MAX} exist on the chain")
    try:
        transaction = decode_transaction(raw)
    except Malformed as error:
        raise ProofRejected(f"not a transaction: {error}") from None
    if any(transaction.loads):
        raise ProofRejected("an anchor transaction takes no accounts from tables: they cannot be read offline")
    return transaction


def _check_keys(transaction: WireTransaction, anchor_key: bytes) -> None:
    """The anchor key signs, pays, and is the only key that signs or is written to: so the header has one form."""
    header, keys = transaction.header, transaction.keys
    if header.signers != 1 or len(transaction.signatures) != 1 or keys[:1] != (anchor_key,):
        signers = ", ".join(key.hex() for key in keys[: header.signers])
        raise ProofRejected(f"the anchor key {anchor_key.hex()} signs alone; the signers here are {signers}")
    if header.readonly_signers != 0 or header.readonly_others != len(keys) - 1:
        raise ProofRejected(
            f"the anchor key alone is writable; the header here, of {len(keys)} keys, is {tuple(header)}"
        )
    if len(set(keys)) != len(keys):
        raise ProofRejected("a key that stands twice: no validator takes such a transaction")


def _resolved(call: Instruction, keys: tuple[bytes, ...]) -> _Call:
    if not 0 < call.program < len(keys) or any(account >= len(keys) for account in call.accounts):
        raise ProofRejected(f"an instruction outside the {len(keys)} keys: no validator takes such a transaction")
    return _Call(keys[call.program], [keys[account] for account in call.accounts], call.data)


def _memo_and_transfer(calls: list[_Call]) -> tuple[_Call, _Call]:
    """The two instructions that count, where nothing stands beside them but compute budget before them."""
    programs = [call.program for call in calls]
    if programs[-2:] != [MEMO_PROGRAM, SYSTEM_PROGRAM] or set(programs[:-2]) - {COMPUTE_BUDGET_PROGRAM}:
        found = ", ".join(program.hex() for program in programs)
        raise ProofRejected(f"an anchor is compute budget, then one memo, then one system transfer; here it is {found}")
    return calls[-2], calls[-1]


def _check_transfer(transfer: _Call, anchor_key: bytes, references: tuple[bytes, bytes]) -> None:
    if transfer.data != TRANSFER_NOTHING:
        raise ProofRejected(f"the anchor's system instruction is a transfer of 0 lamports, not {transfer.data.hex()}")
    if transfer.accounts != [anchor_key, anchor_key, *references]:
        expected, found = (", ".join(key.hex() for key in keys) for keys in (references, transfer.accounts))
        raise ProofRejected(f"the transfer lists the anchor key twice, then the references {expected}; here {found}")
