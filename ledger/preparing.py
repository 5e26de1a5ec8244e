"""Preparing claims beside the chain work: decoding, checking, committing and signing need no place in the log.

`prepare_all` does it here; `Preparers` does it in worker processes that hold the notary's expanded key, so that the writer's
process is left with linking. A worker is handed the bytes of a whole request and a function that decodes them, and
hands back prepared claims; what it assumed of keys and policy is judged again at admission.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.authority import RESERVED_PRINCIPALS, Authority, AuthorKey, required_attestation
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.plan import SALT_BYTES, AuthorDraft, Draft, Prepared, Signer, prepare, prepare_signed
from decision_dna.ledger.signatures import SigningKey, is_signed
from decision_dna.ledger.workers import Workers
from decision_dna.schemas import errors
from decision_dna.schemas.claims import check_principal, stream_of
from decision_dna.schemas.errors import LedgerError, Refused, Unavailable
from decision_dna.schemas.ledgering import Policy

Drafts = Sequence[Draft | AuthorDraft | LedgerError]
SIGNED_CACHED = 65_536
"""Types and sources of which a preparation keeps whether they need the notary."""
Decode = Callable[[bytes], Drafts]
"""Must be importable by its name, so that another process finds it."""


class Rules(msgspec.Struct, frozen=True, array_like=True):
    """What preparing needs to know of keys and policy."""

    origin: str
    policy: Policy
    notary: bytes
    authors: Mapping[bytes, AuthorKey]

    @classmethod
    def of(cls, authority: Authority) -> "Rules":
        """As of the newest entry."""
        return cls(authority.origin, authority.policy, authority.notary, authority.authors)


def check_caller(principal: str) -> None:
    """Raise Refused for the name of a part of the ledger itself: no caller speaks as one."""
    if principal in RESERVED_PRINCIPALS:
        raise Refused(f"principal {principal!r} is a part of the ledger itself: no caller is named so")


class Preparation:
    """Prepares drafts under fixed rules, with the notary's key at hand."""

    def __init__(self, rules: Rules, notary: SigningKey | None) -> None:
        self._rules, self._notary = rules, notary
        self._signed: dict[tuple[str, str], bool] = {}

    def prepare(self, drafts: Drafts, principal: str, now: int) -> list[Prepared | LedgerError]:
        """Claims for drafts; errors stay in their places. Raises Malformed for a principal that no entry can have."""
        check_principal(principal)
        fresh = new_ids(len(drafts), now)
        salts = os.urandom(SALT_BYTES * len(drafts))
        notarise, leave = Signer(self._notary, principal), Signer(None, "")
        origin, commit, prepared = self._rules.origin, hashing.payload_hasher(), list[Prepared | LedgerError]()
        for at, draft in enumerate(drafts):
            try:
                if isinstance(draft, Draft):
                    signer = notarise if self._needs_notary(draft) else leave
                    salt, own_id = salts[at * SALT_BYTES : (at + 1) * SALT_BYTES], fresh[at]
                    row = prepare(
                        draft, origin=origin, signer=signer, salt=salt, fresh_id=own_id, now=now, commit=commit
                    )
                elif isinstance(draft, AuthorDraft):
                    row = self._verified(prepare_signed(draft, origin=origin))
                else:
                    raise draft
            except LedgerError as error:
                prepared.append(error)
            else:
                prepared.append(row)
        return prepared

    def _needs_notary(self, draft: Draft) -> bool:
        known = self._signed.get((draft.type, draft.source))
        if known is None:
            stream_of(draft.type, draft.source)  # before anything is kept of them: a refused type can have a megabyte
            if len(self._signed) >= SIGNED_CACHED:
                self._signed.clear()
            required = required_attestation(self._rules.policy, draft.type, draft.source)
            if required == "author":
                raise Refused(f"source {draft.source} needs its author's own signature for {draft.type}")
            if required == "notary" and self._notary is None:
                raise Unavailable("the notary's private key is not here")
            known = self._signed[draft.type, draft.source] = required == "notary"
        return known

    def _verified(self, row: Prepared) -> Prepared:
        """With the key under which the signature holds, if it is one that is known here; else admission looks at it."""
        author = self._rules.authors.get(row.key_id)
        if author is None or not is_signed(author.key, hashing.author_message(row.claim), row.signature):
            return row
        return msgspec.structs.replace(row, verified=author.key)


# --- in other processes ----------------------------------------------------------------------------------------------

_answers = msgspec.msgpack.Decoder(list[Prepared | dict[str, str]])
_rules = msgspec.msgpack.Decoder(Rules)
_BRANCHES = {
    name: branch
    for name, branch in vars(errors).items()
    if isinstance(branch, type) and issubclass(branch, LedgerError)
}

_notaries: dict[bytes, SigningKey] = {}
_preparation: tuple[bytes, Preparation] | None = None


def _begin(seeds: list[bytes]) -> None:
    for seed in seeds:
        key = SigningKey(seed)
        _notaries[key.public] = key


def _prepare_there(decode: Decode, data: bytes, rules: bytes, principal: str, now: int) -> bytes:
    global _preparation  # noqa: PLW0603  # one preparation for each state of keys and policy, kept while it lasts
    if _preparation is None or _preparation[0] != rules:
        known = _rules.decode(rules)
        _preparation = (rules, Preparation(known, _notaries.get(known.notary)))
    rows = _preparation[1].prepare(decode(data), principal, now)
    plain = [{"branch": type(row).__name__, "text": str(row)} if isinstance(row, LedgerError) else row for row in rows]
    return msgspec.msgpack.encode(plain)


class Preparers:
    """Worker processes that prepare. Close it when done."""

    def __init__(self, notaries: Iterable[SigningKey], processes: int = 1) -> None:
        self._workers = Workers(_begin, ([key.seed() for key in notaries],), processes)
        self._rules: tuple[Authority, bytes] | None = None

    def submit(self, decode: Decode, data: bytes, authority: Authority, principal: str, now: int) -> "Future[bytes]":
        """Have one request prepared; `prepared_of` reads the answer. Raises Refused for a principal that is none of a caller."""
        check_caller(principal)
        if self._rules is None or self._rules[0] is not authority:
            self._rules = (authority, msgspec.msgpack.encode(Rules.of(authority)))
        return self._workers.submit(_prepare_there, decode, data, self._rules[1], principal, now)

    def close(self) -> None:
        """Ends the workers."""
        self._workers.close()


def prepared_of(answer: bytes) -> list[Prepared | LedgerError]:
    """What a worker handed back."""
    return [_error(row) if isinstance(row, dict) else row for row in _answers.decode(answer)]


def _error(said: dict[str, str]) -> LedgerError:
    return _BRANCHES[said["branch"]](said["text"])


def in_flight(futures: Iterator["Future[bytes]"], ahead: int) -> Iterator[list[Prepared | LedgerError]]:
    """Answers in their order, with up to `ahead` requests prepared before they are needed."""
    waiting: list[Future[bytes]] = []
    for future in futures:
        waiting.append(future)
        if len(waiting) > ahead:
            yield prepared_of(waiting.pop(0).result())
    for future in waiting:
        yield prepared_of(future.result())
