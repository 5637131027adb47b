"""The child's log: JSON lines on standard error, which the session reads."""

from __future__ import annotations

import logging
import sys

from sqs_tasks.cli.logs import JSONFormatter, configure_logging
from sqs_tasks.env import SQSEnv
from sqs_tasks.message import Job

logger = logging.getLogger("sqs_tasks.cli.dev.child")


def log_to_session(level: str) -> None:
    """Log as JSON; what this library tells gets through even when the application sets up logging of its own."""
    configure_logging(level.upper(), "json")
    # boto3 tells at INFO where it found credentials, at every restart.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    ours = logging.getLogger("sqs_tasks")
    ours.handlers[:] = [handler]
    ours.setLevel(level.upper())
    ours.propagate = False


def log_starts(env: SQSEnv) -> None:
    """Report each job when it starts, so that the session can show what is running."""
    env.pre_task(_log_start)


def _log_start(job: Job) -> None:
    logger.info("job %s started", job.job_name, extra={"action": "job_started", **job.log_fields})
