"""Every byte of every file of a ledger's folder, one bit turned: it is refused, or named, or leaves the same contents.

Two folders: one as a killed writer leaves it (all in the WALs of the store and of the lock), one as a closed one does (all
in tables). Left out are RocksDB's diary (LOG), which nobody reads, and the keys: what they are needed for fails without them.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from decision_dna.ledger.audit import verify
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import FAMILIES
from decision_dna.schemas.errors import CannotOpen, LedgerError
from tests.ledger.samples import SECOND, fill, new_ledger
from tests.torture.flips import flipped

SAMPLED = 40
PARTS = 16
SAME = "same contents"
MISTAKEN = {"", "in-use", "store-in-use"}
"""Damage that nobody names, or that is taken for another writer."""

STATES = ("killed", "closed")


class Folder(msgspec.Struct, frozen=True):
    """A ledger at rest on disk, with all that it holds and the time at which it is opened again."""

    path: Path
    contents: tuple[Locked, dict[str, list[tuple[bytes, bytes]]]]
    vkey: Vkey
    now: int

    def bytes_of_files(self) -> Iterator[tuple[Path, int]]:
        """Every file, and every place in it."""
        for file in sorted(self.path.rglob("*")):
            name = file.relative_to(self.path)
            if file.is_file() and name.parts[0] != "keys" and not file.name.startswith("LOG"):
                yield from ((name, at) for at in range(file.stat().st_size))


def folder(base: Path, state: str) -> Folder:
    """A small ledger, copied while it is open, or after it was closed."""
    ledger, clock = new_ledger(base / "origin")
    with ledger:
        fill(ledger, clock)
        kept, vkey = contents(ledger), ledger.vkey
        if state == "killed":
            shutil.copytree(base / "origin", base / state)
    if state == "closed":
        shutil.copytree(base / "origin", base / state)
    return Folder(base / state, kept, vkey, clock.now_ns() + SECOND)


def contents(ledger: Ledger) -> tuple[Locked, dict[str, list[tuple[bytes, bytes]]]]:
    """Everything that can be read."""
    return ledger.reader.head(), {family: list(ledger.store.scan(family)) for family in FAMILIES}


def answer(damaged: Folder, place: Path) -> str:
    """What is said of a copy: why it is refused, what the verification finds, `SAME`, or nothing."""
    try:
        with open_ledger(place, clock=ManualClock(damaged.now), adopt=True) as ledger:
            found = contents(ledger)
            if found == damaged.contents:
                return SAME
            report = verify(StoreSource(ledger.store, ledger.reader.head()), damaged.vkey)
            return "" if report.holds else "verification"
    except CannotOpen as refused:
        return refused.reason
    except LedgerError as error:
        return type(error).__name__


def answers(
    whole: Folder, wanted: list[tuple[Path, int]], scratch: Path, chance: Random
) -> dict[tuple[str, int, int], str]:
    """For each flip, what is said; each in a copy of its own."""
    said = {}
    for name, at in wanted:
        bit = chance.randrange(8)
        shutil.copytree(whole.path, scratch)
        data = (scratch / name).read_bytes()
        (scratch / name).write_bytes(flipped(data, at, bit))
        said[str(name), at, bit] = answer(whole, scratch)
        shutil.rmtree(scratch)
    print(Counter((name, words) for (name, _, _), words in said.items()))  # noqa: T201  # shown where the test fails
    return said


@pytest.fixture
def chance() -> Random:
    seed = int(os.environ.get("DNA_SEED") or int.from_bytes(os.urandom(4)))
    print(f"DNA_SEED={seed}")  # noqa: T201
    return Random(seed)


@pytest.mark.parametrize("state", STATES)
def test_an_untouched_copy_has_the_same_contents(state: str, tmp_path: Path) -> None:
    whole = folder(tmp_path, state)
    assert answer(whole, whole.path) == SAME


@pytest.mark.parametrize("state", STATES)
def test_some_bytes_of_the_files(state: str, tmp_path: Path, chance: Random) -> None:
    whole = folder(tmp_path, state)
    wanted = chance.sample(list(whole.bytes_of_files()), SAMPLED)
    said = answers(whole, wanted, tmp_path / "copy", chance)
    assert {flip for flip, words in said.items() if words in MISTAKEN} == set()


@pytest.mark.torture
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("state", STATES)
def test_every_byte_of_the_files(state: str, part: int, tmp_path: Path, chance: Random) -> None:
    whole = folder(tmp_path, state)
    wanted = list(whole.bytes_of_files())[part::PARTS]
    said = answers(whole, wanted, tmp_path / "copy", chance)
    assert {flip for flip, words in said.items() if words in MISTAKEN} == set()
    assert set(said.values()) > {SAME}
