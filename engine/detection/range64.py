"""Payload integers have 64 bits; sums over hostile tokens may not."""

from decision_dna.schemas.ranges import I64_MAX, U64_MAX


def fit(amount: int) -> int:
    """Return the nearest amount that `Unsigned` holds, 0…2⁶⁴ − 1: for what changed hands."""
    return max(0, min(amount, U64_MAX))


def fit_signed(amount: int) -> int:
    """Return the nearest amount that `Signed` holds, −2⁶³…2⁶³ − 1: for what was gained or lost."""
    return max(-I64_MAX - 1, min(amount, I64_MAX))
