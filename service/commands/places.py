"""Where a command finds its ledger: a folder to read (also beside a running service), a folder to write, or an address."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from decision_dna.engine.projections import PROJECTIONS, ProjectionFollower
from decision_dna.ledger.authority import Authority
from decision_dna.ledger.folder import FolderView, read_folder
from decision_dna.ledger.followers import Follower, Followers
from decision_dna.ledger.indexes import Indexes, IndexFollower
from decision_dna.ledger.keyring import read_key
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.lock import Locked
from decision_dna.ledger.opening import open_ledger
from decision_dna.ledger.reader import LogReader
from decision_dna.ledger.rocks import RocksStore
from decision_dna.ledger.signatures import SigningKey
from decision_dna.ledger.sources import StoreSource
from decision_dna.ledger.verification import AuthorityEntry, fold_schedule
from decision_dna.schemas.errors import CannotOpen, Unavailable
from decision_dna.service.commands.terminal import complain


class View(msgspec.Struct, frozen=True):
    """A log as of one head, however much is appended meanwhile."""

    path: Path
    store: RocksStore
    head: Locked
    reader: LogReader
    indexes: Indexes
    caveat: str = ""

    @property
    def source(self) -> StoreSource:
        """The same, to be verified."""
        return StoreSource(self.store, self.head)

    def authority_entries(self) -> list[AuthorityEntry]:
        """The entries that keys and policy fold from, as the store names them."""
        return [entry for entry in self.source.authority_hint() if entry.seq < self.head.size]

    def authority(self) -> Authority:
        """Keys and policy as of the head. Raises CannotOpen."""
        schedule = fold_schedule(self.authority_entries())
        if not schedule:
            raise CannotOpen("store-damaged", f"keys and policy of {self.path} can't be read")
        return schedule[-1][1]


ReadOnly = Annotated[
    bool,
    typer.Option("--read-only", help="Read a folder without its lock, up to the newest head that its database shows."),
]


@contextmanager
def folder_view(path: Path, *, read_only: bool = False, known: Sequence[bytes] = ()) -> Iterator[FolderView]:
    """A folder open for reading. Raises CannotOpen, BadParameter."""
    _check_folder(path)
    with read_folder(path, read_only=read_only, known=known) as folder:
        yield folder


@contextmanager
def fixed_view(path: Path, *, read_only: bool = False, known: Sequence[bytes] = ()) -> Iterator[View]:
    """A folder as of its newest head; with `read_only`, as `read_folder` says. Raises CannotOpen, BadParameter."""
    with folder_view(path, read_only=read_only, known=known) as folder:
        head = folder.lock.read()
        folder.store.refresh()  # a commit is in the store before its head is in the lock
        reader = LogReader(folder.store, lambda: head)
        yield View(path, folder.store, head, reader, Indexes(folder.store), folder.caveat)


@contextmanager
def said_view(path: Path, *, read_only: bool) -> Iterator[View]:
    """The same; what can no longer be known is said on stderr."""
    with fixed_view(path, read_only=read_only) as view:
        if view.caveat:
            complain(view.caveat)
        yield view


def check_place(place: str, *, read_only: bool) -> None:
    """Raise BadParameter for the address of a service with `--read-only`."""
    if read_only and is_address(place):
        raise typer.BadParameter("--read-only is for a ledger's folder, not for the address of a service")


Adopt = Annotated[
    bool,
    typer.Option(
        "--adopt", help="Write to a copy or a moved ledger from now on; no other copy may be written to again."
    ),
]


@contextmanager
def written(path: Path, *, adopt: bool = False) -> Iterator[Ledger]:
    """A folder open for writing; indexes and projections are caught up at the end. Raises CannotOpen, BadParameter."""
    with opened(path, adopt=adopt) as ledger:
        yield ledger
        followers: list[Follower] = [
            IndexFollower(),
            *[ProjectionFollower(projection) for projection in PROJECTIONS],
        ]
        driven = Followers(ledger.store, ledger.reader, followers)
        driven.catch_up()
        for failure in driven.failures.values():
            complain(failure.detail)


def opened(path: Path, *, adopt: bool = False) -> Ledger:
    """A folder open for writing, as it is. Raises CannotOpen, BadParameter."""
    _check_folder(path)
    try:
        return open_ledger(path, adopt=adopt)
    except CannotOpen as error:
        if error.reason not in ("in-use", "store-in-use"):
            raise
        raise CannotOpen(error.reason, f"{path} is in use: give its service's address, or stop it first") from None


def _check_folder(path: Path) -> None:
    """Raise BadParameter if the path is an address, whose slashes `Path` has joined."""
    scheme = path.parts[0] if path.parts else ""
    if scheme in ("http:", "https:"):
        raise typer.BadParameter("this needs the ledger's own folder, not the address of its service", param_hint="DIR")
    if scheme.endswith(":") and len(path.parts) > 1 and not path.exists():
        raise typer.BadParameter(f"an address begins with http:// or https://, not {scheme}//", param_hint="DIR")


RootKey = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="FILE", exists=True, dir_okay=False, help="The root key's file, if not in DIR/keys."
    ),
]


def read_root_key(ledger: Ledger, file: Path | None) -> SigningKey:
    """The root key, from its file or from the ledger's key folder. Raises Unavailable, CannotOpen."""
    if file is None:
        return ledger.keys.get(ledger.writer.authority.root, "root")
    _, seed = read_key(file)
    key = SigningKey(seed)
    if key.public != ledger.writer.authority.root:
        raise Unavailable(f"{file} is not the root key of {ledger.origin}")
    return key


OperatorKey = Annotated[
    Path | None,
    typer.Option(
        "--operator",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="An operator's key file, to sign in root's place.",
    ),
]


def read_signing_key(ledger: Ledger, root: Path | None, operator: Path | None) -> SigningKey:
    """The key of the operator if one is given, else root's. Raises BadParameter, Unavailable, CannotOpen."""
    if operator is None:
        return read_root_key(ledger, root)
    if root is not None:
        raise typer.BadParameter("give --root or --operator, not both")
    return SigningKey(read_key(operator)[1])


def named(directory: Path) -> Path:
    """The same folder by a name that others can be made from, such as DIR.vkey: `.` has none."""
    return directory.resolve() if directory.name in ("", "..") else directory


def is_address(place: str) -> bool:
    """Whether it is the address of a service, and no folder."""
    return place.startswith(("http://", "https://"))
