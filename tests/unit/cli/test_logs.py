"""The worker's logs: plain lines, or JSON with the fields of the records."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from sqs_tasks.cli.logs import JSONFormatter, TextFormatter, configure_logging


@pytest.fixture
def root():
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


def formatted(message, *args, exc_info=None, extra=None):
    logger = logging.Logger("shop")  # noqa: LOG001 - one that nobody else has
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logger.addHandler(handler)
    logger.warning(message, *args, exc_info=exc_info, extra=extra)
    text = stream.getvalue()
    assert text.count("\n") == 1
    return json.loads(text)


def test_record_is_one_object_with_its_extra_fields():
    """Extra fields of a record are keys of the object."""
    told = formatted("job %s failed", "send", extra={"job_name": "send", "attempt": 2})

    assert told.pop("timestamp").endswith("+00:00")
    assert told == {
        "level": "WARNING",
        "logger": "shop",
        "message": "job send failed",
        "job_name": "send",
        "attempt": 2,
    }


def test_traceback_is_a_field():
    """A traceback does not break the one object a line."""
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        told = formatted("failed", exc_info=error)

    assert told["exception"].startswith("Traceback")
    assert told["exception"].endswith("ValueError: two\nlines")


def test_extra_cannot_replace_the_record_s_own_fields():
    """Level, logger, time and message are the record's."""
    assert formatted("x", extra={"level": "none", "logger": "none"})["level"] == "WARNING"


def test_values_that_json_lacks_are_told_as_text():
    """Any value can be logged."""
    assert formatted("x", extra={"path": object})["path"] == "<class 'object'>"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_go_to_standard_error(root, capsys, log_format):
    """Standard output belongs to the application."""
    configure_logging("INFO", log_format)

    logging.getLogger("shop").info("hello")

    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err


def test_debug_does_not_print_requests(root):
    """The DEBUG of botocore has bodies and signatures; whoever wants them configures logging in the application."""
    configure_logging("DEBUG", "text")

    assert logging.getLogger("botocore.endpoint").getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("sqs_tasks").getEffectiveLevel() == logging.DEBUG


def test_lines_of_one_job_can_be_found_by_its_id(run, app):
    """Ten jobs of one task read alike otherwise; also what became of its message is one of the lines."""
    ids = [app.env.queue("emails").task(task).delay(**kwargs).job_id for task, kwargs in JOBS]

    lines = run("worker", app.name, "emails", "--idle-seconds", "0").stderr.splitlines()

    told = {job_id: [line for line in lines if job_id in line] for job_id in ids}
    assert [len(told[job_id]) for job_id in ids] == [1, 1, 2]
    assert told[ids[0]][0].endswith(f" s queue=emails job_id={ids[0]}")
    assert "moved to the dead-letter queue" in told[ids[2]][1]


JOBS = (("send_email", {"to": "a"}), ("send_email", {"to": "b"}), ("give_up", {}))


def test_fields_come_before_the_traceback_and_the_first_attempt_is_not_told():
    """The fields of a job stand at the end of its line, above the traceback."""
    record = logging.makeLogRecord(
        {"msg": "failed", "queue_name": "emails", "job_id": "j1", "attempt": 2, "levelname": "ERROR"}
    )
    try:
        raise ValueError("no")
    except ValueError:
        record.exc_info = sys.exc_info()

    lines = TextFormatter().format(record).splitlines()

    assert lines[0].endswith(": failed queue=emails job_id=j1 attempt=2")
    assert lines[-1] == "ValueError: no"


def test_line_about_no_job_is_as_it_was():
    """A line without a job gets no fields."""
    record = logging.makeLogRecord({"msg": "stopping", "queue_name": "emails"})

    assert TextFormatter().format(record).endswith(": stopping")
