"""A projection that fails at an event is named wherever somebody asks how the service is; all else goes on."""

from pathlib import Path

import httpx
import pytest

from decision_dna.engine.projections import Projection, ProjectionFollower
from decision_dna.engine.scenarios import write_blocks
from decision_dna.ledger.audit import Report
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.schemas.ledgering import HEARTBEAT
from decision_dna.service import run as main_job
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from decision_dna.service.watching import Seen
from tests.ledger.memory_log import Events, new_log
from tests.ledger.test_followers_failing import COUNTING, poison
from tests.service.serving import Service, event

ASKED_MAX = 5_000


def stopped(served: Service) -> httpx.Response:
    """Ask for readiness until it is refused."""
    for _ in range(ASKED_MAX):
        answer = served.get("/api/health/ready")
        if answer.status_code != 200:
            return answer
    raise AssertionError("the service stayed ready")


def test_health_names_the_poisoned_event() -> None:
    """Readiness fails and names follower, seq and id; health, metrics and the state's answer too; none quotes the payload."""
    ledger, _, clock = new_log()
    Events(1).append(ledger, clock, 20)
    projections = [ProjectionFollower(COUNTING)]
    with serving(ledger, Settings(port=0), projections) as address, httpx.Client(base_url=address) as client:
        served = Service(ledger, clock, address, client)
        assert served.get("/api/health").json()["ready"] is True
        assert 'dna_follower_failed{name="counting"} 0' in served.get("/metrics").text
        seq, event_id = poison(ledger)
        said = f"counting cannot be folded past seq {seq} (event {event_id}): OverflowError"
        assert served.problem(stopped(served), 503).detail == f"not ready: {said}"
        assert served.post(event(1)).status_code == 201, "recording goes on"
        health = served.get("/api/health").json()
        assert (health["status"], health["ready"], health["reasons"]) == ("up", False, [said])
        failed = {"seq": seq, "id": event_id, "error": said}
        assert health["followers"]["counting"] == {"next_seq": seq, "failed": failed}
        assert health["followers"]["indexes"]["failed"] is None
        metrics = served.get("/metrics").text
        assert 'dna_follower_failed{name="counting"} 1' in metrics
        assert 'dna_follower_failed{name="indexes"} 0' in metrics
        assert said in served.problem(served.get("/api/state/counting"), 503).detail
        assert served.problem(served.get(f"/api/state/counting?at={seq + 1}"), 500).detail == said
        assert served.get(f"/api/state/counting?at={seq}").json()["as_of"] == seq
        found = served.get("/api/events?type=x.seen&order=desc&limit=1").json()["events"]
        assert found[0]["seq"] == ledger.reader.size - 1, "queries go on"


class Heard:
    """What the main job tells."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.missing: list[tuple[str, str]] = []
        self.anchors: list[AnchorConfirmed] = []
        self.reports: list[Report] = []

    def told(self) -> main_job.Told:
        """As callbacks."""
        return main_job.Told(
            lambda _address: None,
            self.seen.append,
            lambda projection, seq: pytest.fail(f"the state of {projection} was committed at {seq}"),
            lambda projection, why: self.missing.append((projection, why)),
            lambda _seq, anchor: self.anchors.append(anchor),
            self.reports.append,
        )


def fold_poisoned(get, claim, payload):
    """Fail at the first block that is observed."""
    raise OverflowError(f"{get} {claim} {payload}")


def test_run_goes_on_without_a_projection(tmp_path: Path) -> None:
    """Where the projection is down the main job records, beats, anchors and verifies; the commitment is said to be missing."""
    ledger, _, clock = new_log()
    write_blocks(tmp_path, 2, 7)
    heard = Heard()
    broken = Projection("broken", 1, "observation.", fold_poisoned)
    report = main_job.run(ledger, tmp_path, Settings(port=0), heard.told(), once=True, projection=broken)
    assert report.holds
    assert len(heard.seen) == 2
    assert not any(seen.refused for seen in heard.seen)
    ((name, why),) = heard.missing
    assert name == "broken"
    assert "broken cannot be folded past seq 2 " in why or "broken cannot be folded past seq 1 " in why
    assert len(heard.anchors) == 1
    kinds = [ledger.reader.event(seq).claim.type for seq in range(ledger.reader.size)]
    assert "engine.state" not in kinds
    assert HEARTBEAT in kinds
    assert clock.now_ns() > 0
