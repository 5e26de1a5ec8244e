"""`dna show`, `query`, `lineage`, `tail`, `status`, `config`: the same from a folder and from a running service."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import (
    IDS,
    ORIGIN,
    dna,
    done,
    is_one_sentence,
    new_ledger,
    started,
    submission,
    vkey_of,
    write_lines,
)

TRACE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six events, one of another source, one caused and traced."""
    where = tmp_path_factory.mktemp("read")
    path = new_ledger(where, 4)
    more = [
        submission(10, source="other", subject="pool-1"),
        submission(11, type="x.found", causes=[IDS[1]], trace=TRACE),
    ]
    done("append", path, write_lines(where / "more.ndjson", *more))
    return path


@pytest.fixture(scope="module", params=["folder", "service"])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Where the ledger is asked for: its folder, or a service over it."""
    if request.param == "folder":
        yield str(folder)
        return
    with open_ledger(folder) as ledger, serving(ledger, Settings(port=0)) as address:
        yield address


def test_an_event_is_shown_by_every_name_it_has(place: str) -> None:
    by_seq = done("show", place, 2, "--json").json
    assert (by_seq["seq"], by_seq["id"], by_seq["payload"]) == (2, IDS[1], {"number": 1})
    assert done("show", place, by_seq["id"], "--json").json == by_seq
    assert done("show", place, by_seq["fingerprint"], "--json").json == by_seq
    assert 'payload             {"number":1}\n' in done("show", place, 2).out


@pytest.mark.parametrize("name", ["99", IDS[77], "nonsense", "00000000-0000-8000-8000-000000000000"])
def test_what_is_not_there_is_said(place: str, name: str) -> None:
    for command in ("show", "lineage"):
        said = dna(command, place, name)
        assert said.code == 1
        assert is_one_sentence(said.err)


FILTERS = [
    (("--type", "x.seen", "--source", "bot"), [1, 2, 3, 4]),
    (("--type", "x.*", "--order", "desc", "--from-seq", "5"), [6, 5]),
    (("--source", "other"), [5]),
    (("--subject", "pool-1"), [5]),
    (("--stream", "x/bot", "--to-seq", "3"), [1, 2]),
    (("--correlation", "ab" * 16), [6]),
    (("--cause", IDS[1]), [6]),
    (("--type", "x.*", "--from", "2026-01-01T00:00:00Z", "--limit", "2"), [1, 2]),
    (("--type", "x.*", "--to", "2020-01-01T00:00:00Z"), []),
]


@pytest.mark.parametrize(("wanted", "seqs"), FILTERS)
def test_query_finds_by_every_filter(place: str, wanted: tuple[str, ...], seqs: list[int]) -> None:
    assert [event["seq"] for event in done("query", place, *wanted, "--json").json["events"]] == seqs


def test_query_goes_on_from_page_to_page(place: str) -> None:
    first = done("query", place, "--source", "bot", "--limit", 3, "--json").json
    asked = ("query", place, "--source", "bot", "--limit", 3, "--cursor", first["next_cursor"])
    assert [event["seq"] for event in done(*asked, "--json").json["events"]] == [4, 6]
    assert f"more: --cursor {first['next_cursor']}\n" in done("query", place, "--source", "bot", "--limit", 3).out
    assert dna("query", place, "--source", "other", "--cursor", first["next_cursor"]).code == 2


def test_lineage_goes_both_ways(place: str) -> None:
    assert done("lineage", place, 6, "--json").json["edges"] == [[2, 6]]
    assert done("lineage", place, 2, "--direction", "effects", "--json").json["edges"] == [[2, 6]]
    assert done("lineage", place, 2, "--direction", "causes", "--json").json["edges"] == []
    assert done("lineage", place, 6).out.splitlines()[2].endswith("2")


def test_tail_prints_from_a_seq_on(place: str) -> None:
    assert [event["seq"] for event in done("tail", place, "--from-seq", 5, "--json").lines][:2] == [5, 6]
    assert done("tail", place, "--from-seq", 4).out.startswith("4  ")


def test_status_says_how_it_stands(place: str) -> None:
    said = done("status", place, "--json").json
    assert (said["origin"], len(said["root"])) == (ORIGIN, 64)
    assert ORIGIN in done("status", place).out


def test_nobody_there_is_cannot_tell() -> None:
    for command in (("show", "1"), ("query",), ("tail",), ("status",), ("lineage", "1")):
        said = dna(command[0], "http://127.0.0.1:1", *command[1:])
        assert said.code == 3
        assert is_one_sentence(said.err)


def test_tail_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 1)
    with started("tail", path, "--follow") as tail:
        tail.says("0  ")
        tail.says("1  ")
        done("append", path, write_lines(tmp_path / "m.ndjson", submission(2)))
        tail.says("2  ")
        assert tail.ends(signal.SIGINT) == (0, "")


def test_config_hides_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_API_KEY", "very-secret")
    (tmp_path / "dna.toml").write_text("[service]\nport = 4242\n")
    said = done("config", "--toml", tmp_path / "dna.toml", "--json")
    assert said.json["port"] == "4242"
    assert "very-secret" not in said.out
    (tmp_path / "dna.toml").write_text("[service]\nportt = 4242\n")
    assert dna("config", "--toml", tmp_path / "dna.toml").code == 2


@pytest.mark.parametrize("flags", [(), ("--skip-bad",)])
def test_append_to_a_service(tmp_path: Path, flags: tuple[str, ...]) -> None:
    path = new_ledger(tmp_path, 2)
    (tmp_path / "other").mkdir()
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        ok = write_lines(tmp_path / "ok.ndjson", submission(1), submission(2))
        assert done("append", address, ok, *flags).out.startswith(
            "1 appended, 1 were there already, 0 refused; nothing"
        )
        bad = write_lines(tmp_path / "bad.ndjson", submission(3), submission(1, payload={"number": 7}))
        said = dna("append", address, bad, *flags)
        assert (said.code, is_one_sentence(said.err)) == (1, True)
        assert dna("show", address, IDS[3]).code == (0 if flags else 1)
        checked = write_lines(tmp_path / "checked.ndjson", submission(4))
        assert dna("append", address, checked, "--key", vkey_of(new_ledger(tmp_path / "other"))).code == 1
        assert done("append", address, checked, "--key", vkey_of(path)).out.startswith("1 appended, 0 were there")
        in_use = dna("append", path, ok)
        assert in_use.code == 3
        assert "in use" in in_use.err
