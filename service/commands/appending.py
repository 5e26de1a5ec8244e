"""`dna append`, `heartbeat`, `erase`, `clock`: what a person writes into a ledger."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import msgspec
import typer

from decision_dna.ledger.keyring import read_key
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.receipts import check_answer, uncompared
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import (
    BadInput,
    Conflict,
    LedgerError,
    ProofRejected,
    Refused,
    StoreFailed,
    TooLarge,
    Unavailable,
    http_status,
)
from decision_dna.schemas.ledgering import REASON_CHARS_MAX, WHO_CHARS_MAX
from decision_dna.schemas.receipts import BatchReceipt, Problem
from decision_dna.schemas.submissions import BODY_BYTES_MAX, Body, decode_json
from decision_dna.schemas.texts import time_text
from decision_dna.service.commands.places import Adopt, OperatorKey, RootKey, is_address, read_signing_key, written
from decision_dna.service.commands.remote import Service
from decision_dna.service.commands.terminal import (
    Dir,
    EventName,
    Json,
    Place,
    complain,
    parse_vkey,
    progress,
    write,
    write_json,
)
from decision_dna.service.commands.vouching import vouch_at
from decision_dna.service.ingest import drafts_of
from decision_dna.service.receipts import batch_receipt

BATCH_LINES = 1000
UNVERIFIED = "nothing of this was verified: that is what the service says, and --key checks it"
WITH_THE_REST = "refused with the rest of an atomic request: "


class Line(NamedTuple):
    """Its number in the file, from 1; its text; and what it says, or why it says nothing."""

    number: int
    text: bytes
    said: Draft | AuthorDraft | LedgerError


class Sink(NamedTuple):
    """Where lines go, and how many at once at most. `take`: (lines, whether all of them stand or none) -> the receipt, with an
    outcome for each line, held against them; it raises LedgerError."""

    lines_max: int
    take: Callable[[list[Line], bool], BatchReceipt]


def append(
    place: Place,
    file: Annotated[str, typer.Argument(metavar="FILE", help="NDJSON submissions; `-` is standard input.")],
    principal: Annotated[str, typer.Option("--principal", help="Whom the notary names for claims it signs.")] = "local",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Report lines that are refused, and go on.")] = False,
    key: Annotated[
        Vkey | None,
        typer.Option("--key", metavar="VKEY", parser=parse_vkey, help="Check each receipt against this key."),
    ] = None,
    adopt: Adopt = False,
    json: Json = False,
) -> int:
    """Append events from NDJSON, each acknowledged with its place.

    A line is {"type": …, "source": …, "payload": {…}}, optionally with id, subject, occurred_at, causes, trace; or a
    claim that its author signed. Types of your own begin with x., such as x.saw; an id names one event of its source.

    Batches of 1,000 lines are durable, signed and locked before they are acknowledged; with --json, by a receipt for each.

    The first line that is refused ends it: nothing of its batch, nor after it, is written. Run again with the same file,
    lines that carry an id are recognised and appended once; lines without an id would be appended twice, so resuming
    needs ids. Exit code 1 where a line was refused.

    A receipt must say of every line what the line says. With --key it must also be signed by that key, and be new: lines without
    an id get one here. Without --key nothing that a service answers is verified.
    """
    count = _Counts(f"{place} says: " if is_address(place) else "")
    with (
        _opened(file) as source,
        _sink(place, principal, key, adopt=adopt) as sink,
        progress("append", shown=not json) as bar,
    ):
        lines = _lines(source)
        while batch := list(islice(lines, sink.lines_max)):
            if not _append_batch(sink, batch, count, skip_bad=skip_bad, json=json):
                break
            bar(count.appended + count.present, None)
    unverified = is_address(place) and key is None
    if not json:
        _say(count, unverified=unverified)
    elif unverified:
        complain(UNVERIFIED)
    return 1 if count.refused else 0


def _say(count: "_Counts", *, unverified: bool) -> None:
    said = f"{count.appended} appended, {count.present} were there already, {count.refused} refused"
    if count.uncompared:
        said += f"; {count.uncompared} were erased since, and could not be compared"
    write(f"{said}; {UNVERIFIED}" if unverified else said)


class _Counts:
    """What became of the lines."""

    def __init__(self, says: str) -> None:
        self.says = says
        self.appended = self.present = self.refused = self.uncompared = 0


def _opened(file: str) -> BinaryIO:
    if file == "-":
        if sys.stdin is None:
            raise typer.BadParameter("standard input is closed", param_hint="FILE")
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None


@contextmanager
def _sink(place: str, principal: str, key: Vkey | None, *, adopt: bool) -> Iterator[Sink]:
    vkeys = [] if key is None else [key]
    if is_address(place):
        with Service.at(place) as service:
            if vkeys:
                service.see(vkeys)  # a key that is not this log's is found before anything is submitted
            yield Sink(
                BATCH_LINES,
                lambda lines, atomic: service.submit(
                    [msgspec.json.decode(line.text) for line in lines], atomic=atomic, vkeys=vkeys
                ),
            )
        return
    with written(Path(place), adopt=adopt) as ledger:

        def take(lines: list[Line], atomic: bool) -> BatchReceipt:
            said = [line.said for line in lines if not isinstance(line.said, LedgerError)]
            appended = ledger.append(said, principal, atomic=atomic)
            receipt = batch_receipt(appended, ledger.reader.nodes, _problem)
            if vkeys:
                check_answer(receipt, said, vkeys)
            return receipt

        yield Sink(min(BATCH_LINES, ledger.writer.batch_events_max), take)


def _lines(source: BinaryIO) -> Iterator[Line]:
    number = 0
    while text := source.readline(BODY_BYTES_MAX + 1):
        number += 1
        if len(text) > BODY_BYTES_MAX:
            yield Line(number, b"", TooLarge(f"a line of more than {BODY_BYTES_MAX} bytes, and what follows it"))
            return  # where the next line begins is not known
        if text.strip():
            yield Line(number, text.rstrip(b"\n") + b"\n", _said(text))


def _said(text: bytes) -> Draft | AuthorDraft | LedgerError:
    try:
        return drafts_of(Body([decode_json(text)], single=False))[0]
    except BadInput as error:
        return error


def _line_range(lines: list[Line]) -> str:
    first, last = lines[0].number, lines[-1].number
    return f"line {first}" if first == last else f"lines {first} to {last}"


def _append_batch(sink: Sink, batch: list[Line], count: _Counts, *, skip_bad: bool, json: bool) -> bool:
    """Append and acknowledge; False where a refusal ends it. Raises ProofRejected for a receipt that does not hold."""
    bad = [(line.number, str(line.said)) for line in batch if isinstance(line.said, LedgerError)]
    if bad and not skip_bad:
        _refuse(bad[:1], count)
        return False
    _refuse(bad, count)
    good = [line for line in batch if not isinstance(line.said, LedgerError)]
    if not good:
        return True
    try:
        receipt = sink.take(good, not skip_bad)
    except (ProofRejected, Unavailable) as error:
        unknown = f"{_line_range(good)}: {error}; whether they were appended is not known"
        raise type(error)(unknown) from None
    except (Refused, Conflict, BadInput) as error:  # all of them, by a service
        count.refused += 1
        reason = str(error).removeprefix(WITH_THE_REST)
        complain(f"{_line_range(good)}: {reason}")
        return False
    _check_stored(receipt)
    outcomes = list(zip([line.number for line in good], receipt.outcomes, strict=True))
    refused = [(number, outcome.detail) for number, outcome in outcomes if isinstance(outcome, Problem)]
    first = _first_cause(refused) if refused else None
    refused = [(number, count.says + detail) for number, detail in refused]
    if first is not None and not skip_bad:
        _refuse([(first[0], count.says + first[1])], count)
        return False
    _refuse(refused, count)
    count.appended += receipt.count
    count.present += len(good) - len(refused) - receipt.count
    count.uncompared += uncompared(receipt)
    if json:
        write_json(receipt)
    return True


def _check_stored(receipt: BatchReceipt) -> None:
    """Raise StoreFailed where a line was not refused, but could not be looked at: the ledger's fault, and not the line's."""
    for outcome in receipt.outcomes:
        if isinstance(outcome, Problem) and outcome.status >= 500:
            raise StoreFailed(outcome.detail)


def _first_cause(refused: list[tuple[int, str]]) -> tuple[int, str]:
    """Of an atomic batch, the refusal that the others follow from."""
    return next((each for each in refused if not each[1].startswith(WITH_THE_REST)), refused[0])


def _refuse(lines: Iterable[tuple[int, str]], count: _Counts) -> None:
    for number, reason in lines:
        count.refused += 1
        complain(f"line {number}: {reason}")


def _problem(error: LedgerError) -> Problem:
    return Problem("about:blank", type(error).__name__, http_status(error), str(error))


def heartbeat(directory: Dir, adopt: Adopt = False, json: Json = False) -> None:
    """Commit to the heads of all streams, so that later evidence can be complete."""
    with written(directory, adopt=adopt) as ledger:
        seq = _placed(ledger.heartbeat().outcomes[0]).seq
        recorded = time_text(ledger.reader.event(seq).entry.recorded_at)
    if json:
        write_json({"seq": seq, "recorded_at": recorded})
    else:
        write(f"heartbeat {seq}, recorded {recorded}")


def parse_reason(text: str) -> str:
    """Return a reason for the log. Raises BadParameter if it is empty or longer than its field."""
    return _checked_text(text, REASON_CHARS_MAX)


def parse_who(text: str) -> str:
    """Return the name of who decided. Raises BadParameter as `parse_reason`."""
    return _checked_text(text, WHO_CHARS_MAX)


def _checked_text(text: str, chars_max: int) -> str:
    if not text.strip():
        raise typer.BadParameter("say something: it stays in the log for good")
    if len(text) > chars_max:
        raise typer.BadParameter(f"{len(text)} characters, at most {chars_max}")
    return text


def erase(
    directory: Dir,
    event: EventName,
    who: Annotated[str, typer.Option("--who", parser=parse_who, metavar="TEXT", help="Who decided it.")],
    why: Annotated[
        str, typer.Option("--why", parser=parse_reason, metavar="TEXT", help="The reason, in the log for good.")
    ],
    root: RootKey = None,
    operator: OperatorKey = None,
    adopt: Adopt = False,
    json: Json = False,
) -> None:
    """Remove an event's payload, and say so in the log.

    Signed by root, or by an operator with role `erasure`. The entry stays, so that the log can still be verified;
    payload and salt are gone from the database's files. Backups and exports made before still hold them.
    """
    with written(directory, adopt=adopt) as ledger:
        target = ledger.reader.resolve(event)
        seq = _placed(ledger.erase(target, who, why, read_signing_key(ledger, root, operator)).outcomes[0]).seq
    if json:
        write_json({"erased": target, "seq": seq})
    else:
        write(f"the payload of event {target} is gone; entry {seq} says so")


def clock(
    place: Place,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", parser=parse_reason, metavar="TEXT", help="What happened to the clock, in the log for good."
        ),
    ],
    root: RootKey = None,
    operator: OperatorKey = None,
    adopt: Adopt = False,
    json: Json = False,
) -> None:
    """Vouch for the wall clock as it is now, so that appends go on.

    Signed by root, or by an operator with role `clock`. After a pause longer than the policy's jump_seconds_max only root may.
    What is vouched for is this machine's clock: the one of the service, of which the address is given, must agree with it.
    """
    if is_address(place):
        seq = vouch_at(place, _key_file(root, operator), reason)
    else:
        with written(Path(place), adopt=adopt) as ledger:
            key = read_signing_key(ledger, root, operator)
            seq = _placed(ledger.accept_clock(key, reason).outcomes[0]).seq
    if json:
        write_json({"seq": seq})
    else:
        write(f"entry {seq} vouches for the clock")


def _key_file(root: Path | None, operator: Path | None) -> SigningKey:
    """The key to sign with where no key folder is at hand. Raises BadParameter, CannotOpen."""
    file = operator or root
    if file is None or (operator is not None and root is not None):
        raise typer.BadParameter("an address needs --root FILE or --operator FILE, and not both")
    return SigningKey(read_key(file)[1])


def _placed(outcome: Placed | LedgerError) -> Placed:
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome
