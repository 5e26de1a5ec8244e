"""From a node's JSON to blocks: `getBlock` and `getTransaction` answers in every encoding, with or without the envelope.

Read are `json`, `jsonParsed`, `base64` and `base58` (the bare old form too), not `base64+zstd`. An array of
`getTransaction` answers becomes one `Block` for each slot, with empty hashes: the part of it that is known.

A `getBlock` answer does not say its slot. The caller's argument counts; else the slot is the parent's plus one, which
is wrong where the leader before skipped.

Every defect is Malformed, with the transaction's position: JSON of another shape, keys or data that are not base58, an
index past the keys, balances of another number than the keys, a token amount past 64 bits, a truncated transaction,
a signature of another length. So whatever is read here fits the ranges of what is said about it.
"""

import binascii
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, cast

import msgspec

from decision_dna.engine import base58, wire
from decision_dna.engine.blocks import (
    SYSTEM_PROGRAM,
    TOKEN_PROGRAMS,
    VOTE_PROGRAM,
    Block,
    Inner,
    Instruction,
    TokenAccount,
    Transaction,
    moves_of,
)
from decision_dna.schemas.errors import Malformed

A = TypeVar("A")

Lamports = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# One more must fit 63 bits: the slot of a block is its parent's plus one.
Slot = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 2)]
# Nanoseconds must fit 63 bits.
Seconds = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 10**9)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
_U64_MAX = 2**64 - 1
_TRANSFERS = frozenset({"transfer", "transferChecked", "transferCheckedWithFee"})
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    """Base of the shapes of the JSON; unknown fields are skipped (logs, rewards, what newer nodes add)."""


class _Amount(_Answer):
    amount: str
    decimals: Byte


class _TokenBalance(_Answer):
    account_index: Byte
    mint: str
    ui_token_amount: _Amount
    owner: str = ""
    program_id: str = ""


class _Step(_Answer):
    """An instruction in `json` (indexes), in `jsonParsed` not parsed (keys), or parsed."""

    program_id_index: Byte | None = None
    accounts: tuple[Byte | str, ...] = ()
    data: str = ""
    program_id: str = ""
    parsed: msgspec.Raw = msgspec.Raw()


class _Group(_Answer):
    index: Byte
    instructions: tuple[_Step, ...]


class _Key(_Answer):
    pubkey: str
    signer: bool
    writable: bool


class _Header(_Answer):
    num_required_signatures: Byte
    num_readonly_signed_accounts: Byte
    num_readonly_unsigned_accounts: Byte


class _Message(_Answer):
    account_keys: tuple[str | _Key, ...]
    instructions: tuple[_Step, ...]
    header: _Header | None = None


class _Signed(_Answer):
    signatures: tuple[str, ...]
    message: _Message


class _Loaded(_Answer):
    writable: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()


class _Meta(_Answer):
    fee: Lamports
    pre_balances: tuple[Lamports, ...]
    post_balances: tuple[Lamports, ...]
    err: msgspec.Raw
    inner_instructions: tuple[_Group, ...] | None = None
    pre_token_balances: tuple[_TokenBalance, ...] | None = None
    post_token_balances: tuple[_TokenBalance, ...] | None = None
    loaded_addresses: _Loaded | None = None
    compute_units_consumed: Lamports | None = None


class _Executed(_Answer):
    transaction: _Signed | str | tuple[str, str]
    meta: _Meta | None
    version: int | str | None = None


class _FetchedTransaction(_Executed, kw_only=True):
    slot: Slot
    block_time: Seconds | None = None


class _FetchedBlock(_Answer):
    blockhash: str
    previous_blockhash: str
    parent_slot: Slot
    transactions: tuple[_Executed, ...]
    block_time: Seconds | None = None
    block_height: Lamports | None = None


class _Failure(_Answer):
    code: int = 0
    message: str = ""


class _BlockReply(_Answer):
    result: _FetchedBlock | None = None
    error: _Failure | None = None


class _TransactionReply(_Answer):
    result: _FetchedTransaction | None = None
    error: _Failure | None = None


class _Parsed(_Answer):
    type: str
    info: msgspec.Raw


class _TransferInfo(_Answer):
    source: str
    destination: str
    amount: str | None = None
    lamports: Lamports | None = None
    token_amount: _Amount | None = None
    mint: str = ""
    authority: str = ""
    multisig_authority: str = ""


_block = msgspec.json.Decoder(_FetchedBlock)
_block_reply = msgspec.json.Decoder(_BlockReply)
_transaction = msgspec.json.Decoder(_FetchedTransaction)
_transaction_reply = msgspec.json.Decoder(_TransactionReply)
_array = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_err = msgspec.json.Decoder()
_parsed = msgspec.json.Decoder(_Parsed)
_transfer_info = msgspec.json.Decoder(_TransferInfo)


def read_block(text: bytes, slot: int | None = None) -> Block:
    """The block of one `getBlock` answer. Raises Malformed."""
    answer = _answered(_block, _block_reply, text, "a getBlock answer")
    _check_keys((answer.blockhash, answer.previous_blockhash))
    return Block(
        slot=answer.parent_slot + 1 if slot is None else slot,
        parent_slot=answer.parent_slot,
        blockhash=answer.blockhash,
        previous_blockhash=answer.previous_blockhash,
        block_time=answer.block_time or 0,
        height=answer.block_height or 0,
        transactions=_read_all(answer.transactions),
    )


def read_transactions(text: bytes) -> tuple[Block, ...]:
    """The known parts of blocks in one `getTransaction` answer or an array of them, by slot.

    Transactions of one slot must stand in the order in which they ran; they are numbered from 0. Raises Malformed.
    """
    items = [bytes(item) for item in _shaped(_array, text, "an array")] if text.lstrip()[:1] == b"[" else [text]
    answers = [_answered(_transaction, _transaction_reply, item, "a getTransaction answer") for item in items]
    if not answers:
        raise Malformed("an array without transactions")
    by_slot: dict[int, list[_FetchedTransaction]] = {}
    for answer in answers:
        by_slot.setdefault(answer.slot, []).append(answer)
    return tuple(
        Block(
            slot=slot,
            parent_slot=max(slot - 1, 0),
            blockhash="",
            previous_blockhash="",
            block_time=max(answer.block_time or 0 for answer in group),
            height=0,
            transactions=_read_all(group),
        )
        for slot, group in sorted(by_slot.items())
    )


def read_blocks(text: bytes, slot: int | None = None) -> tuple[Block, ...]:
    """The blocks of an answer of either kind. Raises Malformed."""
    if text.lstrip()[:1] == b"{" and b'"transactions"' in text:
        return (read_block(text, slot),)
    return read_transactions(text)


def _answered(
    plain: "msgspec.json.Decoder[A]",
    enveloped: "msgspec.json.Decoder[Any]",
    text: bytes,
    what: str,
) -> A:
    """An answer with or without the JSON-RPC envelope, decoded once in the usual cases."""
    if b'"jsonrpc"' not in text[:100]:
        try:
            return plain.decode(text)
        except _UNREADABLE as error:
            reply = _shaped(enveloped, text, what)
            if reply.result is None and reply.error is None:
                raise Malformed(f"not {what}: {error}") from None
    else:
        reply = _shaped(enveloped, text, what)
    if reply.error is not None:
        raise Malformed(f"the node answered with error {reply.error.code}: {reply.error.message}")
    if reply.result is None:
        raise Malformed("the node answered null: it does not know this block or transaction")
    return cast("A", reply.result)


def _shaped(decoder: "msgspec.json.Decoder[A]", text: bytes | msgspec.Raw, what: str) -> A:
    try:
        return decoder.decode(text)
    except _UNREADABLE as error:
        raise Malformed(f"not {what}: {error}") from None


def _read_all(answers: Sequence[_Executed]) -> tuple[Transaction, ...]:
    transactions = []
    for position, answer in enumerate(answers):
        try:
            transactions.append(_read(position, answer))
        except Malformed as error:
            raise Malformed(f"transaction {position}: {error}") from None
    # One pass over all texts: cheaper by far than one check for each of thousands of keys.
    _check_keys(frozenset[str]().union(*[transaction.keys for transaction in transactions], _token_keys(transactions)))
    _check_signatures([text for transaction in transactions for text in transaction.signatures])
    base58.check_digits("".join(_data_texts(transactions)))
    return tuple(transactions)


def _read(position: int, answer: _Executed) -> Transaction:
    meta = answer.meta
    if meta is None:
        raise Malformed("no meta: what it changed is not known")
    sent = answer.transaction
    message = _from_json(sent, meta) if isinstance(sent, _Signed) else _from_bytes(sent, meta)
    keys = message.keys
    if not len(keys) == len(meta.pre_balances) == len(meta.post_balances):
        raise Malformed(f"{len(keys)} keys, but {len(meta.pre_balances)} and {len(meta.post_balances)} balances")
    if not 0 < message.signers_count == len(message.signatures) <= len(keys):
        raise Malformed(f"{len(message.signatures)} signatures of {message.signers_count} signers and {len(keys)} keys")
    inner = tuple([Inner(group.index, _steps(group.instructions, keys)) for group in meta.inner_instructions or ()])
    _check_indexes(message.instructions, inner, len(keys))
    failed = bytes(meta.err) != b"null"
    return Transaction(
        position=position,
        signatures=message.signatures,
        version=_version(answer.version) if message.version is None else message.version,
        keys=keys,
        signers_count=message.signers_count,
        writable=message.writable,
        instructions=message.instructions,
        inner=inner,
        err=_compact_error(meta.err) if failed else None,
        fee=meta.fee,
        compute_units=meta.compute_units_consumed,
        pre_lamports=meta.pre_balances,
        post_lamports=meta.post_balances,
        tokens=_token_accounts(meta.pre_token_balances or (), meta.post_token_balances or (), len(keys)),
        moves=() if failed else moves_of(keys, message.instructions, inner),
        vote=bool(message.instructions) and all(keys[s.program] == VOTE_PROGRAM for s in message.instructions),
    )


class _ReadMessage(NamedTuple):
    signatures: tuple[str, ...]
    version: int | None
    keys: tuple[str, ...]
    signers_count: int
    writable: bytes
    instructions: tuple[Instruction, ...]


def _from_json(sent: _Signed, meta: _Meta) -> _ReadMessage:
    message = sent.message
    header = message.header
    texts = tuple([key for key in message.account_keys if isinstance(key, str)])
    if len(texts) == len(message.account_keys) and header is not None:
        loaded = meta.loaded_addresses or _Loaded()
        keys = texts + loaded.writable + loaded.readonly
        counts = wire.Header(
            header.num_required_signatures, header.num_readonly_signed_accounts, header.num_readonly_unsigned_accounts
        )
        writable = _writable(counts, len(texts), len(loaded.writable), len(loaded.readonly))
        signers_count = counts.signers
    elif texts:
        raise Malformed("account keys partly parsed, or without a header")
    else:
        parsed = [key for key in message.account_keys if isinstance(key, _Key)]
        keys = tuple([key.pubkey for key in parsed])
        writable = bytes([key.writable for key in parsed])
        signers_count = sum(key.signer for key in parsed)
    return _ReadMessage(sent.signatures, None, keys, signers_count, writable, _steps(message.instructions, keys))


def _from_bytes(sent: str | tuple[str, str], meta: _Meta) -> _ReadMessage:
    text, encoding = (sent, "base58") if isinstance(sent, str) else sent
    if encoding == "base64":
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:
            raise Malformed(f"not base64: {error}") from None
    elif encoding == "base58":
        data = base58.decode(text)
    else:
        raise Malformed(f"encoding {encoding[:20]!r} is not read: ask the node for base64")
    message = wire.decode_transaction(data)
    loaded = meta.loaded_addresses or _Loaded()
    if message.loads != (len(loaded.writable), len(loaded.readonly)):
        raise Malformed("the loaded addresses are not as many as the message asks for")
    own = tuple([base58.encode_key(key) for key in message.keys])
    return _ReadMessage(
        signatures=tuple([base58.encode(signature) for signature in message.signatures]),
        version=message.version,
        keys=own + loaded.writable + loaded.readonly,
        signers_count=message.header.signers,
        writable=_writable(message.header, len(own), *message.loads),
        instructions=message.instructions,
    )


def _writable(header: wire.Header, own: int, loaded_writable: int, loaded_readonly: int) -> bytes:
    """One byte for each key: signers first, within each kind the writable ones first."""
    others = own - header.signers
    if header.readonly_signers > header.signers or not 0 <= header.readonly_others <= others:
        raise Malformed("the header counts more keys than there are")
    return (
        bytes([1]) * (header.signers - header.readonly_signers)
        + bytes(header.readonly_signers)
        + bytes([1]) * (others - header.readonly_others)
        + bytes(header.readonly_others)
        + bytes([1]) * loaded_writable
        + bytes(loaded_readonly)
    )


def _steps(steps: tuple[_Step, ...], keys: tuple[str, ...]) -> tuple[Instruction, ...]:
    return tuple(
        [
            _step_of_keys(step, keys)
            if step.program_id_index is None
            else Instruction(step.program_id_index, cast("tuple[int, ...]", step.accounts), step.data)
            for step in steps
        ]
    )


def _step_of_keys(step: _Step, keys: tuple[str, ...]) -> Instruction:
    """An instruction of `jsonParsed`: its keys looked up; of the parsed ones, transfers are written back as they were."""
    try:
        program = keys.index(step.program_id)
        if not step.parsed:
            accounts = tuple([keys.index(key) if isinstance(key, str) else key for key in step.accounts])
            return Instruction(program, accounts, step.data)
        if step.program_id in TOKEN_PROGRAMS or step.program_id == SYSTEM_PROGRAM:
            return _parsed_transfer(program, step.parsed, keys)
    except ValueError as error:
        raise Malformed(f"instruction: {error}") from None
    return Instruction(program, (), b"")


def _parsed_transfer(program: int, parsed: msgspec.Raw, keys: tuple[str, ...]) -> Instruction:
    action = _shaped(_parsed, parsed, "a parsed instruction")
    if action.type not in _TRANSFERS:
        return Instruction(program, (), b"")
    info = _shaped(_transfer_info, action.info, "a parsed transfer")
    source, destination = keys.index(info.source), keys.index(info.destination)
    if keys[program] == SYSTEM_PROGRAM:
        amount = (info.lamports or 0).to_bytes(8, "little")
        return Instruction(program, (source, destination), b"\x02\0\0\0" + amount)
    authority = keys.index(info.authority or info.multisig_authority)
    text, decimals = info.amount or "0", 0
    if info.token_amount is not None:
        text, decimals = info.token_amount.amount, info.token_amount.decimals
    amount = _raw_amount(text).to_bytes(8, "little")
    if action.type == "transfer":
        return Instruction(program, (source, destination, authority), b"\x03" + amount)
    mint = keys.index(info.mint)
    return Instruction(program, (source, mint, destination, authority), b"\x0c" + amount + bytes([decimals]))


def _token_accounts(
    before: tuple[_TokenBalance, ...], after: tuple[_TokenBalance, ...], keys_count: int
) -> tuple[TokenAccount, ...]:
    """Both lists as one, sorted: an account with its mint and owner has a balance before, after, or both."""
    if not before and not after:
        return ()
    held = {_place(row): row for row in before}
    holds = {_place(row): row for row in after}
    places = held if held.keys() == holds.keys() else held | holds
    tokens = []
    for place in sorted(places):
        old, new = held.get(place), holds.get(place)
        row = cast("_TokenBalance", new or old)
        amount = row.ui_token_amount
        before_amount = None if old is None else _raw_amount(old.ui_token_amount.amount)
        after_amount = None if new is None else _raw_amount(amount.amount)
        tokens.append(TokenAccount(*place, row.program_id, amount.decimals, before_amount, after_amount))
    if tokens[-1].account >= keys_count:
        raise Malformed(f"a token balance of account {tokens[-1].account}, but there are {keys_count} keys")
    return tuple(tokens)


def _place(row: _TokenBalance) -> tuple[int, str, str]:
    return row.account_index, row.mint, row.owner


def _raw_amount(text: str) -> int:
    try:
        amount = int(text)
    except ValueError:
        amount = -1
    if not 0 <= amount <= _U64_MAX or str(amount) != text:
        raise Malformed(f"not a token amount: {text[:40]!r}")
    return amount


def _check_indexes(outer: tuple[Instruction, ...], inner: tuple[Inner, ...], keys_count: int) -> None:
    if inner and max([group.index for group in inner]) >= len(outer):
        raise Malformed(f"inner instructions of more than the {len(outer)} instructions")
    steps = list(outer)
    for group in inner:
        steps += group.instructions
    try:
        used = [max(step.accounts) for step in steps if step.accounts]
        highest = max(used + [step.program for step in steps], default=0)
    except TypeError:  # a key's text where an index belongs
        raise Malformed("an instruction that names accounts by key where indexes belong") from None
    if highest >= keys_count:
        raise Malformed(f"an instruction names account {highest}, but there are {keys_count} keys")


def _check_keys(keys: Collection[str]) -> None:
    """Spelled like keys: 32 to 44 base58 digits."""
    for key in keys:
        if not 32 <= len(key) <= 44:
            raise Malformed(f"not a key: {key[:80]!r}")
    base58.check_digits("".join(keys))


def _token_keys(transactions: Iterable[Transaction]) -> set[str]:
    """Mints and owners; an old node does not say the owner."""
    rows = [row for tx in transactions for row in tx.tokens]
    return {row.mint for row in rows} | {row.owner for row in rows if row.owner}


def _check_signatures(signatures: Collection[str]) -> None:
    """Spelled like signatures: 64 to 88 base58 digits."""
    for text in signatures:
        if not 64 <= len(text) <= 88:
            raise Malformed(f"not a signature: {text[:100]!r}")
    base58.check_digits("".join(signatures))


def _data_texts(transactions: Iterable[Transaction]) -> Iterator[str]:
    for tx in transactions:
        yield from [step.raw for step in tx.instructions if isinstance(step.raw, str)]
        for group in tx.inner:
            yield from [step.raw for step in group.instructions if isinstance(step.raw, str)]


def _version(version: int | str | None) -> int | None:
    if version is None or version == "legacy":
        return None
    if isinstance(version, int) and 0 <= version < 128:
        return version
    raise Malformed(f"not a transaction version: {version!r}")


def _compact_error(err: msgspec.Raw) -> str:
    return msgspec.json.encode(_shaped(_err, err, "an error"), order="sorted").decode()
