"""A made block as a node would answer `getBlock`: signed transactions in the wire form, balances, inner instructions."""

import base64
from typing import Any, Literal

from decision_dna.engine import base58
from decision_dna.engine.scenarios.world import SPL, Call, Executed, TokenHolding, World, keypair, keys_of

Encoding = Literal["json", "base64"]


def block_answer(world: World, slot: int, encoding: Encoding) -> dict[str, Any]:
    """The answer, without envelope. All hashes are drawn from the world's generator."""
    rng = world.rng
    blockhash = rng.randbytes(32)
    return {
        "blockHeight": slot * 9 // 10,
        "blockTime": 1_700_000_000 + (slot - 200_000_000) * 2 // 5,
        "blockhash": base58.encode(rng.randbytes(32)),
        "parentSlot": slot - 1,
        "previousBlockhash": base58.encode(rng.randbytes(32)),
        "transactions": [_transaction(world, each, blockhash, encoding) for each in world.transactions],
    }


def _transaction(world: World, made: Executed, blockhash: bytes, encoding: Encoding) -> dict[str, Any]:
    from solders.transaction import VersionedTransaction

    message, loaded = _message(world, made, blockhash)
    transaction = VersionedTransaction(message, [keypair(world.seed(signer)) for signer in _signers(message, made)])
    keys = [str(key) for key in message.account_keys] + loaded["writable"] + loaded["readonly"]
    return {
        "meta": _meta(made, keys, loaded),
        "transaction": _sent(transaction, message, encoding, legacy=made.legacy),
        "version": "legacy" if made.legacy else 0,
    }


def _signers(message: Any, made: Executed) -> list[str]:
    count = message.header.num_required_signatures
    signers = [str(key) for key in message.account_keys[:count]]
    assert set(signers) == set(made.signers)
    return signers


def _message(world: World, made: Executed, blockhash: bytes) -> tuple[Any, dict[str, list[str]]]:
    """The compiled message, and the addresses that it loads from a table of its own."""
    from solders.address_lookup_table_account import AddressLookupTableAccount
    from solders.hash import Hash
    from solders.instruction import AccountMeta, Instruction
    from solders.message import Message, MessageV0
    from solders.pubkey import Pubkey

    def meta(key: str) -> AccountMeta:
        return AccountMeta(Pubkey.from_string(key), key in made.signers, key in made.keys_writable)

    calls = [
        Instruction(Pubkey.from_string(call.program), call.data, [meta(key) for key in call.accounts])
        for call in made.calls
    ]
    payer, recent = Pubkey.from_string(made.payer), Hash(blockhash)
    if made.legacy:
        return Message.new_with_blockhash(calls, payer, recent), {"writable": [], "readonly": []}
    shared = [key for key in keys_of(made.calls) if key not in made.signers and world.rng.random() < 0.4]
    table = AddressLookupTableAccount(Pubkey(world.rng.randbytes(32)), [Pubkey.from_string(key) for key in shared])
    message = MessageV0.try_compile(payer, calls, [table], recent)
    lookups = message.address_table_lookups
    return message, {
        "writable": [shared[index] for lookup in lookups for index in lookup.writable_indexes],
        "readonly": [shared[index] for lookup in lookups for index in lookup.readonly_indexes],
    }


def _sent(transaction: Any, message: Any, encoding: Encoding, *, legacy: bool) -> Any:
    if encoding == "base64":
        return [base64.b64encode(bytes(transaction)).decode(), "base64"]
    header = message.header
    body: dict[str, Any] = {
        "accountKeys": [str(key) for key in message.account_keys],
        "header": {
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
            "numRequiredSignatures": header.num_required_signatures,
        },
        "instructions": [
            {
                "accounts": list(call.accounts),
                "data": base58.encode(bytes(call.data)),
                "programIdIndex": call.program_id_index,
                "stackHeight": None,
            }
            for call in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }
    if not legacy:
        body["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "readonlyIndexes": list(lookup.readonly_indexes),
                "writableIndexes": list(lookup.writable_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {"message": body, "signatures": [str(signature) for signature in transaction.signatures]}


def _meta(made: Executed, keys: list[str], loaded: dict[str, list[str]]) -> dict[str, Any]:
    error = {"InstructionError": [len(made.calls) - 1, {"Custom": 6001}]} if made.failed else None
    places = {key: index for index, key in enumerate(keys)}
    return {
        "computeUnitsConsumed": 1_000 * len(keys),
        "err": error,
        "fee": made.fee,
        "innerInstructions": [
            {"index": index, "instructions": [_inner(step, places) for step in call.inner]}
            for index, call in enumerate(made.calls)
            if call.inner
        ],
        "loadedAddresses": loaded,
        "logMessages": [f"Program {call.program} invoke [1]" for call in made.calls],
        "postBalances": [made.after[key][0] for key in keys],
        "postTokenBalances": [_balance(places[key], held) for key in keys if (held := made.after[key][1])],
        "preBalances": [made.before[key][0] for key in keys],
        "preTokenBalances": [_balance(places[key], held) for key in keys if (held := made.before[key][1])],
        "rewards": [],
        "status": {"Ok": None} if error is None else {"Err": error},
    }


def _inner(step: Call, places: dict[str, int]) -> dict[str, Any]:
    return {
        "accounts": [places[key] for key in step.accounts],
        "data": base58.encode(step.data),
        "programIdIndex": places[step.program],
        "stackHeight": 2,
    }


def _balance(index: int, held: TokenHolding) -> dict[str, Any]:
    amount = str(held.amount)
    return {
        "accountIndex": index,
        "mint": held.mint,
        "owner": held.owner,
        "programId": SPL,
        "uiTokenAmount": {"amount": amount, "decimals": 6, "uiAmount": None, "uiAmountString": amount},
    }
