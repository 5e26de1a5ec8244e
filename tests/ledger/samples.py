"""A small ledger with every kind of entry in it, for tests that bend or read it."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.clock import ManualClock
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Lock
from decision_dna.ledger.opening import create, lock_file, open_ledger
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.writer import Appended
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, ZEROS, Claim
from decision_dna.schemas.ledgering import KEY, Policy, SourceRule
from decision_dna.schemas.payloads import payload_from_json

ORIGIN = "example.org/demo"
START = 1_790_000_000 * 10**9
SECOND = 10**9
POLICY = Policy(
    anchor_events_max=1000,
    anchor_seconds_max=3600,
    default_attestation="notary",
    heartbeat_events_max=16_384,
    heartbeat_seconds_max=60,
    jump_seconds_max=20 * 365 * 86_400,
    pause_seconds_max=10 * 365 * 86_400,
    sources=(
        SourceRule("author", (), "", "bot"),
        SourceRule("notary", (), "system", "engine"),
        SourceRule("none", (), "", "raw"),
    ),
    sources_per_principal_max=100,
)
SHORT_PAUSES = msgspec.structs.replace(POLICY, jump_seconds_max=400 * 86_400, pause_seconds_max=7 * 86_400)
AUTHOR = SigningKey(bytes(range(32)))


def copy_ledger(source: Path, target: Path) -> Path:
    """A copy that may be written: its lock is adopted where it now lies."""
    shutil.copytree(source, target)
    return adopt(target)


def adopt(path: Path) -> Path:
    """Give a ledger's lock its home in this folder, as `--adopt` does."""
    Lock.open(str(lock_file(path)), adopt=True).close()
    return path


def draft(number: int, source: str = "engine-1", **fields: object) -> Draft:
    """A foreign event."""
    payload = payload_from_json("x.seen", 1, b'{"number":%d,"what":"a thing"}' % number)
    return Draft(type="x.seen", schema=1, source=source, payload=payload, **fields)  # type: ignore[arg-type]


class Author:
    """A speaker with a key, who counts what it says."""

    def __init__(self, key: SigningKey = AUTHOR, source: str = "bot", origin: str = ORIGIN) -> None:
        self.key, self.source, self.origin = key, source, origin
        self.seq, self.prev = 1, ZEROS

    def say(self, number: int, now: int) -> AuthorDraft:
        """A signed claim, linked to the one before."""
        data = payload_from_json("x.said", 1, b'{"number":%d}' % number)
        salt = bytes([number % 256]) * 16
        event_id = new_ids(1, now)[0]
        commitment = hashing.payload_commitment(salt + data)
        claim = codec.encode(
            Claim(
                VERSION,
                self.origin,
                event_id,
                "x.said",
                1,
                self.source,
                "",
                now,
                (),
                "",
                self.seq,
                self.prev,
                commitment,
            )
        )
        self.seq, self.prev = self.seq + 1, hashing.claim_hash(claim)
        signature = self.key.sign(hashing.author_message(claim))
        return AuthorDraft(claim, salt, data, hashing.key_id(self.key.public), signature)


def register(ledger: Ledger, key: SigningKey = AUTHOR, sources: tuple[str, ...] = ("bot",)) -> None:
    """Bind an author's key to its sources, by the root key."""
    change_key(ledger, "register", "author", key.public, sources=sources)


def root_of(ledger: Ledger) -> SigningKey:
    """The root key."""
    return ledger.keys.of_purpose("root")[0]


def change_key(ledger: Ledger, action: str, purpose: str, key: bytes, **fields: Any) -> Appended:
    """Change a key, signed by root."""
    change = ledger.key_change(action, purpose, key, **fields)  # type: ignore[arg-type]  # a test may give any
    return ledger.append_signed(ledger.sign_own(root_of(ledger), KEY, change))


def new_ledger(path: Path, clock: ManualClock | None = None, policy: Policy = POLICY) -> tuple[Ledger, ManualClock]:
    """An empty ledger (but for genesis) under POLICY, with a clock to advance.

    POLICY allows long pauses, so that tests can go on with the machine's clock; SHORT_PAUSES does not.
    """
    clock = clock or ManualClock(START)
    create(path, ORIGIN, policy=policy, clock=clock)
    return open_ledger(path, clock=clock), clock


def fill(ledger: Ledger, clock: ManualClock, rounds: int = 1) -> None:
    """Every kind of entry: notarised, raw, author-signed and counted, heartbeats, causes, an erasure."""
    register(ledger)
    author = Author()
    for number in range(rounds):
        clock.advance(SECOND)
        first = ledger.append([draft(10 * number + i) for i in range(3)], "alice").outcomes[0]
        cause = first.id  # type: ignore[union-attr]  # a Placed: nothing here is refused
        clock.advance(SECOND)
        ledger.append([draft(10 * number + 5, "raw"), draft(10 * number + 6, subject="pool-1", causes=(cause,))])
        ledger.append([author.say(number * 2, clock.now_ns())])
        ledger.append([author.say(number * 2 + 1, clock.now_ns())])
        clock.advance(SECOND)
        ledger.heartbeat()
    ledger.append([draft(900), draft(901)], "bob")
    ledger.erase(3, "the operator", "asked to")
    clock.advance(SECOND)
    ledger.heartbeat()
    ledger.append([draft(990, "raw")])
