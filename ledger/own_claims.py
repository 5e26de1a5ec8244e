"""The claims that the ledger makes itself: heartbeats, and what its keys' holders sign."""

from decision_dna.ledger import hashing
from decision_dna.ledger.authority import LEDGER_PRINCIPAL, AuthorCounter, decode_ledger_payload
from decision_dna.ledger.ids import new_ids
from decision_dna.ledger.plan import NO_SALT, AuthorDraft, Draft, Prepared, Signer, prepare
from decision_dna.ledger.signatures import SigningKey
from decision_dna.schemas import codec
from decision_dna.schemas.claims import VERSION, ZEROS, Claim, decode_claim
from decision_dna.schemas.ledgering import HEARTBEAT, Heartbeat
from decision_dna.schemas.payloads import Payload


def heartbeat_claim(origin: str, notary: SigningKey, payload: Heartbeat, now: int) -> Prepared:
    """A heartbeat, attested by the notary for the ledger itself."""
    row = prepare(
        Draft(type=HEARTBEAT, schema=1, source="ledger", payload=codec.encode(payload)),
        origin=origin,
        signer=Signer(notary, LEDGER_PRINCIPAL),
        salt=NO_SALT,
        fresh_id=new_ids(1, now)[0],
        now=now,
    )
    decode_ledger_payload(decode_claim(row.claim), codec.encode(payload))
    return row


def sign_ledger_claim(
    origin: str,
    key: SigningKey,
    type_name: str,
    payload: Payload,
    event_id: bytes,
    now: int,
    counter: AuthorCounter | None,
) -> AuthorDraft:
    """A claim of source `ledger`, signed by its author's key: genesis, keys, policy, clock, erasures.

    `counter` is the key's as of its last claim; None if it never signed one, and then it begins to count.
    """
    author_seq, author_prev = (1, ZEROS) if counter is None else counter
    data = codec.encode(payload)
    commitment = hashing.payload_commitment(NO_SALT + data)
    claim = codec.encode(
        Claim(
            VERSION,
            origin,
            event_id,
            type_name,
            1,
            "ledger",
            "",
            now,
            (),
            "",
            author_seq,
            author_prev if author_seq else ZEROS,
            commitment,
        )
    )
    return AuthorDraft(claim, NO_SALT, data, hashing.key_id(key.public), key.sign(hashing.author_message(claim)))
