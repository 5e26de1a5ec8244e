"""`dna keys`: who may sign, and how that changes. Every change is an entry that the root key signed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from decision_dna.ledger.authority import ROLE_FOR, AuthorKey
from decision_dna.ledger.hashing import key_id
from decision_dna.ledger.keyring import read_keyring, write_key
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.notes import Vkey
from decision_dna.ledger.signatures import SigningKey, is_prime_order_point
from decision_dna.ledger.writer import Placed
from decision_dna.schemas.errors import BadInput, Conflict, Malformed, NotFound, Refused
from decision_dna.schemas.ledgering import KEY, KeyChange
from decision_dna.schemas.texts import hex_bytes
from decision_dna.service.commands.places import Adopt, RootKey, fixed_view, named, read_root_key, written
from decision_dna.service.commands.terminal import SEQ_MAX, Dir, Json, write, write_json, write_table
from decision_dna.service.commands.views import typed

_NOTHING_WRITTEN = (Refused, Conflict, BadInput)
"""After any other error the change may stand, and its key is needed."""

OVERLAP_MAX = 2**32
"""More than any log that changes its key goes on to hold: its last entry under both has a seq that can be written."""

Purpose = Literal["log", "notary", "anchor"]


def _public_key(text: str) -> bytes:
    key = hex_bytes(text, 32, "public key")
    if not is_prime_order_point(key):
        raise Malformed(f"{text} is not an Ed25519 public key: no private key has it (expected a point of prime order)")
    return key


parse_public = typed(_public_key)
parse_key_id = typed(lambda text: hex_bytes(text, 8, "key id"))


def show(directory: Dir, json: Json = False) -> None:
    """Show the live keys, and what to pin.

    That is the log's vkey, or the root key's, which `check` takes whatever log key signed. After a rotation, evidence
    from before it is checked with the vkey from before, or with the root's.
    """
    with fixed_view(directory) as log:
        authority = log.authority()
    keyring = read_keyring(directory / "keys")
    live: list[tuple[str, bytes, str]] = [
        ("root", authority.root, ""),
        *[("log", key.key, f"heads from size {key.first}") for key in authority.log if key.last is None],
        *[
            ("log", key.key, f"heads of sizes {key.first} to {key.last}")
            for key in authority.log
            if key.last is not None
        ],
        ("notary", authority.notary, ""),
        ("anchor", authority.anchor, ""),
        *[("author", author.key, _speaks(author)) for author in authority.authors.values()],
    ]
    rows = [
        {
            "purpose": purpose,
            "key_id": key_id(key).hex(),
            "public": key.hex(),
            "private_here": keyring.has(key),
            "for": what,
        }
        for purpose, key, what in live
    ]
    vkey, root_vkey = (str(Vkey(authority.origin, key)) for key in (authority.log[-1].key, authority.root))
    if json:
        write_json({"vkey": vkey, "root_vkey": root_vkey, "keys": rows})
        return
    write_table(("purpose", "key id", "public", "private half", "for"), [_cells(row) for row in rows])
    write(f"vkey       {vkey}")
    write(f"root vkey  {root_vkey}")


def _speaks(author: AuthorKey) -> str:
    roles = f"operator {author.operator}: {' '.join(author.roles)}" if author.roles else ""
    return "; ".join(filter(None, (" ".join(author.sources), roles)))


def _cells(row: dict[str, object]) -> tuple[object, ...]:
    return row["purpose"], row["key_id"], row["public"], "here" if row["private_here"] else "elsewhere", row["for"]


def rotate(
    directory: Dir,
    purpose: Annotated[Purpose, typer.Argument(metavar="PURPOSE", help="Which key: log, notary or anchor.")],
    overlap: Annotated[
        int,
        typer.Option(
            "--overlap", min=0, max=OVERLAP_MAX, help="Log key only: heads of so many entries more are signed by both."
        ),
    ] = 0,
    root: RootKey = None,
    adopt: Adopt = False,
    json: Json = False,
) -> None:
    """Put a new log, notary or anchor key in the place of the live one.

    The new key's file is DIR/keys/PURPOSE-KEYID.key. The root key signs: a key does not sign its own rotation.
    `dna verify` keeps holding under an old log key while a head signed by it is kept; evidence is checked with the
    key that signed it, or with the root's (`dna keys show`). DIR.vkey becomes the new log key's.
    """
    with written(directory, adopt=adopt) as ledger:
        authority = ledger.writer.authority
        old = {"log": authority.log[-1].key, "notary": authority.notary, "anchor": authority.anchor}[purpose]
        signer = read_root_key(ledger, root)
        seed = os.urandom(32)
        new = SigningKey(seed)
        # The file first: if the process dies before the entry stands, a key is left that nobody named.
        file = _written_key(directory / "keys", f"{purpose}-{key_id(new.public).hex()}", purpose, seed)
        ledger.keys.add(purpose, new)
        change = ledger.key_change("rotate", purpose, new.public, replaces=key_id(old), overlap=overlap)
        seq = _changed(ledger, signer, change, file)
        vkey = ledger.vkey
    if purpose == "log":
        directory = named(directory)
        directory.with_name(directory.name + ".vkey").write_text(f"{vkey}\n")
    _say(
        json, {"seq": seq, "purpose": purpose, "key_id": key_id(new.public).hex(), "file": str(file), "vkey": str(vkey)}
    )


def register(
    directory: Dir,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="A source that it may speak for; may be repeated."),
    ] = None,
    operator: Annotated[
        str,
        typer.Option("--operator", metavar="NAME", help="Make it an operator's key; one operator may have several."),
    ] = "",
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="What the operator may sign: clock, erasure; may be repeated."),
    ] = None,
    public: Annotated[
        bytes | None, typer.Option("--public", parser=parse_public, metavar="HEX", help="The author's public key.")
    ] = None,
    new: Annotated[
        Path | None, typer.Option("--new", metavar="FILE.key", help="Make a key, and write it here.")
    ] = None,
    root: RootKey = None,
    adopt: Adopt = False,
    json: Json = False,
) -> None:
    """Let an author's key speak for sources.

    With --operator and --role it may also sign for the ledger itself: vouch for the clock, erase payloads.

    Give the author's --public key, or make a --new one: its file is the author's, and not kept in the ledger.
    """
    if (public is None) == (new is None):
        raise typer.BadParameter("give --public HEX, or --new FILE.key")
    _check_roles(operator, role or [])
    with written(directory, adopt=adopt) as ledger:
        signer = read_root_key(ledger, root)
        key = _new_author(new) if new is not None else public or b""
        change = ledger.key_change("register", "author", key, sources=source or (), operator=operator, roles=role or ())
        seq = _changed(ledger, signer, change, new)
    facts = {"sources": list(change.sources), "operator": operator or None, "roles": list(change.roles) or None}
    _say(json, {"seq": seq, "purpose": "author", "key_id": key_id(key).hex(), **facts})


def _check_roles(operator: str, roles: list[str]) -> None:
    """Raise BadParameter unless an operator has roles that this version knows, and others have none: a key stays in the log."""
    if bool(operator) != bool(roles):
        raise typer.BadParameter("give --operator NAME and --role ROLE together")
    known = sorted(ROLE_FOR.values())
    for role in roles:
        if role not in known:
            raise typer.BadParameter(f"no role {role!r}: expected {' or '.join(known)}", param_hint="--role")


def _new_author(file: Path) -> bytes:
    if file.suffix != ".key":
        raise typer.BadParameter(f"a key file ends in .key: {file}", param_hint="--new")
    seed = os.urandom(32)
    _written_key(file.parent, file.stem, "author", seed)
    return SigningKey(seed).public


def revoke(
    directory: Dir,
    key: Annotated[bytes, typer.Argument(metavar="KEYID", parser=parse_key_id, help="As `dna keys show` names it.")],
    suspect_from: Annotated[
        int | None,
        typer.Option("--suspect-from", min=0, max=SEQ_MAX, help="The seq from which its entries are suspect."),
    ] = None,
    root: RootKey = None,
    adopt: Adopt = False,
    json: Json = False,
) -> None:
    """End an author's key."""
    with written(directory, adopt=adopt) as ledger:
        author = ledger.writer.authority.authors.get(key)
        if author is None:
            raise NotFound(f"no live author key {key.hex()}")
        change = ledger.key_change("revoke", "author", author.key, replaces=key, suspect_from=suspect_from)
        seq = _changed(ledger, read_root_key(ledger, root), change)
    _say(json, {"seq": seq, "purpose": "author", "key_id": key.hex(), "suspect_from": suspect_from})


def _written_key(folder: Path, name: str, purpose: str, seed: bytes) -> Path:
    """The file of a new key; none where it fails, but the one that was there."""
    try:
        return write_key(folder, name, purpose, seed)
    except FileExistsError:
        raise
    except BaseException:
        (folder / f"{name}.key").unlink(missing_ok=True)
        raise


def _changed(ledger: Ledger, signer: SigningKey, change: KeyChange, new: Path | None = None) -> int:
    """The seq of a change; where none was written, the file of the new key is removed."""
    with _removed(new, BaseException):
        draft = ledger.sign_own(signer, KEY, change)
    with _removed(new, *_NOTHING_WRITTEN):
        outcome = ledger.append_signed(draft).outcomes[0]
        if not isinstance(outcome, Placed):
            raise outcome
    return outcome.seq


@contextmanager
def _removed(file: Path | None, *errors: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except errors:
        if file is not None:
            file.unlink()
        raise


def _say(json: bool, facts: dict[str, object]) -> None:
    if json:
        write_json(facts)
    else:
        write(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))
