"""A chain in this process: LiteSVM runs the real programs, the memo program among them, and keeps no clock of its own.

Slots pass when `advance` says so, 400 ms each, and the block time follows them. What LiteSVM leaves out is kept here:
1,232 bytes at most, and a blockhash is forgotten 150 slots after it was last handed out. What differs from mainnet:
the memo program is a newer and far cheaper one, every transaction is final at once, and no fee market exists.
"""

from collections import deque
from enum import Enum

from solders.clock import Clock
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from decision_dna.anchors.chain import ChainRefused, Confirmed
from decision_dna.engine.wire import decode_transaction
from decision_dna.schemas.anchoring import TRANSACTION_BYTES_MAX
from decision_dna.schemas.errors import Malformed, TooLarge, Unavailable

SLOT_MILLISECONDS = 400
BLOCKHASH_SLOTS = 150


class Fault(Enum):
    """What goes wrong with one send."""

    UNSENT = "the transaction never arrives"
    UNANSWERED = "the transaction lands, its answer does not arrive"


class LocalChain:
    """`anchors.chain.Chain` in process. `block_time` (s since 1970) is that of slot `slot`, the first one."""

    cluster = "local"

    def __init__(self, *, slot: int = 1, block_time: int = 0) -> None:
        self._svm = LiteSVM()
        self._first_slot, self._first_time = slot, block_time
        self._blockhash_slot = slot
        self._confirmed: dict[bytes, Confirmed] = {}
        self._faults: deque[Fault] = deque()
        self._set_slot(slot)

    @property
    def slot(self) -> int:
        """The slot that a transaction sent now lands in."""
        return self._svm.get_clock().slot

    def advance(self, slots: int) -> None:
        """Let slots pass."""
        self._set_slot(self.slot + slots)
        if self.slot - self._blockhash_slot > BLOCKHASH_SLOTS:
            self._svm.expire_blockhash()

    def fund(self, key: bytes, lamports: int) -> None:
        """Give lamports to a key."""
        self._svm.airdrop(Pubkey(key), lamports)

    def balance(self, key: bytes) -> int:
        """The lamports of a key."""
        return self._svm.get_balance(Pubkey(key)) or 0

    def fail_next(self, *faults: Fault) -> None:
        """Let the next sends go wrong, in this order."""
        self._faults.extend(faults)

    async def blockhash(self) -> bytes:
        """As `Chain.blockhash`."""
        self._blockhash_slot = self.slot
        return bytes(self._svm.latest_blockhash())

    async def compute_units(self, raw: bytes) -> int:
        """As `Chain.compute_units`."""
        result = self._svm.simulate_transaction(_readable(raw))
        if isinstance(result, FailedTransactionMetadata):
            raise ChainRefused(_reason(result))
        return result.meta().compute_units_consumed()

    async def send(self, raw: bytes) -> Confirmed:
        """As `Chain.send`."""
        transaction = _readable(raw)
        fault = self._faults.popleft() if self._faults else None
        if fault is Fault.UNSENT:
            raise Unavailable(fault.value)
        result = self._svm.send_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            raise ChainRefused(_reason(result))
        clock = self._svm.get_clock()
        confirmed = Confirmed(clock.slot, clock.unix_timestamp, bytes(result.signature()))
        self._confirmed[confirmed.signature] = confirmed
        if fault is Fault.UNANSWERED:
            raise Unavailable(fault.value)
        return confirmed

    async def find(self, signature: bytes) -> Confirmed | None:
        """As `Chain.find`."""
        return self._confirmed.get(bytes(Signature(signature)))

    def _set_slot(self, slot: int) -> None:
        block_time = self._first_time + (slot - self._first_slot) * SLOT_MILLISECONDS // 1000
        self._svm.set_clock(
            Clock(
                slot=slot,
                epoch_start_timestamp=self._first_time,
                epoch=0,
                leader_schedule_epoch=0,
                unix_timestamp=block_time,
            )
        )


def _readable(raw: bytes) -> VersionedTransaction:
    """Raises TooLarge past a packet's size, and Malformed for what a node would not take apart."""
    if len(raw) > TRANSACTION_BYTES_MAX:
        raise TooLarge(f"a transaction of {len(raw)} bytes, at most {TRANSACTION_BYTES_MAX}")
    decode_transaction(raw)
    try:
        return VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise Malformed(f"not a transaction: {error}") from None


def _reason(result: FailedTransactionMetadata) -> str:
    return str(result.err()).removeprefix("TransactionErrorFieldless.")
