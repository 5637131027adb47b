"""Which queues a worker works, and whether they are there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import click

from sqs_tasks.cli.queue_names import names_in_code
from sqs_tasks.client import error_code
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError, SQSTasksError
from sqs_tasks.generic_queue import GenericQueue

logger = logging.getLogger(__name__)

#: The lowest HTTP status of a server that failed itself, and that of one which throttles.
_SERVER_ERROR, _TOO_MANY = 500, 429

#: What AWS says when it throttles; SQS has its own word, its front ends theirs.
_THROTTLING_CODES = frozenset(
    {
        "KmsThrottled",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def queues_to_work(env: SQSEnv, names: Sequence[str], app: str) -> list[GenericQueue]:
    """The queues to work, each of which has something to run.

    Raises:
        click.UsageError: A name is none of a registered queue with tasks.
        ConfigurationError: There are no tasks at all.
    """
    try:
        queues = env.select_queues(*names_in_code(env, names))
    except ConfigurationError as error:
        raise click.UsageError(f"{app}: {error}") from error
    if not queues:
        raise ConfigurationError(f"{app} has no task on any queue; does its module import those with your tasks?")
    for queue in queues:
        if not queue.tasks:
            raise click.UsageError(f"queue {queue.name!r} of {app} has no tasks, so its messages would only come back")
    return queues


def check_exists(queue: GenericQueue) -> None:
    """Refuse to wait for a queue that does not exist, or for missing rights.

    An endpoint that cannot be reached, throttles or answers nonsense is another matter: that passes, and the polling
    loop waits for it.
    """
    queue.env.client()
    try:
        _ = queue.queue_url
    except Exception as error:
        if not _may_pass(error):
            raise
        logger.warning(
            "cannot ask for the URL of queue %s yet: %s",
            queue.name,
            error if str(error) else type(error).__name__,
            extra={"action": "queue_url_failed", "queue_name": queue.name},
        )


def _may_pass(error: Exception) -> bool:
    """Whether the endpoint did not answer, answered that it cannot for now, or with what is no answer."""
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as EndpointUnreachableError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return status >= _SERVER_ERROR or status == _TOO_MANY or error_code(error) in _THROTTLING_CODES
    if isinstance(error, SQSTasksError):
        return False
    # An answer without what was asked for, such as a proxy's page, ends in one of Python's own errors.
    own = (AttributeError, KeyError, TypeError, ValueError)
    return isinstance(error, (EndpointUnreachableError, HTTPClientError, ResponseParserError, *own))
