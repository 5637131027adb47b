"""Registered schedules in EventBridge Scheduler: made, changed, deleted, and everything else left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from sqs_tasks import Cron, Every, MemorySession, Schedule, SQSEnv
from sqs_tasks.deployment.schedules import DeployedSchedules
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.scheduling.eventbridge import Scheduler
from tests.support.scheduler import StoredSchedules

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)
NIGHT = Cron("0 2 * * ? *", timezone="Europe/Berlin")
ROLE = "arn:aws:iam::123456789012:role/shop-scheduler"
DEAD = "arn:aws:sqs:us-east-1:123456789012:undelivered"


def registry(*schedules: Schedule, name: str = "reports", prefix: str = "shop-") -> SQSEnv:
    """An environment with a task for each schedule, and its queue."""
    env = SQSEnv(MemorySession(), queue_prefix=prefix)
    queue = env.queue(name)
    for number, schedule in enumerate(schedules):
        queue.processor(f"task{number}", schedule=schedule)(lambda full=False: None)
    env.create_queues()
    return env


def deployed(client: StoredSchedules, env: SQSEnv, **changes) -> DeployedSchedules:
    """The place of an environment's schedules."""
    settings = {"group": "shop", "role_arn": ROLE, "dead_letter_arn": DEAD}
    settings |= {key: changes.pop(key) for key in list(changes) if key in settings}
    return DeployedSchedules(
        client=client,
        scheduler=Scheduler(**settings),
        app=changes.pop("app", "shop.tasks:env"),
        queue_prefix=env.queue_prefix,
        queue_url=env.get_queue_url,
        now=changes.pop("now", lambda: NOW),
    )


def applied(place: DeployedSchedules, env: SQSEnv) -> dict[str, str]:
    """Apply, and what was done by name."""
    return {change.name: change.action for change in place.apply(place.plan(env.schedules.values()))}


def test_what_is_missing_is_made() -> None:
    """Group and schedules, with everything that the registration says."""
    env = registry(
        Schedule(
            Every(minutes=15),
            arguments={"full": True},
            start=NOW,
            end=NOW + timedelta(days=1),
            flexible_minutes=5,
            enabled=False,
        )
    )
    client = StoredSchedules(now=NOW)

    assert applied(deployed(client, env), env) == {"reports.task0": "create"}

    made = client.schedules["shop", "reports.task0"]
    target = made.pop("Target")
    assert {name: made[name] for name in made if name not in ("CreationDate", "Arn")} == {
        "Name": "reports.task0",
        "GroupName": "shop",
        "Description": "sqs_tasks schedule of shop.tasks:env (shop-): task task0 on queue reports",
        "State": "DISABLED",
        "ScheduleExpression": "rate(15 minutes)",
        "ScheduleExpressionTimezone": "UTC",
        "StartDate": NOW,
        "EndDate": NOW + timedelta(days=1),
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
        "ActionAfterCompletion": "NONE",
    }
    assert json.loads(target.pop("Input")) == {
        "QueueUrl": env.get_queue_url("reports"),
        **env.schedules["reports.task0"].request(),
    }
    assert target == {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "RoleArn": ROLE,
        "RetryPolicy": {"MaximumEventAgeInSeconds": 900, "MaximumRetryAttempts": 185},
        "DeadLetterConfig": {"Arn": DEAD},
    }


def test_doing_it_twice_changes_nothing() -> None:
    """Every kind of schedule is as registered after it was made."""
    env = registry(
        Schedule(NIGHT),
        Schedule(Every(days=1), start=NOW - timedelta(days=10, hours=5)),
        Schedule(Every(hours=1), end=NOW + timedelta(days=1)),
        Schedule(NIGHT, start=NOW - timedelta(days=1), flexible_minutes=5, enabled=False),
    )
    client = StoredSchedules(now=NOW)
    applied(deployed(client, env), env)
    client.changed()

    assert set(applied(deployed(client, env), env).values()) == {"keep"}
    client.now = NOW + timedelta(days=3)
    assert set(applied(deployed(client, env, now=lambda: client.now), env).values()) == {"keep"}
    assert client.changed() == []


def test_rate_whose_start_is_past_keeps_its_step() -> None:
    """Scheduler takes no old start dates; the next run is where it would have been."""
    env = registry(Schedule(Every(hours=6), start=NOW - timedelta(days=2, hours=1)))
    client = StoredSchedules(now=NOW)

    applied(deployed(client, env), env)

    assert client.schedules["shop", "reports.task0"]["StartDate"] == NOW + timedelta(hours=5)


def test_what_differs_is_changed() -> None:
    """The change names each field, with what is deployed and what is registered."""
    client = StoredSchedules(now=NOW)
    before = registry(Schedule(NIGHT))
    applied(deployed(client, before), before)
    after = registry(Schedule(Cron("0 3 * * ? *"), arguments={"full": True}))
    place = deployed(client, after, dead_letter_arn=None)

    (change,) = place.plan(after.schedules.values())

    assert change.action == "update"
    assert change.differences["ScheduleExpression"] == ("cron(0 2 * * ? *)", "cron(0 3 * * ? *)")
    assert change.differences["ScheduleExpressionTimezone"] == ("Europe/Berlin", "UTC")
    assert change.differences["Target.DeadLetterConfig"] == ({"Arn": DEAD}, None)
    assert change.differences["Target.Input"][1]["MessageBody"] == '{"full": true}'
    assert len(change.differences) == 4
    assert applied(place, after) == {"reports.task0": "update"}
    assert applied(place, after) == {"reports.task0": "keep"}


def test_start_and_end_that_are_taken_back_are_differences() -> None:
    """Also the step of a rate."""
    client = StoredSchedules(now=NOW)
    later = NOW + timedelta(days=1)
    before = registry(Schedule(NIGHT, start=later, end=later + timedelta(days=1)), Schedule(Every(hours=2), start=NOW))
    applied(deployed(client, before), before)
    after = registry(Schedule(NIGHT), Schedule(Every(hours=2), start=NOW + timedelta(hours=1)))

    night, rate = deployed(client, after).plan(after.schedules.values())

    assert set(night.differences) == {"EndDate"}, "no start and one that is yet to come"
    assert set(rate.differences) == {"StartDate"}


def test_what_is_registered_no_more_is_deleted() -> None:
    """Those of this application alone."""
    client = StoredSchedules(now=NOW)
    both = registry(Schedule(NIGHT), Schedule(NIGHT), Schedule(NIGHT))
    applied(deployed(client, both), both)
    other = registry(Schedule(NIGHT), name="mails")
    applied(deployed(client, other, app="mails.tasks:env"), other)
    client.create_schedule(
        Name="by-hand",
        GroupName="shop",
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": ROLE, "Input": "{}"},
    )
    one = registry(Schedule(NIGHT))

    assert applied(deployed(client, one), one) == {
        "reports.task0": "keep",
        "reports.task1": "delete",
        "reports.task2": "delete",
    }
    assert sorted(name for _, name in client.schedules) == ["by-hand", "mails.task0", "reports.task0"]


def test_empty_registry_deletes_the_last_schedule() -> None:
    """Somebody who gave up schedules wants none to be left running."""
    client = StoredSchedules(now=NOW)
    one, none = registry(Schedule(NIGHT)), registry()
    applied(deployed(client, one), one)

    assert applied(deployed(client, none), none) == {"reports.task0": "delete"}
    assert client.schedules == {}


def test_registry_without_schedules_makes_no_group() -> None:
    """Nor does it need one."""
    client, none = StoredSchedules(now=NOW), registry()

    assert applied(deployed(client, none), none) == {}
    assert client.changed() == []


@pytest.mark.parametrize("changes", [{"app": "other.tasks:env"}, {"prefix": "prod-"}])
def test_schedule_of_another_is_not_taken_over(changes) -> None:
    """Two stages of an application in one group would take the name from each other for ever."""
    client = StoredSchedules(now=NOW)
    theirs = registry(Schedule(NIGHT), prefix=changes.pop("prefix", "shop-"))
    applied(deployed(client, theirs, **changes), theirs)
    ours = registry(Schedule(NIGHT))

    with pytest.raises(ConfigurationError, match=r"was not made for 'shop\.tasks:env \(shop-\)'.*--group"):
        deployed(client, ours).plan(ours.schedules.values())


def test_plan_changes_nothing() -> None:
    """It only asks."""
    client, env = StoredSchedules(now=NOW), registry(Schedule(NIGHT))

    deployed(client, env).plan(env.schedules.values())

    assert client.changed() == []


def test_an_interrupted_apply_is_done_by_the_next() -> None:
    """Somebody was quicker, or an answer was lost, between the plan and the change."""
    client, env = StoredSchedules(now=NOW), registry(Schedule(NIGHT), Schedule(NIGHT))
    place = deployed(client, env)
    create, gone = place.plan(env.schedules.values()), registry()
    next(iter(place.apply(create)))

    assert [change.action for change in place.apply(create)] == ["create", "create"]
    assert set(applied(place, env).values()) == {"keep"}
    delete = deployed(client, gone).plan([])
    list(place.apply(delete))
    list(place.apply(delete))
    assert client.schedules == {}


def test_what_aws_refuses_is_raised() -> None:
    """A missing right is no missing schedule."""

    class Refusing(StoredSchedules):
        def get_schedule(self, **request):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetSchedule")

    env = registry(Schedule(NIGHT))
    with pytest.raises(ClientError, match="AccessDenied"):
        deployed(Refusing(), env).plan(env.schedules.values())


def test_schedule_is_paused_and_resumed_with_everything_else_as_it_was() -> None:
    """UpdateSchedule replaces a schedule, so all of it is sent again; applying brings back what is registered."""
    client, env = StoredSchedules(now=NOW), registry(Schedule(NIGHT, end=NOW + timedelta(days=9), flexible_minutes=5))
    place = deployed(client, env)
    applied(place, env)
    before = dict(client.schedules["shop", "reports.task0"])

    assert place.set_state("reports.task0", enabled=False)
    assert client.schedules["shop", "reports.task0"] == {**before, "State": "DISABLED"}
    assert not place.set_state("reports.task0", enabled=False), "it was paused already"
    assert place.state("reports.task0") == "DISABLED"
    assert place.set_state("reports.task0", enabled=True)
    assert client.schedules["shop", "reports.task0"] == before
    place.set_state("reports.task0", enabled=False)
    assert applied(place, env) == {"reports.task0": "update"}


def test_only_what_is_deployed_can_be_paused() -> None:
    """The text says how it gets there."""
    client, env = StoredSchedules(now=NOW), registry(Schedule(NIGHT))

    assert deployed(client, env).state("reports.task0") is None
    with pytest.raises(ConfigurationError, match="schedules apply"):
        deployed(client, env).set_state("reports.task0", enabled=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"group": "a b"}, "group='a b' must be"),
        ({"group": ""}, "group='' must be"),
        ({"role_arn": "shop-scheduler"}, "role_arn='shop-scheduler' must be the ARN of a role"),
        ({"dead_letter_arn": "undelivered"}, "must be the ARN of a standard queue"),
        ({"dead_letter_arn": f"{DEAD}.fifo"}, "must be the ARN of a standard queue"),
    ],
)
def test_places_that_aws_would_refuse_are_refused(changes, said) -> None:
    """Where they are written."""
    with pytest.raises(ConfigurationError, match=said):
        Scheduler(**{"group": "shop", "role_arn": ROLE, **changes})


def test_target_is_in_the_partition_of_the_role() -> None:
    """China's regions have ARNs of their own."""
    scheduler = Scheduler(group="shop", role_arn="arn:aws-cn:iam::123456789012:role/shop")

    assert scheduler.target_arn == "arn:aws-cn:scheduler:::aws-sdk:sqs:sendMessage"


def test_place_is_read_from_what_the_stack_sets(monkeypatch) -> None:
    """All of it or nothing."""
    assert Scheduler.from_environment() is None
    monkeypatch.setenv("SQS_TASKS_SCHEDULE_GROUP", "shop")
    with pytest.raises(ConfigurationError, match="SQS_TASKS_SCHEDULER_ROLE_ARN is not"):
        Scheduler.from_environment()
    monkeypatch.setenv("SQS_TASKS_SCHEDULER_ROLE_ARN", ROLE)
    assert Scheduler.from_environment() == Scheduler(group="shop", role_arn=ROLE)
    monkeypatch.setenv("SQS_TASKS_SCHEDULER_DEAD_LETTER_ARN", DEAD)
    assert Scheduler.from_environment() == Scheduler(group="shop", role_arn=ROLE, dead_letter_arn=DEAD)
