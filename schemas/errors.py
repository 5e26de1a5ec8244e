"""Every error that may leave this system, drawn as the tree that it is.

    LedgerError
    ├── BadInput              the caller's bytes or words are wrong            400
    │   ├── Malformed         not in the one encoding, or of the wrong shape   400
    │   ├── TooLarge          past a size of the format                        413
    │   └── UnknownType       no payload type of that name and schema          422
    ├── Refused               well formed, but not allowed                     403
    ├── NotFound              no such event, stream, tile or size              404
    ├── Conflict              it contradicts what stands                       409
    │   ├── IdConflict        the id is taken by other content                 409
    │   ├── StreamMoved       the stream is not at the expected position       409
    │   └── HeadMoved         the lock holds another head than expected        409
    ├── ProofRejected         a proof, note or piece of evidence does not hold 422
    ├── Busy                  the queue is full: try again later               503
    ├── Unavailable           the ledger is closed                           503
    │   ├── WriterStopped     its writer met an error: start it again          503
    │   └── ClockWrong        appends wait for the clock, or a word for it     503
    ├── CannotOpen            start-up refused, and why                        503
    ├── StoreFailed           a write did not succeed: stops the writer        503
    ├── FoldFailed            a fold raised for an event: stops its follower   500
    └── InvariantBroken       our own arithmetic is wrong: stops the writer    500

Bad input raises, bad arithmetic crashes: nothing but a `LedgerError` leaves a decoder.
"""


class LedgerError(Exception):
    """The root of the tree; its text is one sentence for a person."""


class BadInput(LedgerError):
    """The caller's bytes or words are wrong."""


class Malformed(BadInput):
    """Not in the one encoding, or not of the shape that its type demands."""


class TooLarge(BadInput):
    """Past a size limit of the format."""


class UnknownType(BadInput):
    """There is no payload type of that name and schema."""


class Refused(LedgerError):
    """Well formed, but not allowed: by policy, key, origin or clock."""


class NotFound(LedgerError):
    """No such event, stream, tile or size in the visible log."""


class Conflict(LedgerError):
    """It contradicts what stands in the log."""


class IdConflict(Conflict):
    """The (source, id) is taken by other content."""


class StreamMoved(Conflict):
    """The stream is not at the position that the caller expected."""


class HeadMoved(Conflict):
    """The lock holds another head than the one that was to be replaced."""


class ProofRejected(LedgerError):
    """A proof, signed note or piece of evidence does not hold."""


class Busy(LedgerError):
    """The queue in front of the writer is full."""


class Unavailable(LedgerError):
    """The ledger is closed, or what it needs is not there."""


class WriterStopped(Unavailable):
    """An error stopped the ledger's writer: what is stored is for the next start to find out."""


class ClockWrong(Unavailable):
    """The clock lies where entries may not be recorded without more: appends wait, nothing else does."""


class CannotOpen(LedgerError):
    """Start-up refused; `reason` is the short name of the refusal."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StoreFailed(LedgerError):
    """A write to disk did not succeed; whether it is stored is unknown."""


class FoldFailed(LedgerError):
    """A fold raised for the event at `seq`. Its text, which anyone may be told, names the kind of error alone; `detail`
    may quote the payload."""

    def __init__(self, message: str, *, name: str = "", seq: int = 0, event_id: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.name, self.seq, self.event_id, self.detail = name, seq, event_id, detail or message


class InvariantBroken(LedgerError):
    """Our own arithmetic is wrong. Never caught to go on."""


HTTP_STATUS: dict[type[LedgerError], int] = {
    BadInput: 400,
    TooLarge: 413,
    UnknownType: 422,
    Refused: 403,
    NotFound: 404,
    Conflict: 409,
    ProofRejected: 422,
    Busy: 503,
    Unavailable: 503,
    CannotOpen: 503,
    StoreFailed: 503,
    FoldFailed: 500,
    InvariantBroken: 500,
}


def http_status(error: LedgerError) -> int:
    """The HTTP status of an error: that of its nearest branch in `HTTP_STATUS`."""
    return next(HTTP_STATUS[branch] for branch in type(error).__mro__ if branch in HTTP_STATUS)
