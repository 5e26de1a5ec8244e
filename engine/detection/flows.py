"""What changed hands in a block, read from transfers and balances alone: no program is known by name here.

An *exchange* is a pool taking one mint and giving another. A pool is whoever, not being a signer, gains in one of its
accounts and loses in another within one program call. It is named by these two accounts, since one authority may own
the vaults of thousands of pools (Raydium V4) and a venue may have vaults that own themselves (Phoenix). A bonding
curve keeps its lamports on the owner's own key: there that key stands for the second account.

Lamports and wrapped SOL are one thing, `SOL`. What someone holds of it are the lamports on the key and on all token
accounts, so that wrapping, and the rent of accounts opened or closed, change nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from decision_dna.engine.blocks import WRAPPED_SOL, Block, Move, Transaction

SOL = WRAPPED_SOL

Holdings = dict[tuple[str, str], int]
"""(owner, mint) -> what the owner gained of it."""


class Exchange(NamedTuple):
    """A pool took `amount_in` of `mint_in` from `giver` and gave `amount_out` of `mint_out` to `taker`.

    Raw units, as its accounts saw them. `owners` own the two accounts, giver and taker those at the other end.
    """

    pool: str
    owners: tuple[str, str]
    giver: str
    taker: str
    mint_in: str
    amount_in: int
    mint_out: str
    amount_out: int


class Flow(NamedTuple):
    """A transaction that succeeded and moved tokens, with its exchanges in order."""

    transaction: Transaction
    exchanges: tuple[Exchange, ...]


class _Accounts(NamedTuple):
    """Whose accounts a transaction touched, of which mint, by account index; which both got and gave; and who signed."""

    owner: dict[int, str]
    mint: dict[int, str]
    passed: frozenset[int]
    signers: frozenset[str]


def flows_of(block: Block) -> list[Flow]:
    """The flows of a block, in order: votes, failures and transactions without tokens have none."""
    candidates = [tx for tx in block.transactions if tx.tokens and not tx.failed and not tx.vote]
    crowd = _crowd(candidates)
    return [_flow(tx, crowd) for tx in candidates]


def holdings(tx: Transaction) -> Holdings:
    """What everyone gained or lost in a transaction, without zeros."""
    gained: Holdings = {}
    owner_of = {row.account: row.owner for row in tx.tokens}
    for row in tx.tokens:
        if row.mint != SOL and row.delta:
            gained[row.owner, row.mint] = gained.get((row.owner, row.mint), 0) + row.delta
    for index, (before, after) in enumerate(zip(tx.pre_lamports, tx.post_lamports, strict=True)):
        if before != after:
            owner = owner_of.get(index) or tx.keys[index]
            gained[owner, SOL] = gained.get((owner, SOL), 0) + after - before
    return {place: amount for place, amount in gained.items() if amount}


def pool_name(first: str, second: str) -> str:
    """The name of the pool with these two accounts: `smaller/greater`."""
    return f"{min(first, second)}/{max(first, second)}"


def pool_owners(exchanges: Iterable[Exchange]) -> set[str]:
    """Who owns accounts of the pools."""
    return {owner for exchange in exchanges for owner in exchange.owners}


def _crowd(transactions: Iterable[Transaction]) -> dict[str, int]:
    """How many different fee payers moved an owner's tokens: a pool serves many, a wallet only its own."""
    payers: dict[str, set[str]] = {}
    for tx in transactions:
        for row in tx.tokens:
            if row.pre != row.post:
                payers.setdefault(row.owner, set()).add(tx.fee_payer)
    return {owner: len(seen) for owner, seen in payers.items()}


def _flow(tx: Transaction, crowd: Mapping[str, int]) -> Flow:
    token_moves = [move for move in tx.moves if move.kind == "token"]
    exchanges: list[Exchange] = []
    if token_moves:
        accounts = _accounts(tx, token_moves)
        rest: list[Move] = []
        for _, group in groupby(token_moves, key=lambda move: move.call):
            call = list(group)
            exchange = _exchange(tx, accounts, call, crowd) if len(call) > 1 else None
            if exchange is None:
                rest += call
            else:
                exchanges.append(exchange)
        # Some venues make other calls between their two transfers: what is left is looked at as one.
        late = _exchange(tx, accounts, rest, crowd) if len(rest) > 1 else None
        if late is not None:
            exchanges.append(late)
    exchanges += _curves(tx, pool_owners(exchanges))
    return Flow(tx, tuple(exchanges))


def _accounts(tx: Transaction, moves: Sequence[Move]) -> _Accounts:
    """Owner and mint of each account that moved. One that lived only within the transaction has no balance to tell:
    its mint is that of the account at the other end, its owner whoever moved it, else the fee payer."""
    owner = {row.account: row.owner or tx.keys[row.account] for row in tx.tokens}
    mint = {row.account: row.mint for row in tx.tokens}
    for move in moves:
        known = mint.get(move.source) or mint.get(move.destination)
        if known is not None:
            mint.setdefault(move.source, known)
            mint.setdefault(move.destination, known)
        owner.setdefault(move.source, tx.keys[move.authority])
    for move in moves:
        owner.setdefault(move.destination, tx.fee_payer)
    passed = {move.source for move in moves} & {move.destination for move in moves}
    return _Accounts(owner, mint, frozenset(passed), frozenset(tx.signers))


def _net(moves: Iterable[Move]) -> dict[int, int]:
    net: dict[int, int] = {}
    for move in moves:
        net[move.source] = net.get(move.source, 0) - move.amount
        net[move.destination] = net.get(move.destination, 0) + move.amount
    return {account: amount for account, amount in net.items() if amount}


def _exchange(tx: Transaction, accounts: _Accounts, moves: list[Move], crowd: Mapping[str, int]) -> Exchange | None:
    """The exchange among these moves, if there is one.

    A side is an owner who gained in one account and lost in another; the other side may be one owner too, or two
    (vaults that own themselves). A signer is no pool, nor is one whose account was only passed through. Where two sides
    might still be it, the pool is who serves more payers, then who had more.
    """
    net = _net(moves)
    by_owner: dict[str, list[int]] = {}
    for account in net:
        by_owner.setdefault(accounts.owner[account], []).append(account)
    sides = [side for side in (_side(touched, accounts, net) for touched in by_owner.values()) if side is not None]
    sides += [mirror for side in sides for mirror in _mirror(side, accounts, net)] or _apart(moves, accounts)
    pools = [side for side in sides if not accounts.signers.intersection(accounts.owner[account] for account in side)]
    if not pools:
        return None
    gaining, losing = pools[0] if len(pools) == 1 else _likeliest(tx, accounts, pools, crowd)
    return Exchange(
        pool=pool_name(tx.keys[gaining], tx.keys[losing]),
        owners=(accounts.owner[gaining], accounts.owner[losing]),
        giver=accounts.owner[max((m for m in moves if m.destination == gaining), key=_amount).source],
        taker=accounts.owner[max((m for m in moves if m.source == losing), key=_amount).destination],
        mint_in=accounts.mint.get(gaining, ""),
        amount_in=net[gaining],
        mint_out=accounts.mint.get(losing, ""),
        amount_out=-net[losing],
    )


def _likeliest(
    tx: Transaction, accounts: _Accounts, sides: Iterable[tuple[int, int]], crowd: Mapping[str, int]
) -> tuple[int, int]:
    reserves = {row.account: row.pre or 0 for row in tx.tokens}

    def likeness(side: tuple[int, int]) -> tuple[bool, int, int]:
        served = min(crowd.get(accounts.owner[account], 0) for account in side)
        return not accounts.passed.intersection(side), served, reserves.get(side[0], 0)

    return max(sides, key=likeness)


def _amount(move: Move) -> int:
    return move.amount


def _side(touched: list[int], accounts: _Accounts, net: Mapping[int, int]) -> tuple[int, int] | None:
    """(gaining, losing) account of an owner who has one of each, of different mints."""
    gaining = [account for account in touched if net[account] > 0]
    losing = [account for account in touched if net[account] < 0]
    if len(gaining) == len(losing) == 1 and accounts.mint.get(gaining[0]) != accounts.mint.get(losing[0]):
        return gaining[0], losing[0]
    return None


def _mirror(own: tuple[int, int], accounts: _Accounts, net: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """The accounts at the other end: those that gained most of what the trader gave, and lost most of what it got."""
    got, gave = own
    others = [account for account in net if account not in own]
    takers = [a for a in others if net[a] > 0 and accounts.mint.get(a) == accounts.mint.get(gave)]
    givers = [a for a in others if net[a] < 0 and accounts.mint.get(a) == accounts.mint.get(got)]
    if takers and givers:
        yield max(takers, key=lambda account: net[account]), min(givers, key=lambda account: net[account])


def _apart(moves: Sequence[Move], accounts: _Accounts) -> list[tuple[int, int]]:
    """Where no owner is on both ends: within one call a signer gave one mint, and somebody else was given another."""
    greatest: dict[str, Move] = {}
    for move in sorted(moves, key=_amount):
        greatest[accounts.mint.get(move.source, "")] = move
    if len(greatest) != 2 or len({move.call for move in moves}) > 1:
        return []
    first, second = greatest.values()
    pairs = ((first, second), (second, first))
    return [(gave.destination, got.source) for gave, got in pairs if accounts.owner[gave.source] in accounts.signers]


def _curves(tx: Transaction, seen: set[str]) -> Iterator[Exchange]:
    """Exchanges against lamports that an owner of one moved token account keeps on its own key."""
    moved: dict[str, list[tuple[int, str, int]]] = {}
    for row in tx.tokens:
        if row.delta and row.owner not in seen:
            moved.setdefault(row.owner, []).append((row.account, row.mint, row.delta))
    for owner, rows in moved.items():
        if len(rows) != 1 or owner in tx.signers or owner not in tx.keys:
            continue
        account, mint, tokens = rows[0]
        place = tx.keys.index(owner)
        lamports = tx.post_lamports[place] - tx.pre_lamports[place]
        if mint == SOL or place == account or lamports * tokens >= 0:
            continue
        pool = pool_name(owner, tx.keys[account])
        trader = max(
            (row for row in tx.tokens if row.mint == mint and row.owner != owner),
            key=lambda row: abs(row.delta),
            default=None,
        )
        wallet = tx.fee_payer if trader is None else trader.owner
        if tokens < 0:
            yield Exchange(pool, (owner, owner), wallet, wallet, SOL, lamports, mint, -tokens)
        else:
            yield Exchange(pool, (owner, owner), wallet, wallet, mint, tokens, SOL, -lamports)
