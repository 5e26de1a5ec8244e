"""From blocks to the log: what the engine says about each, appended as one batch.

The ids of its events follow from the block, so that a block that was read before appends nothing.
"""

from typing import NamedTuple

from decision_dna.engine.watch import EngineEvent, SourceBlock, SourceSkip, decide, decide_skip
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.errors import BadInput, LedgerError
from decision_dna.schemas.market import BlockSkipped
from decision_dna.schemas.payloads import check_payload


class Seen(NamedTuple):
    """A block (or a file that is none), what was said about it, and where each stands."""

    name: str
    slot: int
    events: list[EngineEvent]
    outcomes: list[Placed | LedgerError]

    @property
    def is_new(self) -> bool:
        """Whether anything of it was not in the log before."""
        return any(isinstance(outcome, Placed) and not outcome.duplicate for outcome in self.outcomes)

    @property
    def skipped(self) -> BlockSkipped | None:
        """Of a file that is no block, what the log says of it."""
        return next((event.payload for event in self.events if isinstance(event.payload, BlockSkipped)), None)

    @property
    def refused(self) -> list[LedgerError]:
        """What the ledger did not take: an event of the same id stands with other content, as after a change of a rule."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, LedgerError)]


def append_block(ledger: Ledger, item: SourceBlock | SourceSkip) -> Seen:
    """Decide, and append. Durable when it returns. Raises Busy, Unavailable."""
    if isinstance(item, SourceSkip):
        slot, events = item.slot, [decide_skip(item)]
    else:
        slot, events = item.block.slot, decide(item.block)
    outcomes = ledger.append_system([draft_of(event) for event in events]).outcomes
    return Seen(item.name, slot, events, outcomes)


def draft_of(event: EngineEvent) -> Draft | BadInput:
    """Return the submission for an event, or the error where its payload is past the ranges of its type: an event that
    nobody could read again is refused, as a stranger's is."""
    payload = codec.encode(event.payload)
    try:
        check_payload(event.type, 1, payload)
    except BadInput as error:
        return error
    return Draft(
        type=event.type,
        schema=1,
        source=event.source,
        payload=payload,
        id=event.id,
        subject=event.subject,
        occurred_at=event.occurred_at or None,
        causes=event.causes,
    )
