"""`dna init`."""

import os
import shutil
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from decision_dna.ledger.authority import check_policy
from decision_dna.ledger.notes import Vkey, note_of
from decision_dna.ledger.opening import DEFAULT_POLICY, create
from decision_dna.schemas.errors import Conflict, LedgerError, Malformed
from decision_dna.schemas.ledgering import Policy, SuccessorOf
from decision_dna.schemas.texts import hex_bytes
from decision_dna.service.commands.places import fixed_view, named
from decision_dna.service.commands.terminal import Dir, Json, write, write_facts, write_json


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    """A source rule as a policy file has it: key ids in hex."""

    source: str
    attestation: str
    keys: tuple[str, ...] = ()
    role: str = ""


class _PolicyFile(msgspec.Struct, forbid_unknown_fields=True):
    """A policy as a file has it; what is left out is the default. Source `engine` is the system's unless a rule says otherwise."""

    anchor_events_max: int = DEFAULT_POLICY.anchor_events_max
    anchor_seconds_max: int = DEFAULT_POLICY.anchor_seconds_max
    default_attestation: str = DEFAULT_POLICY.default_attestation
    heartbeat_events_max: int = DEFAULT_POLICY.heartbeat_events_max
    heartbeat_seconds_max: int = DEFAULT_POLICY.heartbeat_seconds_max
    jump_seconds_max: int = DEFAULT_POLICY.jump_seconds_max
    pause_seconds_max: int = DEFAULT_POLICY.pause_seconds_max
    sources: tuple[_Rule, ...] = ()
    sources_per_principal_max: int = DEFAULT_POLICY.sources_per_principal_max


def init(
    directory: Dir,
    origin: Annotated[str, typer.Option("--origin", metavar="NAME", help="The log's name, for good: example.org/log.")],
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A policy in JSON or TOML: who must sign, deadlines.",
        ),
    ] = None,
    successor: Annotated[
        str | None,
        typer.Option(
            "--successor", metavar="OLD", help="Go on after a loss: the old ledger, or a file with its last head."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a ledger: keys, genesis, lock, and the key that verifiers pin.

    DIR must be empty or absent. DIR.vkey is what verifiers pin: publish it. Move DIR/keys/root.key to a place offline:
    it signs nothing but changes of keys and policy.
    """
    directory = named(directory)
    vkey_file = directory.with_name(directory.name + ".vkey")
    is_free = not directory.is_dir() or not any(directory.iterdir())
    if is_free and vkey_file.exists():
        raise Conflict(f"{vkey_file} exists, and verifiers may have pinned it: move it away, or choose another folder")
    rules = DEFAULT_POLICY if policy is None else read_policy(policy)
    vkey = made(directory, origin, rules, None if successor is None else _last_head(successor))
    root_key = directory / "keys" / "root.key"
    if json:
        facts = {"directory": str(directory), "origin": origin, "vkey": str(vkey), "vkey_file": str(vkey_file)}
        write_json({**facts, "root_key_file": str(root_key)})
        return
    write_facts([("ledger", directory), ("origin", origin), ("vkey", vkey), ("vkey file", vkey_file)])
    write(f"Publish {vkey_file}: it is what verifiers pin.")
    write(f"Move {root_key} offline: only changes of keys and policy need it.")


def made(
    directory: Path, origin: str, policy: Policy = DEFAULT_POLICY, successor_of: SuccessorOf | None = None
) -> Vkey:
    """A new ledger, or nothing: where it fails, what was made is removed again. Raises Conflict, Malformed, OSError.

    While it is made, the marker `.DIR.dna-init` is beside it: if the process dies, the next `init` names what to remove.
    A second `init` meanwhile is refused, and removes nothing.
    """
    directory = named(directory)
    marker, vkey_file = (
        directory.with_name(name) for name in (f".{directory.name}.dna-init", f"{directory.name}.vkey")
    )
    is_free, had_vkey = not directory.exists() or not any(directory.iterdir()), os.path.lexists(vkey_file)
    if marker.exists() and (is_free or not had_vkey):
        left = marker if is_free else f"{directory} and {marker}"
        raise Conflict(f"an `init` that was interrupted left {left}: remove it, unless it is still at work")
    if not is_free:
        raise Conflict(f"{directory} is not empty: a new ledger needs a folder of its own")
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.parent.mkdir(parents=True, exist_ok=True)
    marker.touch(exist_ok=False)
    try:
        return create(directory, origin, policy=policy, successor_of=successor_of)
    except BaseException:
        for part in ("keys", "db", "lock"):
            shutil.rmtree(directory / part, ignore_errors=True)
        if not had_vkey:
            vkey_file.unlink(missing_ok=True)
        raise
    finally:
        marker.unlink(missing_ok=True)
        for path in missing:
            with suppress(OSError):
                path.rmdir()  # not where something is in it, such as a ledger


def read_policy(path: Path) -> Policy:
    """A policy from a JSON or TOML file. Raises Malformed."""
    try:
        fields = tomllib.loads(path.read_text()) if path.suffix == ".toml" else msgspec.json.decode(path.read_bytes())
        said = msgspec.convert(fields, _PolicyFile)
        rules = [
            {
                "attestation": rule.attestation,
                "keys": sorted(hex_bytes(key, 8, "key id") for key in rule.keys),
                "role": rule.role,
                "source": rule.source,
            }
            for rule in said.sources
        ]
        given = {rule.source for rule in said.sources}
        rules += [msgspec.structs.asdict(rule) for rule in DEFAULT_POLICY.sources if rule.source not in given]
        rules.sort(key=lambda rule: str(rule["source"]))
        policy = msgspec.convert({**msgspec.structs.asdict(said), "sources": rules}, Policy)
        check_policy(policy)
    except (msgspec.MsgspecError, ValueError, LedgerError) as error:  # tomllib raises ValueError for very long numbers
        raise Malformed(f"{path} is not a policy: {error}") from None
    return policy


def _last_head(old: str) -> SuccessorOf:
    """The head to go on from: what is left of a ledger's folder knows it, or a file with its newest checkpoint."""
    place = Path(old)
    try:
        if place.is_dir():
            with fixed_view(place) as view:
                head = view.reader.head()
                return SuccessorOf(head.origin, head.root, head.size)
        checkpoint = note_of(place.read_bytes())
    except (LedgerError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"{old}: {why}", param_hint="--successor") from None
    return SuccessorOf(checkpoint.origin, checkpoint.root, checkpoint.size)
