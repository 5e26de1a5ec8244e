"""A ledger in a folder: made and opened.

    DIR/db/          the store            DIR/keys/     private keys, 0600
    DIR/lock/        the lock             DIR.vkey      what a verifier pins, beside DIR

Start-up is the normal path of recovery: find the last head, check what lies past it, sign and lock it with the same
functions that every commit uses; or refuse, and say why.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from decision_dna.ledger import hashing, layout, merkle
from decision_dna.ledger.accounting import ACCOUNTED_EVENTS, decode_accounted, read_changes, sign_accounted
from decision_dna.ledger.authority import (
    Authority,
    authority_after,
    counter_from,
    signature_job,
)
from decision_dna.ledger.clock import Clock, SystemClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.keyring import Keyring, read_keyring, write_key
from decision_dna.ledger.ledger import Ledger, check_keys
from decision_dna.ledger.lock import HeadLock, Lock, Locked
from decision_dna.ledger.notes import Vkey, open_checkpoint, open_head
from decision_dna.ledger.own_claims import sign_ledger_claim
from decision_dna.ledger.plan import (
    EMPTY_TIP,
    Tip,
    link,
    prepare_signed,
)
from decision_dna.ledger.positions import NOWHERE, PositionFold, Positions, check_rows, positions_at
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import is_signed
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Store
from decision_dna.ledger.verification import Finding, Step
from decision_dna.ledger.writer import Writer, sign_head
from decision_dna.schemas import codec
from decision_dna.schemas.claims import check_origin, decode_claim, decode_entry
from decision_dna.schemas.errors import CannotOpen, Conflict, LedgerError, Malformed, Refused
from decision_dna.schemas.ledgering import (
    GENESIS,
    Genesis,
    Policy,
    SourceRule,
    SuccessorOf,
)

DEFAULT_POLICY = Policy(
    anchor_events_max=1_000_000,
    anchor_seconds_max=3600,
    default_attestation="notary",
    heartbeat_events_max=65_536,
    heartbeat_seconds_max=300,
    jump_seconds_max=400 * 86_400,
    pause_seconds_max=7 * 86_400,
    sources=(SourceRule(attestation="notary", keys=(), role="system", source="engine"),),
    sources_per_principal_max=1_000,
)


BEAT_SEARCHED_MAX = 1 << 16
"""Entries among which a start looks for the newest heartbeat. If there is none, the next commit begins with one."""


def lock_file(path: Path) -> Path:
    """Where a ledger's lock lies, unless it was put on another volume."""
    return path / "lock" / "head.sqlite"


def create(
    path: Path,
    origin: str,
    *,
    policy: Policy = DEFAULT_POLICY,
    successor_of: SuccessorOf | None = None,
    clock: Clock | None = None,
) -> Vkey:
    """A new ledger in a folder that has none: keys, genesis, lock, and the vkey beside it. Raises Conflict, Malformed."""
    check_origin(origin)
    if path.exists() and any(path.iterdir()):
        raise Conflict(f"{path} is not empty: a new ledger needs a folder of its own")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    seeds = {purpose: os.urandom(32) for purpose in ("root", "log", "notary", "anchor", "retry")}
    for purpose, seed in seeds.items():
        write_key(path / "keys", purpose, purpose, seed)
    keys = read_keyring(path / "keys")
    with RocksStore.open(str(path / "db"), create=True) as store:
        locked = write_genesis(store, keys, origin, policy, successor_of, clock or SystemClock())
    lock_file(path).parent.mkdir(mode=0o700)
    Lock.create(str(lock_file(path)), locked.origin, locked.size, locked.root, locked.note).close()
    vkey = Vkey(origin, keys.of_purpose("log")[0].public)
    path.with_name(path.name + ".vkey").write_text(f"{vkey}\n")
    return vkey


def write_genesis(
    store: Store, keys: Keyring, origin: str, policy: Policy, successor_of: SuccessorOf | None, clock: Clock
) -> Locked:
    """Entry 0 in an empty store; the head to lock."""
    by_purpose = {purpose: keys.of_purpose(purpose)[0] for purpose in ("root", "log", "notary", "anchor")}
    genesis = Genesis(
        anchor_key=by_purpose["anchor"].public,
        format_version=1,
        log_key=by_purpose["log"].public,
        notary_key=by_purpose["notary"].public,
        origin=origin,
        policy=policy,
        root_key=by_purpose["root"].public,
        successor_of=successor_of,
    )
    now = clock.now_ns()
    row = prepare_signed(
        sign_ledger_claim(origin, by_purpose["root"], GENESIS, genesis, new_ids(1, now)[0], now, None), origin=origin
    )
    plan = link(EMPTY_TIP, [row], lambda _: None, now)
    entry = decode_entry(plan.entries[0])
    authority = authority_after(None, entry, decode_claim(entry.claim))
    if authority is None:
        raise Refused("genesis did not found an authority")
    root = plan.tip.frontier.root()
    batch = store.batch()
    batch.put_many("entries", layout.entry_rows(0, plan.entries))
    batch.put_many("payloads", layout.payload_rows(0, plan.payloads))
    batch.put("ids", row.key, bytes(8))
    batch.put_many("streams", [(name.encode(), codec.encode(head)) for name, head in plan.streams.items()])
    batch.put("authors", row.key_id, codec.encode(counter_from(1, hashing.claim_hash(row.claim))))
    batch.put("meta", layout.TIP_KEY, codec.encode(layout.TipRecord(origin, 1, root, plan.tip.prev, now)))
    batch.put("meta", layout.AUTHORITY_KEY, codec.encode([0]))
    batch.put("meta", layout.FORMAT_KEY, codec.encode(layout.STORE_FORMAT))
    store.write(batch, durable=True)
    return sign_head(keys, authority, 1, root)


def open_ledger(
    path: Path, *, clock: Clock | None = None, lock_path: Path | None = None, adopt: bool = False
) -> Ledger:
    """Open for writing; with `adopt`, also a copy whose lock has its home elsewhere. Raises CannotOpen with the reason of the refusal."""
    lock_at = lock_path or lock_file(path)
    has_store, has_lock = (path / "db").exists(), lock_at.exists()
    if not has_store and not has_lock:
        raise CannotOpen("no-ledger", f"no ledger in {path}: make one with `dna init {path} --origin NAME`")
    if not has_lock:
        raise CannotOpen(
            "store-without-lock",
            f"{path} has a database but its lock {lock_at} is missing: is this a copy? Read it with --read-only, or start a successor",
        )
    if not has_store:
        raise CannotOpen(
            "lock-without-store", f"{path} has a lock but no database: restore one that is at least as far"
        )
    lock = Lock.open(str(lock_at), adopt=adopt)
    try:
        store = RocksStore.open(str(path / "db"), create=False)
    except LedgerError:
        lock.close()
        raise
    try:
        return resume(path, store, lock, read_keyring(path / "keys"), clock or SystemClock())
    except BaseException:
        store.close()
        lock.close()
        raise


def resume(path: Path | None, store: Store, lock: HeadLock, keys: Keyring, clock: Clock) -> Ledger:
    """From a store and its lock to a writer: check the tail past the lock, sign and lock it. Raises CannotOpen."""
    locked = lock.read()
    layout.check_format(store.get("meta", layout.FORMAT_KEY))
    stored = store.get("meta", layout.TIP_KEY)
    if stored is None:
        raise CannotOpen("store-without-tip", "the database has no tip: it is not a ledger, or lost its newest part")
    tip = layout.decode_tip(stored)
    if tip.origin != locked.origin:
        raise CannotOpen("other-origin", f"the lock is of {locked.origin!r}, the database of {tip.origin!r}")
    if tip.size < locked.size:
        raise CannotOpen(
            "behind-lock",
            f"the database has {tip.size} entries, the lock says {locked.size}: it was restored from an old copy or lost its tail",
        )
    whole = LogReader(store, lambda: Locked(tip.origin, tip.size, tip.root, ""))
    frontier = _check_store(whole, tip, locked)
    signers = _signers(locked, keys)
    start = _accounted_for(store, whole, locked, signers)
    accounted = _account(store, start, locked, tip)
    seqs = accounted.seqs
    authority = _authority(whole, seqs)
    _check_note(locked, authority, signers)
    check_keys(keys, authority, tip.size)
    if tip.size > locked.size:
        _check_tail(store, locked, accounted.positions)
        batch = store.batch()
        batch.put("heads", layout.seq_key(locked.size), locked.note.encode())
        store.write(batch, durable=True)
        lock.advance(locked, sign_head(keys, authority, tip.size, tip.root))
    if tip.size - start.size >= ACCOUNTED_EVENTS:
        # So that the next start reads less. About the head that was locked before: who reads beside us may know no newer one.
        batch = store.batch()
        row = sign_accounted(keys, authority, locked, seqs, accounted.positions)
        batch.put("meta", layout.ACCOUNTED_KEY, row)
        store.write(batch, durable=True)
    reader = LogReader(store, lambda: writer.head)
    beat = whole.last_beat(BEAT_SEARCHED_MAX)
    writer = Writer(
        store, lock, reader, keys, clock, Tip(frontier, tip.last_hash, tip.recorded_at), authority, seqs, beat
    )
    return Ledger(path, store, lock, keys, clock, writer, reader)


def _check_store(whole: LogReader, tip: layout.TipRecord, locked: Locked) -> merkle.Frontier:
    """The tree at the lock's size and at the tip's must have the roots that they say, and the last entry be the tip's."""
    try:
        root = _tree(whole, locked.size).root()
        frontier = _tree(whole, tip.size)
        raw = whole.raw(tip.size - 1)
        last = decode_entry(raw)
    except LedgerError as error:
        raise CannotOpen("store-damaged", f"the database can't be read: {error}") from None
    if root != locked.root:
        raise CannotOpen(
            "other-root", f"at size {locked.size} the database has root {root.hex()}, the lock says {locked.root.hex()}"
        )
    given = tip.origin, tip.size, frontier.root(), hashing.entry_hash(raw), last.recorded_at
    if given != msgspec.structs.astuple(tip):
        raise CannotOpen("store-damaged", f"the tip of size {tip.size} does not match the entries")
    return frontier


def _tree(whole: LogReader, size: int) -> merkle.Frontier:
    """The stored tree. Its root says what its nodes are only where each is a hash: two of other lengths, joined, could be the
    same bytes, and what is appended to them would get another root."""
    frontier = whole.frontier(size)
    if any(node is not None and len(node) != 32 for node in frontier.nodes):
        raise Malformed(f"a stored tree node at size {size} is no hash")
    return frontier


class Start(NamedTuple):
    """Of the first `size` entries it is known that those at `seqs` change keys or policy, and no other; `frontier` is their tree,
    and `positions` those after them."""

    seqs: tuple[int, ...] = ()
    frontier: merkle.Frontier = merkle.Frontier()
    positions: Positions = NOWHERE

    @property
    def size(self) -> int:
        """Entries that need not be read."""
        return self.frontier.size


def _signers(locked: Locked, keys: Keyring) -> list[bytes]:
    """The log keys in the folder that signed the locked head: what this ledger trusts of what lies on the disk hangs on them."""
    signers: list[bytes] = []
    for key in keys.of_purpose("log"):
        with suppress(LedgerError):
            open_checkpoint(locked.note.encode(), [Vkey(locked.origin, key.public)])
            signers.append(key.public)
    return signers


def _accounted_for(store: Store, whole: LogReader, locked: Locked, signers: list[bytes]) -> Start:
    """As far as `meta/accounted` vouches: signed by whom signed the head, and of this very history. Where it does not, nothing is."""
    try:
        said = decode_accounted(store.get("meta", layout.ACCOUNTED_KEY) or b"")
        if said.origin == locked.origin and said.size <= locked.size and said.is_by(signers):
            frontier = _tree(whole, said.size)
            if frontier.root() == said.root:
                return Start(said.seqs, frontier, said.positions)
    except LedgerError:
        pass  # missing or damaged: reading everything is slower, and as sure
    return Start()


class Accounting(NamedTuple):
    """All entries that change keys or policy, by seq; and the positions at the locked size."""

    seqs: list[int]
    positions: Positions


def _account(store: Store, start: Start, locked: Locked, tip: layout.TipRecord) -> Accounting:
    """Read what is not vouched for, to the last entry: it must have the root that was signed, and the tail past it the tip's.

    The rows of streams, authors and ids must be what the entries give.
    """
    seqs, frontier, fold = list(start.seqs), start.frontier, PositionFold(start.positions)
    there = fold.copy()
    try:
        for size, root in ((locked.size, locked.root), (tip.size, tip.root)):
            frontier, more = read_changes(store, frontier, fold, size)
            if frontier.root() != root:
                raise Malformed(f"the first {size} entries have root {frontier.root().hex()}, their head {root.hex()}")
            seqs += more
            there = fold.copy() if size == locked.size else there
        named = layout.decode_seqs(store.get("meta", layout.AUTHORITY_KEY) or b"\x90")
        if start.size and not _has_rows(store, fold):
            return _account(store, Start(), locked, tip)  # all entries, to name the row
        check_rows(store, fold)
        positions = positions_at(store, there, fold)
    except LedgerError as error:
        raise CannotOpen("store-damaged", f"the database can't be read: {error}") from None
    if named != seqs:
        raise CannotOpen("store-damaged", f"keys and policy change at {seqs}, the database names {named}")
    return Accounting(seqs, positions)


def _has_rows(store: Store, fold: PositionFold) -> bool:
    try:
        check_rows(store, fold)
    except LedgerError:
        return False
    return True


def _authority(whole: LogReader, seqs: list[int]) -> Authority:
    """Keys and policy, folded from the entries that change them."""
    authority: Authority | None = None
    try:
        for seq in seqs:
            raw = whole.raw(seq)
            entry = decode_entry(raw)
            claim = decode_claim(entry.claim)
            proof = whole.prove_inclusion(seq, whole.size)
            merkle.check_inclusion(seq, whole.size, merkle.leaf_hash(raw), proof, whole.head().root)
            job = signature_job(authority, entry, claim)
            if job is None or not is_signed(*job):
                raise Refused(f"entry {seq} is not signed as keys and policy must be")
            authority = authority_after(authority, entry, claim)
    except LedgerError as error:
        raise CannotOpen("store-damaged", f"keys and policy can't be read: {error}") from None
    if authority is None:
        raise CannotOpen("store-damaged", "the database names no genesis")
    return authority


def _check_note(locked: Locked, authority: Authority, signers: list[bytes]) -> None:
    """The lock's checkpoint must be the log's own, say what the lock says, and be signed by a key that is here: else all of
    this could be somebody's own log, that only wants the next head signed."""
    try:
        checkpoint = open_head(locked.note.encode(), authority.origin, authority.log_keys_at)
    except LedgerError as error:
        raise CannotOpen("lock-damaged", f"the lock's checkpoint does not verify: {error}") from None
    if (checkpoint.origin, checkpoint.size, checkpoint.root) != (locked.origin, locked.size, locked.root):
        raise CannotOpen("lock-damaged", "the lock's checkpoint is not of the size and root beside it")
    if not signers:
        raise CannotOpen("no-log-key", "no private log key in the key folder signed the lock's checkpoint")


def _check_tail(store: Store, locked: Locked, positions: Positions) -> None:
    """What was written and never locked is judged as any entry is before it is signed: whoever has the disk, and no key, gets
    no signature for entries that need one."""
    tail = StoreSource(store, locked).tail({key_id: (seq, digest) for key_id, seq, digest in positions.authors})
    if tail is None or tail.segment.findings:
        first = tail.segment.findings[0] if tail else Finding(Step.ENCODING, locked.size, "it can't be read")
        raise CannotOpen(
            "tail-damaged", f"entry {first.seq} past the lock does not hold (step {first.step}): {first.text}"
        )
