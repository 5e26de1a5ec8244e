"""How many of the attacks in made blocks are found, and what else is called one: by kind, over many seeds.

python -m tests.engine.recall --seeds 500
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from decision_dna.engine.answers import read_block
from decision_dna.engine.detection import Detection, detect
from decision_dna.engine.scenarios import make_block
from decision_dna.engine.scenarios.scenes import Truth
from decision_dna.schemas.market import Arbitrage, Sandwich

Table = dict[str, Counter[str]]
"""kind -> how many `scenes`, `found` exactly (parts and profit), and `false` alarms over its transactions."""

Call = Sandwich | Arbitrage

NOISE = "(noise)"


def recall_table(seeds: Iterable[int]) -> tuple[Table, list[str]]:
    """The counts by kind, and a line with the seed for everything that is not as it should be."""
    table: Table = {}
    wrong: list[str] = []
    for seed in seeds:
        scenario = make_block(seed)
        calls = [found for found in detect(read_block(scenario.answer)) if isinstance(found, Sandwich | Arbitrage)]
        for truth in scenario.truths:
            counts = table.setdefault(truth.kind, Counter())
            counts["scenes"] += 1
            if truth.is_a == "nothing":
                continue
            matches = _matches(truth, calls)
            if not matches:
                wrong.append(f"seed {seed}: missed {truth}")
                continue
            counts["found"] += 1
            calls = [call for call in calls if call not in matches]
            if not _same_profit(truth, matches):
                wrong.append(f"seed {seed}: another profit or other victims: {truth} against {matches}")
                counts["inexact"] += 1
        for call in calls:
            kind = next((truth.kind for truth in scenario.truths if _touches(truth, call)), NOISE)
            table.setdefault(kind, Counter())["false"] += 1
            wrong.append(f"seed {seed}: false {call}")
    return table, wrong


def render(table: Table) -> str:
    """The table as text: recall and precision of each kind."""
    lines = [f"{'kind':32} {'scenes':>7} {'found':>6} {'inexact':>7} {'false':>6} {'recall':>7} {'precision':>9}"]
    for kind, counts in sorted(table.items()):
        found, false = counts["found"], counts["false"]
        decoy = kind.startswith(("decoy", NOISE))
        recall = "-" if decoy else f"{found / counts['scenes']:.4f}"
        precision = f"{found / (found + false):.4f}" if found + false else "-"
        numbers = f"{counts['scenes']:7} {found:6} {counts['inexact']:7} {false:6}"
        lines.append(f"{kind:32} {numbers} {recall:>7} {precision:>9}")
    return "\n".join(lines)


def _places(call: Detection) -> set[int]:
    if isinstance(call, Arbitrage):
        return {call.position}
    return {leg.position for leg in call.fronts + call.backs}


def _matches(truth: Truth, calls: Iterable[Call]) -> Sequence[Call]:
    """The calls that are this scene: the one sandwich of exactly its parts, or the arbitrages at all its places."""
    places = {*truth.fronts, *truth.backs}
    if truth.is_a == "sandwich":
        return [call for call in calls if isinstance(call, Sandwich) and _places(call) == places][:1]
    found = [call for call in calls if isinstance(call, Arbitrage) and call.position in places]
    return found if len(found) == len(places) else ()


def _same_profit(truth: Truth, calls: Iterable[Call]) -> bool:
    lamports, tokens = 0, Counter[str]()
    for call in calls:
        gains = call.gains if isinstance(call, Arbitrage) else call.profit_tokens
        lamports += call.net_lamports if isinstance(call, Arbitrage) else call.profit_lamports
        tokens.update({gain.mint: gain.amount for gain in gains})
        if isinstance(call, Sandwich):
            victims = tuple(leg.position for leg in call.victims)
            if (victims, call.pool) != (truth.victims, truth.pool):
                return False
    return (lamports, dict(tokens)) == (truth.profit_lamports, truth.profit_tokens)


def _touches(truth: Truth, call: Detection) -> bool:
    return bool(_places(call) & {*truth.fronts, *truth.victims, *truth.backs})


def main() -> None:
    """Print the table for seeds drawn now, or from a given first one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many blocks")
    parser.add_argument("--first", type=int, default=None, help="the first seed, to see a run again")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(2**40) if options.first is None else options.first
    table, wrong = recall_table(range(first, first + options.seeds))
    lines = [f"seeds {first}…{first + options.seeds - 1}", render(table), *(line[:600] for line in wrong[:20])]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
