"""A worker's log as JSON: one object a line, Celery's own lines too."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

import billiard.util
from celery.apps import worker as celery_worker

__all__ = ["JsonFormatter", "set_formatter", "write_json"]

_OURS = ("pushledger", "pushledger_worker")
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class JsonFormatter(logging.Formatter):
    """time (UTC), level, logger, message, what our code says beside it, and the exception if there is one.

    Only our own loggers are asked for more than the message: Celery hangs a task's arguments on its records, and those
    hold texts and visitors.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        document = {**_said_beside(record), **_always(record)}
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            document["exception"] = record.exc_text
        if record.stack_info:
            document["stack"] = self.formatStack(record.stack_info)
        return json.dumps(document, default=str)


def _always(record: logging.LogRecord) -> dict[str, object]:
    return {
        "time": _time(record.created),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
        "process": record.process,
    }


def _said_beside(record: logging.LogRecord) -> dict[str, object]:
    if record.name.partition(".")[0] not in _OURS:
        return {}
    extra = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
    return {name: value for name, value in extra.items() if isinstance(value, str | int | float)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def write_json(worker: Any) -> None:
    """Let this worker (Celery's) write nothing but JSON: no banner, and what its signal handlers say as a line too."""
    worker.quiet = True
    setattr(celery_worker, "safe_say", _say)  # noqa: B010  # Celery's types do not know it
    # Celery warns before it sets up its log.
    handler, logger = logging.StreamHandler(), logging.getLogger("py.warnings")
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.propagate = False
    logging.captureWarnings(True)


def set_formatter(loggers: Iterable[logging.Logger]) -> None:
    """Give all handlers of these loggers, and of billiard's, the formatter."""
    for logger in (*loggers, billiard.util.get_logger()):
        for handler in logger.handlers:
            handler.setFormatter(JsonFormatter())


def _say(message: str, stream: TextIO = sys.__stderr__ or sys.stderr) -> None:
    """Write from a signal handler, in which no logger may be used: its lock may be held."""
    said = {"level": "INFO", "logger": celery_worker.__name__, "message": message, "process": os.getpid()}
    line = {"time": _time(datetime.now(UTC).timestamp()), **said}
    os.write(stream.fileno(), json.dumps(line).encode() + b"\n")
