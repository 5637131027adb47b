"""The errors of SQS: each with the code of the JSON protocol, the code of the query protocol and the HTTP status.

SDKs of the JSON protocol read ``__type``, and ``x-amzn-query-error`` for the code that programs written for the older
protocol compare with: ``AWS.SimpleQueueService.NonExistentQueue`` is the same error as ``QueueDoesNotExist``.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-api-responses.html
"""

from __future__ import annotations

#: The characters that a message may hold (S38), as SQS writes them.
ALLOWED_CHARACTERS = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"


class SQSFault(Exception):  # noqa: N818  AWS's word in "SenderFault", and no error of this library's users
    """An answer of SQS that is an error.

    Attributes:
        code: The error's shape name in the JSON protocol, such as ``QueueDoesNotExist``.
        query_code: The same error's code in the query protocol, which boto3 shows as ``Error.Code``.
        message: SQS's words.
        status: The HTTP status.
        sender: True when the caller is at fault, as in nearly all of them.
    """

    def __init__(
        self, code: str, message: str, *, query_code: str | None = None, status: int = 400, sender: bool = True
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.query_code = query_code or code
        self.message = message
        self.status = status
        self.sender = sender

    @property
    def is_modelled(self) -> bool:
        """Whether SDKs have an exception class for it."""
        return self.code == "ResourceNotFoundException" or not self.code.endswith("Exception")


def _service_fault(code: str, message: str, *, status: int = 400, query_code: str | None = None) -> SQSFault:
    return SQSFault(code, message, query_code=f"AWS.SimpleQueueService.{query_code or code}", status=status)


def queue_does_not_exist() -> SQSFault:
    """No queue of that name or URL."""
    return _service_fault("QueueDoesNotExist", "The specified queue does not exist.", query_code="NonExistentQueue")


def queue_name_exists(attribute: str) -> SQSFault:
    """A queue of that name has another value for the attribute."""
    text = f"A queue already exists with the same name and a different value for attribute {attribute}"
    return SQSFault("QueueNameExists", text, query_code="QueueAlreadyExists")


def queue_deleted_recently() -> SQSFault:
    """A queue of that name was deleted less than 60 seconds ago."""
    return _service_fault(
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
    )


def purge_in_progress(queue_name: str) -> SQSFault:
    """The queue was purged less than 60 seconds ago."""
    text = f"Only one PurgeQueue operation on {queue_name} is allowed every 60 seconds."
    return _service_fault("PurgeQueueInProgress", text, status=403)


def invalid_parameter(message: str) -> SQSFault:
    """A parameter that is not valid, with the text."""
    return SQSFault("InvalidParameterValueException", message, query_code="InvalidParameterValue")


def invalid_value(parameter: str, value: object, reason: str) -> SQSFault:
    """A parameter's value that is not valid, and why."""
    return invalid_parameter(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def missing_parameter(parameter: str) -> SQSFault:
    """A required parameter that is missing."""
    text = f"The request must contain the parameter {parameter}."
    return SQSFault("MissingRequiredParameterException", text, query_code="MissingParameter")


def invalid_attribute_name(name: str) -> SQSFault:
    """No such attribute, or none that can be set on this queue."""
    return SQSFault("InvalidAttributeName", f"Unknown Attribute {name}.")


def invalid_attribute_value(name: str, reason: str = "") -> SQSFault:
    """An attribute's value that is not valid."""
    text = f"Invalid value for the parameter {name}." + (f" Reason: {reason}" if reason else "")
    return SQSFault("InvalidAttributeValue", text)


def invalid_message_contents() -> SQSFault:
    """A body with characters that no message may hold."""
    text = f"Invalid characters found. Valid unicode characters are {ALLOWED_CHARACTERS}"
    return SQSFault("InvalidMessageContents", text)


def receipt_handle_is_invalid(handle: str) -> SQSFault:
    """A handle that the queue never issued."""
    return SQSFault("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')


def message_not_inflight(handle: str) -> SQSFault:
    """The handle of a message that is gone."""
    reason = "Message does not exist or is not available for visibility timeout change."
    return invalid_value("ReceiptHandle", handle, reason)


def receipt_handle_has_expired(handle: str) -> SQSFault:
    """A FIFO queue's handle after the visibility timeout."""
    return invalid_value("ReceiptHandle", handle, "The receipt handle has expired.")


def empty_batch(entry_shape: str) -> SQSFault:
    """A batch without entries."""
    return _service_fault("EmptyBatchRequest", f"There should be at least one {entry_shape} in the request.")


def too_many_entries(count: int) -> SQSFault:
    """A batch of more than ten."""
    text = f"Maximum number of entries per request are 10. You have sent {count}."
    return _service_fault("TooManyEntriesInBatchRequest", text)


def entry_ids_not_distinct(entry_id: str) -> SQSFault:
    """A batch with an id twice."""
    return _service_fault("BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")


def invalid_entry_id() -> SQSFault:
    """A batch with an id that is not valid."""
    text = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
        "It can be at most 80 letters long."
    )
    return _service_fault("InvalidBatchEntryId", text)


def batch_too_long(limit: int, size: int) -> SQSFault:
    """A batch of more bytes than one message may have."""
    text = f"Batch requests cannot be longer than {limit} bytes. You have sent {size} bytes."
    return _service_fault("BatchRequestTooLong", text)


def over_limit(most: int) -> SQSFault:
    """As many messages in flight as the quota allows."""
    text = f"Too many messages in flight: the queue has delivered as many as it may ({most:,})."
    return SQSFault("OverLimit", text, status=403)


def resource_not_found(message: str) -> SQSFault:
    """No such queue or move task."""
    return SQSFault("ResourceNotFoundException", message, status=404)


def unsupported_operation(message: str) -> SQSFault:
    """An operation that cannot be done now, or ever."""
    return _service_fault("UnsupportedOperation", message)


def invalid_action(action: str) -> SQSFault:
    """No such action."""
    return SQSFault("InvalidAction", f"The action {action} is not valid for this endpoint.")
