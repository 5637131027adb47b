"""The errors of EventBridge Scheduler."""

from __future__ import annotations

#: The HTTP status of each error. A test holds them against boto3's service model.
STATUSES = {
    "ConflictException": 409,
    "InternalServerException": 500,
    "ResourceNotFoundException": 404,
    "ValidationException": 400,
}


class SchedulerFault(Exception):  # noqa: N818  as SQSFault: AWS's word, and no error of this library's users
    """An answer of EventBridge Scheduler that is an error.

    Attributes:
        code: The error's name, such as ``ConflictException``.
        message: Its text.
        status: The HTTP status.
    """

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status or STATUSES.get(code, 400)


def invalid(message: str) -> SchedulerFault:
    """The request is not one that EventBridge Scheduler takes."""
    return SchedulerFault("ValidationException", message)


def conflict(message: str) -> SchedulerFault:
    """The name is taken, or a client token was used for something else."""
    return SchedulerFault("ConflictException", message)


def not_found(message: str) -> SchedulerFault:
    """There is no such schedule or group."""
    return SchedulerFault("ResourceNotFoundException", message)
