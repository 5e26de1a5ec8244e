"""What the benchmarks append: block observations of about 300 bytes as JSON, with random keys in them, typed and checked."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from decision_dna.ledger import hashing
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.opening import create, open_ledger
from decision_dna.ledger.plan import AuthorDraft, Draft
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, ZEROS, Claim
from decision_dna.schemas.errors import LedgerError
from decision_dna.schemas.ledgering import KEY, Policy, SourceRule
from decision_dna.schemas.market import BlockObserved
from decision_dna.schemas.payloads import payload_from_json, payload_type

TYPE = "x.block"
BATCH = 1024
ORIGIN = "bench.example/log"
POLICY = Policy(
    anchor_events_max=10**9,
    anchor_seconds_max=10**6,
    default_attestation="notary",
    heartbeat_events_max=65_536,
    heartbeat_seconds_max=10**6,
    jump_seconds_max=10**8,
    pause_seconds_max=10**7,
    sources=(SourceRule("author", (), "", "bot"), SourceRule("none", (), "", "raw")),
    sources_per_principal_max=1000,
)
payload_type(TYPE, schema=1)(BlockObserved)  # a typed payload that anyone may append, unsigned too
AUTHOR = SigningKey(b"benchmark author key, not secret")

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_payloads = msgspec.msgpack.Decoder(tuple[str, list[msgspec.Raw]])
_signed = msgspec.msgpack.Decoder(list[AuthorDraft])


def several(times: int, measure: Callable[[], float]) -> dict[str, Any]:
    """A measurement made so many times, each beside a probe of how quick the machine was just then."""
    found, probes = [], []
    for _ in range(times):
        probes.append(probe_us())
        found.append(measure())
    return {**spread(found), "probe_us": probes}


def spread(found: Sequence[float]) -> dict[str, Any]:
    """The median, and all of them: a machine that is shared with others has good and bad moments."""
    return {"median": round(median(found), 3), "all": [round(one, 3) for one in found]}


def probe_us(count: int = 3000) -> float:
    """µs of one Ed25519 signature, which is all computing: rates on one machine compare by it."""
    start = time.perf_counter()
    for number in range(count):
        AUTHOR.sign(number.to_bytes(32))
    return round((time.perf_counter() - start) / count * 1e6, 1)


def base58_like(count: int) -> str:
    """Random letters of base58: as long and as random as a key."""
    return "".join(_ALPHABET[byte % 58] for byte in os.urandom(count))


def payload_json(slot: int) -> bytes:
    """One observation."""
    return (
        f'{{"block_time":{1_724_267_459 + slot % 1000},"blockhash":"{base58_like(44)}","digest":"{os.urandom(32).hex()}",'
        f'"failed_count":{slot % 97},"height":{264_042_638 + slot},"parent_slot":{285_000_036 + slot},'
        f'"previous_blockhash":"{base58_like(44)}","slot":{285_000_037 + slot},"transactions_count":557,"votes_count":62}}'
    ).encode()


def requests(batches: int, source: str, kinds: int = 40) -> list[bytes]:
    """Bodies of `BATCH` payloads each; `kinds` different ones, used again, so that making them is not what is measured."""
    made = []
    for kind in range(min(batches, kinds)):
        payloads = [msgspec.Raw(msgspec.msgpack.encode(payload_json(kind * BATCH + n))) for n in range(BATCH)]
        made.append(msgspec.msgpack.encode((source, payloads)))
    return [made[n % len(made)] for n in range(batches)]


def decode_request(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Drafts of a body, each payload checked against its type."""
    source, payloads = _payloads.decode(data)
    texts = [msgspec.msgpack.decode(raw, type=bytes) for raw in payloads]
    return [Draft(TYPE, 1, source, payload_from_json(TYPE, 1, text)) for text in texts]


def signed_requests(batches: int) -> list[bytes]:
    """Bodies of claims that `AUTHOR` signed."""
    made, now = [], 1_790_000_000 * 10**9
    for _ in range(batches):
        drafts = [_say(n, event_id, now) for n, event_id in enumerate(new_ids(BATCH, now))]
        made.append(msgspec.msgpack.encode(drafts))
    return made


def _say(number: int, event_id: bytes, now: int) -> AuthorDraft:
    data, salt = payload_from_json(TYPE, 1, payload_json(number)), os.urandom(16)
    commitment = hashing.payload_commitment(salt + data)
    claim = codec.encode(Claim(VERSION, ORIGIN, event_id, TYPE, 1, "bot", "", now, (), "", 0, ZEROS, commitment))
    return AuthorDraft(claim, salt, data, hashing.key_id(AUTHOR.public), AUTHOR.sign(hashing.author_message(claim)))


def decode_signed(data: bytes) -> list[Draft | AuthorDraft | LedgerError]:
    """Author drafts of a body."""
    return list(_signed.decode(data))


def new_ledger(path: Path) -> Ledger:
    """An empty ledger under POLICY, with the author's key registered."""
    create(path, ORIGIN, policy=POLICY)
    ledger = open_ledger(path)
    change = ledger.key_change("register", "author", AUTHOR.public, sources=("bot",))
    ledger.append_signed(ledger.sign_own(ledger.keys.of_purpose("root")[0], KEY, change))
    return ledger
