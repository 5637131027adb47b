"""Rules R1 to R9 over templates of anybody: as data, as a plugin of a CDK app, as a mixin of a part of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Acknowledgment, App, Duration, Mixins, Stack, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.template_rules.checks import check
from sqs_tasks_cdk.template_rules.mixin import TaskRulesMixin
from sqs_tasks_cdk.template_rules.plugin import task_rules
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, warnings

#: A queue, its dead-letter queue and its function, by hand and as they should be.
GOOD: dict[str, Any] = {
    "Jobs": {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": "jobs",
            "VisibilityTimeout": 180,
            "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}, "maxReceiveCount": 8},
        },
    },
    "Dead": {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "MessageRetentionPeriod": 1_209_600,
            "RedriveAllowPolicy": {
                "redrivePermission": "byQueue",
                "sourceQueueArns": [{"Fn::Sub": "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:jobs"}],
            },
        },
    },
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Policies": [
                {"PolicyDocument": {"Statement": {"Effect": "Allow", "Action": "sqs:*", "Resource": {"Ref": "Any"}}}}
            ]
        },
    },
    "Work": {"Type": "AWS::Lambda::Function", "Properties": {"Timeout": 30, "Role": {"Fn::GetAtt": ["Role", "Arn"]}}},
    "Feed": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Jobs", "Arn"]},
            "FunctionName": {"Ref": "Work"},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    },
}
CODE: dict[str, Any] = {
    "code": lambda_.Code.from_inline("def handler(event, context): ..."),
    "handler": "index.handler",
}
STATEMENT = {"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"], "Resource": "*"}
POLLING = {**STATEMENT, "Action": [*STATEMENT["Action"], "sqs:GetQueueAttributes"]}


def role(statement: dict[str, Any]) -> dict[str, Any]:
    """The policies of a role with one statement."""
    return {"Policies": [{"PolicyDocument": {"Statement": [statement]}}]}


def found(changes: dict[str, dict[str, Any]]) -> list[str]:
    """The ids that the rules find in the good template with these properties; None leaves a property out."""
    resources = copy.deepcopy(GOOD)
    for name, properties in changes.items():
        resources[name]["Properties"] = {
            key: value for key, value in {**resources[name]["Properties"], **properties}.items() if value is not None
        }
    return [f"{one.severity} {one.id} {one.resource}" for one in check({"Resources": resources})]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"Work": {"Timeout": 1_801}, "Jobs": {"VisibilityTimeout": 43_200}}, ["error R1-timeout Work"]),
        ({"Work": {"Timeout": 5_400, "CapacityProviderConfig": {}}, "Jobs": {"VisibilityTimeout": 43_200}}, []),
        ({"Work": {"Timeout": None}}, ["warning R1-default-timeout Work"]),
        ({"Jobs": {"VisibilityTimeout": 29}}, ["error R2-visibility Jobs"]),
        ({"Jobs": {"VisibilityTimeout": None}}, ["warning R2-headroom Jobs"]),
        ({"Jobs": {"VisibilityTimeout": "179"}}, ["warning R2-headroom Jobs"]),
        ({"Feed": {"MaximumBatchingWindowInSeconds": 1}}, ["warning R2-headroom Jobs"]),
        ({"Jobs": {"VisibilityTimeout": 43_201}}, ["error R2-range Jobs"]),
        ({"Jobs": {"RedrivePolicy": None}}, ["warning R3-no-dead-letter-queue Jobs"]),
        ({"Jobs": {"RedrivePolicy": {"maxReceiveCount": 4}}}, ["warning R3-few-receives Jobs"]),
        ({"Jobs": {"RedrivePolicy": {"maxReceiveCount": 1_001}}}, ["error R3-receives Jobs"]),
        (
            {"Jobs": {"MessageRetentionPeriod": 500_000}, "Dead": {"MessageRetentionPeriod": 400_000}},
            ["error R3-dead-letter-retention Jobs"],
        ),
        ({"Dead": {"FifoQueue": True}}, ["error R3-dead-letter-type Jobs"]),
        ({"Feed": {"BatchSize": 11}}, ["error R4-mapping Feed"]),
        ({"Feed": {"ScalingConfig": {"MaximumConcurrency": 1}}}, ["error R4-mapping Feed"]),
        ({"Feed": {"ProvisionedPollerConfig": {"MinimumPollers": 1}}}, ["error R4-pollers Feed"]),
        ({"Work": {"ReservedConcurrentExecutions": 1}}, ["warning R4-throttled Work"]),
        (
            {"Work": {"ReservedConcurrentExecutions": 4}, "Feed": {"ScalingConfig": {"MaximumConcurrency": 5}}},
            ["error R4-reserved Work"],
        ),
        ({"Feed": {"FunctionResponseTypes": None}}, ["warning R4-partial-responses Feed"]),
        (
            {"Feed": {"FunctionResponseTypes": []}, "Work": {"Environment": {"Variables": {"SQS_TASKS_APP": "a:b"}}}},
            ["error R4-partial-responses Feed"],
        ),
        ({"Role": role(STATEMENT)}, ["error R5-rights Work"]),
        (
            {"Role": role({**STATEMENT, "Action": "sqs:*", "Resource": {"Fn::GetAtt": ["Dead", "Arn"]}})},
            ["error R5-rights Work"],
        ),
        ({"Role": {**role(STATEMENT), "ManagedPolicyArns": ["arn:aws:iam::aws:policy/Other"]}}, []),
        ({"Role": role(POLLING), "Work": {"RecursiveLoop": "Allow"}}, ["warning R6-loop Work"]),
        ({"Jobs": {"QueueName": "j" * 81}, "Dead": {"RedriveAllowPolicy": None}}, ["error R7-queue-name Jobs"]),
        ({"Jobs": {"QueueName": "jobs.fifo"}, "Dead": {"RedriveAllowPolicy": None}}, ["error R7-fifo-name Jobs"]),
        ({"Work": {"FunctionName": "f" * 65}}, ["error R7-function-name Work"]),
        ({"Jobs": {"QueueName": "others"}}, ["error R8-not-admitted Jobs"]),
        ({"Dead": {"RedriveAllowPolicy": '{"redrivePermission": "denyAll"}'}}, ["error R8-not-admitted Jobs"]),
        (
            {"Dead": {"RedriveAllowPolicy": {"redrivePermission": "byQueue", "sourceQueueArns": [{"Ref": "P"}] * 11}}},
            ["error R8-sources Dead"],
        ),
        ({"Feed": {"EventSourceArn": {"Fn::ImportValue": "jobs"}}}, ["warning R9-export Feed"]),
    ],
)
def test_each_rule_finds_what_breaks_it_and_nothing_else(
    changes: dict[str, dict[str, Any]], expected: list[str]
) -> None:
    """One property is changed, and the finding names the rule and the resource."""
    assert found(changes) == expected


@pytest.mark.parametrize(
    "unknown", [{"Ref": "Parameter"}, {"Fn::If": ["Big", 1, 2]}, {"Fn::FindInMap": ["A", "B", "C"]}, "text"]
)
def test_what_is_decided_at_deployment_passes(unknown: Any) -> None:
    """No rule answers for a value that nobody knows yet, and none fails over it."""
    changed = {
        "Jobs": ("VisibilityTimeout", "RedrivePolicy", "FifoQueue", "MessageRetentionPeriod"),
        "Dead": ("RedriveAllowPolicy", "MessageRetentionPeriod"),
        "Work": ("Timeout", "Role", "ReservedConcurrentExecutions", "Environment"),
        "Feed": (
            "BatchSize",
            "MaximumBatchingWindowInSeconds",
            "ScalingConfig",
            "ProvisionedPollerConfig",
            "FunctionName",
        ),
    }

    assert [
        (name, one)
        for name, properties in changed.items()
        for one in properties
        if found({name: {one: unknown}}) not in ([], ["warning R4-throttled Work"])
    ] == []


def test_findings_speak_the_words_of_cloudformation() -> None:
    """Whoever reads them has no Python in front of them."""
    resources = copy.deepcopy(GOOD)
    resources["Work"]["Properties"]["ReservedConcurrentExecutions"] = 4
    resources["Feed"]["Properties"] |= {
        "BatchSize": 20,
        "ScalingConfig": {"MaximumConcurrency": 5},
        "ProvisionedPollerConfig": {"MinimumPollers": 900},
    }
    texts = " ".join(one.text for one in check({"Resources": resources}))

    assert "BatchSize 20 on queue 'Jobs' needs a batching window" in texts
    assert "MaximumBatchingWindowInSeconds: 1" in texts
    assert not [word for word in texts.split() if "_" in word or "[R" in word]


def test_functions_of_aws_sam_are_understood() -> None:
    """An event of type SQS is a mapping, and Globals hold for every function."""
    document = {
        "Globals": {"Function": {"Timeout": 60}},
        "Resources": {
            "Jobs": GOOD["Jobs"],
            "Work": {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    "Events": {
                        "Jobs": {"Type": "SQS", "Properties": {"Queue": {"Fn::GetAtt": "Jobs.Arn"}, "BatchSize": 50}}
                    }
                },
            },
        },
    }

    assert [(one.id, one.resource) for one in check(document)] == [
        ("R4-mapping", "Work"),
        ("R4-partial-responses", "Work"),
        ("R2-headroom", "Jobs"),
    ]


def test_other_event_sources_and_aliases() -> None:
    """A stream is no queue, and a mapping of an alias feeds its function."""
    resources = copy.deepcopy(GOOD)
    resources["Stream"] = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"EventSourceArn": {"Ref": "P"}, "StartingPosition": "LATEST", "BatchSize": 10_000},
    }
    resources["Live"] = {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "Work"}}}
    resources["Feed"]["Properties"]["FunctionName"] = {"Ref": "Live"}
    resources["Jobs"]["Properties"]["VisibilityTimeout"] = 1

    assert [one.id for one in check({"Resources": resources})] == ["R2-visibility"]


def test_stacks_of_ours_have_no_findings(stack: Stack) -> None:
    """What the constructs make passes what they check."""
    registry = manifest(
        queue("emails", tasks=[task(enqueues=["emails", "orders.fifo"])]),
        queue("orders.fifo", tasks=[task("place", enqueues=None)]),
        queue("shared", dead_letter_queue={"name": "emails_dead", "queue_name": "shop-emails_dead"}),
    )
    SqsTasks(stack, "Tasks", manifest=registry, lambda_defaults=CODE)

    assert check(Resources(stack).template) == []


def make(stack: Stack) -> tuple[sqs.Queue, lambda_.Function]:
    """A queue and its function as somebody would write them who has not read about either."""
    jobs = sqs.Queue(stack, "Jobs")
    function = lambda_.Function(
        stack,
        "Work",
        runtime=lambda_.Runtime.PYTHON_3_13,
        timeout=Duration.seconds(20),
        reserved_concurrent_executions=3,
        **CODE,
    )
    function.add_event_source(sources.SqsEventSource(jobs, max_concurrency=5))
    return jobs, function


def report(app: App) -> list[str]:
    """What the plugin has reported."""
    document = json.loads((Path(app.outdir) / "validation-report.json").read_text())
    return [
        violation["ruleName"]
        for one in document["pluginReports"]
        if (one.get("pluginName") or one["summary"]["pluginName"]) == "SqsTasks"
        for violation in one["violations"]
    ]


def test_plugin_fails_a_synth_until_its_finding_is_acknowledged(tmp_path: Path) -> None:
    """Errors in what the CDK's own constructs made stop the synth; an acknowledgement lets it pass."""
    synthesised = {}
    for is_acknowledged in (False, True):
        app = App(outdir=str(tmp_path / str(is_acknowledged)), analytics_reporting=False)
        jobs, function = make(Stack(app, "Test"))
        Validations.of(app).add_plugins(task_rules())
        if is_acknowledged:
            Validations.of(function).acknowledge(Acknowledgment(id="SqsTasks::R4-reserved", reason="a test"))
            Validations.of(jobs).acknowledge(Acknowledgment(id="SqsTasks::R2-headroom", reason="a test"))
            app.synth()
        else:
            with pytest.raises(RuntimeError, match="SqsTasks::R4-reserved"):
                app.synth()
        synthesised[is_acknowledged] = report(app)

    rest = ["R3-no-dead-letter-queue", "R4-partial-responses"]
    assert sorted(synthesised[True]) == rest
    assert sorted(synthesised[False]) == sorted([*rest, "R2-headroom", "R4-reserved"])


def test_mixin_shows_findings_where_they_are(stack: Stack) -> None:
    """Only what it was applied to is checked, as it is in the end; acknowledgements are those of the plugin."""
    jobs, function = make(stack)
    Mixins.of(jobs).apply(TaskRulesMixin())
    Mixins.of(function).apply(TaskRulesMixin())
    Validations.of(function).acknowledge(
        Acknowledgment(id="SqsTasks::R4-reserved", reason="a test"),
        Acknowledgment(id="SqsTasks::R4-partial-responses", reason="a test"),
    )
    Stack.of(jobs)  # what is changed after the mixin was applied counts
    cfn_queue = jobs.node.default_child
    assert isinstance(cfn_queue, sqs.CfnQueue)
    cfn_queue.visibility_timeout = 119

    shown = warnings(stack)

    assert [text.partition(":")[0] for text in shown] == ["Test/Jobs/Resource"] * 2
    assert "VisibilityTimeout is 119 s" in " ".join(shown)
    assert "RedrivePolicy" in " ".join(shown)
