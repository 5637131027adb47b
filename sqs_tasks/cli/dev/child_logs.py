"""The child's log: JSON lines on standard error, which the session reads."""

from __future__ import annotations

import logging
import sys

from sqs_tasks.cli.logs import JSONFormatter, configure_logging
from sqs_tasks.env import SQSEnv
from sqs_tasks.execution.running_job import add_job_fields
from sqs_tasks.loggers import NAME as LIBRARY
from sqs_tasks.loggers import all_handlers, keep_loggers
from sqs_tasks.message import Job

logger = logging.getLogger("sqs_tasks.cli.dev.child")


def log_to_session(level: str) -> None:
    """Log as JSON."""
    configure_logging(level.upper(), "json")
    # boto3 reports at INFO where it found credentials, at every restart.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    _ours_to_session(level)


def after_application(env: SQSEnv, level: str) -> None:
    """See to it that what this library logs reaches the session, however the application has set up logging.

    Each job is reported when it starts, so that the session can show what is running.
    """
    add_job_fields(all_handlers())
    keep_loggers()
    _ours_to_session(level)
    env.pre_task(_log_start)
    env.log_retries = "traceback"  # who writes a task wants to see why it fails the first time


def _ours_to_session(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    add_job_fields([handler])
    ours = logging.getLogger(LIBRARY)
    ours.handlers[:] = [handler]
    ours.setLevel(level.upper())
    ours.propagate = False


def _log_start(job: Job) -> None:
    logger.info("job %s started", job.job_name, extra={"action": "job_started", **job.log_fields})
