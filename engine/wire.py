"""The wire form of a Solana transaction, decoded exactly: legacy and version 0 messages, nothing left over.

    compact-u16 n · n × signature[64] · message
    message  = [0x80 | version] · header[3] · keys · blockhash[32] · instructions · [lookups, if versioned]
    keys     = compact-u16 n · n × key[32]
    instruction = program u8 · compact-u16 n · n × account u8 · compact-u16 n · data[n]
    lookup   = table[32] · compact-u16 n · n × writable u8 · compact-u16 n · n × readonly u8

compact-u16: seven bits a byte, low first, the high bit says that more follow; the shortest form only.
Source: the Solana documentation, "Transactions", and the wire bytes of mainnet blocks.
"""

from typing import NamedTuple

from decision_dna.engine.blocks import Instruction
from decision_dna.schemas.errors import Malformed


class Header(NamedTuple):
    """How many keys sign, and how many of the signing and the other keys are read-only."""

    signers: int
    readonly_signers: int
    readonly_others: int


class WireTransaction(NamedTuple):
    """A decoded transaction; `version` is None for legacy messages. `loads` counts keys to come from tables."""

    signatures: tuple[bytes, ...]
    version: int | None
    header: Header
    keys: tuple[bytes, ...]
    blockhash: bytes
    instructions: tuple[Instruction, ...]
    loads: tuple[int, int]


def decode_transaction(data: bytes) -> WireTransaction:
    """Decode all of `data`. Raises Malformed for anything that is not exactly one transaction."""
    try:
        transaction, end = _transaction(data)
    except IndexError:
        raise Malformed("transaction: the bytes end too early") from None
    if end != len(data):
        raise Malformed(f"transaction: {len(data) - end} bytes follow its end")
    return transaction


def _transaction(data: bytes) -> tuple[WireTransaction, int]:
    signatures, at = _fixed(data, 0, 64)
    version = None
    if data[at] & 0x80:
        version, at = data[at] & 0x7F, at + 1
        if version != 0:
            raise Malformed(f"transaction: message version {version} is not known")
    header = Header(data[at], data[at + 1], data[at + 2])
    keys, at = _fixed(data, at + 3, 32)
    blockhash, at = _take(data, at, 32)
    count, at = _compact(data, at)
    instructions = []
    for _ in range(count):
        program = data[at]
        accounts, at = _counted(data, at + 1)
        body, at = _counted(data, at)
        instructions.append(Instruction(program, tuple(accounts), body))
    loads = (0, 0)
    if version is not None:
        loads, at = _lookups(data, at)
    return WireTransaction(signatures, version, header, keys, blockhash, tuple(instructions), loads), at


def _lookups(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    writable_count = readonly_count = 0
    count, at = _compact(data, at)
    for _ in range(count):
        _, at = _take(data, at, 32)
        writable, at = _counted(data, at)
        readonly, at = _counted(data, at)
        writable_count += len(writable)
        readonly_count += len(readonly)
    return (writable_count, readonly_count), at


def _fixed(data: bytes, at: int, size: int) -> tuple[tuple[bytes, ...], int]:
    count, at = _compact(data, at)
    end = at + count * size
    if end > len(data):
        raise IndexError
    return tuple([data[start : start + size] for start in range(at, end, size)]), end


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    count = data[at]
    at += 1
    if count >= 0x80:
        count, at = _compact(data, at - 1)
    return _take(data, at, count)


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise IndexError
    return data[at:end], end


def _compact(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    if first < 0x80:
        return first, at + 1
    second = data[at + 1]
    if second < 0x80:
        if second == 0:
            raise Malformed("transaction: a length in a longer form than needed")
        return first & 0x7F | second << 7, at + 2
    third = data[at + 2]
    if not 0 < third <= 3:
        raise Malformed("transaction: a length past 16 bits, or in a longer form than needed")
    return first & 0x7F | (second & 0x7F) << 7 | third << 14, at + 3
