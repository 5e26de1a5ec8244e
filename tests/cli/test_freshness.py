"""Freshness: the newest heartbeat and the newest anchor, against what policy promises and the verifier's own clock."""

from pathlib import Path

import pytest

from decision_dna.ledger.audit import LastAnchor, freshness, last_anchor
from decision_dna.ledger.opening import DEFAULT_POLICY, open_ledger
from decision_dna.schemas.anchoring import AnchorConfirmed
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import dna, done, new_ledger, submission, vkey_of, write_lines

SECOND = 10**9
NOW = 1_790_000_000 * SECOND


def anchor(seconds_ago: int = 10, size: int = 90, entries: int = 100) -> LastAnchor:
    """An hour and ten entries are promised."""
    return LastAnchor(NOW - seconds_ago * SECOND, size, entries, 3600, 10)


CASES: dict[str, tuple[LastAnchor | None, str]] = {
    "anchors not looked at": (None, "pass"),
    "all is well": (anchor(), "pass"),
    "to the second": (anchor(3600), "pass"),
    "too long ago": (anchor(3700), "fail: the newest anchor is 100 s past the 3600 s that policy promises"),
    "too many entries": (anchor(entries=101), "fail: 11 entries are not anchored, policy promises at most 10"),
    "from the future": (anchor(-61), "fail: the newest anchor lies in the future of this clock"),
    "a clock that is a little behind": (anchor(-59), "pass"),
    "none yet, and none due": (anchor(size=0, entries=10), "pass"),
    "none yet, and late": (
        anchor(3601, size=0, entries=1),
        "fail: the log's beginning, and no anchor yet, is 1 s past the 3600 s that policy promises",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_anchor_is_as_fresh_as_policy_promises(name: str) -> None:
    last, expected = CASES[name]
    assert freshness(NOW, 60, NOW, last) == expected


def test_both_that_are_late_are_named() -> None:
    said = freshness(NOW - 61 * SECOND, 60, NOW, anchor(3700))
    assert said.startswith("fail: the newest heartbeat is 1 s past")
    assert "; the newest anchor is 100 s past" in said


def test_without_a_heartbeat_a_late_anchor_still_fails() -> None:
    assert freshness(None, 60, NOW, anchor()) == "inconclusive: no heartbeat"
    assert freshness(None, 60, NOW, anchor(3700)).startswith("fail: the newest anchor")


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
