"""Pages of engine states: as they are followed, or folded anew up to a seq.

Each page names the state that its rows are of: `as_of`, the number of its entries and its root are those of the whole.
A state that is followed may move between two pages, which their `as_of` shows; one that is asked for `at` a seq stays.
"""

import threading
from bisect import bisect_right
from collections.abc import Sequence

from decision_dna.engine.projections import ProjectionFollower, Row
from decision_dna.engine.replay import Replayed, replay_log
from decision_dna.ledger.ledger import Ledger
from decision_dna.ledger.reader import LogReader
from decision_dna.schemas import codec
from decision_dna.schemas.errors import Malformed, NotFound
from decision_dna.schemas.views import StateRow, StateView, plain_view
from decision_dna.service.http.asking import key_cursor

ROWS_MAX = 1000
ROWS_BYTES_MAX = 1024 * 1024
"""From so many bytes of keys and values on a page ends, with the row that reached them."""


class States:
    """The states of a service's projections. For any thread."""

    def __init__(self, ledger: Ledger, projections: Sequence[ProjectionFollower]) -> None:
        self._ledger = ledger
        self._followers = {each.name: each for each in projections}
        self._folding = threading.Lock()
        self._folded: tuple[str, int, Replayed] | None = None
        """The state that was folded last, for its next page. Guarded by `_folding`."""

    def page(self, name: str, at: int | None, after: bytes | None, limit: int) -> StateView:
        """Return the rows behind the key `after`, at most `limit`. Raises NotFound, Malformed."""
        if not 1 <= limit <= ROWS_MAX:
            raise Malformed(f"a page has 1 to {ROWS_MAX} rows, not {limit}")
        follower = self._followers.get(name)
        if follower is None:
            raise NotFound(f"no projection is called {name[:80]!r}")
        if at is None:
            committed, rows = follower.page(after, limit + 1)
            as_of, entries, root = committed.as_of, committed.entries, committed.root
        else:
            folded = self._fold(follower, at)
            start = 0 if after is None else bisect_right(folded.rows, after, key=lambda row: row[0])
            rows = folded.rows[start : start + limit + 1]
            as_of, entries, root = folded.as_of, folded.entries, folded.root
        shown, following = _first_rows(rows, limit)
        return StateView(name, follower.version, as_of, entries, root.hex(), shown, following)

    def _fold(self, follower: ProjectionFollower, at: int) -> Replayed:
        with self._folding:
            if self._folded is None or self._folded[:2] != (follower.name, at):
                head = self._ledger.reader.head()
                if at > head.size:
                    raise Malformed(f"at is a seq up to {head.size}, the size of the log, not {at}")
                self._folded = None  # two states at once are one too many
                reader = LogReader(self._ledger.store, lambda: head)
                replayed = replay_log(self._ledger.store, reader, follower.projection, at, from_snapshot=True)
                if replayed.failed is not None:
                    raise replayed.failed
                self._folded = follower.name, at, replayed
            return self._folded[2]


def _first_rows(rows: list[Row], limit: int) -> tuple[list[StateRow], str | None]:
    """The rows of a page, and the cursor of the next."""
    shown: list[StateRow] = []
    size = 0
    for at, (key, value) in enumerate(rows):
        if at == limit or size >= ROWS_BYTES_MAX:
            return shown, key_cursor(rows[at - 1][0])
        shown.append(StateRow(key.decode(errors="backslashreplace"), plain_view(codec.decode(value))))
        size += len(key) + len(value)
    return shown, None
