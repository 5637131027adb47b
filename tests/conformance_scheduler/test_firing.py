"""When schedules invoke their targets, and what arrives."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.conformance_scheduler.scheduling import UNIVERSAL, Scheduling, at, refused, rule, slot

ATTRIBUTE = {"DataType": "String", "StringValue": "<aws.scheduler.scheduled-time>"}


@rule("Z9", "managing-targets-templated")
def test_a_one_time_schedule_sends_its_input(scheduling: Scheduling) -> None:
    """To the queue whose ARN is the target, once it is due and not before."""
    url = scheduling.queue()
    moment = scheduling.now(3)
    scheduling.create(at(moment), scheduling.templated(url, '{"to": "ü"}'))

    before = scheduling.bodies(url)
    scheduling.wait_until(moment)

    assert before == []
    assert scheduling.bodies(url) == ['{"to": "ü"}']


@rule("API_CreateSchedule", "managing-schedule-state")
def test_what_becomes_of_schedules_whose_moment_comes(scheduling: Scheduling) -> None:
    """One is deleted by itself, one stays; those that were disabled or deleted before send nothing."""
    url = scheduling.queue()
    moment = scheduling.now(3)
    gone = scheduling.create(at(moment), scheduling.templated(url, "gone"), ActionAfterCompletion="DELETE")
    stays = scheduling.create(at(moment), scheduling.templated(url, "stays"))
    scheduling.create(at(moment), scheduling.templated(url, "disabled"), State="DISABLED")
    paused = scheduling.create(at(moment), scheduling.templated(url, "paused"))
    deleted = scheduling.create(at(moment), scheduling.templated(url, "deleted"))

    scheduling.client.update_schedule(
        Name=paused, State="DISABLED", **scheduling.request(at(moment), scheduling.templated(url, "paused"))
    )
    scheduling.client.delete_schedule(Name=deleted)
    scheduling.wait_until(moment)

    assert sorted(scheduling.bodies(url)) == ["gone", "stays"]
    assert scheduling.client.get_schedule(Name=stays)["State"] == "ENABLED"
    with refused("ResourceNotFoundException", 404):
        scheduling.client.get_schedule(Name=gone)


# -- from here on with a clock that is moved


@rule("Z9", "managing-targets-universal")
@pytest.mark.long_time
def test_the_universal_target_sends_with_all_there_is(scheduling: Scheduling) -> None:
    """Attributes, text and binary, a delay and a group: the whole of SendMessage (derived; Z9 asks to verify it)."""
    url = scheduling.queue()
    attributes = {
        "JobName": {"DataType": "String", "StringValue": "nightly"},
        "Number": {"DataType": "Number", "StringValue": "7"},
        "Bytes": {"DataType": "Binary", "BinaryValue": "AAH/"},
    }
    target = scheduling.sending(url, MessageAttributes=attributes, DelaySeconds=60, MessageGroupId="tenant")
    scheduling.create(at(scheduling.now(100)), target)

    scheduling.wait(159)
    before = scheduling.messages(url)
    scheduling.wait(1)
    (message,) = scheduling.messages(url)

    assert before == []
    assert message["Body"] == "due"
    assert message["Attributes"]["MessageGroupId"] == "tenant"
    assert message["MessageAttributes"]["JobName"]["StringValue"] == "nightly"
    assert message["MessageAttributes"]["Number"] == attributes["Number"]
    assert message["MessageAttributes"]["Bytes"]["BinaryValue"] == b"\x00\x01\xff"


@rule("Z9", "managing-schedule-context-attributes")
@pytest.mark.long_time
def test_keywords_are_replaced(scheduling: Scheduling) -> None:
    """Everywhere in the input; the time is that of the slot, the execution id differs from run to run."""
    url = scheduling.queue()
    body = "<aws.scheduler.scheduled-time>|<aws.scheduler.schedule-arn>|<aws.scheduler.attempt-number>|<aws.other>"
    target = scheduling.sending(
        url,
        MessageBody=f"{body}|<aws.scheduler.execution-id>",
        MessageAttributes={"JobId": {**ATTRIBUTE, "StringValue": f"nightly@{ATTRIBUTE['StringValue']}"}},
    )
    start = scheduling.now(60)
    name = scheduling.create("rate(1 hour)", target, StartDate=start)
    arn = scheduling.client.get_schedule(Name=name)["Arn"]

    scheduling.wait(60 + 3_600)
    messages = scheduling.messages(url)

    parts = [message["Body"].split("|") for message in messages]
    times = [slot(start), slot(start + timedelta(hours=1))]
    assert [part[:4] for part in parts] == [[time, arn, "1", "<aws.other>"] for time in times]
    assert len({part[4] for part in parts}) == 2
    assert [one["MessageAttributes"]["JobId"]["StringValue"] for one in messages] == [
        f"nightly@{time}" for time in times
    ]


@rule("Z9", "managing-targets-templated")
@pytest.mark.long_time
def test_a_templated_target_takes_keywords_and_a_group(scheduling: Scheduling) -> None:
    """The body may have them too; the FIFO queue deduplicates by content."""
    url = scheduling.queue(FifoQueue="true", ContentBasedDeduplication="true")
    moment = scheduling.now(60)
    target = scheduling.templated(url, "at <aws.scheduler.scheduled-time>", SqsParameters={"MessageGroupId": "g"})
    scheduling.create(at(moment), target)

    scheduling.wait(60)
    (message,) = scheduling.messages(url)

    assert message["Body"] == f"at {slot(moment)}"
    assert message["Attributes"]["MessageGroupId"] == "g"


@rule("API_Target")
@pytest.mark.long_time
def test_without_an_input_a_notification_is_sent(scheduling: Scheduling) -> None:
    """A default one, which tells of the schedule."""
    url = scheduling.queue()
    moment = scheduling.now(60)
    name = scheduling.create(at(moment), scheduling.templated(url, None))
    arn = scheduling.client.get_schedule(Name=name)["Arn"]

    scheduling.wait(60)
    body = json.loads(scheduling.bodies(url)[0])

    assert (body["source"], body["detail-type"]) == ("aws.scheduler", "Scheduled Event")
    assert (body["time"], body["resources"]) == (slot(moment), [arn])


@rule("Z8", "schedule-types")
@pytest.mark.long_time
def test_a_rate_without_a_start_is_due_at_once(scheduling: Scheduling) -> None:
    """And then in its steps, however the clock is moved: each once, in order."""
    url = scheduling.queue()
    scheduling.create("rate(5 minutes)", scheduling.sending(url, MessageBody="<aws.scheduler.scheduled-time>"))
    first = scheduling.now()

    at_once = scheduling.bodies(url)
    scheduling.wait(299)
    before = scheduling.bodies(url)
    scheduling.wait(1)
    second = scheduling.bodies(url)
    scheduling.wait(1_500)
    rest = scheduling.bodies(url)

    assert at_once == [slot(first)]
    assert before == []
    assert second == [slot(first + timedelta(minutes=5))]
    assert rest == [slot(first + timedelta(minutes=minutes)) for minutes in range(10, 35, 5)]


@rule("API_CreateSchedule")
@pytest.mark.long_time
def test_a_rate_begins_at_its_start_and_ends_at_its_end(scheduling: Scheduling) -> None:
    """Both are moments at which it may still run; then it is completed."""
    url = scheduling.queue()
    start, end = scheduling.now(100), scheduling.now(100 + 3 * 60)
    target = scheduling.sending(url, MessageBody="<aws.scheduler.scheduled-time>")
    name = scheduling.create("rate(1 minute)", target, StartDate=start, EndDate=end, ActionAfterCompletion="DELETE")

    scheduling.wait(99)
    before = scheduling.bodies(url)
    scheduling.wait(3_600)

    assert before == []
    assert scheduling.bodies(url) == [slot(start + timedelta(minutes=minutes)) for minutes in range(4)]
    with refused("ResourceNotFoundException", 404):
        scheduling.client.get_schedule(Name=name)


@rule("API_CreateSchedule")
@pytest.mark.long_time
def test_a_start_that_has_just_passed_is_the_first_slot(scheduling: Scheduling) -> None:
    """The time between asking for now and making the schedule loses nothing."""
    url = scheduling.queue()
    start = scheduling.now(-2)
    scheduling.create(
        "rate(1 hour)", scheduling.sending(url, MessageBody="<aws.scheduler.scheduled-time>"), StartDate=start
    )

    scheduling.wait(3_600)

    assert scheduling.bodies(url) == [slot(start), slot(start + timedelta(hours=1))]


@rule("schedule-types")
@pytest.mark.long_time
def test_start_and_end_do_not_matter_to_a_one_time_schedule(scheduling: Scheduling) -> None:
    """It ignores them."""
    url = scheduling.queue()
    moment = scheduling.now(600)
    scheduling.create(at(moment), scheduling.sending(url), StartDate=scheduling.now(1_000), EndDate=scheduling.now(60))

    scheduling.wait(600)

    assert scheduling.bodies(url) == ["due"]


@rule("schedule-types")
@pytest.mark.long_time
def test_a_moment_that_has_passed_never_comes(scheduling: Scheduling) -> None:
    """Derived: nothing is sent for it."""
    url = scheduling.queue()
    scheduling.create(at(scheduling.now(-60)), scheduling.sending(url))

    scheduling.wait(86_400)

    assert scheduling.bodies(url) == []


@rule("schedule-types")
@pytest.mark.long_time
def test_a_time_zone_has_its_own_clock(scheduling: Scheduling) -> None:
    """For cron and for at; a day with the hour that autumn repeats has one run (Z8)."""
    url = scheduling.queue(MessageRetentionPeriod="1209600")
    berlin = ZoneInfo("Europe/Berlin")
    body = "<aws.scheduler.scheduled-time>"
    tomorrow = (scheduling.now() + timedelta(days=1)).astimezone(berlin).replace(hour=9, minute=0, second=0)
    scheduling.create(
        f"at({tomorrow:%Y-%m-%dT%H:%M:%S})",
        scheduling.sending(url, MessageBody=f"at {body}"),
        ScheduleExpressionTimezone="Europe/Berlin",
    )
    scheduling.create(
        "cron(30 2 * * ? *)",
        scheduling.sending(url, MessageBody=f"cron {body}"),
        ScheduleExpressionTimezone="Europe/Berlin",
    )

    begin = scheduling.now()
    times = []
    for _ in range(40):
        scheduling.wait(10 * 86_400)
        times += [text.split() for text in scheduling.bodies(url)]

    found = [datetime.fromisoformat(time).astimezone(berlin) for kind, time in times if kind == "cron"]
    assert [time for kind, time in times if kind == "at"] == [slot(tomorrow.astimezone(UTC))]
    # Every day has one at half past two, but for the one in spring that has no such time.
    assert {(moment.hour, moment.minute) for moment in found} == {(2, 30)}
    assert len({moment.date() for moment in found}) == len(found)
    days = {begin.astimezone(berlin).date() + timedelta(days=day) for day in range(1, 400)}
    missing = days - {moment.date() for moment in found}
    assert 1 <= len(missing) <= 2
    assert all(day.month == 3 and day.isoweekday() == 7 for day in missing)


@rule("API_FlexibleTimeWindow")
@pytest.mark.long_time
def test_a_flexible_window_invokes_once_within_it(scheduling: Scheduling) -> None:
    """At or after the slot, before the window's end; the scheduled time is the slot's."""
    url = scheduling.queue()
    start = scheduling.now(60)
    scheduling.create(
        "rate(10 minutes)",
        scheduling.sending(url, MessageBody="<aws.scheduler.scheduled-time>"),
        StartDate=start,
        EndDate=start + timedelta(minutes=190),
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        ActionAfterCompletion="DELETE",
    )

    scheduling.wait(60 + 210 * 60)
    messages = scheduling.messages(url)

    late = [
        int(message["Attributes"]["SentTimestamp"]) / 1000 - datetime.fromisoformat(message["Body"]).timestamp()
        for message in messages
    ]
    assert sorted(message["Body"] for message in messages) == [
        slot(start + timedelta(minutes=minutes)) for minutes in range(0, 200, 10)
    ]
    assert all(0 <= seconds < 15 * 60 for seconds in late)
    assert len(set(late)) > 10


@rule("managing-schedule-state")
@pytest.mark.long_time
def test_what_was_missed_while_disabled_is_not_made_up_for(scheduling: Scheduling) -> None:
    """A schedule that is enabled again goes on in its steps."""
    url = scheduling.queue()
    start = scheduling.now(60)
    target = scheduling.sending(url, MessageBody="<aws.scheduler.scheduled-time>")
    request = scheduling.request("rate(1 hour)", target, StartDate=start)
    name = scheduling.create("rate(1 hour)", target, StartDate=start)
    scheduling.wait(60)

    scheduling.client.update_schedule(Name=name, State="DISABLED", **request)
    scheduling.wait(240)
    scheduling.client.update_schedule(Name=name, **request)
    scheduling.wait(3_600)

    assert scheduling.bodies(url) == [slot(start), slot(start + timedelta(hours=1))]


@rule("API_UpdateSchedule")
@pytest.mark.long_time
def test_a_change_counts_from_now_on(scheduling: Scheduling) -> None:
    """The next run is by the new expression and goes to the new target."""
    first, second = scheduling.queue(), scheduling.queue()
    name = scheduling.create(at(scheduling.now(600)), scheduling.sending(first))

    scheduling.client.update_schedule(
        Name=name, **scheduling.request(at(scheduling.now(1_200)), scheduling.sending(second))
    )
    scheduling.wait(1_199)
    early = scheduling.bodies(first) + scheduling.bodies(second)
    scheduling.wait(1)

    assert early == []
    assert scheduling.bodies(first) == []
    assert scheduling.bodies(second) == ["due"]


@rule("API_RetryPolicy")
@pytest.mark.long_time
def test_a_queue_that_comes_late_gets_its_message(scheduling: Scheduling) -> None:
    """What could not be sent is tried again; the attempts are counted, the scheduled time stays."""
    gone = scheduling.queue()
    scheduling.sqs.delete_queue(QueueUrl=gone)
    moment = scheduling.now(60)
    body = "<aws.scheduler.scheduled-time> <aws.scheduler.attempt-number>"
    scheduling.create(at(moment), scheduling.sending(gone, MessageBody=body), ActionAfterCompletion="DELETE")

    scheduling.wait(90)
    scheduling.sqs.create_queue(QueueName=gone.rpartition("/")[2])
    scheduling.wait(3_600)
    (text,) = scheduling.bodies(gone)

    time, attempt = text.split()
    assert time == slot(moment)
    assert int(attempt) > 2


@rule("API_RetryPolicy", "configuring-schedule-dlq")
@pytest.mark.long_time
@pytest.mark.parametrize(
    ("policy", "exhausted"),
    [
        ({"MaximumRetryAttempts": 2}, "MaximumRetryAttempts"),
        ({"MaximumRetryAttempts": 0}, "MaximumRetryAttempts"),
        ({"MaximumEventAgeInSeconds": 60}, "MaximumEventAgeInSeconds"),
    ],
)
def test_what_cannot_be_delivered_goes_to_the_dead_letter_queue(
    scheduling: Scheduling, policy: dict[str, int], exhausted: str
) -> None:
    """With the input as its body, and attributes that tell what happened."""
    gone, dead = scheduling.queue(), scheduling.queue()
    scheduling.sqs.delete_queue(QueueUrl=gone)
    moment = scheduling.now(60)
    target = {
        **scheduling.sending(gone, MessageBody="<aws.scheduler.scheduled-time>"),
        "RetryPolicy": policy,
        "DeadLetterConfig": {"Arn": scheduling.arn(dead)},
    }
    name = scheduling.create(at(moment), target)
    arn = scheduling.client.get_schedule(Name=name)["Arn"]

    scheduling.wait(60 + 60)
    (message,) = scheduling.messages(dead)

    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"]) == {"QueueUrl": gone, "MessageBody": slot(moment)}
    assert attributes["ERROR_CODE"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert attributes["ERROR_MESSAGE"]
    assert attributes["EXECUTION_ID"]
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == exhausted
    assert attributes["IS_PAYLOAD_TRUNCATED"] == "false"
    assert attributes["SCHEDULED_TIME"] == slot(moment)
    assert attributes["SCHEDULE_ARN"] == arn
    assert attributes["TARGET_ARN"] == UNIVERSAL
    if "MaximumRetryAttempts" in policy:
        assert attributes["RETRY_ATTEMPTS"] == str(policy["MaximumRetryAttempts"])


@rule("API_Target")
@pytest.mark.long_time
def test_a_message_that_the_queue_refuses_is_dead_lettered_too(scheduling: Scheduling) -> None:
    """A FIFO queue without content-based deduplication, and no id given."""
    url, dead = scheduling.queue(FifoQueue="true"), scheduling.queue()
    target = {
        **scheduling.sending(url, MessageGroupId="g"),
        "RetryPolicy": {"MaximumRetryAttempts": 0},
        "DeadLetterConfig": {"Arn": scheduling.arn(dead)},
    }
    scheduling.create(at(scheduling.now(60)), target)

    scheduling.wait(60)
    (message,) = scheduling.messages(dead)

    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "InvalidParameterValue"
    assert scheduling.bodies(url) == []


@rule("Z9")
@pytest.mark.long_time
def test_a_slot_that_is_sent_twice_is_one_message_on_a_fifo_queue(scheduling: Scheduling) -> None:
    """Its scheduled time as deduplication id makes it so."""
    url = scheduling.queue(FifoQueue="true")
    moment = scheduling.now(60)
    request = {"MessageGroupId": "g", "MessageDeduplicationId": "nightly@<aws.scheduler.scheduled-time>"}
    for _ in range(2):
        scheduling.create(at(moment), scheduling.sending(url, **request))

    scheduling.wait(60)

    assert scheduling.bodies(url) == ["due"]


@rule("Z8")
@pytest.mark.long_time
def test_schedules_fire_in_the_order_of_their_moments(scheduling: Scheduling) -> None:
    """However many there are, and however they were made; each once."""
    url = scheduling.queue()
    moments = [scheduling.now(10 + 7 * number % 500) for number in range(100)]
    for moment in moments:
        scheduling.create(at(moment), scheduling.sending(url, MessageBody="<aws.scheduler.scheduled-time>"))

    scheduling.wait(600)
    messages = scheduling.messages(url)

    assert [message["Body"] for message in messages] == [slot(moment) for moment in sorted(moments)]
    assert [int(message["Attributes"]["SentTimestamp"]) for message in messages] == [
        int(moment.timestamp() * 1000) for moment in sorted(moments)
    ]


@rule("API_DeleteScheduleGroup")
@pytest.mark.long_time
def test_schedules_of_a_deleted_group_send_nothing(scheduling: Scheduling) -> None:
    """They are gone with it."""
    url, group = scheduling.queue(), scheduling.group()
    scheduling.create(at(scheduling.now(600)), scheduling.sending(url), GroupName=group)

    scheduling.client.delete_schedule_group(Name=group)
    scheduling.wait(600)

    assert scheduling.bodies(url) == []
