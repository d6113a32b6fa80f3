"""Lines of a log as JSON: what stands in them, and what must not."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from celery.apps import worker as celery_worker
from pushledger_worker.json_log import JsonFormatter, _say, set_formatter, write_json

TEXT = "a-text-that-nobody-else-shall-read"


def written(name: str = "pushledger_worker.delivery", message: str = "Send of %s", **values: Any) -> dict[str, Any]:
    """One line, read back."""
    exc_info, args = values.pop("exc_info", None), values.pop("args", ("order:1",))
    record = logging.getLogger(name).makeRecord(
        name, logging.INFO, "file.py", 1, message, args, exc_info, extra=values or None
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_line_has_its_time_and_what_our_code_says_beside_the_message() -> None:
    line = written(action="call", local_id="order:1\n2", call="send", outcome="confirmed", status=200)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert isinstance(line.pop("process"), int)
    assert line == {
        "level": "INFO",
        "logger": "pushledger_worker.delivery",
        "message": "Send of order:1",
        "action": "call",
        "local_id": "order:1\n2",
        "call": "send",
        "outcome": "confirmed",
        "status": 200,
    }
    assert "status" not in written(status=None)


def test_what_celery_hangs_on_its_records_is_left_out() -> None:
    """The arguments of a task are there, with text and visitor."""
    line = written("celery.app.trace", "Task %s", data={"kwargs": TEXT}, kwargs=TEXT, context=TEXT)
    assert sorted(line) == ["level", "logger", "message", "process", "time"]
    assert TEXT not in json.dumps(written("pushledger.wakeup", data={"kwargs": TEXT}))


def test_what_is_said_beside_takes_no_fields_place() -> None:
    assert written(level="x", logger="y", time="z")["level"] == "INFO"


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError("of the test")
    except ValueError:
        line = written(exc_info=sys.exc_info())
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: of the test")


def test_every_handler_gets_the_formatter(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.Logger("of the test")
    logger.addHandler(logging.StreamHandler())
    set_formatter([logger])
    assert [type(handler.formatter) for handler in logger.handlers] == [JsonFormatter]


def test_what_a_signal_handler_says_is_a_line_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(celery_worker, "safe_say", None)
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    warnings = logging.getLogger("py.warnings")
    monkeypatch.setattr(warnings, "handlers", [])
    monkeypatch.setattr(warnings, "propagate", True)

    class Worker:
        quiet = False

    write_json(Worker)
    assert (Worker.quiet, vars(celery_worker)["safe_say"]) == (True, _say)
    assert [type(handler.formatter) for handler in warnings.handlers] == [JsonFormatter]
    with (tmp_path / "out").open("w") as stream:
        _say("worker: Warm shutdown", stream)
    line = json.loads((tmp_path / "out").read_text())
    assert (line["message"], line["level"], line["logger"]) == ("worker: Warm shutdown", "INFO", "celery.apps.worker")
