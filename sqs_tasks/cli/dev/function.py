"""The Lambda function of ``sqs-tasks dev --as lambda``: the plain handler, with a log that the session reads."""

from __future__ import annotations

import os

from sqs_tasks.app_path import load_app
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.cli.dev import debugger
from sqs_tasks.cli.dev.child_logs import after_application, log_to_session


def __getattr__(name: str) -> SQSEventHandler:
    """``handler``, made when the runtime asks for it: that is when the application is loaded."""
    if name != "handler":
        raise AttributeError(name)
    level = os.environ.get("SQS_TASKS_LOG_LEVEL", "info")
    log_to_session(level)
    debugger.install()
    env = load_app()
    after_application(env, level)
    return SQSEventHandler(env)
