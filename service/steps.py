"""The steps of verification that the rooms above the ledger bring: listed here, and made there."""

from decision_dna.anchors import audit as anchors
from decision_dna.engine import replay
from decision_dna.engine.projections import PROJECTIONS
from decision_dna.ledger.audit import Check
from decision_dna.ledger.sources import Source
from decision_dna.ledger.store import Store

NOTE_TYPES = anchors.NOTE_TYPES | replay.NOTE_TYPES
"""What the walk must note for these checks."""


def checks_of(source: Source, views: Store | None = None) -> tuple[Check, ...]:
    """Step 9, anchors; step 10, state commitments, and the rows that `views` keeps of projections."""
    return anchors.anchor_check(source), replay.state_check(source, PROJECTIONS, views)
