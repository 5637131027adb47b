"""Everything this library raises on purpose.

    SQSTasksError
    ├── ConfigurationError          a registration, option or environment that cannot work (also a ValueError)
    │   └── DuplicateTaskError      a name registered twice with different functions
    ├── QueueNotFoundError          the endpoint has no such queue (also a LookupError)
    ├── UnknownTaskError            a message names a task this process has not registered (also a LookupError)
    ├── SerializationError          an argument the codec cannot carry (also a TypeError)
    ├── MessageTooLargeError        a job over the size limit (also a ValueError)
    ├── UndecodableMessageError     a message whose body or attributes cannot be read
    ├── PayloadUnavailableError     a message whose body is in S3 and cannot be fetched now
    ├── SignatureMismatchError      a message whose arguments do not fit the task
    ├── JobExpiredError             a job older than its task's max_age
    ├── TaskTimeoutError            a task that ran longer than its timeout (also a TimeoutError)
    ├── JobCrashedError             a job whose child process ended before it did
    └── BatchSendError              a batch of which some entries were not accepted; carries the unsent jobs

    TaskInterruption                what a plain task sees at its timeout; no Exception, so that nothing catches it by
                                    mistake; its job then fails with TaskTimeoutError

``SQSError`` is sqs-workers' name for the root. What users raise to steer a job, ``Retry`` and ``Reject``, are not
errors and live in :mod:`sqs_tasks.outcome`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

#: Characters of a message's own text that an error quotes.
MAX_QUOTED_CHARS: Final = 200

#: Characters of an exception's text that are kept of it as the reason of an outcome.
MAX_REASON_CHARS: Final = 1_000


class SQSTasksError(Exception):
    """The root of every error this library raises."""


class ConfigurationError(SQSTasksError, ValueError):
    """A registration, option or environment variable that cannot work; raised where its author is."""


class DuplicateTaskError(ConfigurationError):
    """A task name or alias is already registered on the queue."""


class QueueNotFoundError(SQSTasksError, LookupError):
    """The endpoint has no queue of that name, or the caller may not see it."""


class UnknownTaskError(SQSTasksError, LookupError):
    """A message names a task that this process has not registered, maybe because a deploy is in progress."""


class SerializationError(SQSTasksError, TypeError):
    """An argument that the codec cannot carry; the text names the argument and its type."""


class MessageTooLargeError(SQSTasksError, ValueError):
    """A job whose body and attributes exceed the limit; the text names the task, the size and the largest argument."""


class UndecodableMessageError(SQSTasksError):
    """A message whose body or attributes cannot be read; it is rejected, never executed."""


class PayloadUnavailableError(SQSTasksError):
    """A message whose body is in S3 and cannot be fetched now; its job is put off, and this is no attempt."""


class SignatureMismatchError(SQSTasksError):
    """A message whose arguments do not fit its task's signature; it is rejected, never executed."""


class JobExpiredError(SQSTasksError):
    """A job that waited longer than its task's ``max_age``; it is rejected, never executed."""


class StoreUnavailableError(SQSTasksError):
    """The store cannot be reached, is throttled or refuses; whether a write was made is not known."""


class JobNotSucceededError(SQSTasksError):
    """A job whose result is asked for ended without one.

    Attributes:
        state: How it ended: ``failed``, ``dead``, ``cancelled``, ``skipped``; ``succeeded`` if its result was not kept.
    """

    def __init__(self, text: str, *, state: str = "") -> None:
        super().__init__(text)
        self.state = state


class TaskTimeoutError(SQSTasksError, TimeoutError):
    """A task that ran longer than its ``timeout``; it failed and its backoff policy decides."""


class JobCrashedError(SQSTasksError):
    """A job whose process ended before it did, or used too much memory; only where jobs run in child processes."""


class RemoteError(SQSTasksError):
    """What stands here for an exception of another process, of which its type's name is known, and where it was raised.

    Attributes:
        type_name: That name.
        frames: The application's last lines, ``file:line:function``.
        cause: The name of the type of its own cause; empty without one.
    """

    def __init__(self, type_name: str, *, frames: Sequence[str] = (), cause: str = "") -> None:
        super().__init__(f"{type_name} in a child process")
        self.type_name = type_name
        self.frames = tuple(frames)
        self.cause = cause


def type_name_of(error: BaseException) -> str:
    """The name of the type of an exception, also of one in another process."""
    return error.type_name if isinstance(error, RemoteError) else type(error).__name__


class TaskInterruption(BaseException):
    """Ends a plain task at its timeout, or at the end of a Lambda invocation; its job fails with TaskTimeoutError.

    Catch it to clean up, and raise it again. It comes again where that is not done, or takes too long.

    Attributes:
        limit: The limit that is over; for the library.
    """

    def __init__(self, text: str, limit: object = None) -> None:
        super().__init__(text)
        self.limit = limit


class BatchSendError(SQSTasksError):
    """Some jobs of a batch were not accepted by SQS, even after retries.

    Attributes:
        unsent: The messages that were not accepted, in the order they were added, ready to be sent again.
        errors: SQS's ``Failed`` entries as it returned them, one for each unsent message that SQS answered for.
    """

    def __init__(self, text: str, *, unsent: Sequence[Any], errors: Sequence[Any] = ()) -> None:
        super().__init__(text)
        self.unsent = tuple(unsent)
        self.errors = tuple(errors)


#: sqs-workers' names.
SQSError = SQSTasksError
SQSBatchError = BatchSendError


def brief(error: Exception) -> str:
    """An error in a few words: those of the standard library quote the whole value, which may be a megabyte."""
    return shortened(f"{type(error).__name__}: {error}")


def nature(error: Exception) -> str:
    """What kind of error the reading of a message is, without its text: that may quote the message's values."""
    kind = type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return f"{kind}: {error.reason} at position {error.start}"
    if isinstance(error, ImportError):  # a pickle names classes
        return shortened(f"{kind}: {error}")
    if isinstance(error, ValueError) and hasattr(error, "colno"):  # the JSON reader's, which says no more than where
        return f"{kind}: {error}"
    return kind


def described(error: BaseException) -> str:
    """The type and text of an exception, in one line; a task's exception may fail even at giving its text."""
    kind = type(error).__name__
    try:
        return one_line(f"{kind}: {error}", MAX_REASON_CHARS)
    except Exception:  # noqa: BLE001 - the text is user code
        return kind


def one_line(text: str, most: int = MAX_QUOTED_CHARS) -> str:
    """A text from elsewhere as it may stand in a log: cut where it gets long, and without characters that end a line.

    Those and other control characters are there as escapes.
    """
    if len(text) > most:
        text = f"{text[:most]}..."
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str) -> str:
    """A text in an error, cut where it gets long."""
    return text if len(text) <= MAX_QUOTED_CHARS else f"{text[:MAX_QUOTED_CHARS]}..."
