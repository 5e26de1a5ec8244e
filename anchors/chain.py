"""The seam to a chain, stated as promises. `anchors.local_chain` keeps them in process; the adapter to a live cluster
will keep them too. One contract suite (tests/anchors/test_chain_contract.py) holds every adapter to them.
"""

from typing import Protocol

import msgspec

from decision_dna.schemas.errors import Refused


class Confirmed(msgspec.Struct, frozen=True):
    """Where the chain put a transaction for good: slot, block time (s since 1970), first signature (64 bytes)."""

    slot: int
    block_time: int
    signature: bytes


class ChainRefused(Refused):
    """The chain answered, and did not take the transaction; `reason` is its own word (`AlreadyProcessed`, …)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the chain refused the transaction: {reason}")
        self.reason = reason


class Chain(Protocol):
    """A chain that takes raw transactions. Nothing here signs, and nothing is retried inside."""

    @property
    def cluster(self) -> str:
        """The name that an anchor's entry keeps: `mainnet-beta`, `devnet`, `local`, …"""
        ...

    async def blockhash(self) -> bytes:
        """32 bytes that a transaction may name now and for about 150 slots. Raises Unavailable."""
        ...

    async def compute_units(self, raw: bytes) -> int:
        """What the transaction would cost, run now and thrown away. Raises as `send` does."""
        ...

    async def send(self, raw: bytes) -> Confirmed:
        """Confirmed for good, and executed without error, when it returns. Bytes land at most once: whoever sends them
        again is refused, or told the same place.

        Raises ChainRefused (it did not execute), TooLarge and Malformed (nothing was sent), or Unavailable: whether it
        landed is then unknown, and `find` tells.
        """
        ...

    async def find(self, signature: bytes) -> Confirmed | None:
        """The transaction with this first signature, if it landed and executed without error. Raises Unavailable."""
        ...
