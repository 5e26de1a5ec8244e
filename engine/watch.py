"""From files to events: blocks out of a file or folder, and what the engine says about each.

`decide` is a pure function. The ids of its events follow from the block alone, so that reading a block twice appends
nothing twice: a UUIDv7 whose time is the block's, and whose other bits are BLAKE3 over the MessagePack array

    [slot, blockhash, type, rule, index]

with the block's digest where the blockhash is unknown, and index counting the block's events of that type and rule.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from blake3 import blake3

from decision_dna.engine.answers import read_blocks
from decision_dna.engine.blocks import Block, digest
from decision_dna.engine.detection import Detection, detect
from decision_dna.schemas import codec
from decision_dna.schemas.errors import Malformed
from decision_dna.schemas.market import Arbitrage, BlockObserved, BlockSkipped, Sandwich
from decision_dna.schemas.payloads import Payload

SOURCE = "engine"
FILE_BYTES_MAX = 256 * 1024 * 1024
# What `engine.scenarios.write_blocks` lays beside its blocks.
_TRUTH = "truth_"
_SLOT = re.compile(r"(?:^|_)slot_?(\d{1,18})\.json$|^(\d{1,18})\.json$")
_REASON_MAX = 500
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class SourceBlock(NamedTuple):
    """A block, and the file that it came from."""

    name: str
    block: Block


class SourceSkip(NamedTuple):
    """A file that gave no block, and why. `slot` is what its name says, else 0."""

    name: str
    slot: int
    reason: str


class EngineEvent(msgspec.Struct, frozen=True):
    """What is to be appended: a submission, but for its payload's encoding. `occurred_at` in ns, 0 where unknown."""

    type: str
    source: str
    subject: str
    occurred_at: int
    id: bytes
    causes: tuple[bytes, ...]
    payload: Payload


class _Peek(msgspec.Struct, rename="camel"):
    """Just enough of an answer, or of its envelope, to put files in order."""

    parent_slot: int | None = None
    slot: int | None = None
    result: "_Peek | None" = None


_peek = msgspec.json.Decoder(_Peek)


def blocks_from(path: Path) -> Iterator[SourceBlock | SourceSkip]:
    """The blocks of a file, or of all `*.json` files of a folder by slot. A file that is no block is said, not dropped.

    A file named `slot_<N>.json` or `<N>.json` has that slot. Files named `truth_*` (notes of the generator) are no
    blocks and not looked at. Blocks are read one by one, when asked for.
    """
    for file in _in_order(_files(path)):
        yield from _read(file)


def follow(path: Path, wait: Callable[[], bool]) -> Iterator[SourceBlock | SourceSkip]:
    """As `blocks_from`, and on with files that appear later, for ever: `wait` is called between two looks at the folder
    and ends it by returning False. A new file is read once its size and time stayed the same from one look to the next,
    so that none is read half written."""
    done: set[Path] = set()
    seen: dict[Path, tuple[int, int]] = {}
    while True:
        now = {file: _stamp(file) for file in _files(path) if file not in done}
        settled = [file for file, stamp in now.items() if seen.get(file) == stamp]
        done.update(settled)
        seen = now
        for file in _in_order(settled):
            yield from _read(file)
        if not wait():
            return


def decide(block: Block) -> list[EngineEvent]:
    """The events of a block: that it was observed, then each detection, caused by the observation. Pure."""
    name = block.blockhash or digest(block)
    counts: Counter[tuple[str, str]] = Counter()

    def event(type_name: str, rule: str, subject: str, causes: tuple[bytes, ...], payload: Payload) -> EngineEvent:
        index = counts[type_name, rule]
        counts[type_name, rule] += 1
        identity = _id(block.block_time * 1_000, [block.slot, name, type_name, rule, index])
        return EngineEvent(type_name, SOURCE, subject, block.block_time * 10**9, identity, causes, payload)

    observed = event("observation.block", "", name, (), _observation(block))
    events = [observed]
    for found in detect(block):
        subject = found.signature if isinstance(found, Arbitrage) else found.pool
        events.append(event(_type_of(found), found.rule, subject, (observed.id,), found))
    return events


def decide_skip(skip: SourceSkip) -> EngineEvent:
    """The event that says that a file gave no block. Pure; its time is unknown."""
    identity = _id(0, [skip.slot, _line(skip.name), "observation.skip", "", 0])
    payload = BlockSkipped(reason=_line(f"{skip.name}: {skip.reason}"), slot=skip.slot)
    return EngineEvent("observation.skip", SOURCE, str(skip.slot), 0, identity, (), payload)


def _line(text: str) -> str:
    """A text of files and nodes as a payload may hold it: control characters and what is not Unicode become `?`."""
    return _UNFIT.sub("?", text)[:_REASON_MAX]


def _observation(block: Block) -> BlockObserved:
    return BlockObserved(
        block_time=block.block_time,
        blockhash=block.blockhash,
        digest=digest(block),
        failed_count=sum(tx.failed for tx in block.transactions),
        height=block.height,
        parent_slot=block.parent_slot,
        previous_blockhash=block.previous_blockhash,
        slot=block.slot,
        transactions_count=len(block.transactions),
        votes_count=sum(tx.vote for tx in block.transactions),
    )


def _type_of(found: Detection) -> str:
    if isinstance(found, Arbitrage):
        return "detection.arbitrage"
    return "detection.sandwich" if isinstance(found, Sandwich) else "detection.sandwich_pattern"


def _id(milliseconds: int, parts: list[object]) -> bytes:
    """A UUIDv7 (RFC 9562 §5.7) whose random bits are a hash."""
    value = bytearray(milliseconds.to_bytes(6, "big") + blake3(codec.encode(parts)).digest()[:10])
    value[6] = 0x70 | value[6] & 0x0F
    value[8] = 0x80 | value[8] & 0x3F
    return bytes(value)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.glob("*.json") if not file.name.startswith(_TRUTH)]
    return [path]


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:  # gone, or not to be looked at: reading it will say so
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _in_order(files: list[Path]) -> list[Path]:
    return sorted(files, key=lambda file: (_slot_named(file) or _slot_inside(file), file.name))


def _slot_named(file: Path) -> int:
    match = _SLOT.search(file.name)
    return int(match[1] or match[2]) if match else 0


def _slot_inside(file: Path) -> int:
    try:
        peek = _peek.decode(_bytes_of(file))
    except (OSError, Malformed, msgspec.DecodeError, ValueError, RecursionError, OverflowError):
        return 0  # reading it will say why
    inner = peek.result or peek
    return inner.slot or (inner.parent_slot or 0) + 1


def _bytes_of(file: Path) -> bytes:
    size = file.stat().st_size
    if size > FILE_BYTES_MAX:
        raise Malformed(f"a file of {size} bytes, at most {FILE_BYTES_MAX}")
    return file.read_bytes()


def _read(file: Path) -> Iterator[SourceBlock | SourceSkip]:
    slot, name = _slot_named(file), _line(file.name)
    try:
        blocks = read_blocks(_bytes_of(file), slot or None)
    except Malformed as error:
        yield SourceSkip(name, slot, str(error))
    except OSError as error:
        yield SourceSkip(name, slot, f"cannot be read: {error.strerror}")
    else:
        for block in blocks:
            yield SourceBlock(name, block)
