"""The bytes that open connections hold: answers that their clients have not read, and requests that wait for their turn.

Each connection is bounded, but thousands of them together could still fill the memory. So all bytes are counted. Past
the limit, the connection that has held bytes for the longest time is ended.
"""

from typing import Protocol


class Connection(Protocol):
    """A connection that holds bytes."""

    def drop(self) -> None:
        """End at once, without sending what is held."""


class Backlog:
    """The count over all connections. Lives on one event loop."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: dict[Connection, int] = {}  # ordered by the time at which each began to hold bytes
        self.bytes = 0

    def hold(self, connection: Connection, size: int) -> None:
        """Set the bytes of a connection. Drops connections, the oldest first, while the sum is past the limit."""
        self.bytes += size - self._held.get(connection, 0)
        if size:
            self._held[connection] = size
        else:
            self._held.pop(connection, None)
        while self.bytes > self._bytes_max:
            oldest = next(iter(self._held))
            self.bytes -= self._held.pop(oldest)
            oldest.drop()
