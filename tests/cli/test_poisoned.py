"""An event that stops a projection is named by the commands that meet it."""

from pathlib import Path

import pytest

from decision_dna.engine.projections import DETECTIONS, ProjectionFollower, state_prefix
from decision_dna.engine.replay import replay_log
from decision_dna.engine.scenarios import write_blocks
from decision_dna.ledger import hashing
from decision_dna.ledger.followers import Cursor, cursor_key
from decision_dna.ledger.opening import open_ledger
from decision_dna.schemas import codec
from decision_dna.schemas.texts import id_text
from decision_dna.service.commands.replaying import write_replayed
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import dna, done, new_ledger
from tests.ledger.memory_log import Events, new_log
from tests.ledger.test_followers_failing import COUNTING, poison


@pytest.fixture
def poisoned(tmp_path: Path) -> tuple[Path, str]:
    """A ledger whose saved state of detections cannot be gone on from, and what is to be said of it."""
    path, blocks = new_ledger(tmp_path), tmp_path / "blocks"
    write_blocks(blocks, 3, 7)
    done("watch", path, blocks)
    with open_ledger(path) as ledger:
        events = [ledger.reader.event(seq) for seq in range(ledger.reader.size)]
        first = next(each for each in events if each.claim.type.startswith("detection."))
        batch = ledger.store.batch()
        cursor = Cursor(DETECTIONS.version, 1, hashing.entry_hash(ledger.reader.raw(0)))
        batch.put("views", cursor_key(DETECTIONS.name), codec.encode(cursor))
        for kind in ("sandwich", "sandwich_pattern", "arbitrage"):
            batch.put("views", state_prefix(DETECTIONS) + f"detection.{kind}/all".encode(), b"\xc1")
        ledger.store.write(batch, durable=True)
    said = f"detections cannot be folded past seq {first.seq} (event {id_text(first.claim.id)}): Malformed"
    return path, said


def test_status_names_the_poisoned_event(poisoned) -> None:
    """`dna status` of a folder says how far a state is saved and the event past which it cannot be folded: exit code 1."""
    path, said = poisoned
    status = dna("status", path, "--json")
    assert status.code == 1
    assert status.json["detections_saved"] == 1
    assert status.json["detections_failed"].startswith(f"{said}: ")
    assert f"detections failed      {said}: " in dna("status", path).out


def test_status_of_a_whole_ledger(tmp_path: Path) -> None:
    """Where nothing failed `dna status` says so."""
    path = new_ledger(tmp_path)
    assert done("status", path, "--json").json["detections_failed"] is None


def test_status_of_a_service_names_the_poisoned_event(poisoned) -> None:
    """`dna status` of an address tells it from the service's health, and still says the rest: exit code 1."""
    path, said = poisoned
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0), [ProjectionFollower(DETECTIONS)]) as address:
        for _ in range(1_000):
            status = dna("status", address, "--json")
            if status.code:
                break
        assert (status.code, status.json["detections_failed"], status.json["status"]) == (1, said, said)
        assert status.json["indexes_failed"] is None
        assert status.json["log_size"] == ledger.reader.size


def test_append_names_the_poisoned_event(poisoned, tmp_path: Path) -> None:
    """What was appended is appended; stderr says that the state did not follow."""
    path, said = poisoned
    events = tmp_path / "events.ndjson"
    events.write_text('{"type":"x.seen","source":"dex","payload":{}}\n')
    appended = dna("append", path, events, "--json")
    assert appended.code == 0
    assert f"dna: {said}: " in appended.err


def test_replay_names_the_poisoned_event(capsys) -> None:
    """`dna replay` says at which event the fold failed, and ends with 3: there is no state to compare."""
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 20)
    seq, event_id = poison(ledger)
    replayed = {"counting": replay_log(store, ledger.reader, COUNTING)}
    assert write_replayed(replayed, rows=False, json=False) == 3
    out, err = capsys.readouterr()
    assert f"entries folded   {seq}: those before seq {seq}" in out
    assert "state root       none: the fold failed" in out
    said = f"counting cannot be folded past seq {seq} (event {event_id}): OverflowError"
    assert err.startswith(f"dna: {said}: the payload says")
    assert write_replayed(replayed, rows=True, json=True) == 3
    out, _ = capsys.readouterr()
    assert f'"failed":{{"seq":{seq},"id":"{event_id}","error":"{said}' in out
