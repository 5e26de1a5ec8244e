"""What a scene is, and the scenes of sandwiches, each of another shape.

A scene is a generator: between two `yield`s it runs transactions, at a `yield` others may run theirs, and what it
returns is its `Truth`. What is true is known by construction: which transactions play which part, and the profit from
what the wallets had before and after. No detector is asked.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

import msgspec

from decision_dna.engine.scenarios.world import SOL, Pool, Script, World

DECIMALS = 1_000_000


class Truth(msgspec.Struct, frozen=True):
    """What a scene is. `is_a`: `sandwich`, `arbitrage`, or `nothing` for a decoy. Places are positions in the block.

    The profit is what `wallets` gained over the scene's own transactions: lamports after all costs, and tokens by mint.
    """

    kind: str
    is_a: str
    pool: str
    fronts: tuple[int, ...]
    victims: tuple[int, ...]
    backs: tuple[int, ...]
    wallets: tuple[str, ...]
    profit_lamports: int
    profit_tokens: dict[str, int]


Scene = Generator[None, None, Truth]


class Shape(NamedTuple):
    """How a sandwich is made."""

    victims: int = 1
    fronts: int = 1
    backs: int = 1
    passes: str = ""  # "apart": tokens go to another wallet in a transaction of their own; "inline": within the front
    one_owner: bool = False  # two signers, one owner who signs nothing
    sells_first: bool = False
    against: str = "sol"  # or "usd"
    style: str | None = None
    tip: str = "inside"  # "apart": a transaction of its own; "none"
    routed: bool = False
    keeps_percent: int = 0  # of the tokens that it bought
    sold_before: bool = False  # something of its own, in the other direction


SANDWICHES: dict[str, Shape] = {
    "sandwich": Shape(),
    "sandwich-untipped": Shape(tip="none"),
    "sandwich-victims": Shape(victims=4),
    "sandwich-split-front": Shape(fronts=2, victims=2),
    "sandwich-split-back": Shape(backs=2),
    "sandwich-passed": Shape(passes="apart"),
    "sandwich-passed-inline": Shape(passes="inline"),
    "sandwich-split-passed": Shape(passes="apart", fronts=2),
    "sandwich-one-owner": Shape(one_owner=True),
    "sandwich-sells-first": Shape(sells_first=True),
    "sandwich-usd": Shape(against="usd"),
    "sandwich-curve": Shape(style="curve"),
    "sandwich-self-owned-vaults": Shape(style="self"),
    "sandwich-tip-apart": Shape(tip="apart"),
    "sandwich-routed": Shape(routed=True),
    "sandwich-keeps-some": Shape(keeps_percent=8),
    "sandwich-sold-before": Shape(sold_before=True),
}


def sandwich(kind: str, shape: Shape) -> Callable[[World], Scene]:
    """The scene of a sandwich of this shape."""

    def scene(world: World) -> Scene:
        return _Sandwich(world, kind, shape).play()

    return scene


class _Sandwich:
    """One sandwich on the way: its pool, its wallets and what they did so far."""

    def __init__(self, world: World, kind: str, shape: Shape) -> None:
        self.world, self.kind, self.shape = world, kind, shape
        self.pool = token_pool(world, shape.style, usd=shape.against == "usd")
        self.token, self.money = self.pool.mints
        self.first = world.wallet()
        apart = shape.one_owner or shape.passes
        self.second = world.wallet() if apart else self.first
        self.owner = world.key() if shape.one_owner else self.first
        self.seller = self.second if shape.passes else self.owner
        self.wallets = tuple(dict.fromkeys((self.first, self.second, self.owner)))
        if self.money != SOL or shape.style != "curve":
            world.account(self.owner, self.money, world.reserve(self.pool, self.money))
            world.account(self.seller, self.money)
        self.own: list[int] = []
        self.gained: dict[str, int] = {}

    def play(self) -> Scene:
        world, shape = self.world, self.shape
        into, out_of = (self.token, self.money) if shape.sells_first else (self.money, self.token)
        if shape.sells_first:
            world.account(self.owner, self.token, world.reserve(self.pool, self.token))
        if shape.sold_before:
            world.account(self.owner, out_of, world.reserve(self.pool, out_of))
            script = Script(world, self.first)
            script.swap(self.pool, self.owner, out_of, world.reserve(self.pool, out_of) // 100)
            script.run()
            yield
        share = world.rng.uniform(0.02, 0.15) / shape.fronts
        got, spent, fronts = 0, 0, []
        for _ in range(shape.fronts):
            amount = int(world.reserve(self.pool, into) * share)
            out, position = self._trade(self.first, self.owner, into, amount, passed=shape.passes == "inline")
            got, spent = got + out, spent + amount
            fronts.append(position)
            yield
        if shape.passes == "apart":
            self._script(self.first, lambda script: script.give(self.owner, self.seller, out_of, got))
            yield
        for _ in range(shape.victims):
            buyer = world.wallet()
            world.account(buyer, into, world.reserve(self.pool, into))
            plain_swap(world, self.pool, buyer, into, int(world.reserve(self.pool, into) * world.rng.uniform(0.1, 0.3)))
            yield
        backs = []
        left = got * (100 - shape.keeps_percent) // 100
        for turn in range(shape.backs):
            amount = left if turn == shape.backs - 1 else left // 2
            left -= amount
            gain = -spent // shape.backs if into == SOL else None
            backs.append(self._trade(self.second, self.seller, out_of, amount, tip_from=gain)[1])
            if shape.tip == "apart" and turn == shape.backs - 1:
                self._script(self.second, lambda script: script.tip(world.rng.randrange(1_000, 200_000)))
            yield
        victims = tuple(
            trade.position
            for trade in world.trades
            if trade.pool == self.pool.name
            and trade.mint_in == into
            and fronts[0] < trade.position < backs[-1]
            and trade.position not in fronts
        )
        lamports = self.gained.pop(SOL, 0)
        tokens = {mint: amount for mint, amount in self.gained.items() if amount}
        places = (tuple(fronts), victims, tuple(backs))
        return Truth(self.kind, "sandwich", self.pool.name, *places, self.wallets, lamports, tokens)

    def _trade(
        self, signer: str, owner: str, mint: str, amount: int, *, passed: bool = False, tip_from: int | None = None
    ) -> tuple[int, int]:
        """A front or a back; a back with a gain in SOL tips a part of it."""
        results = []

        def steps(script: Script) -> None:
            routed = self.shape.routed or self.shape.one_owner
            out = script.swap(self.pool, owner, mint, amount, taker=self.seller if passed else "", routed=routed)
            results.append(out)
            if self.shape.tip == "inside":
                gain = out + tip_from if tip_from is not None else 0
                script.tip(max(int(gain * self.world.rng.uniform(0.1, 0.8)), 1_000))

        position = self._script(signer, steps)
        return results[0], position

    def _script(self, signer: str, steps: Callable[[Script], None]) -> int:
        """Run a transaction of the attackers, and count what it brought them."""
        before = self.world.worth(self.wallets)
        script = Script(self.world, signer)
        steps(script)
        position = script.run()
        count_gains(self.gained, before, self.world.worth(self.wallets))
        self.own.append(position)
        return position


def count_gains(gained: dict[str, int], before: dict[str, int], after: dict[str, int]) -> None:
    """Add to `gained` what changed, by mint."""
    for mint in before | after:
        gained[mint] = gained.get(mint, 0) + after.get(mint, 0) - before.get(mint, 0)


def token_pool(world: World, style: str | None = None, *, usd: bool = False, fee_bps: int | None = None) -> Pool:
    """A pool of a new token against SOL or the world's dollar."""
    tokens = int(world.rng.uniform(1e5, 1e9)) * DECIMALS
    if usd:
        return world.pool((world.key(), dollar(world).mints[0]), (tokens, int(world.rng.uniform(1e4, 1e6)) * DECIMALS))
    return world.pool((world.key(), SOL), (tokens, int(world.rng.uniform(2e10, 2e12))), style, fee_bps)


def dollar(world: World) -> Pool:
    """The pool of the dollar against SOL, which every world has: its first."""
    return world.pools[0]


def plain_swap(world: World, pool: Pool, wallet: str, mint_in: str, amount: int, *, fails: bool = False) -> int:
    """One user's swap in one pool; SOL may come from lamports that are wrapped for it, and go back to them."""
    script = Script(world, wallet)
    wraps = pool.style != "curve" and mint_in == SOL and world.place(wallet, SOL) is None
    if wraps:
        script.wrap(wallet, amount)
    script.swap(pool, wallet, mint_in, amount, routed=world.rng.random() < 0.3)
    if wraps or (pool.style != "curve" and pool.other(mint_in) == SOL and world.rng.random() < 0.5):
        script.unwrap(wallet)
    if world.rng.random() < 0.2:
        script.tip(world.rng.randrange(1_000, 100_000))
    return script.run(fails=fails)


def nothing(kind: str, pool: Pool, wallets: tuple[str, ...], *places: tuple[int, ...]) -> Truth:
    """The truth of a decoy."""
    fronts, victims, backs = (*places, (), (), ())[:3]
    return Truth(kind, "nothing", pool.name, fronts, victims, backs, wallets, 0, {})
