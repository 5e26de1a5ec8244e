"""Sandwiches within one block: a round trip of wallets that act together around the trades of others, in one pool.

1. A *party* are the trades of wallets joined by a common signer or holder, or by passing on a good part of what one of
   them traded. Bait, which the party paid for, is its own trade and no victim.
2. A party's trades one way, followed by its trades the other way, are a *round* of fronts and backs. Fronts must have
   kept what they got, backs have had what they gave.
3. Its victims are trades of others between the first front and the last back in the fronts' direction. Without victims
   it is nothing.
4. With profit it is a sandwich, else a pattern. A round buys `bought` units of a token for `paid`, and sells `sold`
   units for `received`, counted in SOL where the pool has it. `cost` is what left the wallets besides. The profit is

       received − paid + (bought − sold) · p − cost      where neither difference is below zero, p the lower of both prices,
       q · received / sold − q · paid / bought − cost    else, with q = min(bought, sold), 80 % of the greater at least:

   what it gave up none of it gained; else tokens left over count what they cost, and tokens from elsewhere what they
   brought.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from decision_dna.engine.blocks import Block, Transaction
from decision_dna.engine.detection.flows import SOL, Flow, holdings
from decision_dna.engine.detection.payments import tips_of
from decision_dna.engine.detection.prices import Prices, worth
from decision_dna.engine.detection.range64 import fit, fit_signed
from decision_dna.engine.detection.trades import Pass, Trade, busy_pools, lamport_passes, parties, passes
from decision_dna.schemas.market import LEGS_MAX, Leg, Link, Sandwich, SandwichPattern, TokenGain

RULE = "same-block-sandwich"
RULE_VERSION = 1

_MATCHED_PERCENT = 80
# Where only a common signer links two trades (a relayer signs for many), they must fit each other nearly exactly.
_MATCHED_PERCENT_SIGNER = 95
_CONFIDENCE = {"owner": 990_000, "transfer": 960_000, "signer": 930_000}
_CONFIDENCE_LOST_UNMATCHED = 50_000
# A bundle has at most five transactions: so far from the round may one stand that only pays its tip.
_BUNDLE_REACH = 4


class _Scene(NamedTuple):
    """What a verdict may look at: flows by position, and what went between wallets without an exchange."""

    block: Block
    flows: Mapping[int, Flow]
    prices: Prices
    passes: Sequence[Pass]


class Round(NamedTuple):
    """Fronts and backs of one party in one pool, and the trades of others between them in the fronts' direction."""

    fronts: tuple[Trade, ...]
    backs: tuple[Trade, ...]
    victims: tuple[Trade, ...]
    passes: tuple[Pass, ...]
    wallets: frozenset[str]

    @property
    def link(self) -> Link:
        """What ties the fronts to the backs: a common holder, a transfer, or only a common signer."""
        holders = [frozenset[str]().union(*(trade.holders for trade in side)) for side in (self.fronts, self.backs)]
        if holders[0] & holders[1]:
            return "owner"
        return "transfer" if self.passes else "signer"


class Outcome(NamedTuple):
    """What a round brought; `realized` is below zero where no price in the block shows a profit."""

    realized: int
    matched_percent: int
    profit_lamports: int
    profit_tokens: tuple[TokenGain, ...]
    fees: int
    tips: int
    payments: int


def find_sandwiches(block: Block, flows: Sequence[Flow], prices: Prices) -> Iterator[Sandwich | SandwichPattern]:
    """The sandwiches and patterns of a block, pool by pool."""
    steps = [*(step for flow in flows for step in passes(flow)), *lamport_passes(block)]
    scene = _Scene(block, {flow.transaction.position: flow for flow in flows}, prices, steps)
    for trades in busy_pools(flows, steps):
        for party in parties(trades, steps):
            yield from _judge(scene, party, trades)


def _judge(scene: _Scene, party: Sequence[Trade], trades: Sequence[Trade]) -> Iterator[Sandwich | SandwichPattern]:
    """What each two neighbouring runs of one direction are. A run belongs to one round: if that with the run before is
    without profit and that with the run after is not, to the latter."""
    runs = [tuple(run) for _, run in groupby(party, key=lambda trade: trade.mint_in)]
    own = {trade.position for trade in party}
    others = [trade for trade in trades if trade.position not in own]
    found = []
    for fronts, backs in pairwise(runs):
        round_ = _round(scene, fronts, backs, others)
        found.append(None if round_ is None else _verdict(scene, round_))
    taken = -1
    for index, verdict in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        if verdict is None or index == taken:
            continue
        if isinstance(verdict, SandwichPattern) and isinstance(following, Sandwich):
            continue
        yield verdict
        taken = index + 1


def _round(scene: _Scene, fronts: tuple[Trade, ...], backs: tuple[Trade, ...], others: Sequence[Trade]) -> Round | None:
    """The round of two runs; None without a victim between, or where a side did not hold what it traded."""
    fronts = tuple(trade for trade in fronts if trade.keeps)
    backs = tuple(trade for trade in backs if trade.gives)
    if not fronts or not backs:
        return None
    first, last, mint = fronts[0].position, backs[-1].position, fronts[0].mint_in
    between = tuple(trade for trade in others if first < trade.position < last and trade.mint_in == mint)
    if not between:
        return None
    wallets = frozenset[str]().union(*(trade.wallets for trade in fronts + backs))
    inside = [
        step for step in scene.passes if first <= step.transaction.position <= last and step.mint == fronts[0].mint_out
    ]
    own = tuple(step for step in inside if step.giver in wallets and _reaches(step, wallets, inside))
    return Round(fronts, backs, between, own, wallets | {step.taker for step in own})


def _reaches(step: Pass, wallets: frozenset[str], steps: Iterable[Pass]) -> bool:
    """Whether a pass ends at one of the wallets, at once or over one more."""
    return step.taker in wallets or any(step.taker == later.giver and later.taker in wallets for later in steps)


def _verdict(scene: _Scene, round_: Round) -> Sandwich | SandwichPattern:
    outcome = _outcome(scene, round_)
    fronts, backs, victims = (tuple(map(_leg, side[:LEGS_MAX])) for side in round_[:3])
    first = round_.fronts[0]
    needed = _MATCHED_PERCENT_SIGNER if round_.link == "signer" else 0
    if outcome.realized <= 0 or outcome.matched_percent < needed:
        return SandwichPattern(
            backs=backs,
            fronts=fronts,
            link=round_.link,
            mints=(first.mint_in, first.mint_out),
            pool=first.pool,
            profit_lamports=fit_signed(outcome.profit_lamports),
            profit_tokens=outcome.profit_tokens,
            rule=RULE,
            rule_version=RULE_VERSION,
            slot=scene.block.slot,
            victims=victims,
            victims_count=len(round_.victims),
            wallets=tuple(sorted(round_.wallets))[:LEGS_MAX],
        )
    lost = _CONFIDENCE_LOST_UNMATCHED if outcome.matched_percent < _MATCHED_PERCENT_SIGNER else 0
    return Sandwich(
        attackers=tuple(sorted(round_.wallets))[:LEGS_MAX],
        backs=backs,
        confidence_ppm=_CONFIDENCE[round_.link] - lost,
        fees=fit(outcome.fees),
        fronts=fronts,
        link=round_.link,
        mints=(first.mint_in, first.mint_out),
        passes=tuple(dict.fromkeys(step.transaction.signature for step in round_.passes))[:LEGS_MAX],
        payments=fit_signed(outcome.payments),
        pool=first.pool,
        profit_lamports=fit_signed(outcome.profit_lamports),
        profit_tokens=outcome.profit_tokens,
        realized_lamports=fit_signed(outcome.realized),
        rule=RULE,
        rule_version=RULE_VERSION,
        slot=scene.block.slot,
        tips=fit(outcome.tips),
        victims=victims,
        victims_count=len(round_.victims),
    )


def _leg(trade: Trade) -> Leg:
    return Leg(
        amount_in=fit(trade.amount_in),
        amount_out=fit(trade.amount_out),
        mint_in=trade.mint_in,
        mint_out=trade.mint_out,
        position=trade.position,
        signature=trade.transaction.signature,
        wallet=min(trade.holders, default=trade.transaction.fee_payer),
    )


def _outcome(scene: _Scene, round_: Round) -> Outcome:
    transactions = _transactions(scene.block, round_)
    gained: dict[str, int] = {}
    for tx in transactions:
        for (who, mint), amount in holdings(tx).items():
            if who in round_.wallets:
                gained[mint] = gained.get(mint, 0) + amount
    exchanged: dict[str, int] = {}
    for tx in transactions:
        for exchange in scene.flows[tx.position].exchanges if tx.position in scene.flows else ():
            exchanged[exchange.mint_in] = exchanged.get(exchange.mint_in, 0) - exchange.amount_in
            exchanged[exchange.mint_out] = exchanged.get(exchange.mint_out, 0) + exchange.amount_out
    fees = sum(tx.fee for tx in transactions)
    tips = sum(tips_of(tx) for tx in transactions)
    # Lamports that came from elsewhere are no income of the round: it costs its fees and tips at least.
    cost = max(exchanged.get(SOL, 0) - gained.get(SOL, 0), fees + tips)
    realized, matched = _realized(
        round_, scene.prices, cost, {mint: exchanged[mint] - gained.get(mint, 0) for mint in exchanged}
    )
    return Outcome(
        realized=realized,
        matched_percent=matched,
        profit_lamports=gained.get(SOL, 0),
        profit_tokens=tuple(
            TokenGain(fit_signed(gained[mint]), mint) for mint in sorted(gained) if mint != SOL and gained[mint]
        )[:LEGS_MAX],
        fees=fees,
        tips=tips,
        payments=cost - fees - tips,
    )


def _transactions(block: Block, round_: Round) -> list[Transaction]:
    """All that belongs to the attack: fronts, backs, passes between the wallets, and what only pays its tip."""
    own = {trade.position: trade.transaction for trade in round_.fronts + round_.backs}
    own |= {step.transaction.position: step.transaction for step in round_.passes}
    start = max(round_.fronts[0].position - _BUNDLE_REACH, 0)
    for tx in block.transactions[start : round_.backs[-1].position + _BUNDLE_REACH + 1]:
        if not tx.tokens and tx.fee_payer in round_.wallets and tips_of(tx) > 0:
            own[tx.position] = tx
    return [own[position] for position in sorted(own)]


def _realized(round_: Round, prices: Prices, cost: int, lost: dict[str, int]) -> tuple[int, int]:
    """Lamports by the formula of the module's text, and how well both legs fit, in percent."""
    mints = (round_.fronts[0].mint_in, round_.fronts[0].mint_out)
    money = next((mint for mint in prices if mint in mints), mints[0])
    token = mints[1] if money == mints[0] else mints[0]
    trades = round_.fronts + round_.backs
    paid = sum(trade.amount_in for trade in trades if trade.mint_in == money)
    bought = sum(trade.amount_out for trade in trades if trade.mint_in == money)
    received = sum(trade.amount_out for trade in trades if trade.mint_in == token)
    sold = sum(trade.amount_in for trade in trades if trade.mint_in == token)
    matched = min(bought, sold) * 100 // max(bought, sold)
    if money != SOL:
        spent = worth(prices, money, max(lost.get(money, 0), 0))
        if spent is None:
            return -1, matched
        cost += spent
    # Tokens that a tax took on the way were bought, but neither sold nor kept.
    tax = max(lost.get(token, 0), 0) * paid // bought
    quantity = min(bought, sold)
    if bought >= sold and received >= paid:
        left = bought - sold
        gain = worth(prices, money, received - paid + min(left * paid // bought, left * received // sold) - tax)
    elif matched >= _MATCHED_PERCENT:
        gain = worth(prices, money, quantity * received // sold - quantity * paid // bought - tax)
    else:
        gain = None
    return (-1 if gain is None else gain - cost), matched
