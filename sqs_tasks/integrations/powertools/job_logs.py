"""The job on every line that is logged while it runs: the task's own, the library's, any other's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger

from sqs_tasks.message import ReceivedMessage

#: The keys that a running job adds to each line, as the library's own log records have them.
JOB_KEYS = ("queue_name", "job_name", "job_id", "message_id", "attempt", "batch_size")


class JobLogs:
    """Gives each line of a job its name, ids, attempt and queue; never an argument, never a body (S57).

    The keys live in a context variable, so they are right in threads and in async tasks, and gone after the job.

    Args:
        logger: The logger whose format all lines get.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self._is_cold = True
        own = logging.getLogger(logger.name)
        library = logging.getLogger("sqs_tasks")
        for each in (own, library):
            if logger.registered_handler not in each.handlers:
                each.addHandler(logger.registered_handler)
            # Powertools keeps lines from being written twice by a filter on the root handlers, which drops every
            # logger with the service's name somewhere in its own: with the service "tasks" also all of "sqs_tasks".
            each.propagate = False
        if library.level == logging.NOTSET:
            library.setLevel(own.level)
        for handler in logging.getLogger().handlers:
            for one in [one for one in handler.filters if type(one).__name__ == "SuppressFilter"]:
                handler.removeFilter(one)
            if _is_of_lambda(handler):
                handler.setFormatter(_WholeLine(logger.registered_formatter))

    def begin(self, context: Any) -> None:
        """Give each line of an invocation its request id and the function's name."""
        if context is None:
            return
        cold, self._is_cold = self._is_cold, False
        self.logger.append_keys(
            cold_start=cold,
            function_name=getattr(context, "function_name", None),
            function_arn=getattr(context, "invoked_function_arn", None),
            function_memory_size=getattr(context, "memory_limit_in_mb", None),
            function_request_id=getattr(context, "aws_request_id", None),
        )

    def start(self, messages: Sequence[ReceivedMessage], queue_name: str) -> None:
        """Give each line of a job, from here on in this context, the job."""
        first = messages[0]
        fields = first.log_fields(queue_name)
        if len(messages) > 1:
            fields = {"queue_name": queue_name, "job_name": fields["job_name"], "batch_size": len(messages)}
        self.logger.thread_safe_clear_keys()
        self.logger.thread_safe_append_keys(**fields)

    def end(self) -> None:
        """No job runs in this context any more."""
        self.logger.thread_safe_clear_keys()


class _WholeLine(logging.Formatter):
    """Another formatter's text with a newline: the runtime client's handlers write what they get and no more."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return self._formatter.format(record) + "\n"


def _is_of_lambda(handler: logging.Handler) -> bool:
    return type(handler).__module__.partition(".")[0] == "awslambdaric"
