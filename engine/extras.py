"""The optional dependency of this package: the extra `solana` brings solders, which signs transactions and runs a chain in process."""

from importlib.util import find_spec

from decision_dna.schemas.errors import CannotOpen


def require_solana(what: str) -> None:
    """Raise CannotOpen if the extra `solana` is not installed. `what` begins the sentence: it is what needs the extra."""
    if find_spec("solders") is None:
        raise CannotOpen("no-solana", f"{what} needs the extra `solana`: pip install 'decision-dna[solana]'")
