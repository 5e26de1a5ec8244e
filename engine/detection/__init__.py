"""Detectors: pure functions from a block to what is found in it, by what changed hands and not by who did it."""

from decision_dna.engine.blocks import Block
from decision_dna.engine.detection.arbitrage import find_arbitrages
from decision_dna.engine.detection.flows import flows_of
from decision_dna.engine.detection.prices import prices_of
from decision_dna.engine.detection.sandwich import find_sandwiches
from decision_dna.schemas.market import Arbitrage, Sandwich, SandwichPattern

Detection = Sandwich | SandwichPattern | Arbitrage


def detect(block: Block) -> tuple[Detection, ...]:
    """Everything found in a block: sandwiches and patterns by pool and place, then arbitrages by place."""
    flows = flows_of(block)
    prices = prices_of(flows)
    return (*find_sandwiches(block, flows, prices), *find_arbitrages(block, flows, prices))
