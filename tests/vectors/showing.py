"""Evidence made by hand from a hand-made log: the same bytes as `ledger.proving` makes, but nothing here objects to a lie."""

from collections.abc import Sequence
from typing import Any

from decision_dna.ledger import merkle
from decision_dna.ledger.streams import list_leaves, prove_leaves
from decision_dna.ledger.tlogproof import format_proof
from tests.vectors.log import Log, text

Json = dict[str, Any]
ROLE_OF = {"ledger.genesis": "genesis", "ledger.key": "key", "ledger.policy": "policy"}
PARTS = ("format", "kind", "origin", "items", "payload", "streams", "run", "anchor", "fork")


def empty(log: Log, kind: str) -> Json:
    """All parts, in order, most of them null."""
    return dict.fromkeys(PARTS) | {
        "format": "decision-dna/evidence@v1",
        "kind": kind,
        "origin": log.origin,
        "items": [],
    }


def proof(log: Log, seq: int, note: bytes, size: int) -> str:
    """The tlog-proof of an entry under a head of that size."""
    leaves = [merkle.leaf_hash(raw) for raw in log.raws()[:size]]

    def read(nodes: list[merkle.Node]) -> list[bytes]:
        return [merkle.tree_root(leaves[index << height : (index + 1) << height]) for height, index in nodes]

    return format_proof(seq, merkle.prove_inclusion(seq, size, read), note)


def items(log: Log, named: Sequence[tuple[str, int]], note: bytes | None = None) -> list[Json]:
    """Items in these roles, all under one head: the newest, if none is given."""
    note = log.head_note(len(log.rows)) if note is None else note
    size = int(note.split(b"\n")[1])
    return [
        {"role": role, "entry": text(log.rows[seq].bytes_of()), "proof": proof(log, seq, note, size)}
        for role, seq in named
    ]


def roles(log: Log, event: int | None, before: int | None, after: int | None) -> list[tuple[str, int]]:
    """Genesis, all keys and policies, and what is shown, in the order of the format."""
    kinds = [(ROLE_OF.get(str(row.claim["type"])), seq) for seq, row in enumerate(log.rows)]
    named = [(role, seq) for wanted in ROLE_OF.values() for role, seq in kinds if role == wanted]
    shown = (("heartbeat_before", before), ("event", event), ("heartbeat_after", after))
    return [*named, *((role, seq) for role, seq in shown if seq is not None)]


def event(
    log: Log, seq: int, *, before: int | None = None, after: int | None = None, note: bytes | None = None
) -> Json:
    """An event, with its payload where it has one."""
    given = log.rows[seq].payload
    payload = None if given is None else {"salt": given[:16].hex(), "bytes": text(given[16:])}
    return empty(log, "event") | {"items": items(log, roles(log, seq, before, after), note), "payload": payload}


def streams(log: Log, stream: str, after: int) -> Json:
    """What the list of that heartbeat shows of a stream."""
    leaves = list_leaves(log.streams_before(after))
    shown = [
        {"index": leaf.index, "leaf": text(leaf.leaf), "proof": [text(value) for value in leaf.proof]}
        for leaf in prove_leaves(leaves, stream)
    ]
    return {"count": len(leaves), "leaves": shown}


def run(
    log: Log, stream: str, after: int, *, seqs: Sequence[int] | None = None, start: int = 0, end: int | None = None
) -> Json:
    """A run of a stream up to the heartbeat `after`, or its absence where it has no entry; times default to all."""
    if seqs is None:
        seqs = [seq for seq, row in enumerate(log.rows[:after]) if row.entry["stream"] == stream]
    end = log.rows[after].entry["recorded_at"] - 1 if end is None else end
    rows = [log.rows[seq] for seq in seqs]
    entries = [
        {"entry": text(row.bytes_of()), "payload": None if row.payload is None else text(row.payload)} for row in rows
    ]
    return empty(log, "run" if entries else "absence") | {
        "items": items(log, roles(log, None, None, after)),
        "streams": streams(log, stream, after),
        "run": {"stream": stream, "from": start, "to": end, "entries": entries},
    }


def fork(log: Log, first: bytes, second: bytes) -> Json:
    """Two heads."""
    return empty(log, "fork") | {"fork": {"first": first.decode(), "second": second.decode()}}
