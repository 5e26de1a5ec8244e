"""Settings: flags over environment over `dna.toml` over defaults, read once at start-up; nothing reads the environment later.

    [service]                    DNA_PORT=8420                   dna serve DIR --port 8420
    port = 8420

Each setting is a field of `Settings`: in `dna.toml` it has the field's name, in the environment `DNA_` and the name in
capitals, and some have a second name there that people know.
"""

import ipaddress
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from decision_dna.schemas.errors import CannotOpen, Malformed

TABLE = "service"
KNOWN_NAMES = {
    "BATCH_WINDOW_MS": "batch_window_ms",
    "BATCH_MAX_SIZE": "batch_max_size",
    "MASTER_API_KEY": "master_api_key",
}
"""Names of the environment that are settings too, without the prefix."""


class Secret(str):
    """A text that is never printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(hidden)" if self else "(not set)"

    __str__ = __repr__

    def reveal(self) -> str:
        """The text itself."""
        return str.__str__(self)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force: one line for each field, with its unit and effect.

    host, port               address to listen on; port 0: any that is free
    beyond_loopback          let other machines connect; they need `master_api_key` for all but the public log and bare health
    hosts                    names under which others may address the service; requests under them count as other machines'
    master_api_key           the key; if it is empty, only this machine may read and submit
    batch_window_ms          how long a commit waits for more events; 0: it takes what queued during the last commit
    batch_max_size           events at which a commit waits no longer
    prepare_threads          threads that decode and sign large requests, if there are no processes
    prepare_processes        processes that do so; they start with the first large request
    connections_max          open connections, subscribers included; more get 503 and are closed. Lowered to what open files allow
    subscribers_max          open subscriptions; more get 503
    held_bytes_max           bytes of unread answers and waiting requests, over all connections; past it the oldest is ended
    long_reads_max           long reads at once: evidence, lineages, states, stream heads; more wait, or get 503
    request_seconds          how long a client may take for the rest of a head, more of a body, or more of an answer's reading;
                             ten times as long for a whole request
    ping_seconds             how often a subscription says that it is open
    shutdown_seconds         how long requests in hand may take when the service ends
    clock_sync               `require`: do not start while the system says that nothing keeps its clock right (decision 40)
    """

    host: str = "127.0.0.1"
    port: int = 8420
    beyond_loopback: bool = False
    hosts: tuple[str, ...] = ()
    master_api_key: Secret = Secret()
    batch_window_ms: float = 0.0
    batch_max_size: int = 1024
    prepare_threads: int = 2
    prepare_processes: int = 1
    connections_max: int = 4000
    subscribers_max: int = 1000
    held_bytes_max: int = 128 * 1024 * 1024
    long_reads_max: int = 2
    request_seconds: float = 30.0
    ping_seconds: float = 15.0
    shutdown_seconds: int = 10
    clock_sync: Literal["require", "ignore"] = "ignore"


def read_settings(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None, toml: Path | None = None
) -> Settings:
    """The settings in force; a flag that is None was not given. Raises Malformed for unknown names and wrong values, CannotOpen for unsafe ones."""
    given = {**_from_toml(toml), **_from_environment(environment or {})}
    given.update({name: value for name, value in (flags or {}).items() if value is not None})
    try:
        settings = msgspec.convert(given, Settings, strict=False, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise Malformed(f"a setting is wrong: {error}") from None
    check_settings(settings)
    return settings


def check_settings(settings: Settings) -> None:
    """Raise Malformed or CannotOpen where settings do not go together."""
    for name in ("port", "batch_window_ms", "prepare_processes", "ping_seconds", "shutdown_seconds"):
        if getattr(settings, name) < 0:
            raise Malformed(f"the setting {name} is not negative")
    for name in (
        "batch_max_size",
        "prepare_threads",
        "connections_max",
        "held_bytes_max",
        "long_reads_max",
        "subscribers_max",
    ):
        if getattr(settings, name) < 1:
            raise Malformed(f"the setting {name} is at least 1")
    for name in ("batch_window_ms", "ping_seconds", "request_seconds"):
        if not math.isfinite(getattr(settings, name)):
            raise Malformed(f"the setting {name} is a finite number")
    if not settings.request_seconds > 0:
        raise Malformed("the setting request_seconds is more than 0")
    if is_loopback(settings.host):
        return
    if not settings.beyond_loopback:
        raise CannotOpen(
            "beyond-loopback", f"{settings.host} can be reached from other machines: say so with beyond_loopback"
        )
    if not settings.master_api_key:
        raise CannotOpen(
            "no-api-key",
            "beyond loopback a master_api_key is needed (MASTER_API_KEY): else anyone could read and submit",
        )


def is_loopback(host: str) -> bool:
    """Whether a bind address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def described(settings: Settings) -> dict[str, str]:
    """Every setting as text, secrets hidden: what `dna config` prints."""
    return {name: repr(getattr(settings, name)) for name in Settings.__struct_fields__}


def _from_toml(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text()).get(TABLE, {})
    except ValueError as error:  # not TOML, not UTF-8, or a number of more digits than Python reads
        raise Malformed(f"{path}: {error}") from None
    if not isinstance(table, dict):
        raise Malformed(f"{path}: [{TABLE}] is not a table")
    _check_names(table, str(path))
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    known = {name.upper(): name for name in Settings.__struct_fields__}
    found: dict[str, Any] = {}
    for name, text in environment.items():
        field = KNOWN_NAMES.get(name) or known.get(name.removeprefix("DNA_") if name.startswith("DNA_") else "")
        if field is not None:
            found[field] = [part.strip() for part in text.split(",") if part.strip()] if _is_list(field) else text
    return found


def _is_list(field: str) -> bool:
    return bool(get_type_hints(Settings)[field] == tuple[str, ...])


def _check_names(names: Iterable[str], where: str) -> None:
    unknown = sorted(set(names) - set(Settings.__struct_fields__))
    if unknown:
        raise Malformed(f"{where}: no setting is called {', '.join(unknown)}")


def _secret(kind: type, value: Any) -> Any:
    return kind(value)
