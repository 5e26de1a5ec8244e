"""What lies in a store besides entries and payloads, held against what the entries give: so that every live byte of a ledger is covered.

Runs after the walk (`ledger.audit`), on the joined log. Ids and low tree nodes were looked up on the way; here their number
is counted, and the rest compared whole. Indexes are compared by the digest of each block (`ledger.indexes`), views with a replay (`engine.replay`).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from decision_dna.ledger import layout, merkle
from decision_dna.ledger.accounting import decode_accounted
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Finding, Joint, Segment, Step
from decision_dna.schemas import codec
from decision_dna.schemas.errors import LedgerError


class Tail(msgspec.Struct, frozen=True):
    """What was written past the lock: as a segment, with its leaf hashes and its last hash."""

    segment: Segment
    leaves: list[bytes]
    last_hash: bytes


def check_stored(store: Store, joint: Joint, tail: Tail | None) -> list[Finding]:
    """Every difference between the small families and what the log gives, each in the step that it belongs to.

    They are as new as the last write, so a tail past the lock counts with them. Of a log that was joined from `joint.first`
    on, what those entries say: `ids`, kept heads before it, and rows of streams and authors that were silent are left alone.
    """
    first, whole = joint.first, joint.first == 0
    size, meta, streams, authors = _last_written(joint, tail)
    spoken = joint.sources if tail is None else joint.sources | tail.segment.sources
    sources = {layout.source_key(*pair): b"" for pair in spoken}
    said = store.get("meta", layout.ACCOUNTED_KEY)
    if said is not None:
        meta[layout.ACCOUNTED_KEY] = said  # judged by itself: it is as old as it says
    meta[layout.FORMAT_KEY] = codec.encode(layout.STORE_FORMAT)
    return [
        *_compare(store, "meta", meta, Step.TREE),
        *_judge_accounted(said, joint),
        *_compare(store, "streams", streams, Step.STREAMS, expected_only=not whole),
        *_compare(store, "authors", authors, Step.ATTESTATIONS, expected_only=not whole),
        *_compare(store, "sources", sources, Step.STREAMS, expected_only=not whole),
        *(_count(store, "ids", size, Step.ENCODING) if whole else ()),
        *_count(store, "nodes", sum(size >> height for height in range(8, 64, 8)), Step.TREE),
        *_high_nodes(store, size),
        *_stray(store, "heads", first, joint.size + (tail is not None), Step.CHECKPOINTS),
        *_outside(store, "entries", size, Step.ENCODING),
        *_outside(store, "payloads", size, Step.PAYLOADS),
    ]


class _Written(NamedTuple):
    """The log's size after the last write, and the rows that three families have then."""

    size: int
    meta: dict[bytes, bytes]
    streams: dict[bytes, bytes]
    authors: dict[bytes, bytes]


def _last_written(joint: Joint, tail: Tail | None) -> _Written:
    heads, authors = dict(joint.streams), dict(joint.authors)
    frontier, last_hash, recorded_at = joint.frontier, joint.last_hash, joint.recorded_at
    changes = [met.seq for met in joint.authority]
    if tail is not None:
        heads |= {name: (span.next_seq, span.head) for name, span in tail.segment.streams.items()}
        authors |= {key: span.after for key, span in tail.segment.authors.items()}
        changes += [met.seq for met in tail.segment.authority]
        frontier = merkle.extend(frontier, tail.leaves)
        last_hash, recorded_at = tail.last_hash, max(recorded_at, tail.segment.last_recorded_at)
    tip = layout.TipRecord(joint.origin, frontier.size, frontier.root(), last_hash, recorded_at)
    return _Written(
        frontier.size,
        {layout.TIP_KEY: codec.encode(tip), layout.AUTHORITY_KEY: codec.encode(changes)},
        {name.encode(): codec.encode(head) for name, head in heads.items()},
        {key: codec.encode(counter) for key, counter in authors.items()},
    )


def _judge_accounted(row: bytes | None, joint: Joint) -> Iterator[Finding]:
    """What is said of which entries change keys and policy is of a head that was kept, true, and signed by that head's newest key.

    Before `joint.first` no root is known but those that were asked for.
    """
    if row is None:
        return
    try:
        said = decode_accounted(row)
    except LedgerError as error:
        yield Finding(Step.ATTESTATIONS, None, f"meta/accounted: {error}")
        return
    root = joint.roots.get(said.size, said.root if said.size < joint.first else None)
    given = joint.origin, root, tuple(met.seq for met in joint.authority if met.seq < said.size)
    signers = joint.schedule[-1][1].log_keys_at(said.size)[-1:] if joint.schedule else []
    if (said.origin, said.root, said.seqs) != given:
        yield Finding(Step.ATTESTATIONS, None, f"meta/accounted says {said}, the log gives {given}")
    elif not said.is_by(signers):
        yield Finding(Step.ATTESTATIONS, None, f"meta/accounted is not signed by the log key of size {said.size}")


def _stray(store: Store, family: str, start: int, end: int, step: Step) -> Iterator[Finding]:
    """Keys from that of `start` on that are no number below `end`."""
    for key, _ in store.scan(family, layout.seq_key(start)):
        if len(key) != 8 or int.from_bytes(key) >= end:
            yield Finding(step, None, f"{family} has the key {key.hex()}, which lies outside this log")


def _outside(store: Store, family: str, size: int, step: Step) -> Iterator[Finding]:
    """What the walk, which saw all between the first run's key and the last entry, did not see: what lies around that, and where the last run ends."""
    for key, _ in store.scan(family, b"", layout.seq_key(0)):
        yield Finding(step, None, f"{family} has the key {key.hex()}, which lies outside this log")
    yield from _stray(store, family, size, size, step)
    split = layout.split_entries if family == "entries" else layout.split_payloads
    last = store.last(family, layout.seq_key(size - 1)) if size else None
    with suppress(LedgerError):  # named by the walk
        if last is not None and (end := int.from_bytes(last[0]) + len(split(last[1]))) != size:
            yield Finding(step, None, f"the last run of {family} ends at {end}, the log at {size}")


def _compare(
    store: Store, family: str, expected: dict[bytes, bytes], step: Step, *, expected_only: bool = False
) -> Iterator[Finding]:
    """Rows that a family has and should not, or the other way round; with `expected_only`, it may have more."""
    stored: dict[bytes, bytes | None] = dict(zip(expected, store.get_many(family, list(expected)), strict=True))
    if not expected_only:
        stored |= dict(store.scan(family))
    for key, have in sorted(stored.items()):
        want = expected.get(key)
        if have != want:
            say = ["nothing" if value is None else value.hex() or "an empty value" for value in (have, want)]
            yield Finding(step, None, f"{family}/{key.hex()} holds {say[0]}, the entries give {say[1]}")


def _count(store: Store, family: str, expected: int, step: Step) -> Iterator[Finding]:
    have = store.count(family)
    if have != expected:
        yield Finding(step, None, f"{family} has {have} rows, the entries give {expected}")


def _high_nodes(store: Store, size: int) -> Iterator[Finding]:
    """Nodes above the segments, from the stored (and checked) ones below."""
    height = 24
    while size >> height:
        for index in range(size >> height):
            below = store.scan(
                "nodes", layout.node_key(height - 8, index << 8), layout.node_key(height - 8, (index + 1) << 8)
            )
            given = merkle.tree_root([value for _, value in below])
            if store.get("nodes", layout.node_key(height, index)) != given:
                yield Finding(
                    Step.TREE, None, f"stored node ({height}, {index}) is not what those below it give: {given.hex()}"
                )
        height += 8
