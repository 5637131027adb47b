"""Lines of the child, as records."""

from __future__ import annotations

import json
import logging

import pytest

from sqs_tasks.cli.dev.record import OUTPUT, Record
from sqs_tasks.cli.logs import JSONFormatter


def test_log_line_is_the_record_it_was():
    """A line of JSON log gives the record with all its fields."""
    logged = logging.makeLogRecord({"name": "app", "levelname": "ERROR", "msg": "no", "action": "job_rejected"})
    line = JSONFormatter().format(logged)

    record = Record.read(line)

    assert (record.level, record.message, record.action, record.outcome) == ("ERROR", "no", "job_rejected", "rejected")
    assert json.loads(record.as_json()) == json.loads(line)


@pytest.mark.parametrize("line", ["hello", "", "{", '{"a": 1}', "{}", "[1]"])
def test_any_other_line_is_output(line):
    """What is no log line is shown as the application printed it."""
    record = Record.read(line)

    assert record.fields["logger"] == OUTPUT
    assert record.as_text() == line
    assert json.loads(record.as_json())["message"] == line


def test_text_has_the_traceback_after_the_line():
    """A traceback stands below its line."""
    record = Record.make("it failed", level="ERROR", exception="Traceback\nValueError: x\n")

    assert record.as_text() == f"{record.time} ERROR   it failed\nTraceback\nValueError: x"


def test_text_ends_with_what_tells_the_job_from_others():
    """Queue, job id and a later attempt stand at the end of the line."""
    record = Record.make("job send succeeded", queue_name="emails", job_id="j1", attempt=2)

    assert record.as_text() == f"{record.time} INFO    job send succeeded queue=emails job_id=j1 attempt=2"
