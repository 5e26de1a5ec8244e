"""Who gets in: each prepared claim of a batch is new, the same as one that stands, or refused; decided before anything has a place.

Rules that need the log (unique ids, causes, expected positions, author counters, keys and policy) are asked through `Known`,
so that this stays free of storage. Each request is judged in order; an atomic one leaves no trace where any of its claims is refused.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.authority import AuthorCounter, Authority, check_speaker, counter_after, rule_of, signature_job
from decision_dna.ledger.plan import SALT_BYTES, Prepared, entry_bytes_at_most, same_content
from decision_dna.ledger.signatures import is_signed
from decision_dna.schemas import claims
from decision_dna.schemas.claims import ENTRY_BYTES_MAX, RANK, VERSION, ZEROS, Attestation, Entry
from decision_dna.schemas.errors import Conflict, IdConflict, LedgerError, Malformed, Refused, StreamMoved, TooLarge
from decision_dna.schemas.texts import id_text


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The same was said before; its entry stands at `seq`."""

    seq: int


Allowed = set[tuple[str, str, str, str, bytes]]
"""(type, stream, attestation, principal, key id) of claims that may stand, under one state of keys and policy."""
ALLOWED_CACHED = 10_000

Verdict = int | Duplicate | LedgerError
"""New, with its place in the batch; said before; or refused."""


class Known(Protocol):
    """What the log knows."""

    def find(self, key: bytes) -> int | None:
        """The seq of id ‖ source, or None."""
        ...

    def has_id(self, event_id: bytes) -> bool:
        """Whether any source used the id."""
        ...

    def check_same(self, row: Prepared, seq: int) -> None:
        """Raise IdConflict unless the claim says what the entry at `seq` says."""
        ...

    def stream_next(self, stream: str) -> int:
        """The next stream_seq."""
        ...

    def author_counter(self, key_id: bytes) -> AuthorCounter | None:
        """The counter of an author key."""
        ...

    def sources_of(self, principal: str) -> Collection[str]:
        """The sources that a principal spoke as without being their author."""
        ...


class Admission:
    """One batch in the making. `rows` are the claims let in, in order; `counters` the author counters after them; `sources`
    the (principal, source) pairs that they open."""

    def __init__(
        self, known: Known, authority: Authority, *, first_seq: int, recorded_at: int, allowed: Allowed | None = None
    ) -> None:
        self.rows: list[Prepared] = []
        self.counters: dict[bytes, AuthorCounter] = {}
        self.sources: set[tuple[str, str]] = set()
        self._unlisted: dict[str, int] = {}
        self._known, self._authority = known, authority
        self._first_seq, self._recorded_at = first_seq, recorded_at
        self._latest = recorded_at + claims.AHEAD_NS_MAX
        self._by_key: dict[bytes, int] = {}
        self._ids: Counter[bytes] = Counter()
        self._added: dict[str, int] = {}
        self._looked_at = 0
        self._allowed: Allowed = set() if allowed is None else allowed  # of batches before, under the same authority
        self._notary_id = hashing.key_id(authority.notary)

    def admit(self, rows: Sequence[Prepared | LedgerError], *, atomic: bool) -> Sequence[Verdict]:
        """Judge a request; a range where all of it is new. With `atomic`, one refusal refuses all: then every verdict is an error."""
        count, counters = len(self.rows), dict(self.counters) if atomic else self.counters
        sources = set(self.sources) if atomic else self.sources
        verdicts = [self._admit_one(row) for row in rows]
        if len(self.rows) - count == len(rows):
            return range(count, len(self.rows))
        refused = next((v for v in verdicts if isinstance(v, LedgerError)), None) if atomic else None
        if refused is None:
            return verdicts
        self._go_back(count, counters)
        self.sources = sources
        self._unlisted.clear()
        self._allowed.clear()  # what a claim that is not let in opened is not open
        rest = Conflict(f"refused with the rest of an atomic request: {refused}")
        return [v if isinstance(v, LedgerError) else rest for v in verdicts]

    def _go_back(self, count: int, counters: dict[bytes, AuthorCounter]) -> None:
        for row in self.rows[count : self._looked_at]:
            self._by_key.pop(row.key, None)
            self._ids[row.key[:16]] -= 1
            self._added[row.stream] -= 1
        self._looked_at = min(self._looked_at, count)
        del self.rows[count:]
        self.counters = counters

    def _look(self) -> None:
        """Take note of the rows let in since the last look. Most batches never need one."""
        for at, row in enumerate(self.rows[self._looked_at :], self._looked_at):
            self._by_key[row.key] = at
            self._ids[row.key[:16]] += 1
            self._added[row.stream] = self._added.get(row.stream, 0) + 1
        self._looked_at = len(self.rows)

    def _admit_one(self, row: Prepared | LedgerError) -> Verdict:
        if isinstance(row, LedgerError):
            return row
        if (
            not row.fresh
            or row.open
            or row.causes
            or row.expected_stream_seq is not None
            or row.occurred_at > self._latest
            or (row.type, row.stream, row.attestation, row.principal, row.key_id) not in self._allowed
        ):
            try:
                if not row.fresh and (same := self._earlier(row)) is not None:
                    return same
                self._check(row)
                self._allow(row)
            except LedgerError as error:
                return error
        self.rows.append(row)
        return len(self.rows) - 1

    def _earlier(self, row: Prepared) -> Verdict | None:
        self._look()
        at = self._by_key.get(row.key)
        if at is not None:
            if not says_the_same(row, self.rows[at]):
                raise IdConflict(
                    f"id {id_text(row.id)} of {row.source} stands earlier in this batch with other content"
                )
            return at
        seq = self._known.find(row.key)
        if seq is None:
            return None
        self._known.check_same(row, seq)
        return Duplicate(seq)

    def _check(self, row: Prepared) -> None:
        if row.occurred_at > self._latest or not row.fresh:
            claims.check_times(row.occurred_at, row.id, self._recorded_at)
        if row.attestation == "author":
            self._check_author(row)
        elif (row.type, row.stream, row.attestation, row.principal, row.key_id) not in self._allowed:
            self._check_rank(row)
        if row.open and entry_bytes_at_most(row) > ENTRY_BYTES_MAX:
            raise TooLarge(
                f"an open payload of {len(row.salted) - 16} bytes does not fit an entry of {ENTRY_BYTES_MAX}"
            )
        if row.causes or row.expected_stream_seq is not None:
            self._look()
        for cause in row.causes:
            if not self._ids[cause] and not self._known.has_id(cause):
                raise Malformed(f"cause {id_text(cause)} is no earlier event")
        if row.expected_stream_seq is not None:
            self._check_position(row, row.expected_stream_seq)
        if row.attestation == "author":
            self._count(row)

    def _check_rank(self, row: Prepared) -> None:
        """Judge who speaks, once for each type, stream and speaker."""
        source = row.stream.partition("/")[2]
        if source == "ledger":
            raise Refused("the ledger's own entries are not submitted")
        check_speaker(self._authority, row.type, source, row)
        required = self._authority.required(row.type, source)
        if RANK[row.attestation] < RANK[required]:
            raise Refused(f"attestation {row.attestation!r} is weaker than {required!r}, which {row.stream} needs")
        if row.attestation == "notary" and row.key_id != self._notary_id:
            raise Refused("notarised by a key that is no longer the notary's")
        self._check_sources(row.principal, source)

    def _check_sources(self, principal: str, source: str) -> None:
        """A principal opens so many sources without a rule and no more: heartbeats list their streams for ever."""
        policy = self._authority.policy
        if (principal, source) in self.sources or rule_of(policy, source) is not None:
            return
        if source in self._known.sources_of(principal):
            return
        if self._unlisted_of(principal) >= policy.sources_per_principal_max:
            raise Refused(
                f"principal {principal!r} speaks as {policy.sources_per_principal_max} sources already, as many as policy allows: give {source} a rule"
            )

    def _unlisted_of(self, principal: str) -> int:
        """How many sources without a rule a principal has opened: counted once for a batch, since a refused one may name thousands."""
        count = self._unlisted.get(principal)
        if count is None:
            new = {each for speaker, each in self.sources if speaker == principal}
            listed = {rule.source for rule in self._authority.policy.sources}
            count = self._unlisted[principal] = len({*self._known.sources_of(principal), *new} - listed)
        return count

    def _allow(self, row: Prepared) -> None:
        """Keep the answer for rows like this one, which was let in."""
        place = (row.type, row.stream, row.attestation, row.principal, row.key_id)
        if row.attestation != "author" and place not in self._allowed:
            if len(self._allowed) >= ALLOWED_CACHED:
                self._allowed.clear()
            self._allowed.add(place)
            source = row.stream.partition("/")[2]
            pair = row.principal, source
            if pair not in self.sources and source not in self._known.sources_of(row.principal):
                self.sources.add(pair)
                if row.principal in self._unlisted and rule_of(self._authority.policy, source) is None:
                    self._unlisted[row.principal] += 1

    def _check_author(self, row: Prepared) -> None:
        claim = claims.decode_claim(row.claim)
        if row.source == "ledger":
            raise Refused("the ledger's own entries are not submitted")
        job = signature_job(self._authority, provisional_entry(row, self._first_seq, self._recorded_at), claim)
        if job is not None and row.verified != job[0] and not is_signed(*job):
            raise Refused(f"the signature of key {row.key_id.hex()} does not verify")

    def _count(self, row: Prepared) -> None:
        before = self.counters.get(row.key_id) or self._known.author_counter(row.key_id)
        claim = claims.decode_claim(row.claim)
        self.counters[row.key_id] = counter_after(
            before, claim.author_seq, claim.author_prev, hashing.claim_hash(row.claim)
        )

    def _check_position(self, row: Prepared, expected: int) -> None:
        position = self._known.stream_next(row.stream) + self._added.get(row.stream, 0)
        if position != expected:
            raise StreamMoved(f"stream {row.stream} is at {position}, not at the expected {expected}")


def says_the_same(row: Prepared, first: Prepared) -> bool:
    """Whether two claims of one batch say the same."""
    if row.attestation == "author":
        return row.claim == first.claim
    return same_content(row, claims.decode_claim(first.claim), first.salted[SALT_BYTES:])


def provisional_entry(row: Prepared, seq: int, recorded_at: int) -> Entry:
    """The entry that a claim would become at a place, but for its links: enough to judge who attests it."""
    attestation: Attestation = row.attestation  # type: ignore[assignment]  # only `prepare` and `prepare_signed` set it
    opened = row.salted[SALT_BYTES:] if row.open else b""
    return Entry(
        VERSION,
        seq,
        ZEROS,
        row.stream,
        0,
        ZEROS,
        recorded_at,
        row.claim,
        attestation,
        row.principal,
        row.key_id,
        row.signature,
        opened,
    )
