"""Logs and files that verification accepts, or shows as more than they are."""

from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from decision_dna.ledger import hashing, layout
from decision_dna.ledger.audit import verify
from decision_dna.ledger.authority import Authority
from decision_dna.ledger.cheat import Copy
from decision_dna.ledger.evidence import check_evidence
from decision_dna.ledger.exports import ExportSource
from decision_dna.ledger.folder import newest_head, read_folder, verify_folder
from decision_dna.ledger.freshness import Newest, freshness
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import HeadLock, Locked
from decision_dna.ledger.memory import MemoryStore
from decision_dna.ledger.proving import Around, leaves_before, prove_event, prove_run
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import AuthorityEntry, fold_schedule
from decision_dna.schemas import codec
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.evidence import AnchorGiven
from decision_dna.schemas.ledgering import (
    ERASURE,
    GENESIS,
    HEARTBEAT,
    KEY,
    POLICY,
    Erasure,
    Genesis,
    KeyChange,
    NamedCheckpoint,
)
from tests.attacks.samples import add_own, export_of, honest, vkey_of
from tests.ledger.memory_log import Events, new_log
from tests.ledger.samples import AUTHOR, ORIGIN, START, Author, change_key, draft, new_ledger, register


def test_an_erasure_is_held_against_its_target_wherever_that_lies_in_its_run(tmp_path: Path) -> None:
    path = honest(tmp_path / "d")
    copy = Copy(path)
    at = copy.last(lambda row: row.claim.type == ERASURE)
    starts = {start for first, end in copy._commits() for start, _ in layout.run_bounds(first, end - first)}
    target = next(seq for seq in range(4, at) if seq not in starts and isinstance(copy.rows[seq].payload, bytes))
    added = add_own(copy, at, Erasure(id=bytes(16), seq=target, who="x", why="the id of no event"))
    copy.relink(added)
    copy.sign_heads()
    copy.write(path, tmp_path / "lie")
    assert not verify(ExportSource(BytesIO(export_of(tmp_path / "lie"))), vkey_of(path)).holds
    assert not verify_folder(tmp_path / "lie", vkey_of(path)).holds


def test_a_tip_past_the_lock_hides_nothing(tmp_path: Path) -> None:
    """One row of `meta` switches `check_stored` off: families may then say anything."""
    path = honest(tmp_path / "d")
    with RocksStore.open(str(path / "db"), create=False) as store:
        tip = layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"")
        batch = store.batch()
        batch.put("meta", layout.TIP_KEY, codec.encode(msgspec.structs.replace(tip, size=tip.size + 1)))
        batch.put("streams", b"control/ops", codec.encode((7, bytes(32))))
        store.write(batch, durable=True)
    assert not verify_folder(path, vkey_of(path)).holds


def test_a_cause_is_no_event_because_the_id_index_says_so(tmp_path: Path) -> None:
    path = honest(tmp_path / "d")
    ghost = bytes.fromhex("019901990199799989998999999999aa")
    copy = Copy(path)
    at = copy.last(lambda row: row.entry.attestation == "notary" and isinstance(row.payload, bytes))
    copy.change_claim(at, causes=(ghost,))
    copy.attest(at)
    copy.relink(at)
    copy.sign_heads()
    copy.write(path, tmp_path / "lie")
    with RocksStore.open(str(tmp_path / "lie" / "db"), create=False) as store:
        tip = layout.decode_tip(store.get("meta", layout.TIP_KEY) or b"")
        batch = store.batch()
        batch.put("meta", layout.TIP_KEY, codec.encode(msgspec.structs.replace(tip, size=tip.size + 1)))
        batch.put("ids", ghost + b"zz", bytes(8))
        store.write(batch, durable=True)
    assert not verify_folder(tmp_path / "lie", vkey_of(path)).holds


def test_an_entry_that_claims_another_stream_is_judged_by_its_own(tmp_path: Path) -> None:
    """What was found of a stream's signatures goes for the entries of that stream alone."""
    path = honest(tmp_path / "d")
    copy = Copy(path)
    plain = copy.first(lambda row: row.entry.stream == "x/raw")
    at = next(at for at, row in enumerate(copy.rows) if at > plain and row.entry.attestation == "notary")
    copy.rows[at].entry = msgspec.structs.replace(
        copy.rows[at].entry, attestation="none", principal="", key_id=b"", signature=b"", stream="x/raw"
    )
    copy.relink(at)
    copy.sign_heads()
    copy.write(path, tmp_path / "lie")
    report = verify_folder(tmp_path / "lie", vkey_of(path))
    assert {1, 4} <= {finding.step for finding in report.findings if finding.seq == at}


def test_a_true_checkpoint_over_invented_entries_pins_nothing(tmp_path: Path) -> None:
    """A stranger's log whose genesis names the victim's log key, under a head that the victim signed over other entries."""
    path = honest(tmp_path / "d")
    victim = Copy(path)
    ledger, _ = new_ledger(tmp_path / "other")
    with ledger:
        while ledger.reader.size < victim.heads[-1][0]:
            ledger.heartbeat()
    copy = Copy(tmp_path / "other")
    genesis = msgspec.msgpack.decode(copy.rows[0].entry.open, type=Genesis)
    log_key = victim.keys.of_purpose("log")[0].public
    copy.reopen(0, codec.encode(msgspec.structs.replace(genesis, log_key=log_key)))
    signature = copy.keys.of_purpose("root")[0].sign(hashing.author_message(copy.rows[0].entry.claim))
    copy.rows[0].entry = msgspec.structs.replace(copy.rows[0].entry, signature=signature)
    copy.relink(0)
    copy.heads = [victim.heads[-1]]
    copy.write(tmp_path / "other", tmp_path / "lie")
    report = verify_folder(tmp_path / "lie", vkey_of(path))
    assert (report.pinned, report.verdicts["authenticity"] == "pass") == (False, False)


def test_a_lost_run_in_a_full_segment_is_a_finding() -> None:
    store, size = MemoryStore(), 65_536 + 64
    batch = store.batch()
    for first in [0, *range(64, size, 32)]:
        batch.put("entries", layout.seq_key(first), layout.join_entries([b"\xc0"] * 32))
        batch.put("payloads", layout.seq_key(first), codec.encode([None] * 32))
    store.write(batch, durable=True)
    assert not verify(StoreSource(store, Locked(ORIGIN, size, bytes(32), "")), None).holds


@pytest.mark.parametrize("family", ["entries", "payloads"])
def test_a_last_run_that_goes_on_past_the_log_is_a_finding(family: str) -> None:
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 5)
    assert verify(StoreSource(store, ledger.reader.head()), None).holds
    key, run = store.last(family, layout.seq_key(ledger.reader.size)) or (b"", b"")
    more = [*layout.split_payloads(run), b"more"] if family == "payloads" else [*layout.split_entries(run), b"more"]
    batch = store.batch()
    batch.put(family, key, codec.encode(more) if family == "payloads" else layout.join_entries(more))
    store.write(batch, durable=True)
    assert not verify(StoreSource(store, ledger.reader.head()), None).holds


@pytest.mark.parametrize("family", ["entries", "payloads", "heads"])
@pytest.mark.parametrize(
    "key", [b"", bytes(7), layout.seq_key(0) + b"\0", layout.seq_key(3) + b"x", layout.seq_key(99), b"\xff" * 9]
)
def test_a_key_that_no_walk_is_due_at_is_a_finding(family: str, key: bytes) -> None:
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 70)
    batch = store.batch()
    batch.put(family, key, b"")
    store.write(batch, durable=True)
    assert not verify(StoreSource(store, ledger.reader.head()), None).holds


class Overtaken:
    """A lock after whose reading the writer commits twice."""

    def __init__(self, ledger: Ledger, lock: HeadLock) -> None:
        self._ledger, self._lock = ledger, lock

    def read(self) -> Locked:
        head = self._lock.read()
        for number in range(2):
            self._ledger.append([draft(number)])
        return head


def test_commits_between_the_look_at_the_lock_and_at_the_store_are_not_called_tampering(tmp_path: Path) -> None:
    ledger, _ = new_ledger(tmp_path / "d")
    with ledger, read_folder(tmp_path / "d") as view:
        head = newest_head(msgspec.structs.replace(view, lock=Overtaken(ledger, view.lock)))
        report = verify(StoreSource(view.store, head), ledger.vkey)
        assert (report.findings, report.pinned) == ([], True)
        assert report.size == view.lock.read().size - 1


def test_an_old_head_under_a_great_key_does_not_hide_what_came_after_it(tmp_path: Path) -> None:
    ledger, _ = new_ledger(tmp_path / "d")
    with ledger:
        for number in range(3):
            ledger.append([draft(number)])
        batch = ledger.store.batch()
        batch.put("heads", layout.seq_key(10**6), ledger.reader.note_of(2))
        ledger.store.write(batch, durable=True)
        with read_folder(tmp_path / "d") as view:
            assert newest_head(view).size == ledger.reader.size


def test_a_damaged_lock_and_a_stray_key_do_not_make_a_walk_without_end() -> None:
    store = MemoryStore()
    batch = store.batch()
    batch.put("entries", layout.seq_key(0), layout.join_entries([b"\xc0"]))
    batch.put("entries", b"\xfe" * 8, layout.join_entries([b"\xc0"]))
    store.write(batch, durable=True)
    assert StoreSource(store, Locked(ORIGIN, 2**62, bytes(32), "")).size <= 64


@pytest.mark.parametrize("stream", ["x/engine-1 ", "x/engine-1\u200b", "x/\u0435ngine-1", "", "detection"])
def test_only_what_can_be_a_stream_is_shown_as_absent(stream: str, tmp_path: Path) -> None:
    path = honest(tmp_path / "d")
    with read_folder(path) as view:
        reader = view.reader
        claims = [reader.event(seq).claim for seq in range(reader.size)]
        beat = max(seq for seq, claim in enumerate(claims) if claim.type == HEARTBEAT)
        seqs = tuple(seq for seq, claim in enumerate(claims) if claim.type in (GENESIS, KEY, POLICY))
        to = reader.event(beat).entry.recorded_at - 1
        data = prove_run(reader, stream, [], 0, to, Around(seqs, None, beat), leaves_before(reader, beat))
    assert not check_evidence(data, vkey_of(path)).holds


def test_an_anchor_beside_evidence_is_checked_or_said_not_to_be(tmp_path: Path) -> None:
    path = honest(tmp_path / "d")
    with read_folder(path) as view:
        reader = view.reader
        types = [reader.event(seq).claim.type for seq in range(reader.size)]
        seqs = tuple(seq for seq, name in enumerate(types) if name in (GENESIS, KEY, POLICY))
        junk = AnchorGiven("no memo", "solana:mainnet", 1, 1, "anVuaw==")
        data = prove_event(reader, 4, Around(seqs, None, None), anchor=junk)
    report = check_evidence(data, vkey_of(path))
    assert not report.holds or any("anchor" in text for text in report.relies_on)


def test_a_heartbeat_from_the_future_is_not_fresh() -> None:
    then = START + 365 * 86_400 * 10**9
    assert freshness(Newest(START, then, then, 60, None), START).startswith("fail: ")


def test_what_a_revocation_calls_suspect_is_reported(tmp_path: Path) -> None:
    ledger, clock = new_ledger(tmp_path / "d")
    author = Author()
    with ledger:
        register(ledger)
        ledger.append([author.say(1, clock.now_ns())])
        name = hashing.key_id(AUTHOR.public)
        change_key(ledger, "revoke", "author", AUTHOR.public, replaces=name, suspect_from=0)
    report = verify_folder(tmp_path / "d", vkey_of(tmp_path / "d"))
    assert report.holds
    assert b"suspect" in msgspec.json.encode(report)


def test_a_crash_inside_an_erasure_is_not_called_tampering() -> None:
    """Between the write and the lock the payload is gone already, and its erasure not visible yet. A reader beside a
    writer, and `dna verify` after a crash, see the store so.
    """
    ledger, store, clock = new_log()
    Events(1).append(ledger, clock, 5)
    before = ledger.reader.head()
    ledger.erase(3, "the operator", "asked to")
    assert verify(StoreSource(store, before), ledger.vkey).holds


def test_folding_keys_keeps_memory_in_proportion(tmp_path: Path) -> None:
    """Every state is kept whole: n keys, which nobody need have signed, cost n² memory (2,000 of them 170 MB)."""
    copy = Copy(honest(tmp_path / "d"))
    entry = copy.rows[copy.first(lambda row: row.claim.type == KEY)].entry
    met = [AuthorityEntry(0, copy.rows[0].bytes_of())]
    for seq in range(1, 400):
        change = KeyChange(
            action="register",
            checkpoint=NamedCheckpoint(root=bytes(32), size=1),
            key=SigningKey(seq.to_bytes(32)).public,
            not_after=2**63 - 1,
            operator="",
            overlap=0,
            purpose="author",
            replaces=b"",
            roles=(),
            sources=("bot",),
            suspect_from=None,
        )
        met.append(
            AuthorityEntry(seq, codec.encode(msgspec.structs.replace(entry, seq=seq, open=codec.encode(change))))
        )
    states: list[Authority] = [authority for _, authority in fold_schedule(met)]
    assert sum(len(state.used) for state in states) < 40 * len(met)


def test_a_store_that_lost_all_entries_is_named_and_not_a_bug(tmp_path: Path) -> None:
    store = MemoryStore()
    report = verify(StoreSource(store, Locked(ORIGIN, 5, bytes(32), "")), None)
    assert (report.holds, report.size) == (False, 0)
    path = honest(tmp_path)
    for damage in (b"", b"MANIFEST-\0", b"\xff\xfe", b"\n"):
        (path / "db" / "CURRENT").write_bytes(damage)
        with pytest.raises(LedgerError):
            verify_folder(path, None)
