"""The detectors on real blocks, where it is known by other means what is in them."""

import json
from collections.abc import Sequence
from typing import TypeVar

import pytest

from decision_dna.engine.answers import read_block, read_transactions
from decision_dna.engine.blocks import Block
from decision_dna.engine.detection import Detection, detect
from decision_dna.engine.detection.flows import SOL, flows_of, holdings
from decision_dna.engine.detection.prices import prices_of
from decision_dna.schemas.codec import encode
from decision_dna.schemas.market import Arbitrage, Sandwich, SandwichPattern
from decision_dna.schemas.payloads import PAYLOAD_BYTES_MAX, check_payload
from tests.data import shared

RAYDIUM_V4_AUTHORITY = "5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1"

D = TypeVar("D", bound=Detection)


def block_at(slot: int) -> Block:
    return read_block(shared(f"data/blocks/slot_{slot}.json").read_bytes())


def only(kind: type[D], found: Sequence[Detection]) -> list[D]:
    return [each for each in found if isinstance(each, kind)]


def test_slot_285000037_has_86_structural_triples_and_no_attack() -> None:
    block = block_at(285_000_037)
    found = detect(block)
    patterns = only(SandwichPattern, found)
    assert only(Sandwich, found) == []
    assert len(patterns) == 10
    assert all(len(each.fronts) == len(each.backs) == 1 for each in patterns)
    assert len({each.wallets for each in patterns}) == 10
    assert sum(each.victims_count for each in patterns) == 86
    assert all(each.profit_lamports < 0 for each in patterns), "each of the ten lost"


def test_the_patterns_of_slot_285000037_are_in_one_raydium_pool() -> None:
    block = block_at(285_000_037)
    owners = {exchange.pool: exchange.owners for flow in flows_of(block) for exchange in flow.exchanges}
    pools = {each.pool for each in only(SandwichPattern, detect(block))}
    assert len(pools) == 1
    assert owners[pools.pop()] == (RAYDIUM_V4_AUTHORITY, RAYDIUM_V4_AUTHORITY)


def test_one_authority_owns_many_pools_and_they_are_kept_apart() -> None:
    flows = flows_of(block_at(285_000_037))
    pools = {e.pool for flow in flows for e in flow.exchanges if RAYDIUM_V4_AUTHORITY in e.owners}
    assert len(pools) > 5


def test_the_labelled_arbitrages_and_no_others() -> None:
    labels = json.loads(shared("data/labels/slot_285000037.arbitrage.json").read_bytes())
    found = only(Arbitrage, detect(block_at(285_000_037)))
    claimed = [(each.position, each.signature, each.signer, each.fee, each.tip, each.net_lamports) for each in found]
    keys = ("pos", "signature", "signer", "fee")
    net = "lamports_net_of_fee_and_tip"
    assert [(*claim[:4], claim[5]) for claim in claimed] == [
        (*(label[key] for key in keys), label[net]) for label in labels
    ]
    assert [claim[4] for claim in claimed] == [label["jito_tip"] for label in labels]
    gains = [{gain.mint: gain.amount for gain in each.gains} for each in found]
    assert gains == [label["token_gain"] for label in labels]
    assert [len(each.hops) for each in found] == [len(label["dex"]) for label in labels]


def test_the_dollar_of_slot_285000037_has_the_price_of_its_labels() -> None:
    (label, *_) = json.loads(shared("data/labels/slot_285000037.arbitrage.json").read_bytes())
    lamports, units = prices_of(flows_of(block_at(285_000_037)))["EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"]
    assert 1000 * units / lamports == pytest.approx(label["sol_usdc_in_block"], rel=0.002)


# Looked at one by one, by their balances: each goes through two or more pools, gives up no token, and gains more than its
# fee; seven of them gain in tokens, which count at the block's own prices.
ARBITRAGES_254170887 = {
    233: (-4_935, 182_260),
    270: (-5_006, 10_303),
    289: (56_089, 56_089),
    300: (10_955, 10_955),
    373: (-5_006, 207_702),
    404: (-25_412, 184_293),
    422: (8_808, 8_808),
    444: (-5_003, 872),
    479: (255_180, 255_180),
    487: (264_699, 264_699),
    517: (17_610, 17_610),
    529: (-13_126, 2_769),
    536: (-8_056, 20_530),
    540: (-6_584, 29_621),
    564: (2_871_192, 2_871_192),
}


def test_slot_254170887_has_fifteen_arbitrages_and_no_sandwich() -> None:
    found = detect(block_at(254_170_887))
    assert len(found) == len(only(Arbitrage, found))
    claimed = {each.position: (each.net_lamports, each.value_lamports) for each in only(Arbitrage, found)}
    assert claimed == ARBITRAGES_254170887


@pytest.mark.parametrize("slot", [285_000_037, 254_170_887])
def test_an_arbitrage_gains_by_the_balances_of_its_signer(slot: int) -> None:
    block = block_at(slot)
    for each in only(Arbitrage, detect(block)):
        tx = block.transactions[each.position]
        gained = {mint: amount for (who, mint), amount in holdings(tx).items() if who == tx.fee_payer}
        assert gained.pop(SOL) == each.net_lamports
        assert gained == {gain.mint: gain.amount for gain in each.gains}
        assert all(amount > 0 for amount in gained.values())
        assert len({hop.pool for hop in each.hops}) >= 2


def test_the_real_sandwich_is_found_with_its_profit() -> None:
    (block,) = read_transactions(shared("data/sandwiches/same_block.slot406751392.json").read_bytes())
    (found,) = only(Sandwich, detect(block))
    (front,), (victim,), (back,) = found.fronts, found.victims, found.backs
    assert (front.position, victim.position, back.position) == (0, 1, 2)
    assert (front.mint_in, front.amount_in, back.amount_out) == (SOL, 2_203_771_050, 2_235_345_940)
    assert front.amount_out == back.amount_in
    assert found.profit_lamports == found.realized_lamports == 6_304_978
    assert (found.payments, found.tips, found.fees) == (25_259_912, 0, 10_000)
    assert found.profit_tokens == ()
    assert (found.link, found.attackers, found.victims_count) == ("owner", (front.wallet,), 1)
    assert victim.wallet != front.wallet == back.wallet


def test_without_its_victim_or_its_front_the_real_sandwich_is_none() -> None:
    answers = json.loads(shared("data/sandwiches/same_block.slot406751392.json").read_bytes())
    for left in ([0, 2], [1, 2], [0, 1], [1, 0, 2], [0, 2, 1]):
        (block,) = read_transactions(json.dumps([answers[place] for place in left]).encode())
        assert detect(block) == (), left


@pytest.mark.parametrize("slot", [285_000_037, 254_170_887])
def test_every_detection_is_a_payload(slot: int) -> None:
    names = {Arbitrage: "arbitrage", Sandwich: "sandwich", SandwichPattern: "sandwich_pattern"}
    for found in detect(block_at(slot)):
        data = encode(found)
        assert len(data) < PAYLOAD_BYTES_MAX
        check_payload(f"detection.{names[type(found)]}", 1, data)


@pytest.mark.parametrize("encoding", ["json", "base64", "json_parsed"])
def test_detection_does_not_depend_on_the_encoding(encoding: str) -> None:
    blocks = [shared(f"data/blocks/get_block_{each}_encoding.json").read_bytes() for each in ("json", encoding)]
    plain, other = (flows_of(read_block(text)) for text in blocks)
    assert [flow.exchanges for flow in other] == [flow.exchanges for flow in plain]
