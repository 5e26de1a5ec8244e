"""Anchoring a ledger: the newest head onto a chain, and what the chain said into the log.

    head ─ memo ─ transaction ─ chain ─ `anchor.confirmed`

Today the chain is local (`anchors.local_chain`): it runs the real programs in this process and ends with it, so its
anchors show that the walk works, and nothing to anyone else. For the same reason a crash between sending and appending
leaves nothing behind: there is no chain any more that holds an anchor that the log does not know.

Sending needs the extra `solana`. It is imported when a chain is used, so that `dna serve` runs without it.
"""

from typing import TYPE_CHECKING

from decision_dna.anchors.chain import Chain
from decision_dna.anchors.entries import anchors_of
from decision_dna.anchors.memo import FIRST_PREVIOUS
from decision_dna.anchors.transaction import check_anchor_transaction
from decision_dna.engine.extras import require_solana
from decision_dna.ledger.indexes import Indexes
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import fold_schedule
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.anchoring import CONFIRMED, AnchorConfirmed

if TYPE_CHECKING:
    from decision_dna.anchors.local_chain import LocalChain

LOCAL_LAMPORTS = 10**9
LOCAL_CHAIN = "a local chain in this process: it ends with it, and is no testimony to anyone else"


def local_chain(ledger: Ledger) -> "LocalChain":
    """A fresh local chain on which the ledger's anchor key has lamports. Raises CannotOpen without the extra `solana`."""
    require_solana("a local chain")
    from decision_dna.anchors.local_chain import LocalChain

    chain = LocalChain(block_time=ledger.clock.now_ns() // 10**9)
    chain.fund(ledger.writer.authority.anchor, LOCAL_LAMPORTS)
    return chain


async def anchor_once(ledger: Ledger, chain: Chain) -> tuple[int, AnchorConfirmed]:
    """Anchor the newest head; the seq of the entry that says so, with what it says. Raises Unavailable, Refused, ProofRejected."""
    from decision_dna.anchors.send import confirmed_anchor, prepare_anchor

    authority, head = ledger.writer.authority, ledger.reader.head()
    key = ledger.keys.get(authority.anchor, "anchor")
    n, previous = _place(ledger)
    raw = await prepare_anchor(chain, key, n, previous, head.note.encode())
    confirmed = confirmed_anchor(raw, key.public, ledger.origin, chain.cluster, await chain.send(raw))
    outcome = ledger.append_anchor(CONFIRMED, confirmed).outcomes[0]
    if not isinstance(outcome, Placed):
        raise outcome
    return outcome.seq, confirmed


def _place(ledger: Ledger) -> tuple[int, bytes]:
    """Number of the next anchor, and the hash of the memo before it, which the key that was live then signed."""
    seq, last = next(anchors_of(ledger.reader, Indexes(ledger.store)), (0, None))
    if last is None:
        return 0, FIRST_PREVIOUS
    schedule = fold_schedule(StoreSource(ledger.store, ledger.reader.head()).authority_hint())
    live = [authority.anchor for first, authority in schedule if first <= seq]
    return last.n + 1, check_anchor_transaction(last.transaction, live[-1], ledger.origin).memo_hash


def is_due(ledger: Ledger) -> bool:
    """Whether the policy's longest time, or greatest number of events, without an anchor is over."""
    policy = ledger.writer.authority.policy
    _, last = next(anchors_of(ledger.reader, Indexes(ledger.store)), (0, None))
    if last is None:
        return True
    late = ledger.clock.now_ns() // 10**9 - last.block_time >= policy.anchor_seconds_max
    return late or ledger.reader.size - last.size >= policy.anchor_events_max
