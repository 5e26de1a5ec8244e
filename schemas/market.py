"""What the engine says about the chain: observed blocks, and what was found in them.

Amounts are integers in raw units (lamports, or a mint's smallest unit), wrapped SOL is named by its mint, keys and
signatures are base58 text, `position` counts the transactions of a block from 0. A pool is named by the two accounts
that hold its reserves, `smaller/greater`. An amount past 64 bits, which only a worthless token can have, is given as
the greatest that fits. `rule` and `rule_version` name the code that decided.
"""

from decision_dna.schemas.payloads import Payload, payload_type

LEGS_MAX = 128
"""How many victims a detection lists; `victims_count` says how many there were."""


class TokenGain(Payload, frozen=True):
    """What was gained of one mint; negative where it was lost."""

    amount: int
    mint: str


class Leg(Payload, frozen=True):
    """One trade in the pool: what the trader gave and got, as seen at the pool's accounts."""

    amount_in: int
    amount_out: int
    mint_in: str
    mint_out: str
    position: int
    signature: str
    wallet: str


class Hop(Payload, frozen=True):
    """One exchange on an arbitrage's way, in the order in which they ran."""

    amount_in: int
    amount_out: int
    mint_in: str
    mint_out: str
    pool: str


@payload_type("observation.block", schema=1)
class BlockObserved(Payload, frozen=True):
    """A block was read. `digest`: `engine.blocks.digest`, hex. Unknown `block_time` (s) and `height` are 0;
    `blockhash` is empty where only a part of the block is known."""

    block_time: int
    blockhash: str
    digest: str
    failed_count: int
    height: int
    parent_slot: int
    previous_blockhash: str
    slot: int
    transactions_count: int
    votes_count: int


@payload_type("observation.skip", schema=1)
class BlockSkipped(Payload, frozen=True):
    """A block was not read, and why; slot 0 where not even that is known."""

    reason: str
    slot: int


@payload_type("detection.sandwich", schema=1)
class Sandwich(Payload, frozen=True):
    """An attack: bought before the victims and sold after them (or the reverse) in one pool, at a profit.

    `profit_lamports` and `profit_tokens` are what the attackers' wallets gained over all their transactions in the
    attack, after `fees`, `tips` (to known tip accounts) and `payments` (all else that left them). `realized_lamports`
    is the part of it that the round trip itself brought, tokens left over counted at cost. `link` says what ties the
    fronts to the backs: `owner`, `signer` or `transfer`; `passes` are the transactions of such transfers.
    """

    attackers: tuple[str, ...]
    backs: tuple[Leg, ...]
    confidence_ppm: int
    fees: int
    fronts: tuple[Leg, ...]
    link: str
    mints: tuple[str, str]
    passes: tuple[str, ...]
    payments: int
    pool: str
    profit_lamports: int
    profit_tokens: tuple[TokenGain, ...]
    realized_lamports: int
    rule: str
    rule_version: int
    slot: int
    tips: int
    victims: tuple[Leg, ...]
    victims_count: int


@payload_type("detection.sandwich_pattern", schema=1)
class SandwichPattern(Payload, frozen=True):
    """The order of trades of a sandwich without its profit: a structure, no attack. Fields as in `Sandwich`."""

    backs: tuple[Leg, ...]
    fronts: tuple[Leg, ...]
    link: str
    mints: tuple[str, str]
    pool: str
    profit_lamports: int
    profit_tokens: tuple[TokenGain, ...]
    rule: str
    rule_version: int
    slot: int
    victims: tuple[Leg, ...]
    victims_count: int
    wallets: tuple[str, ...]


@payload_type("detection.arbitrage", schema=1)
class Arbitrage(Payload, frozen=True):
    """One transaction that went through two or more pools and lost nothing on the way.

    `net_lamports` (after `fee`, `tip` and every other payment) and `gains` are what the wallets of the signer and
    `owner` gained by their balances; `value_lamports` adds the gains at the prices of the same block.
    """

    confidence_ppm: int
    fee: int
    gains: tuple[TokenGain, ...]
    hops: tuple[Hop, ...]
    net_lamports: int
    owner: str
    position: int
    rule: str
    rule_version: int
    signature: str
    signer: str
    slot: int
    tip: int
    value_lamports: int
