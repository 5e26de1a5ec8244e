"""Whatever is accepted leaves verification, every fold and every index whole; what is refused changes nothing."""

import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from decision_dna.engine.projections import PROJECTIONS, ProjectionFollower, commit_state
from decision_dna.engine.replay import compare_views, replay_log
from decision_dna.ledger.audit import verify
from decision_dna.ledger.exports import export_lines
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.indexes import IndexFollower, check_indexes
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.plan import Draft
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import BadInput, LedgerError
from decision_dna.service.ingest import DECODERS
from decision_dna.service.steps import NOTE_TYPES, checks_of
from tests.cli.calling import dna, done, new_ledger, vkey_of
from tests.ledger.memory_log import SECOND, new_log, reopened
from tests.properties.payloads import every_type, random_payload
from tests.properties.submitting import Submitter, as_json, as_msgpack, as_ndjson
from tests.second_verifier.both import ask_second
from tests.service.serving import service

SHORT, ROUND = 300, 2_000
TOTAL = int(os.environ.get("DNA_SUBMISSIONS", "100000"))
LONG_AGO = 1_700_000_000 * SECOND
BATCH_MAX = 30
ASKED_MAX = 5_000
PRINCIPALS = ("alice", "bob", "local", "Engine", "größe", "o" * 128)
BODIES = {"json": as_json, "msgpack": as_msgpack, "ndjson": as_ndjson}


def seeded() -> int:
    seed = int(os.environ.get("DNA_SEED") or int.from_bytes(os.urandom(4)))
    print(f"DNA_SEED={seed}")  # noqa: T201  # shown where the test fails
    return seed


class Log:
    """A ledger in memory with its followers, to which strangers submit while the system goes on beside them."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.ledger, self.store, self.clock = new_log()
        self.submitter = Submitter(self.chance)
        self.projections = [ProjectionFollower(projection) for projection in PROJECTIONS]
        self.followers = Followers(self.store, self.ledger.reader, [IndexFollower(), *self.projections])
        self.outcomes: Counter[str] = Counter()

    def submit(self, count: int) -> None:
        """Hand in one request, through the decoder of its media type. Only what is accepted may change anything."""
        now, before = self.clock.now_ns(), self.ledger.reader.size
        submissions = [self.submitter.submission(now) for _ in range(count)]
        media = self.chance.choice(list(BODIES))
        try:
            drafts = DECODERS[media](BODIES[media](submissions))  # type: ignore[index]  # one of the three
            atomic = self.chance.random() < 0.1
            outcomes = self.ledger.append(drafts, self.chance.choice(PRINCIPALS), atomic=atomic).outcomes
        except BadInput as error:
            outcomes = [error] * count
        new = {each.seq for each in outcomes if isinstance(each, Placed) and not each.duplicate}
        assert sorted(new) == list(range(before, self.ledger.reader.size))
        self.outcomes.update(type(each).__name__ for each in outcomes)

    def go_on(self) -> None:
        """What the system does meanwhile: its own words, a state, a heartbeat, an erasure, a restart of the followers."""
        chance, ledger = self.chance, self.ledger
        self.clock.advance(chance.choice((0, 1, SECOND, 5 * SECOND)))
        own = [each for each in every_type() if each[0].partition(".")[0] in ("detection", "observation")]
        drafts = [
            Draft(type=name, schema=schema, source="engine", payload=random_payload(name, schema, chance))
            for name, schema in chance.choices(own, k=chance.randrange(4))
        ]
        ledger.append_system(drafts)
        if chance.random() < 0.3:
            self.followers.catch_up()
            for projection in self.projections:
                commit_state(ledger, projection)
        if chance.random() < 0.2:
            try:
                ledger.erase(chance.randrange(ledger.reader.size), "the operator", "asked to")
            except LedgerError as error:
                self.outcomes[f"erase: {type(error).__name__}"] += 1
        ledger.heartbeat()

    def run(self, count: int) -> "Log":
        """So many submissions."""
        done_count = 0
        while done_count < count:
            size = min(self.chance.randint(1, BATCH_MAX), count - done_count)
            self.submit(size)
            self.go_on()
            done_count += size
        self.followers.catch_up()
        return self


def check_whole(store: Store, ledger: Ledger) -> None:
    """Verification finds nothing, each state and index is what the log gives, and each fold goes to the end."""
    source = StoreSource(store, ledger.reader.head())
    report = verify(source, ledger.vkey, note_types=NOTE_TYPES, checks=checks_of(source))
    assert report.findings == []
    assert report.holds
    assert check_indexes(store, ledger.reader) == []
    assert compare_views(store, ledger.reader, PROJECTIONS)[0] == []  # rows over erased payloads are left out
    for projection in PROJECTIONS:
        replayed = replay_log(store, ledger.reader, projection)
        assert replayed.failed is None
        assert replayed.as_of == ledger.reader.size
        assert {each.outcome for each in replayed.compared} <= ({"equal", "unknown"} if replayed.erased else {"equal"})


def check_round(seed: int, count: int) -> Counter[str]:
    log = Log(seed).run(count)
    assert log.followers.failures == {}
    check_whole(log.store, log.ledger)
    again = reopened(log.store.kill(), log.ledger.reader.head(), log.clock)
    followers = Followers(again.store, again.reader, [IndexFollower(), *map(ProjectionFollower, PROJECTIONS)])
    followers.catch_up()
    assert followers.failures == {}
    check_whole(again.store, again)
    return log.outcomes


def test_submissions_accepted_leave_all_whole() -> None:
    """Random submissions of every type, by random principals and sources, between the system's own words."""
    outcomes = check_round(seeded(), SHORT)
    assert outcomes["Placed"] > SHORT / 10
    assert outcomes["Malformed"] > 0


def test_submissions_accepted_convince_the_second_verifier() -> None:
    """The verifier that was written from the document accepts the export of such a log too."""
    log = Log(seeded()).run(SHORT // 3)
    data = b"".join(export_lines(StoreSource(log.store, log.ledger.reader.head())))
    answer = ask_second(data, str(log.ledger.vkey), evidence=False)
    assert (answer.accepted, answer.pinned) == (True, True), answer.text


def test_submissions_refused_change_nothing() -> None:
    """A request of which nothing is accepted leaves every row of the store as it was."""
    log = Log(seeded()).run(40)
    for _ in range(20):
        size, rows = log.ledger.reader.size, stored(log.store)
        log.submit(1)
        assert (log.ledger.reader.size == size) == (stored(log.store) == rows)


def stored(store: MemoryStore) -> dict[str, list[tuple[bytes, bytes]]]:
    families = ("entries", "payloads", "ids", "streams", "authors", "heads", "meta", "index", "views")
    return {family: list(store.scan(family)) for family in families}


def test_submissions_over_http(tmp_path: Path) -> None:
    """The same strangers over HTTP, in JSON, NDJSON and MessagePack: no answer of 500, and all is whole afterwards."""
    submit_over_http(tmp_path, Random(seeded()), SHORT, 10)


MEDIA = {"json": "application/json", "ndjson": "application/x-ndjson", "msgpack": "application/msgpack"}


def submit_over_http(tmp_path: Path, chance: Random, count: int, at_once: int) -> None:
    submitter = Submitter(chance)
    with service(tmp_path) as served:
        for _ in range(count // at_once):
            submissions = [submitter.submission(served.clock.now_ns()) for _ in range(at_once)]
            form = chance.choice(list(BODIES))
            query = "?atomic=true" if chance.random() < 0.1 else ""
            answer = served.post(BODIES[form](submissions), MEDIA[form], query)
            assert answer.status_code < 500, answer.text
        for _ in range(ASKED_MAX):
            if served.get("/api/health/metrics/performance").json()["followers_lag_events"] == 0:
                break
        assert served.get("/api/health/ready").status_code == 200
        check_whole(served.ledger.store, served.ledger)
        assert served.ledger.reader.size > count / 10


def test_submissions_over_the_command_line(tmp_path: Path) -> None:
    """The same strangers with a file: `dna verify`, `replay` and `status` hold afterwards, and the indexes are whole."""
    submit_over_command_line(tmp_path, Random(seeded()), SHORT)


def submit_over_command_line(tmp_path: Path, chance: Random, count: int) -> None:
    submitter, path = Submitter(chance), new_ledger(tmp_path)
    lines = as_ndjson([submitter.submission(LONG_AGO) for _ in range(count)])
    (tmp_path / "events.ndjson").write_bytes(lines)
    said = dna("append", path, tmp_path / "events.ndjson", "--skip-bad", "--json")
    assert said.code in (0, 1)
    assert "Traceback" not in said.err
    done("heartbeat", path)
    assert dna("verify", path, "--key", vkey_of(path)).code == 0
    assert done("replay", path, "--json").json["as_of"] > count / 10
    assert done("status", path, "--json").json["detections_failed"] is None
    with open_ledger(path) as ledger:
        check_whole(ledger.store, ledger)


@pytest.mark.torture
def test_submissions_long() -> None:
    """100,000 of them, in rounds with a seed each: with `DNA_SEED` of a round it goes on there. `DNA_SUBMISSIONS` says how many."""
    seed = seeded()
    for at in range(-(-TOTAL // ROUND)):
        print(f"DNA_SEED={seed + at} ({at * ROUND} of {TOTAL})")  # noqa: T201  # a failure names its round
        check_round(seed + at, min(ROUND, TOTAL - at * ROUND))


@pytest.mark.torture
def test_submissions_long_over_http(tmp_path: Path) -> None:
    """A fifth as many over HTTP."""
    submit_over_http(tmp_path, Random(seeded()), TOTAL // 5, 200)


@pytest.mark.torture
def test_submissions_long_over_the_command_line(tmp_path: Path) -> None:
    """A tenth as many in one file."""
    submit_over_command_line(tmp_path, Random(seeded()), TOTAL // 10)
