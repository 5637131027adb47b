"""TaskMonitoring: which alarms there are, when they go off, whom they tell, and what the dashboard shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Duration, NestedStack, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from sqs_tasks.outcome import UNKNOWN_TASK_NAME
from sqs_tasks_cdk.alarms import Objectives
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.monitoring import TaskMonitoring
from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.task_queue import TaskQueue
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined, warnings

SETTINGS: dict[str, Any] = {
    "lambda_defaults": {"code": lambda_.Code.from_inline("def handler(event, context): ...")},
    "fargate_defaults": {"image": ecs.ContainerImage.from_registry("shop")},
}

QUEUE_ALARMS = {"dead-letters", "age", "time-to-drain", "in-flight", "nothing-finished"}
FUNCTION_ALARMS = {"errors", "throttles", "duration", "recursion"}


def _tasks(stack: Stack) -> SqsTasks:
    return SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(queue("emails", tasks=[task("send"), task("nag")]), queue("films", runs_on="fargate")),
        **SETTINGS,
    )


def _alarm(resources: Resources, monitoring: TaskMonitoring, name: str) -> dict[str, Any]:
    logical_id = Stack.of(monitoring).resolve(monitoring.alarms[name].node.default_child.logical_id)  # type: ignore[union-attr]
    return dict(resources.by_id[logical_id]["Properties"])


def test_every_alarm_tells_the_topic(stack: Stack) -> None:
    """All alarms of a registry, each told when it starts and when it ends."""
    topic = sns.Topic(stack, "Topic")
    monitoring = _tasks(stack).monitor(alarm_topic=topic)

    resources = Resources(stack)
    assert set(monitoring.alarms) == {
        *(f"emails {name}" for name in QUEUE_ALARMS | FUNCTION_ALARMS),
        *(f"films {name}" for name in QUEUE_ALARMS | {"tasks"}),
    }
    (topic_id,) = resources.of_type("SNS::Topic")
    for alarm in resources.of_type("CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"] == [{"Ref": topic_id}]


def _publishers(resources: Resources) -> list[dict[str, Any]]:
    """The statements that let somebody publish to a topic."""
    return [
        statement
        for policy in resources.of_type("SNS::TopicPolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]


def test_cloudwatch_may_publish_to_a_topic_with_a_policy(stack: Stack) -> None:
    """Z6: ``enforce_ssl`` replaces the policy that would have admitted CloudWatch, so it is admitted by name."""
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    tasks = _tasks(stack)
    tasks.monitor(alarm_topic=topic)
    tasks.monitor("Again", alarm_topic=topic)

    resources = Resources(stack)
    (topic_id,) = resources.of_type("SNS::Topic")
    (allowed,) = _publishers(resources)
    assert {name: value for name, value in allowed.items() if name != "Sid"} == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": topic_id},
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }


def test_topic_gets_no_policy_that_it_does_not_need(stack: Stack) -> None:
    """Z6: the policy that SNS gives a topic admits CloudWatch; one of ours would replace it for all others."""
    _tasks(stack).monitor(alarm_topic=sns.Topic(stack, "Topic"))

    assert Resources(stack).of_type("SNS::TopicPolicy") == {}


def test_statement_that_is_added_later_does_not_shut_cloudwatch_out(stack: Stack) -> None:
    """Z6: a topic may get its policy after the alarms were made."""
    topic = sns.Topic(stack, "Topic")
    _tasks(stack).monitor(alarm_topic=topic)
    topic.grant_publish(iam.ServicePrincipal("events.amazonaws.com"))

    services = {statement["Principal"]["Service"] for statement in _publishers(Resources(stack))}
    assert services == {"events.amazonaws.com", "cloudwatch.amazonaws.com"}


def test_cloudwatch_may_use_the_key_of_the_topic(stack: Stack) -> None:
    """Z6: a topic with a key is silent too, until the key's policy admits CloudWatch."""
    key = kms.Key(stack, "Key")
    _tasks(stack).monitor(alarm_topic=sns.Topic(stack, "Topic", enforce_ssl=True, master_key=key))

    statements = Resources(stack).only("KMS::Key")["KeyPolicy"]["Statement"]
    (allowed,) = [item for item in statements if item["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert allowed["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert warnings(stack) == []


def test_key_that_cannot_be_changed_is_warned_of(stack: Stack) -> None:
    """Z6: the policy of a key from elsewhere must be right already, and here nobody can see whether it is."""
    key = kms.Alias.from_alias_name(stack, "Key", "alias/aws/sns")
    _tasks(stack).monitor(alarm_topic=sns.Topic(stack, "Topic", master_key=key))

    assert any("must allow cloudwatch.amazonaws.com the actions kms:Decrypt" in text for text in warnings(stack))


def test_one_alarm_may_tell_of_all(stack: Stack) -> None:
    """Combined: a composite alarm has the actions, and each alarm has none."""
    topic = sns.Topic(stack, "Topic")
    monitoring = _tasks(stack).monitor(alarm_topic=topic, combined=True)

    resources = Resources(stack)
    (topic_id,) = resources.of_type("SNS::Topic")
    composite = resources.only("CloudWatch::CompositeAlarm")
    assert monitoring.composite_alarm is not None
    assert composite["AlarmActions"] == composite["OKActions"] == [{"Ref": topic_id}]
    alarms = resources.of_type("CloudWatch::Alarm")
    rule = composite["AlarmRule"]["Fn::Join"][1]
    assert {part["Fn::GetAtt"][0] for part in rule if isinstance(part, dict)} == set(alarms)
    assert not any("AlarmActions" in alarm["Properties"] for alarm in alarms.values())


def test_rule_of_a_composite_alarm_stays_within_its_limit(stack: Stack) -> None:
    """Many alarms are combined in parts: a rule has 10,240 characters, and an alarm's ARN some 200 of them."""
    queues = [TaskQueue(stack, f"queue{number}") for number in range(10)]

    monitoring = TaskMonitoring(stack, "M", queues=queues, alarms_declined_because="test", combined=True)

    composites = Resources(stack).of_type("CloudWatch::CompositeAlarm")
    rules = [item["Properties"]["AlarmRule"]["Fn::Join"][1] for item in composites.values()]
    sizes = sorted(sum(isinstance(part, dict) for part in rule) for rule in rules)
    assert len(monitoring.alarms) == 50
    assert sizes == [2, 10, 40]


def test_alarms_without_anybody_are_refused(stack: Stack) -> None:
    """C5: an alarm needs somebody who hears it, or a reason in words."""
    tasks = _tasks(stack)

    with pytest.raises(
        StackError, match=r"alarms would reach nobody; give alarm_topic= .*alarms_declined_because='\.\.\.'"
    ):
        tasks.monitor()
    with pytest.raises(StackError, match="together with an action; leave out one or the other"):
        tasks.monitor("Both", alarm_topic=sns.Topic(stack, "Topic"), alarms_declined_because="a sandbox")


def test_declined_alarms_carry_the_reason(stack: Stack) -> None:
    """Alarms that tell nobody say why, where their reader sees it."""
    _tasks(stack).monitor(alarms_declined_because="this is a sandbox", with_dashboard=False)

    resources = Resources(stack)
    for alarm in resources.of_type("CloudWatch::Alarm").values():
        assert "AlarmActions" not in alarm["Properties"]
        assert alarm["Properties"]["AlarmDescription"].endswith("Tells nobody: this is a sandbox.")
    assert resources.of_type("CloudWatch::Dashboard") == {}


def test_other_actions_are_taken(stack: Stack) -> None:
    """An alarm may do something else than tell a topic."""
    function = lambda_.Function.from_function_arn(
        stack, "Pager", "arn:aws:lambda:us-east-1:123456789012:function:pager"
    )
    topic = sns.Topic(stack, "Topic")
    TaskMonitoring(
        stack,
        "Monitoring",
        queues=[TaskQueue(stack, "emails")],
        alarm_topic=topic,
        alarm_actions=[actions.LambdaAction(function)],
    )

    (alarm, *_rest) = Resources(stack).of_type("CloudWatch::Alarm").values()
    assert len(alarm["Properties"]["AlarmActions"]) == 2


def test_dead_letters_are_counted_where_they_lie(stack: Stack) -> None:
    """What SQS itself moves to a dead-letter queue does not count as sent, so what lies there is counted."""
    monitoring = _tasks(stack).monitor(alarms_declined_because="test")

    alarm = _alarm(Resources(stack), monitoring, "emails dead-letters")
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "shop-emails_dead"}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert (alarm["EvaluationPeriods"], alarm["Period"]) == (1, 60)
    assert alarm["TreatMissingData"] == "notBreaching"


def test_queue_without_dead_letter_queue_has_no_such_alarm(stack: Stack) -> None:
    """What a queue does not have is not watched."""
    made = TaskQueue(stack, "emails", without_dead_letter_queue=True)

    monitoring = TaskMonitoring(stack, "Monitoring", queues=[made], alarms_declined_because="test")

    assert set(monitoring.alarms) == {f"emails {name}" for name in QUEUE_ALARMS - {"dead-letters"}}
    assert "Dead letters" not in joined(Resources(stack).only("CloudWatch::Dashboard")["DashboardBody"])


def test_objectives_are_the_thresholds(stack: Stack) -> None:
    """What is promised of all queues, or of one, is what alarms go off at."""
    monitoring = _tasks(stack).monitor(
        alarms_declined_because="test",
        objectives=Objectives(age=Duration.minutes(2), duration_share=0.5, in_flight_share=0.1),
        queue_objectives={"films": Objectives(age=Duration.hours(6), time_to_drain=Duration.hours(12))},
    )

    resources = Resources(stack)
    thresholds = {name: _alarm(resources, monitoring, name)["Threshold"] for name in monitoring.alarms}
    assert thresholds["emails age"] == 120
    assert thresholds["films age"] == 6 * 3_600
    assert thresholds["emails time-to-drain"] == 3_600
    assert thresholds["films time-to-drain"] == 12 * 3_600
    assert thresholds["emails in-flight"] == 12_000
    assert thresholds["films in-flight"] == 96_000
    assert thresholds["emails duration"] == 305_000 * 0.5
    assert thresholds["films tasks"] == 1


def test_objectives_of_unknown_queues_are_refused(stack: Stack) -> None:
    """A misspelt queue does not keep the common objective unseen."""
    with pytest.raises(
        StackError, match="queue_objectives for 'email', which is not watched; watched are 'emails', 'films'"
    ):
        _tasks(stack).monitor(alarms_declined_because="test", queue_objectives={"email": Objectives()})


def test_function_alarms_read_the_function(stack: Stack) -> None:
    """Errors are the function's own (S13), and a stopped loop is told (S36)."""
    monitoring = _tasks(stack).monitor(alarms_declined_because="test")

    resources = Resources(stack)
    read = {name: _alarm(resources, monitoring, f"emails {name}") for name in FUNCTION_ALARMS}
    assert {name: alarm["MetricName"] for name, alarm in read.items()} == {
        "errors": "Errors",
        "throttles": "Throttles",
        "duration": "Duration",
        "recursion": "RecursiveInvocationsDropped",
    }
    assert {alarm["Namespace"] for alarm in read.values()} == {"AWS/Lambda"}
    assert read["duration"]["ExtendedStatistic"] == "p95"
    (function_id,) = resources.of_type("Lambda::Function")
    assert all(
        alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": function_id}}] for alarm in read.values()
    )


def test_received_and_never_finished_is_an_alarm(stack: Stack) -> None:
    """S14: messages that come and never go tell of a wrong answer to Lambda."""
    monitoring = _tasks(stack).monitor(alarms_declined_because="test")

    alarm = _alarm(Resources(stack), monitoring, "emails nothing-finished")
    metrics = {item["Id"]: item for item in alarm["Metrics"]}
    (expression,) = [item["Expression"] for item in metrics.values() if "Expression" in item]
    assert expression == "IF(FILL(received, 0) > 0 AND FILL(deleted, 0) == 0, 1, 0)"
    assert metrics["deleted"]["MetricStat"]["Metric"]["MetricName"] == "NumberOfMessagesDeleted"
    assert alarm["EvaluationPeriods"] == 3


def test_sleeping_service_has_no_alarm_for_its_tasks(stack: Stack) -> None:
    """A service that may sleep is allowed to have no task."""
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(queue("films", runs_on="fargate")),
        fargate_defaults={**SETTINGS["fargate_defaults"], "min_tasks": 0},
    )

    assert "films tasks" not in tasks.monitor(alarms_declined_because="test").alarms


def test_dashboard_has_a_row_for_each_queue(stack: Stack) -> None:
    """Each queue, its worker, and its tasks by the metrics that workers write."""
    _tasks(stack).monitor(alarms_declined_because="test", dashboard_name="shop")

    properties = Resources(stack).only("CloudWatch::Dashboard")
    widgets = json.loads(joined(properties["DashboardBody"]))["widgets"]
    assert properties["DashboardName"] == "shop"
    titles = [widget["properties"].get("title") or widget["properties"]["markdown"] for widget in widgets]
    assert titles == [
        "## emails",
        "Messages",
        "Age of the oldest (s)",
        "Flow",
        "Dead letters",
        "Invocations",
        "Duration (ms)",
        "At once",
        "Jobs done",
        "Jobs not done",
        "Run time, 95 of 100 (ms)",
        "Waited before, 95 of 100 (ms)",
        "## films",
        "Messages",
        "Age of the oldest (s)",
        "Flow",
        "Dead letters",
        "Jobs done",
        "Jobs not done",
        "Run time, 95 of 100 (s)",
        "## Service for films",
        "Tasks",
        "Backlog per task",
        "Load (%)",
    ]
    jobs = next(widget for widget in widgets if widget["properties"].get("title") == "Jobs not done")
    assert [metric[:8] for metric in jobs["properties"]["metrics"]] == [
        ["SqsTasks", name, "queue", "emails", "service", "shop", "task", task_name]
        for name, task_name in (
            *((name, task_name) for name in ("JobsRetried", "JobsDeadLettered") for task_name in ("send", "nag")),
            ("JobsDeadLettered", UNKNOWN_TASK_NAME),
            ("JobsUnknown", UNKNOWN_TASK_NAME),
        )
    ]
    times = next(widget for widget in widgets if widget["properties"].get("title") == "Run time, 95 of 100 (s)")
    assert times["properties"]["metrics"][0][:8] == [
        "SqsTasks",
        "DurationSeconds",
        "queue",
        "films",
        "service",
        "shop",
        "task",
        "send_email",
    ]
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)


def test_dashboard_that_is_full_is_followed_by_another(stack: Stack) -> None:
    """CloudWatch shows 2,500 metrics on a dashboard: a large registry has several, and no queue is torn apart."""
    names = [f"task{number}" for number in range(100)]
    registry = manifest(*(queue(f"queue{number}", tasks=[task(name) for name in names]) for number in range(6)))
    tasks = SqsTasks(stack, "Tasks", manifest=registry, **SETTINGS)

    monitoring = tasks.monitor(alarms_declined_because="test", dashboard_name="shop")

    made = [item["Properties"] for item in Resources(stack).of_type("CloudWatch::Dashboard").values()]
    shown = {item["DashboardName"]: json.loads(joined(item["DashboardBody"]))["widgets"] for item in made}
    counts = {
        name: sum(len(widget["properties"].get("metrics", [])) for widget in widgets) for name, widgets in shown.items()
    }
    assert monitoring.dashboard is monitoring.dashboards[0]
    assert counts == {"shop": 4 * 516, "shop-2": 2 * 516}


def test_r9_monitoring_of_separate_stacks_shares_no_export(app: App) -> None:
    """R9: in the workers' stack it knows the queues of the other by name."""
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    queues = TaskQueues(stateful, "Tasks", manifest=manifest())
    workers = TaskWorkers(stateless, "Tasks", queues=queues, **SETTINGS)
    TaskMonitoring(stateless, "Monitoring", queues=list(queues), workers=list(workers), alarms_declined_because="test")

    assert "Outputs" not in Resources(stateful).template
    assert "Fn::ImportValue" not in json.dumps(Resources(stateless).template)


def test_large_registry_is_watched_from_a_nested_stack(app: App, stack: Stack) -> None:
    """A stack holds 500 resources; a nested one takes the alarms, and names as parameters in place of exports."""
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(*(queue(f"queue-{number}", tasks=[task(enqueues=[])]) for number in range(50))),
        **SETTINGS,
    )
    nested = NestedStack(stack, "Watch")

    monitoring = tasks.monitor(alarms_declined_because="test", scope=nested)

    assert len(monitoring.alarms) == 450
    assert len(Resources(nested).by_id) == 451
    outer = Resources(stack)
    assert "Outputs" not in outer.template
    assert len(outer.by_id) == 451


def test_tasks_of_a_queue_without_a_registry_are_not_shown(stack: Stack) -> None:
    """A queue made by hand is watched without a worker."""
    made = TaskQueue(stack, "emails", tasks=[ManifestTask(name="send")])

    monitoring = TaskMonitoring(stack, "Monitoring", queues=[made], alarms_declined_because="test")

    assert set(monitoring.alarms) == {f"emails {name}" for name in QUEUE_ALARMS}
