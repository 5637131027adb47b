"""Logging for the worker: lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from sqs_tasks.cli.options import LogFormat
from sqs_tasks.execution.running_job import add_job_fields
from sqs_tasks.loggers import NAME as LIBRARY
from sqs_tasks.loggers import all_handlers, keep_loggers

#: What every record has; anything else on it came as ``extra``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Loggers whose DEBUG is whole requests with their signatures, and messages with their arguments.
_CHATTY = ("boto3", "botocore", "urllib3")


class TextFormatter(logging.Formatter):
    """A line for people. A line about a job ends with the fields that identify it, before any traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """The line."""
        return super().formatMessage(record) + job_words(vars(record), record.message)


def job_words(fields: Mapping[str, Any], message: str) -> str:
    """`` queue=emails job_id=… attempt=2`` of a record about a job, and nothing of any other.

    What the message contains already is left out, and so is a first attempt.
    """
    job_id = fields.get("job_id")
    if not job_id:
        return ""
    words = {"queue": fields.get("queue_name"), "job_id": None if str(job_id) in message else job_id}
    attempt = fields.get("attempt")
    if isinstance(attempt, int) and attempt > 1:
        words["attempt"] = attempt
    return "".join(f" {name}={value}" for name, value in words.items() if value)


class JSONFormatter(logging.Formatter):
    """One JSON object for each record: time, level, logger, message, the ``extra`` fields and any traceback.

    ``POWERTOOLS_SERVICE_NAME`` is in each as ``service``, as Powertools has it in the lines of a function.
    """

    def __init__(self) -> None:
        super().__init__()
        self._service = os.environ.get("POWERTOOLS_SERVICE_NAME")

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._service:
            fields["service"] = self._service
        for name, value in vars(record).items():
            if name not in _STANDARD and not name.startswith("_"):
                fields.setdefault(name, value)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Send the logs of this process to standard error; the application's own set-up, if it has one, comes after."""
    logging.basicConfig(level=level, handlers=[_handler(log_format)], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def after_application(level: str, log_format: LogFormat) -> None:
    """Look after our own records when the application, which may have set up logging, has been loaded.

    - What it disabled by accident is enabled.
    - Its handlers get the fields of the running job on each record.
    - With JSON our records stay JSON, whatever its own format is: programs read them, such as metric filters. Its
      handlers for the terminal then leave them out; its other ones get them as before.
    - Where it left no handler at all, our records go where they would have gone without it.
    """
    keep_loggers()
    root, ours = logging.getLogger(), logging.getLogger(LIBRARY)
    handlers = [handler for handler in root.handlers if not isinstance(handler, _OurHandler)]
    add_job_fields(all_handlers())
    replaced = not any(isinstance(handler, _OurHandler) for handler in root.handlers)
    if ours.handlers or not replaced or (log_format == "text" and root.handlers):
        return
    ours.addHandler(_handler(log_format))
    if ours.level == logging.NOTSET:
        ours.setLevel(level)
    for handler in handlers:
        if _is_for_the_terminal(handler):
            handler.addFilter(_is_of_the_application)


class _OurHandler(logging.StreamHandler[TextIO]):
    """The handler of this command, a class of its own so that it is known from the application's."""


def _handler(log_format: LogFormat) -> logging.Handler:
    handler = _OurHandler()
    handler.setFormatter(JSONFormatter() if log_format == "json" else TextFormatter())
    add_job_fields([handler])
    return handler


def _is_for_the_terminal(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    return stream is not None and stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)


def _is_of_the_application(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != LIBRARY
