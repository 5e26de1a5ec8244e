"""Scenes of atomic arbitrage: one transaction through pools whose prices disagree, and the same at a loss."""

from collections.abc import Callable
from typing import NamedTuple

from decision_dna.engine.scenarios.scenes import Scene, Truth, count_gains, dollar, nothing, token_pool
from decision_dna.engine.scenarios.world import FEE, SOL, Pool, Script, World

_GAP_PERCENT = (4, 20)


class Way(NamedTuple):
    """How an arbitrage is made."""

    hops: int = 2
    base: str = "sol"  # or "usd": what it starts and ends with
    one_owner: bool = False  # the accounts belong to a key that does not sign
    curve: bool = False
    tip: str = "part"  # of the gain; "all and more": a loss


ARBITRAGES: dict[str, Way] = {
    "arbitrage": Way(),
    "arbitrage-3-pools": Way(hops=3),
    "arbitrage-usd": Way(base="usd"),
    "arbitrage-one-owner": Way(one_owner=True),
    "arbitrage-curve": Way(curve=True),
}
LOSSES: dict[str, Way] = {
    "decoy-arbitrage-tip-loss": Way(tip="all and more"),
    "decoy-arbitrage-3-tip-loss": Way(hops=3, tip="all and more"),
}


def arbitrage(kind: str, way: Way) -> Callable[[World], Scene]:
    """The scene of an arbitrage made this way."""

    def scene(world: World) -> Scene:
        signer = world.wallet()
        owner = world.key() if way.one_owner else signer
        start = SOL if way.base == "sol" else dollar(world).mints[0]
        route = _route(world, way)
        if not way.curve:
            world.account(owner, start, world.reserve(route[0], start))
        for _ in range(3 if way.one_owner else 0):
            # Others moved this owner's tokens too, as they do a pool's.
            friend = world.wallet()
            world.account(friend, start, 1_000)
            script = Script(world, friend)
            script.give(friend, owner, start, 1_000)
            script.run()
        yield
        amount, expected = _best(world, route, start)
        held = world.worth((signer, owner))
        script = Script(world, signer)
        mint, carried = start, amount
        for pool in route:
            carried = script.swap(pool, owner, mint, carried, routed=True)
            mint = pool.other(mint)
        gain = expected - amount
        if way.tip != "part":
            script.tip(gain + 100_000)
        elif start == SOL:
            script.tip(int(max(gain - 10 * FEE, 0) * world.rng.uniform(0.0, 0.9)))
        position = script.run()
        gained: dict[str, int] = {}
        count_gains(gained, held, world.worth((signer, owner)))
        if way.tip != "part":
            return nothing(kind, route[0], (signer,), (position,))
        lamports = gained.pop(SOL, 0)
        tokens = {mint: amount for mint, amount in gained.items() if amount}
        return Truth(kind, "arbitrage", route[0].name, (position,), (), (), (signer, owner), lamports, tokens)

    return scene


def legs(world: World) -> Scene:
    """One bot closes a gap between two pools, somebody trades, and the bot closes the gap the other way: it bought and
    sold in one pool around a trade, but kept nothing of it."""
    first = token_pool(world, "own", fee_bps=25)
    token, money = first.mints
    second = world.pool(
        (token, money), (world.reserve(first, token), world.reserve(first, money) * 11 // 10), "own", 25
    )
    bot, trader = world.wallet(), world.wallet()
    for wallet in (bot, trader):
        world.account(wallet, money, world.reserve(first, money))
    amount = world.reserve(first, money) // 200
    gained: dict[str, int] = {}
    places = []
    for route in ([first, second], [second, first]):
        held = world.worth((bot,))
        script = Script(world, bot)
        got = script.swap(route[0], bot, money, amount, routed=True)
        amount = amount * got // world.quote(second, money, amount)  # next time for as many tokens
        script.swap(route[1], bot, token, got, routed=True)
        places.append(script.run())
        count_gains(gained, held, world.worth((bot,)))
        yield
        if route[0] is first:
            script = Script(world, trader)
            script.swap(first, trader, money, world.reserve(first, money) // 6)
            script.run()
            yield
    return Truth("arbitrage-legs", "arbitrage", first.name, tuple(places), (), (), (bot,), gained.pop(SOL), {})


def _route(world: World, way: Way) -> list[Pool]:
    """Pools that lead from the base back to it, the last of which gives more than the first one took."""
    gap = 100 + world.rng.randint(*_GAP_PERCENT)
    first = token_pool(world, "curve" if way.curve else None, usd=way.base == "usd")
    token, money = first.mints
    worth, paid = world.reserve(first, token), world.reserve(first, money)
    if way.hops == 2:
        return [first, world.pool((token, money), (worth // 2, paid * gap // 200), "own" if way.curve else None)]
    other = world.key()
    middle = world.pool((token, other), (worth, worth // 3))
    return [first, middle, world.pool((other, money), (worth // 3, paid * gap // 100))]


def _best(world: World, route: list[Pool], start: str) -> tuple[int, int]:
    """The amount, of some tried, that gains most on the way as it stands, and what comes out."""
    tries = []
    for part in (3, 10, 30, 60, 100, 300):
        amount = carried = world.reserve(route[0], start) // part // 10
        mint = start
        for pool in route:
            carried = world.quote(pool, mint, carried)
            mint = pool.other(mint)
        tries.append((carried - amount, amount, carried))
    _, amount, carried = max(tries)
    return amount, carried
