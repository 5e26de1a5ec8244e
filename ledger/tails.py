"""What a tail past the lock must keep that only entries before it tell: the counters of its authors, the roots that it names,
what its erasures name, the lists of its heartbeats; and the rows of its sources. Start-up signs the tail, so what verification will ask is asked here.
"""

from collections.abc import Iterator, Mapping

from decision_dna.ledger import layout, merkle, streams
from decision_dna.ledger.authority import AuthorCounter, counter_after
from decision_dna.ledger.positions import stream_rows
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Finding, Segment, Step
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.payloads import is_open


def judge_rest(
    tail: Segment, store: Store, whole: LogReader, authors: Mapping[bytes, AuthorCounter] | None
) -> Iterator[Finding]:
    """Every rule of steps 3 to 5 that needs entries before the tail. `whole` reads up to the tail's end; `authors` are the
    counters before it, None where they are not known."""
    if authors is not None:
        yield from _judge_authors(tail, authors)
    for named in tail.named:
        if not _has_root(whole, named.size, named.root):
            said = f"it names root {named.root.hex()} for the first {named.size} entries, they have another"
            yield Finding(Step.ATTESTATIONS, named.seq, said)
    for seq, target, event_id in tail.erasures:
        if not _is_erasable(whole, seq, target, event_id):
            yield Finding(Step.PAYLOADS, seq, f"the erasure names event {target}, which is not one that can be erased")
    for pair in sorted(tail.sources):
        if store.get("sources", layout.source_key(*pair)) is None:
            yield Finding(Step.STREAMS, tail.start, f"no row says that principal {pair[0]!r} spoke as {pair[1]}")
    if tail.heartbeats:
        yield from _judge_heartbeats(tail, store, whole)


def _judge_authors(tail: Segment, authors: Mapping[bytes, AuthorCounter]) -> Iterator[Finding]:
    for key_id, span in tail.authors.items():
        try:
            counter_after(authors.get(key_id), span.author_seq, span.author_prev, span.digest)
        except LedgerError as error:
            yield Finding(Step.ATTESTATIONS, span.seq, f"key {key_id.hex()}: {error}")


def _has_root(whole: LogReader, size: int, root: bytes) -> bool:
    """Whether the log begins with so many entries of this root, shown by the tree that it has: a stored node alone proves nothing."""
    try:
        proof = whole.prove_consistency(size, whole.size)
        merkle.check_consistency(size, whole.size, root, whole.head().root, proof)
    except LedgerError:
        return False
    return True


def _is_erasable(whole: LogReader, seq: int, target: int, event_id: bytes) -> bool:
    try:
        claim = decode_claim(decode_entry(whole.raw(target)).claim)
    except LedgerError:
        return False
    return target < seq and claim.id == event_id and not is_open(claim.type)


def _judge_heartbeats(tail: Segment, store: Store, whole: LogReader) -> Iterator[Finding]:
    try:
        heads = stream_rows(store)
    except LedgerError:
        return  # a damaged row has its own finding, and start-up refused it before
    for name, span in tail.streams.items():
        if span.first_seq:
            heads[name] = (span.first_seq, span.first_prev)
        else:
            heads.pop(name, None)
    for met in tail.heartbeats:
        heads |= met.moved
        leaves = streams.list_leaves(heads)
        if (met.count, met.root) != (len(leaves), streams.list_root(leaves)):
            yield Finding(Step.STREAMS, met.seq, "the heartbeat does not list the streams before it")
        if not _has_root(whole, met.seq, met.tree):
            yield Finding(Step.STREAMS, met.seq, "the heartbeat names another root than the entries before it have")
