"""Freshness: the newest heartbeat and the newest anchor, against what policy promises and the verifier's own clock."""

import asyncio
import time
from pathlib import Path

import pytest

from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.freshness import LastAnchor, Newest, freshness, last_anchor
from decision_dna.ledger.opening import DEFAULT_POLICY, create, open_ledger
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.service.anchoring import anchor_once, local_chain
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import ORIGIN, Said, dna, done, new_ledger, submission, vkey_of, write_lines
from tests.ledger.samples import draft

SECOND = 10**9
NOW = 1_790_000_000 * SECOND


def anchor(seconds_ago: int = 10, size: int = 90, entries: int = 100) -> LastAnchor:
    """An hour and ten entries are promised."""
    return LastAnchor(NOW - seconds_ago * SECOND, size, entries, 3600, 10)


def newest(**fields: object) -> Newest:
    """An entry and a heartbeat of just now, in a log of an hour, and an anchor in time."""
    usual = {"began_at": NOW - 3600 * SECOND, "recorded_at": NOW, "heartbeat_at": NOW, "heartbeat_seconds_max": 60}
    return Newest(**{**usual, "anchor": anchor(), **fields})  # type: ignore[arg-type]


CASES: dict[str, tuple[LastAnchor | None, str]] = {
    "anchors not looked at": (None, "inconclusive: no anchor yet"),
    "all is well": (anchor(), "pass"),
    "to the second": (anchor(3600), "pass"),
    "too long ago": (anchor(3700), "fail: the newest anchor is 100 s past the 3600 s that policy promises"),
    "too many entries": (anchor(entries=101), "fail: 11 entries are not anchored, policy promises at most 10"),
    "a clock that is a little behind": (anchor(-59), "pass"),
    "none yet, and none due": (anchor(size=0, entries=10), "inconclusive: no anchor yet"),
    "none yet, and late": (
        anchor(3601, size=0, entries=1),
        "fail: the log's beginning, and no anchor yet, is 1 s past the 3600 s that policy promises",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_anchor_is_as_fresh_as_policy_promises(name: str) -> None:
    last, expected = CASES[name]
    assert freshness(newest(anchor=last), NOW) == expected


def test_both_that_are_late_are_named() -> None:
    said = freshness(newest(heartbeat_at=NOW - 61 * SECOND, anchor=anchor(3700)), NOW)
    assert said.startswith("fail: the newest heartbeat is 1 s past")
    assert "; the newest anchor is 100 s past" in said


def test_without_a_heartbeat_a_late_anchor_still_fails() -> None:
    young = newest(heartbeat_at=None, began_at=NOW - 60 * SECOND)
    assert freshness(young, NOW) == "inconclusive: no heartbeat yet"
    late = newest(heartbeat_at=None, began_at=None, anchor=anchor(3700))
    assert freshness(late, NOW).startswith("fail: the newest anchor")


def test_freshness_counts_a_heartbeat_that_never_was_from_the_beginning() -> None:
    """A log without any heartbeat is late once the first one is due; read from a place on, nobody can tell."""
    never = newest(heartbeat_at=None)
    assert freshness(never, NOW) == (
        "fail: the log's beginning, and no heartbeat yet, is 3540 s past the 60 s that policy promises"
    )
    from_a_place = newest(heartbeat_at=None, began_at=None)
    assert freshness(from_a_place, NOW) == "inconclusive: no heartbeat among the entries that were read"


@pytest.mark.parametrize(("seconds", "fails"), [(60, False), (61, True), (10**9, True)])
def test_freshness_fails_where_the_newest_entry_lies_in_the_future(seconds: int, fails: bool) -> None:
    """An entry more than 60 s past the clock fails, however fresh heartbeat and anchor are."""
    said = freshness(newest(recorded_at=NOW + seconds * SECOND), NOW)
    assert said == (f"fail: the newest entry was recorded {seconds} s in the future of this clock" if fails else "pass")


@pytest.fixture
def behind(tmp_path: Path) -> Path:
    """A ledger with five entries and no anchor, of which four are promised at most."""
    (tmp_path / "policy.json").write_text('{"anchor_events_max":4}')
    path = new_ledger(tmp_path, 3, policy=tmp_path / "policy.json")
    done("heartbeat", path)
    return path


def test_status_and_verify_want_an_anchor_in_time(behind: Path) -> None:
    late = dna("status", behind, "--json")
    assert (late.code, late.json["freshness"]) == (
        1,
        "fail: 5 entries are not anchored, policy promises at most 4",
    )
    assert late.json["anchored_at"] is None
    strict = dna("verify", behind, "--strict", "--key", vkey_of(behind), "--json")
    assert (strict.code, strict.json["verdicts"]["freshness"]) == (1, late.json["freshness"])
    done("anchor", "once", behind)
    assert done("status", behind, "--json").json["freshness"] == "pass"
    assert (
        done("verify", behind, "--strict", "--key", vkey_of(behind), "--json").json["verdicts"]["freshness"] == "pass"
    )


@pytest.mark.parametrize(("block_time", "since"), [(1000, 1000), (1005, 1005), (2000, 1005)])
def test_a_block_time_past_its_own_entry_counts_from_the_entry(block_time: int, since: int) -> None:
    said = AnchorConfirmed(
        block_time=block_time,
        cluster="local",
        n=0,
        root=bytes(32),
        signature=bytes(64),
        size=9,
        slot=1,
        transaction=b"",
    )
    assert last_anchor(said, 1005 * SECOND, 20, DEFAULT_POLICY).since == since * SECOND


def test_over_http_the_same_is_judged(behind: Path, tmp_path: Path) -> None:
    done("anchor", "once", behind)
    done("append", behind, write_lines(tmp_path / "more.ndjson", *map(submission, range(3, 8))))
    with open_ledger(behind) as ledger, serving(ledger, Settings(port=0)) as address:
        said = dna("verify", address, "--key", vkey_of(behind), "--json")
    assert said.json["verdicts"]["freshness"].startswith("fail: 6 entries are not anchored")


def grown(folder: Path, *, ahead_seconds: int = 0, anchored: bool = False) -> Path:
    """A ledger of a clock that is ahead, with a heartbeat in it, and if wanted an anchor."""
    path = folder / "d"
    clock = ManualClock(time.time_ns() + ahead_seconds * SECOND)
    create(path, ORIGIN, clock=clock)
    with open_ledger(path, clock=clock) as ledger:
        ledger.append([draft(1)], principal="alice")
        ledger.heartbeat()
        if anchored:
            asyncio.run(anchor_once(ledger, local_chain(ledger)))
            ledger.heartbeat()
    return path


def strictly(path: Path, *more: object) -> Said:
    return dna("verify", path, "--strict", "--key", vkey_of(path), "--json", *more)


def test_strict_verify_of_a_log_without_a_heartbeat_cannot_tell(tmp_path: Path) -> None:
    """No heartbeat and no anchor yet, and none due: freshness is inconclusive, which --strict does not let pass."""
    path = new_ledger(tmp_path, 1)
    said = strictly(path)
    assert (said.code, said.json["verdicts"]["freshness"]) == (3, "inconclusive: no heartbeat and no anchor yet")
    people = dna("verify", path, "--strict", "--key", vkey_of(path))
    assert people.out.splitlines()[-1] == (
        "--strict: exit code 3, for whether the log is fresh cannot be told: no heartbeat and no anchor yet"
    )
    assert dna("verify", path, "--key", vkey_of(path)).code == 0


def test_strict_verify_of_a_log_without_an_anchor_cannot_tell(tmp_path: Path) -> None:
    """A heartbeat alone does not make a log fresh: no anchor is inconclusive too."""
    said = strictly(grown(tmp_path))
    assert (said.code, said.json["verdicts"]["freshness"]) == (3, "inconclusive: no anchor yet")


def test_strict_verify_from_a_place_cannot_tell_without_an_anchor_after_it(tmp_path: Path) -> None:
    """Where the newest anchor may lie before the place, nothing says that the log is fresh."""
    path = grown(tmp_path, anchored=True)
    assert strictly(path).code == 0
    done(
        "append",
        path,
        write_lines(
            tmp_path / "e.ndjson", *({**submission(0), "id": f"01920000-0000-7000-8000-{n:012x}"} for n in range(300))
        ),
    )
    done("heartbeat", path)
    done("verify", path, "--key", vkey_of(path), "--keep", tmp_path / "seen.head")
    said = strictly(path, "--head", tmp_path / "seen.head", "--from-seq", 256)
    assert (said.code, said.json["verdicts"]["freshness"]) == (
        3,
        "inconclusive: no anchor among the entries that were read",
    )


@pytest.mark.parametrize(("ahead", "strict_code"), [(50, 0), (600, 1)])
def test_verify_says_that_entries_lie_in_the_future_of_its_clock(tmp_path: Path, ahead: int, strict_code: int) -> None:
    """Entries more than 60 s past the verifier's clock fail freshness; --strict then ends with 1."""
    path = grown(tmp_path, ahead_seconds=ahead, anchored=True)
    said = strictly(path)
    assert (said.code, said.json["holds"]) == (strict_code, True)
    fresh = said.json["verdicts"]["freshness"]
    assert ("s in the future of this clock" in fresh) == (strict_code == 1)
    assert fresh.startswith("fail: the newest entry was recorded " if strict_code else "pass")
    assert dna("verify", path, "--key", vkey_of(path)).code == 0
    assert dna("status", path).code == strict_code


@pytest.mark.parametrize(("ahead", "strict_code"), [(50, 0), (600, 1)])
def test_check_says_that_what_it_shows_lies_in_the_future_of_its_clock(
    tmp_path: Path, ahead: int, strict_code: int
) -> None:
    """Evidence of an entry more than 60 s past the verifier's clock holds, says so, and ends with 1 under --strict."""
    path, file = grown(tmp_path, ahead_seconds=ahead), tmp_path / "e.json"
    done("prove", path, 1, "-o", file)
    said = dna("check", file, "--key", vkey_of(path), "--strict", "--json")
    assert (said.code, said.json["holds"]) == (strict_code, True)
    assert ("s in the future of this clock" in said.json["freshness"]) == (strict_code == 1)
    people = dna("check", file, "--key", vkey_of(path))
    assert (people.code, "in the future of this clock" in people.out) == (0, strict_code == 1)
