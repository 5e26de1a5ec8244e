"""An open ledger: appended to, read, closed. Made and opened by `ledger.opening`."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from decision_dna.ledger import hashing, layout
from decision_dna.ledger.admission import provisional_entry
from decision_dna.ledger.authority import (
    ANCHOR_PRINCIPAL,
    SYSTEM_PRINCIPAL,
    Authority,
    authority_after,
    decode_ledger_payload,
    named_checkpoint,
    signature_job,
)
from decision_dna.ledger.clock import Clock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.lock import HeadLock
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.own_claims import sign_ledger_claim
from decision_dna.ledger.pace import EXEMPT_TYPES, misplaced, vouch_of
from decision_dna.ledger.plan import AuthorDraft, Draft, Prepared, prepare_signed, retry_content
from decision_dna.ledger.preparing import Decode, Preparation, Preparers, Rules, check_caller, in_flight
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.signatures import SigningKey, is_signed
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.writer import Appended, Writer
from decision_dna.schemas import codec
from decision_dna.schemas.claims import Claim, Entry, check_times, decode_claim
from decision_dna.schemas.errors import CannotOpen, Conflict, LedgerError, Malformed, NotFound, Refused
from decision_dna.schemas.ledgering import (
    CLOCK,
    ERASURE,
    NO_BEACON,
    Beacon,
    ClockStep,
    Erasure,
    KeyChange,
    NamedCheckpoint,
    Policy,
    PolicyChange,
)
from decision_dna.schemas.payloads import Payload, is_open
from decision_dna.schemas.texts import id_text

CHANGE_SECONDS = 3600
"""How long a change of keys or policy may be appended after root signed it."""
AHEAD = 3
"""Requests that workers prepare before the writer needs them."""


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
        """Claims for drafts, attested as policy asks: notarised for `principal`, or not at all. Errors stay in their places.

        Raises Refused for a principal that only the ledger's own parts have.
        """
        check_caller(principal)
        return self._prepare_as(principal, drafts)

    def _prepare_as(
        self, principal: str, drafts: Sequence[Draft | AuthorDraft | LedgerError]
    ) -> list[Prepared | LedgerError]:
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
        check_caller(principal)
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

    def append_system(self, drafts: Sequence[Draft | LedgerError], *, atomic: bool = False) -> Appended:
        """Append what the engine itself says, as principal `engine`. Raises as `append`."""
        return self.writer.append(self._prepare_as(SYSTEM_PRINCIPAL, drafts), atomic=atomic)

    def append_anchor(self, type_name: str, payload: Payload) -> Appended:
        """Append an `anchor.*` entry. Raises as `append`."""
        draft = Draft(type=type_name, schema=1, source="anchor", payload=codec.encode(payload))
        return self.writer.append(self._prepare_as(ANCHOR_PRINCIPAL, [draft]))

    def heartbeat(self, beacon: Beacon = NO_BEACON) -> Appended:
        """Append a `ledger.heartbeat` over everything before it. Raises ClockWrong, Unavailable."""
        return self.writer.heartbeat(beacon)

    def erase(self, seq: int, who: str, why: str, key: SigningKey | None = None) -> Appended:
        """Remove an event's payload and salt, and say so in the log, signed by an operator's key with role `erasure`.

        Without a `key` by root's, from the key folder. Raises NotFound, Refused, Conflict, Unavailable.
        """
        with self.writer.turn():
            event = self.reader.event(seq)
            if is_open(event.claim.type):
                raise Refused(f"{event.claim.type} is open: it can't be erased")
            if event.payload is None:
                raise Conflict(f"the payload of event {seq} is gone already")
            tag = hashing.retry_tag(self.keys.retry, retry_content(event.claim, event.payload))
            payload = Erasure(id=event.claim.id, seq=seq, who=who, why=why)
            signer = key or self.keys.get(self.writer.authority.root, "root")
            draft = self.sign_own(signer, ERASURE, payload)
            appended = self.append_signed(draft, touch=lambda batch: self._blank(batch, seq, tag))
        self.store.compact(
            "payloads",
            layout.seq_key(seq - layout.RUN_EVENTS if seq > layout.RUN_EVENTS else 0),
            layout.seq_key(seq + 1),
        )
        return appended

    def append_signed(self, draft: AuthorDraft, *, touch: Callable[[Batch], None] | None = None) -> Appended:
        """Append a `ledger.*` entry that root or an operator signed: keys, policy, clock, erasures. `touch` adds to its write.

        Raises Refused, Conflict, Malformed, ClockWrong.
        """
        with self.writer.turn():
            row = prepare_signed(draft, origin=self.origin)
            claim = decode_claim(row.claim)
            if claim.source != "ledger":
                raise Refused("only the ledger's own types are appended so")
            if claim.type == ERASURE and touch is None:
                raise Refused("an erasure is made where the payload is: `dna erase`")
            entry = provisional_entry(row, self.reader.size, self.clock.now_ns())
            self._check_signed(row, entry, claim)
            vouch = vouch_of(self.writer.authority, entry, claim)
            recorded_at = self.writer.next_time(vouch)
            entry = msgspec.structs.replace(entry, recorded_at=recorded_at)
            self._check_time(entry, claim)
            if claim.type not in EXEMPT_TYPES:
                self.writer.beat_before(1, recorded_at)
            entry = msgspec.structs.replace(entry, seq=self.reader.size)
            after = authority_after(self.writer.authority, entry, claim)
            changed = after if after is not self.writer.authority else None
            appended = self.writer.append_own(row, recorded_at=recorded_at, authority=changed, touch=touch)
            if claim.type == CLOCK:
                self.writer.accept_clock()
            return appended

    def _check_signed(self, row: Prepared, entry: Entry, claim: Claim) -> None:
        """Raise unless the entry is signed by whom its type needs, and may stand in this log at all: nothing is appended before."""
        job = signature_job(self.writer.authority, entry, claim)
        if job is None or not is_signed(*job):
            raise Refused(f"{claim.type}: the signature does not verify")
        if self.reader.seq_of_id(claim.id, claim.source) is not None:
            raise Conflict(f"id {id_text(claim.id)} of ledger stands already")
        check_times(claim.occurred_at, claim.id, entry.recorded_at)
        for cause in claim.causes:
            if self.reader.seq_of_id(cause) is None:
                raise Malformed(f"cause {id_text(cause)} is no earlier event")
        self.writer.own_counter(row)
        after = authority_after(self.writer.authority, entry, claim)
        if after is not None and after is not self.writer.authority:
            self._check_signable(after)
        named = named_checkpoint(claim, entry.open)
        if named is not None and named.size <= entry.seq and self.reader.frontier(named.size).root() != named.root:
            raise Refused(f"{claim.type}: the first {named.size} entries have another root than the one that it names")

    def _check_time(self, entry: Entry, claim: Claim) -> None:
        """Raise Refused for an entry that may not be recorded when it would be: a change that was good until before, or a `ledger.clock`
        that vouches for another time."""
        authority_after(self.writer.authority, entry, claim)
        step = decode_ledger_payload(claim, entry.open)
        if isinstance(step, ClockStep):
            wrong = misplaced(self.writer.authority.policy, step, entry.recorded_at)
            if wrong is not None:
                raise Refused(wrong)

    def sign_own(self, key: SigningKey, type_name: str, payload: Payload) -> AuthorDraft:
        """A `ledger.*` claim signed by a key, ready for `append_signed`: made wherever the key is."""
        now = self.clock.now_ns()
        counter = self.writer.author_counter(key.key_id)
        return sign_ledger_claim(self.origin, key, type_name, payload, new_ids(1, now)[0], now, counter)

    def named_checkpoint(self) -> NamedCheckpoint:
        """The newest head, as an entry of root's names it."""
        head = self.reader.head()
        return NamedCheckpoint(root=head.root, size=head.size)

    def key_change(
        self,
        action: Literal["register", "rotate", "revoke"],
        purpose: Literal["log", "notary", "anchor", "author"],
        key: bytes,
        *,
        replaces: bytes = b"",
        sources: Sequence[str] = (),
        operator: str = "",
        roles: Sequence[str] = (),
        overlap: int = 0,
        suspect_from: int | None = None,
    ) -> KeyChange:
        """The payload of a `ledger.key` entry that may be appended from now on for `CHANGE_SECONDS`."""
        return KeyChange(
            action=action,
            checkpoint=self.named_checkpoint(),
            key=key,
            not_after=self.clock.now_ns() + CHANGE_SECONDS * 10**9,
            operator=operator,
            overlap=overlap,
            purpose=purpose,
            replaces=replaces,
            roles=tuple(sorted(set(roles))),
            sources=tuple(sorted(set(sources))),
            suspect_from=suspect_from,
        )

    def policy_change(self, policy: Policy) -> PolicyChange:
        """The payload of a `ledger.policy` entry that may be appended from now on for `CHANGE_SECONDS`."""
        not_after = self.clock.now_ns() + CHANGE_SECONDS * 10**9
        return PolicyChange(checkpoint=self.named_checkpoint(), not_after=not_after, policy=policy)

    def accept_clock(self, key: SigningKey, reason: str) -> Appended:
        """Vouch for the wall clock as it is now, signed by root or by an operator with role `clock`, so that appends go on."""
        last = self.writer.recorded_at
        step = ClockStep(from_ns=last, reason=reason, to_ns=max(last, self.clock.now_ns()))
        return self.append_signed(self.sign_own(key, CLOCK, step))

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
            check_keys(self.keys, after, self.reader.size)
        except CannotOpen as error:
            raise Refused(f"{error}: bring it first") from None

    def _blank(self, batch: Batch, seq: int, tag: bytes) -> None:
        found = self.store.last("payloads", layout.seq_key(seq))
        if found is None:
            raise NotFound(f"no payload of event {seq}")
        stored = layout.split_payloads(found[1])
        stored[seq - int.from_bytes(found[0])] = (tag,)
        batch.put("payloads", found[0], codec.encode(stored))


def check_keys(keys: Keyring, authority: Authority, size: int) -> None:
    """A writer signs heads and heartbeats: it needs the live keys for both. Raises CannotOpen."""
    needed = [("log", key) for key in authority.log_keys_at(size + 1)] + [("notary", authority.notary)]
    for purpose, key in needed:
        if not keys.has(key):
            name = hashing.key_id(key).hex()
            raise CannotOpen(f"no-{purpose}-key", f"the private {purpose} key {name} is not in the key folder")
