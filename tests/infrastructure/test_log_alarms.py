"""Alarms on logs: by the names that messages say, which metrics never have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from sqs_tasks_cdk.alarm_options import AlarmOptions
from sqs_tasks_cdk.alarms_in_parts import watches_of
from sqs_tasks_cdk.monitoring import TaskMonitoring
from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.cfn_lint import findings
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined

SETTINGS: dict[str, Any] = {
    "lambda_defaults": {"code": lambda_.Code.from_inline("def handler(event, context): ...")},
    "fargate_defaults": {"image": ecs.ContainerImage.from_registry("shop")},
}

REGISTRY = manifest(
    queue("emails", tasks=[task("send")]),
    queue("letters", tasks=[task("post")]),
    queue("films", runs_on="fargate", tasks=[task("render")]),
    queue("quiet", tasks=[task("hush")]),
)


class Watched:
    """A registry with log alarms, of which some are set, synthesised once."""

    def __init__(self, stack: Stack) -> None:
        self.chat, self.pager = sns.Topic(stack, "Chat"), sns.Topic(stack, "Pager")
        self.caller = lambda_.Function(
            stack, "Caller", code=lambda_.Code.from_inline("x"), handler="x.y", runtime=lambda_.Runtime.PYTHON_3_13
        )
        self.monitoring: TaskMonitoring = SqsTasks(
            stack, "Tasks", manifest=REGISTRY, shared_functions={"mail": ["emails", "letters"]}, **SETTINGS
        ).monitor(
            alarm_topic=self.chat,
            alarm_topics={"critical": self.pager},
            alarm_actions=[cloudwatch_actions.LambdaAction(self.caller)],
            combined=True,
            log_alarms=True,
            alarm_options={
                "rejected": AlarmOptions(threshold=3),
                "films rejected": AlarmOptions(severity="critical", periods=4, datapoints=2, runbook="https://wiki"),
            },
            without_alarms=["quiet rejected"],
            alarm_name_prefix="prod-",
        )
        self.stack = stack
        self.resources = Resources(stack)
        self.by_name = {
            alarm["Properties"]["AlarmName"]: alarm["Properties"]
            for alarm in self.resources.of_type("CloudWatch::LogAlarm").values()
        }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    app = App(
        outdir=str(tmp_path_factory.mktemp("cdk") / "cdk.out"),
        analytics_reporting=False,
        # Without it the CDK refuses one function for several alarms.
        context={"@aws-cdk/aws-cloudwatch-actions:changeLambdaPermissionLogicalIdForLambdaAction": True},
    )
    return Watched(Stack(app, "Test"))


def test_log_alarms_say_for_which_tasks_jobs_were_given_up(watched: Watched) -> None:
    """One for each log group counts by what the message names, and quotes lines; a shared function has one."""
    assert set(watched.by_name) == {"prod-emails-rejected", "prod-films-rejected"}
    assert set(watched.monitoring.log_alarms) == {"emails rejected", "films rejected"}
    query = watched.by_name["prod-emails-rejected"]["ScheduledQueryConfiguration"]
    assert query["QueryString"].endswith("| filter action in ['job_rejected', 'unknown_task']")
    assert query["AggregationExpression"] == "count(*) by queue_name, job_name, action"
    assert query["LogGroupIdentifiers"] == [{"Ref": _log_group(watched, "emails")}]
    assert watched.by_name["prod-emails-rejected"]["ActionLogLineCount"] == 5


def test_queries_read_each_line_once(watched: Watched) -> None:
    """A query looks at as many minutes as lie between two, and waits a minute for lines that are under way."""
    schedule = watched.by_name["prod-films-rejected"]["ScheduledQueryConfiguration"]["ScheduleConfiguration"]

    assert schedule == {"ScheduleExpression": "rate(5 minutes)", "StartTimeOffset": 360, "EndTimeOffset": 60}


def test_log_alarms_are_set_as_the_others(watched: Watched) -> None:
    """Thresholds, periods, severities with their topics, runbooks and names; and one may be left out."""
    emails, films = watched.by_name["prod-emails-rejected"], watched.by_name["prod-films-rejected"]

    assert [
        (one["Threshold"], one["QueryResultsToAlarm"], one["QueryResultsToEvaluate"]) for one in (emails, films)
    ] == [
        (3, 1, 1),
        (3, 2, 4),
    ]
    caller = watched.stack.resolve(watched.caller.function_arn)
    assert emails["AlarmActions"] == emails["OKActions"] == [caller, watched.stack.resolve(watched.chat.topic_arn)]
    assert films["AlarmActions"] == [caller, watched.stack.resolve(watched.pager.topic_arn)]
    assert "Severity: warning. Runbook: docs/alarms.md of sqs_tasks, #rejected." in emails["AlarmDescription"]
    assert "Severity: critical. Runbook: https://wiki." in films["AlarmDescription"]
    assert "## rejected" in (Path(__file__).parents[2] / "docs" / "alarms.md").read_text(encoding="utf-8")


def test_roles_may_query_these_log_groups_alone(watched: Watched) -> None:
    """CloudWatch Logs queries, CloudWatch reads the lines, and each may do so in the watched groups."""
    trusted = {
        key: value["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for key, value in watched.resources.of_type("IAM::Role").items()
        if "LogAlarms" in key
    }
    assert sorted(trusted.values()) == ["cloudwatch.amazonaws.com", "logs.amazonaws.com"]
    allowed = {}
    for policy in watched.resources.of_type("IAM::Policy").values():
        (role,) = (one["Ref"] for one in policy["Properties"]["Roles"])
        if role in trusted:
            statements = policy["Properties"]["PolicyDocument"]["Statement"]
            allowed[trusted[role]] = {json.dumps(one["Action"]) for one in statements}
            assert {joined(one["Resource"]) for one in statements} == {
                f"${{{_log_group(watched, name)}.Arn}}" for name in ("emails", "films")
            }
    assert allowed == {
        "logs.amazonaws.com": {'["logs:StartQuery", "logs:GetQueryResults"]'},
        "cloudwatch.amazonaws.com": {'"logs:GetQueryResults"'},
    }


def test_cfn_lint_takes_log_alarms(watched: Watched) -> None:
    """The resource is as its schema has it."""
    assert findings(watched.resources.template) == ""


def test_without_asking_there_is_none(stack: Stack) -> None:
    """Queries cost, so they are asked for; options for an alarm that is not there are refused as ever."""
    SqsTasks(stack, "Tasks", manifest=REGISTRY, **SETTINGS).monitor(alarms_declined_because="nobody is there")

    assert Resources(stack).of_type("CloudWatch::LogAlarm") == {}


def test_log_alarms_count_for_the_limits(app: App) -> None:
    """A stack that has room for the other alarms alone is divided."""
    stack = Stack(app, "Test")
    one = TaskQueue(stack, "one")

    assert [watches_of(stack, [one] * 52, [], log_alarms=is_on)[0].scope is stack for is_on in (False, True)] == [
        True,
        False,
    ]


def _log_group(watched: Watched, worker: str) -> str:
    (found,) = (key for key in watched.resources.of_type("Logs::LogGroup") if f"Workers{worker}Logs" in key)
    return found
