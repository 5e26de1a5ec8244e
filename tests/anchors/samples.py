"""A log of forty made-up leaves with its keys, and an operator who holds all of them and anchors anything."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from decision_dna.anchors.build import build_anchor_transaction
from decision_dna.anchors.chain import Confirmed
from decision_dna.anchors.memo import FIRST_PREVIOUS, build_memo, memo_hash, parse_memo, reference_keys
from decision_dna.anchors.send import confirmed_anchor
from decision_dna.anchors.verify import AnchorEntry, AnchorReport, verify_anchors
from decision_dna.ledger import merkle
from decision_dna.ledger.notes import Checkpoint, Vkey, open_checkpoint, sign_checkpoint
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.anchoring import AnchorConfirmed

ORIGIN = "example.org/log"
ANCHOR_KEY, LOG_KEY, OTHER_KEY = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(40)]
BLOCKHASH = sha256(b"some block").digest()

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
MEMO_V1 = Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
PAYER = Pubkey(ANCHOR_KEY.public)
LIMIT, PRICE = set_compute_unit_limit(110_000), set_compute_unit_price(0)


def root_at(size: int) -> bytes | None:
    return merkle.tree_root(LEAVES[:size]) if 0 < size <= len(LEAVES) else None


def note(size: int, *, root: bytes | None = None, origin: str = ORIGIN, key: SigningKey = LOG_KEY) -> bytes:
    root = root or root_at(size) or bytes(32)
    return sign_checkpoint(Checkpoint(origin, size, root), [key])


def memos(*notes: bytes) -> list[bytes]:
    """The memos of these notes, numbered and linked."""
    made: list[bytes] = []
    for n, text in enumerate(notes):
        made.append(build_memo(n, memo_hash(made[-1]) if made else FIRST_PREVIOUS, text))
    return made


def memo_call(memo: bytes, program: Pubkey = MEMO, accounts: Sequence[AccountMeta] = ()) -> Instruction:
    return Instruction(program, memo, list(accounts))


def transfer_call(
    references: Sequence[bytes], *, lamports: int = 0, to: Pubkey = PAYER, writable: bool = False
) -> Instruction:
    plain = transfer(TransferParams(from_pubkey=PAYER, to_pubkey=to, lamports=lamports))
    extra = [AccountMeta(Pubkey(key), is_signer=False, is_writable=writable) for key in references]
    return Instruction(plain.program_id, plain.data, [*plain.accounts, *extra])


def transfer_for(memo: bytes) -> Instruction:
    return transfer_call(reference_keys(parse_memo(memo).checkpoint))


def signed(calls: Sequence[Instruction], *, v0: bool = False, keys: Sequence[SigningKey] = (ANCHOR_KEY,)) -> bytes:
    """A raw transaction of any instructions, signed by these keys in their order."""
    payer, blockhash = Pubkey(keys[0].public), Hash(BLOCKHASH)
    if v0:
        message = MessageV0.try_compile(payer, list(calls), [], blockhash)
        return bytes(VersionedTransaction.populate(message, [_sign(b"\x80" + bytes(message), key) for key in keys]))
    legacy = Message.new_with_blockhash(list(calls), payer, blockhash)
    return bytes(VersionedTransaction.populate(legacy, [_sign(bytes(legacy), key) for key in keys]))


def _sign(message: bytes, key: SigningKey) -> Signature:
    return Signature(key.sign(message))


def anchors(*sizes: int) -> list[AnchorEntry]:
    """Anchors of these sizes as the log keeps them, each reported by the entry right after its last one."""
    entries = []
    for memo in memos(*(note(size) for size in sizes)):
        raw = build_anchor_transaction(memo, ANCHOR_KEY, BLOCKHASH)
        slot = 1_000 + len(entries)
        confirmed = Confirmed(slot, 1_700_000_000, raw[1:65])
        payload = confirmed_anchor(raw, ANCHOR_KEY.public, ORIGIN, "local", confirmed)
        entries.append(AnchorEntry(payload.size, payload))
    return entries


def with_transaction(entry: AnchorEntry, raw: bytes) -> AnchorEntry:
    """The entry with another transaction; what it quotes stays, but for the signature."""
    return AnchorEntry(entry.seq, msgspec.structs.replace(entry.payload, transaction=raw, signature=raw[1:65]))


def requoted(entry: AnchorEntry, memo: bytes) -> AnchorEntry:
    """The entry with another memo, signed anew by the anchor key and quoted rightly."""
    raw = signed([LIMIT, PRICE, memo_call(memo), transfer_for(memo)])
    checkpoint = parse_memo(memo).checkpoint
    quoted: AnchorConfirmed = msgspec.structs.replace(
        entry.payload,
        n=parse_memo(memo).n,
        size=checkpoint.size,
        root=checkpoint.root,
        signature=raw[1:65],
        transaction=raw,
    )
    return AnchorEntry(entry.seq, quoted)


def verified(entries: Sequence[AnchorEntry], key: SigningKey = ANCHOR_KEY) -> AnchorReport:
    vkey = Vkey(ORIGIN, LOG_KEY.public)
    return verify_anchors(entries, ORIGIN, lambda seq: key.public, root_at, lambda data: open_checkpoint(data, [vkey]))
