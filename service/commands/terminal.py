"""What every command shares: its usual arguments, and how it writes to machines and to people.

Machines get JSON, one object a line. People get tables, with rules and colours and a progress bar on a terminal, and as
plain aligned text in a file or pipe.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from decision_dna.ledger.notes import Vkey
from decision_dna.schemas.errors import ProofRejected

Json = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]
Dir = Annotated[Path, typer.Argument(metavar="DIR", help="The ledger's folder.")]
Place = Annotated[str, typer.Argument(metavar="DIR", help="The ledger's folder, or the address of a running service.")]
SEQ_MAX = 2**63 - 1
"""No log is so long."""


def parse_event(text: str) -> str:
    """An event's name as typed. Raises BadParameter for a number that is no seq of any log."""
    if text.isascii() and text.isdigit() and (len(text) > len(str(SEQ_MAX)) or int(text) > SEQ_MAX):
        raise typer.BadParameter(f"no seq is more than {SEQ_MAX}")
    return text


EventName = Annotated[
    str, typer.Argument(metavar="ID", parser=parse_event, help="A seq, an event id, or a fingerprint.")
]


def parse_vkey(text: str) -> Vkey:
    """A verifier key as typed. Raises BadParameter."""
    try:
        return Vkey.parse(text)
    except ProofRejected as error:
        raise typer.BadParameter(str(error)) from None


Key = Annotated[
    Vkey,
    typer.Option("--key", metavar="VKEY", parser=parse_vkey, help="The key to trust, from DIR.vkey, got from outside."),
]


def write_json(value: object) -> None:
    """One line. Only the name of a file may be no text: its bytes are then escaped, as Python's own JSON has them."""
    try:
        line = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        line = json.dumps(msgspec.to_builtins(value))
    sys.stdout.write(line + "\n")


def write(text: str) -> None:
    """One line for people."""
    sys.stdout.write(printable(text) + "\n")


def printable(text: str) -> str:
    """What others wrote must not steer the reader's terminal: control and direction characters are shown by their names."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def complain(text: str) -> None:
    """One line on stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"dna: {printable(text)}\n")


def write_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        write(f"{name:<{width}}  {value}")


def write_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; on a terminal with rules, elsewhere as aligned text, never cut."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, cells)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        write("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*[Text(cell, style=_STYLES.get(cell, "")) for cell in row])
    Console().print(table)


_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "not pinned": "yellow"}


@contextmanager
def progress(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal's stderr: call what it yields with (done, of how many). Elsewhere nothing is shown."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    parts: tuple[Any, ...] = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
