"""What the engine says is checked like anybody's word before it is appended."""

from decision_dna.engine.blocks import Block
from decision_dna.engine.watch import SourceBlock
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import BadInput
from decision_dna.service.watching import append_block
from tests.ledger.memory_log import new_log


def block(slot: int) -> Block:
    """A block without transactions."""
    key = "5" * 43
    return Block(slot, 1, key, key, 1_790_000_000, 7, ())


def test_watching_refuses_past_range() -> None:
    """An event of our own that its type does not allow is refused and said, not appended for a fold to stumble over."""
    ledger, _, _ = new_log()
    assert isinstance(append_block(ledger, SourceBlock("slot_5.json", block(5))).outcomes[0], Placed)
    size = ledger.reader.size
    seen = append_block(ledger, SourceBlock("slot_-5.json", block(-5)))
    assert [type(error) for error in seen.refused] == [type(error) for error in seen.outcomes]
    assert isinstance(seen.refused[0], BadInput)
    assert "slot" in str(seen.refused[0])
    assert ledger.reader.size == size
