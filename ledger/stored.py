"""What lies in a store besides entries and payloads, held against what the entries give: so that every live byte of a ledger is covered.

Runs after the walk (`ledger.audit`), on the joined log. Ids and low tree nodes were looked up on the way; here their number
is counted, and the rest compared whole. Indexes and views are verified by rebuilding them (`ledger.indexes`).
"""

from collections.abc import Iterator

from decision_dna.ledger import layout, merkle
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Finding, Joint, Step
from decision_dna.schemas import codec
from decision_dna.schemas.errors import Malformed


def check_stored(store: Store, joint: Joint) -> list[Finding]:
    """Every difference between the small families and what the log gives, each in the step that it belongs to."""
    stored = store.get("meta", layout.TIP_KEY)
    if stored is None:
        return [Finding(Step.TREE, None, "meta/tip is missing")]
    if _is_past_lock(stored, joint.size):
        return []  # a tail that was never locked is the next start's to judge; these rows already speak of it
    tip = layout.TipRecord(joint.origin, joint.size, joint.frontier.root(), joint.last_hash, joint.recorded_at)
    seqs = [met.seq for met in joint.authority]
    meta = {layout.TIP_KEY: codec.encode(tip), layout.AUTHORITY_KEY: codec.encode(seqs)}
    heads = {name.encode(): codec.encode(head) for name, head in joint.streams.items()}
    authors = {key: codec.encode(counter) for key, counter in joint.authors.items()}
    return [
        *_compare(store, "meta", meta, Step.TREE),
        *_compare(store, "streams", heads, Step.STREAMS),
        *_compare(store, "authors", authors, Step.ATTESTATIONS),
        *_count(store, "ids", joint.size, Step.ENCODING),
        *_count(store, "nodes", sum(joint.size >> height for height in range(8, 64, 8)), Step.TREE),
        *_high_nodes(store, joint),
        *_stray(store, "heads", joint.size - 1, Step.CHECKPOINTS),
        *_stray(store, "entries", joint.size - 1, Step.ENCODING),
        *_stray(store, "payloads", joint.size - 1, Step.PAYLOADS),
    ]


def _is_past_lock(tip: bytes, size: int) -> bool:
    try:
        return layout.decode_tip(tip).size > size
    except Malformed:
        return False


def _stray(store: Store, family: str, highest: int, step: Step) -> Iterator[Finding]:
    """Keys that are no number, or past the end."""
    for key, _ in store.scan(family):
        if len(key) != 8 or int.from_bytes(key) > highest:
            yield Finding(step, None, f"{family} has the key {key.hex()}, which lies outside this log")


def _compare(store: Store, family: str, expected: dict[bytes, bytes], step: Step) -> Iterator[Finding]:
    stored = dict(store.scan(family))
    for key in sorted({*stored, *expected}):
        have, want = stored.get(key), expected.get(key)
        if have != want:
            say = [value.hex() if value is not None else "nothing" for value in (have, want)]
            yield Finding(step, None, f"{family}/{key.hex()} holds {say[0]}, the entries give {say[1]}")


def _count(store: Store, family: str, expected: int, step: Step) -> Iterator[Finding]:
    have = sum(1 for _ in store.scan(family))
    if have != expected:
        yield Finding(step, None, f"{family} has {have} rows, the entries give {expected}")


def _high_nodes(store: Store, joint: Joint) -> Iterator[Finding]:
    """Nodes above the segments, from the stored (and checked) ones below."""
    height = 24
    while joint.size >> height:
        for index in range(joint.size >> height):
            below = store.scan(
                "nodes", layout.node_key(height - 8, index << 8), layout.node_key(height - 8, (index + 1) << 8)
            )
            given = merkle.tree_root([value for _, value in below])
            if store.get("nodes", layout.node_key(height, index)) != given:
                yield Finding(
                    Step.TREE, None, f"stored node ({height}, {index}) is not what those below it give: {given.hex()}"
                )
        height += 8
