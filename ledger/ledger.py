"""A ledger in a folder: made, opened, appended to, read.

    DIR/db/          the store            DIR/keys/     private keys, 0600
    DIR/lock/        the lock             DIR.vkey      what a verifier pins, beside DIR

Start-up is the normal path of recovery: find the last head, check what lies past it, sign and lock it with the same
functions that every commit uses; or refuse, and say why.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from decision_dna.ledger import hashing, layout, merkle, streams
from decision_dna.ledger.admission import provisional_entry
from decision_dna.ledger.authority import (
    LEDGER_PRINCIPAL,
    Authority,
    authority_after,
    decode_ledger_payload,
    signature_job,
)
from decision_dna.ledger.clock import Clock, SystemClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.keyring import Keyring, read_keyring, write_key
from decision_dna.ledger.lock import HeadLock, Lock, Locked
from decision_dna.ledger.notes import Vkey, open_checkpoint
from decision_dna.ledger.plan import (
    EMPTY_TIP,
    NO_SALT,
    AuthorDraft,
    Draft,
    Prepared,
    Signer,
    Tip,
    link,
    prepare,
    prepare_signed,
    retry_content,
)
from decision_dna.ledger.preparing import Decode, Preparation, Preparers, Rules, in_flight
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey, is_signed
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.verification import Finding, Step
from decision_dna.ledger.writer import Appended, Writer, sign_head
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, ZEROS, Claim, check_origin, check_times, decode_claim, decode_entry
from decision_dna.schemas.errors import CannotOpen, Conflict, LedgerError, Malformed, NotFound, Refused
from decision_dna.schemas.ledgering import (
    CLOCK,
    ERASURE,
    GENESIS,
    HEARTBEAT,
    NO_BEACON,
    Beacon,
    ClockStep,
    Erasure,
    Genesis,
    Heartbeat,
    Policy,
    SuccessorOf,
)
from decision_dna.schemas.payloads import Payload, is_open

AHEAD = 3
"""Requests that workers prepare before the writer needs them."""

DEFAULT_POLICY = Policy(
    anchor_events_max=1_000_000,
    anchor_seconds_max=3600,
    default_attestation="notary",
    heartbeat_seconds_max=300,
    sources=(),
)


class Ledger:
    """An open ledger: one writer, any number of readers. Close it when done, or use it as a context."""

    def __init__(
        self,
        path: Path | None,
        store: Store,
        lock: HeadLock,
        keys: Keyring,
        clock: Clock,
        writer: Writer,
        reader: LogReader,
    ) -> None:
        self.path, self.store, self.keys, self.clock = path, store, keys, clock
        self.writer, self.reader = writer, reader
        self._lock = lock
        self._preparation: tuple[Authority, Preparation] | None = None

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.writer.authority.origin

    @property
    def vkey(self) -> Vkey:
        """What a verifier pins: the newest log key under the origin's name."""
        return Vkey(self.origin, self.writer.authority.log[-1].key)

    def prepare(
        self, drafts: Sequence[Draft | AuthorDraft | LedgerError], principal: str
    ) -> list[Prepared | LedgerError]:
        """Claims for drafts, attested as policy asks: notarised for `principal`, or not at all. Errors stay in their places."""
        authority = self.writer.authority
        if self._preparation is None or self._preparation[0] is not authority:
            notary = self.keys.get(authority.notary, "notary") if self.keys.has(authority.notary) else None
            self._preparation = (authority, Preparation(Rules.of(authority), notary))
        return self._preparation[1].prepare(drafts, principal, self.clock.now_ns())

    def preparers(self, processes: int = 1) -> Preparers:
        """Worker processes that prepare beside this one."""
        return Preparers(self.keys.of_purpose("notary"), processes)

    def ingest(
        self, preparers: Preparers, decode: Decode, requests: Iterable[bytes], principal: str = "local"
    ) -> Iterator[Appended]:
        """Append a stream of requests, each as one batch, prepared in the workers while earlier ones are committed."""
        futures = (
            preparers.submit(decode, data, self.writer.authority, principal, self.clock.now_ns()) for data in requests
        )
        answers: deque[Future[Appended]] = deque()
        with ThreadPoolExecutor(2) as committers:  # one links while the other commits
            for rows in in_flight(futures, AHEAD):
                answers.append(self.writer.enqueue(rows))
                committers.submit(self.writer.commit_queued)
                if len(answers) > AHEAD:
                    yield answers.popleft().result()
            while answers:
                yield answers.popleft().result()

    def append(
        self, drafts: Sequence[Draft | AuthorDraft | LedgerError], principal: str = "local", *, atomic: bool = False
    ) -> Appended:
        """Prepare, append and wait: durable, signed and locked when it returns. Raises Busy, TooLarge, Unavailable."""
        return self.writer.append(self.prepare(drafts, principal), atomic=atomic)

    def heartbeat(self, beacon: Beacon = NO_BEACON) -> Appended:
        """Append a `ledger.heartbeat` over everything before it."""
        with self.writer.turn():
            leaves = streams.list_leaves(self.writer.stream_heads())
            payload = Heartbeat(beacon=beacon, streams_count=len(leaves), streams_root=streams.list_root(leaves))
            return self.writer.append_own(self._own_claim(HEARTBEAT, payload, LEDGER_PRINCIPAL))

    def erase(self, seq: int, who: str, why: str, principal: str = "local") -> Appended:
        """Remove an event's payload and salt, and say so in the log. Raises NotFound, Refused, Conflict."""
        with self.writer.turn():
            event = self.reader.event(seq)
            if is_open(event.claim.type):
                raise Refused(f"{event.claim.type} is open: it can't be erased")
            if event.payload is None:
                raise Conflict(f"the payload of event {seq} is gone already")
            tag = hashing.retry_tag(self.keys.retry, retry_content(event.claim, event.payload))
            payload = Erasure(id=event.claim.id, seq=seq, who=who, why=why)
            row = self._own_claim(ERASURE, payload, principal)
            appended = self.writer.append_own(row, touch=lambda batch: self._blank(batch, seq, tag))
        self.store.compact(
            "payloads",
            layout.seq_key(seq - layout.RUN_EVENTS if seq > layout.RUN_EVENTS else 0),
            layout.seq_key(seq + 1),
        )
        return appended

    def append_signed(self, draft: AuthorDraft) -> Appended:
        """Append a `ledger.*` entry that the root key (or a key that rotates itself) signed: keys, policy, clock.

        Raises Refused, Conflict, Malformed.
        """
        with self.writer.turn():
            row = prepare_signed(draft, origin=self.origin)
            claim = decode_claim(row.claim)
            if claim.source != "ledger":
                raise Refused("only the ledger's own types are appended so")
            entry = provisional_entry(row, self.reader.size, self.clock.now_ns())
            job = signature_job(self.writer.authority, entry, claim)
            if job is None or not is_signed(*job):
                raise Refused(f"{claim.type}: the signature does not verify")
            if self.reader.seq_of_id(claim.id, claim.source) is not None:
                raise Conflict(f"id {claim.id.hex()} of ledger stands already")
            check_times(claim.occurred_at, claim.id, entry.recorded_at)
            for cause in claim.causes:
                if self.reader.seq_of_id(cause) is None:
                    raise Malformed(f"cause {cause.hex()} is no earlier event")
            after = authority_after(self.writer.authority, entry, claim)
            changed = after if after is not self.writer.authority else None
            if after is not None and changed is not None:
                self._check_signable(after)
            appended = self.writer.append_own(row, authority=changed, may_step=claim.type == CLOCK)
            if claim.type == CLOCK:
                self.writer.accept_clock()
            return appended

    def sign_own(self, key: SigningKey, type_name: str, payload: Payload) -> AuthorDraft:
        """A `ledger.*` claim signed by a key, ready for `append_signed`: made wherever the root key is."""
        now = self.clock.now_ns()
        return sign_ledger_claim(self.origin, key, type_name, payload, new_ids(1, now)[0], now)

    def accept_clock(self, root: SigningKey, reason: str) -> Appended:
        """Vouch for a step of the wall clock, so that appends go on."""
        step = self.writer.clock_step()
        return self.append_signed(self.sign_own(root, CLOCK, ClockStep(reason=reason, step=step)))

    def append_anchor(self, type_name: str, payload: Payload) -> Appended:
        """Append an `anchor.*` entry."""
        return self.append([Draft(type=type_name, schema=1, source="anchor", payload=codec.encode(payload))], "anchor")

    def close(self) -> None:
        """Stop the writer and release everything; a second call does nothing."""
        self.writer.stop("the ledger is closed")
        self.store.close()
        self._lock.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_signable(self, after: Authority) -> None:
        """Raise Refused where the next heads and heartbeats could not be signed with the keys that are here."""
        try:
            _check_keys(self.keys, after, self.reader.size)
        except CannotOpen as error:
            raise Refused(f"{error}: bring it first") from None

    def _own_claim(self, type_name: str, payload: Payload, principal: str) -> Prepared:
        now = self.clock.now_ns()
        notary = self.keys.get(self.writer.authority.notary, "notary")
        draft = Draft(type=type_name, schema=1, source="ledger", payload=codec.encode(payload))
        row = prepare(
            draft,
            origin=self.origin,
            signer=Signer(notary, principal),
            salt=NO_SALT,
            fresh_id=new_ids(1, now)[0],
            now=now,
        )
        decode_ledger_payload(decode_claim(row.claim), draft.payload)
        return row

    def _blank(self, batch: Batch, seq: int, tag: bytes) -> None:
        found = self.store.last("payloads", layout.seq_key(seq))
        if found is None:
            raise NotFound(f"no payload of event {seq}")
        stored = layout.split_payloads(found[1])
        stored[seq - int.from_bytes(found[0])] = (tag,)
        batch.put("payloads", found[0], codec.encode(stored))


def sign_ledger_claim(
    origin: str, key: SigningKey, type_name: str, payload: Payload, event_id: bytes, now: int
) -> AuthorDraft:
    """A claim of source `ledger`, signed by its author's key: genesis, keys, policy, clock."""
    data = codec.encode(payload)
    commitment = hashing.payload_commitment(NO_SALT + data)
    claim = codec.encode(
        Claim(VERSION, origin, event_id, type_name, 1, "ledger", "", now, (), "", 0, ZEROS, commitment)
    )
    return AuthorDraft(claim, NO_SALT, data, hashing.key_id(key.public), key.sign(hashing.author_message(claim)))


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
        sign_ledger_claim(origin, by_purpose["root"], GENESIS, genesis, new_ids(1, now)[0], now), origin=origin
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
    batch.put("authors", row.key_id, codec.encode((0, ZEROS)))
    batch.put("meta", layout.TIP_KEY, codec.encode(layout.TipRecord(origin, 1, root, plan.tip.prev, now)))
    batch.put("meta", layout.AUTHORITY_KEY, codec.encode([0]))
    store.write(batch, durable=True)
    return sign_head(keys, authority, 1, root)


def open_ledger(path: Path, *, clock: Clock | None = None, lock_path: Path | None = None) -> Ledger:
    """Open for writing. Raises CannotOpen with the reason of the refusal."""
    lock_at = lock_path or lock_file(path)
    has_store, has_lock = (path / "db").exists(), lock_at.exists()
    if not has_store and not has_lock:
        raise CannotOpen("no-ledger", f"no ledger in {path}: make one with `dna init {path} --origin NAME`")
    if not has_lock:
        raise CannotOpen(
            "store-without-lock",
            f"{path} has a database but its lock {lock_at} is missing: is this a copy? Open it read-only, or start a successor",
        )
    if not has_store:
        raise CannotOpen(
            "lock-without-store", f"{path} has a lock but no database: restore one that is at least as far"
        )
    lock = Lock.open(str(lock_at))
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
    authority, seqs = _authority(store, whole)
    _check_note(locked, authority)
    _check_keys(keys, authority, tip.size)
    if clock.now_ns() < tip.recorded_at:
        raise CannotOpen(
            "clock-behind",
            f"the clock is {(tip.recorded_at - clock.now_ns()) / 1e9:.3f} s before the last entry's recorded_at",
        )
    if tip.size > locked.size:
        _check_tail(store, locked)
        batch = store.batch()
        batch.put("heads", layout.seq_key(locked.size), locked.note.encode())
        store.write(batch, durable=True)
        lock.advance(locked, sign_head(keys, authority, tip.size, tip.root))
    reader = LogReader(store, lambda: writer.head)
    writer = Writer(store, lock, reader, keys, clock, Tip(frontier, tip.last_hash, tip.recorded_at), authority, seqs)
    return Ledger(path, store, lock, keys, clock, writer, reader)


def _check_store(whole: LogReader, tip: layout.TipRecord, locked: Locked) -> merkle.Frontier:
    """The tree at the lock's size and at the tip's must have the roots that they say."""
    try:
        root = whole.frontier(locked.size).root()
        frontier = whole.frontier(tip.size)
        last = hashing.entry_hash(whole.raw(tip.size - 1))
    except LedgerError as error:
        raise CannotOpen("store-damaged", f"the database can't be read: {error}") from None
    if root != locked.root:
        raise CannotOpen(
            "other-root", f"at size {locked.size} the database has root {root.hex()}, the lock says {locked.root.hex()}"
        )
    if frontier.root() != tip.root or last != tip.last_hash:
        raise CannotOpen("store-damaged", f"the tip of size {tip.size} does not match the entries")
    return frontier


def _authority(store: Store, whole: LogReader) -> tuple[Authority, list[int]]:
    """Keys and policy, folded from the entries that `meta/authority` names."""
    seqs = layout.decode_seqs(store.get("meta", layout.AUTHORITY_KEY) or b"\x90")
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
    return authority, seqs


def _check_note(locked: Locked, authority: Authority) -> None:
    """The lock's checkpoint must be the log's own, and say what the lock says."""
    vkeys = [Vkey(authority.origin, key) for key in authority.log_keys_at(locked.size)]
    try:
        checkpoint = open_checkpoint(locked.note.encode(), vkeys)
    except LedgerError as error:
        raise CannotOpen("lock-damaged", f"the lock's checkpoint does not verify: {error}") from None
    if (checkpoint.origin, checkpoint.size, checkpoint.root) != (locked.origin, locked.size, locked.root):
        raise CannotOpen("lock-damaged", "the lock's checkpoint is not of the size and root beside it")


def _check_keys(keys: Keyring, authority: Authority, size: int) -> None:
    """A writer signs heads and heartbeats: it needs the live keys for both."""
    needed = [("log", key) for key in authority.log_keys_at(size + 1)] + [("notary", authority.notary)]
    for purpose, key in needed:
        if not keys.has(key):
            name = hashing.key_id(key).hex()
            raise CannotOpen(f"no-{purpose}-key", f"the private {purpose} key {name} is not in the key folder")


def _check_tail(store: Store, locked: Locked) -> None:
    """What was written and never locked is judged as any entry is before it is signed: whoever has the disk, and no key, gets
    no signature for entries that need one."""
    tail = StoreSource(store, locked).tail()
    if tail is None or tail.segment.findings:
        first = tail.segment.findings[0] if tail else Finding(Step.ENCODING, locked.size, "it can't be read")
        raise CannotOpen(
            "tail-damaged", f"entry {first.seq} past the lock does not hold (step {first.step}): {first.text}"
        )
