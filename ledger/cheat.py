"""The shipped attacker, with every key: makes a lie in a copy of a ledger, so that anyone can see which check names it.

Each lie is a function on a `Copy`: the log as lists, free to be bent. What it can't or won't make consistent again it
leaves as it is. `relink` mends chain and streams after a change, `attest` signs anew with the notary's key, `sign_heads`
with the log's: a thief does what his keys allow.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from decision_dna.ledger import hashing, layout, merkle
from decision_dna.ledger.authority import AuthorCounter, counter_from, decode_ledger_payload
from decision_dna.ledger.folder import read_folder
from decision_dna.ledger.followers import Followers
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.indexes import BLOCK_EVENTS, IndexFollower
from decision_dna.ledger.keyring import Keyring, read_keyring
from decision_dna.ledger.lock import Lock, Locked
from decision_dna.ledger.notes import Checkpoint, note_of, sign_checkpoint
from decision_dna.ledger.opening import lock_file
from decision_dna.ledger.own_claims import sign_ledger_claim
from decision_dna.ledger.pace import Beat, Limits, overdue
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.store import Store
from decision_dna.ledger.streams import StreamHead, list_leaves, list_root
from decision_dna.ledger.verification import AuthorityEntry, fold_schedule
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ZEROS, Claim, Entry, decode_claim, decode_entry
from decision_dna.schemas.errors import Conflict, NotFound
from decision_dna.schemas.ledgering import (
    AUTHORITY_TYPES,
    GENESIS,
    HEARTBEAT,
    KEY,
    NO_BEACON,
    Heartbeat,
    KeyChange,
    NamedCheckpoint,
    Policy,
)

Payload = bytes | tuple[bytes] | None


class Row(msgspec.Struct):
    """One entry, taken apart; `raw` overrides its bytes where the lie is in the bytes themselves."""

    entry: Entry
    claim: Claim
    payload: Payload
    raw: bytes | None = None

    def bytes_of(self) -> bytes:
        """What is stored."""
        return codec.encode(self.entry) if self.raw is None else self.raw


class Copy:
    """A log in lists. `heads` are (size, note), the newest last."""

    def __init__(self, path: Path) -> None:
        self.keys: Keyring = read_keyring(path / "keys")
        with read_folder(path) as view:
            reader = view.reader
            self.origin = reader.head().origin
            self.rows = [
                self._row(raw, reader.stored_payload(seq)) for seq, raw in enumerate(reader.raws(0, reader.size))
            ]
            self.heads = [(size, reader.note_of(size)) for size in reader.heads() if size]
        self.derive: Callable[[Store, LogReader], None] = lambda _store, _reader: None

    @staticmethod
    def _row(raw: bytes, payload: Payload) -> Row:
        entry = decode_entry(raw)
        return Row(entry, decode_claim(entry.claim), payload)

    def change_claim(self, at: int, **fields: object) -> None:
        """Say something else in an entry's claim; its signature stays as it was."""
        row = self.rows[at]
        row.claim = msgspec.structs.replace(row.claim, **fields)
        row.entry = msgspec.structs.replace(row.entry, claim=codec.encode(row.claim))

    def attest(self, at: int) -> None:
        """Have the notary sign an entry's claim as it is now, by the key that it names."""
        entry = self.rows[at].entry
        notaries = {key.key_id: key for key in self.keys.of_purpose("notary")}
        notary = notaries.get(entry.key_id) or next(iter(notaries.values()))
        signature = notary.sign(hashing.notary_message(entry.claim, entry.principal))
        self.rows[at].entry = msgspec.structs.replace(entry, signature=signature)

    def relink(self, start: int, *, heartbeats: bool = True) -> None:
        """Number and link everything from `start` on anew; with `heartbeats`, make their lists true again and sign them."""
        prev, streams, frontier = ZEROS, dict[str, StreamHead](), merkle.Frontier()
        for seq, row in enumerate(self.rows):
            head = streams.get(row.entry.stream, (0, ZEROS))
            if seq >= start:
                place = {"seq": seq, "prev": prev, "stream_seq": head[0], "stream_prev": head[1]}
                row.entry = msgspec.structs.replace(row.entry, **place)
                if heartbeats and row.claim.type == HEARTBEAT:
                    self._beat(seq, streams, frontier.root())
            frontier = merkle.extend(frontier, [merkle.leaf_hash(row.bytes_of())])
            prev = hashing.entry_hash(row.bytes_of())
            streams[row.entry.stream] = (head[0] + 1, prev)

    def _beat(self, at: int, streams: dict[str, StreamHead], root: bytes) -> None:
        leaves = list_leaves(streams)
        payload = Heartbeat(
            beacon=NO_BEACON,
            last=self.rows[at].entry.prev,
            root=root,
            size=at,
            streams_count=len(leaves),
            streams_root=list_root(leaves),
        )
        self.reopen(at, codec.encode(payload))
        self.attest(at)

    def reopen(self, at: int, payload: bytes) -> None:
        """Give an open entry another payload, with the commitment to it."""
        self.change_claim(at, payload_commitment=hashing.payload_commitment(bytes(16) + payload))
        self.rows[at].entry = msgspec.structs.replace(self.rows[at].entry, open=payload)

    def sign_heads(self) -> None:
        """Heads of the old sizes, as far as they are left, and of the whole, by the log key."""
        sizes = sorted({size for size, _ in self.heads if size < len(self.rows)} | {len(self.rows)})
        leaves = [merkle.leaf_hash(row.bytes_of()) for row in self.rows]
        self.heads = [(size, self.head_note(size, merkle.tree_root(leaves[:size]))) for size in sizes]

    def policy(self) -> Policy:
        """The newest policy of the log as it is."""
        changes = [
            AuthorityEntry(at, row.bytes_of()) for at, row in enumerate(self.rows) if row.claim.type in AUTHORITY_TYPES
        ]
        return fold_schedule(changes)[-1][1].policy

    def head_note(self, size: int, root: bytes) -> bytes:
        """A head, signed by the log keys that this log says must, as far as they are here."""
        schedule = fold_schedule(
            [
                AuthorityEntry(at, row.bytes_of())
                for at, row in enumerate(self.rows)
                if row.claim.type in AUTHORITY_TYPES and row.raw is None
            ]
        )
        wanted = schedule[-1][1].log_keys_at(size) if schedule else []
        here = {key.public: key for key in self.keys.of_purpose("log")}
        keys = [here[key] for key in wanted if key in here] or list(here.values())[:1]
        return sign_checkpoint(Checkpoint(self.origin, size, root), keys)

    def first(self, wanted: Callable[[Row], bool]) -> int:
        """The first entry past genesis that is such. Raises NotFound where the log has none to lie about."""
        for at, row in enumerate(self.rows):
            if at and wanted(row):
                return at
        kind = _KINDS.get(wanted, "heartbeat before its newest entry")
        raise NotFound(f"this ledger has no {kind}, and this lie needs one")

    def last(self, wanted: Callable[[Row], bool]) -> int:
        """The last entry that is such: nothing refers to it. Raises NotFound."""
        self.first(wanted)
        return max(at for at, row in enumerate(self.rows) if wanted(row))

    def write(self, source: Path, target: Path) -> None:
        """A folder with this log, its derived families made to fit, the keys and a lock with the newest head."""
        if target.exists():
            raise Conflict(f"{target} exists: a lie is made in a new copy")
        target.mkdir(parents=True, mode=0o700)
        shutil.copytree(source / "keys", target / "keys")
        with RocksStore.open(str(target / "db"), create=True) as store:
            batch = store.batch()
            for family, rows in self._families().items():
                batch.put_many(family, sorted(rows.items()))
            store.write(batch, durable=True)
            size, note = self.heads[-1]
            self.derive(store, LogReader(store, lambda: Locked(self.origin, size, note_of(note).root, note.decode())))
        lock_file(target).parent.mkdir(mode=0o700)
        Lock.create(str(lock_file(target)), self.origin, size, note_of(note).root, note.decode()).close()

    def _commits(self) -> list[tuple[int, int]]:
        """Where the log's commits began and ended, as its heads tell."""
        ends = sorted({size for size, _ in self.heads if size < len(self.rows)} | {len(self.rows)})
        return list(zip([0, *ends], ends, strict=False))

    def _families(self) -> dict[str, dict[bytes, bytes]]:
        raws = [row.bytes_of() for row in self.rows]
        rows: merkle.Rows = []
        frontier = merkle.extend(merkle.Frontier(), [merkle.leaf_hash(raw) for raw in raws], rows)
        streams, authors = dict[str, StreamHead](), dict[bytes, AuthorCounter]()
        for row, raw in zip(self.rows, raws, strict=True):
            streams[row.entry.stream] = (row.entry.stream_seq + 1, hashing.entry_hash(raw))
            if row.entry.attestation == "author":
                authors[row.entry.key_id] = counter_from(row.claim.author_seq, hashing.claim_hash(row.entry.claim))
        last = self.rows[-1].entry.recorded_at
        tip = layout.TipRecord(self.origin, len(raws), frontier.root(), hashing.entry_hash(raws[-1]), last)
        changes = [at for at, row in enumerate(self.rows) if row.claim.type in AUTHORITY_TYPES]
        made = merkle.made_for_tiles(merkle.Frontier(), rows)
        runs = [run for start, end in self._commits() for run in layout.run_bounds(start, end - start)]
        ids = {
            layout.id_key(row.claim.id, row.claim.source): at.to_bytes(8)
            for at, row in reversed(list(enumerate(self.rows)))
        }
        return {
            "entries": {layout.seq_key(start): layout.join_entries(raws[start:end]) for start, end in runs},
            "payloads": {
                layout.seq_key(start): codec.encode([row.payload for row in self.rows[start:end]])
                for start, end in runs
            },
            "ids": ids,
            "nodes": {layout.node_key(*node): value for node, value in made.items()},
            "streams": {name.encode(): codec.encode(head) for name, head in streams.items()},
            "authors": {key: codec.encode(counter) for key, counter in authors.items()},
            "sources": {
                layout.source_key(row.entry.principal, row.claim.source): b""
                for row in self.rows
                if row.entry.attestation != "author" and row.claim.source != "ledger"
            },
            "heads": {layout.seq_key(size): note for size, note in self.heads[:-1]},
            "meta": {
                layout.TIP_KEY: codec.encode(tip),
                layout.AUTHORITY_KEY: codec.encode(changes),
                layout.FORMAT_KEY: codec.encode(layout.STORE_FORMAT),
            },
        }


# --- the lies ----------------------------------------------------------------------------------------------------------


def _private(row: Row) -> bool:
    return isinstance(row.payload, bytes)


def _notarised(row: Row) -> bool:
    return _private(row) and row.entry.attestation == "notary"


def _authored(row: Row) -> bool:
    return _private(row) and row.entry.attestation == "author" and row.claim.author_seq > 0


def _key_change(row: Row) -> bool:
    return row.claim.type == KEY


def _heartbeat(row: Row) -> bool:
    return row.claim.type == HEARTBEAT


_KINDS: dict[Callable[[Row], bool], str] = {
    _private: "event with a payload beside its entry",
    _notarised: "event that the notary signed",
    _authored: "event that an author's key signed and counted",
    _key_change: "entry of type ledger.key (`dna keys register` appends one)",
    _heartbeat: "heartbeat (`dna heartbeat` appends one)",
}


def flip(copy: Copy) -> None:
    """Someone with the disk changes one byte inside an entry's claim."""
    at = copy.first(_private)
    raw = bytearray(copy.rows[at].bytes_of())
    raw[raw.index(copy.rows[at].claim.payload_commitment)] ^= 1
    copy.rows[at].raw = bytes(raw)


def garble(copy: Copy) -> None:
    """Someone with the disk damages an entry so that it can't be read."""
    at = copy.first(_private)
    copy.rows[at].raw = b"\xc1" + copy.rows[at].bytes_of()[1:]


def payload(copy: Copy) -> None:
    """Someone with the disk changes a payload."""
    row = copy.rows[copy.first(_private)]
    if isinstance(row.payload, bytes):
        row.payload = row.payload[:-1] + bytes([row.payload[-1] ^ 1])


def lose(copy: Copy) -> None:
    """Someone with the disk removes a payload, without an erasure."""
    copy.rows[copy.first(_private)].payload = None


def remove(copy: Copy) -> None:
    """Someone with the disk takes an entry out and closes the gap in the numbers."""
    at = copy.first(_private)
    del copy.rows[at]
    for seq, row in enumerate(copy.rows):
        row.entry = msgspec.structs.replace(row.entry, seq=seq)


def swap(copy: Copy) -> None:
    """Someone with the disk changes the order of two entries, numbers and all."""
    at = copy.first(_private)
    one, other = copy.rows[at], copy.rows[at + 1]
    copy.rows[at], copy.rows[at + 1] = other, one
    for seq in (at, at + 1):
        copy.rows[seq].entry = msgspec.structs.replace(copy.rows[seq].entry, seq=seq)


def insert(copy: Copy) -> None:
    """A thief of the log key puts an entry of his own in between, linked and under new heads; he has no notary key."""
    at = copy.first(_notarised)
    row = copy.rows[at]
    claim = msgspec.structs.replace(row.claim, id=new_ids(1, row.entry.recorded_at)[0])
    forged = Row(msgspec.structs.replace(row.entry, claim=codec.encode(claim)), claim, row.payload)
    copy.rows.insert(at, forged)
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def truncate(copy: Copy) -> None:
    """Someone with the disk cuts the newest entries off; the newest head stays what it was."""
    del copy.rows[-2:]
    newest = copy.heads[-1]
    copy.heads = [head for head in copy.heads if head[0] <= len(copy.rows)] + [newest]


def rewrite(copy: Copy) -> None:
    """A thief of the log key changes what a claim says, relinks and signs new heads; he has no notary key."""
    at = copy.first(_notarised)
    copy.change_claim(at, subject="another")
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def weaken(copy: Copy) -> None:
    """A thief of the log key strips an attestation, relinks and signs new heads."""
    at = copy.first(_notarised)
    copy.rows[at].entry = msgspec.structs.replace(
        copy.rows[at].entry, attestation="none", principal="", key_id=b"", signature=b""
    )
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def backdate(copy: Copy) -> None:
    """The operator records an entry an hour before the one before it, with every key."""
    at = copy.first(_notarised)
    earlier = copy.rows[at - 1].entry.recorded_at - 3600 * 10**9
    copy.change_claim(at, occurred_at=earlier)
    copy.rows[at].entry = msgspec.structs.replace(copy.rows[at].entry, recorded_at=earlier)
    copy.attest(at)
    copy.relink(at)
    copy.sign_heads()


def twice(copy: Copy) -> None:
    """The operator enters a claim a second time, with every key."""
    at = copy.first(_notarised)
    row = copy.rows[at]
    copy.rows.append(Row(row.entry, row.claim, row.payload))
    copy.rows[-1].entry = msgspec.structs.replace(row.entry, recorded_at=copy.rows[-2].entry.recorded_at)
    copy.relink(len(copy.rows) - 1)
    copy.sign_heads()


def omit(copy: Copy) -> None:
    """The operator drops an event and relinks all, but leaves the heartbeats as they were."""
    at = copy.last(_notarised)
    del copy.rows[at]
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def reroll(copy: Copy) -> None:
    """The operator with every key writes the log anew without an event, heartbeats, heads and all: only an earlier head shows it."""
    at = copy.last(_notarised)
    del copy.rows[at]
    copy.relink(at)
    copy.sign_heads()


def skip(copy: Copy) -> None:
    """A thief of the log key drops an event, relinks and signs new heads; the notary's heartbeats stay as they were."""
    at = copy.first(_notarised)
    del copy.rows[at]
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def hush(copy: Copy) -> None:
    """A thief of the log key drops an event, and every heartbeat after it, relinks and signs new heads."""
    at = copy.first(_notarised)
    del copy.rows[at]
    copy.rows[at:] = [row for row in copy.rows[at:] if row.claim.type != HEARTBEAT]
    beat = next(row.entry for row in reversed(copy.rows[:at]) if row.claim.type in (HEARTBEAT, GENESIS))
    last, limits = copy.rows[-1].entry, Limits.of(copy.policy())
    if overdue(limits, Beat(beat.seq, beat.recorded_at), len(copy.rows) - 1, last.recorded_at) is None:
        raise NotFound("this ledger is too young for this lie: without its heartbeats it still keeps policy's maxima")
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def reorder(copy: Copy) -> None:
    """A thief of the log key changes the order of two events, relinks and signs new heads."""
    at = copy.first(_notarised)
    copy.rows[at], copy.rows[at + 1] = copy.rows[at + 1], copy.rows[at]
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def retime(copy: Copy) -> None:
    """A thief of the log key records an event a moment later than it was, relinks and signs new heads."""
    at = copy.first(_notarised)
    later = copy.rows[at].entry.recorded_at + 1
    for row in copy.rows[at:]:
        row.entry = msgspec.structs.replace(row.entry, recorded_at=max(later, row.entry.recorded_at))
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def unrevoke(copy: Copy) -> None:
    """A thief of the log key drops a change of keys that root signed, relinks and signs new heads."""
    at = copy.first(_key_change)
    del copy.rows[at]
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def usurp(copy: Copy) -> None:
    """A thief of the log key signs a change of keys that puts a key of his own in its place."""
    log, new = copy.keys.of_purpose("log")[0], SigningKey(bytes(32))
    frontier = merkle.extend(merkle.Frontier(), [merkle.leaf_hash(row.bytes_of()) for row in copy.rows])
    last = copy.rows[-1].entry
    change = KeyChange(
        action="rotate",
        checkpoint=NamedCheckpoint(root=frontier.root(), size=len(copy.rows)),
        key=new.public,
        not_after=last.recorded_at,
        operator="",
        overlap=0,
        purpose="log",
        replaces=log.key_id,
        roles=(),
        sources=(),
        suspect_from=None,
    )
    event_id = new_ids(1, last.recorded_at)[0]
    draft = sign_ledger_claim(copy.origin, log, KEY, change, event_id, last.recorded_at, None)
    entry = msgspec.structs.replace(
        last,
        stream="ledger/ledger",
        claim=draft.claim,
        attestation="author",
        principal="",
        key_id=draft.key_id,
        signature=draft.signature,
        open=draft.payload,
    )
    copy.rows.append(Row(entry, decode_claim(draft.claim), None))
    copy.keys.add("log", new)
    copy.relink(len(copy.rows) - 1, heartbeats=False)
    copy.sign_heads()


def rewind(copy: Copy) -> None:
    """A thief of the log key drops everything after a heartbeat and signs a head there: only an earlier head, an anchor or the clock shows it."""
    newest = copy.rows[-1]
    at = copy.last(lambda row: _heartbeat(row) and row is not newest)
    del copy.rows[at + 1 :]
    copy.sign_heads()


def forge(copy: Copy) -> None:
    """A thief of the notary key adds an event that nobody submitted, linked; he has no log key to sign a head with."""
    at = copy.last(_notarised)
    row = copy.rows[at]
    claim = msgspec.structs.replace(row.claim, id=new_ids(1, row.entry.recorded_at)[0])
    last = copy.rows[-1].entry
    entry = msgspec.structs.replace(row.entry, claim=codec.encode(claim), recorded_at=last.recorded_at)
    copy.rows.append(Row(entry, claim, row.payload))
    copy.attest(len(copy.rows) - 1)
    copy.relink(len(copy.rows) - 1, heartbeats=False)
    size = copy.heads[-1][0]
    root = merkle.tree_root([merkle.leaf_hash(each.bytes_of()) for each in copy.rows])
    forged = sign_checkpoint(Checkpoint(copy.origin, size + 1, root), [copy.keys.of_purpose("notary")[0]])
    copy.heads += [(size + 1, forged)]


def impersonate(copy: Copy) -> None:
    """The operator lets a caller speak for the engine: another principal notarised a type of the system's."""
    at = copy.last(_notarised)
    copy.change_claim(at, type="detection.sandwich")
    row = copy.rows[at]
    row.entry = msgspec.structs.replace(row.entry, stream=f"detection/{row.claim.source}")
    copy.attest(at)
    copy.relink(at)
    copy.sign_heads()


def withhold(copy: Copy) -> None:
    """The ledger leaves out one of an author's counted claims, with every key of its own."""
    at = copy.first(_authored)
    del copy.rows[at]
    copy.relink(at)
    copy.sign_heads()


def alter(copy: Copy) -> None:
    """The ledger changes an author's claim, with every key of its own."""
    at = copy.first(_authored)
    copy.change_claim(at, subject="not what was said")
    copy.relink(at)
    copy.sign_heads()


def strip(copy: Copy) -> None:
    """The ledger passes an author's claim off as its own notarised one."""
    at = copy.first(_authored)
    key_id = hashing.key_id(copy.keys.of_purpose("notary")[0].public)
    copy.rows[at].entry = msgspec.structs.replace(
        copy.rows[at].entry, attestation="notary", principal="local", key_id=key_id
    )
    copy.attest(at)
    copy.relink(at)
    copy.sign_heads()


def transplant(copy: Copy) -> None:
    """Someone replays a claim that was made for another log."""
    at = copy.first(_notarised)
    copy.change_claim(at, origin="elsewhere.example/log")
    copy.attest(at)
    copy.relink(at)
    copy.sign_heads()


def heartbeat(copy: Copy) -> None:
    """The operator lets a heartbeat commit to a list without one of the streams."""
    at = copy.first(_heartbeat)
    said = decode_ledger_payload(copy.rows[at].claim, copy.rows[at].entry.open)
    copy.reopen(at, codec.encode(msgspec.structs.replace(said, streams_count=1, streams_root=bytes(32))))
    copy.attest(at)
    copy.relink(at, heartbeats=False)
    copy.sign_heads()


def unindex(copy: Copy) -> None:
    """Someone with the disk removes a row of an index, so that queries omit events."""
    if len(copy.rows) < BLOCK_EVENTS:
        raise NotFound(f"an index has no row before {BLOCK_EVENTS} entries; this ledger has {len(copy.rows)}")

    def remove(store: Store, reader: LogReader) -> None:
        Followers(store, reader, [IndexFollower()]).catch_up()
        batch = store.batch()
        batch.delete("index", next(key for key, _ in store.scan("index", b"s")))  # of a source
        store.write(batch, durable=True)

    copy.derive = remove


def fork(copy: Copy) -> None:
    """The operator keeps a head of an earlier size with another root, signed."""
    size = copy.heads[0][0]
    copy.heads[0] = (size, copy.head_note(size, hashing.entry_hash(b"another history")))


def behead(copy: Copy) -> None:
    """Someone with the disk puts a head in place that nobody signed."""
    size, note = copy.heads[0]
    text, _, _ = note.rpartition(b" ")
    copy.heads[0] = (size, text + b" " + b"A" * 90 + b"==\n")


LIES: dict[str, tuple[Callable[[Copy], None], tuple[int, ...]]] = {
    "flip": (flip, (2, 4, 5, 6)),
    "garble": (garble, (1, 6)),
    "payload": (payload, (5,)),
    "lose": (lose, (5,)),
    "remove": (remove, (2, 3, 6)),
    "swap": (swap, (2, 6)),
    "insert": (insert, (4,)),
    "truncate": (truncate, (7,)),
    "rewrite": (rewrite, (4,)),
    "weaken": (weaken, (4,)),
    "backdate": (backdate, (1,)),
    "twice": (twice, (1,)),
    "skip": (skip, (3,)),
    "hush": (hush, (3,)),
    "reorder": (reorder, (3,)),
    "retime": (retime, (3,)),
    "unrevoke": (unrevoke, (3,)),
    "usurp": (usurp, (4,)),
    "rewind": (rewind, ()),
    "forge": (forge, (7,)),
    "impersonate": (impersonate, (4,)),
    "omit": (omit, (3,)),
    "reroll": (reroll, ()),
    "withhold": (withhold, (4,)),
    "alter": (alter, (4,)),
    "strip": (strip, (4,)),
    "transplant": (transplant, (1,)),
    "heartbeat": (heartbeat, (3,)),
    "unindex": (unindex, (6,)),
    "fork": (fork, (7,)),
    "behead": (behead, (7,)),
}
"""Name → (the lie, the steps that must name it). `reroll` and `rewind` pass 1–7 and are named against an earlier head (`--head`)."""


def cheat(lie: str, source: Path, target: Path) -> None:
    """Make a lie in a copy. Raises NotFound for an unknown lie, or a ledger with nothing to lie about; Conflict where `target` exists."""
    if lie in APART:
        return APART[lie](source, target)
    if lie not in LIES:
        raise NotFound(f"no lie {lie!r}; there are: {', '.join([*LIES, *APART])}")
    copy = Copy(source)
    LIES[lie][0](copy)
    return copy.write(source, target)


def restore(source: Path, target: Path) -> None:
    """The operator restores an old copy of the database beside the lock of today: start-up refuses."""
    copy = Copy(source)
    newest = copy.heads[-1]
    truncate(copy)
    copy.heads[-1] = copy.heads[-1] if len(copy.heads) < 2 else newest
    copy.write(source, target)


def split(source: Path, target: Path) -> None:
    """The operator copies the ledger and appends to both copies, with every key: each verifies alone, and their two heads convict him."""
    copy = Copy(source)
    at = copy.last(_notarised)
    copy.change_claim(at, subject="said in the other copy")
    copy.attest(at)
    copy.relink(at)
    copy.sign_heads()
    copy.write(source, target)


APART: dict[str, Callable[[Path, Path], None]] = {"restore": restore, "split": split}
"""Lies that no step names in the copy alone: start-up refuses `restore`, and a head of each copy shows `split` (`dna check --fork`)."""
