"""Messages of AWS services as typed values."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sqs_tasks import RawQueue, envelopes
from sqs_tasks.errors import UndecodableMessageError
from sqs_tasks.testing import drain
from tests.support.queues import Desk

SCHEDULED = {
    "version": "0",
    "id": "a9a10406-9a1f-0ddc-51ae-08db551fac42",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2019-09-20T09:19:56Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:events:eu-west-1:123456789012:rule/Playground"],
    "detail": {},
}
S3_PUT = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "eu-west-1",
            "eventTime": "2024-05-01T10:00:00.123Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": "uploads", "arn": "arn:aws:s3:::uploads"},
                "object": {"key": "a+file+%C3%A9.txt", "size": 7, "eTag": "d41d", "sequencer": "0055AED6"},
            },
        }
    ]
}
ALARM = {
    "AlarmName": "too-many-dead-letters",
    "AlarmDescription": None,
    "AlarmArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:too-many-dead-letters",
    "NewStateValue": "ALARM",
    "OldStateValue": "OK",
    "NewStateReason": "Threshold Crossed",
    "StateChangeTime": "2024-05-01T10:00:00.123+0000",
    "Trigger": {"MetricName": "ApproximateNumberOfMessagesVisible"},
}
ALARM_EVENT = {
    **SCHEDULED,
    "source": "aws.cloudwatch",
    "detail-type": "CloudWatch Alarm State Change",
    "resources": ["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:cpu"],
    "detail": {
        "alarmName": "cpu",
        "state": {"value": "ALARM", "reason": "high", "timestamp": "2024-05-01T10:00:00.123+0000"},
        "previousState": {"value": "OK"},
        "configuration": {"description": "CPU is high"},
    },
}


def by_sns(payload: object, **more: object) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "22b80b92",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:topic",
            "Subject": "news",
            "Message": payload if isinstance(payload, str) else json.dumps(payload),
            "Timestamp": "2024-05-01T10:00:00.123Z",
            "SignatureVersion": "1",
            "MessageAttributes": {"kind": {"Type": "String", "Value": "blue"}},
            **more,
        }
    )


def test_a_scheduled_event_of_eventbridge() -> None:
    """All fields with their types, the time with its zone."""
    event = envelopes.eventbridge(json.dumps(SCHEDULED))

    assert event.detail_type == "Scheduled Event"
    assert event.time == datetime(2019, 9, 20, 9, 19, 56, tzinfo=UTC)
    assert event.resources == ("arn:aws:events:eu-west-1:123456789012:rule/Playground",)
    assert (event.id, event.source, event.account, event.region, event.detail) == (
        "a9a10406-9a1f-0ddc-51ae-08db551fac42",
        "aws.events",
        "123456789012",
        "eu-west-1",
        {},
    )


@pytest.mark.parametrize("body", [json.dumps(S3_PUT), by_sns(S3_PUT)])
def test_an_event_of_s3_directly_and_by_sns(body: str) -> None:
    """The key is decoded as S3 encoded it."""
    (event,) = envelopes.s3(body)

    assert (event.event_name, event.bucket, event.key, event.size) == (
        "ObjectCreated:Put",
        "uploads",
        "a file é.txt",
        7,
    )
    assert (event.etag, event.version_id, event.sequencer, event.region) == ("d41d", None, "0055AED6", "eu-west-1")
    assert event.time.tzinfo is not None


def test_the_test_event_of_s3_is_no_event() -> None:
    """S3 sends one when notifications are set up; it must not fail."""
    assert envelopes.s3('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"}') == []


def test_a_notification_of_sns() -> None:
    """Its text, its subject and its attributes."""
    notification = envelopes.sns(by_sns("hello"))

    assert (notification.message, notification.subject) == ("hello", "news")
    assert notification.attributes == {"kind": "blue"}
    assert notification.topic_arn.endswith(":topic")


def test_an_alarm_of_cloudwatch_by_sns_and_by_eventbridge() -> None:
    """One type for both ways."""
    by_topic = envelopes.cloudwatch_alarm(by_sns(ALARM))
    by_event = envelopes.cloudwatch_alarm(json.dumps(ALARM_EVENT))

    assert (by_topic.name, by_topic.state, by_topic.previous_state) == ("too-many-dead-letters", "ALARM", "OK")
    assert by_topic.description is None
    assert (by_event.name, by_event.state, by_event.description) == ("cpu", "ALARM", "CPU is high")
    assert by_topic.time == by_event.time == datetime(2024, 5, 1, 10, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize("opener", [envelopes.eventbridge, envelopes.s3, envelopes.sns, envelopes.cloudwatch_alarm])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "{}",
        "[" * 100_000,
        '{"detail-type": 1, "source": 2, "id": 3}',
        '{"Records": [{"eventSource": "aws:s3", "s3": []}]}',
        '{"Type": "Notification", "Message": "x", "TopicArn": 1}',
        '{"AlarmName": "a", "NewStateValue": "OK"}',
    ],
)
def test_what_is_no_such_envelope_is_refused_in_one_way(opener: object, body: str) -> None:
    """UndecodableMessageError, whatever the body."""
    with pytest.raises(UndecodableMessageError):
        opener(body)  # type: ignore[operator]


def test_a_message_that_cannot_be_opened_goes_to_the_dead_letter_queue() -> None:
    """No further attempt would read it; the next message is handled."""
    desk, seen = Desk(), []
    cron = desk.env.queue("cron", RawQueue)
    cron.raw_processor()(lambda message: seen.append(envelopes.eventbridge(message).source))
    desk.create()
    cron.add_raw_job("not an event")
    cron.add_raw_job(json.dumps(SCHEDULED))

    drain(cron, raise_errors=False)

    assert seen == ["aws.events"]
    assert desk.bodies("cron_dead") == ["not an event"]
