"""`dna append`, `heartbeat`, `erase`, `clock`: what a person writes into a ledger."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from decision_dna.ledger.fingerprint import fingerprint_of_hash
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import BadInput, LedgerError, TooLarge
from decision_dna.schemas.submissions import BODY_BYTES_MAX, Body, decode_json
from decision_dna.schemas.texts import id_text, time_text
from decision_dna.service.commands.places import RootKey, read_root_key, written
from decision_dna.service.commands.terminal import Dir, EventName, Json, complain, progress, write, write_json
from decision_dna.service.ingest import drafts_of

BATCH_LINES = 1000

Line = tuple[int, Draft | AuthorDraft | LedgerError]
"""Its number in the file, from 1; what it says, or why it says nothing."""


def append(
    directory: Dir,
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON submissions; `-` is standard input.")],
    principal: Annotated[str, typer.Option("--principal", help="Whom the notary names for claims it signs.")] = "local",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Report lines that are refused, and go on.")] = False,
    json: Json = False,
) -> int:
    """Append events from NDJSON, each acknowledged with its place.

    A line is {"type": …, "source": …, "payload": {…}}, optionally with id, subject, occurred_at, causes, trace; or a
    claim that its author signed. Batches of 1,000 lines are durable, signed and locked before they are acknowledged.

    The first line that is refused ends it: nothing of its batch, nor after it, is written. Run again with the same file,
    lines that carry an id are recognised and appended once; lines without an id would be appended twice, so resuming
    needs ids.
    """
    with _opened(file) as source, written(directory) as ledger, progress("append", shown=not json) as bar:
        count = _Counts()
        for batch in _batches(source):
            acknowledged = _append_batch(ledger, batch, principal, count, skip_bad=skip_bad, json=json)
            bar(count.appended + count.present, None)
            if not acknowledged:
                break
    if not json:
        write(f"{count.appended} appended, {count.present} were there already, {count.refused} refused")
    return 1 if count.refused else 0


class _Counts:
    """What became of the lines."""

    def __init__(self) -> None:
        self.appended = self.present = self.refused = 0


def _opened(file: str) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None


def _batches(source: BinaryIO) -> Iterator[list[Line]]:
    lines = _lines(source)
    while batch := list(islice(lines, BATCH_LINES)):
        yield batch


def _lines(source: BinaryIO) -> Iterator[Line]:
    number = 0
    while text := source.readline(BODY_BYTES_MAX + 1):
        number += 1
        if len(text) > BODY_BYTES_MAX:
            yield number, TooLarge(f"a line of more than {BODY_BYTES_MAX} bytes")
            return  # where the next line begins is not known
        if text.strip():
            yield number, _said(text)


def _said(text: bytes) -> Draft | AuthorDraft | LedgerError:
    try:
        return drafts_of(Body([decode_json(text)], single=False))[0]
    except BadInput as error:
        return error


def _append_batch(
    ledger: Ledger, batch: list[Line], principal: str, count: _Counts, *, skip_bad: bool, json: bool
) -> bool:
    """Append and acknowledge; False where a refusal ends it."""
    bad = [(number, said) for number, said in batch if isinstance(said, LedgerError)]
    if bad and not skip_bad:
        _refuse(bad[:1], count)
        return False
    appended = ledger.append([said for _, said in batch], principal, atomic=not skip_bad)
    outcomes = list(zip([number for number, _ in batch], appended.outcomes, strict=True))
    refused = [(number, outcome) for number, outcome in outcomes if isinstance(outcome, LedgerError)]
    if refused and not skip_bad:
        _refuse([_first_cause(refused)], count)
        return False
    _refuse(refused, count)
    for number, outcome in outcomes:
        if isinstance(outcome, Placed):
            count.appended += not outcome.duplicate
            count.present += outcome.duplicate
            if json:
                write_json(_acknowledgement(number, outcome))
    return True


def _first_cause(refused: list[tuple[int, LedgerError]]) -> tuple[int, LedgerError]:
    """Of an atomic batch, the refusal that the others follow from."""
    return next((each for each in refused if not str(each[1]).startswith("refused with the rest")), refused[0])


def _refuse(lines: Iterable[tuple[int, LedgerError]], count: _Counts) -> None:
    for number, error in lines:
        count.refused += 1
        complain(f"line {number}: {error}")


def _acknowledgement(number: int, placed: Placed) -> dict[str, object]:
    """Where an event stands; its proof is `dna prove`'s."""
    return {
        "line": number,
        "seq": placed.seq,
        "id": id_text(placed.id),
        "fingerprint": str(fingerprint_of_hash(placed.seq, placed.hash)),
        "hash": placed.hash.hex(),
        "duplicate": placed.duplicate,
    }


def heartbeat(directory: Dir, json: Json = False) -> None:
    """Commit to the heads of all streams, so that later evidence can be complete."""
    with written(directory) as ledger:
        seq = _placed(ledger.heartbeat().outcomes[0]).seq
        recorded = time_text(ledger.reader.event(seq).entry.recorded_at)
    if json:
        write_json({"seq": seq, "recorded_at": recorded})
    else:
        write(f"heartbeat {seq}, recorded {recorded}")


def erase(
    directory: Dir,
    event: EventName,
    who: Annotated[str, typer.Option("--who", help="Who decided it.")],
    why: Annotated[str, typer.Option("--why", help="The reason, in the log for good.")],
    json: Json = False,
) -> None:
    """Remove an event's payload, and say so in the log.

    The entry stays, so that the log can still be verified; payload and salt are gone from the database's files.
    Backups and exports made before still hold them.
    """
    with written(directory) as ledger:
        target = ledger.reader.resolve(event)
        seq = _placed(ledger.erase(target, who, why).outcomes[0]).seq
    if json:
        write_json({"erased": target, "seq": seq})
    else:
        write(f"the payload of event {target} is gone; entry {seq} says so")


def clock(
    directory: Dir,
    reason: Annotated[str, typer.Option("--reason", help="What happened to the clock, in the log for good.")],
    root: RootKey = None,
    json: Json = False,
) -> None:
    """Vouch for a step of the wall clock with the root key, so that appends go on."""
    with written(directory) as ledger:
        seq = _placed(ledger.accept_clock(read_root_key(ledger, root), reason).outcomes[0]).seq
    if json:
        write_json({"seq": seq})
    else:
        write(f"entry {seq} vouches for the clock")


def _placed(outcome: Placed | LedgerError) -> Placed:
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome
