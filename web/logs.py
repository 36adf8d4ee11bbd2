"""Our own logs: structlog and the standard library -> one JSON object a line on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str) -> None:
    """Set the level and the form, for the whole process. Idempotent."""
    number = _LEVELS[level]
    stamp: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # without locals: a frame of ours may hold a key
    ]
    structlog.configure(
        processors=[*stamp, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_to_stderr,
    )
    form = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*stamp, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = _Stderr()
    handler.setFormatter(form)
    for name, least in (("uvicorn", logging.WARNING), ("headwater", logging.DEBUG)):  # ours: what a bus or store says
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(max(number, least))


class _Stderr(logging.StreamHandler[Any]):
    """Looks `sys.stderr` up at each line, so that a redirection holds."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _to_stderr(*_: Any) -> structlog.WriteLogger:
    return structlog.WriteLogger(sys.stderr)
