"""kill -9 while many append, erase and look: nothing that was acknowledged is lost, and nothing unlocked was ever seen."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from decision_dna.ledger.folder import verify_folder
from decision_dna.ledger.hashing import entry_hash
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.writer import Placed
from tests.data import ROOT
from tests.ledger.samples import ORIGIN, POLICY
from tests.torture.appending import SOURCES, WARDEN, drafts_of

KILLS = 4
KILLS_PER_LEDGER = 8
ANSWERS_MAX = 300
BATCH = 500
NUMBERS_PER_KILL = 10**6
"""How far apart the numbers begin that are used between two kills."""


class Told(msgspec.Struct):
    """All that the processes said: what was acknowledged, by source and number; what was erased; what was seen."""

    placed: dict[tuple[str, int], tuple[int, str]]
    erased: set[int]
    heads: set[str]
    seen: dict[int, str]

    def hear(self, words: dict[str, Any]) -> None:
        """One line."""
        if "note" in words:
            self.heads.add(words["note"])
        if "erased" in words:
            self.erased.add(words["erased"])
        if "size" in words:
            self.seen[words["size"]] = words["hash"]
        if words.get("source", WARDEN) != WARDEN:
            for number, (seq, digest) in enumerate(words["placed"], words["first"]):
                self.placed[words["source"], number] = (seq, digest)


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One that is killed in the end, with all that it started."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.appending", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with started:
            try:
                yield started
            finally:
                os.killpg(started.pid, signal.SIGKILL)
    finally:
        assert started.returncode == -signal.SIGKILL, "it ended by itself"


def lines(started: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What it says, to the last whole line."""
    assert started.stdout is not None
    return (json.loads(line) for line in started.stdout if line.endswith("\n"))


def killed(path: Path, told: Told, number: int, answers: int, *, ingesting: bool) -> None:
    """Append from many sides, and kill after so many answers; look meanwhile."""
    first = number * NUMBERS_PER_KILL
    with (
        process("look", str(path)) as looking,
        process("load", str(path), str(first), "ingesting" if ingesting else "") as loading,
    ):
        told.hear(next(lines(looking)))
        seen: list[dict[str, Any]] = []
        collecting = threading.Thread(target=lambda: seen.extend(lines(looking)))  # lest its pipe is full, and it blind
        collecting.start()
        said = lines(loading)
        while ingesting:  # until the worker has begun, which takes a while
            told.hear(words := next(said))
            ingesting = words.get("source") != "ingested"
        for words in islice(said, answers):
            told.hear(words)
        os.killpg(loading.pid, signal.SIGKILL)
        for words in said:
            told.hear(words)
        os.killpg(looking.pid, signal.SIGKILL)
        collecting.join()
        for words in seen:
            told.hear(words)


def check_after(path: Path, told: Told, number: int) -> None:
    """Open again, and hold everything against what was told; then try all ids of the last round again."""
    with open_ledger(path) as ledger:
        for seq, digest in told.placed.values():
            assert entry_hash(ledger.reader.raw(seq)).hex() == digest
        for size, digest in told.seen.items():
            assert entry_hash(ledger.reader.raw(size - 1)).hex() == digest
        for seq in told.erased:
            assert ledger.reader.event(seq).payload is None
        retry(ledger, told, number)
        assert sorted(seq for seq, _ in told.placed.values()) == sorted({seq for seq, _ in told.placed.values()})
        earlier = [note.encode() for note in told.heads]
        assert all(note_of(note).size <= ledger.reader.size for note in earlier)
    report = verify_folder(path, ledger.vkey, processes=1, earlier=earlier)
    assert report.findings == []
    assert report.size == ledger.reader.size


def retry(ledger: Ledger, told: Told, number: int) -> None:
    """Whoever retries gets its place; what nobody was told of is there once after that, or already was."""
    acknowledged = defaultdict[str, list[int]](list)
    for source, n in told.placed:
        if n >= number * NUMBERS_PER_KILL:
            acknowledged[source].append(n)
    for source, at_once in SOURCES.items():
        first = number * NUMBERS_PER_KILL
        end = max(acknowledged[source], default=first) + 1 + 4 * at_once  # with what was under way
        for start in range(first, end, BATCH):
            numbers = range(start, min(end, start + BATCH))
            for n, placed in zip(numbers, ledger.append(drafts_of(source, numbers), source).outcomes, strict=True):
                assert isinstance(placed, Placed), placed
                known = told.placed.setdefault((source, n), (placed.seq, placed.hash.hex()))
                assert known == (placed.seq, placed.hash.hex())
                assert placed.duplicate or n not in acknowledged[source]


def torture(base: Path, kills: int, chance: Random) -> None:
    """So many kills, with a new ledger now and then."""
    told = Told({}, set(), set(), {})
    for kill in range(kills):
        number = kill % KILLS_PER_LEDGER
        path = base / str(kill // KILLS_PER_LEDGER)
        if number == 0:
            create(path, ORIGIN, policy=POLICY)
            told = Told({}, set(), set(), {})
        killed(path, told, number, chance.randint(1, ANSWERS_MAX), ingesting=kill % 2 == 1)
        check_after(path, told, number)
        print(f"{kill + 1} kills: {len(told.placed)} events, {len(told.erased)} erased, {len(told.seen)} heads seen")  # noqa: T201
    assert told.placed
    assert told.seen


def seeded() -> Random:
    seed = int(os.environ.get("DNA_SEED") or int.from_bytes(os.urandom(4)))
    print(f"DNA_SEED={seed}")  # noqa: T201  # shown where the test fails
    return Random(seed)


def test_killed_under_load(tmp_path: Path) -> None:
    torture(tmp_path, KILLS, seeded())


@pytest.mark.torture
def test_killed_under_load_many_times(tmp_path: Path) -> None:
    """DNA_KILLS times."""
    torture(tmp_path, int(os.environ.get("DNA_KILLS", "100")), seeded())
