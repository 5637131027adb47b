"""Metrics of jobs by queue in place of by task, and what monitoring costs, as the documentation counts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.stack import SqsTasks
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    app = App(outdir=str(tmp_path_factory.mktemp("cdk") / "cdk.out"), analytics_reporting=False)
    stack = Stack(app, "Test")
    settings: dict[str, Any] = {
        "lambda_defaults": {"code": lambda_.Code.from_inline("def handler(event, context): ..."), "metrics": "queue"},
        "fargate_defaults": {"image": ecs.ContainerImage.from_registry("shop"), "metrics": "queue"},
    }
    registry = manifest(queue("emails", tasks=[task("send"), task("nag")]), queue("films", runs_on="fargate"))
    SqsTasks(stack, "Tasks", manifest=registry, **settings).monitor(alarms_declined_because="test")
    return Resources(stack)


def test_workers_count_by_queue(resources: Resources) -> None:
    """A function learns it by a variable; of a service, CloudWatch counts the lines so."""
    variables = resources.only("Lambda::Function")["Environment"]["Variables"]
    filters = [item["Properties"] for item in resources.of_type("Logs::MetricFilter").values()]

    assert variables["SQS_TASKS_METRICS"] == "queue"
    assert filters
    for one in filters:
        (transformation,) = one["MetricTransformations"]
        assert {item["Key"] for item in transformation["Dimensions"]} == {"queue", "service"}


def test_dashboard_shows_what_is_counted(resources: Resources) -> None:
    """No graph asks for the metrics of a task, which are not there."""
    widgets = json.loads(joined(resources.only("CloudWatch::Dashboard")["DashboardBody"]))["widgets"]
    shown = [
        metric for widget in widgets for metric in widget["properties"].get("metrics", []) if metric[0] == "SqsTasks"
    ]

    assert {tuple(metric[2:6]) for metric in shown} == {
        ("queue", "emails", "service", "shop"),
        ("queue", "films", "service", "shop"),
    }
    assert not any("task" in metric[2::2] for metric in shown)
    assert {metric[1] for metric in shown} >= {"JobsSucceeded", "JobsRetried", "JobsDeadLettered", "JobsUnknown"}


def test_documentation_counts_the_alarms_right(resources: Resources) -> None:
    """CloudWatch bills an alarm by the metrics it reads: the page says how many those of a queue with a function do."""
    alarms = [
        item["Properties"] for key, item in resources.of_type("CloudWatch::Alarm").items() if "Alarmsemails" in key
    ]
    read = sum(sum("MetricStat" in one for one in alarm.get("Metrics", ())) or 1 for alarm in alarms)
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")

    assert f"{len(alarms)} alarms, which read {read} metrics" in page
