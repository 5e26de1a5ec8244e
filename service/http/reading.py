"""What both ways to an event answer: the framework's and the bare one."""

import msgspec

from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.views import event_view

_encode = msgspec.json.Encoder().encode


def event_json(reader: LogReader, name: str) -> bytes:
    """The view of an event by its seq, id or fingerprint, as JSON. Raises NotFound."""
    return _encode(event_view(reader.event(reader.resolve(name))))
