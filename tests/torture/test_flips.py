"""Every byte of what is kept, one bit turned: the verification or start-up names it, every time."""

import os
from collections.abc import Callable
from itertools import islice
from random import Random

import pytest

from tests.torture.flips import LOCK_PARTS, Held, every_kind, flipped_heads, flips, unnamed, with_nodes, with_views

ALL_BITS = list(range(8))
SAMPLED = 60
PARTS = {"meta": 1, "entries": 6, "payloads": 1, "heads": 3, "ids": 1, "streams": 1, "authors": 1}
"""The families of the log, and into how many parts the work on them is cut."""


@pytest.fixture
def chance(record_property: Callable[[str, object], None]) -> Random:
    """Which bits: drawn anew in each run, or by DNA_SEED as a failure prints it."""
    seed = int(os.environ.get("DNA_SEED") or int.from_bytes(os.urandom(4)))
    record_property("DNA_SEED", seed)
    print(f"DNA_SEED={seed}")  # noqa: T201  # shown where the test fails
    return Random(seed)


def naming(held: Held, family: str) -> Callable[[], str]:
    """Who has to name what is wrong in a family."""
    named = {"meta": held.named_in_meta, "index": held.named_in_views, "views": held.named_in_views}
    return named.get(family, held.named_in_log)


@pytest.mark.parametrize(("family", "part"), [(family, part) for family in PARTS for part in range(PARTS[family])])
def test_a_bit_of_every_byte_of_the_log(family: str, part: int, chance: Random) -> None:
    held = every_kind()
    wanted = islice(flips(held.store, family, lambda: [chance.randrange(8)]), part, None, PARTS[family])
    assert unnamed(held, wanted, naming(held, family)) == []


def test_a_bit_of_every_byte_of_the_stored_nodes(chance: Random) -> None:
    held = with_nodes()
    assert held.store.last("nodes", b"\xff" * 9) is not None
    assert unnamed(held, flips(held.store, "nodes", lambda: [chance.randrange(8)]), held.named_in_log) == []


@pytest.mark.parametrize("family", ["index", "views"])
def test_some_bits_of_what_followers_keep(family: str, chance: Random) -> None:
    held = with_views()
    wanted = list(flips(held.store, family, lambda: [chance.randrange(8)]))
    assert unnamed(held, iter(chance.sample(wanted, SAMPLED)), naming(held, family)) == []


@pytest.mark.parametrize("part", LOCK_PARTS)
def test_a_bit_of_every_byte_of_the_lock(part: str, chance: Random) -> None:
    """By start-up and by the verification, each alone."""
    held = every_kind()
    heads = list(flipped_heads(held.head, part, chance, all_bits=False))
    assert [head for head in heads if not held.refusal_of(head)] == []
    assert [head for head in heads if not held.report_of(head)] == []


# --- the long form ---------------------------------------------------------------------------------------------------

EVERY_BIT: dict[str, tuple[Callable[[], Held], int]] = {
    **{family: (every_kind, 2 * parts) for family, parts in PARTS.items()},
    "nodes": (with_nodes, 1),
    "views": (with_views, 2),
    "index": (with_views, 32),
}
"""By family: the ledger that has it, and into how many parts the work is cut."""


@pytest.mark.torture
@pytest.mark.parametrize(
    ("family", "part"), [(family, part) for family, (_, parts) in EVERY_BIT.items() for part in range(parts)]
)
def test_every_bit_of_every_byte(family: str, part: int, chance: Random) -> None:
    """Of the rows of followers one bit of each byte, for a whole rebuild answers each."""
    make, parts = EVERY_BIT[family]
    held = make()
    bits = (lambda: [chance.randrange(8)]) if make is with_views else lambda: ALL_BITS
    wanted = islice(flips(held.store, family, bits), part, None, parts)
    assert unnamed(held, wanted, naming(held, family)) == []


@pytest.mark.torture
@pytest.mark.parametrize("part", LOCK_PARTS)
def test_every_bit_of_the_lock(part: str, chance: Random) -> None:
    held = every_kind()
    heads = list(flipped_heads(held.head, part, chance, all_bits=True))
    assert [head for head in heads if not held.refusal_of(head) or not held.report_of(head)] == []
