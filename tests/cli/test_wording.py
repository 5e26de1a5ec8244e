"""What commands say to people: ids with dashes, times as times, no None, and what a number counts."""

from pathlib import Path

from decision_dna.ledger.opening import open_ledger
from decision_dna.service.http.server import serving
from decision_dna.service.settings import Settings
from tests.cli.calling import IDS, dna, done, new_ledger, submission, vkey_of, write_lines


def test_status_says_none_where_there_is_none(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    people = done("status", path).out
    assert "anchored at            none\n" in people
    assert "None" not in people
    assert done("status", path, "--json").json["anchored_at"] is None


def test_replay_says_what_it_counts(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 3)
    people = done("replay", path).out
    assert "entries folded   4: those before seq 4\n" in people
    assert "rows of state    0\n" in people
    assert done("replay", path, "--json").json["entries"] == 0


def test_the_last_line_of_a_verification_says_whether_payloads_were_checked(tmp_path: Path) -> None:
    path = new_ledger(tmp_path, 2)
    unchecked = "only open payloads were checked, as a service publishes no others\n"
    assert done("verify", path, "--key", vkey_of(path)).out.endswith("\nIT HOLDS\n")
    with open_ledger(path) as ledger, serving(ledger, Settings(port=0)) as address:
        pinned = done("verify", address, "--key", vkey_of(path)).out
        assert pinned.endswith(f"\nIT HOLDS, but {unchecked}")
        said = done("verify", address).out
        assert said.endswith(f"\nIT HOLDS, but nothing says whose log it is: give --key; {unchecked}")


def test_a_time_that_is_wrong_is_said_as_a_time(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    late = submission(1, occurred_at="2200-01-02T03:04:05Z")
    said = dna("append", path, write_lines(tmp_path / "late.ndjson", late))
    assert "occurred_at 2200-01-02T03:04:05.000000000Z is more than 60 s after it was recorded (20" in said.err
    later = submission(2, id="7fffffff-0000-7000-8000-000000000001")
    said = dna("append", path, write_lines(tmp_path / "later.ndjson", later))
    assert "the time in id 7fffffff-0000-7000-8000-000000000001 is more than 60 s after it was recorded (20" in said.err
    assert IDS[1] not in said.err


def test_a_ledger_that_is_there_is_named_and_not_its_key(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    said = dna("init", path, "--origin", "example.org/x")
    assert (said.code, "is not empty" in said.err) == (1, True)
    path.rename(tmp_path / "elsewhere")
    said = dna("init", path, "--origin", "example.org/x")
    assert (said.code, "verifiers may have pinned it" in said.err) == (1, True)


def test_a_file_that_is_no_checkpoint_says_nothing_against_a_log(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    (tmp_path / "head").write_text("no head")
    said = dna("verify", path, "--head", tmp_path / "head")
    assert (said.code, said.out) == (2, "")
    assert "is no checkpoint" in said.err


def test_wrong_words_are_said_in_plain_ones(tmp_path: Path) -> None:
    path = new_ledger(tmp_path)
    assert "Value error" not in dna("keys", "rotate", path, "root").err
    assert "there is no lie 'nope'" in dna("cheat", "nope", path).err
    (tmp_path / "empty").mkdir()
    assert done("watch", path, tmp_path / "empty").out == "0 blocks read: there is no *.json file\n"
