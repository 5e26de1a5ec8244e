"""The command line `dna`: a table of commands, each loaded when it is called.

What a command needs is imported with it and not before: `dna --help` loads no ledger, `dna check` no server, store or
chain. Every error that may leave the system ends here, as one sentence on stderr and one of these exit codes:

    0    it holds, or is done
    1    it does not: a verification found it false, or it was refused, or what was asked for is not in the log
    2    wrong usage, or input that is none, such as a file without a block
    3    cannot tell, or cannot be done: no ledger there, or one that cannot be opened or read; no network, no key, no disk
    75   the ledger's writer stopped on an error, such as a full disk: nothing acknowledged is lost, start it again
    130  somebody pressed Ctrl-C before it was done; what runs until then, as `serve` does, ends with 0
    141  whoever read the output went away, as `head` does, or stdout was closed from the start, and nothing was begun: that is
         no error, and nothing is said
    143  SIGTERM came before it was done: it ends as by Ctrl-C, and what was half made is removed

So a missing folder, lock or `CURRENT`, a damaged block and a start-up that refused are 3 from every command. Where a log can be
walked, and is found false, a verification (also the one that `backup` makes) ends with 1; another command that cannot read what
it needs of that log ends with 3.
"""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from decision_dna.schemas.errors import (
    BadInput,
    Busy,
    CannotOpen,
    InvariantBroken,
    LedgerError,
    StoreFailed,
    Unavailable,
    WriterStopped,
)

WRITER_STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: a supervisor starts the process again."""
INTERRUPTED = 130
TERMINATED = 143
NOBODY_READS = 141
"""As a shell says of a program that SIGPIPE ended."""
_TYPER_OPTIONS = {"help_option_names": ["-h", "--help"]}


class Command(NamedTuple):
    """Where a command lives (`module:function`), the first line of its help, and an example."""

    target: str
    summary: str
    example: str


class Group(NamedTuple):
    """Commands under one word."""

    summary: str
    commands: Mapping[str, Command]


_KEYS = "decision_dna.service.commands.keys"
_ANCHORS = "decision_dna.service.commands.anchors"

COMMANDS: Mapping[str, Command | Group] = {
    "init": Command(
        "decision_dna.service.commands.making:init",
        "Make a ledger: keys, genesis, lock, and the key that verifiers pin.",
        "dna init ledger --origin example.org/demo",
    ),
    "append": Command(
        "decision_dna.service.commands.appending:append",
        "Append events from NDJSON, each acknowledged with its place.",
        "dna append ledger events.ndjson",
    ),
    "show": Command(
        "decision_dna.service.commands.reading:show",
        "Show one event, by seq, id or fingerprint.",
        "dna show ledger 7",
    ),
    "query": Command(
        "decision_dna.service.commands.reading:query",
        "Find events by type, source, subject, stream, trace, cause, time or seq.",
        "dna query ledger --type 'detection.*' --order desc --limit 10",
    ),
    "lineage": Command(
        "decision_dna.service.commands.reading:lineage",
        "Show what led to an event, and what it led to.",
        "dna lineage ledger 7 --direction causes",
    ),
    "tail": Command(
        "decision_dna.service.commands.reading:tail",
        "Print events from a seq on, and with --follow those that come later.",
        "dna tail ledger --from-seq 100 --follow",
    ),
    "prove": Command(
        "decision_dna.service.commands.proving:prove",
        "Write evidence: of an event, of a complete run of a stream, or of its absence.",
        "dna prove ledger 7 -o evidence.json",
    ),
    "check": Command(
        "decision_dna.service.commands.checking:check",
        "Check evidence, or a C2SP tlog-proof, against a pinned key, offline.",
        'dna check evidence.json --key "$(cat ledger.vkey)"',
    ),
    "verify": Command(
        "decision_dna.service.commands.verifying:verify",
        "Verify a whole log, step by numbered step.",
        'dna verify ledger --key "$(cat ledger.vkey)"',
    ),
    "cheat": Command(
        "decision_dna.service.commands.cheating:cheat",
        "Make a lie in a copy of a ledger, to see which check names it.",
        "dna cheat flip ledger ledger-flip",
    ),
    "replay": Command(
        "decision_dna.service.commands.replaying:replay",
        "Rebuild engine state from the log and compare it with the committed one.",
        "dna replay ledger --projection detections",
    ),
    "index": Group(
        "Rebuild what queries read.",
        {
            "rebuild": Command(
                "decision_dna.service.commands.indexing:rebuild",
                "Rebuild indexes and projections from the log.",
                "dna index rebuild ledger --check",
            ),
        },
    ),
    "heartbeat": Command(
        "decision_dna.service.commands.appending:heartbeat",
        "Commit to the heads of all streams, so that later evidence can be complete.",
        "dna heartbeat ledger",
    ),
    "erase": Command(
        "decision_dna.service.commands.appending:erase",
        "Remove an event's payload, and say so in the log.",
        "dna erase ledger 7 --who 'the operator' --why 'asked by the person concerned'",
    ),
    "clock": Command(
        "decision_dna.service.commands.appending:clock",
        "Vouch for the wall clock as it is now, so that appends go on.",
        "dna clock ledger --reason 'time server was wrong'",
    ),
    "keys": Group(
        "Show, rotate, register and revoke keys.",
        {
            "show": Command(f"{_KEYS}:show", "Show the live keys, and what to pin.", "dna keys show ledger"),
            "rotate": Command(
                f"{_KEYS}:rotate",
                "Put a new log, notary or anchor key in the place of the live one.",
                "dna keys rotate ledger log --overlap 1000",
            ),
            "register": Command(
                f"{_KEYS}:register",
                "Let an author's key speak for sources.",
                "dna keys register ledger --source bot --new bot.key",
            ),
            "revoke": Command(
                f"{_KEYS}:revoke",
                "End an author's key.",
                "dna keys revoke ledger 1f0e2d3c4b5a6978 --suspect-from 120",
            ),
        },
    ),
    "anchor": Group(
        "Anchor the log on a chain, and check what was anchored.",
        {
            "once": Command(f"{_ANCHORS}:once", "Anchor the newest head now.", "dna anchor once ledger --chain local"),
            "run": Command(
                f"{_ANCHORS}:run",
                "Anchor whenever the policy's deadline asks for it, until Ctrl-C.",
                "dna anchor run ledger --chain local",
            ),
            "list": Command(f"{_ANCHORS}:list_anchors", "List the anchors in the log.", "dna anchor list ledger"),
            "verify": Command(
                f"{_ANCHORS}:verify",
                "Check what the bytes of the anchors prove (step 9).",
                "dna anchor verify ledger",
            ),
        },
    ),
    "watch": Command(
        "decision_dna.service.commands.watching:watch",
        "Read blocks, detect, and append what was seen and found.",
        "dna watch ledger blocks/ --follow",
    ),
    "backup": Command(
        "decision_dna.service.commands.keeping:backup",
        "Copy the database with its newest head, also while a service writes.",
        "dna backup ledger ledger.tar",
    ),
    "restore": Command(
        "decision_dna.service.commands.keeping:restore",
        "Put a backup's database back beside its lock.",
        "dna restore ledger.tar ledger",
    ),
    "export": Command(
        "decision_dna.service.commands.keeping:export",
        "Write the whole log as one NDJSON file that anyone can verify, or as a static site.",
        "dna export ledger -o ledger.ndjson",
    ),
    "status": Command(
        "decision_dna.service.commands.status:status",
        "Say how a ledger stands: size, head, heartbeat, deadlines, disk.",
        "dna status ledger",
    ),
    "config": Command(
        "decision_dna.service.commands.status:config",
        "Print the settings in force, secrets hidden.",
        "dna config",
    ),
    "serve": Command(
        "decision_dna.service.commands.running:serve",
        "Serve a ledger over HTTP, until Ctrl-C.",
        "dna serve ledger --port 8420",
    ),
    "run": Command(
        "decision_dna.service.commands.running:run",
        "Do the main job in one process: watch, detect, append, anchor, serve, verify.",
        "dna run ledger --once",
    ),
}


class _LazyGroup(TyperGroup):
    """A group that imports a command when it is called; its overview is written from the table alone."""

    table: Mapping[str, Command | Group] = COMMANDS

    def list_commands(self, _context: Any) -> list[str]:
        """In the table's order."""
        return list(self.table)

    def get_command(self, _context: Any, name: str) -> Any:
        """The command, or None."""
        row = self.table.get(name)
        return None if row is None else _group(name, row) if isinstance(row, Group) else _command(name, row)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """Name and summary."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in self.table.items()])


PATHS = ("DIR", "FILE", "OLD")
"""What arguments that name a file are called: its name may be any bytes."""


class _Command(TyperCommand):
    """A command that takes nothing but text, which a log can hold."""

    def invoke(self, ctx: Any) -> Any:
        """Raise BadParameter before anything is begun."""
        for param in self.params:
            given = ctx.params.get(param.name)
            texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
            if param.metavar not in PATHS and not all(_is_text(text) for text in texts if isinstance(text, str)):
                hint = param.metavar if param.param_type_name == "argument" else param.opts[0]
                raise typer.BadParameter("not UTF-8", ctx=ctx, param_hint=hint)
        return super().invoke(ctx)


def _is_text(argument: str) -> bool:
    """Bytes that are no UTF-8 come as lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)


def _command(name: str, row: Command) -> Any:
    module, _, function = row.target.partition(":")
    app = _typer()
    epilog = f"\b\nExample:\n  {row.example}"
    app.command(name, cls=_Command, epilog=epilog, context_settings=_TYPER_OPTIONS)(
        getattr(import_module(module), function)
    )
    return typer.main.get_command(app)


def _group(name: str, row: Group) -> Any:
    class _Inner(_LazyGroup):
        table = row.commands

    app = _typer(cls=_Inner, name=name, help=row.summary, no_args_is_help=True, context_settings=_TYPER_OPTIONS)
    app.callback()(_nothing)
    return typer.main.get_command(app)


def _typer(**options: Any) -> typer.Typer:
    # Help as plain text: it is there at once, and reads the same in a file.
    return typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, **options)


def _nothing() -> None:
    """Groups do nothing by themselves."""


def commands() -> Iterator[tuple[str, Command]]:
    """Every command with its full name: `keys show`."""
    for name, row in COMMANDS.items():
        if isinstance(row, Group):
            yield from ((f"{name} {inner}", command) for inner, command in row.commands.items())
        else:
            yield name, row


def _version(wanted: bool) -> None:
    if wanted:
        from decision_dna import __version__

        typer.echo(f"dna {__version__}")
        raise typer.Exit


def _dna(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """A tamper-evident ledger for automated decisions: what was seen, decided and ordered, provable by anyone.

    Exit codes: 0 it holds or is done, 1 it does not or was refused, 2 wrong usage, 3 cannot tell or cannot be done, 75 start again.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Errors are one sentence on stderr."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  # until the end; and no other file gets its number
    if sys.stdout is None:
        return NOBODY_READS
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # whoever reads a pipe sees each line when it is said
    with _sigterm_interrupts() as is_terminated:
        try:
            code = _code_of(arguments)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except MemoryError:
            code = _fail("there is not enough memory for this", 3)
    if code != INTERRUPTED:
        return code
    return _fail("ended by SIGTERM", TERMINATED) if is_terminated() else _fail("interrupted", INTERRUPTED)


def _code_of(arguments: Sequence[str] | None) -> int:
    app = _typer(cls=_LazyGroup, no_args_is_help=True, context_settings=_TYPER_OPTIONS)
    app.callback()(_dna)
    try:
        code = typer.main.get_command(app).main(args=arguments, prog_name="dna", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(_sentence(error), error.exit_code)
    except LedgerError as error:
        return _fail(_printable(" ".join(str(error).split())), exit_code(error))
    except SystemExit:
        # Typer's answer to a closed pipe; it has seen to it that the interpreter's end does not complain.
        return NOBODY_READS
    except OSError as error:
        return _fail(_printable(f"{error.filename or 'the system'}: {error.strerror or error}"), 3)
    except UnicodeEncodeError as error:
        if error.reason != "surrogates not allowed":
            raise
        # An argument's bytes, come to where only text is taken.
        return _fail(_printable(f"not UTF-8: {error.object}"), 2)
    return code if isinstance(code, int) else 0


@contextmanager
def _sigterm_interrupts() -> Iterator[Callable[[], bool]]:
    """SIGTERM ends a command as Ctrl-C does, so that what was half made is removed; whether it came. `serve` and `run` hear it themselves."""
    heard: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield lambda: False
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: bool(heard)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code(error: LedgerError) -> int:
    """What an error means to a script: its own words are wrong (2), it cannot be told or done (3), start again (75), or no (1)."""
    if isinstance(error, BadInput):
        return 2
    if isinstance(error, WriterStopped):
        return WRITER_STOPPED
    return 3 if isinstance(error, Unavailable | Busy | CannotOpen | StoreFailed | InvariantBroken) else 1


def _sentence(error: typer.TyperException) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", "dna")
    if "\n" in error.format_message():
        return error.format_message()  # help, where a group was called without a command
    message = error.format_message().replace(": Value error, ", ": ")
    return _printable(f"{message.rstrip('.')} (see `{path} --help`)")


def _printable(sentence: str) -> str:
    from decision_dna.service.commands.terminal import printable

    return printable(sentence)


def _fail(sentence: str, code: int) -> int:
    sys.stdout.flush()
    typer.echo(f"dna: {sentence}", err=True)
    return code
