"""`dna watch`: the engine alone, over a file or folder of blocks."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from decision_dna.engine.watch import SourceBlock, SourceSkip, blocks_from
from decision_dna.engine.watch import follow as follow_blocks
from decision_dna.schemas.market import Arbitrage, BlockObserved, BlockSkipped, Sandwich, SandwichPattern
from decision_dna.schemas.payloads import Payload
from decision_dna.schemas.texts import id_text
from decision_dna.service.commands.places import Adopt, written
from decision_dna.service.commands.terminal import Dir, Json, complain, write, write_json
from decision_dna.service.watching import Seen, append_block

LOOK_SECONDS = 0.5
NAMED_MAX = 10


def watch(
    directory: Dir,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", exists=True, help="A block's file, or a folder of them.")],
    follow: Annotated[bool, typer.Option("--follow", help="Go on with files that appear later, until Ctrl-C.")] = False,
    adopt: Adopt = False,
    json: Json = False,
) -> int:
    """Read blocks, detect, and append what was seen and found.

    Blocks are a node's `getBlock` or `getTransaction` answers; of a folder, its *.json files. The events' ids follow from
    the block: a block that was read before appends nothing.

    A file that is no block is said in the log too (observation.skip), and on stderr. Exit code 2 where none of the files
    was a block, 1 where an event was refused; 0 where --follow ends by Ctrl-C.
    """
    tally, ended = Tally(), False
    try:
        with written(directory, adopt=adopt) as ledger:
            for item in _items(source, follow=follow):
                seen = append_block(ledger, item)
                tally.add(seen)
                write_seen(seen, json=json)
    except KeyboardInterrupt:
        if not follow:
            raise
        ended = True
    if not json:
        write(tally.sentence())
    return 0 if ended else tally.code()


class Tally:
    """What became of the files."""

    def __init__(self) -> None:
        self._blocks = self._refused = 0
        self._skipped: list[str] = []

    def add(self, seen: Seen) -> None:
        """Count one."""
        self._refused += len(seen.refused)
        if seen.skipped is None:
            self._blocks += 1
        else:
            self._skipped.append(seen.name)

    def code(self) -> int:
        """2 where files were read and none was a block, 1 where the ledger refused something, else 0."""
        if self._skipped and not self._blocks:
            return 2
        return 1 if self._refused else 0

    def sentence(self) -> str:
        """How many blocks were read, and which files were none."""
        if not self._blocks and not self._skipped:
            return "0 blocks read: there is no *.json file"
        named = ", ".join(self._skipped[:NAMED_MAX])
        more = f" and {len(self._skipped) - NAMED_MAX} more" if len(self._skipped) > NAMED_MAX else ""
        were = "1 file is" if len(self._skipped) == 1 else f"{len(self._skipped)} files are"
        files = f"; {were} no block: {named}{more}" if self._skipped else ""
        return f"{self._blocks} block{'' if self._blocks == 1 else 's'} read{files}"


def _items(source: Path, *, follow: bool) -> Iterator[SourceBlock | SourceSkip]:
    if not follow:
        return blocks_from(source)
    never = threading.Event()
    return follow_blocks(source, lambda: not never.wait(LOOK_SECONDS))


def write_seen(seen: Seen, *, json: bool) -> None:
    """What was found in a block, and where it stands."""
    if json:
        write_json(_view(seen))
    else:
        known = "" if seen.is_new else " (in the log already)"
        for at, event in enumerate(seen.events):
            write(f"{'' if at == 0 else '  '}slot {seen.slot}: {sentence(event.payload)}{known if at == 0 else ''}")
    if seen.skipped is not None:
        complain(f"{seen.name} is no block: {seen.skipped.reason.removeprefix(f'{seen.name}: ')}")
    for error in seen.refused:
        complain(f"slot {seen.slot}: {error}")


def _view(seen: Seen) -> dict[str, object]:
    outcomes = [
        {"type": event.type, "id": id_text(event.id), "subject": event.subject, "seq": getattr(outcome, "seq", None)}
        for event, outcome in zip(seen.events, seen.outcomes, strict=True)
    ]
    return {"name": seen.name, "slot": seen.slot, "new": seen.is_new, "events": outcomes}


def sentence(payload: Payload) -> str:
    """An event of the engine's for a person."""
    match payload:
        case BlockObserved():
            counts = f"{payload.votes_count} votes, {payload.failed_count} failed"
            return f"{payload.transactions_count} transactions ({counts})"
        case BlockSkipped():
            return f"no block: {payload.reason}"
        case Sandwich():
            return f"sandwich in {payload.pool}: {payload.victims_count} victims, {payload.profit_lamports} lamports"
        case SandwichPattern():
            return f"the pattern of a sandwich without its profit in {payload.pool}"
        case Arbitrage():
            return (
                f"arbitrage over {len(payload.hops)} pools by {payload.signer}: worth {payload.value_lamports} lamports"
            )
    return type(payload).__name__
