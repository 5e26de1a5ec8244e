"""Atomic arbitrage: one transaction through two or more pools that gives nothing net and gains something.

The rule, all by what changed hands:

1. two or more different pools, and over all its exchanges no mint is given net, at least one is got net;
2. the wallets behind it (the signers, and who gave to and took from the pools) lose no token by their balances;
3. what they gained, lamports after fee, tip and payments plus tokens at the prices of the same block, is above zero.
   A token without a price in the block counts nothing.
"""

from collections.abc import Iterator, Sequence

from decision_dna.engine.blocks import Block
from decision_dna.engine.detection.flows import SOL, Flow, holdings, pool_owners
from decision_dna.engine.detection.payments import tips_of
from decision_dna.engine.detection.prices import Prices, worth
from decision_dna.engine.detection.range64 import fit, fit_signed
from decision_dna.schemas.market import LEGS_MAX, Arbitrage, Hop, TokenGain

RULE = "atomic-arbitrage"
RULE_VERSION = 1


def find_arbitrages(block: Block, flows: Sequence[Flow], prices: Prices) -> Iterator[Arbitrage]:
    """The arbitrages of a block, by position."""
    for flow in flows:
        found = _arbitrage(block.slot, flow, prices) if _round_trip(flow) else None
        if found is not None:
            yield found


def _round_trip(flow: Flow) -> bool:
    """Step 1: what the pools gave, mint by mint, is at least what they took, and somewhere more."""
    if len({exchange.pool for exchange in flow.exchanges}) < 2:
        return False
    net: dict[str, int] = {}
    for exchange in flow.exchanges:
        net[exchange.mint_in] = net.get(exchange.mint_in, 0) - exchange.amount_in
        net[exchange.mint_out] = net.get(exchange.mint_out, 0) + exchange.amount_out
    return min(net.values()) >= 0 < max(net.values())


def _arbitrage(slot: int, flow: Flow, prices: Prices) -> Arbitrage | None:
    tx = flow.transaction
    traders = {wallet for exchange in flow.exchanges for wallet in (exchange.giver, exchange.taker)}
    wallets = {*tx.signers, *(traders - pool_owners(flow.exchanges))}
    gained = holdings(tx)
    gains: dict[str, int] = {}
    for (holder, mint), amount in gained.items():
        if holder in wallets:
            gains[mint] = gains.get(mint, 0) + amount
    net_lamports = gains.pop(SOL, 0)
    values = [worth(prices, mint, amount) for mint, amount in gains.items()]
    value = net_lamports + sum(each or 0 for each in values)
    if value <= 0 or any(amount < 0 for amount in gains.values()):
        return None
    return Arbitrage(
        confidence_ppm=_confidence(net_lamports, priced=None not in values),
        fee=tx.fee,
        gains=tuple(TokenGain(fit_signed(amount), mint) for mint, amount in sorted(gains.items()) if amount)[:LEGS_MAX],
        hops=tuple(
            Hop(fit(e.amount_in), fit(e.amount_out), e.mint_in, e.mint_out, e.pool) for e in flow.exchanges[:LEGS_MAX]
        ),
        net_lamports=fit_signed(net_lamports),
        owner=flow.exchanges[-1].taker,
        position=tx.position,
        rule=RULE,
        rule_version=RULE_VERSION,
        signature=tx.signature,
        signer=tx.fee_payer,
        slot=slot,
        tip=fit(tips_of(tx)),
        value_lamports=fit_signed(value),
    )


def _confidence(net_lamports: int, *, priced: bool) -> int:
    """A gain in lamports needs no price; one in tokens is as sure as the block's prices."""
    if net_lamports > 0:
        return 990_000
    return 950_000 if priced else 900_000
