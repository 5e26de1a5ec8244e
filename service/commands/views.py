"""Events as people and programs read them at the command line; the reverse for what people type."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import typer

from decision_dna import schemas
from decision_dna.ledger import hashing
from decision_dna.ledger.fingerprint import fingerprint
from decision_dna.ledger.reader import Event
from decision_dna.schemas import codec
from decision_dna.schemas.errors import BadInput, LedgerError
from decision_dna.schemas.payloads import decode_payload
from decision_dna.schemas.texts import id_bytes, id_text, time_ns, time_text
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
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else time_ns(text)


def event_view(event: Event) -> EventView:
    """The whole event."""
    entry, claim = event.entry, event.claim
    return EventView(
        seq=entry.seq,
        id=id_text(claim.id),
        fingerprint=str(fingerprint(entry.seq, event.raw)),
        type=claim.type,
        schema=claim.schema,
        stream=entry.stream,
        stream_seq=entry.stream_seq,
        source=claim.source,
        subject=claim.subject,
        occurred_at=time_text(claim.occurred_at),
        recorded_at=time_text(entry.recorded_at),
        causes=[id_text(cause) for cause in claim.causes],
        trace=claim.trace,
        payload=None if event.payload is None else payload_view(claim.type, claim.schema, event.payload),
        hash=hashing.entry_hash(event.raw).hex(),
        prev=entry.prev.hex(),
        stream_prev=entry.stream_prev.hex(),
        attestation=entry.attestation,
        principal=entry.principal,
        key_id=entry.key_id.hex(),
        signature=entry.signature.hex(),
        author_seq=claim.author_seq,
        payload_commitment=claim.payload_commitment.hex(),
        salt=None if event.salt is None else event.salt.hex(),
        redacted=True if event.payload is None else msgspec.UNSET,
    )


def payload_view(type_name: str, schema: int, data: bytes) -> Any:
    """A payload as JSON has it, at the newest schema of its type; as it stands where the type is not known here."""
    try:
        decoded = decode_payload(type_name, schema, data)
    except BadInput:
        decoded = codec.decode(data)
    return _plain(msgspec.to_builtins(decoded, builtin_types=(bytes,)))


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value


EVENT_COLUMNS = ("seq", "recorded", "type", "source", "subject", "attested")


def event_row(view: EventView) -> tuple[object, ...]:
    """One line of a table of events."""
    return view.seq, view.recorded_at, view.type, view.source, view.subject, view.attestation


def event_facts(view: EventView) -> list[tuple[str, object]]:
    """The whole event for a person: what is empty is left out, the payload comes as JSON."""
    fields = {name: value for name, value in msgspec.structs.asdict(view).items() if value not in ("", [], None, msgspec.UNSET)}
    payload = "erased" if view.redacted is True else msgspec.json.encode(view.payload).decode()
    return [*((name, ", ".join(value) if isinstance(value, list) else value) for name, value in fields.items() if name != "payload"), ("payload", payload)]
