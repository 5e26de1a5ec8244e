"""The server's own life: where it listens, its heartbeat, how it ends; and the settings that say so."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.schemas.errors import CannotOpen, Malformed
from decision_dna.schemas.ledgering import HEARTBEAT, Policy
from decision_dna.service.http import operations
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Secret, Settings, described, read_settings
from tests.ledger.samples import SECOND, new_ledger
from tests.service.serving import event, service
from tests.service.test_stream import subscribed


def heartbeats(ledger) -> list[int]:
    return [seq for seq in range(ledger.reader.size) if ledger.reader.event(seq).claim.type == HEARTBEAT]


@contextmanager
def watched(ledger, query: str):
    """A server over a ledger, and a subscriber to its heartbeats."""
    with (
        serving(ledger, Settings(port=0)) as address,
        subscribed(address, f"{query}&type=ledger.heartbeat") as subscriber,
    ):
        yield subscriber


def test_a_heartbeat_is_written_at_the_start_where_none_is_recent(tmp_path) -> None:
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        with watched(ledger, "?from_seq=0") as subscriber:
            assert subscriber.events(1) == [1]
        clock.advance(SECOND)
        with watched(ledger, "?from_seq=0") as subscriber:
            assert subscriber.until("caught_up")[0] == [1]
        assert heartbeats(ledger) == [1]  # one second old, of sixty: recent
        clock.advance(60 * SECOND)
        with watched(ledger, "?from_seq=2") as subscriber:
            assert subscriber.events(1) == [2]


def test_heartbeats_go_on_within_what_the_policy_allows(tmp_path) -> None:
    policy = Policy(
        anchor_events_max=1,
        anchor_seconds_max=1,
        default_attestation="none",
        heartbeat_events_max=1000,
        heartbeat_seconds_max=1,
        jump_seconds_max=1,
        pause_seconds_max=1,
        sources=(),
        sources_per_principal_max=100,
    )
    create(tmp_path / "d", "example.org/quick", policy=policy)
    with open_ledger(tmp_path / "d") as ledger:
        with watched(ledger, "?from_seq=0") as subscriber:
            assert subscriber.events(3) == [1, 2, 3]
        times = [ledger.reader.event(seq).entry.recorded_at for seq in (1, 2, 3)]
        assert times == sorted(times)


def test_what_was_taken_is_answered_before_it_ends(tmp_path) -> None:
    """Callers keep posting while the service ends: each event that was acknowledged stands, and at most those in hand beside them."""
    acknowledged: list[int] = []
    going = threading.Event()

    def call(address: str) -> None:
        with httpx.Client(base_url=address) as client:
            while (answer := client.post("/api/events", json=event())).status_code == 201:
                acknowledged.append(answer.json()["seq"])
                if len(acknowledged) > 40:
                    going.set()

    with ThreadPoolExecutor(4) as callers:
        with service(tmp_path) as served:
            calls = [callers.submit(call, served.address) for _ in range(4)]
            assert going.wait(60)
        ends = [each.exception() for each in calls]
    assert all(end is None or isinstance(end, httpx.TransportError) for end in ends), ends
    with open_ledger(tmp_path / "d", clock=served.clock) as ledger:
        assert len(set(acknowledged)) == len(acknowledged) > 40
        assert max(acknowledged) < ledger.reader.size <= len(acknowledged) + 2 + 4


PROCESS = """
import gc
import sys
from pathlib import Path
from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import run
from decision_dna.service.settings import Settings

with open_ledger(Path(sys.argv[1])) as ledger:
    run(ledger, Settings(port=0, prepare_processes=1), ready=lambda address: print(address, flush=True))
    print("drained, with", ledger.reader.size, flush=True)
print("closed; what it began with was", "frozen" if gc.get_freeze_count() else "collected again and again", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_process_close_its_ledger(tmp_path, number: signal.Signals) -> None:
    """The first line it says is its address; then it is used, told to end, and has to come to its own last line."""
    create(tmp_path / "d", "example.org/process")
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "d")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        many = [event(n) for n in range(400)]
        assert httpx.post(f"{address}/api/events", json=many, timeout=60).status_code == 201
        with subscribed(address) as subscriber:
            subscriber.until("caught_up")
            process.send_signal(number)
            said, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")
    assert said.splitlines() == ["drained, with 402", "closed; what it began with was frozen"]


def test_nobody_else_can_listen_there(tmp_path) -> None:
    with service(tmp_path) as served:
        port = int(served.address.rpartition(":")[2])
        ledger, _ = new_ledger(tmp_path / "second")
        with ledger, pytest.raises(CannotOpen, match="cannot listen"), serving(ledger, Settings(port=port)):
            pass


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": "0.0.0.0"}, "beyond-loopback"),
        ({"host": "example.org"}, "beyond-loopback"),
        ({"host": "0.0.0.0", "beyond_loopback": True}, "no-api-key"),
    ],
)
def test_it_stays_on_this_machine_unless_told(tmp_path, settings: dict, reason: str) -> None:
    ledger, _ = new_ledger(tmp_path / "d")
    with ledger, pytest.raises(CannotOpen) as refused, serving(ledger, Settings(port=0, **settings)):
        pass
    assert refused.value.reason == reason


def test_other_machines_may_connect_where_that_was_said(tmp_path) -> None:
    with service(
        tmp_path, host="0.0.0.0", beyond_loopback=True, master_api_key=Secret("k"), hosts=("dna.example",)
    ) as served:
        served.client.base_url = served.address.replace("0.0.0.0", "127.0.0.1")
        assert served.get("/checkpoint", host="dna.example:8420").status_code == 200
        served.problem(served.get("/checkpoint", host="evil.example"), 421)
        served.problem(served.post(event()), 401)


def path_of(operation: operations.Operation) -> str:
    """A path that the operation answers, with the parameters that it needs."""
    path = operation.path.replace("{tile}", "0/000.p/1").replace("{family}/{source}", "ledger/ledger")
    path = path.replace("{name}", "1").replace("{projection}", "detections").replace("{number}", "0")
    times = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"} if "evidence" in path else {"from": "1"}
    wanted = [f"{each.name}={times[each.name]}" for each in operation.query if each.required]
    return "&".join([f"{path}?{wanted[0]}", *wanted[1:]]) if wanted else path


READS = [each for each in operations.OPERATIONS if each.method == "get"]
OPEN = {"/checkpoint", "/tile/0/000.p/1", "/api/health", "/api/health/ready"}


@pytest.fixture(scope="module")
def beyond(tmp_path_factory):
    """A service that other machines can reach, with a client on this one."""
    settings = {"host": "0.0.0.0", "beyond_loopback": True, "master_api_key": Secret("the key")}
    with service(tmp_path_factory.mktemp("beyond"), **settings) as served:
        served.client.base_url = served.address.replace("0.0.0.0", "127.0.0.1")
        yield served


@pytest.mark.parametrize("operation", READS, ids=[each.path for each in READS])
def test_server_beyond_loopback_wants_the_key_for_all_but_the_public_log_and_bare_health(beyond, operation) -> None:
    """Payloads, evidence and metrics are private; whoever asks from this machine is no exception."""
    path = path_of(operation)
    for method in ("GET", "HEAD"):
        refused = beyond.client.request(method, path)
        assert (refused.status_code == 401) == (path not in OPEN), refused.text
        assert beyond.client.request(method, path, headers={"x-api-key": "the keys"}).status_code == refused.status_code
        if operation is operations.SUBSCRIBE and method == "GET":
            continue
        for given in ({"x-api-key": "the key"}, {"authorization": "Bearer the key"}):
            assert beyond.client.request(method, path, headers=given).status_code in (200, 404), path
    with beyond.client.stream("GET", "/api/stream", headers={"x-api-key": "the key"}) as subscribed_with_key:
        assert subscribed_with_key.status_code == 200


def test_bare_health_tells_other_machines_no_reasons(beyond) -> None:
    """What made a part fail may quote what is private."""
    bare, whole = [beyond.get("/api/health", **key).json() for key in ({}, {"x-api-key": "the key"})]
    assert (bare["status"], bare["ready"], bare["followers"], bare["reasons"]) == ("up", True, {}, [])
    assert whole["followers"]


def test_server_on_loopback_lets_this_machine_read_without_the_key(tmp_path) -> None:
    with service(tmp_path, master_api_key=Secret("the key")) as served:
        assert served.get("/api/events/1").status_code == 200
        assert served.get("/api/events").status_code == 200
        served.problem(served.post(event()), 401)


def test_two_servers_live_side_by_side(tmp_path) -> None:
    with service(tmp_path / "a") as one, service(tmp_path / "b") as two:
        one.post(event(1))
        assert [s.get("/api/health/metrics/performance").json()["appended_events"] for s in (one, two)] == [1, 0]
        assert isinstance(one.ledger.vkey, Vkey)


# --- settings ----------------------------------------------------------------------------------------------------------


def test_flags_go_over_environment_over_file_over_defaults(tmp_path) -> None:
    file = tmp_path / "dna.toml"
    file.write_text('[service]\nport = 1\nbatch_max_size = 2\nsubscribers_max = 3\nhosts = ["a", "b"]\n')
    environment = {"DNA_PORT": "4", "BATCH_MAX_SIZE": "5", "PATH": "/bin", "PORT": "9", "DNA_BEYOND_LOOPBACK": "true"}
    settings = read_settings({"port": 6, "batch_max_size": None}, environment, file)
    assert (settings.port, settings.batch_max_size, settings.subscribers_max) == (6, 5, 3)
    assert (settings.hosts, settings.beyond_loopback, settings.host) == (("a", "b"), True, "127.0.0.1")
    assert read_settings({}, {"DNA_HOSTS": "x, y"}).hosts == ("x", "y")


def test_a_secret_is_read_and_never_printed() -> None:
    settings = read_settings({}, {"MASTER_API_KEY": "hunter2"})
    assert settings.master_api_key.reveal() == "hunter2"
    for text in (str(settings), repr(settings), f"{settings.master_api_key}", str(described(settings))):
        assert "hunter2" not in text
    assert described(Settings())["master_api_key"] == "(not set)"


@pytest.mark.parametrize(
    ("flags", "environment", "toml"),
    [
        ({"port": "many"}, {}, ""),
        ({}, {"DNA_PORT": "-1"}, ""),
        ({}, {"BATCH_WINDOW_MS": "soon"}, ""),
        ({"batch_max_size": 0}, {}, ""),
        ({}, {}, "[service]\ncolour = 1\n"),
        ({}, {}, "service = 1\n"),
        ({}, {}, "[service\n"),
        ({}, {}, f"[service]\nport = {'9' * 4301}\n"),
        ({}, {"DNA_BATCH_WINDOW_MS": "nan"}, ""),
        ({}, {"DNA_REQUEST_SECONDS": "inf"}, ""),
    ],
)
def test_a_setting_that_is_wrong(tmp_path, flags: dict, environment: dict, toml: str) -> None:
    (tmp_path / "dna.toml").write_text(toml)
    with pytest.raises(Malformed):
        read_settings(flags, environment, tmp_path / "dna.toml")
