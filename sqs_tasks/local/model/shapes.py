"""The parameters of every action: names, types, which are required, and their names in the query protocol.

One table serves three readers: the server and the client in memory check requests with it, and the query protocol
flattens requests and answers by it. A test holds it against boto3's own service model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; ``python`` is its type in boto3's dictionaries."""

    python: type

    def fits(self, value: Any) -> bool:
        """Whether a value has exactly that type."""
        return value.__class__ is self.python


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; in the query protocol each element is called ``tag``."""

    item: Shape
    tag: str

    def fits(self, value: Any) -> bool:
        """Whether every element has the shape."""
        if value.__class__ is not list:
            return False
        fits = self.item.fits
        for item in value:  # noqa: SIM110  all() over a generator takes twice the time
            if not fits(item):
                return False
        return True


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from text; in the query protocol each pair is called ``tag``, its halves ``key`` and ``value_tag``."""

    value: Shape
    tag: str
    key: str = "Name"
    value_tag: str = "Value"

    def fits(self, value: Any) -> bool:
        """Whether every value has the shape."""
        if value.__class__ is not dict:
            return False
        fits = self.value.fits
        for key, item in value.items():  # noqa: SIM110  as above
            if key.__class__ is not str or not fits(item):
                return False
        return True


class Structure:
    """Named members."""

    __slots__ = ("_others", "_scalars", "members", "required")

    def __init__(self, members: Mapping[str, Shape], required: tuple[str, ...] = ()) -> None:
        self.members = members
        self.required = required
        self._scalars = {name: shape.python for name, shape in members.items() if isinstance(shape, Scalar)}
        self._others = {name: shape for name, shape in members.items() if not isinstance(shape, Scalar)}

    def fits(self, value: Any) -> bool:
        """Whether a value has the shape exactly. It is fast, for every call passes here, and does not say why not."""
        if value.__class__ is not dict:
            return False
        for name in self.required:
            if name not in value:
                return False
        scalars = self._scalars
        for name, item in value.items():
            if item.__class__ is scalars.get(name):
                continue
            shape = self._others.get(name)
            if shape is None or not shape.fits(item):
                return False
        return True


Shape = Scalar | ListOf | MapOf | Structure

STRING, INTEGER, BLOB, BOOLEAN = Scalar(str), Scalar(int), Scalar(bytes), Scalar(bool)


def _structure(*required: str, **members: Shape) -> Structure:
    return Structure(members, required)


_STRINGS = MapOf(STRING, "Attribute")
_ATTRIBUTE = _structure(
    "DataType",
    StringValue=STRING,
    BinaryValue=BLOB,
    StringListValues=ListOf(STRING, "StringListValue"),
    BinaryListValues=ListOf(BLOB, "BinaryListValue"),
    DataType=STRING,
)
_SENT: dict[str, Shape] = {
    "MessageBody": STRING,
    "DelaySeconds": INTEGER,
    "MessageAttributes": MapOf(_ATTRIBUTE, "MessageAttribute"),
    "MessageSystemAttributes": MapOf(_ATTRIBUTE, "MessageSystemAttribute"),
    "MessageDeduplicationId": STRING,
    "MessageGroupId": STRING,
}
_PAGE: dict[str, Shape] = {"NextToken": STRING, "MaxResults": INTEGER}
_QUEUE: dict[str, Shape] = {"QueueUrl": STRING}
_ENTRY: dict[str, Shape] = {"Id": STRING, "ReceiptHandle": STRING}

INPUTS: dict[str, Structure] = {
    "AddPermission": _structure(
        "QueueUrl",
        "Label",
        "AWSAccountIds",
        "Actions",
        **_QUEUE,
        Label=STRING,
        AWSAccountIds=ListOf(STRING, "AWSAccountId"),
        Actions=ListOf(STRING, "ActionName"),
    ),
    "CancelMessageMoveTask": _structure("TaskHandle", TaskHandle=STRING),
    "ChangeMessageVisibility": _structure(
        "QueueUrl", "ReceiptHandle", "VisibilityTimeout", **_QUEUE, ReceiptHandle=STRING, VisibilityTimeout=INTEGER
    ),
    "ChangeMessageVisibilityBatch": _structure(
        "QueueUrl",
        "Entries",
        **_QUEUE,
        Entries=ListOf(
            _structure("Id", "ReceiptHandle", **_ENTRY, VisibilityTimeout=INTEGER),
            "ChangeMessageVisibilityBatchRequestEntry",
        ),
    ),
    "CreateQueue": _structure("QueueName", QueueName=STRING, Attributes=_STRINGS, tags=MapOf(STRING, "Tag", "Key")),
    "DeleteMessage": _structure("QueueUrl", "ReceiptHandle", **_QUEUE, ReceiptHandle=STRING),
    "DeleteMessageBatch": _structure(
        "QueueUrl",
        "Entries",
        **_QUEUE,
        Entries=ListOf(_structure("Id", "ReceiptHandle", **_ENTRY), "DeleteMessageBatchRequestEntry"),
    ),
    "DeleteQueue": _structure("QueueUrl", **_QUEUE),
    "GetQueueAttributes": _structure("QueueUrl", **_QUEUE, AttributeNames=ListOf(STRING, "AttributeName")),
    "GetQueueUrl": _structure("QueueName", QueueName=STRING, QueueOwnerAWSAccountId=STRING),
    "ListDeadLetterSourceQueues": _structure("QueueUrl", **_QUEUE, **_PAGE),
    "ListMessageMoveTasks": _structure("SourceArn", SourceArn=STRING, MaxResults=INTEGER),
    "ListQueueTags": _structure("QueueUrl", **_QUEUE),
    "ListQueues": _structure(QueueNamePrefix=STRING, **_PAGE),
    "PurgeQueue": _structure("QueueUrl", **_QUEUE),
    "ReceiveMessage": _structure(
        "QueueUrl",
        **_QUEUE,
        AttributeNames=ListOf(STRING, "AttributeName"),
        MessageSystemAttributeNames=ListOf(STRING, "MessageSystemAttributeName"),
        MessageAttributeNames=ListOf(STRING, "MessageAttributeName"),
        MaxNumberOfMessages=INTEGER,
        VisibilityTimeout=INTEGER,
        WaitTimeSeconds=INTEGER,
        ReceiveRequestAttemptId=STRING,
    ),
    "RemovePermission": _structure("QueueUrl", "Label", **_QUEUE, Label=STRING),
    "SendMessage": _structure("QueueUrl", "MessageBody", **_QUEUE, **_SENT),
    "SendMessageBatch": _structure(
        "QueueUrl",
        "Entries",
        **_QUEUE,
        Entries=ListOf(_structure("Id", "MessageBody", Id=STRING, **_SENT), "SendMessageBatchRequestEntry"),
    ),
    "SetQueueAttributes": _structure("QueueUrl", "Attributes", **_QUEUE, Attributes=_STRINGS),
    "StartMessageMoveTask": _structure(
        "SourceArn", SourceArn=STRING, DestinationArn=STRING, MaxNumberOfMessagesPerSecond=INTEGER
    ),
    "TagQueue": _structure("QueueUrl", "Tags", **_QUEUE, Tags=MapOf(STRING, "Tag", "Key")),
    "UntagQueue": _structure("QueueUrl", "TagKeys", **_QUEUE, TagKeys=ListOf(STRING, "TagKey")),
}

_FAILED = ListOf(_structure(Id=STRING, SenderFault=BOOLEAN, Code=STRING, Message=STRING), "BatchResultErrorEntry")
_DONE = _structure(Id=STRING)
_SENT_RESULT: dict[str, Shape] = {
    "MessageId": STRING,
    "MD5OfMessageBody": STRING,
    "MD5OfMessageAttributes": STRING,
    "MD5OfMessageSystemAttributes": STRING,
    "SequenceNumber": STRING,
}

#: What actions return; an action that is missing returns nothing.
OUTPUTS: dict[str, Structure] = {
    "CancelMessageMoveTask": _structure(ApproximateNumberOfMessagesMoved=INTEGER),
    "ChangeMessageVisibilityBatch": _structure(
        Successful=ListOf(_DONE, "ChangeMessageVisibilityBatchResultEntry"), Failed=_FAILED
    ),
    "CreateQueue": _structure(QueueUrl=STRING),
    "DeleteMessageBatch": _structure(Successful=ListOf(_DONE, "DeleteMessageBatchResultEntry"), Failed=_FAILED),
    "GetQueueAttributes": _structure(Attributes=_STRINGS),
    "GetQueueUrl": _structure(QueueUrl=STRING),
    "ListDeadLetterSourceQueues": _structure(queueUrls=ListOf(STRING, "QueueUrl"), NextToken=STRING),
    "ListMessageMoveTasks": _structure(
        Results=ListOf(
            _structure(
                TaskHandle=STRING,
                Status=STRING,
                SourceArn=STRING,
                DestinationArn=STRING,
                MaxNumberOfMessagesPerSecond=INTEGER,
                ApproximateNumberOfMessagesMoved=INTEGER,
                ApproximateNumberOfMessagesToMove=INTEGER,
                FailureReason=STRING,
                StartedTimestamp=INTEGER,
            ),
            "ListMessageMoveTasksResultEntry",
        )
    ),
    "ListQueueTags": _structure(Tags=MapOf(STRING, "Tag", "Key")),
    "ListQueues": _structure(QueueUrls=ListOf(STRING, "QueueUrl"), NextToken=STRING),
    "ReceiveMessage": _structure(
        Messages=ListOf(
            _structure(
                MessageId=STRING,
                ReceiptHandle=STRING,
                MD5OfBody=STRING,
                Body=STRING,
                Attributes=_STRINGS,
                MD5OfMessageAttributes=STRING,
                MessageAttributes=MapOf(_ATTRIBUTE, "MessageAttribute"),
            ),
            "Message",
        )
    ),
    "SendMessage": _structure(**_SENT_RESULT),
    "SendMessageBatch": _structure(
        Successful=ListOf(_structure(Id=STRING, **_SENT_RESULT), "SendMessageBatchResultEntry"), Failed=_FAILED
    ),
    "StartMessageMoveTask": _structure(TaskHandle=STRING),
}


def problems(shape: Shape, value: Any, path: str = "") -> list[str]:
    """What is wrong with a value, in botocore's words.

    Types are those that boto3 accepts: bytes may be given as text or a bytearray, lists as tuples, numbers as booleans.
    """
    where = path or "input"
    if isinstance(shape, Scalar):
        return _scalar_problems(shape, value, where)
    if isinstance(shape, ListOf):
        if not isinstance(value, (list, tuple)):
            return [_wrong_type(where, value, "<class 'list'>, <class 'tuple'>")]
        return [text for at, item in enumerate(value) for text in problems(shape.item, item, f"{where}[{at}]")]
    if not isinstance(value, Mapping):
        return [_wrong_type(where, value, "<class 'dict'>")]
    if isinstance(shape, MapOf):
        found = []
        for key, item in value.items():
            if not isinstance(key, str):
                found.append(_wrong_type(f"{where} (key: {key})", key, "<class 'str'>"))
            found += problems(shape.value, item, f"{where}.{key}")
        return found
    found = [f'Missing required parameter in {where}: "{name}"' for name in shape.required if name not in value]
    for name, item in value.items():
        member = shape.members.get(name)
        if member is None:
            known = ", ".join(shape.members)
            found.append(f'Unknown parameter in {where}: "{name}", must be one of: {known}')
        else:
            found += problems(member, item, f"{path}.{name}" if path else name)
    return found


def _scalar_problems(shape: Scalar, value: Any, where: str) -> list[str]:
    if shape.python is bytes:
        if isinstance(value, (bytes, bytearray, str)) or hasattr(value, "read"):
            return []
        return [_wrong_type(where, value, "<class 'bytes'>, <class 'bytearray'>, file-like object")]
    if isinstance(value, shape.python):
        return []
    return [_wrong_type(where, value, str(shape.python))]


def _wrong_type(where: str, value: Any, valid: str) -> str:
    return f"Invalid type for parameter {where}, value: {value}, type: {type(value)}, valid types: {valid}"
