"""Payload integers have 64 bits; sums over hostile tokens may not."""


def fit(amount: int) -> int:
    """The amount, or the nearest one that 64 bits hold: −2⁶³…2⁶⁴−1."""
    return max(-(2**63), min(amount, 2**64 - 1))
