"""Made blocks whose truth is known: for tests of the detectors, for benchmarks, and to run where there is no network.

    scenario = make_block(seed=7)
    scenario.answer  ->  a `getBlock` answer as JSON bytes, in the real wire form
    scenario.truths  ->  what each scene in it is

Everything follows from the seed. Nothing here knows a detector. Needs solders, which is in the extra `solana`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from decision_dna.engine.extras import require_solana
from decision_dna.engine.scenarios.answer import Encoding, block_answer
from decision_dna.engine.scenarios.arbitrages import ARBITRAGES, LOSSES, arbitrage, legs
from decision_dna.engine.scenarios.decoys import DECOYS
from decision_dna.engine.scenarios.scenes import SANDWICHES, Scene, Truth, plain_swap, sandwich, token_pool
from decision_dna.engine.scenarios.world import SOL, Script, World

SCENES: tuple[Callable[[World], Scene], ...] = (
    *(sandwich(kind, shape) for kind, shape in SANDWICHES.items()),
    *(arbitrage(kind, way) for kind, way in (ARBITRAGES | LOSSES).items()),
    legs,
    *DECOYS,
)
FIRST_SLOT = 300_000_000
NOISE_POOLS = 4
"""A world's first pools are in no scene."""


class Scenario(NamedTuple):
    """A made block: its slot, the node's answer as JSON, and the truth, one for each scene."""

    slot: int
    answer: bytes
    truths: tuple[Truth, ...]


def make_block(
    seed: int,
    *,
    transactions_count: int = 120,
    scenes: Sequence[Callable[[World], Scene]] | None = None,
    encoding: Encoding | None = None,
    slot: int = FIRST_SLOT,
) -> Scenario:
    """The block of a seed: these scenes (else six drawn ones), noise between, at least that many transactions.

    Raises CannotOpen if the extra `solana` is not installed.
    """
    require_solana("making blocks")
    rng = Random(seed)  # noqa: S311 - a seed must give the same block again
    world = World(rng)
    world.pool((world.key(), SOL), (150_000_000_000_000, 1_000_000_000_000_000), "own")
    playing = [scene(world) for scene in (rng.sample(SCENES, 6) if scenes is None else scenes)]
    for _ in range(NOISE_POOLS - 1):
        token_pool(world)
    noise_count = max(transactions_count - 5 * len(playing), 5)
    truths: list[Truth] = []
    _noise(world, world.pools[0].mints)
    for turn in range(noise_count):
        _noise(world)
        # Scenes are played out before the block is full, each at its own pace.
        while playing and rng.random() < len(playing) * 5 / (noise_count - turn):
            scene = rng.choice(playing)
            try:
                next(scene)
            except StopIteration as end:
                truths.append(end.value)
                playing.remove(scene)
    for scene in playing:
        truths.append(_finish(scene))
    drawn: Encoding = "json" if rng.random() < 0.5 else "base64"
    answer = block_answer(world, slot, encoding or drawn)
    return Scenario(slot, msgspec.json.encode(answer), tuple(truths))


def write_blocks(folder: Path, count: int, seed: int, first_slot: int = FIRST_SLOT) -> list[Path]:
    """Write made blocks as `slot_<N>.json`, and their truths beside them as `truth_<N>.json`; returns the blocks' paths.

    Raises CannotOpen if the extra `solana` is not installed.
    """
    require_solana("making blocks")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for slot in range(first_slot, first_slot + count):
        scenario = make_block(seed + slot - first_slot, slot=slot)
        path = folder / f"slot_{slot}.json"
        (folder / f"truth_{slot}.json").write_bytes(msgspec.json.format(msgspec.json.encode(scenario.truths)))
        path.write_bytes(scenario.answer)
        paths.append(path)
    return paths


def _finish(scene: Scene) -> Truth:
    while True:
        try:
            next(scene)
        except StopIteration as end:
            truth: Truth = end.value
            return truth


def _noise(world: World, mints: tuple[str, str] | None = None) -> None:
    """One honest transaction: a vote, a transfer, a swap, some of which fail. With `mints`, a swap in the first pool."""
    rng = world.rng
    wallet = world.wallet()
    kind = rng.choice(("vote", "transfer", "gift", "swap", "swap", "swap"))
    if mints is not None or kind == "swap":
        at = 0 if mints is not None else rng.randrange(len(world.pools))
        pool = world.pools[at]
        mint = rng.choice(pool.mints)
        # Little in a scene's own pool: what moves a price by more than its fees between a decoy's two legs is a victim.
        amount = int(world.reserve(pool, mint) * rng.uniform(0.00001, 0.001 if at < NOISE_POOLS else 0.00005)) + 1_000
        if mint != SOL:
            world.account(wallet, mint, amount * 2)
        plain_swap(world, pool, wallet, mint, amount, fails=mints is None and rng.random() < 0.25)
        return
    script = Script(world, wallet)
    if kind == "vote":
        script.vote()
    elif kind == "transfer":
        script.pay(wallet, world.wallet(), rng.randrange(1, 10**9))
    else:
        mint = rng.choice(world.pools).mints[0]
        world.account(wallet, mint, 10**9)
        script.give(wallet, world.wallet(), mint, rng.randrange(1, 10**9))
    script.run(fails=rng.random() < 0.2)
