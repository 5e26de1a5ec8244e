"""What every chain promises (`anchors.chain.Chain`), held against each adapter. To add one, add a stage to `STAGES`."""

from collections.abc import Callable
from typing import Protocol

import pytest

from decision_dna.anchors.build import build_anchor_transaction
from decision_dna.anchors.chain import Chain, ChainRefused
from decision_dna.anchors.local_chain import Fault, LocalChain
from decision_dna.anchors.memo import FIRST_PREVIOUS
from decision_dna.anchors.send import confirmed_anchor, prepare_anchor
from decision_dna.anchors.transaction import check_anchor_transaction
from decision_dna.engine.wire import decode_transaction
from decision_dna.schemas.errors import InvariantBroken, Malformed, TooLarge, Unavailable
from tests.anchors.samples import ANCHOR_KEY, LIMIT, ORIGIN, OTHER_KEY, memos, note, root_at, signed, transfer_call

FIRST_SLOT, FIRST_TIME = 300_000_000, 1_700_000_000


class Stage(Protocol):
    """What a test may do to the world around a chain."""

    chain: Chain

    def fund(self, key: bytes, lamports: int) -> None: ...
    def balance(self, key: bytes) -> int: ...
    def pass_slots(self, slots: int) -> None: ...
    def lose_next(self, *, landed: bool) -> None: ...


class LocalStage:
    def __init__(self) -> None:
        self.chain = LocalChain(slot=FIRST_SLOT, block_time=FIRST_TIME)
        self.fund, self.balance, self.pass_slots = self.chain.fund, self.chain.balance, self.chain.advance

    def lose_next(self, *, landed: bool) -> None:
        self.chain.fail_next(Fault.UNANSWERED if landed else Fault.UNSENT)


STAGES: dict[str, Callable[[], Stage]] = {"local": LocalStage}


@pytest.fixture(params=STAGES.values(), ids=STAGES.keys())
def stage(request) -> Stage:
    made: Stage = request.param()
    made.fund(ANCHOR_KEY.public, 10**9)
    return made


async def first_anchor(stage: Stage) -> bytes:
    return await prepare_anchor(stage.chain, ANCHOR_KEY, 0, FIRST_PREVIOUS, note(5))


async def test_an_anchor_lands_and_its_bytes_check_offline(stage):
    raw = await first_anchor(stage)
    confirmed = await stage.chain.send(raw)
    proof = check_anchor_transaction(raw, ANCHOR_KEY.public, ORIGIN)
    assert (confirmed.signature, proof.n, proof.checkpoint.root) == (proof.signature, 0, root_at(5))
    assert (confirmed.slot, confirmed.block_time) == (FIRST_SLOT, FIRST_TIME)


async def test_it_costs_the_signature_only_and_moves_nothing(stage):
    before = stage.balance(ANCHOR_KEY.public)
    await stage.chain.send(await first_anchor(stage))
    assert before - stage.balance(ANCHOR_KEY.public) == 5_000


async def test_the_compute_limit_follows_a_simulation_and_the_price_is_paid_for_it(stage):
    before = stage.balance(ANCHOR_KEY.public)
    raw = await prepare_anchor(stage.chain, ANCHOR_KEY, 0, FIRST_PREVIOUS, note(5), micro_lamports_per_unit=1_000_000)
    units = await stage.chain.compute_units(raw)
    limit = int.from_bytes(decode_transaction(raw).instructions[0].data[1:], "little")
    assert units < limit <= units * 11 // 10 + 1
    await stage.chain.send(raw)
    assert before - stage.balance(ANCHOR_KEY.public) == 5_000 + limit


async def test_a_simulation_changes_nothing(stage):
    before = stage.balance(ANCHOR_KEY.public)
    raw = await first_anchor(stage)
    assert await stage.chain.compute_units(raw) > 0
    assert stage.balance(ANCHOR_KEY.public) == before
    assert await stage.chain.find(raw[1:65]) is None


async def test_slots_and_times_advance_together(stage):
    first = await stage.chain.send(await first_anchor(stage))
    stage.pass_slots(100)
    raw = await prepare_anchor(stage.chain, ANCHOR_KEY, 1, b"\x01" * 32, note(9))
    second = await stage.chain.send(raw)
    assert (second.slot - first.slot, second.block_time - first.block_time) == (100, 40)


async def test_what_landed_is_found_with_the_same_answer(stage):
    raw = await first_anchor(stage)
    assert await stage.chain.find(raw[1:65]) is None
    confirmed = await stage.chain.send(raw)
    stage.pass_slots(10)
    assert await stage.chain.find(raw[1:65]) == confirmed


async def test_a_replay_does_not_land_again(stage):
    raw = await first_anchor(stage)
    confirmed = await stage.chain.send(raw)
    balance = stage.balance(ANCHOR_KEY.public)
    with pytest.raises(ChainRefused, match="AlreadyProcessed"):
        await stage.chain.send(raw)
    assert stage.balance(ANCHOR_KEY.public) == balance
    assert await stage.chain.find(raw[1:65]) == confirmed


@pytest.mark.parametrize(("lamports", "reason"), [(0, "AccountNotFound"), (890_880, "InsufficientFundsForRent")])
async def test_without_funds_nothing_lands(stage, lamports, reason):
    """Below 890,880 lamports an account would not keep its rent, so the fee of 5,000 must come on top of it."""
    if lamports:
        stage.fund(OTHER_KEY.public, lamports)
    raw = build_anchor_transaction(memos(note(5))[0], OTHER_KEY, await stage.chain.blockhash())
    with pytest.raises(ChainRefused, match=reason):
        await stage.chain.send(raw)
    with pytest.raises(ChainRefused, match=reason):
        await stage.chain.compute_units(raw)
    assert await stage.chain.find(raw[1:65]) is None
    assert stage.balance(OTHER_KEY.public) == lamports


async def test_a_wrong_signature_is_refused(stage):
    raw = await first_anchor(stage)
    with pytest.raises(ChainRefused, match="SignatureFailure"):
        await stage.chain.send(raw[:1] + bytes([raw[1] ^ 1]) + raw[2:])


async def test_a_blockhash_serves_for_150_slots(stage):
    raw = await first_anchor(stage)
    stage.pass_slots(150)
    await stage.chain.send(raw)
    late = await prepare_anchor(stage.chain, ANCHOR_KEY, 1, b"\x01" * 32, note(9))
    stage.pass_slots(151)
    with pytest.raises(ChainRefused, match="BlockhashNotFound"):
        await stage.chain.send(late)


async def test_a_blockhash_of_no_block_is_refused(stage):
    with pytest.raises(ChainRefused, match="BlockhashNotFound"):
        await stage.chain.send(build_anchor_transaction(memos(note(5))[0], ANCHOR_KEY, bytes(32)))


async def test_an_error_of_a_program_is_a_refusal(stage):
    over = build_anchor_transaction(memos(note(5))[0], ANCHOR_KEY, await stage.chain.blockhash(), compute_units_max=500)
    with pytest.raises(ChainRefused, match="InstructionError"):
        await stage.chain.send(over)
    assert await stage.chain.find(over[1:65]) is None


async def test_what_no_node_reads_is_not_sent(stage):
    with pytest.raises(Malformed):
        await stage.chain.send(b"hello")
    references = [bytes([number]) * 32 for number in range(10, 45)]
    large = signed([LIMIT, transfer_call(references)])
    assert len(large) > 1_232
    with pytest.raises(TooLarge, match="at most 1232"):
        await stage.chain.send(large)


@pytest.mark.parametrize("landed", [False, True])
async def test_after_a_lost_answer_the_chain_tells_and_the_same_bytes_land_once(stage, landed):
    raw = await first_anchor(stage)
    stage.lose_next(landed=landed)
    with pytest.raises(Unavailable):
        await stage.chain.send(raw)
    confirmed = await stage.chain.find(raw[1:65])
    assert (confirmed is not None) == landed
    if confirmed is None:
        confirmed = await stage.chain.send(raw)
    payload = confirmed_anchor(raw, ANCHOR_KEY.public, ORIGIN, stage.chain.cluster, confirmed)
    assert (payload.n, payload.size, payload.slot, payload.transaction) == (0, 5, FIRST_SLOT, raw)


async def test_an_answer_about_another_transaction_stops_us(stage):
    raw = await first_anchor(stage)
    confirmed = await stage.chain.send(raw)
    stage.pass_slots(1)
    other = await prepare_anchor(stage.chain, ANCHOR_KEY, 1, b"\x01" * 32, note(9))
    with pytest.raises(InvariantBroken, match="but the chain confirmed"):
        confirmed_anchor(other, ANCHOR_KEY.public, ORIGIN, "local", confirmed)
