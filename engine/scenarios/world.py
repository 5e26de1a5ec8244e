"""A small chain to play scenes on: wallets, token accounts, constant-product pools, and transactions in the real wire form.

Everything is drawn from one `random.Random`. Keys of programs, pools and mints are drawn too, so that nothing can be
recognised by its name. A `World` is changed by `Script`s, one a transaction: each step of a script takes effect at
once and is written down as instructions; `Script.run` closes it, or takes it back but for the fee (`fails=True`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from decision_dna.engine import base58
from decision_dna.engine.blocks import SYSTEM_PROGRAM, VOTE_PROGRAM, WRAPPED_SOL
from decision_dna.schemas.errors import InvariantBroken

SPL = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
ASSOCIATED = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
TIP_ACCOUNT = "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5"
RENT = 2_039_280
FEE = 5_000
SOL = WRAPPED_SOL
STYLES = ("shared", "own", "self", "curve")


@dataclass
class TokenHolding:
    """A token account: its mint, its owner, what is in it."""

    mint: str
    owner: str
    amount: int


@dataclass(frozen=True)
class Pool:
    """A pool of two mints. `style` says whose the vaults are: one authority's for all pools (`shared`), the pool's own
    (`own`), each its own (`self`); a `curve` keeps its SOL as lamports on its own key."""

    style: str
    owner: str
    program: str
    mints: tuple[str, str]
    vaults: tuple[str, str]
    fee_bps: int
    out_first: bool
    checked: bool
    toll: str

    @property
    def name(self) -> str:
        """The two accounts that hold its reserves."""
        return "/".join(sorted(self.vaults))

    def vault(self, mint: str) -> str:
        """The account that holds a mint."""
        return self.vaults[self.mints.index(mint)]

    def other(self, mint: str) -> str:
        """The mint on the other side."""
        return self.mints[1 - self.mints.index(mint)]


class Trade(NamedTuple):
    """A swap that took effect, as the world knows it."""

    position: int
    pool: str
    payer: str
    mint_in: str
    amount_in: int
    amount_out: int


class Call(NamedTuple):
    """An instruction with the calls that it made."""

    program: str
    accounts: tuple[str, ...]
    data: bytes
    inner: tuple["Call", ...] = ()


@dataclass
class World:
    """The state of the chain and the block that is being made. See the module's text."""

    rng: Random
    lamports: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, TokenHolding] = field(default_factory=dict)
    pools: list[Pool] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    transactions: list["Executed"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._seeds: dict[str, bytes] = {}
        self._places: dict[tuple[str, str], str] = {}
        self.authority = self.key()
        self.router = self.key()
        self.lamports[self.authority] = RENT

    def key(self) -> str:
        """A new key that nobody can sign with."""
        return base58.encode(self.rng.randbytes(32))

    def wallet(self, lamports: int = 5_000_000_000_000) -> str:
        """A new wallet with some lamports, which can sign."""
        seed = self.rng.randbytes(32)
        address = str(keypair(seed).pubkey())
        self._seeds[address] = seed
        self.lamports[address] = lamports
        return address

    def seed(self, wallet: str) -> bytes:
        """The secret of a wallet."""
        return self._seeds[wallet]

    def account(self, owner: str, mint: str, amount: int = 0) -> str:
        """The owner's token account of a mint; opened outside the block, with an amount, where there is none."""
        if (owner, mint) not in self._places:
            address = self._places[owner, mint] = self.key()
            self.tokens[address] = TokenHolding(mint, owner, amount)
            self.lamports[address] = RENT + (amount if mint == SOL else 0)
        return self._places[owner, mint]

    def place(self, owner: str, mint: str) -> str | None:
        """The owner's token account of a mint, if there is one."""
        return self._places.get((owner, mint))

    def remember(self, owner: str, mint: str, address: str) -> None:
        """Note an account that was opened within the block."""
        self._places[owner, mint] = address

    def forget(self, owner: str, mint: str) -> None:
        """Note that an account was closed."""
        del self._places[owner, mint]

    def pool(
        self, mints: tuple[str, str], reserves: tuple[int, int], style: str | None = None, fee_bps: int | None = None
    ) -> Pool:
        """A new pool; a `curve` needs SOL as its second mint."""
        style = style or self.rng.choice(STYLES[:3])
        owner = self.authority if style == "shared" else self.key()
        vaults = []
        for mint, reserve in zip(mints, reserves, strict=True):
            if style == "curve" and mint == SOL:
                self.lamports[owner] = RENT + reserve
                vaults.append(owner)
                continue
            address = self.key()
            self.tokens[address] = TokenHolding(mint, address if style == "self" else owner, reserve)
            self.lamports[address] = RENT + (reserve if mint == SOL else 0)
            vaults.append(address)
        toll = self.account(self.key(), mints[1]) if style == "own" and self.rng.random() < 0.5 else ""
        pool = Pool(
            style=style,
            owner=owner,
            program=self.key(),
            mints=mints,
            vaults=(vaults[0], vaults[1]),
            fee_bps=fee_bps or self.rng.choice((10, 25, 30, 100)),
            out_first=self.rng.random() < 0.3,
            checked=self.rng.random() < 0.5,
            toll=toll,
        )
        self.pools.append(pool)
        return pool

    def reserve(self, pool: Pool, mint: str) -> int:
        """What a pool holds of a mint."""
        vault = pool.vault(mint)
        return self.tokens[vault].amount if vault in self.tokens else self.lamports[vault] - RENT

    def quote(self, pool: Pool, mint_in: str, amount: int) -> int:
        """What the pool would give: constant product, after its fee and toll."""
        amount -= toll_of(pool, mint_in, amount)
        reserve_in, reserve_out = self.reserve(pool, mint_in), self.reserve(pool, pool.other(mint_in))
        effective = amount * (10_000 - pool.fee_bps)
        return reserve_out * effective // (reserve_in * 10_000 + effective)

    def worth(self, owners: tuple[str, ...]) -> dict[str, int]:
        """All that some owners have, by mint: lamports on their keys and token accounts as SOL."""
        held = {SOL: sum(self.lamports.get(owner, 0) for owner in set(owners))}
        for address, holding in self.tokens.items():
            if holding.owner in owners:
                held[SOL] += self.lamports[address]
                if holding.mint != SOL:
                    held[holding.mint] = held.get(holding.mint, 0) + holding.amount
        return held


class Executed(NamedTuple):
    """A transaction that ran: what `engine.scenarios.answers` writes down."""

    calls: tuple[Call, ...]
    payer: str
    signers: tuple[str, ...]
    keys_writable: frozenset[str]
    before: dict[str, tuple[int, TokenHolding | None]]
    after: dict[str, tuple[int, TokenHolding | None]]
    fee: int
    failed: bool
    legacy: bool


class Script:
    """One transaction in the making, paid for by `payer`. Steps take effect on the world at once."""

    def __init__(self, world: World, payer: str, *more_signers: str) -> None:
        self.world = world
        self.payer = payer
        self.signers = (payer, *more_signers)
        self._calls: list[Call] = []
        self._before: dict[str, tuple[int, TokenHolding | None]] = {}
        self._trades: list[Trade] = []
        self._fee = FEE + world.rng.choice((0, 0, 1, 400, 7_000))
        self._lamports(payer, -self._fee)

    def run(self, *, fails: bool = False) -> int:
        """Close the transaction and append it to the block; returns its position."""
        world = self.world
        if fails:
            for address in self._before:
                self._restore(address)
            world.lamports[self.payer] -= self._fee
            self._trades.clear()
        position = len(world.transactions)
        writable = frozenset(self._before)
        for key in keys_of(self._calls):
            self._note(key)
        after = {address: _state(world, address) for address in self._before}
        world.transactions.append(
            Executed(
                calls=tuple(self._calls),
                payer=self.payer,
                signers=self.signers,
                keys_writable=writable,
                before=self._before,
                after=after,
                fee=self._fee,
                failed=fails,
                legacy=world.rng.random() < 0.5,
            )
        )
        world.trades += [trade._replace(position=position) for trade in self._trades]
        return position

    def pay(self, source: str, destination: str, lamports: int) -> None:
        """Move lamports between keys."""
        self._lamports(source, -lamports)
        self._lamports(destination, lamports)
        self._calls.append(_system_transfer(source, destination, lamports))

    def tip(self, lamports: int, source: str | None = None) -> None:
        """Pay a known tip account."""
        self.pay(source or self.payer, TIP_ACCOUNT, lamports)

    def open(self, owner: str, mint: str) -> str:
        """The owner's token account, opened and its rent paid where there is none."""
        known = self.world.place(owner, mint)
        if known is not None:
            return known
        address = self.world.key()
        self._note(address)
        self._lamports(self.payer, -RENT)
        self._lamports(address, RENT)
        self.world.tokens[address] = TokenHolding(mint, owner, 0)
        self.world.remember(owner, mint, address)
        create = Call(SYSTEM_PROGRAM, (self.payer, address), b"\0\0\0\0" + RENT.to_bytes(8, "little") + bytes(40))
        accounts = (self.payer, address, owner, mint, SYSTEM_PROGRAM, SPL)
        self._calls.append(Call(ASSOCIATED, accounts, b"\1", (create, Call(SPL, (address, mint), b"\x12" + bytes(32)))))
        return address

    def give(self, giver: str, taker: str, mint: str, amount: int) -> None:
        """Move tokens from one owner to another."""
        source, destination = self.world.account(giver, mint), self.open(taker, mint)
        self._calls.append(self._token(source, destination, giver, amount, checked=False))

    def swap(self, pool: Pool, owner: str, mint_in: str, amount: int, *, taker: str = "", routed: bool = False) -> int:
        """Exchange in a pool, from the owner's account to the taker's (the owner's own, unless given); returns what came out.

        `routed`: the pool's program is called by a router and not by the transaction itself.
        """
        out = self.world.quote(pool, mint_in, amount)
        if out <= 0:
            raise InvariantBroken("a scene trades too little to get anything")
        mint_out = pool.other(mint_in)
        if pool.style == "curve":
            inner = self._curve_moves(pool, owner, taker or owner, mint_in, amount, out)
        else:
            source, target = self.open(owner, mint_in), self.open(taker or owner, mint_out)
            toll = toll_of(pool, mint_in, amount)
            take = self._token(source, pool.vault(mint_in), owner, amount - toll, checked=pool.checked)
            vault = pool.vault(mint_out)
            give = self._token(vault, target, self.world.tokens[vault].owner, out, checked=pool.checked)
            inner = [give, take] if pool.out_first else [take, give]
            if toll:
                inner.append(self._token(source, pool.toll, owner, toll, checked=False))
        places = {account: None for step in inner for account in (step.program, *step.accounts)}
        accounts = (pool.owner, *places)
        call = Call(pool.program, accounts, self.world.rng.randbytes(17), tuple(inner))
        if routed:
            note = Call(self.world.router, (pool.owner,), self.world.rng.randbytes(60))
            nested = (call._replace(inner=()), *inner, note)
            call = Call(self.world.router, (pool.program, *accounts), self.world.rng.randbytes(33), nested)
        self._calls.append(call)
        self._trades.append(Trade(-1, pool.name, self.payer, mint_in, amount, out))
        return out

    def wrap(self, owner: str, lamports: int) -> None:
        """Turn lamports into wrapped SOL on the owner's account."""
        account = self.open(owner, SOL)
        self._lamports(owner, -lamports)
        self._tokens(account, lamports)
        self._calls.append(_system_transfer(owner, account, lamports))
        self._calls.append(Call(SPL, (account,), b"\x11"))

    def unwrap(self, owner: str) -> None:
        """Close the owner's wrapped SOL account: all its lamports go to the owner."""
        account = self.world.account(owner, SOL)
        self._note(account)
        self._lamports(owner, self.world.lamports[account])
        self._calls.append(Call(SPL, (account, owner, owner), b"\x09"))
        self.world.lamports[account] = 0
        del self.world.tokens[account]
        self.world.forget(owner, SOL)

    def liquidity(self, pool: Pool, owner: str, part: int, *, add: bool) -> None:
        """Add or take the `part`-th part of both reserves."""
        moves = []
        for mint in pool.mints:
            amount = self.world.reserve(pool, mint) // part
            account, vault = self.open(owner, mint), pool.vault(mint)
            ends = (account, vault, owner) if add else (vault, account, self.world.tokens[vault].owner)
            moves.append(self._token(*ends, amount, checked=pool.checked))
        accounts = {account: None for step in moves for account in (step.program, *step.accounts)}
        self._calls.append(Call(pool.program, (pool.owner, *accounts), self.world.rng.randbytes(25), tuple(moves)))

    def vote(self) -> None:
        """Vote, as a validator does."""
        account = self.world.key()
        self._note(account)
        self._calls.append(Call(VOTE_PROGRAM, (account, self.payer), self.world.rng.randbytes(120)))

    def _curve_moves(self, pool: Pool, owner: str, taker: str, mint_in: str, amount: int, out: int) -> list[Call]:
        vault = pool.vaults[0]
        if mint_in == SOL:
            target = self.open(taker, pool.mints[0])
            self._lamports(owner, -amount)
            self._lamports(pool.owner, amount)
            give = self._token(vault, target, pool.owner, out, checked=False)
            return [give, _system_transfer(owner, pool.owner, amount)]
        # A program may take lamports from its own account without any instruction.
        self._lamports(pool.owner, -out)
        self._lamports(taker, out)
        return [self._token(self.world.account(owner, mint_in), vault, owner, amount, checked=False)]

    def _token(self, source: str, destination: str, authority: str, amount: int, *, checked: bool) -> Call:
        self._tokens(source, -amount)
        self._tokens(destination, amount)
        data = amount.to_bytes(8, "little")
        if checked:
            mint = self.world.tokens[source].mint
            return Call(SPL, (source, mint, destination, authority), b"\x0c" + data + b"\6")
        return Call(SPL, (source, destination, authority), b"\3" + data)

    def _tokens(self, account: str, amount: int) -> None:
        self._note(account)
        holding = self.world.tokens[account]
        holding.amount += amount
        if holding.amount < 0:
            raise InvariantBroken("a scene spends tokens that are not there")
        if holding.mint == SOL:
            self.world.lamports[account] += amount

    def _lamports(self, key: str, amount: int) -> None:
        self._note(key)
        self.world.lamports[key] = self.world.lamports.get(key, 0) + amount
        if self.world.lamports[key] < 0:
            raise InvariantBroken("a scene spends lamports that are not there")

    def _note(self, address: str) -> None:
        self._before.setdefault(address, _state(self.world, address))

    def _restore(self, address: str) -> None:
        lamports, holding = self._before[address]
        self.world.lamports[address] = lamports
        if holding is None:
            gone = self.world.tokens.pop(address, None)
            if gone is not None:
                self.world.forget(gone.owner, gone.mint)
        else:
            self.world.tokens[address] = TokenHolding(holding.mint, holding.owner, holding.amount)
            self.world.remember(holding.owner, holding.mint, address)


def toll_of(pool: Pool, mint_in: str, amount: int) -> int:
    """What somebody else gets of what is paid in: a fifth of a percent of the money, where the pool has a toll."""
    return amount // 500 if pool.toll and mint_in == pool.mints[1] else 0


def keys_of(calls: Iterable[Call]) -> dict[str, None]:
    """All keys that calls name, in order, each once."""
    keys: dict[str, None] = {}
    for call in calls:
        keys |= dict.fromkeys((call.program, *call.accounts))
        keys |= keys_of(call.inner)
    return keys


def keypair(seed: bytes) -> Any:
    """The Ed25519 key pair of a seed, as solders has it."""
    from solders.keypair import Keypair

    return Keypair.from_seed(seed)


def _state(world: World, address: str) -> tuple[int, TokenHolding | None]:
    held = world.tokens.get(address)
    copy = None if held is None else TokenHolding(held.mint, held.owner, held.amount)
    return world.lamports.get(address, 0), copy


def _system_transfer(source: str, destination: str, lamports: int) -> Call:
    return Call(SYSTEM_PROGRAM, (source, destination), b"\2\0\0\0" + lamports.to_bytes(8, "little"))
