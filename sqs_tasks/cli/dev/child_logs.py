"""The child's log: JSON lines on standard error, which the session reads."""

from __future__ import annotations

import logging
import sys

from sqs_tasks.cli.logs import JSONFormatter, configure_logging


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
