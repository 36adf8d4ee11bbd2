"""The one exception tree.

    HeadwaterError                 the message says the fault; `hint` for the operator, `retry_after_s` if a retry helps
    ├── ConfigError                a setting, key file or command line that cannot work
    ├── BusError                   nothing was stored; the same call may be retried
    │   ├── BusFull                the disk is full or the size limit of the bus is reached
    │   ├── TooLarge               a message is larger than its topic allows: a retry does not help
    │   ├── OutcomeUnknown         a deadline passed after sending; the messages may be stored: send them again
    │   └── OffsetExpired          retention has removed the offset; `first_offset` is the oldest offset left
    ├── StoreError                 hot store or lake cannot answer or cannot write
    └── QueryError                 a query that cannot be run as written; `position` points into its text

Bad *data* is a value (`contracts.batches.Reject`), never an exception across a flow.
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """A failure with a remedy.

    Attributes:
        hint: The remedy in one sentence for the operator, or "" when the message contains it.
        retry_after_s: Seconds after which the same call may succeed; None when a retry does not help.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.retry_after_s = retry_after_s


class ConfigError(HeadwaterError):
    """A setting, a key file or a command line that cannot work as given."""


class BusError(HeadwaterError):
    """A call of the bus failed; nothing was stored and the same call may be retried."""


class BusFull(BusError):
    """The disk is full or the size limit of the bus is reached; nothing was stored."""


class TooLarge(BusError):
    """A message is larger than its topic allows and cannot be split; nothing was stored, a retry does not help."""


class OutcomeUnknown(BusError):
    """A deadline passed after sending: the messages may be stored. Send them again; the flow drops repeats."""


class OffsetExpired(BusError):
    """Retention has removed the requested offset."""

    def __init__(self, message: str, *, first_offset: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.first_offset = first_offset


class StoreError(HeadwaterError):
    """The hot store or the lake cannot be read or written."""


class QueryError(HeadwaterError):
    """A query that cannot be run as written.

    Attributes:
        position: Zero-based character index of the fault in the query's text, or None for a fault without one place.
        code: Stable machine-readable reason, e.g. "syntax", "too_long", "too_deep", "too_many_clauses", "bad_value".
    """

    def __init__(self, message: str, *, code: str = "syntax", position: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.position = position
