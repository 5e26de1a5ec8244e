"""Do the two verifiers agree on everything that can be made of a log? `python -m tests.second_verifier.agree --mutants 10000 --seed 7`.

A mutant is agreed upon where both accept it or both reject it, both call the key the log's or both do not, neither lets
anything escape but a report, and our own says the same of the log as a whole and of the log in pieces. Mutants on which
they do not agree are written to a folder, to be judged by docs/format.md.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from random import SystemRandom
from tempfile import mkdtemp
from traceback import format_exc

import msgspec

from tests.second_verifier.both import Answer, ask_first, ask_second
from tests.second_verifier.mutants import Mutant, mutant

PART = 250
PIECES = (1, 2, 4, 8)


class Outcome(msgspec.Struct, frozen=True):
    """What became of one mutant. `apart`: both rejected it, and named no step in common."""

    number: int
    operator: str
    accepted: bool
    agreed: bool
    apart: bool
    text: str = ""


def answer(ask: Callable[..., Answer], one: Mutant, **options: int) -> Answer:
    """A verifier's answer; whatever escapes it is an answer that no verifier gives."""
    try:
        return ask(one.data, one.key, evidence=one.evidence, **options)
    except Exception:  # noqa: BLE001  # that nothing escapes is what is tested
        return Answer(True, frozenset({0}), True, format_exc(limit=-3))


def compare(one: Mutant, number: int = 0) -> Outcome:
    """Ask both, and the first once more with the log cut into pieces."""
    first, second = answer(ask_first, one), answer(ask_second, one)
    joined = answer(ask_first, one, pieces=PIECES[number % len(PIECES)])
    agreed = (first.accepted, first.pinned) == (second.accepted, second.pinned)
    agreed = agreed and (first.accepted, first.pinned, first.steps) == (joined.accepted, joined.pinned, joined.steps)
    escaped = 0 in first.steps | second.steps | joined.steps
    apart = agreed and not first.accepted and not first.steps & second.steps
    text = ""
    if not agreed or escaped or apart:
        text = "\n".join(
            f"{name}: accepted {one.accepted}, pinned {one.pinned}, fails {sorted(map(int, one.steps))}: {one.text[:600]}"
            for name, one in (("first", first), ("first in pieces", joined), ("second", second))
        )
    return Outcome(number, one.operator, first.accepted, agreed and not escaped, apart, text)


def outcomes(seed: int, numbers: range) -> list[Outcome]:
    """The mutants of these numbers."""
    return [compare(mutant(seed, number), number) for number in numbers]


def run(seed: int, count: int, workers: int = 1) -> Iterable[Outcome]:
    """All of them, in parts, on some processes."""
    parts = [range(start, min(start + PART, count)) for start in range(0, count, PART)]
    if workers == 1:
        return chain.from_iterable(outcomes(seed, part) for part in parts)
    with ProcessPoolExecutor(workers) as pool:
        return list(chain.from_iterable(pool.map(partial(outcomes, seed), parts)))


def table(found: Iterable[Outcome]) -> str:
    """Mutants by operator: made, accepted, rejected, not agreed upon, rejected for reasons apart."""
    found = list(found)
    rows = [("operator", "mutants", "accepted", "rejected", "disagreed", "apart")]
    for name in [*sorted({one.operator for one in found}), "all"]:
        mine = [one for one in found if name in (one.operator, "all")]
        accepted, agreed = sum(one.accepted for one in mine), sum(one.agreed for one in mine)
        numbers = (len(mine), accepted, len(mine) - accepted, len(mine) - agreed, sum(one.apart for one in mine))
        rows.append((name, *map(str, numbers)))  # type: ignore[arg-type]  # five numbers
    return "\n".join(f"{row[0]:<24}" + "".join(f"{cell:>11}" for cell in row[1:]) for row in rows)


def dump(seed: int, found: Iterable[Outcome], folder: Path) -> None:
    """Each mutant in question, with what was said of it."""
    for one in found:
        bent = mutant(seed, one.number)
        name = f"{seed}-{one.number}"
        (folder / f"{name}.{'evidence.json' if bent.evidence else 'export.ndjson'}").write_bytes(bent.data)
        (folder / f"{name}.txt").write_text(f"{one.operator}\nkey {bent.key}\n{one.text}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; leaves with 1 where they disagree."""
    parser = argparse.ArgumentParser(description="Compare both verifiers on mutants.")
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**31))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dump", type=Path, help="folder for what they disagree on (default: a temporary one)")
    options = parser.parse_args(arguments)
    found = list(run(options.seed, options.mutants, options.workers))
    questions = [one for one in found if not one.agreed]
    sys.stdout.write(f"seed {options.seed}\n{table(found)}\n")
    for one in [*questions, *(one for one in found if one.apart)][:60]:
        sys.stdout.write(f"\n{options.seed}-{one.number} {one.operator}\n{one.text}\n")
    if questions:
        folder = options.dump or Path(mkdtemp(prefix="disagreements-"))
        folder.mkdir(parents=True, exist_ok=True)
        dump(options.seed, questions, folder)
        sys.stdout.write(f"\n{len(questions)} mutants in {folder}\n")
    return 1 if questions else 0


if __name__ == "__main__":
    sys.exit(main())
