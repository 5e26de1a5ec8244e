"""A ledger from outside: what gets in, what comes back, and what start-up refuses."""

import shutil
import threading
from pathlib import Path

import msgspec
import pytest

from decision_dna.ledger import opening
from decision_dna.ledger.folder import read_folder, verify_folder
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Lock
from decision_dna.ledger.merkle import check_inclusion, leaf_hash, prove_inclusion
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.opening import lock_file, open_ledger
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.claims import BATCH_EVENTS_MAX
from decision_dna.schemas.errors import (
    CannotOpen,
    Conflict,
    IdConflict,
    LedgerError,
    Malformed,
    Refused,
    StreamMoved,
    TooLarge,
    Unavailable,
)
from decision_dna.schemas.ledgering import KEY, POLICY
from tests.ledger.samples import AUTHOR, SECOND, START, Author, adopt, change_key, draft, fill, new_ledger, register
from tests.ledger.samples import POLICY as SAMPLE_POLICY


@pytest.fixture
def opened(tmp_path: Path):
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        yield ledger, clock


def outcome(ledger: Ledger, *drafts: object, **options: object) -> Placed | LedgerError:
    return ledger.append(list(drafts), **options).outcomes[0]  # type: ignore[arg-type]


def id_at(ms_after_start: int) -> bytes:
    return new_ids(1, START + ms_after_start * 1_000_000)[0]


def test_an_event_comes_back_as_it_went_in(opened) -> None:
    ledger, clock = opened
    clock.advance(SECOND)
    placed = outcome(
        ledger, draft(7, subject="pool-1", trace="00-" + "a" * 32 + "-" + "b" * 16 + "-01"), principal="alice"
    )
    event = ledger.reader.event(placed.seq)
    assert (event.claim.subject, event.claim.correlation, event.entry.principal) == ("pool-1", "a" * 32, "alice")
    assert event.payload == draft(7).payload
    assert ledger.reader.resolve(str(placed.seq)) == placed.seq


def test_a_receipt_proves_the_entry_in_the_head_of_its_commit(opened) -> None:
    ledger, _ = opened
    ledger.append([draft(n) for n in range(40)])
    appended = ledger.append([draft(n) for n in range(3)])
    for placed in appended.outcomes:
        proof = prove_inclusion(placed.seq, appended.head.size, appended.read)
        leaf = leaf_hash(ledger.reader.raw(placed.seq))
        check_inclusion(placed.seq, appended.head.size, leaf, proof, note_of(appended.head.note.encode()).root)


def test_a_retry_gets_the_original_place_and_other_content_conflicts(opened) -> None:
    ledger, clock = opened
    event_id = id_at(0)
    first = outcome(ledger, draft(1, id=event_id))
    clock.advance(SECOND)
    size = ledger.reader.size
    again = outcome(ledger, draft(1, id=event_id))
    assert (again.seq, again.hash, again.duplicate) == (first.seq, first.hash, True)
    assert isinstance(outcome(ledger, draft(2, id=event_id)), IdConflict)
    assert ledger.reader.size == size
    assert not outcome(ledger, draft(1, "other", id=event_id)).duplicate  # another source has ids of its own


def test_a_retry_after_erasure_still_gets_same_or_conflict(opened) -> None:
    ledger, _ = opened
    event_id = id_at(0)
    first = outcome(ledger, draft(1, id=event_id))
    ledger.erase(first.seq, "operator", "asked to")
    assert ledger.reader.event(first.seq).payload is None
    assert outcome(ledger, draft(1, id=event_id)).seq == first.seq
    assert isinstance(outcome(ledger, draft(2, id=event_id)), IdConflict)
    with pytest.raises(Conflict):
        ledger.erase(first.seq, "operator", "again")
    with pytest.raises(Refused):
        ledger.erase(0, "operator", "genesis is open")


def test_twins_in_one_batch(opened) -> None:
    ledger, _ = opened
    event_id = id_at(0)
    same, other = draft(1, id=event_id), draft(2, id=event_id)
    first, second, third = ledger.append([same, same, other]).outcomes
    assert first.seq == second.seq
    assert isinstance(third, IdConflict)


def test_an_atomic_request_leaves_nothing_where_one_is_refused(opened) -> None:
    ledger, _ = opened
    size = ledger.reader.size
    bad = draft(2, causes=(id_at(5),))
    outcomes = ledger.append([draft(1), bad, draft(3)], atomic=True).outcomes
    assert [type(o) for o in outcomes] == [Conflict, Malformed, Conflict]
    assert ledger.reader.size == size
    assert [isinstance(o, Placed) for o in ledger.append([draft(1), bad, draft(3)]).outcomes] == [True, False, True]


def test_expected_positions(opened) -> None:
    ledger, _ = opened
    assert outcome(ledger, draft(1, expected_stream_seq=0)).seq == 1
    assert isinstance(outcome(ledger, draft(2, expected_stream_seq=0)), StreamMoved)
    one, two, three = ledger.append(
        [draft(2, expected_stream_seq=1), draft(3, expected_stream_seq=2), draft(4, expected_stream_seq=2)]
    ).outcomes
    assert (one.seq, two.seq, type(three)) == (2, 3, StreamMoved)


REFUSED = {
    "cause unknown": (draft(1, causes=(id_at(9),)), Malformed),
    "cause twice": (draft(1, causes=(id_at(9), id_at(9))), Malformed),
    "far ahead": (draft(1, occurred_at=START + 61 * SECOND), Malformed),
    "id far ahead": (draft(1, id=id_at(61_000)), Malformed),
    "id no uuid7": (draft(1, id=bytes(16)), Malformed),
    "id too short": (draft(1, id=b"short"), Malformed),
    "trace": (draft(1, trace="00-xyz"), Malformed),
    "subject with a newline": (draft(1, subject="a\nb"), Malformed),
    "subject too long": (draft(1, subject="é" * 65), Malformed),
    "source": (draft(1, "no spaces"), Malformed),
    "ledger's own source": (draft(1, "ledger"), Malformed),
    "weaker than policy": (draft(1, "bot"), Refused),
    "too many causes": (draft(1, causes=tuple(new_ids(65, START))), TooLarge),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_clear_error_and_writes_nothing(name: str, opened) -> None:
    ledger, _ = opened
    bad, expected = REFUSED[name]
    result = outcome(ledger, bad)
    assert isinstance(result, expected), result
    assert str(result)
    assert ledger.reader.size == 1


def test_authors(opened) -> None:
    ledger, clock = opened
    author = Author()
    early = author.say(1, clock.now_ns())
    assert isinstance(outcome(ledger, early), Refused)  # not registered yet
    register(ledger)
    assert isinstance(outcome(ledger, early), Placed)
    second, third = author.say(2, clock.now_ns()), author.say(3, clock.now_ns())
    assert isinstance(outcome(ledger, third), Refused)  # its predecessor is missing
    assert all(isinstance(o, Placed) for o in ledger.append([second, third]).outcomes)
    forged = msgspec.structs.replace(author.say(4, clock.now_ns()), signature=bytes(64))
    assert "does not verify" in str(outcome(ledger, forged))
    elsewhere = Author(origin="other.example").say(1, clock.now_ns())
    assert "is for the log" in str(outcome(ledger, elsewhere))
    stranger = Author(source="engine-1").say(1, clock.now_ns())
    assert "may not speak" in str(outcome(ledger, stranger))
    salted = msgspec.structs.replace(author.say(5, clock.now_ns()), salt=bytes(16))
    assert "commits to" in str(outcome(ledger, salted))


def test_rotations_and_revocation(opened, tmp_path: Path) -> None:
    ledger, clock = opened
    root = ledger.keys.of_purpose("root")[0]
    log, notary = ledger.keys.of_purpose("log")[0], ledger.keys.of_purpose("notary")[0]
    new_log, new_notary = SigningKey(b"l" * 32), SigningKey(b"n" * 32)
    old_vkey = ledger.vkey
    ledger.append([draft(1)])
    ledger.keys.add("log", new_log)
    change_key(ledger, "rotate", "log", new_log.public, replaces=log.key_id, overlap=2)
    ledger.keys.add("notary", new_notary)
    change_key(ledger, "rotate", "notary", new_notary.public, replaces=notary.key_id)
    for number in range(4):
        assert isinstance(outcome(ledger, draft(number)), Placed)
    assert ledger.vkey != old_vkey
    register(ledger)
    author = Author()
    assert isinstance(outcome(ledger, author.say(1, clock.now_ns())), Placed)
    change_key(ledger, "revoke", "author", AUTHOR.public, replaces=AUTHOR.key_id, suspect_from=3)
    assert isinstance(outcome(ledger, author.say(2, clock.now_ns())), Refused)
    other = ledger.key_change("register", "author", SigningKey(b"x" * 32).public, sources=("y",))
    with pytest.raises(Refused, match="signed by the root key"):
        ledger.append_signed(ledger.sign_own(new_notary, KEY, other))
    for vkey in (old_vkey, ledger.vkey, Vkey(ledger.origin, root.public)):
        report = verify_folder(tmp_path / "d", vkey)
        assert (report.findings, report.pinned) == ([], True)
    assert not verify_folder(tmp_path / "d", Vkey(ledger.origin, new_notary.public)).holds


def test_a_policy_change_counts_from_the_next_entry(opened) -> None:
    ledger, _ = opened
    root = ledger.keys.of_purpose("root")[0]
    relaxed = msgspec.structs.replace(SAMPLE_POLICY, default_attestation="none")
    ledger.append_signed(ledger.sign_own(root, POLICY, ledger.policy_change(relaxed)))
    assert ledger.reader.event(outcome(ledger, draft(1)).seq).entry.attestation == "none"


def test_time_never_goes_back(opened) -> None:
    ledger, clock = opened
    first = outcome(ledger, draft(1))
    clock.wall -= SECOND // 2
    second = outcome(ledger, draft(2, occurred_at=START))
    times = [ledger.reader.event(p.seq).entry.recorded_at for p in (first, second)]
    assert times[0] <= times[1]


def test_many_threads_one_log(opened, tmp_path: Path) -> None:
    ledger, _ = opened
    placed: list[int] = []

    def work(source: str) -> None:
        for number in range(25):
            placed.extend(o.seq for o in ledger.append([draft(number, source), draft(number + 100, "raw")]).outcomes)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(placed) == list(range(1, 301))
    assert verify_folder(tmp_path / "d", ledger.vkey).holds


def test_too_many_at_once(opened) -> None:
    ledger, _ = opened
    with pytest.raises(TooLarge):
        ledger.append([draft(1)] * (BATCH_EVENTS_MAX + 1))


def test_close_and_open_go_on(tmp_path: Path) -> None:
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        fill(ledger, clock, 2)
        head = ledger.reader.head()
    with pytest.raises(Unavailable):
        ledger.append([draft(1)])
    with open_ledger(tmp_path / "d", clock=clock) as again:
        assert again.reader.head() == head
        outcome(again, draft(1))
        assert verify_folder(tmp_path / "d", again.vkey).holds


def test_a_second_writer_is_refused_and_a_reader_is_not(opened, tmp_path: Path) -> None:
    ledger, clock = opened
    with pytest.raises(CannotOpen) as refused:
        open_ledger(tmp_path / "d", clock=clock)
    assert refused.value.reason == "in-use"
    ledger.append([draft(1)])
    with read_folder(tmp_path / "d") as view:
        assert view.reader.size == ledger.reader.size == 2
        ledger.append([draft(2)])
        view.store.refresh()
        assert view.reader.event(2).payload == draft(2).payload


def damage_remove_lock(path: Path) -> None:
    shutil.rmtree(path / "lock")


def damage_remove_store(path: Path) -> None:
    shutil.rmtree(path / "db")


def damage_other_root(path: Path) -> None:
    lock = Lock.open(str(lock_file(path)))
    now = lock.read()
    lock.advance(now, msgspec.structs.replace(now, root=bytes(32)))
    lock.close()


def damage_lock_ahead(path: Path) -> None:
    lock = Lock.open(str(lock_file(path)))
    now = lock.read()
    lock.advance(now, msgspec.structs.replace(now, size=now.size + 1))
    lock.close()


def damage_note(path: Path) -> None:
    lock = Lock.open(str(lock_file(path)))
    now = lock.read()
    lock.advance(now, msgspec.structs.replace(now, note=now.note.replace(now.origin, "someone.else")))
    lock.close()


def damage_entry(path: Path) -> None:
    with RocksStore.open(str(path / "db"), create=False) as store:
        key, value = next(store.scan("entries", reverse=True))
        batch = store.batch()
        batch.put("entries", key, value[:-1] + bytes([value[-1] ^ 1]))
        store.write(batch, durable=True)


def damage_key_mode(path: Path) -> None:
    (path / "keys" / "log.key").chmod(0o644)


def damage_key_gone(path: Path) -> None:
    (path / "keys" / "log.key").unlink()


REFUSALS = {
    "store-without-lock": damage_remove_lock,
    "lock-without-store": damage_remove_store,
    "other-root": damage_other_root,
    "behind-lock": damage_lock_ahead,
    "lock-damaged": damage_note,
    "key-permissions": damage_key_mode,
    "no-log-key": damage_key_gone,
}


@pytest.mark.parametrize("reason", [*REFUSALS, "entry"])
def test_start_up_refuses_and_says_why(reason: str, tmp_path: Path) -> None:
    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        fill(ledger, clock)
    (REFUSALS.get(reason) or damage_entry)(tmp_path / "d")
    with pytest.raises(CannotOpen) as refused:
        open_ledger(tmp_path / "d", clock=clock)
    assert refused.value.reason in ((reason,) if reason in REFUSALS else ("other-root", "store-damaged"))


def test_a_commit_that_was_never_locked_is_checked_signed_and_locked(tmp_path: Path) -> None:
    """The process dies between steps 1 and 3: nobody was told, and the retry finds its event."""
    ledger, clock = new_ledger(tmp_path / "d")
    event_id = id_at(0)
    with ledger:
        ledger.append([draft(1)])
        before = shutil.copytree(tmp_path / "d" / "lock", tmp_path / "old-lock")
        placed = outcome(ledger, draft(2, id=event_id))
    shutil.rmtree(tmp_path / "d" / "lock")
    shutil.copytree(before, tmp_path / "d" / "lock")
    adopt(tmp_path / "d")
    with read_folder(tmp_path / "d") as view:
        assert view.reader.size == 2  # nothing past the lock is visible
    vkey = Vkey.parse((tmp_path / "d.vkey").read_text())
    assert verify_folder(tmp_path / "d", vkey).holds
    with open_ledger(tmp_path / "d", clock=clock) as again:
        assert again.reader.size == 3
        assert outcome(again, draft(2, id=event_id)) == msgspec.structs.replace(
            placed, duplicate=True, salted=placed.salted[:16]
        )
        again.append([draft(3)])
    assert verify_folder(tmp_path / "d", vkey).holds


def test_init_refuses_a_folder_that_has_a_ledger(tmp_path: Path) -> None:
    new_ledger(tmp_path / "d")[0].close()
    with pytest.raises(Conflict):
        opening.create(tmp_path / "d", "example.org/demo")
    with pytest.raises(Malformed):
        opening.create(tmp_path / "e", "no spaces allowed")
    assert (tmp_path / "d" / "keys" / "root.key").stat().st_mode & 0o777 == 0o600


def test_a_forged_tail_past_the_lock_gets_no_signature(tmp_path: Path) -> None:
    """Somebody with the disk and no key writes a whole commit past the lock."""
    from decision_dna.ledger.cheat import Copy

    ledger, clock = new_ledger(tmp_path / "d")
    with ledger:
        ledger.append([draft(1)])
        locked = ledger.reader.head()
        ledger.append([draft(2)])
    copy = Copy(tmp_path / "d")
    copy.change_claim(2, subject="forged")
    copy.relink(2)
    copy.sign_heads()
    copy.write(tmp_path / "d", tmp_path / "forged")
    lock_file(tmp_path / "forged").unlink()
    Lock.create(str(lock_file(tmp_path / "forged")), locked.origin, locked.size, locked.root, locked.note).close()
    with pytest.raises(CannotOpen, match="step 4") as refused:
        open_ledger(tmp_path / "forged", clock=clock)
    assert refused.value.reason == "tail-damaged"


def test_control_characters_never_get_into_the_ledgers_own_entries(opened) -> None:
    ledger, _ = opened
    placed = outcome(ledger, draft(1))
    with pytest.raises(Refused):
        ledger.erase(placed.seq, "operator\x07", "why")
    with pytest.raises(Refused, match="control"):
        ledger.accept_clock(ledger.keys.of_purpose("root")[0], "two\nlines")
    assert ledger.reader.size == placed.seq + 1
