"""Logs made by hand, down to the last byte: no clock, no chance, every key known, so that the same bytes come out anywhere.

A `Log` is a list of rows, each an entry taken apart into the fields of docs/format.md. Anything may be bent, and then as
many layers mended as the lie needs: `commit` (payload), `attest` (signature), `relink` (chain, streams, counters, and what
heartbeats and root say of the log before them), `sign_heads`. What is honest is said with `say`, `beat`, `erase` and the
rest, which keep all layers right.
"""

import base64
from collections.abc import Iterable, Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

import msgspec

from decision_dna.ledger import hashing, merkle
from decision_dna.ledger.notes import Checkpoint, Vkey, sign_checkpoint
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.streams import list_leaves, list_root
from decision_dna.ledger.verification import AuthorityEntry, fold_schedule
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ZEROS
from decision_dna.schemas.errors import Malformed
from decision_dna.schemas.payloads import is_open

ORIGIN = "vectors.example/log"
SECOND = 10**9
DAY = 86_400 * SECOND
START = 1_790_000_000 * SECOND
NO_SALT = bytes(16)
AUTHORITY = ("ledger.genesis", "ledger.key", "ledger.policy")
PRINCIPALS = {"ledger": "ledger", "anchor": "anchor", "sys": "engine"}
"""Sources that one principal alone speaks for; `sys` by the policy below."""

NAMES = (
    *("root", "log", "log-2", "log-3", "notary", "notary-2", "anchor", "anchor-2"),
    *("author", "author-2", "author-3", "operator", "operator-2"),
)
KEYS = {name: SigningKey(sha256(f"a key of the vectors: {name}".encode()).digest()) for name in (*NAMES, "stranger")}
BY_ID = {hashing.key_id(key.public): key for key in KEYS.values()}
BY_PUBLIC = {key.public: key for key in KEYS.values()}


def public(name: str) -> bytes:
    """The 32 bytes of a key."""
    return KEYS[name].public


def key_id(name: str) -> bytes:
    """The 8 bytes that name it in entries."""
    return hashing.key_id(public(name))


def torsioned(name: str) -> bytes:
    """That key with the point of order 2 added, which turns the signs of both coordinates: of order 2L, so nobody's key."""
    number, mask = int.from_bytes(public(name), "little"), 2**255 - 1
    return (2**255 - 19 - (number & mask) | (1 - (number >> 255)) << 255).to_bytes(32, "little")


def vkey(name: str, origin: str = ORIGIN) -> Vkey:
    """What somebody pins."""
    return Vkey(origin, public(name))


def event_id(number: int, now: int) -> bytes:
    """A UUIDv7 of that moment, its random bits drawn from a hash of the number."""
    draw = bytearray(sha256(f"an id of the vectors: {number}".encode()).digest()[:10])
    draw[0] = 0x70 | draw[0] & 0x0F
    draw[2] = 0x80 | draw[2] & 0x3F
    return (now // 1_000_000).to_bytes(6) + bytes(draw)


def text(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def line(value: Any) -> bytes:
    """A JSON object in its one form, with its LF."""
    return msgspec.json.encode(value) + b"\n"


PAUSE, JUMP = 7 * DAY, 400 * DAY
POLICY: dict[str, Any] = {
    "anchor_events_max": 1000,
    "anchor_seconds_max": 3600,
    "default_attestation": "notary",
    "heartbeat_events_max": 100,
    "heartbeat_seconds_max": 600,
    "jump_seconds_max": JUMP // SECOND,
    "pause_seconds_max": PAUSE // SECOND,
    "sources": [
        {"attestation": "author", "keys": [], "role": "", "source": "bot"},
        {"attestation": "none", "keys": [], "role": "", "source": "raw"},
        {"attestation": "notary", "keys": [], "role": "system", "source": "sys"},
    ],
    "sources_per_principal_max": 100,
}
NO_BEACON = {"block_time": 0, "blockhash": "", "kind": "none", "slot": 0}


def finalized(block_time: int, kind: str = "finalized") -> dict[str, Any]:
    """A block of that time, in seconds."""
    return {"block_time": block_time, "blockhash": "9" * 44, "kind": kind, "slot": 7}


def genesis_payload(**fields: Any) -> dict[str, Any]:
    """What `ledger.genesis` says."""
    named = {f"{name}_key": public(name) for name in ("anchor", "log", "notary", "root")}
    return {**named, "format_version": 1, "origin": ORIGIN, "policy": POLICY, "successor_of": None, **fields}


class Row(msgspec.Struct):
    """One entry, taken apart; `raw` stands for its bytes where the lie is in the bytes themselves."""

    entry: dict[str, Any]
    claim: dict[str, Any]
    payload: bytes | None
    raw: bytes | None = None

    def bytes_of(self) -> bytes:
        """The leaf."""
        return codec.encode(list(self.entry.values())) if self.raw is None else self.raw

    def seal(self) -> None:
        """Put the claim, as it is now, into the entry."""
        self.entry["claim"] = codec.encode(list(self.claim.values()))

    def reopen(self, value: Any) -> None:
        """Give an open entry another payload (bytes as they are), committed to."""
        self.entry["open"] = value if isinstance(value, bytes) else codec.encode(value)
        self.commit()

    def commit(self) -> None:
        """The claim commits to the payload as it is now."""
        salted = NO_SALT + self.entry["open"] if self.entry["open"] else self.payload
        if salted is not None:
            self.claim["payload_commitment"] = hashing.payload_commitment(salted)
        self.seal()

    def attest(self, key: str | None = None, attestation: str | None = None, principal: str | None = None) -> None:
        """Sign the claim as it is now: by the key that is named, or that the entry names already, if its private half is known."""
        entry = self.entry
        entry["attestation"] = attestation or entry["attestation"]
        entry["key_id"] = entry["key_id"] if key is None else key_id(key)
        if principal is not None:
            entry["principal"] = principal
        signer = BY_ID.get(entry["key_id"]) if isinstance(entry["key_id"], bytes) else None
        if signer is not None and isinstance(entry["claim"], bytes):
            entry["signature"] = signer.sign(self._message())

    def _message(self) -> bytes:
        claim, principal = self.entry["claim"], self.entry["principal"]
        if self.entry["attestation"] == "notary" and isinstance(principal, str):
            return hashing.notary_message(claim, principal)
        return hashing.author_message(claim)

    def opened(self) -> dict[str, Any]:
        """The payload of an open entry, to be changed and given back to `reopen`; empty where it can't be read."""
        try:
            value = codec.decode(self.entry["open"])
        except Malformed:
            return {}
        return value if isinstance(value, dict) else {}


class Log:
    """A log in lists. `heads` are notes; `now` is the time of the next entry; `notary` the name of the live notary key."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.rows: list[Row] = []
        self.heads: list[bytes] = []
        self.now = START
        self.notary = "notary"
        self.counters: dict[str, tuple[int, bytes]] = {}
        self._said = 0

    def copy(self) -> "Log":
        """Another one, to be bent."""
        return deepcopy(self)

    # --- saying what is true --------------------------------------------------------------------------------------

    def say(
        self,
        kind: str,
        source: str,
        payload: Any,
        *,
        by: str = "notary",
        attestation: str = "",
        principal: str | None = None,
        **claim: Any,
    ) -> Row:
        """One more entry, a second later: by the notary, by `none`, or by the key of that name as its author.

        The principal is the one who speaks for the source, else alice.
        """
        self.now += SECOND
        self._said += 1
        data = payload if isinstance(payload, bytes) else codec.encode(payload)
        opened = is_open(kind)
        salt = NO_SALT if opened else sha256(f"a salt of the vectors: {self._said}".encode()).digest()[:16]
        said: dict[str, Any] = {
            "version": 1,
            "origin": self.origin,
            "id": event_id(self._said, self.now),
            "type": kind,
            "schema": 1,
            "source": source,
            "subject": "",
            "occurred_at": self.now,
            "causes": [],
            "trace": "",
            "author_seq": 0,
            "author_prev": ZEROS,
            "payload_commitment": hashing.payload_commitment(salt + data),
            **claim,
        }
        attestation = attestation or (by if by in ("none", "notary") else "author")
        principal = PRINCIPALS.get(source, "alice") if principal is None else principal
        place = {"version": 1, "seq": len(self.rows), "prev": ZEROS, "stream": f"{kind.partition('.')[0]}/{source}"}
        entry: dict[str, Any] = {
            **place,
            "stream_seq": 0,
            "stream_prev": ZEROS,
            "recorded_at": self.now,
            "claim": codec.encode(list(said.values())),
            "attestation": attestation,
            "principal": principal if attestation == "notary" else "",
            "key_id": b"",
            "signature": b"",
            "open": data if opened else b"",
        }
        row = Row(entry, said, None if opened else salt + data)
        if attestation != "none":
            row.attest(self.notary if attestation == "notary" else by)
        self.rows.append(row)
        self._link(len(self.rows) - 1)
        return row

    def count(self, author: str, kind: str, source: str, payload: Any, **claim: Any) -> Row:
        """The same, by an author who counts what it says."""
        number, before = self.counters.get(author, (1, ZEROS))
        row = self.say(kind, source, payload, by=author, author_seq=number, author_prev=before, **claim)
        self.counters[author] = (number + 1, hashing.claim_hash(row.entry["claim"]))
        return row

    def own(self, word: str, payload: Any, *, by: str = "root", **claim: Any) -> Row:
        """An entry of the ledger's own; root counts what it says, and so does an author who did before."""
        counts = (by == "root" or by in self.counters) and not {"author_seq", "attestation"} & claim.keys()
        if counts:
            return self.count(by, f"ledger.{word}", "ledger", payload, **claim)
        return self.say(f"ledger.{word}", "ledger", payload, by=by, **claim)

    def begin(self, **fields: Any) -> Row:
        """Genesis, and the first head."""
        row = self.own("genesis", genesis_payload(origin=self.origin, **fields))
        self.head()
        return row

    def named(self, size: int | None = None) -> dict[str, Any]:
        """The checkpoint that root names: of all that is there, or of that size."""
        size = len(self.rows) if size is None else size
        return {"root": self.root(size), "size": size}

    def change_key(self, action: str, purpose: str, key: str | bytes, *, by: str = "root", **fields: Any) -> Row:
        """`ledger.key`, signed as by an author, to be recorded within an hour."""
        nobody = {"operator": "", "overlap": 0, "replaces": b"", "roles": [], "sources": [], "suspect_from": None}
        brought = key if isinstance(key, bytes) else public(key)
        until = {"checkpoint": self.named(), "not_after": self.now + 3600 * SECOND}
        change = {"action": action, "key": brought, "purpose": purpose, **until, **nobody, **fields}
        how = {"attestation": "author"} if by == "notary" else {}
        return self.own("key", change, by=by, **how)

    def change_policy(self, *, by: str = "root", **fields: Any) -> Row:
        """`ledger.policy`: the policy of the vectors with these fields, to be recorded within an hour."""
        until = {"checkpoint": self.named(), "not_after": self.now + 3600 * SECOND}
        until |= {name: fields.pop(name) for name in ("checkpoint", "not_after") if name in fields}
        return self.own("policy", {**until, "policy": {**POLICY, **fields}}, by=by)

    def clock(self, pause: int = 0, *, by: str = "root", **fields: Any) -> Row:
        """`ledger.clock`, recorded so long (ns) and a second after the entry before."""
        jump = {"from": self.now, "reason": "it was off", "to": self.now + pause + SECOND, **fields}
        self.now += pause
        return self.own("clock", jump, by=by)

    def beat(self, pause: int = 0, **fields: Any) -> Row:
        """A heartbeat over everything before it, so long (ns) and a second after the entry before."""
        self.now += pause
        return self.own("heartbeat", {**self.heartbeat_payload(len(self.rows)), **fields}, by="notary")

    def erase(self, seq: int, *, by: str = "root", **fields: Any) -> Row:
        """Remove a payload, and say so."""
        erased = {"id": self.rows[seq].claim["id"], "seq": seq, "who": "the operator", "why": "asked to", **fields}
        self.rows[seq].payload = None
        return self.own("erasure", erased, by=by)

    def head(self) -> None:
        """Keep a head of the log as it is now."""
        self.heads.append(self.head_note(len(self.rows)))

    # --- mending --------------------------------------------------------------------------------------------------

    def raws(self) -> list[bytes]:
        """The leaves."""
        return [row.bytes_of() for row in self.rows]

    def root(self, size: int) -> bytes:
        """The root of the first entries."""
        return merkle.tree_root([merkle.leaf_hash(raw) for raw in self.raws()[:size]])

    def streams_before(self, seq: int) -> dict[str, tuple[int, bytes]]:
        """All stream heads, as the first `seq` entries give them."""
        streams: dict[str, tuple[int, bytes]] = {}
        for row in self.rows[:seq]:
            name = str(row.entry["stream"])
            streams[name] = (streams.get(name, (0, ZEROS))[0] + 1, hashing.entry_hash(row.bytes_of()))
        return streams

    def heartbeat_payload(self, seq: int) -> dict[str, Any]:
        """What a heartbeat at that place must say."""
        leaves = list_leaves(self.streams_before(seq))
        return {
            "beacon": NO_BEACON,
            "last": hashing.entry_hash(self.rows[seq - 1].bytes_of()) if seq else ZEROS,
            "root": self.root(seq),
            "size": seq,
            "streams_count": len(leaves),
            "streams_root": list_root(leaves),
        }

    def _link(self, seq: int) -> None:
        row = self.rows[seq]
        streams = self.streams_before(seq)
        row.entry["seq"] = seq
        row.entry["prev"] = hashing.entry_hash(self.rows[seq - 1].bytes_of()) if seq else ZEROS
        row.entry["stream_seq"], row.entry["stream_prev"] = streams.get(str(row.entry["stream"]), (0, ZEROS))

    def relink(self, start: int = 0, *, beats: bool = True, spare: Sequence[int] = ()) -> None:
        """Number and link everything from `start` on anew (rows with bytes of their own, and `spare`, stay).

        `beats`: make true what entries say of those before them: heartbeats, named checkpoints, clocks.
        """
        counted: dict[str, Row] = {}
        for seq, row in enumerate(self.rows):
            if seq >= start and seq not in spare and row.raw is None:
                self._link(seq)
                if beats:
                    self._make_true(seq)
                self._follow(row, counted.get(str(row.entry["key_id"])))
            if row.entry["attestation"] == "author":
                counted[str(row.entry["key_id"])] = row  # a mutant's key_id may be of any type

    def _make_true(self, seq: int) -> None:
        row = self.rows[seq]
        said, kind = row.opened(), row.claim["type"]
        true = dict(said)
        if kind == "ledger.heartbeat":
            true |= self.heartbeat_payload(seq) | {"beacon": said.get("beacon", NO_BEACON)}
        elif kind == "ledger.clock" and seq and "from" in said:
            true["from"] = self.rows[seq - 1].entry["recorded_at"]
        elif kind in ("ledger.key", "ledger.policy") and isinstance(said.get("checkpoint"), dict):
            size = said["checkpoint"].get("size")
            if isinstance(size, int) and 0 < size <= seq:
                true["checkpoint"] = said["checkpoint"] | {"root": self.root(size)}
        if true != said:
            row.reopen(true)
            row.attest()

    def _follow(self, row: Row, before: Row | None) -> None:
        """The next claim that its author counted names the one before, as that is now."""
        numbers = [one.claim["author_seq"] for one in (before, row) if one and isinstance(one.claim["author_seq"], int)]
        if (
            before is None
            or row.entry["attestation"] != "author"
            or len(numbers) != 2
            or not isinstance(before.entry["claim"], bytes)
        ):
            return
        previous = hashing.claim_hash(before.entry["claim"])
        if 0 < numbers[0] == numbers[1] - 1 and row.claim["author_prev"] != previous:
            row.claim["author_prev"] = previous
            row.seal()
            row.attest()

    def recount(self) -> None:
        """Number and link anew what each author counted, and sign it."""
        counters: dict[bytes, tuple[int, bytes]] = {}
        for row in self.rows:
            if (
                isinstance(row.entry["key_id"], bytes)
                and row.entry["attestation"] == "author"
                and row.claim["author_seq"]
            ):
                counted = counters.get(row.entry["key_id"], (1, ZEROS))
                row.claim["author_seq"], row.claim["author_prev"] = counted
                row.seal()
                row.attest()
                counters[row.entry["key_id"]] = (counted[0] + 1, hashing.claim_hash(row.entry["claim"]))

    def log_keys_at(self, size: int) -> list[str | SigningKey]:
        """Those that must sign that size, as far as the entries can be read."""
        met = [
            AuthorityEntry(seq, row.bytes_of()) for seq, row in enumerate(self.rows) if row.claim["type"] in AUTHORITY
        ]
        schedule = fold_schedule(met)
        publics = schedule[-1][1].log_keys_at(size) if schedule else [public("log")]
        return [BY_PUBLIC[key] for key in publics if key in BY_PUBLIC]

    def head_note(
        self, size: int, *, root: bytes | None = None, keys: Iterable[str] | None = None, origin: str | None = None
    ) -> bytes:
        """A head, signed by the keys that must, or by those named."""
        signers = self.log_keys_at(size) if keys is None else keys
        leaves = [merkle.leaf_hash(raw) for raw in self.raws()[:size]]
        head = Checkpoint(origin or self.origin, size, merkle.tree_root(leaves) if root is None else root)
        return sign_checkpoint(head, [KEYS[key] if isinstance(key, str) else key for key in signers])

    def sizes(self) -> list[int]:
        """Of the kept heads."""
        return [int(head.split(b"\n")[1]) for head in self.heads]

    def sign_heads(self, sizes: Iterable[int] | None = None) -> None:
        """Heads anew: of these sizes, or of the old ones as far as they are left, and of the whole."""
        whole = len(self.rows)
        kept = self.sizes() if sizes is None else sizes
        self.heads = [self.head_note(size) for size in sorted({size for size in kept if size < whole} | {whole})]

    def mend(self, start: int = 0) -> None:
        """Links and heads as a thief of the notary's and the log's keys would mend them."""
        self.relink(start)
        self.sign_heads()

    # --- writing --------------------------------------------------------------------------------------------------

    def export_lines(self) -> list[bytes]:
        """The export, line by line."""
        header = {"format": "decision-dna/export@v1", "origin": self.origin, "size": len(self.rows)}
        rows = [
            {"entry": text(row.bytes_of()), "payload": None if row.payload is None else text(row.payload)}
            for row in self.rows
        ]
        heads = [{"head": head.decode()} for head in self.heads]
        return [line(value) for value in (header, *rows, *heads)]

    def export(self) -> bytes:
        """The whole log in one file."""
        return b"".join(self.export_lines())
