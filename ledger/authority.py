"""Who may sign what, at every place of the log: what `ledger.genesis`, `ledger.key` and `ledger.policy` entries fold into
(docs/format.md, section 5).

Pure: `authority_after(authority, entry, claim, change)` gives a new state; validity is by seq, so whoever has folded the entries before *s*
can judge entry *s*. Signatures themselves are handed out as jobs, (key, message, signature), so that callers may verify many at once.
"""

from collections.abc import Mapping

import msgspec

from decision_dna.ledger import hashing
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ENTRY_BYTES_MAX, RANK, Claim, Entry, check_origin, check_plain_text, stream_of
from decision_dna.schemas.errors import BadInput, LedgerError, Refused
from decision_dna.schemas.ledgering import (
    AUTHORITY_TYPES,
    CLOCK,
    ERASURE,
    GENESIS,
    HEARTBEAT,
    KEY,
    POLICY,
    Genesis,
    KeyChange,
    Policy,
    PolicyChange,
)
from decision_dna.schemas.payloads import Payload, kind_of

LEDGER_PRINCIPAL = "ledger"
_BY_ROOT = frozenset({GENESIS, KEY, POLICY, CLOCK})
_BY_NOTARY = frozenset({HEARTBEAT, ERASURE})

SignatureJob = tuple[bytes, bytes, bytes]
"""(public key, message, signature)"""


class AuthorKey(msgspec.Struct, frozen=True):
    """A live author key and the sources that it may speak for."""

    key: bytes
    sources: tuple[str, ...]


class LogKey(msgspec.Struct, frozen=True):
    """A key that signs heads of the sizes first…last (`last` is None while no rotation has ended it)."""

    key: bytes
    first: int
    last: int | None


class Authority(msgspec.Struct, frozen=True):
    """Keys and policy as of some seq. `used` is every key that the log ever had, by key_id; `suspects` maps a revoked key_id to
    the seq from which its entries are suspect."""

    origin: str
    root: bytes
    log: tuple[LogKey, ...]
    notary: bytes
    anchor: bytes
    authors: Mapping[bytes, AuthorKey]
    policy: Policy
    used: Mapping[bytes, bytes]
    suspects: Mapping[bytes, int]

    def log_keys_at(self, size: int) -> list[bytes]:
        """The keys that must sign the head of that size."""
        return [k.key for k in self.log if k.first <= size and (k.last is None or size <= k.last)]

    def required(self, type_name: str, source: str) -> str:
        """The weakest attestation that an entry of this type and source may have."""
        return required_attestation(self.policy, type_name, source)


def required_attestation(policy: Policy, type_name: str, source: str) -> str:
    """What a policy demands of a type and source: commands always their author, anchors the notary."""
    family = type_name.partition(".")[0]
    if family == "control":
        return "author"
    if family == "anchor":
        return "notary"
    for rule in policy.sources:
        if rule.source == source:
            return rule.attestation
    return policy.default_attestation


def check_policy(policy: Policy) -> None:
    """Raise Refused unless its rules stand in order, each source once, and are well named."""
    names = [rule.source for rule in policy.sources]
    if names != sorted(set(names)):
        raise Refused("a policy's source rules must be sorted by source, each once")
    for rule in policy.sources:
        _check_source(rule.source)
        if list(rule.keys) != sorted(set(rule.keys)):
            raise Refused(f"policy for {rule.source}: its keys must be sorted, each once")


def _check_source(source: str) -> None:
    try:
        stream_of("x", source)
    except BadInput as error:
        raise Refused(str(error)) from None


def begin(claim: Claim, genesis: Genesis) -> Authority:
    """The state after entry 0. Raises Refused."""
    used: Mapping[bytes, bytes] = {}
    for key in (genesis.root_key, genesis.log_key, genesis.notary_key, genesis.anchor_key):
        used = used_with(used, hashing.key_id(key), key)
    if genesis.origin != claim.origin:
        raise Refused(f"genesis names origin {genesis.origin!r}, its claim {claim.origin!r}")
    if genesis.successor_of is not None:
        try:
            check_origin(genesis.successor_of.origin)
        except BadInput as error:
            raise Refused(f"genesis: {error}") from None
    check_policy(genesis.policy)
    return Authority(
        origin=genesis.origin,
        root=genesis.root_key,
        log=(LogKey(genesis.log_key, 1, None),),
        notary=genesis.notary_key,
        anchor=genesis.anchor_key,
        authors={},
        policy=genesis.policy,
        used=used,
        suspects={},
    )


def decode_ledger_payload(claim: Claim, data: bytes) -> Payload:
    """The payload of a `ledger.*` entry, strictly, its texts without control characters. Raises Refused: such an entry means nothing else."""
    try:
        payload = codec.decode_as(kind_of(claim.type, claim.schema).from_msgpack, data)
        _check_texts(msgspec.to_builtins(payload, builtin_types=(bytes,)))
    except LedgerError as error:
        raise Refused(f"{claim.type}: {error}") from None
    return payload


def _check_texts(value: object) -> None:
    match value:
        case str():
            check_plain_text(value, "a text", ENTRY_BYTES_MAX)
        case list() | tuple():
            for item in value:
                _check_texts(item)
        case dict():
            _check_texts(list(value.values()))


def authority_after(authority: Authority | None, entry: Entry, claim: Claim) -> Authority | None:
    """The state after this entry; the same object where it changes nothing. Raises Refused where the change itself is not allowed.

    Who signed is `signature_job`'s business, and must be checked first.
    """
    if claim.type not in AUTHORITY_TYPES:
        return authority
    payload = decode_ledger_payload(claim, entry.open)
    match payload:
        case Genesis():
            return begin(claim, payload)
        case PolicyChange() if authority is not None:
            check_policy(payload.policy)
            return msgspec.structs.replace(authority, policy=payload.policy)
        case KeyChange() if authority is not None:
            return _key_change(authority, entry.seq, payload)
    raise Refused(f"{claim.type} before genesis")


def _key_change(authority: Authority, seq: int, change: KeyChange) -> Authority:
    if change.purpose != "log" and change.overlap:
        raise Refused("ledger.key: only log keys overlap")
    if change.action == "revoke":
        return _revoke(authority, change)
    if change.suspect_from is not None:
        raise Refused("ledger.key: suspect_from belongs to a revocation")
    used = used_with(authority.used, hashing.key_id(change.key), change.key)
    if change.action == "register":
        return _register(authority, change, used)
    if change.purpose == "author":
        old = authority.authors.get(change.replaces)
        if old is None:
            raise Refused("ledger.key: replaces no live author key")
        if old.sources != change.sources:
            raise Refused("ledger.key: a rotation keeps the sources")
        authors = {k: v for k, v in authority.authors.items() if k != change.replaces}
        authors[hashing.key_id(change.key)] = AuthorKey(change.key, change.sources)
        return msgspec.structs.replace(authority, authors=authors, used=used)
    if change.sources:
        raise Refused("ledger.key: only author keys have sources")
    if change.purpose == "log":
        return _rotate_log(authority, seq, change, used)
    current = authority.notary if change.purpose == "notary" else authority.anchor
    if hashing.key_id(current) != change.replaces:
        raise Refused(f"ledger.key: replaces no live {change.purpose} key")
    return msgspec.structs.replace(authority, used=used, **{change.purpose: change.key})


def used_with(used: Mapping[bytes, bytes], name: bytes, key: bytes) -> Mapping[bytes, bytes]:
    """The keys of a log, by key_id, with one more. Raises Refused where the key was used before, or its key_id stands for another
    key, of whatever purpose, living or dead: entries, policies and counters know a key by these 8 bytes alone."""
    before = used.get(name)
    if before == key:
        raise Refused(f"key {key.hex()} has been used in this log")
    if before is not None:
        raise Refused(f"key_id {name.hex()} of key {key.hex()} stands for key {before.hex()} in this log")
    return {**used, name: key}


def _register(authority: Authority, change: KeyChange, used: Mapping[bytes, bytes]) -> Authority:
    if change.purpose != "author" or change.replaces:
        raise Refused("ledger.key: only author keys are registered, and replace none")
    if not change.sources or list(change.sources) != sorted(set(change.sources)):
        raise Refused("ledger.key: sources must be named, sorted, each once")
    for source in change.sources:
        _check_source(source)
    authors = {**authority.authors, hashing.key_id(change.key): AuthorKey(change.key, change.sources)}
    return msgspec.structs.replace(authority, authors=authors, used=used)


def _revoke(authority: Authority, change: KeyChange) -> Authority:
    live = authority.authors.get(change.replaces)
    if change.purpose != "author" or live is None or live.key != change.key or change.sources:
        raise Refused("ledger.key: revokes no live author key")
    authors = {k: v for k, v in authority.authors.items() if k != change.replaces}
    suspects = dict(authority.suspects)
    if change.suspect_from is not None:
        suspects[change.replaces] = change.suspect_from
    return msgspec.structs.replace(authority, authors=authors, suspects=suspects)


def _rotate_log(authority: Authority, seq: int, change: KeyChange, used: Mapping[bytes, bytes]) -> Authority:
    live = authority.log[-1]
    if hashing.key_id(live.key) != change.replaces:
        raise Refused("ledger.key: replaces no live log key")
    if any(k.last is not None and k.last > seq for k in authority.log):
        raise Refused("ledger.key: an earlier rotation's overlap still runs")
    ended = LogKey(live.key, live.first, seq + 1 + change.overlap)
    return msgspec.structs.replace(
        authority, log=(*authority.log[:-1], ended, LogKey(change.key, seq + 1, None)), used=used
    )


def signature_job(authority: Authority | None, entry: Entry, claim: Claim) -> SignatureJob | None:
    """Judge who attests an entry at its place, and say which signature must hold; None for `none`. Raises Refused."""
    key: bytes | None
    if claim.source == "ledger":
        key = _ledger_signer(authority, entry, claim)
    elif authority is None:
        raise Refused("an entry before genesis")
    else:
        key = _signer(authority, entry, claim)
    if key is None:
        return None
    return signed_by(key, entry)


def signed_by(key: bytes, entry: Entry) -> SignatureJob:
    """The signature that must hold if this key attests the entry."""
    if entry.attestation == "author":
        return key, hashing.author_message(entry.claim), entry.signature
    return key, hashing.notary_message(entry.claim, entry.principal), entry.signature


def _signer(authority: Authority, entry: Entry, claim: Claim) -> bytes | None:
    required = authority.required(claim.type, claim.source)
    if RANK[entry.attestation] < RANK[required]:
        raise Refused(
            f"attestation {entry.attestation!r} is weaker than {required!r}, which {claim.source} needs for {claim.type}"
        )
    if entry.attestation == "none":
        return None
    if entry.attestation == "notary":
        return _notary(authority, entry)
    author = authority.authors.get(entry.key_id)
    if author is None:
        raise Refused(f"key {entry.key_id.hex()} is no live author key")
    if claim.source not in author.sources:
        raise Refused(f"key {entry.key_id.hex()} may not speak for source {claim.source}")
    for rule in authority.policy.sources:
        if rule.source == claim.source and rule.keys and entry.key_id not in rule.keys:
            raise Refused(f"policy names other keys than {entry.key_id.hex()} for source {claim.source}")
    return author.key


def _notary(authority: Authority, entry: Entry) -> bytes:
    if entry.key_id != hashing.key_id(authority.notary):
        raise Refused(f"key {entry.key_id.hex()} is not the live notary key")
    return authority.notary


def _ledger_signer(authority: Authority | None, entry: Entry, claim: Claim) -> bytes:
    payload = decode_ledger_payload(claim, entry.open)
    if isinstance(payload, Genesis) != (entry.seq == 0):
        raise Refused("ledger.genesis is entry 0, and only entry 0")
    if claim.type in _BY_NOTARY:
        if authority is None or entry.attestation != "notary":
            raise Refused(f"{claim.type} is attested by the notary")
        if claim.type == HEARTBEAT and entry.principal != LEDGER_PRINCIPAL:
            raise Refused(f"a heartbeat's principal is {LEDGER_PRINCIPAL!r}")
        return _notary(authority, entry)
    if claim.type not in _BY_ROOT or entry.attestation != "author":
        raise Refused(f"{claim.type} is signed by the root key")
    root = payload.root_key if isinstance(payload, Genesis) else (authority.root if authority else b"")
    if entry.key_id == hashing.key_id(root):
        return root
    if (
        authority is not None
        and isinstance(payload, KeyChange)
        and payload.action == "rotate"
        and entry.key_id == payload.replaces
    ):
        return _rotating_key(authority, payload)
    raise Refused(f"{claim.type} is signed by key {entry.key_id.hex()}, which is not the root key")


def _rotating_key(authority: Authority, change: KeyChange) -> bytes:
    """A key may sign its own rotation."""
    live: dict[str, bytes] = {"log": authority.log[-1].key, "notary": authority.notary, "anchor": authority.anchor}
    if change.purpose == "author":
        author = authority.authors.get(change.replaces)
        key = author.key if author else b""
    else:
        key = live[change.purpose]
    if hashing.key_id(key) != change.replaces:
        raise Refused(f"ledger.key: replaces no live {change.purpose} key")
    return key


AuthorCounter = tuple[int, bytes]
"""(next author_seq, H_claim of the key's last claim); next is 0 where the key keeps no counter."""


def counter_after(
    counter: AuthorCounter | None, author_seq: int, author_prev: bytes, claim_digest: bytes
) -> AuthorCounter:
    """The counter of an author key after one more claim of its own. Raises Refused at a gap (docs/format.md, section 5, rule 4)."""
    if counter is None:
        if author_seq > 1:
            raise Refused(f"author_seq {author_seq} is the key's first: a claim before it is missing")
        return counter_from(author_seq, claim_digest)
    expected, previous = counter
    if author_seq != expected:
        raise Refused(
            f"author_seq is {author_seq}, the key's next is {expected}: a claim is missing, or was never counted"
        )
    if expected > 1 and author_prev != previous:
        raise Refused(f"author_prev is {author_prev.hex()}, the key's last claim is {previous.hex()}")
    return counter_from(author_seq, claim_digest)


def counter_from(author_seq: int, claim_digest: bytes) -> AuthorCounter:
    """The counter that a claim leaves behind."""
    return (author_seq + 1, claim_digest) if author_seq else (0, hashing.ZEROS)
