"""A line of the child's output, as a log record if it is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.cli.logs import job_words

#: What the records of the executor report of a job, by their action.
OUTCOMES = {
    "job_succeeded": "succeeded",
    "job_retried": "retried",
    "job_rejected": "rejected",
    "job_postponed": "postponed",
    "job_skipped": "skipped",
    "unknown_task": "unknown task",
}

#: The logger of lines that are no log records: what a task printed.
OUTPUT = "output"

_REQUIRED = {"timestamp", "level", "logger", "message"}


@dataclass(frozen=True, slots=True)
class Record:
    """One log record, in the shape of :class:`~sqs_tasks.cli.logs.JSONFormatter`."""

    fields: Mapping[str, Any]

    @classmethod
    def read(cls, line: str) -> Record:
        """The record that a line spells; any other line is a record of itself."""
        if line.startswith("{"):
            try:
                fields = json.loads(line)
            except ValueError:
                fields = None
            if isinstance(fields, dict) and fields.keys() >= _REQUIRED:
                return cls(fields)
        return cls.make(line, logger=OUTPUT)

    @classmethod
    def make(cls, message: str, *, level: str = "INFO", logger: str = "sqs_tasks.cli.dev", **fields: Any) -> Record:
        """A record of this moment."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls({"timestamp": moment, "level": level, "logger": logger, "message": message, **fields})

    @property
    def action(self) -> str:
        """The word for programs to look at; empty if the record has none."""
        return str(self.fields.get("action", ""))

    @property
    def level(self) -> str:
        """DEBUG, INFO, WARNING, ERROR or CRITICAL."""
        return str(self.fields["level"])

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self.fields["message"])

    @property
    def exception(self) -> str | None:
        """The traceback, if there is one."""
        return self.fields.get("exception")

    @property
    def outcome(self) -> str | None:
        """How a job ended, if that is what the record reports."""
        return OUTCOMES.get(self.action)

    @property
    def time(self) -> str:
        """The local time of day, to the second."""
        try:
            return datetime.fromisoformat(str(self.fields["timestamp"])).astimezone().strftime("%H:%M:%S")
        except ValueError:
            return str(self.fields["timestamp"])

    def as_json(self) -> str:
        """One JSON object in one line."""
        return json.dumps(dict(self.fields), default=str, ensure_ascii=False)

    def as_text(self) -> str:
        """A line for people, and its traceback; what a task printed stays as it was."""
        if self.fields["logger"] == OUTPUT:
            return self.message
        text = f"{self.time} {self.level:<7} {self.message}{job_words(self.fields, self.message)}"
        return text if self.exception is None else f"{text}\n{self.exception.rstrip()}"


def is_ours(logger: str) -> bool:
    """Whether a logger belongs to this library, and not to the application."""
    return logger.partition(".")[0] == "sqs_tasks"
