"""The schedules of a registry as resources: what runs when, who may send, and where what cannot be sent goes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_

from sqs_tasks import Cron, Every, MemorySession, Schedule, SQSEnv
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.schedules import TaskSchedules
from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.task_queues import TaskQueues
from tests.support.manifests import manifest, queue, schedule, task
from tests.support.templates import Resources, joined

CODE: Any = {"code": lambda_.Code.from_inline("def handler(event, context): ...")}


def scheduled(*schedules: dict[str, Any], name: str = "emails") -> dict[str, Any]:
    """A manifest whose one task has these schedules."""
    return manifest(queue(name, tasks=[task(schedules=list(schedules))]))


def deployed(stack: Stack, registry: dict[str, Any], **settings: Any) -> Resources:
    """The template of a registry."""
    SqsTasks(stack, "Tasks", manifest=registry, lambda_defaults=CODE, **settings)
    return Resources(stack)


def test_a_schedule_sends_the_registrys_message(stack: Stack) -> None:
    """Every field of the registration, and the queue's URL in the request."""
    env = SQSEnv(MemorySession(), queue_prefix="shop-")
    often = Schedule(
        Every(minutes=15),
        arguments={"text": 'ü "q" <b>'},
        start=datetime(2090, 1, 1, tzinfo=UTC),
        end=datetime(2091, 1, 1, tzinfo=UTC),
        flexible_minutes=5,
        enabled=False,
    )
    env.queue("emails").processor("send", schedule=often)(lambda text: None)
    (registered,) = env.schedules.values()

    resources = deployed(stack, env.manifest(app="shop.tasks:env"))

    made = resources.only("Scheduler::Schedule")
    target = made.pop("Target")
    (group,), (dead,) = (
        resources.of_type("Scheduler::ScheduleGroup"),
        (key for key in resources.of_type("SQS::Queue") if "Undelivered" in key),
    )
    assert made == {
        "Name": "emails.send",
        "GroupName": {"Ref": group},
        "Description": "Adds jobs to queue emails",
        "State": "DISABLED",
        "ScheduleExpression": "rate(15 minutes)",
        "ScheduleExpressionTimezone": "UTC",
        "StartDate": "2090-01-01T00:00:00Z",
        "EndDate": "2091-01-01T00:00:00Z",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
    }
    (queue_id,) = (key for key in resources.of_type("SQS::Queue") if key.startswith("TasksQueuesemailsQueue"))
    request = json.loads(joined(target.pop("Input")))
    assert request == {"QueueUrl": f"${{{queue_id}}}", **registered.request()}
    assert joined(target.pop("Arn")) == "arn:${AWS::Partition}:scheduler:::aws-sdk:sqs:sendMessage"
    assert target.pop("RoleArn")["Fn::GetAtt"][0] in resources.of_type("IAM::Role")
    assert target == {
        "RetryPolicy": {"MaximumEventAgeInSeconds": 900, "MaximumRetryAttempts": 185},
        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": [dead, "Arn"]}},
    }


@pytest.mark.parametrize(("period", "age"), [(60, 60), (900, 900), (86_400, 86_400), (7 * 86_400, 86_400)])
def test_a_run_is_tried_again_until_the_next_is_due(stack: Stack, period: int, age: int) -> None:
    """For a day at most, which is Scheduler's limit."""
    made = deployed(stack, scheduled(schedule(period_seconds=period))).only("Scheduler::Schedule")

    assert made["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"] == age


def test_only_this_group_may_use_the_role(stack: Stack) -> None:
    """In this account; another's schedule that names the role is refused by STS."""
    resources = deployed(stack, scheduled(schedule()))

    (group,) = resources.of_type("Scheduler::ScheduleGroup")
    (trust,) = (
        role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        for key, role in resources.of_type("IAM::Role").items()
        if "Schedules" in key
    )
    assert trust == [
        {
            "Action": "sts:AssumeRole",
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": {"Ref": "AWS::AccountId"},
                    "aws:SourceArn": {"Fn::GetAtt": [group, "Arn"]},
                }
            },
        }
    ]


def test_role_may_send_to_queues_with_schedules_alone(stack: Stack) -> None:
    """And to the queue for what could not be sent; to nothing by a wildcard."""
    registry = manifest(queue("emails", tasks=[task(schedules=[schedule(), schedule("emails.two")])]), queue("images"))
    resources = deployed(stack, registry)

    (policy,) = (one for key, one in resources.of_type("IAM::Policy").items() if "Schedules" in key)
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    targets = [
        item["Fn::GetAtt"][0]
        for statement in statements
        for item in (statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]])
    ]
    assert {statement["Action"] for statement in statements} == {"sqs:SendMessage"}
    assert len(targets) == 2
    assert any("Undelivered" in target for target in targets)
    assert not any("images" in target for target in targets)


def test_role_may_use_the_keys_of_the_queues(stack: Stack) -> None:
    """Of the queue and of the one for what could not be sent."""
    key = kms.Key(stack, "Key")
    resources = deployed(
        stack,
        scheduled(schedule()),
        queue_defaults={"encryption_master_key": key},
        schedule_settings={"encryption_master_key": key},
    )

    (policy,) = (one for name, one in resources.of_type("IAM::Policy").items() if "Schedules" in name)
    actions = [
        statement["Action"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] != "sqs:SendMessage"
    ]
    assert actions == [["kms:GenerateDataKey", "kms:Decrypt"]]


def test_schedules_come_after_the_rights_to_send(stack: Stack) -> None:
    """A rate without a start runs as soon as it is made."""
    resources = deployed(stack, scheduled(schedule(expression="rate(1 minute)", period_seconds=60)))

    (made,) = resources.of_type("Scheduler::Schedule").values()
    (policy,) = (key for key in resources.of_type("IAM::Policy") if "Schedules" in key)
    assert policy in made["DependsOn"]


def test_registry_without_schedules_gets_nothing_of_it(stack: Stack) -> None:
    """No group, no role, no queue, no alarm."""
    tasks = SqsTasks(stack, "Tasks", manifest=manifest(), lambda_defaults=CODE)
    monitoring = tasks.monitor(alarms_declined_because="nobody is there")

    resources = Resources(stack)
    assert tasks.schedules is None
    assert not resources.of_type("Scheduler::ScheduleGroup")
    assert len(resources.of_type("SQS::Queue")) == 2
    assert "schedules undelivered" not in monitoring.alarms


def test_schedules_can_be_off_for_a_stage(stack: Stack) -> None:
    """Where nothing should run by itself."""
    resources = deployed(stack, scheduled(schedule()), schedules=False)

    assert not any(one["Type"].startswith("AWS::Scheduler") for one in resources.by_id.values())
    assert len(resources.of_type("SQS::Queue")) == 2


def test_undelivered_runs_raise_an_alarm(stack: Stack) -> None:
    """Each one: a run that was not sent is a job that does not exist."""
    tasks = SqsTasks(stack, "Tasks", manifest=scheduled(schedule()), lambda_defaults=CODE)
    monitoring = tasks.monitor(alarms_declined_because="nobody is there")

    resources = Resources(stack)
    (alarm,) = (
        one["Properties"] for key, one in resources.of_type("CloudWatch::Alarm").items() if "undelivered" in key
    )
    (dead,) = (key for key in resources.of_type("SQS::Queue") if "Undelivered" in key)
    assert "schedules undelivered" in monitoring.alarms
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [dead, "QueueName"]}}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert resources.by_id[dead]["Properties"]["MessageRetentionPeriod"] == 1_209_600


def test_logical_ids_follow_the_names(tmp_path: Any) -> None:
    """A schedule that is added, removed or moved changes no other."""

    def ids(*names: str) -> dict[str, str]:
        stack = Stack(App(outdir=str(tmp_path / "-".join(names)), analytics_reporting=False), "Test")
        found = deployed(stack, scheduled(*(schedule(name) for name in names))).of_type("Scheduler::Schedule")
        return {one["Properties"]["Name"]: key for key, one in found.items()}

    both = ids("emails.a", "emails.b")

    assert ids("emails.b", "emails.a", "emails.c").items() >= both.items()
    assert ids("emails.b")["emails.b"] == both["emails.b"]


def test_start_that_has_passed_is_left_out_and_a_rate_keeps_its_step(stack: Stack) -> None:
    """Scheduler takes no old start dates."""
    now = datetime.now(UTC)
    start = (now - timedelta(days=2, hours=1)).replace(microsecond=0)
    resources = deployed(
        stack,
        scheduled(
            schedule("emails.cron", start=start.isoformat()),
            schedule("emails.rate", start=start.isoformat(), expression="rate(6 hours)", period_seconds=21_600),
        ),
    )

    made = {one["Properties"]["Name"]: one["Properties"] for one in resources.of_type("Scheduler::Schedule").values()}
    assert "StartDate" not in made["emails.cron"]
    moved = datetime.fromisoformat(made["emails.rate"]["StartDate"])
    assert now < moved <= now + timedelta(hours=6, seconds=60)
    assert (moved - start) % timedelta(hours=6) == timedelta()


def test_group_and_queue_can_be_named(stack: Stack) -> None:
    """For those who know them from elsewhere; the group's name is an output."""
    resources = deployed(
        stack, scheduled(schedule()), schedule_settings={"group_name": "shop", "dead_letter_queue_name": "shop-lost"}
    )

    assert resources.only("Scheduler::ScheduleGroup")["Name"] == "shop"
    assert resources.queue("shop-lost")
    (output,) = resources.template["Outputs"].values()
    assert output["Value"]["Ref"] in resources.of_type("Scheduler::ScheduleGroup")


def test_setting_that_is_not_there_is_refused(stack: Stack) -> None:
    """With the nearest name."""
    with pytest.raises(TypeError, match="'group', did you mean 'group_name'"):
        deployed(stack, scheduled(schedule()), schedule_settings={"group": "shop"})


def test_schedules_in_a_stack_of_their_own(app: App) -> None:
    """They know their queues by name: no export ties the stacks together."""
    queues = TaskQueues(Stack(app, "Queues"), "Tasks", manifest=scheduled(schedule()))
    apart = Stack(app, "Schedules")
    apart.add_dependency(Stack.of(queues))

    TaskSchedules(apart, "Tasks", queues=queues)

    request = json.loads(joined(Resources(apart).only("Scheduler::Schedule")["Target"]["Input"]))
    assert request["QueueUrl"] == "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/shop-emails"
    assert "Fn::ImportValue" not in json.dumps(Resources(apart).template)


def test_queue_in_another_region_is_refused(app: App) -> None:
    """Scheduler sends within its own; the text says where they would be."""
    registry = scheduled(schedule())
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/emails"
    registry["queues"][0] |= {"queue_url": url, "queue_name": "emails"}
    stack = Stack(app, "Test", env=Environment(account="123456789012", region="eu-central-1"))

    with pytest.raises(StackError, match="is in eu-west-1 and its schedules would be in eu-central-1"):
        deployed(stack, registry)


def test_cron_of_the_registry_reaches_the_template(stack: Stack) -> None:
    """With its zone."""
    env = SQSEnv(MemorySession(), queue_prefix="shop-")
    night = Cron("0 2 * * ? *", timezone="Europe/Berlin")
    env.queue("orders.fifo").processor("close", schedule=night)(lambda: None)

    made = deployed(stack, env.manifest(app="shop.tasks:env")).only("Scheduler::Schedule")

    assert (made["ScheduleExpression"], made["ScheduleExpressionTimezone"]) == ("cron(0 2 * * ? *)", "Europe/Berlin")
    request = json.loads(joined(made["Target"]["Input"]))
    assert request["MessageDeduplicationId"] == "orders.fifo.close@<aws.scheduler.scheduled-time>"


def test_workers_may_hold_jobs_that_are_due_later(stack: Stack) -> None:
    """Their environment says where; they may make and delete schedules of single jobs, and pass this role alone."""
    deployed(stack, manifest(queue("emails"), queue("orders.fifo")), delays=True)
    resources = Resources(stack)

    (group,) = resources.of_type("Scheduler::ScheduleGroup")
    (role,) = (key for key in resources.of_type("IAM::Role") if "Schedules" in key)
    for function in resources.of_type("Lambda::Function").values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["SQS_TASKS_SCHEDULE_GROUP"] == {"Ref": group}
        assert variables["SQS_TASKS_SCHEDULER_ROLE_ARN"] == {"Fn::GetAtt": [role, "Arn"]}
        assert "Undelivered" in variables["SQS_TASKS_SCHEDULER_DEAD_LETTER_ARN"]["Fn::GetAtt"][0]
    (policy,) = (one for key, one in resources.of_type("IAM::Policy").items() if "Workersemails" in key)
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    making = next(one for one in statements if "scheduler:CreateSchedule" in one["Action"])
    passing = next(one for one in statements if one["Action"] == "iam:PassRole")
    assert making["Action"] == ["scheduler:CreateSchedule", "scheduler:DeleteSchedule"]
    assert joined(making["Resource"]).endswith(f":schedule/${{{group}}}/job-*")
    assert passing["Resource"] == {"Fn::GetAtt": [role, "Arn"]}
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    (sending,) = (one for key, one in resources.of_type("IAM::Policy").items() if "Schedules" in key)
    (statement,) = sending["Properties"]["PolicyDocument"]["Statement"]
    assert len(statement["Resource"]) == 3, "both queues, and the one for what could not be sent"
    assert not resources.of_type("Scheduler::Schedule")


def test_delays_stay_where_schedules_are_off(stack: Stack) -> None:
    """A stage in which nothing runs by itself still sends its jobs when they are due."""
    resources = deployed(stack, scheduled(schedule()), schedules=False, delays=True)

    assert resources.of_type("Scheduler::ScheduleGroup")
    assert not resources.of_type("Scheduler::Schedule")


def test_producer_of_ones_own_is_granted_delays(stack: Stack) -> None:
    """As it is granted queues; schedules that were made without cannot be used for it."""
    producer = lambda_.Function(
        stack, "Producer", code=CODE["code"], handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13
    )
    tasks = SqsTasks(stack, "Tasks", manifest=manifest(), lambda_defaults=CODE, delays=True)
    assert tasks.schedules is not None
    tasks.schedules.grant_delays(producer)
    other = SqsTasks(stack, "Other", manifest=scheduled(schedule(), name="images"), lambda_defaults=CODE)
    assert other.schedules is not None

    with pytest.raises(StackError, match="make them with delays=True"):
        other.schedules.grant_delays(producer)
    (function,) = (one for key, one in Resources(stack).of_type("Lambda::Function").items() if "Producer" in key)
    assert "SQS_TASKS_SCHEDULE_GROUP" in function["Properties"]["Environment"]["Variables"]
