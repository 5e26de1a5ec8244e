"""Vouch for the clock of a running service: sign where the key is, append where the ledger is."""

import base64
import time

from decision_dna.ledger import hashing
from decision_dna.ledger.authority import AuthorCounter
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.merkle import TILE_WIDTH
from decision_dna.ledger.own_claims import sign_ledger_claim
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas.claims import decode_claim, decode_entry
from decision_dna.schemas.errors import ProofRejected, Refused, Unavailable
from decision_dna.schemas.ledgering import CLOCK, ERASURE, GENESIS, KEY, POLICY, ClockStep
from decision_dna.schemas.receipts import Problem
from decision_dna.schemas.texts import time_ns
from decision_dna.service.commands.remote import Service

SIGNED_TYPES = (GENESIS, KEY, POLICY, CLOCK, ERASURE)
"""What root or an operator signs for the ledger itself: where their counters stand."""


def vouch_at(address: str, key: SigningKey, reason: str) -> int:
    """Sign that the clock went on from the service's newest entry to this machine's time, and append it there. Returns its seq.

    Raises Refused, Conflict, Unavailable.
    """
    with Service.at(address) as service:
        newest = service.events({"order": "desc", "limit": "1"}).events
        if not newest:
            raise Unavailable(f"{address} shows no entry to go on from")
        origin = service.health().origin
        now = time.time_ns()
        step = ClockStep(from_ns=time_ns(newest[0].recorded_at), reason=reason, to_ns=now)
        counter = _counter(service, key, origin)
        draft = sign_ledger_claim(origin, key, CLOCK, step, new_ids(1, now)[0], now, counter)
        submission = {
            "claim": base64.b64encode(draft.claim).decode(),
            "salt": draft.salt.hex(),
            "signature": draft.signature.hex(),
            "key_id": draft.key_id.hex(),
            "payload": {"from": step.from_ns, "reason": reason, "to": step.to_ns},
        }
        outcome = service.submit([submission]).outcomes[0]
    if isinstance(outcome, Problem):
        raise Refused(f"{address} says: {outcome.detail}")
    return outcome


def _counter(service: Service, key: SigningKey, origin: str) -> AuthorCounter | None:
    """The counter of a key as of its last entry for the ledger itself, from that entry's bytes; None if it has none yet.

    A service that shows another last entry gets a claim with another number, which its ledger refuses.
    """
    pages = [
        service.events({"type": name, "source": "ledger", "order": "desc", "limit": "1000"}) for name in SIGNED_TYPES
    ]
    seqs = [event.seq for page in pages for event in page.events if event.key_id == key.key_id.hex()]
    if not seqs:
        return None
    index, at = divmod(max(seqs), TILE_WIDTH)
    entry = decode_entry(service.entries(index, at + 1)[at])
    claim = decode_claim(entry.claim)
    if (entry.seq, claim.origin, entry.key_id) != (max(seqs), origin, key.key_id):
        raise ProofRejected(f"entry {max(seqs)} is not what the service says of it")
    return claim.author_seq + 1, hashing.claim_hash(entry.claim)
