"""A service whose clock is wrong: it reads on, says so, and goes on when somebody vouches."""

from pathlib import Path

import pytest

from decision_dna.ledger.clock import ManualClock, SystemClock
from decision_dna.ledger.keyring import write_key
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.errors import CannotOpen
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import dna, is_one_sentence
from tests.ledger.samples import SHORT_PAUSES, change_key, draft, new_ledger
from tests.service.serving import event

DAY = 86_400 * 10**9
OPERATOR = bytes(range(1, 33))


@pytest.fixture
def asleep(tmp_path: Path):
    """A ledger whose last entry was recorded eight days ago, by the machine's clock; and an operator's key file."""
    clock = ManualClock(SystemClock().now_ns() - 8 * DAY)
    ledger, _ = new_ledger(tmp_path / "d", clock, SHORT_PAUSES)
    change_key(ledger, "register", "author", SigningKey(OPERATOR).public, operator="ops", roles=("clock",))
    ledger.append([draft(1)])
    key = write_key(tmp_path, "ops", "author", OPERATOR)
    clock.wall = SystemClock().now_ns()
    clock.steady += 8 * DAY
    with ledger:
        yield ledger, clock, key


def test_clock_of_a_service_is_vouched_for_by_address(asleep, tmp_path: Path) -> None:
    """Until then it is not ready, says why, refuses appends with 503 and reads on; afterwards it appends."""
    import httpx

    ledger, _, key = asleep
    with serving(ledger, Settings(port=0)) as address, httpx.Client(base_url=address) as client:
        assert client.get("/api/health/ready").status_code == 503
        assert "time went on by" in client.get("/api/health").json()["reasons"][0]
        assert client.post("/api/events", json=event(1)).status_code == 503
        assert client.get("/api/events/1").status_code == 200
        stranger = write_key(tmp_path, "stranger", "author", bytes(32))
        said = dna("clock", address, "--reason", "a week off", "--operator", stranger)
        assert (said.code, is_one_sentence(said.err)) == (1, True)
        assert dna("clock", address, "--reason", "a week off").code == 2
        said = dna("clock", address, "--reason", "a week off", "--operator", key)
        assert (said.code, said.err) == (0, ""), said
        assert client.get("/api/health/ready").status_code == 200
        assert client.post("/api/events", json=event(1)).status_code == 201
        again = dna("clock", address, "--reason", "once more", "--operator", key)
        assert again.code == 0, again


def test_clock_that_nothing_keeps_right_is_refused_where_it_is_required(asleep) -> None:
    """The setting clock_sync is for machines that have a time daemon."""
    ledger, clock, _ = asleep
    clock.synchronised = False
    with pytest.raises(CannotOpen, match="time daemon"), serving(ledger, Settings(port=0, clock_sync="require")):
        pass
    for synchronised, setting in ((False, "ignore"), (None, "require"), (True, "require")):
        clock.synchronised = synchronised
        with serving(ledger, Settings(port=0, clock_sync=setting)):  # type: ignore[arg-type]
            pass
    assert SystemClock().is_synchronised() in (True, False, None)
