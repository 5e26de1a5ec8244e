"""The threat table as tests: each lie is made in a copy, and named by the step that README says."""

from pathlib import Path

import pytest

from decision_dna.ledger import hashing
from decision_dna.ledger.cheat import LIES, cheat
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.folder import read_folder, verify_folder
from decision_dna.ledger.forks import prove_fork
from decision_dna.ledger.indexes import BLOCK_EVENTS
from decision_dna.ledger.keyring import write_key
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.errors import CannotOpen, Conflict, NotFound
from tests.ledger.samples import SECOND, change_key, draft, fill, new_ledger


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("honest") / "d"
    ledger, clock = new_ledger(path)
    with ledger:
        fill(ledger, clock, 2)
        for number in range(4):  # so that a heartbeat that is taken out leaves too long a stretch without one
            clock.advance(40 * SECOND)
            ledger.append([draft(number)])
        ledger.heartbeat()
    return path


def vkey_of(path: Path) -> Vkey:
    return Vkey.parse(path.with_name(path.name + ".vkey").read_text())


def test_the_honest_ledger_holds(honest: Path) -> None:
    report = verify_folder(honest, vkey_of(honest))
    assert (report.findings, report.pinned) == ([], True)
    assert {step.step: step.status for step in report.steps if step.step <= 7} == dict.fromkeys(range(1, 8), "pass")


@pytest.mark.parametrize("lie", sorted(set(LIES) - {"reroll", "rewind", "unindex"}))
def test_each_lie_is_named_by_its_step(lie: str, honest: Path, tmp_path: Path) -> None:
    cheat(lie, honest, tmp_path / "copy")
    report = verify_folder(tmp_path / "copy", vkey_of(honest))
    named = {step.step for step in report.steps if step.status == "fail"}
    assert set(LIES[lie][1]) <= named, [finding.text for finding in report.findings]


def test_a_removed_index_row_is_named_and_says_nothing_about_the_log(tmp_path: Path) -> None:
    """Only step 6 fails, and the log stays pinned."""
    path = tmp_path / "long"
    ledger, clock = new_ledger(path)
    with ledger:
        clock.advance(10**9)
        ledger.append([draft(1, "raw") for _ in range(BLOCK_EVENTS)])
    cheat("unindex", path, tmp_path / "copy")
    report = verify_folder(tmp_path / "copy", vkey_of(path))
    assert ({step.step for step in report.steps if step.status == "fail"}, report.pinned) == ({6}, True)
    with pytest.raises(NotFound, match=str(BLOCK_EVENTS)):
        cheat("unindex", new_small(tmp_path / "small"), tmp_path / "none")


def new_small(path: Path) -> Path:
    new_ledger(path)[0].close()
    return path


@pytest.mark.parametrize("lie", ["reroll", "rewind"])
def test_rewriting_everything_shows_only_against_an_earlier_head(lie: str, honest: Path, tmp_path: Path) -> None:
    with read_folder(honest) as view:
        kept = view.reader.head().note.encode()
    cheat(lie, honest, tmp_path / "copy")
    assert verify_folder(tmp_path / "copy", vkey_of(honest)).holds
    report = verify_folder(tmp_path / "copy", vkey_of(honest), earlier=[kept])
    assert {step.step for step in report.steps if step.status == "fail"} == {7}


def test_an_old_copy_beside_todays_lock_is_refused_at_start(honest: Path, tmp_path: Path) -> None:
    cheat("restore", honest, tmp_path / "copy")
    with pytest.raises(CannotOpen) as refused:
        open_ledger(tmp_path / "copy")
    assert refused.value.reason == "behind-lock"


def test_cheat_split_is_proved_by_a_head_of_each_copy(honest: Path, tmp_path: Path) -> None:
    """Both copies hold; two heads that one key signed, of one size and two roots, are evidence of the fork."""
    cheat("split", honest, tmp_path / "copy")
    assert verify_folder(tmp_path / "copy", vkey_of(honest)).holds
    notes = []
    for path in (honest, tmp_path / "copy"):
        with read_folder(path) as view:
            notes.append(view.lock.read().note.encode())
    assert check_evidence(prove_fork(*notes, vkey_of(honest)), vkey_of(honest)).holds
    assert not verify_folder(tmp_path / "copy", vkey_of(honest), earlier=notes[:1]).holds


def test_a_lie_needs_a_name_and_a_new_folder(honest: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        cheat("whatever", honest, tmp_path / "copy")
    with pytest.raises(Conflict):
        cheat("flip", honest, tmp_path)


@pytest.mark.parametrize("overlap", [0, 2, 1000])
def test_cheat_signs_with_every_key_that_must_after_a_rotation(overlap: int, tmp_path: Path) -> None:
    """The operator has all log keys: a history that he writes anew passes, and only an earlier head shows it."""
    path = tmp_path / "d"
    ledger, clock = new_ledger(path)
    with ledger:
        new = SigningKey(b"the next log key".ljust(32))
        write_key(path / "keys", "log-next", "log", b"the next log key".ljust(32))
        ledger.keys.add("log", new)
        ledger.append([draft(1)])
        old = hashing.key_id(ledger.writer.authority.log[-1].key)
        change_key(ledger, "rotate", "log", new.public, replaces=old, overlap=overlap)
        for number in range(5):
            clock.advance(SECOND)
            ledger.append([draft(number)])
        vkey, kept = ledger.vkey, ledger.reader.head().note.encode()
    cheat("reroll", path, tmp_path / "copy")
    assert verify_folder(tmp_path / "copy", vkey).holds
    assert not verify_folder(tmp_path / "copy", vkey, earlier=[kept]).holds
