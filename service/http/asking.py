"""What a request asks for, out of its query string: strictly, so that a misspelt filter never answers with everything."""

import base64
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from decision_dna.ledger.queries import NO_END, EventFilter, check_filter
from decision_dna.schemas.errors import Malformed
from decision_dna.schemas.texts import id_bytes, time_ns

SELECTING = ("type", "source", "subject", "stream", "correlation", "cause")
RANGES = ("from", "to", "from_seq", "to_seq")


def parameters(query: bytes, allowed: Collection[str]) -> dict[str, str]:
    """The parameters of a query string, each at most once. Raises Malformed for others than those allowed."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        raise Malformed("not a query string") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a parameter is given twice")
    unknown = sorted(found.keys() - set(allowed))
    if unknown:
        raise Malformed(f"no parameter is called {', '.join(unknown)[:200]!r}; there are {', '.join(allowed)}")
    return found


def number(text: str, what: str, highest: int = NO_END) -> int:
    """A plain decimal number. Raises Malformed."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > highest:
        raise Malformed(f"{what} is a number from 0 to {highest}, not {text[:40]!r}")
    return int(text)


def key_cursor(key: bytes) -> str:
    """Return the cursor of a page that begins behind a key."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def cursor_key(asked: Mapping[str, str]) -> bytes | None:
    """Return the key that the cursor names; None without one. Raises Malformed."""
    if "cursor" not in asked:
        return None
    text = asked["cursor"]
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Malformed("not a cursor") from None
    if key_cursor(key) != text:
        raise Malformed("not a cursor")
    return key


def truth(text: str, what: str) -> bool:
    """`true` or `false`. Raises Malformed."""
    if text not in ("true", "false"):
        raise Malformed(f"{what} is true or false, not {text[:40]!r}")
    return text == "true"


def event_filter(asked: Mapping[str, str]) -> EventFilter:
    """The filter that parameters name. Raises Malformed."""
    named: dict[str, Any] = {name: asked[name] for name in SELECTING if name in asked and name != "cause"}
    if "cause" in asked:
        named["cause"] = id_bytes(asked["cause"])
    for name, field in (("from", "time_from"), ("to", "time_to")):
        if name in asked:
            named[field] = time_ns(asked[name])
    for name in ("from_seq", "to_seq"):
        if name in asked:
            named[name] = number(asked[name], name)
    wanted = EventFilter(**named)
    check_filter(wanted)
    return wanted
