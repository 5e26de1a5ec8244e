"""What someone with the disk, and no key of the ledger's, gets from the next start."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from pathlib import Path
from random import Random

import msgspec
import pytest

from decision_dna.ledger import accounting, hashing, layout, merkle
from decision_dna.ledger.accounting import ACCOUNTED_EVENTS, Accounted, decode_accounted, sign_accounted
from decision_dna.ledger.audit import verify
from decision_dna.ledger.authority import Authority
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.indexes import IndexFollower
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.memory import Faults, MemoryLock, MemoryStore
from decision_dna.ledger.notes import note_of
from decision_dna.ledger.opening import lock_file, open_ledger, resume, write_genesis
from decision_dna.ledger.plan import AuthorDraft, Prepared, Signer, Tip, link, prepare, prepare_signed
from decision_dna.ledger.positions import NOWHERE, read_positions
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Step
from decision_dna.ledger.writer import Placed
from decision_dna.schemas import codec
from decision_dna.schemas.claims import decode_claim
from decision_dna.schemas.errors import CannotOpen, Unavailable
from decision_dna.schemas.ledgering import KEY
from tests.attacks.samples import honest
from tests.ledger import memory_log
from tests.ledger.memory_log import keyring, new_log
from tests.ledger.samples import AUTHOR, ORIGIN, Author, change_key, copy_ledger, draft, register

LEDGER_STREAM = b"ledger/ledger"
BATCH = 1024
BATCHES = 4
"""Enough events for a block of the index, and for stored nodes over the entry that is attacked, and not over those before it."""


# --- a tail past the lock --------------------------------------------------------------------------------------------


def write_tail(store: Store, locked: Locked, row: Prepared, head: tuple[int, bytes] | None, *, then: int) -> None:
    """One more entry past the lock, as a commit leaves it that died before the lock; `head` is what its stream is said to be at."""
    reader = LogReader(store, lambda: locked)
    last, size = reader.event(locked.size - 1), locked.size
    tip = Tip(reader.frontier(size), hashing.entry_hash(last.raw), last.entry.recorded_at)
    plan = link(tip, [row], lambda _: head, then)
    batch = store.batch()
    batch.put_many("entries", layout.entry_rows(size, plan.entries))
    batch.put_many("payloads", layout.payload_rows(size, plan.payloads))
    batch.put("ids", row.key, size.to_bytes(8))
    batch.put("streams", row.stream.encode(), codec.encode(plan.streams[row.stream]))
    record = layout.TipRecord(locked.origin, size + 1, plan.tip.frontier.root(), plan.tip.prev, plan.tip.recorded_at)
    batch.put("meta", layout.TIP_KEY, codec.encode(record))
    store.write(batch, durable=True)


@pytest.mark.parametrize("lie", ["backdated", "misnumbered", "payload lost"])
def test_a_tail_that_breaks_the_rules_is_not_signed(lie: str, tmp_path: Path) -> None:
    path = copy_ledger(honest(tmp_path / "honest"), tmp_path / "d")
    with RocksStore.open(str(path / "db"), create=False) as store:
        locked = Lock.open(str(lock_file(path)), read_only=True).read()
        last = LogReader(store, lambda: locked).event(locked.size - 1)
        then = 1_600_000_000 * 10**9 if lie == "backdated" else last.entry.recorded_at
        row = prepare(
            draft(1, "raw"),
            origin=ORIGIN,
            signer=Signer(None, ""),
            salt=bytes(16),
            fresh_id=new_ids(1, then)[0],
            now=then,
        )
        stored = layout.decode_head(store.get("streams", row.stream.encode()) or b"")
        write_tail(store, locked, row, (99, bytes(32)) if lie == "misnumbered" else stored, then=then)
        if lie == "payload lost":
            put(store, "payloads", layout.seq_key(locked.size), codec.encode([None]))
    with pytest.raises(CannotOpen, match="past the lock"):
        open_ledger(path).close()


def vouch(ledger: Ledger, *seqs: int) -> bytes:
    """Have a ledger state that of its entries these change keys and policy; the row that says so."""
    positions = read_positions(ledger.store)
    row = sign_accounted(ledger.keys, ledger.writer.authority, ledger.reader.head(), seqs, positions)
    put(ledger.store, "meta", layout.ACCOUNTED_KEY, row)
    return row


def put(store: Store, family: str, key: bytes, value: bytes | None) -> None:
    """Set a row; None removes it."""
    batch = store.batch()
    if value is None:
        batch.delete(family, key)
    else:
        batch.put(family, key, value)
    store.write(batch, durable=True)


# --- a revoked key ---------------------------------------------------------------------------------------------------


class Revoked(msgspec.Struct, frozen=True):
    """A ledger at rest in which an author's key was revoked, and what its thief has: the next claim, and an old statement."""

    store: MemoryStore
    head: Locked
    now: int
    authority: Authority
    stolen: AuthorDraft
    before: bytes

    def opened(self, store: MemoryStore) -> Ledger:
        """The next process, on what the attacker left."""
        return resume(None, store, MemoryLock(self.head), keyring(), ManualClock(self.now))

    def speaks(self, store: MemoryStore) -> bool:
        """Whether the revoked key is heard again."""
        try:
            ledger = self.opened(store)
        except CannotOpen:
            return False
        return isinstance(ledger.append([self.stolen]).outcomes[0], Placed)


REVOKED_AT = 3 + BATCH


@pytest.fixture(scope="module")
def revoked() -> Revoked:
    ledger, store, clock = new_log()
    author = Author(origin=ledger.origin)
    register(ledger)
    ledger.append([author.say(1, clock.now_ns())])
    ledger.append([draft(number, "raw") for number in range(BATCH)])
    before = vouch(ledger, 0, 1)
    change_key(ledger, "revoke", "author", AUTHOR.public, replaces=AUTHOR.key_id)
    for _ in range(BATCHES):
        ledger.append([draft(number, "raw") for number in range(BATCH)])
    ledger.heartbeat()
    Followers(store, ledger.reader, [IndexFollower()]).catch_up()
    vouch(ledger, 0, 1, REVOKED_AT)
    clock.advance(10**9)
    stolen = copy(author).say(2, clock.now_ns())
    return Revoked(store.kill(), ledger.reader.head(), clock.now_ns(), ledger.writer.authority, stolen, before)


def leave_out(held: Revoked, store: MemoryStore) -> None:
    """The revocation is no longer named, and the ledger's newest statement is gone."""
    assert held.store.get("meta", layout.AUTHORITY_KEY) == codec.encode([0, 1, REVOKED_AT])
    put(store, "meta", layout.AUTHORITY_KEY, codec.encode([0, 1]))
    put(store, "meta", layout.ACCOUNTED_KEY, None)


def cut_stream(held: Revoked, store: MemoryStore) -> None:
    """The ledger's own stream ends before the revocation."""
    last = LogReader(store, lambda: held.head).raw(1)
    put(store, "streams", LEDGER_STREAM, codec.encode((2, hashing.entry_hash(last))))


def drop_index(held: Revoked, store: MemoryStore) -> None:
    """No index knows of the revocation."""
    rows = [key for key, _ in held.store.scan("index")]
    assert any(LEDGER_STREAM in key for key in rows)
    for key in rows:
        put(store, "index", key, None)


def restore_statement(held: Revoked, store: MemoryStore) -> None:
    """What the ledger said before the revocation."""
    put(store, "meta", layout.ACCOUNTED_KEY, held.before)


def stretch_statement(held: Revoked, store: MemoryStore) -> None:
    """What the ledger said before the revocation, said of today's head."""
    said = msgspec.structs.replace(decode_accounted(held.before), size=held.head.size, root=held.head.root)
    put(store, "meta", layout.ACCOUNTED_KEY, codec.encode(said))


def forge_statement(held: Revoked, store: MemoryStore) -> None:
    """A statement that another key signed."""
    mine = keyring()
    mine.add("log", SigningKey(b"the thief's own key".ljust(32)))
    key = mine.of_purpose("log")[-1].public
    log = (msgspec.structs.replace(held.authority.log[0], key=key),)
    authority = msgspec.structs.replace(held.authority, log=log)
    theirs = sign_accounted(mine, authority, held.head, [0, 1], read_positions(store))
    put(store, "meta", layout.ACCOUNTED_KEY, theirs)


def replace_entry(held: Revoked, store: MemoryStore) -> None:
    """The revocation's bytes become something else; the tree's nodes stay."""
    found = held.store.last("entries", layout.seq_key(REVOKED_AT))
    assert found is not None and b"ledger.key" in found[1]
    put(store, "entries", found[0], found[1].replace(b"ledger.key", b"ledger.kex"))


def hide_entry(held: Revoked, store: MemoryStore) -> None:
    """The revocation's bytes give an event of no meaning in that place."""
    found = held.store.last("entries", layout.seq_key(REVOKED_AT))
    assert found is not None
    put(store, "entries", found[0], layout.join_entries([LogReader(store, lambda: held.head).raw(REVOKED_AT + 1)]))


def remove_entry(held: Revoked, store: MemoryStore) -> None:
    """The revocation's row is gone."""
    found = held.store.last("entries", layout.seq_key(REVOKED_AT))
    assert found is not None
    put(store, "entries", found[0], None)


def speak_in_tail(held: Revoked, store: MemoryStore) -> None:
    """What the key says lies past the lock, and only waits for its signature."""
    row = prepare_signed(held.stolen, origin=held.head.origin)
    stored = store.get("streams", row.stream.encode()) or b""
    write_tail(store, held.head, row, layout.decode_head(stored), then=held.now)
    claim = decode_claim(row.claim)
    put(store, "authors", AUTHOR.key_id, codec.encode((claim.author_seq + 1, hashing.claim_hash(row.claim))))


Attack = Callable[[Revoked, MemoryStore], None]
ATTACKS: dict[str, Attack | None] = {
    "left out, no more": None,
    "the stream cut back": cut_stream,
    "the index dropped": drop_index,
    "an old statement restored": restore_statement,
    "an old statement stretched": stretch_statement,
    "a statement forged": forge_statement,
    "the entry's type changed": replace_entry,
    "the entry replaced": hide_entry,
    "the entry removed": remove_entry,
    "said in a tail": speak_in_tail,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_revoked_key_does_not_come_back_by_a_row_of_meta(name: str, revoked: Revoked) -> None:
    store, attack = revoked.store.kill(), ATTACKS[name]
    leave_out(revoked, store)
    if attack is not None:
        attack(revoked, store)
    with pytest.raises(CannotOpen, match=r"keys and policy|can't be read|root"):
        revoked.opened(store)
    assert not revoked.speaks(store)


STATEMENTS: dict[str, Attack] = {
    "none": lambda _, store: put(store, "meta", layout.ACCOUNTED_KEY, None),
    "an old one": restore_statement,
    "an old one, stretched": stretch_statement,
    "a forged one": forge_statement,
    "nonsense": lambda _, store: put(store, "meta", layout.ACCOUNTED_KEY, b"\x95"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_without_its_statement_a_start_reads_more_and_knows_the_same(name: str, revoked: Revoked) -> None:
    store = revoked.store.kill()
    STATEMENTS[name](revoked, store)
    assert revoked.opened(store.kill()).writer.authority == revoked.authority
    assert not revoked.speaks(store)


def test_no_bit_of_a_statement_misleads_a_start(revoked: Revoked) -> None:
    row, chance = revoked.store.get("meta", layout.ACCOUNTED_KEY) or b"", Random(1)
    for at in chance.sample(range(len(row)), 24):
        store = revoked.store.kill()
        bent = row[:at] + bytes([row[at] ^ 1 << chance.randrange(8)]) + row[at + 1 :]
        put(store, "meta", layout.ACCOUNTED_KEY, bent)
        assert revoked.opened(store).writer.authority == revoked.authority


def test_a_statement_of_another_history_counts_for_nothing() -> None:
    """Of one that a restored copy ended: same keys, same numbers, other entries."""
    ledger, store, clock = new_log()
    kept, head = store.kill(), ledger.reader.head()
    ledger.append([draft(number, "raw") for number in range(2)])
    theirs = vouch(ledger, 0)
    again = resume(None, kept, MemoryLock(head), keyring(), clock)
    register(again)
    change_key(again, "revoke", "author", AUTHOR.public, replaces=AUTHOR.key_id)
    assert again.reader.size == decode_accounted(theirs).size
    put(kept, "meta", layout.ACCOUNTED_KEY, theirs)
    put(kept, "meta", layout.AUTHORITY_KEY, codec.encode([0]))
    with pytest.raises(CannotOpen, match="keys and policy"):
        resume(None, kept, MemoryLock(again.reader.head()), keyring(), clock)


def test_a_statement_past_the_lock_counts_for_nothing() -> None:
    ledger, store, clock = new_log()
    head = ledger.reader.head()
    register(ledger)
    vouch(ledger, 0, 1)
    again = resume(None, store.kill(), MemoryLock(head), keyring(), clock)
    assert again.writer.authority == ledger.writer.authority


def test_a_statement_says_nothing_of_what_comes_after_its_head(revoked: Revoked) -> None:
    head = msgspec.structs.replace(revoked.head, size=2)
    row = sign_accounted(keyring(), revoked.authority, head, [0, 1, 2, 9], NOWHERE)
    assert decode_accounted(row).seqs == (0, 1)


def test_a_true_statement_by_a_stranger_is_named() -> None:
    ledger, store, _ = new_log()
    head, stranger = ledger.reader.head(), SigningKey(b"a stranger".ljust(32))
    signature = stranger.sign(accounting._message(head.origin, head.size, head.root, (0,), read_positions(store)))
    theirs = msgspec.structs.replace(decode_accounted(vouch(ledger, 0)), signature=signature)
    put(store, "meta", layout.ACCOUNTED_KEY, codec.encode(theirs))
    report = verify(StoreSource(store, head), ledger.vkey)
    assert {step.step for step in report.steps if step.status == "fail"} == {Step.ATTESTATIONS}


def test_a_signed_statement_that_is_not_true_is_named() -> None:
    ledger, store, _ = new_log()
    register(ledger)
    for seqs, holds in (((0, 1), True), ((0,), False)):
        vouch(ledger, *seqs)
        report = verify(StoreSource(store, ledger.reader.head()), ledger.vkey)
        assert {step.step for step in report.steps if step.status == "fail"} == (
            set() if holds else {Step.ATTESTATIONS}
        )


# --- how far a start reads -------------------------------------------------------------------------------------------


def spoil(store: MemoryStore, seq: int) -> None:
    """Damage the row of entries that has a seq: whoever reads it cannot open."""
    found = store.last("entries", layout.seq_key(seq))
    assert found is not None
    put(store, "entries", found[0], found[1][:-1] + bytes([found[1][-1] ^ 1]))


def test_a_start_reads_what_came_after_the_newest_statement_and_no_more(revoked: Revoked) -> None:
    assert said_in(revoked.store).size == revoked.head.size
    store = revoked.store.kill()
    spoil(store, REVOKED_AT + BATCH // 2)
    revoked.opened(store.kill())
    restore_statement(revoked, store)
    with pytest.raises(CannotOpen, match=r"root|can't be read"):
        revoked.opened(store)


def said_in(store: Store) -> Accounted:
    """The statement that a store has."""
    return decode_accounted(store.get("meta", layout.ACCOUNTED_KEY) or b"")


Long = tuple[Ledger, MemoryStore, ManualClock, Locked]


@pytest.fixture(scope="module")
def long() -> Long:
    """A ledger with two statements' worth of events and one stored node more, and the head that the newest statement is about."""
    ledger, store, clock = new_log()
    while ledger.reader.size + BATCH < 2 * ACCOUNTED_EVENTS:
        ledger.append([draft(number, "raw") for number in range(BATCH)])
        assert said_in(store).size in (1, ACCOUNTED_EVENTS - BATCH + 1)
    before = ledger.reader.head()
    ledger.append([draft(number, "raw") for number in range(2 * ACCOUNTED_EVENTS + 256 - before.size)])
    return ledger, store, clock, before


def test_the_writer_makes_a_statement_every_so_often(long: Long) -> None:
    _, store, _, before = long
    assert (said_in(store).size, said_in(store).root, said_in(store).seqs) == (before.size, before.root, (0,))


def test_a_start_that_read_for_long_makes_a_statement(long: Long) -> None:
    ledger, store, clock, _ = long
    lost, head = store.kill(), ledger.reader.head()
    put(lost, "meta", layout.ACCOUNTED_KEY, None)
    resume(None, lost, MemoryLock(head), keyring(), clock)
    assert (said_in(lost).size, said_in(lost).root, said_in(lost).seqs) == (head.size, head.root, (0,))


def test_a_store_far_ahead_of_its_lock_goes_on(long: Long) -> None:
    """As when a lock is put back that was kept long ago: nothing is wrong with what came after."""
    ledger, store, clock, _ = long
    note = ledger.reader.note_of(1)
    first = Locked(ledger.origin, 1, note_of(note).root, note.decode())
    ahead = store.kill()
    assert resume(None, ahead, MemoryLock(first), keyring(), clock).reader.size == ledger.reader.size
    bent = store.kill()
    spoil(bent, ledger.reader.size - 1)
    with pytest.raises(CannotOpen):
        resume(None, bent, MemoryLock(first), keyring(), clock)


def test_a_statement_of_a_start_is_about_a_head_that_readers_know(long: Long) -> None:
    """Whoever read the lock just before it was moved over the tail verifies what was locked then."""
    ledger, store, clock, before = long
    lost, lock = store.kill(), MemoryLock(before)
    put(lost, "meta", layout.ACCOUNTED_KEY, None)
    resume(None, lost, lock, keyring(), clock)
    assert (said_in(lost).size, lock.read().size) == (before.size, ledger.reader.size)
    assert verify(StoreSource(lost, before), ledger.vkey).findings == []


def test_nodes_that_join_to_the_same_bytes_are_not_the_same_nodes(long: Long) -> None:
    ledger, store, clock, _ = long
    bent, keys = store.kill(), [layout.node_key(16, 0), layout.node_key(8, 256)]
    joined = b"".join([bent.get("nodes", key) or b"" for key in keys])
    assert len(joined) == 64
    for key, value in zip(keys, (joined[:31], joined[31:]), strict=True):
        put(bent, "nodes", key, value)
    with pytest.raises(CannotOpen, match="no hash"):
        resume(None, bent, MemoryLock(ledger.reader.head()), keyring(), clock)


@pytest.mark.parametrize("field", ["root", "last_hash", "recorded_at"])
def test_the_tip_is_what_the_last_entry_says(field: str, revoked: Revoked) -> None:
    store = revoked.store.kill()
    tip = layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"")
    lie = msgspec.structs.replace(tip, **{field: tip.recorded_at - 1 if field == "recorded_at" else bytes(32)})
    put(store, "meta", layout.TIP_KEY, codec.encode(lie))
    with pytest.raises(CannotOpen, match="the tip of size"):
        revoked.opened(store)


def test_a_new_log_key_makes_a_statement_of_its_own_and_the_old_one_vouches_for_nothing() -> None:
    store, clock, keys = MemoryStore(), ManualClock(memory_log.START), keyring()
    lock = MemoryLock(write_genesis(store, keys, memory_log.ORIGIN, memory_log.POLICY, None, clock))
    ledger = resume(None, store, lock, keys, clock)
    ledger.append([draft(number, "raw") for number in range(600)])
    theirs, old, new = vouch(ledger, 0), keys.of_purpose("log")[0], SigningKey(b"the next log key".ljust(32))
    keys.add("log", new)
    change_key(ledger, "rotate", "log", new.public, replaces=old.key_id)
    head = ledger.reader.head()
    ledger.append([draft(1, "raw")])
    assert (said_in(store).size, said_in(store).root, said_in(store).seqs) == (head.size, head.root, (0, 601))
    assert said_in(store).is_by([new.public])
    spoil(store, 300)
    resume(None, store.kill(), lock, keys, clock)
    put(store, "meta", layout.ACCOUNTED_KEY, theirs)
    with pytest.raises(CannotOpen, match=r"have root|can't be read"):  # it read what the old key vouched for
        resume(None, store.kill(), lock, keys, clock)


# --- heads that only want a signature --------------------------------------------------------------------------------


def test_a_log_of_somebody_elses_does_not_get_our_signature() -> None:
    """His own genesis and keys; then, past the lock, he hands over to our log key, and waits for our next start."""
    ours, clock, store = keyring(), ManualClock(memory_log.START), MemoryStore()
    purposes = ("root", "log", "notary", "anchor")
    his = {purpose: SigningKey(bytes([at]) * 32) for at, purpose in enumerate(purposes, 101)}
    held = {key.public: (purpose, key) for purpose, key in his.items()}
    # What he signs by our names does not verify; it needs not, past the lock.
    held |= {ours.of_purpose(purpose)[0].public: (purpose, his[purpose]) for purpose in ("log", "notary")}
    lock = MemoryLock(write_genesis(store, Keyring(held, b""), memory_log.ORIGIN, memory_log.POLICY, None, clock))
    ledger = resume(None, store, lock, Keyring(held, b""), clock)
    for purpose in ("notary", "log"):
        lock.faults = Faults(lock.advances + 1 if purpose == "log" else 0)
        new = ours.of_purpose(purpose)[0]
        change = ledger.key_change("rotate", purpose, new.public, replaces=his[purpose].key_id)  # type: ignore[arg-type]
        with nullcontext() if purpose == "notary" else pytest.raises(Unavailable):
            ledger.append_signed(ledger.sign_own(his["root"], KEY, change))
    head = lock.restart().read()
    assert layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"").size == head.size + 1
    with pytest.raises(CannotOpen, match="signed the lock's checkpoint"):
        resume(None, store.kill(), MemoryLock(head), ours, clock)


def test_a_tail_is_signed_with_the_root_that_its_entries_give() -> None:
    """A stored node over entries on both sides of the lock is not believed, even if nothing that changes keys lies under it."""
    ledger, store, clock = new_log()
    ledger.append([draft(number, "raw") for number in range(455)])
    locked = ledger.reader.head()
    ledger.append([draft(number, "raw") for number in range(56)])
    tip = layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"")
    assert tip.size == 512
    resume(None, store.kill(), MemoryLock(locked), keyring(), clock)
    bent, node = store.kill(), store.get("nodes", layout.node_key(8, 0))
    assert node is not None
    put(bent, "nodes", layout.node_key(8, 1), bytes(32))
    lie = msgspec.structs.replace(tip, root=merkle.node_hash(node, bytes(32)))
    put(bent, "meta", layout.TIP_KEY, codec.encode(lie))
    with pytest.raises(CannotOpen, match="entries have root"):
        resume(None, bent, MemoryLock(locked), keyring(), clock)
