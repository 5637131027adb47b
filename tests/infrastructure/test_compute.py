"""What functions can be today: long timeouts, managed instances, Python 3.14, deployments step by step."""

from __future__ import annotations

from typing import Any

import cdk_nag
import pytest
from aws_cdk import App, Duration, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.gradual_deployment import GradualDeployment
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.managed_instances import ManagedInstances
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.cfn_lint import findings
from tests.support.templates import Resources

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
PROVIDER = "arn:aws:lambda:us-east-1:123456789012:capacity-provider:shop"


def _worker(stack: Stack, name: str, *, task_seconds: float, **settings: Any) -> LambdaWorker:
    queue = TaskQueue(
        stack,
        name,
        queue_name=f"shop-{name}",
        tasks=[ManifestTask(name="work", timeout_seconds=task_seconds, max_attempts=2, enqueues=())],
    )
    return LambdaWorker(stack, f"{name}-worker", task_queue=queue, app="shop.tasks:env", code=CODE, **settings)


class Today:
    """One stack with a function of each kind, checked against all rules when it was synthesised."""

    def __init__(self, app: App) -> None:
        self.stack = Stack(app, "Today")
        provider = lambda_.CapacityProvider.from_capacity_provider_arn(self.stack, "Provider", PROVIDER)
        _worker(
            self.stack, "long", task_seconds=1_795, timeout=Duration.minutes(30), runtime=lambda_.Runtime.PYTHON_3_14
        )
        _worker(
            self.stack,
            "films",
            task_seconds=5_395,
            capacity_provider=ManagedInstances(
                provider=provider, concurrency=4, memory_gib_per_vcpu=4, min_environments=3, max_environments=20
            ),
        )
        _worker(self.stack, "songs", task_seconds=10, capacity_provider=provider, alias="stable")
        own = cloudwatch.Alarm.from_alarm_arn(
            self.stack, "Own", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:checkout"
        )
        _worker(
            self.stack,
            "mails",
            task_seconds=10,
            deployment=GradualDeployment(
                config=codedeploy.LambdaDeploymentConfig.LINEAR_10_PERCENT_EVERY_1_MINUTE, alarms=[own]
            ),
        )
        app.synth()  # raises when a rule has a finding
        self.resources = Resources(self.stack)

    def function(self, name: str) -> dict[str, Any]:
        (found,) = [
            value["Properties"]
            for value in self.resources.of_type("Lambda::Function").values()
            if value["Properties"]["Description"] == f"Works the queue {name}"
        ]
        return found

    def mapping(self, name: str) -> dict[str, Any]:
        (found,) = [
            value["Properties"]
            for key, value in self.resources.of_type("Lambda::EventSourceMapping").items()
            if key.startswith(f"{name}worker")
        ]
        return found


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Today:
    app = App(
        outdir=str(tmp_path_factory.mktemp("cdk") / "cdk.out"),
        analytics_reporting=False,
        context={"@aws-cdk/core:validateAgainstDefaultRules": True},
    )
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    return Today(app)


def test_timeout_of_half_an_hour_is_taken(today: Today) -> None:
    """Z1: what is asked for by argument may be 1,800 s, and the visibility is six of those."""
    long = today.function("long")

    assert (long["Timeout"], long["Runtime"]) == (1_800, "python3.14")
    assert today.resources.queue("shop-long")["VisibilityTimeout"] == 6 * 1_800


def test_function_runs_on_managed_instances(today: Today) -> None:
    """Z1: a task of ninety minutes, with its visibility, on the instances of a capacity provider."""
    films = today.function("films")

    assert (films["Timeout"], films["MemorySize"]) == (5_400, 2_048)
    assert films["CapacityProviderConfig"] == {
        "LambdaManagedInstancesCapacityProviderConfig": {
            "CapacityProviderArn": PROVIDER,
            "PerExecutionEnvironmentMaxConcurrency": 4,
            "ExecutionEnvironmentMemoryGiBPerVCpu": 4,
        }
    }
    assert films["FunctionScalingConfig"] == {"MinExecutionEnvironments": 3, "MaxExecutionEnvironments": 20}
    assert films["PublishToLatestPublished"] is True
    assert today.resources.queue("shop-films")["VisibilityTimeout"] == 32_400
    assert today.mapping("films")["BatchSize"] == 1


def test_managed_function_with_an_alias_publishes_that(today: Today) -> None:
    """Only published versions run there: the alias's own, and not another one beside it."""
    assert "PublishToLatestPublished" not in today.function("songs")
    assert today.mapping("songs")["FunctionName"]["Fn::Join"][1][-1] == ":stable"


def test_new_version_is_deployed_step_by_step(today: Today) -> None:
    """The queue feeds an alias, which CodeDeploy moves, and moves back when the version itself fails."""
    resources = today.resources
    group = resources.only("CodeDeploy::DeploymentGroup")
    (alarm_id,) = [key for key in resources.of_type("CloudWatch::Alarm") if "DeploymentErrors" in key]
    alias_id, alias = next(item for item in resources.of_type("Lambda::Alias").items() if "mails" in item[0])

    assert alias["Properties"]["Name"] == "live"
    assert "CodeDeployLambdaAliasUpdate" in alias["UpdatePolicy"]
    feeds = today.mapping("mails")["FunctionName"]["Fn::Join"][1]
    assert (alias_id in str(feeds), feeds[-1]) == (True, ":live")
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"
    assert group["AlarmConfiguration"]["Alarms"] == [{"Name": {"Ref": alarm_id}}, {"Name": "checkout"}]
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert resources.by_id[alarm_id]["Properties"]["MetricName"] == "Errors"


def test_cfn_lint_takes_the_functions_of_today(today: Today) -> None:
    """The validator that knows 900 s only is answered in the template."""
    assert findings(today.resources.template) == ""


def test_longer_tasks_are_refused_with_the_roads_that_there_are(stack: Stack) -> None:
    """R1: nobody gets more than 900 s without asking, and what is asked for has an end too."""
    with pytest.raises(RuleError, match=r"timeout= \(up to 1800 s\) or a capacity_provider= \(up to 5400 s\)"):
        _worker(stack, "a", task_seconds=1_000)
    with pytest.raises(RuleError, match="runs for 1 to 1800 s"):
        _worker(stack, "b", task_seconds=10, timeout=Duration.seconds(1_801))
    provider = lambda_.CapacityProvider.from_capacity_provider_arn(stack, "Provider", PROVIDER)
    with pytest.raises(RuleError, match=r"needs 5401 s .* runs for 5400 s"):
        _worker(stack, "c", task_seconds=5_396, capacity_provider=provider)


def test_managed_functions_are_refused_what_they_do_not_have(stack: Stack) -> None:
    """A network, SnapStart, little memory and an old Python are refused here and not halfway through a deploy."""
    provider = lambda_.CapacityProvider.from_capacity_provider_arn(stack, "Provider", PROVIDER)

    def refused(**settings: Any) -> str:
        with pytest.raises(StackError) as caught:
            _worker(stack, f"q{len(stack.node.children)}", task_seconds=5, capacity_provider=provider, **settings)
        return str(caught.value)

    assert "cannot be given vpc, snap_start" in refused(vpc=ec2.Vpc(stack, "Vpc"), snap_start=True)
    assert "with memory_size 512; it has 2048 MB at least" in refused(memory_size=512)
    assert "python3.12; Python 3.13 is the oldest" in refused(runtime=lambda_.Runtime.PYTHON_3_12)
