"""Sending one message so that it is known afterwards whether SQS has it, or that nobody knows."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqs_tasks.client import error_code
from sqs_tasks.env import SQSEnv
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.transport.batch_call import doubling

#: Times a send that SQS has refused for the moment is made again, and the seconds before the first of them.
RETRIES, RETRY_SECONDS = 5, 0.2

#: What SQS answers when it did not take a message, and may take it a moment later.
_MOMENTARY = ("Throttl", "SlowDown", "RequestLimitExceeded")

#: What it answers when it has failed itself: it may have done so before it stored the message, or after.
_OWN_FAILURES = ("InternalError", "InternalFailure", "ServiceUnavailable")


class NoAnswerError(Exception):
    """Nobody knows whether SQS has the message; the text says what happened."""


def send_once(
    env: SQSEnv, queue_url: str, message: OutgoingMessage, *, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Send a message and return its id.

    Raises:
        NoAnswerError: No answer came: SQS may have the message or not. Of a FIFO queue's message, which has an id that
            is dropped the second time, only after it was sent several times.
        Exception: SQS does not have it, and says why.
    """
    client = env.client.without_retries()
    pauses = iter(doubling(RETRY_SECONDS, RETRIES))
    while True:
        try:
            return str(client.send_message(QueueUrl=queue_url, **message.as_request())["MessageId"])
        except Exception as error:
            code = error_code(error)
            is_doubtful = any(one in code for one in _OWN_FAILURES) or (not code and not _is_before_sending(error))
            pause = None
            if is_doubtful:
                pause = None if message.deduplication_id is None else next(pauses, None)
                if pause is None:
                    raise NoAnswerError(f"no answer from SQS to its send ({code or type(error).__name__})") from error
            elif not code or any(one in code for one in _MOMENTARY):
                pause = next(pauses, None)
            if pause is None:
                raise
            sleep(pause)


def _is_before_sending(error: Exception) -> bool:
    """Whether an error came before anything was sent: no connection, no credentials, no such region."""
    names = {one.__name__ for one in type(error).__mro__}
    no_connection = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
    return bool(names & {*no_connection, "NoCredentialsError", "PartialCredentialsError", "ParamValidationError"})
