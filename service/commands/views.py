"""Events as people and programs read them at the command line; the reverse for what people type."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

import msgspec
import typer

from decision_dna import schemas
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.texts import id_bytes, time_ns
from decision_dna.schemas.views import EventView

# Every family declares its payload types when it is imported: an event may be of any of them.
for _module in pkgutil.iter_modules(schemas.__path__):
    importlib.import_module(f"decision_dna.schemas.{_module.name}")

T = TypeVar("T")


def typed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser for what people type: errors become wrong usage. Raises BadParameter."""

    def parser(text: str) -> T:
        try:
            return parse(text)
        except LedgerError as error:
            raise typer.BadParameter(str(error)) from None

    return parser


parse_id = typed(id_bytes)


@typed
def parse_time(text: str) -> int:
    """ns since 1970, of RFC 3339 in UTC or of a plain number of ns."""
    is_ns = text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 2**63
    return int(text) if is_ns else time_ns(text)


EVENT_COLUMNS = ("seq", "recorded", "type", "source", "subject", "attested")


def event_row(view: EventView) -> tuple[object, ...]:
    """One line of a table of events."""
    return view.seq, view.recorded_at, view.type, view.source, view.subject, view.attestation


def event_facts(view: EventView) -> list[tuple[str, object]]:
    """The whole event for a person: what is empty is left out, the payload comes as JSON."""
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(view).items()
        if value not in ("", [], None, msgspec.UNSET)
    }
    payload = "erased" if view.redacted is True else msgspec.json.encode(view.payload).decode()
    return [
        *(
            (name, ", ".join(value) if isinstance(value, list) else value)
            for name, value in fields.items()
            if name != "payload"
        ),
        ("payload", payload),
    ]
