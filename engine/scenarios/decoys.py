"""Scenes that look like an attack, or like a part of one, and are none; and a user's swap in two hops."""

from collections.abc import Callable

from decision_dna.engine.scenarios.scenes import Scene, nothing, plain_swap, token_pool
from decision_dna.engine.scenarios.world import SOL, Pool, Script, World


def _part(world: World, pool: Pool, mint: str, low: float, high: float) -> int:
    return int(world.reserve(pool, mint) * world.rng.uniform(low, high))


def _funded(world: World, pool: Pool) -> str:
    """A wallet that has as much of both mints as the pool."""
    wallet = world.wallet()
    for mint in pool.mints:
        world.account(wallet, mint, world.reserve(pool, mint))
    return wallet


def _swap(world: World, pool: Pool, wallet: str, mint: str, amount: int, tip: int = 0) -> tuple[int, int]:
    script = Script(world, wallet)
    out = script.swap(pool, wallet, mint, amount)
    if tip:
        script.tip(tip)
    return out, script.run()


def at_a_loss(world: World) -> Scene:
    """The trades of a sandwich, but the victims are too small for the pool's fees."""
    pool = token_pool(world, fee_bps=100)
    wallet, victim = _funded(world, pool), _funded(world, pool)
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.05, 0.1))
    yield
    _, middle = _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.00005, 0.0002))
    yield
    _, back = _swap(world, pool, wallet, pool.mints[0], got, tip=10_000)
    return nothing("decoy-at-a-loss", pool, (wallet,), (front,), (middle,), (back,))


def tip_eats_it(world: World) -> Scene:
    """The trades of a sandwich with a gain, all of which goes to the tip."""
    pool = token_pool(world)
    wallet, victim = _funded(world, pool), _funded(world, pool)
    spent = _part(world, pool, SOL, 0.05, 0.1)
    got, front = _swap(world, pool, wallet, SOL, spent)
    yield
    _, middle = _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.1, 0.2))
    yield
    gain = world.quote(pool, pool.mints[0], got) - spent
    world.account(wallet, SOL)
    _, back = _swap(world, pool, wallet, pool.mints[0], got, tip=max(gain, 0) + 1_000)
    return nothing("decoy-tip-eats-it", pool, (wallet,), (front,), (middle,), (back,))


def no_victim(world: World) -> Scene:
    """A round trip with nobody between."""
    pool = token_pool(world)
    wallet = _funded(world, pool)
    yield
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.01, 0.1))
    _, back = _swap(world, pool, wallet, pool.mints[0], got)
    return nothing("decoy-no-victim", pool, (wallet,), (front,), (), (back,))


def other_direction(world: World) -> Scene:
    """Between front and back somebody trades against the front."""
    pool = token_pool(world)
    wallet, other = _funded(world, pool), _funded(world, pool)
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.02, 0.1))
    yield
    _swap(world, pool, other, pool.mints[0], _part(world, pool, pool.mints[0], 0.1, 0.2))
    yield
    _, back = _swap(world, pool, wallet, pool.mints[0], got)
    return nothing("decoy-other-direction", pool, (wallet,), (front,), (), (back,))


def strangers(world: World) -> Scene:
    """Two who have nothing to do with each other buy and sell the same amount around a third."""
    pool = token_pool(world)
    first, victim, second = (_funded(world, pool) for _ in range(3))
    got, front = _swap(world, pool, first, SOL, _part(world, pool, SOL, 0.02, 0.1))
    yield
    _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.1, 0.2))
    yield
    _, back = _swap(world, pool, second, pool.mints[0], got)
    return nothing("decoy-strangers", pool, (first, second), (front,), (), (back,))


def strangers_with_dust(world: World) -> Scene:
    """As `strangers`, and the first sends the second a few grains of the token."""
    pool = token_pool(world)
    first, victim, second = (_funded(world, pool) for _ in range(3))
    got, front = _swap(world, pool, first, SOL, _part(world, pool, SOL, 0.02, 0.1))
    yield
    script = Script(world, first)
    script.give(first, second, pool.mints[0], got // 1_000_000 + 1)
    script.run()
    _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.1, 0.2))
    yield
    _, back = _swap(world, pool, second, pool.mints[0], got)
    return nothing("decoy-strangers-with-dust", pool, (first, second), (front,), (), (back,))


def one_router_account(world: World) -> Scene:
    """Two strangers trade through a router that takes everyone's tokens over accounts of its own."""
    pool = token_pool(world)
    hub = world.key()
    first, victim, second = (_funded(world, pool) for _ in range(3))

    def through_hub(wallet: str, mint: str, amount: int) -> tuple[int, int]:
        script = Script(world, wallet)
        script.give(wallet, hub, mint, amount)
        out = script.swap(pool, hub, mint, amount, routed=True)
        script.give(hub, wallet, pool.other(mint), out)
        return out, script.run()

    got, front = through_hub(first, SOL, _part(world, pool, SOL, 0.02, 0.1))
    yield
    _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.1, 0.2))
    yield
    _, back = through_hub(second, pool.mints[0], got)
    return nothing("decoy-one-router-account", pool, (first, second), (front,), (), (back,))


def relayer(world: World) -> Scene:
    """Somebody pays the fees of many: two strangers trade different amounts, and their payer is the same."""
    pool = token_pool(world)
    payer = world.wallet()
    first, victim, second = (_funded(world, pool) for _ in range(3))
    places = []
    for wallet, mint, low in ((first, SOL, 0.02), (victim, SOL, 0.1), (second, pool.mints[0], 0.05)):
        signers = (wallet,) if wallet is victim else (payer, wallet)
        script = Script(world, *signers)
        script.swap(pool, wallet, mint, _part(world, pool, mint, low, low * 1.5))
        places.append(script.run())
        yield
    return nothing("decoy-relayer", pool, (first, second, payer), (places[0],), (), (places[2],))


def market_maker(world: World) -> Scene:
    """One who buys and sells all the time, another amount each time, and pays the pool's fee for it."""
    pool = token_pool(world, fee_bps=100)
    maker, crowd = _funded(world, pool), _funded(world, pool)
    places = []
    for turn in range(4):
        mint = pool.mints[turn % 2]
        places.append(_swap(world, pool, maker, mint, _part(world, pool, mint, 0.001, 0.01))[1])
        yield
        side = pool.mints[world.rng.randrange(2)]
        _swap(world, pool, crowd, side, _part(world, pool, side, 0.0001, 0.001))
        yield
    return nothing("decoy-market-maker", pool, (maker,), tuple(places))


def inventory(world: World) -> Scene:
    """One who buys a little, and after others bought sells a hundred times more that was there before."""
    pool = token_pool(world)
    wallet, victim = _funded(world, pool), _funded(world, pool)
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.0005, 0.001))
    yield
    _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.05, 0.1))
    yield
    _, back = _swap(world, pool, wallet, pool.mints[0], got * 100)
    return nothing("decoy-inventory", pool, (wallet,), (front,), (), (back,))


def liquidity(world: World) -> Scene:
    """One who adds liquidity before a trade and takes it after: no sandwich, whatever else it is."""
    pool = token_pool(world, "own")
    owner, trader = _funded(world, pool), _funded(world, pool)
    places = []
    for add in (True, False):
        script = Script(world, owner)
        script.liquidity(pool, owner, 10, add=add)
        places.append(script.run())
        yield
        _swap(world, pool, trader, SOL, _part(world, pool, SOL, 0.05, 0.1))
        yield
    return nothing("decoy-liquidity", pool, (owner,), (places[0],), (), (places[1],))


def bait(world: World) -> Scene:
    """What looks like the victim was paid for its trade by the one who trades around it: bait for those who copy."""
    pool = token_pool(world)
    wallet, lure = _funded(world, pool), _funded(world, pool)
    amount = _part(world, pool, SOL, 0.1, 0.2)
    world.lamports[wallet] += amount
    script = Script(world, wallet)
    script.pay(wallet, lure, amount)
    script.run()
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.05, 0.1))
    yield
    _, middle = _swap(world, pool, lure, SOL, amount)
    yield
    _, back = _swap(world, pool, wallet, pool.mints[0], got)
    return nothing("decoy-bait", pool, (wallet, lure), (front,), (middle,), (back,))


def failed_front(world: World) -> Scene:
    """The front failed; the back sells what was there before."""
    pool = token_pool(world)
    wallet, victim = _funded(world, pool), _funded(world, pool)
    amount = _part(world, pool, SOL, 0.05, 0.1)
    got = world.quote(pool, SOL, amount)
    script = Script(world, wallet)
    script.swap(pool, wallet, SOL, amount)
    front = script.run(fails=True)
    yield
    _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.1, 0.2))
    yield
    _, back = _swap(world, pool, wallet, pool.mints[0], got)
    return nothing("decoy-failed-front", pool, (wallet,), (front,), (), (back,))


def failed_victim(world: World) -> Scene:
    """The victim's limit held: its trade failed."""
    pool = token_pool(world)
    wallet = _funded(world, pool)
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.05, 0.1))
    yield
    plain_swap(world, pool, world.wallet(), SOL, _part(world, pool, SOL, 0.1, 0.2), fails=True)
    yield
    _, back = _swap(world, pool, wallet, pool.mints[0], got)
    return nothing("decoy-failed-victim", pool, (wallet,), (front,), (), (back,))


def two_pools(world: World) -> Scene:
    """Bought in one pool, sold in another of the same token: nobody between in either."""
    pool = token_pool(world)
    token, money = pool.mints
    other = world.pool((token, money), (world.reserve(pool, token), world.reserve(pool, money) * 2))
    wallet, victim = _funded(world, pool), _funded(world, pool)
    got, front = _swap(world, pool, wallet, SOL, _part(world, pool, SOL, 0.02, 0.1))
    yield
    _swap(world, pool, victim, SOL, _part(world, pool, SOL, 0.1, 0.2))
    yield
    _, back = _swap(world, other, wallet, token, got)
    return nothing("decoy-two-pools", pool, (wallet,), (front,), (), (back,))


def two_hops(world: World) -> Scene:
    """A user's swap from SOL over one token into another."""
    first = token_pool(world)
    second = world.pool((world.key(), first.mints[0]), (10**15, world.reserve(first, first.mints[0])))
    user = _funded(world, first)
    yield
    script = Script(world, user)
    got = script.swap(first, user, SOL, _part(world, first, SOL, 0.001, 0.05), routed=True)
    script.swap(second, user, first.mints[0], got, routed=True)
    position = script.run()
    return nothing("decoy-two-hops", first, (user,), (position,))


DECOYS: tuple[Callable[[World], Scene], ...] = (
    at_a_loss,
    tip_eats_it,
    no_victim,
    other_direction,
    strangers,
    strangers_with_dust,
    one_router_account,
    relayer,
    market_maker,
    inventory,
    liquidity,
    bait,
    failed_front,
    failed_victim,
    two_pools,
    two_hops,
)
