"""Our own logs: records of `logging` -> one JSON object a line on standard error.

Every line has `time` and `level`. A line for people has `message`, a sentence. A line for programs has `event`, a
stable name, and further fields. `exception` is the traceback without the values of variables, as these may hold a key.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec

_FIELDS = "headwater_fields"  # attribute of a log record: the further fields of an event
_encode = msgspec.json.Encoder(enc_hook=str).encode


def line(level: str, fields: Mapping[str, object], at_s: float | None = None) -> str:
    """One line, without a newline.

    Args:
        at_s: Unix seconds; None is now.
    """
    moment = dt.datetime.fromtimestamp(time.time() if at_s is None else at_s, dt.UTC)
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    entry = {"time": stamp, "level": level, **fields}
    try:
        return _encode(entry).decode()
    except UnicodeEncodeError:  # a lone surrogate, as in a path that a client made up
        return json.dumps(entry, default=str)


class JsonLines(logging.Formatter):
    """Records of `logging` as lines."""

    def format(self, record: logging.LogRecord) -> str:
        named: Mapping[str, object] | None = getattr(record, _FIELDS, None)
        text = "message" if named is None else "event"
        fields: dict[str, Any] = {"logger": record.name, text: record.getMessage(), **(named or {})}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return line(record.levelname.lower(), fields, record.created)


class _Stderr(logging.StreamHandler[Any]):
    """Reads `sys.stderr` at each line, so that a later redirection takes effect."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure(level: str, only: Mapping[str, int] | None = None) -> None:
    """Send the logs of this process to standard error. Idempotent.

    Args:
        level: "debug", "info", "warning" or "error": lines of a lower level are left out.
        only: Loggers to send, by name, each with its own lowest level; None sends every logger.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = _Stderr()
    handler.setFormatter(JsonLines())
    if only is None:
        logging.basicConfig(level=number, handlers=[handler], force=True)
        return
    for name, least in only.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(max(number, least))


def event(log: logging.Logger, level: int, name: str, fields: Mapping[str, object], *, exception: bool = False) -> None:
    """Log an event with its fields.

    Args:
        exception: Add the traceback of the current exception.
    """
    log.log(level, name, extra={_FIELDS: fields}, exc_info=exception)
