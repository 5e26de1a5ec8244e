"""Who traded in a pool, and which of these wallets act together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from decision_dna.engine.blocks import Block, Transaction
from decision_dna.engine.detection.flows import SOL, Exchange, Flow, holdings, pool_owners

# A wallet with at least this part of what a trade moved, in percent, stands behind the trade; what is less are fees.
_HOLDER_PERCENT = 10
# A trade's wallets kept what they got, or gave what they had, if that was at least this part of it.
_KEPT_PERCENT = 50


class Trade(NamedTuple):
    """What one transaction did in one pool, net. `holders` kept or gave of it; `wallets` are these and the signers.

    `keeps`: they still had what they got when the transaction ended; `gives`: they had before what they gave. An
    arbitrage hop does neither.
    """

    transaction: Transaction
    pool: str
    mint_in: str
    amount_in: int
    mint_out: str
    amount_out: int
    holders: frozenset[str]
    wallets: frozenset[str]
    keeps: bool
    gives: bool

    @property
    def position(self) -> int:
        """The transaction's place in the block."""
        return self.transaction.position

    def amount(self, mint: str) -> int | None:
        """How much of a mint was traded; None for another mint."""
        if mint == self.mint_in:
            return self.amount_in
        return self.amount_out if mint == self.mint_out else None


class Pass(NamedTuple):
    """Tokens or lamports that went from one wallet to another without an exchange."""

    transaction: Transaction
    giver: str
    taker: str
    mint: str
    amount: int


def busy_pools(flows: Iterable[Flow], steps: Iterable[Pass]) -> Iterator[list[Trade]]:
    """The trades, in order, of each pool that three transactions or more used, and some wallet or two that are tied by
    a pass in both directions: all others can hold no round."""
    takers: dict[str, set[str]] = {}
    for step in steps:
        takers.setdefault(step.giver, set()).add(step.taker)
    visits: dict[str, list[tuple[Flow, list[Exchange]]]] = {}
    for flow in flows:
        by_pool: dict[str, list[Exchange]] = {}
        for exchange in flow.exchanges:
            by_pool.setdefault(exchange.pool, []).append(exchange)
        for pool, exchanges in by_pool.items():
            visits.setdefault(pool, []).append((flow, exchanges))
    for used in visits.values():
        if len(used) >= 3 and _may_return(used, takers):
            trades = (_trade(flow, exchanges) for flow, exchanges in used)
            yield [trade for trade in trades if trade is not None]


def _may_return(used: Iterable[tuple[Flow, list[Exchange]]], takers: Mapping[str, set[str]]) -> bool:
    """Whether somebody who traded one way, or whoever got something from them, traded the other way too."""
    ways: dict[str, set[str]] = {}
    for flow, exchanges in used:
        tx = flow.transaction
        near = {*tx.signers, *[row.owner for row in tx.tokens if row.pre != row.post]} - pool_owners(flow.exchanges)
        for exchange in exchanges:
            ways.setdefault(exchange.mint_in, set()).update(near)
    if len(ways) != 2:
        return False
    one, other = ways.values()
    return not (one | _reach(one, takers)).isdisjoint(other) or not _reach(other, takers).isdisjoint(one)


def _reach(wallets: set[str], takers: Mapping[str, set[str]]) -> set[str]:
    """Who got something from the wallets, at once or over one more."""
    reached = set[str]().union(*[takers[wallet] for wallet in wallets if wallet in takers])
    return reached.union(*[takers[wallet] for wallet in reached if wallet in takers])


def passes(flow: Flow) -> Iterator[Pass]:
    """Who gave whom tokens of the same mint in a transaction; pools are left out."""
    tx = flow.transaction
    pools = pool_owners(flow.exchanges)
    rows = [row for row in tx.tokens if row.delta and row.owner not in pools]
    for giver in rows:
        for taker in rows:
            if giver.mint == taker.mint and giver.delta < 0 < taker.delta and giver.owner != taker.owner:
                yield Pass(tx, giver.owner, taker.owner, giver.mint, min(-giver.delta, taker.delta))


def lamport_passes(block: Block) -> Iterator[Pass]:
    """Lamports that went from key to key."""
    for tx in block.transactions:
        for move in tx.moves:
            if move.kind == "lamports":
                yield Pass(tx, tx.keys[move.source], tx.keys[move.destination], SOL, move.amount)


def parties(trades: Sequence[Trade], steps: Iterable[Pass]) -> list[list[Trade]]:
    """The trades of a pool by those who act together, each in order.

    Wallets are joined by a common trade, and by passing on a good part of what one of them traded: the small amounts
    that a fee account gets from everyone join nobody. Lamports join only two who both traded here.
    """
    leader: dict[str, str] = {}

    def find(wallet: str) -> str:
        while leader.setdefault(wallet, wallet) != wallet:
            wallet = leader[wallet]
        return wallet

    for trade in trades:
        first, *others = sorted(trade.wallets)
        for other in others:
            leader[find(other)] = find(first)
    by_holder: dict[str, list[Trade]] = {}
    for trade in trades:
        for holder in trade.holders:
            by_holder.setdefault(holder, []).append(trade)
    for step in steps:
        gave, took = by_holder.get(step.giver, []), by_holder.get(step.taker, [])
        # Many pay lamports to one whom they do not know; tokens of the pool are passed on to one's own.
        known = (gave and took) if step.mint == SOL else (gave or took)
        if known and any(_is_material(step, trade) for trade in gave + took):
            leader[find(step.taker)] = find(step.giver)
    found: dict[str, list[Trade]] = {}
    for trade in trades:
        found.setdefault(find(min(trade.wallets)), []).append(trade)
    return list(found.values())


def _trade(flow: Flow, exchanges: Sequence[Exchange]) -> Trade | None:
    """The net of a transaction in a pool; None where it went both ways and neither side can be told."""
    net: dict[str, int] = {}
    for exchange in exchanges:
        net[exchange.mint_in] = net.get(exchange.mint_in, 0) + exchange.amount_in
        net[exchange.mint_out] = net.get(exchange.mint_out, 0) - exchange.amount_out
    taken = [(mint, amount) for mint, amount in net.items() if amount > 0]
    given = [(mint, -amount) for mint, amount in net.items() if amount < 0]
    if len(taken) != 1 or len(given) != 1:
        return None
    ((mint_in, amount_in),) = taken
    ((mint_out, amount_out),) = given
    tx = flow.transaction
    pools = pool_owners(flow.exchanges)
    near = {*tx.signers, *(wallet for exchange in exchanges for wallet in (exchange.giver, exchange.taker))}
    # Whoever gets lamports besides was paid for something; whoever gets the token holds it.
    gained = {
        (who, mint): amount
        for (who, mint), amount in holdings(tx).items()
        if who not in pools and (mint != SOL or who in near)
    }
    got = {who: amount for (who, mint), amount in gained.items() if mint == mint_out and amount > 0}
    gave = {who: -amount for (who, mint), amount in gained.items() if mint == mint_in and amount < 0}
    holders = frozenset([*_large(got, amount_out), *_large(gave, amount_in)])
    return Trade(
        transaction=tx,
        pool=exchanges[0].pool,
        mint_in=mint_in,
        amount_in=amount_in,
        mint_out=mint_out,
        amount_out=amount_out,
        holders=holders,
        wallets=holders | frozenset(tx.signers),
        keeps=sum(got.values()) * 100 >= amount_out * _KEPT_PERCENT,
        gives=sum(gave.values()) * 100 >= amount_in * _KEPT_PERCENT,
    )


def _is_material(step: Pass, trade: Trade) -> bool:
    amount = trade.amount(step.mint)
    return amount is not None and step.amount * 100 >= amount * _HOLDER_PERCENT


def _large(amounts: Mapping[str, int], whole: int) -> list[str]:
    return [who for who, amount in amounts.items() if amount * 100 >= whole * _HOLDER_PERCENT]
