"""A block as the engine sees it: plain, immutable, the same whatever encoding it came in.

Keys, mints and signatures are base58 text; instructions name accounts by their index in `Transaction.keys`, which is
the message's own keys followed by those that it loaded from tables, writable ones first. Lamports and token amounts
are integers in raw units. `engine.answers` reads blocks from a node's JSON; nothing here reads anything.

`digest(block)` is BLAKE3 over the MessagePack array

    [slot, parent_slot, blockhash, previous_blockhash, block_time, height, [transaction, …]]
    transaction = [signatures, keys, signers, err, fee, pre_lamports, post_lamports,
                   [[account, mint, owner, decimals, pre, post], …],
                   [outer program index, …], [[outer index, [inner program index, …]], …],
                   [[kind, source, destination, amount], …]]

with `Transaction.moves` last: everything that each encoding carries. It leaves out what `jsonParsed` loses
(the data and accounts of instructions that the node parsed) and what only some nodes tell (compute units, version,
token program).
"""

from typing import Literal, NamedTuple

import msgspec
from blake3 import blake3

from decision_dna.engine import base58
from decision_dna.schemas import codec

SYSTEM_PROGRAM = "11111111111111111111111111111111"
VOTE_PROGRAM = "Vote111111111111111111111111111111111111111"
# SPL Token and Token-2022: their transfers have the same form.
TOKEN_PROGRAMS = frozenset(
    {"TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"}
)
WRAPPED_SOL = "So11111111111111111111111111111111111111112"

# A transfer's data are at most 19 bytes (transferCheckedWithFee), which base58 writes in at most 26 digits: longer data
# need no decoding. A system transfer with a seed is longer, and is seen in the balances only.
_TRANSFER_DIGITS_MAX = 26

MoveKind = Literal["lamports", "token"]


class Instruction(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A call of `program` with `accounts`, both indexes into the transaction's keys.

    `raw` is the data as it came, bytes or base58: most data are never looked at, so they are decoded on demand.
    Of an instruction that the node parsed (`jsonParsed`) accounts and data are empty, but for transfers.
    """

    program: int
    accounts: tuple[int, ...]
    raw: bytes | str

    @property
    def data(self) -> bytes:
        """The instruction's data."""
        return base58.decode(self.raw) if isinstance(self.raw, str) else self.raw


class Inner(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The calls made while outer instruction `index` ran, in order."""

    index: int
    instructions: tuple[Instruction, ...]


class TokenAccount(msgspec.Struct, frozen=True, gc=False):
    """A token account before and after the transaction, raw units; None where it did not exist.

    An account that changed its owner or mint on the way is two of these: one ends, one begins.
    """

    account: int
    mint: str
    owner: str
    program: str
    decimals: int
    pre: int | None
    post: int | None

    @property
    def delta(self) -> int:
        """What it gained."""
        return (self.post or 0) - (self.pre or 0)


class Move(NamedTuple):
    """A transfer of lamports or tokens that took effect. source, destination and authority are account indexes.

    Moves with the same `call` were made by one program call, or are themselves one outer instruction, as far as the
    flat list of inner instructions tells.
    """

    kind: MoveKind
    call: int
    source: int
    destination: int
    authority: int
    amount: int


class Transaction(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One transaction with what it changed. `err` is the node's error as compact JSON, None where it succeeded.

    `keys`, `writable`, `pre_lamports` and `post_lamports` have one place for each account. `writable` says what the
    message asks for; `jsonParsed` says what the node granted, which excludes programs and reserved accounts.
    `moves` stand in the order of execution; a failed transaction has none.
    """

    position: int
    signatures: tuple[str, ...]
    version: int | None
    keys: tuple[str, ...]
    signers_count: int
    writable: bytes
    instructions: tuple[Instruction, ...]
    inner: tuple[Inner, ...]
    err: str | None
    fee: int
    compute_units: int | None
    pre_lamports: tuple[int, ...]
    post_lamports: tuple[int, ...]
    tokens: tuple[TokenAccount, ...]
    moves: tuple[Move, ...]
    vote: bool

    @property
    def signature(self) -> str:
        """The first signature, by which the chain names the transaction."""
        return self.signatures[0]

    @property
    def signers(self) -> tuple[str, ...]:
        """Who signed; the first one pays the fee."""
        return self.keys[: self.signers_count]

    @property
    def fee_payer(self) -> str:
        """The first signer."""
        return self.keys[0]

    @property
    def failed(self) -> bool:
        """Whether it changed nothing but the fee payer's balance."""
        return self.err is not None


class Block(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A block, or the known part of one: then `blockhash` is empty. Unknown `block_time` (s) and `height` are 0."""

    slot: int
    parent_slot: int
    blockhash: str
    previous_blockhash: str
    block_time: int
    height: int
    transactions: tuple[Transaction, ...]


def moves_of(
    keys: tuple[str, ...], instructions: tuple[Instruction, ...], inner: tuple[Inner, ...]
) -> tuple[Move, ...]:
    """Every transfer of lamports or tokens in the order of execution: the value of `Transaction.moves`."""
    moves: list[Move] = []
    call = 0
    made = {group.index: group.instructions for group in inner}
    readers = {keys.index(program): read for program, read in _READERS.items() if program in keys}
    if not readers:
        return ()
    for index, outer in enumerate(instructions):
        call += 1
        for step in (outer, *made.get(index, ())):
            read = readers.get(step.program)
            if read is None:
                call += 1
            elif len(step.raw) <= _TRANSFER_DIGITS_MAX and (move := read(step, call)) is not None:
                moves.append(move)
    return tuple(moves)


def digest(block: Block) -> str:
    """BLAKE3, in hex, of what every encoding says about the block (see the module's text)."""
    head = [block.slot, block.parent_slot, block.blockhash, block.previous_blockhash, block.block_time, block.height]
    return blake3(codec.encode([*head, [_essence(transaction) for transaction in block.transactions]])).hexdigest()


def _essence(tx: Transaction) -> tuple[object, ...]:
    rows = [(row.account, row.mint, row.owner, row.decimals, row.pre, row.post) for row in tx.tokens]
    outer = [step.program for step in tx.instructions]
    inner = [(group.index, [step.program for step in group.instructions]) for group in tx.inner]
    moves = [(move.kind, move.source, move.destination, move.amount) for move in tx.moves]
    balances = (tx.pre_lamports, tx.post_lamports, rows)
    return (tx.signatures, tx.keys, tx.signers_count, tx.err, tx.fee, *balances, outer, inner, moves)


def _token_move(step: Instruction, call: int) -> Move | None:
    """transfer (3), transferChecked (12) and transferCheckedWithFee (26, 1) of the token programs."""
    data, accounts = step.data, step.accounts
    if len(data) == 9 and data[0] == 3 and len(accounts) >= 3:
        source, destination, authority = accounts[:3]
        return Move("token", call, source, destination, authority, int.from_bytes(data[1:], "little"))
    checked = len(data) == 10 and data[0] == 12
    if (checked or (len(data) == 19 and data[:2] == b"\x1a\x01")) and len(accounts) >= 4:
        source, _, destination, authority = accounts[:4]
        amount = data[1:9] if checked else data[2:10]
        return Move("token", call, source, destination, authority, int.from_bytes(amount, "little"))
    return None


def _lamport_move(step: Instruction, call: int) -> Move | None:
    """transfer (2) of the system program."""
    data = step.data
    if len(data) != 12 or data[:4] != b"\x02\0\0\0" or len(step.accounts) < 2:
        return None
    source, destination = step.accounts[:2]
    return Move("lamports", call, source, destination, source, int.from_bytes(data[4:], "little"))


_READERS = dict.fromkeys(TOKEN_PROGRAMS, _token_move) | {SYSTEM_PROGRAM: _lamport_move}
