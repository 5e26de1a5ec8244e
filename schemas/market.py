"""What the engine says about the chain: observed blocks, and what was found in them.

Amounts are integers in raw units (lamports, or a mint's smallest unit), wrapped SOL is named by its mint, keys and
signatures are base58 text, `position` counts the transactions of a block from 0. A pool is named by the two accounts
that hold its reserves, `smaller/greater`. An amount past the range of its field, which only a worthless token can have,
is given as the nearest one in it. Arrays list at most `LEGS_MAX`. `rule` and `rule_version` name the code that decided.
"""

from typing import Annotated, Literal

from msgspec import Meta

from decision_dna.schemas.payloads import Payload, payload_type
from decision_dna.schemas.ranges import (
    Digest,
    Key,
    KeyOrEmpty,
    Line,
    Natural,
    Pool,
    Ppm,
    Rule,
    RuleVersion,
    Seconds,
    Signature,
    Signed,
    Unsigned,
)

LEGS_MAX = 128
"""How many victims a detection lists; `victims_count` says how many there were."""

_Listed = Meta(max_length=LEGS_MAX)
Link = Literal["owner", "signer", "transfer"]


class TokenGain(Payload, frozen=True):
    """What was gained of one mint; negative where it was lost."""

    amount: Signed
    mint: Key


class Leg(Payload, frozen=True):
    """One trade in the pool: what the trader gave and got, as seen at the pool's accounts. The mint of an account that lived
    only within the transaction may be unknown: then it is empty."""

    amount_in: Unsigned
    amount_out: Unsigned
    mint_in: KeyOrEmpty
    mint_out: KeyOrEmpty
    position: Natural
    signature: Signature
    wallet: Key


class Hop(Payload, frozen=True):
    """One exchange on an arbitrage's way, in the order in which they ran. Mints as in `Leg`."""

    amount_in: Unsigned
    amount_out: Unsigned
    mint_in: KeyOrEmpty
    mint_out: KeyOrEmpty
    pool: Pool


@payload_type("observation.block", schema=1)
class BlockObserved(Payload, frozen=True):
    """A block was read. `digest`: `engine.blocks.digest`, hex. Unknown `block_time` (s) and `height` are 0;
    `blockhash` is empty where only a part of the block is known."""

    block_time: Seconds
    blockhash: KeyOrEmpty
    digest: Digest
    failed_count: Natural
    height: Natural
    parent_slot: Natural
    previous_blockhash: KeyOrEmpty
    slot: Natural
    transactions_count: Natural
    votes_count: Natural


@payload_type("observation.skip", schema=1)
class BlockSkipped(Payload, frozen=True):
    """A block was not read, and why; slot 0 where not even that is known."""

    reason: Line
    slot: Natural


@payload_type("detection.sandwich", schema=1)
class Sandwich(Payload, frozen=True):
    """An attack: bought before the victims and sold after them (or the reverse) in one pool, at a profit.

    `profit_lamports` and `profit_tokens` are what the attackers' wallets gained over all their transactions in the
    attack, after `fees`, `tips` (to known tip accounts) and `payments` (all else that left them). `realized_lamports`
    is the part of it that the round trip itself brought, tokens left over counted at cost. `link` says what ties the
    fronts to the backs: `owner`, `signer` or `transfer`; `passes` are the transactions of such transfers.
    """

    attackers: Annotated[tuple[Key, ...], _Listed]
    backs: Annotated[tuple[Leg, ...], _Listed]
    confidence_ppm: Ppm
    fees: Unsigned
    fronts: Annotated[tuple[Leg, ...], _Listed]
    link: Link
    mints: tuple[KeyOrEmpty, KeyOrEmpty]
    passes: Annotated[tuple[Signature, ...], _Listed]
    payments: Signed
    pool: Pool
    profit_lamports: Signed
    profit_tokens: Annotated[tuple[TokenGain, ...], _Listed]
    realized_lamports: Signed
    rule: Rule
    rule_version: RuleVersion
    slot: Natural
    tips: Unsigned
    victims: Annotated[tuple[Leg, ...], _Listed]
    victims_count: Natural


@payload_type("detection.sandwich_pattern", schema=1)
class SandwichPattern(Payload, frozen=True):
    """The order of trades of a sandwich without its profit: a structure, no attack. Fields as in `Sandwich`."""

    backs: Annotated[tuple[Leg, ...], _Listed]
    fronts: Annotated[tuple[Leg, ...], _Listed]
    link: Link
    mints: tuple[KeyOrEmpty, KeyOrEmpty]
    pool: Pool
    profit_lamports: Signed
    profit_tokens: Annotated[tuple[TokenGain, ...], _Listed]
    rule: Rule
    rule_version: RuleVersion
    slot: Natural
    victims: Annotated[tuple[Leg, ...], _Listed]
    victims_count: Natural
    wallets: Annotated[tuple[Key, ...], _Listed]


@payload_type("detection.arbitrage", schema=1)
class Arbitrage(Payload, frozen=True):
    """One transaction that went through two or more pools and lost nothing on the way.

    `net_lamports` (after `fee`, `tip` and every other payment) and `gains` are what the wallets of the signer and
    `owner` gained by their balances; `value_lamports` adds the gains at the prices of the same block.
    """

    confidence_ppm: Ppm
    fee: Unsigned
    gains: Annotated[tuple[TokenGain, ...], _Listed]
    hops: Annotated[tuple[Hop, ...], _Listed]
    net_lamports: Signed
    owner: Key
    position: Natural
    rule: Rule
    rule_version: RuleVersion
    signature: Signature
    signer: Key
    slot: Natural
    tip: Unsigned
    value_lamports: Signed
