"""Who may sign what, at every place of the log: what `ledger.genesis`, `ledger.key` and `ledger.policy` entries fold into
(docs/format.md, section 5).

Pure: `authority_after(authority, entry, claim, change)` gives a new state; validity is by seq, so whoever has folded the entries before *s*
can judge entry *s*. Signatures themselves are handed out as jobs, (key, message, signature), so that callers may verify many at once.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Literal, Protocol

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.signatures import is_prime_order_point
from decision_dna.schemas import codec
from decision_dna.schemas.claims import ENTRY_BYTES_MAX, RANK, Claim, Entry, check_origin, check_plain_text, stream_of
from decision_dna.schemas.errors import BadInput, LedgerError, Refused
from decision_dna.schemas.ledgering import (
    AUTHORITY_TYPES,
    CLOCK,
    ERASURE,
    HEARTBEAT,
    KEY,
    NO_BEACON,
    POLICY,
    ClockStep,
    Genesis,
    Heartbeat,
    KeyChange,
    NamedCheckpoint,
    Policy,
    PolicyChange,
    SourceRule,
)
from decision_dna.schemas.payloads import Payload, kind_of
from decision_dna.schemas.texts import time_text

LEDGER_PRINCIPAL, ANCHOR_PRINCIPAL, SYSTEM_PRINCIPAL = "ledger", "anchor", "engine"
RESERVED_PRINCIPALS = frozenset({LEDGER_PRINCIPAL, ANCHOR_PRINCIPAL, SYSTEM_PRINCIPAL})
"""Parts of the ledger itself: a caller is never named so."""
SYSTEM_FAMILIES = frozenset({"engine", "route", "observation", "detection", "market"})
SYSTEM_TYPES = frozenset({"control.ack", "control.refused"})
ROLE_FOR = {CLOCK: "clock", ERASURE: "erasure"}
"""What an operator with a role may sign in root's place."""
_ROLE = re.compile(r"[a-z][a-z-]*", re.ASCII)
_source_of = attrgetter("source")

SignatureJob = tuple[bytes, bytes, bytes]
"""(public key, message, signature)"""


class Attested(Protocol):
    """Who attests: the part of an entry, or of a prepared claim, that says so."""

    @property
    def attestation(self) -> str:
        """`author`, `notary` or `none`."""
        ...

    @property
    def principal(self) -> str:
        """For whom the notary signed."""
        ...

    @property
    def key_id(self) -> bytes:
        """Whose signature it is."""
        ...


class AuthorKey(msgspec.Struct, frozen=True):
    """A live author key, the sources that it may speak for, and whose it is if it is an operator's."""

    key: bytes
    sources: tuple[str, ...]
    operator: str = ""
    roles: tuple[str, ...] = ()


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


def rule_of(policy: Policy, source: str) -> SourceRule | None:
    """The policy's rule for a source. They ascend: a batch of many sources under many rules would hold the writer's turn for seconds."""
    at = bisect_left(policy.sources, source, key=_source_of)
    found = policy.sources[at : at + 1]
    return found[0] if found and found[0].source == source else None


def required_attestation(policy: Policy, type_name: str, source: str) -> str:
    """The weakest attestation that policy and the table of speakers allow for a type and source. Raises Refused for a type without a speaker."""
    speaker = speaker_of(type_name)
    if speaker == "operator":
        return "author"
    if speaker in ("system", "anchor"):
        return "notary"
    rule = rule_of(policy, source)
    return policy.default_attestation if rule is None else rule.attestation


Speaker = Literal["ledger", "anchor", "system", "operator", "anyone"]


@lru_cache(maxsize=4096)
def speaker_of(type_name: str) -> Speaker:
    """Return who may speak a type (docs/format.md, section 5). Raises Refused for a type that nobody speaks."""
    family = type_name.partition(".")[0]
    if family in SYSTEM_FAMILIES or type_name in SYSTEM_TYPES:
        return "system"
    match family:
        case "ledger" | "anchor":
            return family
        case "control":
            return "operator"
        case "x":
            return "anyone"
    raise Refused(f"no speaker may use type {type_name!r}: foreign types are named x.…")


def check_speaker(authority: Authority, type_name: str, source: str, entry: Attested) -> None:
    """Raise Refused unless whoever attests a claim may speak its type and its source. Admission and step 4 both ask this."""
    speaker, rule = speaker_of(type_name), rule_of(authority.policy, source)
    is_system = rule is not None and rule.role == "system"
    if is_system != (entry.principal == SYSTEM_PRINCIPAL):
        raise Refused(
            f"source {source} is spoken for by the system alone"
            if is_system
            else f"principal {SYSTEM_PRINCIPAL!r} speaks only for sources with role 'system', which {source} has not"
        )
    if speaker == "system" and not is_system:
        raise Refused(f"{type_name} is spoken by the system alone: policy gives source {source} no role 'system'")
    if (speaker == "anchor") != (entry.principal == ANCHOR_PRINCIPAL):
        raise Refused(f"principal {entry.principal!r} may not speak {type_name}")
    if entry.principal == LEDGER_PRINCIPAL:
        raise Refused(f"principal {LEDGER_PRINCIPAL!r} may not speak {type_name}")
    if speaker == "operator":
        author = authority.authors.get(entry.key_id)
        if entry.attestation != "author" or author is None or not author.roles:
            raise Refused(f"{type_name} needs the signature of an operator's key")


def check_policy(policy: Policy) -> None:
    """Raise Refused unless its rules stand in order, each source once, and are well named."""
    names = [rule.source for rule in policy.sources]
    if names != sorted(set(names)):
        raise Refused("a policy's source rules must be sorted by source, each once")
    if policy.pause_seconds_max > policy.jump_seconds_max:
        raise Refused("policy: pause_seconds_max is at most jump_seconds_max")
    for rule in policy.sources:
        _check_source(rule.source)
        if rule.role == "system" and (rule.attestation != "notary" or rule.keys):
            raise Refused(f"policy for {rule.source}: role 'system' goes with attestation 'notary' and no keys")
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
        check_point(key)
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
        _check_fields(payload)
    except LedgerError as error:
        raise Refused(f"{claim.type}: {error}") from None
    return payload


def _check_fields(payload: Payload) -> None:
    """Raise Refused for what types can't say of a payload."""
    match payload:
        case ClockStep(from_ns=from_ns, to_ns=to_ns) if from_ns > to_ns:
            raise Refused("`from` is after `to`")
        case Heartbeat(beacon=beacon) if beacon.kind == "none" and beacon != NO_BEACON:
            raise Refused("a beacon of kind 'none' says nothing else")


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
            _check_named(entry, payload.checkpoint, payload.not_after)
            check_policy(payload.policy)
            return msgspec.structs.replace(authority, policy=payload.policy)
        case KeyChange() if authority is not None:
            _check_named(entry, payload.checkpoint, payload.not_after)
            return _key_change(authority, entry.seq, payload)
    raise Refused(f"{claim.type} before genesis")


def _check_named(entry: Entry, checkpoint: NamedCheckpoint, not_after: int) -> None:
    """Raise Refused unless what root signed could stand at this place. That the root is the tree's, the walk compares."""
    if checkpoint.size > entry.seq:
        raise Refused(f"it names a checkpoint of size {checkpoint.size}, which lies past its own seq {entry.seq}")
    if entry.recorded_at > not_after:
        raise Refused(f"it was recorded at {time_text(entry.recorded_at)}, it was good until {time_text(not_after)}")


def named_checkpoint(claim: Claim, opened: bytes) -> NamedCheckpoint | None:
    """Return the checkpoint that an entry of root's names; None for other entries and for payloads that do not decode."""
    if claim.type not in (KEY, POLICY):
        return None
    try:
        payload = decode_ledger_payload(claim, opened)
    except Refused:
        return None
    return payload.checkpoint if isinstance(payload, KeyChange | PolicyChange) else None


@lru_cache(maxsize=65_536)
def check_point(key: bytes) -> None:
    """Raise Refused unless a key is a canonical point of prime order, as every Ed25519 public key is."""
    if not is_prime_order_point(key):
        raise Refused(f"{key.hex()} is no Ed25519 public key: not a canonical point of prime order")


def _key_change(authority: Authority, seq: int, change: KeyChange) -> Authority:
    if change.purpose != "log" and change.overlap:
        raise Refused("ledger.key: only log keys overlap")
    if change.action == "revoke":
        return _revoke(authority, change)
    if change.suspect_from is not None:
        raise Refused("ledger.key: suspect_from belongs to a revocation")
    check_point(change.key)
    used = used_with(authority.used, hashing.key_id(change.key), change.key)
    if change.action == "register":
        return _register(authority, change, used)
    if change.purpose == "author":
        old = authority.authors.get(change.replaces)
        if old is None:
            raise Refused("ledger.key: replaces no live author key")
        after = AuthorKey(change.key, change.sources, change.operator, change.roles)
        if msgspec.structs.replace(after, key=old.key) != old:
            raise Refused("ledger.key: a rotation keeps sources, operator and roles")
        authors = {k: v for k, v in authority.authors.items() if k != change.replaces}
        authors[hashing.key_id(change.key)] = after
        return msgspec.structs.replace(authority, authors=authors, used=used)
    if change.sources or change.operator or change.roles:
        raise Refused("ledger.key: only author keys have sources, an operator and roles")
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
    if not (change.sources or change.roles):
        raise Refused("ledger.key: an author key needs a source, or an operator's role")
    if list(change.sources) != sorted(set(change.sources)):
        raise Refused("ledger.key: sources must be sorted, each once")
    for source in change.sources:
        _check_source(source)
    _check_operator(change)
    author = AuthorKey(change.key, change.sources, change.operator, change.roles)
    authors = {**authority.authors, hashing.key_id(change.key): author}
    return msgspec.structs.replace(authority, authors=authors, used=used)


def _check_operator(change: KeyChange) -> None:
    if bool(change.operator) != bool(change.roles):
        raise Refused("ledger.key: an operator has roles, and only an operator has")
    if change.operator:
        _check_source(change.operator)
    if list(change.roles) != sorted(set(change.roles)) or not all(map(_ROLE.fullmatch, change.roles)):
        raise Refused("ledger.key: roles must be named in a-z and '-', sorted, each once")


def _revoke(authority: Authority, change: KeyChange) -> Authority:
    live = authority.authors.get(change.replaces)
    if change.purpose != "author" or live is None or live.key != change.key:
        raise Refused("ledger.key: revokes no live author key")
    if change.sources or change.operator or change.roles:
        raise Refused("ledger.key: a revocation names no sources, operator or roles")
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
    check_speaker(authority, claim.type, claim.source, entry)
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
    rule = rule_of(authority.policy, claim.source)
    if rule is not None and rule.keys and entry.key_id not in rule.keys:
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
    if isinstance(payload, Genesis):
        return _root(payload.root_key, entry, claim)
    if authority is None:
        raise Refused(f"{claim.type} before genesis")
    if claim.type == HEARTBEAT:
        if (entry.attestation, entry.principal) != ("notary", LEDGER_PRINCIPAL):
            raise Refused(f"a heartbeat is attested by the notary, its principal is {LEDGER_PRINCIPAL!r}")
        return _notary(authority, entry)
    role, author = ROLE_FOR.get(claim.type), authority.authors.get(entry.key_id)
    if entry.attestation == "author" and author is not None and role in author.roles:
        return author.key
    if role is not None and entry.key_id != hashing.key_id(authority.root):
        raise Refused(f"{claim.type} is signed by root, or by an operator with role {role!r}")
    return _root(authority.root, entry, claim)


def _root(root: bytes, entry: Entry, claim: Claim) -> bytes:
    if entry.attestation != "author" or entry.key_id != hashing.key_id(root):
        raise Refused(f"{claim.type} is signed by the root key, not by key {entry.key_id.hex() or 'none'}")
    if not claim.author_seq:
        raise Refused(f"{claim.type}: the root key counts what it signs, author_seq is 0")
    return root


def may_jump(authority: Authority, entry: Entry) -> bool:
    """Whether an entry is signed by the root key, and so may stand after a gap past jump_seconds_max."""
    return entry.attestation == "author" and entry.key_id == hashing.key_id(authority.root)


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
