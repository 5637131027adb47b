"""Alarms as a platform team sets them: by severity, named, tuned, left out, with a runbook, and aware of slow tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from sqs_tasks import SQSEnv
from sqs_tasks_cdk.alarm_options import AlarmOptions
from sqs_tasks_cdk.alarms import Objectives
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.monitoring import TaskMonitoring
from sqs_tasks_cdk.stack import SqsTasks
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, warnings

SETTINGS: dict[str, Any] = {
    "lambda_defaults": {"code": lambda_.Code.from_inline("def handler(event, context): ...")},
    "fargate_defaults": {"image": ecs.ContainerImage.from_registry("shop")},
}

REGISTRY = manifest(
    queue("emails", tasks=[task("send", fair=True)]),
    queue("films", runs_on="fargate", tasks=[task("render", timeout_seconds=7_200)]),
    queue("reports", tasks=[task("report", timeout_seconds=800)]),
)


class Watched:
    """A registry with alarms in which everything is set, synthesised once."""

    def __init__(self, stack: Stack) -> None:
        self.pager, self.chat = sns.Topic(stack, "Pager"), sns.Topic(stack, "Chat")
        self.monitoring = SqsTasks(stack, "Tasks", manifest=REGISTRY, **SETTINGS).monitor(
            alarm_topic=self.chat,
            alarm_topics={"critical": self.pager},
            combined=True,
            alarm_options={
                "age": AlarmOptions(periods=5, datapoints=4),
                "emails age": AlarmOptions(threshold=77, severity="warning", runbook="https://wiki/emails"),
            },
            without_alarms=["recursion", "films in-flight"],
            alarm_name_prefix="prod-shop-",
            runbook_url="https://wiki/tasks",
            objectives=Objectives(in_flight_share=0.5),
        )
        self.resources = Resources(stack)
        self.by_name = {
            alarm["Properties"]["AlarmName"].removeprefix("prod-shop-"): alarm["Properties"]
            for alarm in self.resources.of_type("CloudWatch::Alarm").values()
        }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    app = App(outdir=str(tmp_path_factory.mktemp("cdk") / "cdk.out"), analytics_reporting=False)
    return Watched(Stack(app, "Test"))


def test_alarms_are_named_and_may_be_left_out(watched: Watched) -> None:
    """A kind or one alarm is left out, and the others carry the prefix and what they watch in their name."""
    assert "reports-recursion" not in watched.by_name
    assert "films-in-flight" not in watched.by_name
    assert {"emails-in-flight", "reports-in-flight", "reports-age", "films-tasks"} <= set(watched.by_name)
    assert set(watched.monitoring.alarms) >= {"emails age", "films tasks"}


def test_alarms_are_tuned_by_kind_and_by_name(watched: Watched) -> None:
    """What is set of one alarm is laid over what is set of its kind, and what nobody set stays."""
    emails, reports = watched.by_name["emails-age"], watched.by_name["reports-age"]

    assert [emails[key] for key in ("Threshold", "EvaluationPeriods", "DatapointsToAlarm")] == [77, 5, 4]
    assert [reports[key] for key in ("EvaluationPeriods", "DatapointsToAlarm")] == [5, 4]
    assert watched.by_name["reports-in-flight"]["Threshold"] == 60_000


def test_descriptions_carry_severity_and_runbook(watched: Watched) -> None:
    """Whoever is woken sees how urgent it is and where it says what to do."""
    assert watched.by_name["reports-throttles"]["AlarmDescription"].endswith(
        "Severity: warning. Runbook: https://wiki/tasks#throttles."
    )
    assert watched.by_name["reports-age"]["AlarmDescription"].endswith(
        "Severity: critical. Runbook: https://wiki/tasks#age."
    )
    assert "Severity: warning. Runbook: https://wiki/emails." in watched.by_name["emails-age"]["AlarmDescription"]


def test_one_composite_alarm_for_each_severity(watched: Watched) -> None:
    """With topics by severity each has its composite alarm, which notifies the topic of its severity alone."""
    composites = {
        item["Properties"]["AlarmName"]: item["Properties"]
        for item in watched.resources.of_type("CloudWatch::CompositeAlarm").values()
    }
    topics = {
        name: Stack.of(topic).resolve(topic.topic_arn)
        for name, topic in (("pager", watched.pager), ("chat", watched.chat))
    }

    assert composites["prod-shop-any-critical"]["AlarmActions"] == [topics["pager"]]
    assert composites["prod-shop-any-warning"]["AlarmActions"] == [topics["chat"]]
    assert set(watched.monitoring.composite_alarms) == {"critical", "warning"}


def test_alarms_know_how_long_tasks_may_run(watched: Watched) -> None:
    """A job of two hours is neither a stuck queue nor a slow worker, as long as it keeps to its timeout."""
    films = watched.by_name

    assert films["films-age"]["Threshold"] == 2 * 7_200
    assert films["films-time-to-drain"]["Threshold"] == 2 * 7_200
    (expression,) = [item for item in films["films-nothing-finished"]["Metrics"] if "Expression" in item]
    periods = {
        item["MetricStat"]["Period"] for item in films["films-nothing-finished"]["Metrics"] if "MetricStat" in item
    }
    assert expression["Expression"].startswith("IF(FILL(received, 0) > 0")
    assert periods == {3_600}, "of three periods one must see the end of a job"
    assert films["reports-duration"]["Threshold"] == 800_000, "one run of the slowest task is no alarm"
    assert films["reports-age"]["Threshold"] == 1_600
    assert films["reports-time-to-drain"]["Threshold"] == 3_600


def test_fair_queues_watch_their_quiet_tenants(watched: Watched) -> None:
    """What a noisy tenant waits for is its own: the objective is for the others, and only where there are tenants."""
    quiet = watched.by_name["emails-quiet-age"]

    assert quiet["MetricName"] == "ApproximateAgeOfOldestMessageInQuietGroups"
    assert quiet["Dimensions"] == [{"Name": "QueueName", "Value": "shop-emails"}]
    assert (quiet["Threshold"], quiet["EvaluationPeriods"]) == (900, 3)
    assert "reports-quiet-age" not in watched.by_name


def test_registry_says_which_tasks_are_fair() -> None:
    """``fair_by`` on a task arrives in the stack by the manifest."""
    env = SQSEnv()
    emails = env.queue("emails")
    emails.processor("send", fair_by="tenant")(lambda tenant: None)
    emails.processor("nag")(lambda: None)

    (read,) = Manifest.from_dict(env.manifest()).queues

    assert {one.name: one.fair for one in read.tasks} == {"send": True, "nag": False}


def test_default_runbook_has_a_section_for_each_alarm(stack: Stack) -> None:
    """The page that alarms name by default says something about each of them."""
    monitoring = SqsTasks(
        stack, "Tasks", manifest=manifest(queue("emails", tasks=[task(fair=True)])), **SETTINGS
    ).monitor(alarms_declined_because="test", with_dashboard=False)
    page = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text(encoding="utf-8")
    headings = {line.removeprefix("## ").strip() for line in page.splitlines() if line.startswith("## ")}

    kinds = {name.rpartition(" ")[2] for name in monitoring.alarms} | {"tasks", "undelivered"}
    assert kinds <= headings
    alarm = next(iter(Resources(stack).of_type("CloudWatch::Alarm").values()))["Properties"]
    assert "Runbook: docs/alarms.md of sqs_tasks, #" in alarm["AlarmDescription"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"without_alarms": ["throtles"]}, "without_alarms has 'throtles'.*did you mean 'throttles'"),
        ({"alarm_options": {"emails agee": AlarmOptions()}}, "alarm_options for 'emails agee'.*'emails age'"),
        ({"alarm_name_prefix": "x" * 250}, "allows 255; shorten alarm_name_prefix"),
    ],
)
def test_alarms_that_there_are_not_are_refused(stack: Stack, settings: dict[str, Any], text: str) -> None:
    """A misspelt alarm does not stay as it is unseen."""
    tasks = SqsTasks(stack, "Tasks", manifest=manifest(), **SETTINGS)

    with pytest.raises(StackError, match=text):
        tasks.monitor(alarms_declined_because="test", with_dashboard=False, **settings)


def test_severity_without_anybody_is_refused(stack: Stack) -> None:
    """A topic for one severity leaves the others without anybody who hears them."""
    tasks = SqsTasks(stack, "Tasks", manifest=manifest(), **SETTINGS)

    with pytest.raises(StackError, match="of severity 'warning' would reach nobody; give this severity a topic"):
        tasks.monitor(alarm_topics={"critical": sns.Topic(stack, "Pager")})


def test_objective_shorter_than_a_job_is_warned_of(stack: Stack) -> None:
    """A message gets older while its job runs, so that such an objective is missed by jobs that are as they should be."""
    tasks = SqsTasks(stack, "Tasks", manifest=manifest(queue("films", tasks=[task(timeout_seconds=600)])), **SETTINGS)

    TaskMonitoring(
        stack,
        "M",
        queues=list(tasks.queues),
        alarms_declined_because="test",
        objectives=Objectives(age=Duration.minutes(5)),
    )

    assert any("is 300 s, and a job on it may run 600 s" in text for text in warnings(stack))
