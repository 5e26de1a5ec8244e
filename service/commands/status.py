"""`dna status` and `dna config`: how a ledger stands, and which settings are in force."""

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from decision_dna.anchors.entries import anchors_of
from decision_dna.engine.projections import PROJECTIONS
from decision_dna.engine.replay import follower_state
from decision_dna.ledger.freshness import Newest, freshness, last_anchor
from decision_dna.ledger.home import home_of
from decision_dna.ledger.lock import Lock
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.opening import lock_file
from decision_dna.ledger.queries import EventFilter, find, stream_heads
from decision_dna.ledger.unlocked import unless_failed
from decision_dna.schemas.ledgering import HEARTBEAT
from decision_dna.schemas.texts import time_text
from decision_dna.service.commands.answers import write_source
from decision_dna.service.commands.places import ReadOnly, View, check_place, fixed_view, is_address
from decision_dna.service.commands.remote import Service, described_client
from decision_dna.service.commands.terminal import Json, Place, write_facts, write_json
from decision_dna.service.settings import described, read_settings


def status(place: Place, read_only: ReadOnly = False, json: Json = False) -> int:
    """Say how a ledger stands: size, head, heartbeat, deadlines, disk.

    Exit code 1 where the newest heartbeat or anchor is older than the policy promises, a state cannot be folded past an
    event, or a service is not ready. (A service's address tells size, head and how its process is; deadlines are told of a folder, also of the one
    that the service writes.)
    """
    check_place(place, read_only=read_only)
    if is_address(place):
        facts = _remote_facts(place)
    else:
        with fixed_view(Path(place), read_only=read_only) as log:
            facts = _facts(log, time.time_ns())
            if log.caveat:
                facts |= {"freshness": unless_failed(facts["freshness"]), "lock": log.caveat}
            else:
                facts |= {"home": _home(lock_file(Path(place)))}
    if json:
        write_json(facts)
    else:
        write_facts([(name.replace("_", " "), "none" if value is None else value) for name, value in facts.items()])
        write_source(place)
    stopped = any(name.endswith(_FAILED) and value is not None for name, value in facts.items())
    stopped = stopped or facts.get("status", READY) != READY
    return 1 if stopped or str(facts.get("freshness", "")).startswith("fail") else 0


def _facts(log: View, now: int) -> dict[str, Any]:
    reader, policy = log.reader, log.authority().policy
    beat = next(find(log.indexes, EventFilter(type=HEARTBEAT), 0, log.head.size, reverse=True), None)
    beat_at = None if beat is None else reader.event(beat).entry.recorded_at
    anchored_by, anchor = next(anchors_of(reader, log.indexes), (0, None))
    last = last_anchor(anchor, reader.event(anchored_by).entry.recorded_at, log.head.size, policy)
    began_at, recorded_at = (reader.event(seq).entry.recorded_at for seq in (0, log.head.size - 1))
    newest = Newest(began_at, recorded_at, beat_at, policy.heartbeat_seconds_max, last)
    return {
        "origin": log.head.origin,
        "size": log.head.size,
        "root": log.head.root.hex(),
        "heads": len(reader.heads()),
        "streams": len(stream_heads(reader, log.store)),
        "last_recorded_at": time_text(recorded_at),
        "heartbeat_at": None if beat_at is None else time_text(beat_at),
        "heartbeat_seconds_max": policy.heartbeat_seconds_max,
        "freshness": freshness(newest, now),
        "anchored_at": None if anchor is None else time_text(last.since),
        "anchored_size": None if anchor is None else anchor.size,
        "anchor_seconds_max": policy.anchor_seconds_max,
        "anchor_events_max": policy.anchor_events_max,
        "indexed_events": log.indexes.saved(),
        **_state_facts(log),
        "disk_bytes": log.store.size_bytes(),
    }


def _home(file: Path) -> str:
    """Whether a writer here is the one that the lock knows (decision 27)."""
    here = home_of(file)
    with closing(Lock.open(str(file), read_only=True)) as lock:
        homes = lock.homes()
    if not homes:
        return "not recorded yet: the next writer's"
    differs = homes[-1].home.differs_from(here)
    if differs:
        return f"elsewhere (another {differs}): a writer here needs --adopt"
    without = "" if here.machine else "; this machine has no id, so a copied disk is not noticed"
    return f"here, since size {homes[-1].size}{without}"


READY, _FAILED = "ready", "_failed"


def _state_facts(log: View) -> dict[str, Any]:
    """Return how far the state of each projection is saved, and the event past which it cannot be folded."""
    facts: dict[str, Any] = {}
    for projection in PROJECTIONS:
        saved, failure = follower_state(log.store, log.reader, projection)
        facts[f"{projection.name}_saved"] = saved
        facts[f"{projection.name}{_FAILED}"] = None if failure is None else failure.detail
    return facts


def _remote_facts(address: str) -> dict[str, Any]:
    with Service.at(address) as service:
        head = note_of(service.checkpoint())
        health = service.health()
        followers = {f"{name}{_FAILED}": each.failed and each.failed.error for name, each in health.followers.items()}
        ready = READY if health.ready else "; ".join(health.reasons)
        facts = {"size": head.size, "root": head.root.hex(), "status": ready, "origin": health.origin}
        return {**service.system(), **followers, **facts}


def config(
    toml: Annotated[
        Path | None,
        typer.Option(
            "--toml", metavar="FILE", exists=True, dir_okay=False, help="The file of settings; dna.toml, if not given."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the settings in force, secrets hidden.

    What counts is the environment (DNA_…) over dna.toml over defaults; a command's own flags count over all of them. What
    commands use that take an address is of the environment alone: DNA_DEADLINE_SECONDS, and DNA_API_ORIGIN, the one service
    that MASTER_API_KEY is sent to.
    """
    settings = described(read_settings(environment=os.environ, toml=toml or Path("dna.toml")))
    settings |= described_client(os.environ)
    if json:
        write_json(settings)
    else:
        write_facts(list(settings.items()))
