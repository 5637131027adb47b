"""Making, reading, changing, listing and deleting schedules."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conformance_scheduler.scheduling import Scheduling, at, refused, rule

FAR = "at(2099-12-31T23:59:59)"


@rule("API_CreateSchedule", "API_GetSchedule")
def test_a_schedule_is_what_was_asked_for(scheduling: Scheduling) -> None:
    """With its ARN, its times, and defaults for what was not said."""
    target = scheduling.sending(scheduling.queue())
    before = scheduling.now()
    name = scheduling.create("cron(0 2 * * ? *)", target)

    found = scheduling.client.get_schedule(Name=name)

    assert found["Arn"].endswith(f":schedule/default/{name}")
    assert (found["Name"], found["GroupName"]) == (name, "default")
    assert found["ScheduleExpression"] == "cron(0 2 * * ? *)"
    assert found["ScheduleExpressionTimezone"] == "UTC"
    assert found["State"] == "ENABLED"
    assert found["ActionAfterCompletion"] == "NONE"
    assert found["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert (found["Target"]["Arn"], found["Target"]["RoleArn"]) == (target["Arn"], target["RoleArn"])
    assert json.loads(found["Target"]["Input"]) == json.loads(target["Input"])
    assert found["CreationDate"] == found["LastModificationDate"]
    assert timedelta(seconds=-1) <= found["CreationDate"] - before <= timedelta(seconds=30)


@rule("API_RetryPolicy")
def test_the_retry_policy_has_defaults(scheduling: Scheduling) -> None:
    """185 attempts in a day (Z8); what is given stays."""
    url = scheduling.queue()
    plain = scheduling.create(FAR, scheduling.sending(url))
    some = scheduling.create(FAR, {**scheduling.sending(url), "RetryPolicy": {"MaximumRetryAttempts": 0}})

    found = [scheduling.client.get_schedule(Name=name)["Target"]["RetryPolicy"] for name in (plain, some)]

    assert found[0] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    assert found[1] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 0}


@rule("API_CreateSchedule")
def test_everything_that_can_be_said_is_kept(scheduling: Scheduling) -> None:
    """All members, in a group of its own."""
    url, dead = scheduling.queue(), scheduling.queue()
    start, end = scheduling.now(3_600), scheduling.now(7_200)
    group = scheduling.group()
    target = {
        **scheduling.templated(url),
        "DeadLetterConfig": {"Arn": scheduling.arn(dead)},
        "RetryPolicy": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 3},
        "SqsParameters": {"MessageGroupId": "tenant"},
    }
    params: dict[str, Any] = {
        "ActionAfterCompletion": "DELETE",
        "Description": "all of it: ü",
        "EndDate": end,
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        "GroupName": group,
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "StartDate": start,
        "State": "DISABLED",
    }
    name = scheduling.create("rate(2 hours)", target, **params)

    found = scheduling.client.get_schedule(Name=name, GroupName=group)

    assert {key: found[key] for key in params} == params
    assert found["Target"] == target
    assert found["Arn"].endswith(f":schedule/{group}/{name}")


@rule("API_CreateSchedule")
def test_a_name_is_taken_once_in_each_group(scheduling: Scheduling) -> None:
    """ConflictException; the schedule that is there stays as it is."""
    target = scheduling.sending(scheduling.queue())
    name = scheduling.create(FAR, target)

    with refused("ConflictException", 409):
        scheduling.create("rate(1 day)", target, name)
    scheduling.create("rate(7 days)", target, name, GroupName=scheduling.group(), State="DISABLED")

    assert scheduling.client.get_schedule(Name=name)["ScheduleExpression"] == FAR


@rule("API_CreateSchedule")
def test_a_request_that_is_sent_again_is_the_same_request(scheduling: Scheduling) -> None:
    """By its client token; another request must not use it."""
    target = scheduling.sending(scheduling.queue())
    name, token = scheduling.new_name(), scheduling.new_name()
    arn = scheduling.client.create_schedule(Name=name, ClientToken=token, **scheduling.request(FAR, target))

    again = scheduling.client.create_schedule(Name=name, ClientToken=token, **scheduling.request(FAR, target))
    with refused("ConflictException", 409):
        scheduling.client.create_schedule(Name=name, ClientToken=token, **scheduling.request("rate(1 day)", target))
    scheduling.client.delete_schedule(Name=name)

    assert again["ScheduleArn"] == arn["ScheduleArn"]


@rule("API_CreateSchedule")
def test_the_group_must_be_there(scheduling: Scheduling) -> None:
    """ResourceNotFoundException, which names it."""
    with refused("ResourceNotFoundException", 404) as caught:
        scheduling.create(FAR, scheduling.sending(scheduling.queue()), GroupName="nobodys")

    assert "nobodys" in caught.message


@rule("schedule-types")
@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minute)",
        "rate(5 minutes)",
        "rate(1 hour)",
        "rate(30 days)",
        "cron(0 10 ? * 6L 2022-2099)",
        "cron(*/5 9-17 ? * MON-FRI *)",
        "cron(0 8 1 * ? *)",
        "cron(15 12 ? * 6#3 *)",
        "cron(0 0 L * ? *)",
        "cron(0 0 15W * ? *)",
        "at(2099-02-28T12:00:00)",
    ],
)
def test_expressions_of_the_documentation(scheduling: Scheduling, expression: str) -> None:
    """All three kinds."""
    name = scheduling.create(expression, scheduling.sending(scheduling.queue()), State="DISABLED")

    assert scheduling.client.get_schedule(Name=name)["ScheduleExpression"] == expression


@rule("schedule-types")
@pytest.mark.parametrize(
    "expression",
    [
        "every day",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(5 seconds)",
        "rate(5 weeks)",
        "rate(minute)",
        "cron(0 2 * * *)",
        "cron(0 2 1 * MON *)",
        "cron(0 2 ? * ? *)",
        "cron(61 2 * * ? *)",
        "cron(0 25 * * ? *)",
        "cron(0 0 32 * ? *)",
        "at(2099-02-30T12:00:00)",
        "at(tomorrow)",
        "at(2099-01-01)",
    ],
)
def test_expressions_that_are_none(scheduling: Scheduling, expression: str) -> None:
    """ValidationException, which shows it."""
    with refused("ValidationException", 400) as caught:
        scheduling.create(expression, scheduling.sending(scheduling.queue()))

    assert expression in caught.message


@rule("schedule-types")
@pytest.mark.parametrize("timezone", ["Mars/Olympus", "Nowhere", "UTC+2", "../etc/passwd"])
def test_time_zones_are_names_of_the_iana(scheduling: Scheduling, timezone: str) -> None:
    """Anything else is refused."""
    with refused("ValidationException", 400):
        scheduling.create(FAR, scheduling.sending(scheduling.queue()), ScheduleExpressionTimezone=timezone)


@rule("API_CreateSchedule")
@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"Name": "no spaces"}, "name"),
        ({"Name": "x" * 65}, "name"),
        ({"GroupName": "a/b"}, "groupName"),
        ({"Description": "x" * 513}, "description"),
        ({"State": "PAUSED"}, "state"),
        ({"ActionAfterCompletion": "ARCHIVE"}, "actionAfterCompletion"),
        ({"FlexibleTimeWindow": {"Mode": "SOMETIMES"}}, "flexibleTimeWindow.mode"),
        (
            {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1_441}},
            "flexibleTimeWindow.maximumWindowInMinutes",
        ),
        ({"Target": {"RoleArn": "nobody"}}, "target.roleArn"),
        (
            {"Target": {"RetryPolicy": {"MaximumEventAgeInSeconds": 86_401}}},
            "target.retryPolicy.maximumEventAgeInSeconds",
        ),
        ({"Target": {"RetryPolicy": {"MaximumRetryAttempts": 186}}}, "target.retryPolicy.maximumRetryAttempts"),
        (
            {"Target": {"DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:000000000000:dead.fifo"}}},
            "target.deadLetterConfig.arn",
        ),
        ({"Target": {"SqsParameters": {"MessageGroupId": "x" * 129}}}, "target.sqsParameters.messageGroupId"),
        ({"KmsKeyArn": "alias/mine"}, "kmsKeyArn"),
    ],
)
def test_members_have_limits(scheduling: Scheduling, params: dict[str, Any], where: str) -> None:
    """ValidationException, with the member and its value."""
    request = {"Name": scheduling.new_name(), **scheduling.request(FAR, scheduling.sending(scheduling.queue()))}
    target = {**request["Target"], **params.get("Target", {})}

    with refused("ValidationException", 400) as caught:
        scheduling.client.create_schedule(**{**request, **params, "Target": target})

    assert f"at '{where}' failed to satisfy constraint" in caught.message


@rule("API_FlexibleTimeWindow")
@pytest.mark.parametrize("window", [{"Mode": "FLEXIBLE"}, {"Mode": "OFF", "MaximumWindowInMinutes": 5}])
def test_a_window_and_its_length_belong_together(scheduling: Scheduling, window: dict[str, Any]) -> None:
    """Derived: the documentation says that the length is for flexible windows."""
    with refused("ValidationException", 400):
        scheduling.create(FAR, scheduling.sending(scheduling.queue()), FlexibleTimeWindow=window)


@rule("API_CreateSchedule")
def test_a_start_of_long_ago_is_refused(scheduling: Scheduling) -> None:
    """Of a recurring schedule: five minutes are the most (observed on AWS by moto's authors, pull request 8172)."""
    target = scheduling.sending(scheduling.queue())

    with refused("ValidationException", 400) as caught:
        scheduling.create("rate(1 day)", target, StartDate=scheduling.now(-400))
    scheduling.create("rate(1 day)", target, StartDate=scheduling.now(-200), State="DISABLED")
    scheduling.create(FAR, target, StartDate=scheduling.now(-400))

    assert "The StartDate you specify cannot be earlier than 5 minutes ago." in caught.message


@rule("API_CreateSchedule")
def test_an_end_before_the_start_is_refused(scheduling: Scheduling) -> None:
    """Derived."""
    with refused("ValidationException", 400):
        scheduling.create(
            "rate(1 day)",
            scheduling.sending(scheduling.queue()),
            StartDate=scheduling.now(7_200),
            EndDate=scheduling.now(3_600),
        )


@rule("managing-targets-universal")
@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        '"text"',
        '{"QueueUrl": "https://sqs.us-east-1.amazonaws.com/000000000000/q"}',
        '{"QueueUrl": "q", "MessageBody": "x", "Colour": "red"}',
        '{"QueueUrl": "q", "MessageBody": 1}',
        '{"QueueUrl": "q", "MessageBody": "x", "DelaySeconds": "10"}',
    ],
)
def test_the_input_of_the_universal_target_is_a_request(scheduling: Scheduling, text: str) -> None:
    """Of SendMessage: a JSON object with its members."""
    target = {**scheduling.sending(scheduling.queue()), "Input": text}

    with refused("ValidationException", 400) as caught:
        scheduling.create(FAR, target)

    assert "Invalid RequestJson provided" in caught.message


@rule("managing-targets-templated")
def test_a_fifo_queue_needs_a_group(scheduling: Scheduling) -> None:
    """Derived: the message could never be sent."""
    url = scheduling.queue(FifoQueue="true", ContentBasedDeduplication="true")

    with refused("ValidationException", 400):
        scheduling.create(FAR, scheduling.templated(url))
    scheduling.create(FAR, scheduling.templated(url, SqsParameters={"MessageGroupId": "g"}))


@rule("API_GetSchedule", "API_DeleteSchedule", "API_UpdateSchedule")
def test_a_schedule_that_is_not_there(scheduling: Scheduling) -> None:
    """ResourceNotFoundException, whatever is asked of it, and in whatever group."""
    name, group = scheduling.new_name(), scheduling.group()
    request = scheduling.request(FAR, scheduling.sending(scheduling.queue()))

    for where in ({}, {"GroupName": group}, {"GroupName": "nobodys"}):
        with refused("ResourceNotFoundException", 404):
            scheduling.client.get_schedule(Name=name, **where)
        with refused("ResourceNotFoundException", 404):
            scheduling.client.delete_schedule(Name=name, **where)
        with refused("ResourceNotFoundException", 404):
            scheduling.client.update_schedule(Name=name, **request, **where)


@rule("API_DeleteSchedule")
def test_a_deleted_schedule_is_gone(scheduling: Scheduling) -> None:
    """And its name is free again."""
    target = scheduling.sending(scheduling.queue())
    name = scheduling.create(FAR, target)

    scheduling.client.delete_schedule(Name=name)

    with refused("ResourceNotFoundException", 404):
        scheduling.client.get_schedule(Name=name)
    scheduling.create(FAR, target, name)


@rule("API_UpdateSchedule")
def test_an_update_replaces_everything(scheduling: Scheduling) -> None:
    """What it does not say has its default, not the value from before."""
    first, second = scheduling.queue(), scheduling.queue()
    name = scheduling.create(
        "rate(1 day)",
        scheduling.sending(first),
        Description="before",
        State="DISABLED",
        StartDate=scheduling.now(3_600),
        ScheduleExpressionTimezone="Europe/Berlin",
        ActionAfterCompletion="DELETE",
    )
    made = scheduling.client.get_schedule(Name=name)

    answer = scheduling.client.update_schedule(Name=name, **scheduling.request(FAR, scheduling.sending(second)))
    found = scheduling.client.get_schedule(Name=name)

    assert answer["ScheduleArn"] == made["Arn"] == found["Arn"]
    assert found["ScheduleExpression"] == FAR
    assert json.loads(found["Target"]["Input"])["QueueUrl"] == second
    assert (found["State"], found["ScheduleExpressionTimezone"]) == ("ENABLED", "UTC")
    assert found["ActionAfterCompletion"] == "NONE"
    assert not found.get("Description")
    assert "StartDate" not in found
    assert found["CreationDate"] == made["CreationDate"]
    assert found["LastModificationDate"] >= made["LastModificationDate"]


@rule("API_UpdateSchedule")
def test_an_update_that_is_refused_changes_nothing(scheduling: Scheduling) -> None:
    """The schedule stays as it was."""
    target = scheduling.sending(scheduling.queue())
    name = scheduling.create(FAR, target, Description="before")

    with refused("ValidationException", 400):
        scheduling.client.update_schedule(Name=name, **scheduling.request("never", target))

    assert scheduling.client.get_schedule(Name=name)["Description"] == "before"


@rule("API_ListSchedules")
def test_schedules_are_listed_in_short(scheduling: Scheduling) -> None:
    """By group, by state and by the beginning of the name; in the order of names."""
    group = scheduling.group()
    target = scheduling.sending(scheduling.queue())
    for name, state in (("b-1", "ENABLED"), ("a-2", "DISABLED"), ("a-1", "ENABLED")):
        scheduling.create(FAR, target, name, GroupName=group, State=state)

    def names(**params: str) -> list[str]:
        found = scheduling.client.list_schedules(GroupName=group, **params)["Schedules"]
        return [one["Name"] for one in found]

    (one,) = scheduling.client.list_schedules(GroupName=group, NamePrefix="b-")["Schedules"]
    assert sorted(names()) == ["a-1", "a-2", "b-1"]
    assert sorted(names(NamePrefix="a-")) == ["a-1", "a-2"]
    assert names(State="DISABLED") == ["a-2"]
    assert one["Arn"].endswith(f":schedule/{group}/b-1")
    assert (one["GroupName"], one["State"]) == (group, "ENABLED")
    assert one["Target"] == {"Arn": target["Arn"]}
    assert isinstance(one["CreationDate"], datetime)
    assert isinstance(one["LastModificationDate"], datetime)


@rule("API_ListSchedules")
def test_schedules_are_listed_in_pages(scheduling: Scheduling) -> None:
    """Each once, by the tokens."""
    group = scheduling.group()
    target = scheduling.sending(scheduling.queue())
    names = [f"s-{number}" for number in range(7)]
    for name in names:
        scheduling.create(FAR, target, name, GroupName=group)

    pages = list(
        scheduling.client.get_paginator("list_schedules").paginate(GroupName=group, PaginationConfig={"PageSize": 3})
    )

    assert [len(page["Schedules"]) for page in pages] == [3, 3, 1]
    assert [one["Name"] for page in pages for one in page["Schedules"]] == names


@rule("API_ListSchedules")
def test_schedules_of_an_unknown_group_cannot_be_listed(scheduling: Scheduling) -> None:
    """ResourceNotFoundException."""
    with refused("ResourceNotFoundException", 404):
        scheduling.client.list_schedules(GroupName="nobodys")


@rule("schedule-types")
def test_a_moment_that_has_passed_is_accepted(scheduling: Scheduling) -> None:
    """A one-time schedule of the past can be made (templates of the CDK's own tests have some)."""
    name = scheduling.create(at(scheduling.now(-86_400)), scheduling.sending(scheduling.queue()), State="DISABLED")

    assert scheduling.client.get_schedule(Name=name)["State"] == "DISABLED"
