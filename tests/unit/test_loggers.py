"""The loggers of the library, after the application has set up logging."""

from __future__ import annotations

import logging
import logging.config

import pytest

import sqs_tasks.execution.executor  # noqa: F401 - its logger is there before the set-up
from sqs_tasks.execution.running_job import JobFields, add_job_fields
from sqs_tasks.loggers import all_handlers, keep_loggers, kept_logger

OURS = "sqs_tasks.execution.executor"


@pytest.fixture(autouse=True)
def _restored():
    """Logging as it was, whatever a set-up has done to it."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    disabled = {name for name, one in root.manager.loggerDict.items() if getattr(one, "disabled", False)}
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, one in root.manager.loggerDict.items():
        if isinstance(one, logging.Logger):
            one.disabled = name in disabled


def set_up() -> None:
    """What applications do, with ``disable_existing_loggers`` left out."""
    logging.config.dictConfig({"version": 1})


def test_set_up_of_the_application_does_not_disable_them():
    """Neither one before jobs run, nor one while they do."""
    set_up()
    keep_loggers()
    assert logging.getLogger(OURS).isEnabledFor(logging.ERROR)

    set_up()

    assert logging.getLogger(OURS).isEnabledFor(logging.ERROR)


def test_loggers_of_others_are_left_alone():
    """What the application wants to be silent is silent."""
    theirs = logging.getLogger("theirs")
    set_up()

    keep_loggers()

    assert theirs.disabled


def test_levels_still_silence_them():
    """That is how an application does it on purpose."""
    keep_loggers()
    logger = logging.getLogger(OURS)
    logger.setLevel(logging.CRITICAL)
    try:
        assert not logger.isEnabledFor(logging.ERROR)
    finally:
        logger.setLevel(logging.NOTSET)


def test_set_up_while_jobs_run_does_not_disable_what_was_imported_late():
    """As Alembic sets up logging in the middle of a task, when the first job has failed."""
    keep_loggers()
    late = kept_logger("sqs_tasks.imported_with_the_first_failure")

    set_up()

    assert late.isEnabledFor(logging.ERROR)


def test_handlers_of_all_loggers_get_the_fields_of_the_job():
    """A logger with a handler of its own, which hands nothing on, is one of those that applications set up."""
    theirs, handler = logging.getLogger("theirs.alone"), logging.NullHandler()
    theirs.addHandler(handler)
    theirs.propagate = False
    try:
        add_job_fields(all_handlers())
        add_job_fields(all_handlers())
    finally:
        theirs.removeHandler(handler)

    assert [type(one) for one in handler.filters] == [JobFields]
