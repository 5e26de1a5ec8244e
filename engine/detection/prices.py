"""What a mint was worth in lamports, by the trades of the block itself: no table of stable coins, no outside source."""

from collections.abc import Iterable, Mapping

from decision_dna.engine.detection.flows import SOL, Flow

Prices = Mapping[str, tuple[int, int]]
"""mint -> (lamports, units): that many units changed hands for that many lamports."""

# Enough for mints that trade against a coin that trades against SOL, which is as far as routes go.
_STEPS = 2


def prices_of(flows: Iterable[Flow]) -> Prices:
    """Average prices, weighted by volume, of all mints that traded against SOL, or against a mint that did."""
    volumes: dict[tuple[str, str], tuple[int, int]] = {}
    for flow in flows:
        for exchange in flow.exchanges:
            sides = ((exchange.mint_in, exchange.amount_in), (exchange.mint_out, exchange.amount_out))
            (first, gave), (second, got) = sorted(sides)
            seen = volumes.get((first, second), (0, 0))
            volumes[first, second] = (seen[0] + gave, seen[1] + got)
    prices: dict[str, tuple[int, int]] = {SOL: (1, 1)}
    for _ in range(_STEPS):
        found: dict[str, tuple[int, int]] = {}
        for (first, second), (gave, got) in volumes.items():
            for mint, units, against, paid in ((first, gave, second, got), (second, got, first, gave)):
                if mint in prices or against not in prices:
                    continue
                worth = paid * prices[against][0] // prices[against][1]
                if worth > 0 and units > 0 and worth > found.get(mint, (0, 1))[0]:
                    found[mint] = (worth, units)
        prices |= found
    return prices


def worth(prices: Prices, mint: str, amount: int) -> int | None:
    """Lamports for an amount, rounded down; None where the block shows no price."""
    price = prices.get(mint)
    return None if price is None else amount * price[0] // price[1]
