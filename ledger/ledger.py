"""An open ledger: appended to, read, closed. Made and opened by `ledger.opening`."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from decision_dna.ledger import hashing, layout, streams
from decision_dna.ledger.admission import provisional_entry
from decision_dna.ledger.authority import (
    LEDGER_PRINCIPAL,
    Authority,
    authority_after,
    decode_ledger_payload,
    signature_job,
)
from decision_dna.ledger.clock import Clock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.keyring import Keyring
from decision_dna.ledger.lock import HeadLock
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.plan import (
    NO_SALT,
    AuthorDraft,
    Draft,
    Prepared,
    Signer,
    prepare,
    prepare_signed,
    retry_content,
)
from decision_dna.ledger.preparing import Decode, Preparation, Preparers, Rules, in_flight
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.signatures import SigningKey, is_signed
from decision_dna.ledger.store import Batch, Store
from decision_dna.ledger.writer import Appended, Writer
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, ZEROS, Claim, check_times, decode_claim
from decision_dna.schemas.errors import CannotOpen, Conflict, LedgerError, Malformed, NotFound, Refused
from decision_dna.schemas.ledgering import (
    CLOCK,
    ERASURE,
    HEARTBEAT,
    NO_BEACON,
    Beacon,
    ClockStep,
    Erasure,
    Heartbeat,
)
from decision_dna.schemas.payloads import Payload, is_open
from decision_dna.schemas.texts import id_text

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
                raise Conflict(f"id {id_text(claim.id)} of ledger stands already")
            check_times(claim.occurred_at, claim.id, entry.recorded_at)
            for cause in claim.causes:
                if self.reader.seq_of_id(cause) is None:
                    raise Malformed(f"cause {id_text(cause)} is no earlier event")
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
            check_keys(self.keys, after, self.reader.size)
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


def check_keys(keys: Keyring, authority: Authority, size: int) -> None:
    """A writer signs heads and heartbeats: it needs the live keys for both. Raises CannotOpen."""
    needed = [("log", key) for key in authority.log_keys_at(size + 1)] + [("notary", authority.notary)]
    for purpose, key in needed:
        if not keys.has(key):
            name = hashing.key_id(key).hex()
            raise CannotOpen(f"no-{purpose}-key", f"the private {purpose} key {name} is not in the key folder")
