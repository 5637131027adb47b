"""What AWS services put into a queue, as typed values: EventBridge, S3, SNS and CloudWatch alarms.

For the functions of raw queues::

    @cron.raw_processor()
    def nightly(message: ReceivedMessage) -> None:
        event = envelopes.eventbridge(message)
        print(event.detail_type, event.time)

Services also write through one another (S3 to SNS to SQS): each function here looks into an SNS notification by itself.
What is not the envelope asked for raises UndecodableMessageError; raised in a task it sends the message to the
dead-letter queue, because no further attempt would read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote_plus

from sqs_tasks.errors import UndecodableMessageError, nature
from sqs_tasks.message import ReceivedMessage

T = TypeVar("T")

#: A message, or the body of one.
Source: TypeAlias = ReceivedMessage | str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBridgeEvent:
    """An event of EventBridge, once called CloudWatch Events: a schedule's, a service's or one's own.

    Attributes:
        id: The event's id.
        detail_type: What happened, for example ``Scheduled Event``.
        source: Who says so, for example ``aws.events``.
        account: The account it happened in.
        time: When.
        region: Where.
        resources: ARNs of what it is about.
        detail: The event's own data.
    """

    id: str
    detail_type: str
    source: str
    account: str
    time: datetime
    region: str
    resources: Sequence[str] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Event:
    """Something that happened to an object in a bucket.

    Attributes:
        event_name: For example ``ObjectCreated:Put``.
        bucket: The bucket's name.
        key: The object's key, decoded: S3 sends it in the form of a URL.
        size: Bytes; None for a removal.
        etag: The object's ETag; None for a removal.
        version_id: The version, in a bucket that has versions.
        sequencer: Tells the order of two events of one key: pad the shorter on the left with zeros, and compare.
        time: When.
        region: Where.
    """

    event_name: str
    bucket: str
    key: str
    size: int | None = None
    etag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None
    time: datetime
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SNSNotification:
    """A notification of a topic whose subscription does not deliver raw messages.

    Attributes:
        message_id: SNS's id.
        topic_arn: The topic.
        subject: The subject, if it has one.
        message: What was published.
        time: When.
        attributes: The message attributes' values, as text.
    """

    message_id: str
    topic_arn: str
    subject: str | None
    message: str
    time: datetime
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudWatchAlarm:
    """An alarm that changed its state, as it comes by SNS or by EventBridge.

    Attributes:
        name: The alarm's name.
        arn: The alarm.
        state: ``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``.
        previous_state: The state before.
        reason: CloudWatch's words for why.
        time: When.
        description: The alarm's own description, if it has one.
    """

    name: str
    arn: str
    state: str
    previous_state: str
    reason: str
    time: datetime
    description: str | None = None


def eventbridge(source: Source) -> EventBridgeEvent:
    """The event of EventBridge in a message.

    Raises:
        UndecodableMessageError: It holds none.
    """
    data = _through_sns(source)
    if not data.keys() >= {"detail-type", "source", "id"}:
        raise _wrong("an EventBridge event", data)
    return _built(
        "an EventBridge event",
        lambda: EventBridgeEvent(
            id=_text(data["id"]),
            detail_type=_text(data["detail-type"]),
            source=_text(data["source"]),
            account=_text(data.get("account", "")),
            time=_time(data["time"]),
            region=_text(data.get("region", "")),
            resources=tuple(_text(one) for one in data.get("resources") or ()),
            detail=_object(data.get("detail") or {}),
        ),
    )


def s3(source: Source) -> list[S3Event]:
    """The events of S3 in a message; an empty list for the test event that S3 sends when notifications are set up.

    Raises:
        UndecodableMessageError: It holds none.
    """
    data = _through_sns(source)
    if data.get("Event") == "s3:TestEvent":
        return []
    records = data.get("Records")
    if not isinstance(records, list) or not all(_is_s3(record) for record in records):
        raise _wrong("an S3 notification", data)
    return _built("an S3 notification", lambda: [_s3_event(record) for record in records])


def sns(source: Source) -> SNSNotification:
    """The notification of SNS in a message.

    Raises:
        UndecodableMessageError: It holds none.
    """
    data = _json_object(source)
    if not _is_sns(data):
        raise _wrong("an SNS notification", data)
    return _sns_notification(data)


def cloudwatch_alarm(source: Source) -> CloudWatchAlarm:
    """The change of a CloudWatch alarm in a message, whether it came by SNS or by EventBridge.

    Raises:
        UndecodableMessageError: It holds none.
    """
    data = _through_sns(source)
    if data.get("detail-type") == "CloudWatch Alarm State Change":
        return _built("a CloudWatch alarm", lambda: _alarm_of_event(data))
    if data.keys() >= {"AlarmName", "NewStateValue"}:
        return _built("a CloudWatch alarm", lambda: _alarm_of_topic(data))
    raise _wrong("a CloudWatch alarm", data)


def _is_sns(data: Mapping[str, Any]) -> bool:
    return data.get("Type") == "Notification" and isinstance(data.get("Message"), str) and "TopicArn" in data


def _is_s3(record: Any) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:s3"


def _sns_notification(data: Mapping[str, Any]) -> SNSNotification:
    return _built(
        "an SNS notification",
        lambda: SNSNotification(
            message_id=_text(data["MessageId"]),
            topic_arn=_text(data["TopicArn"]),
            subject=data.get("Subject"),
            message=_text(data["Message"]),
            time=_time(data["Timestamp"]),
            attributes={
                name: _text(_object(value).get("Value", ""))
                for name, value in _object(data.get("MessageAttributes") or {}).items()
            },
        ),
    )


def _s3_event(record: Mapping[str, Any]) -> S3Event:
    about = _object(record["s3"])
    thing = _object(about["object"])
    return S3Event(
        event_name=_text(record["eventName"]),
        bucket=_text(_object(about["bucket"])["name"]),
        key=unquote_plus(_text(thing["key"])),
        size=thing.get("size"),
        etag=thing.get("eTag"),
        version_id=thing.get("versionId"),
        sequencer=thing.get("sequencer"),
        time=_time(record["eventTime"]),
        region=_text(record.get("awsRegion", "")),
    )


def _alarm_of_event(data: Mapping[str, Any]) -> CloudWatchAlarm:
    detail = _object(data["detail"])
    state, before = _object(detail["state"]), _object(detail.get("previousState") or {})
    return CloudWatchAlarm(
        name=_text(detail["alarmName"]),
        arn=_text(next(iter(data.get("resources") or ()), "")),
        state=_text(state["value"]),
        previous_state=_text(before.get("value", "")),
        reason=_text(state.get("reason", "")),
        time=_time(state.get("timestamp") or data["time"]),
        description=_object(detail.get("configuration") or {}).get("description"),
    )


def _alarm_of_topic(data: Mapping[str, Any]) -> CloudWatchAlarm:
    return CloudWatchAlarm(
        name=_text(data["AlarmName"]),
        arn=_text(data.get("AlarmArn", "")),
        state=_text(data["NewStateValue"]),
        previous_state=_text(data.get("OldStateValue", "")),
        reason=_text(data.get("NewStateReason", "")),
        time=_time(data["StateChangeTime"]),
        description=data.get("AlarmDescription"),
    )


def _through_sns(source: Source) -> dict[str, Any]:
    """The JSON object in a message, or in the notification that a message holds."""
    data = _json_object(source)
    return _json_object(data["Message"]) if _is_sns(data) else data


def _json_object(source: Source) -> dict[str, Any]:
    body = source.body if isinstance(source, ReceivedMessage) else source
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UndecodableMessageError(f"the body is not JSON: {nature(error)}") from error
    if not isinstance(data, dict):
        raise UndecodableMessageError(f"the body is a JSON {type(data).__name__}, not an object")
    return data


def _wrong(what: str, data: Mapping[str, Any]) -> UndecodableMessageError:
    return UndecodableMessageError(f"not {what}: an object with the keys {', '.join(sorted(data)[:10]) or '(none)'}")


def _built(what: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # What is missing or of another kind is named by us; a value that is wrong would be quoted.
        why = nature(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise UndecodableMessageError(f"{what} that is broken: {why}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, found {type(value).__name__}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {type(value).__name__}")
    return value


def _time(value: Any) -> datetime:
    return datetime.fromisoformat(_text(value))
