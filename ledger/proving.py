"""Write evidence from a ledger (docs/format.md, section 10): the twin of `ledger.evidence`, which checks it."""

import base64
from collections.abc import Sequence

import msgspec

from decision_dna.ledger import hashing, streams
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.tlogproof import format_proof
from decision_dna.schemas.claims import decode_entry
from decision_dna.schemas.errors import NotFound, TooLarge
from decision_dna.schemas.evidence import (
    EVIDENCE_BYTES_MAX,
    EVIDENCE_FORMAT,
    ROLES,
    AnchorGiven,
    Evidence,
    Item,
    Kind,
    LeafGiven,
    PayloadGiven,
    Role,
    RunEntry,
    RunGiven,
    StreamsGiven,
)
from decision_dna.schemas.ledgering import GENESIS, KEY


class Around(msgspec.Struct, frozen=True):
    """What evidence brings along: the seqs of all key and policy entries, and of the heartbeats around."""

    authority_seqs: tuple[int, ...]
    before: int | None
    after: int | None


def prove_event(
    reader: LogReader, seq: int, around: Around, *, with_payload: bool = True, anchor: AnchorGiven | None = None
) -> bytes:
    """An event is in the log, said by whom, between two heartbeats. Raises NotFound."""
    event = reader.event(seq)
    items = _items(reader, around, [("event", seq)])
    payload = None
    if with_payload and not event.entry.open and event.payload is not None and event.salt is not None:
        payload = PayloadGiven(event.salt.hex(), _text(event.payload))
    return _written(Evidence(EVIDENCE_FORMAT, "event", reader.head().origin, items, payload, None, None, anchor, None))


def prove_run(
    reader: LogReader, stream: str, seqs: Sequence[int], from_ns: int, to_ns: int, around: Around, leaves: list[bytes]
) -> bytes:
    """The entries `seqs` are all that the stream has from the first of them on, up to `heartbeat_after`; none at all: it is absent there.

    `leaves` is the list that this heartbeat commits to (`leaves_before`).
    """
    if around.after is None:
        raise NotFound("no heartbeat after the time asked for: write one first")
    items = _items(reader, around, [])
    given = [
        LeafGiven(p.index, _text(p.leaf), [_text(h) for h in p.proof]) for p in streams.prove_leaves(leaves, stream)
    ]
    entries: list[RunEntry] = []
    size = 0
    for seq in seqs:
        event = reader.event(seq)
        bare = event.entry.open or event.payload is None or event.salt is None
        size += (len(event.raw) + (0 if bare else len(event.payload or b""))) * 4 // 3  # in base64
        if size > EVIDENCE_BYTES_MAX:  # before more of it is held in memory
            raise TooLarge(f"evidence of more than {EVIDENCE_BYTES_MAX} bytes: ask for a shorter run")
        entries.append(
            RunEntry(_text(event.raw), None if bare else _text((event.salt or b"") + (event.payload or b"")))
        )
    kind: Kind = "run" if entries else "absence"
    run = RunGiven(stream, from_ns, to_ns, entries)
    shown = StreamsGiven(len(leaves), given)
    return _written(Evidence(EVIDENCE_FORMAT, kind, reader.head().origin, items, None, shown, run, None, None))


def leaves_before(reader: LogReader, seq: int) -> list[bytes]:
    """The list that a heartbeat at `seq` commits to, by walking all entries before it."""
    heads: dict[str, tuple[int, bytes]] = {}
    for raw in reader.raws(0, seq):
        entry = decode_entry(raw)
        heads[entry.stream] = (entry.stream_seq + 1, hashing.entry_hash(raw))
    return streams.list_leaves(heads)


def _items(reader: LogReader, around: Around, events: list[tuple[Role, int]]) -> list[Item]:
    named: list[tuple[Role, int]] = list(events)
    for seq in around.authority_seqs:
        type_name = reader.event(seq).claim.type
        named.append(("genesis" if type_name == GENESIS else "key" if type_name == KEY else "policy", seq))
    if around.before is not None:
        named.append(("heartbeat_before", around.before))
    if around.after is not None:
        named.append(("heartbeat_after", around.after))
    named.sort(key=lambda pair: (ROLES.index(pair[0]), pair[1]))
    head = reader.head()
    note = head.note.encode()
    return [
        Item(role, _text(reader.raw(seq)), format_proof(seq, reader.prove_inclusion(seq, head.size), note))
        for role, seq in named
    ]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _written(evidence: Evidence) -> bytes:
    data = msgspec.json.encode(evidence) + b"\n"
    if len(data) > EVIDENCE_BYTES_MAX:
        raise TooLarge(f"evidence of {len(data)} bytes, at most {EVIDENCE_BYTES_MAX}: ask for a shorter run")
    return data
