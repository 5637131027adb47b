"""Services as a platform team wants them: networks of each kind, a container that may do little, deployments, tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Tags
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs

from examples.stack.private import private_network
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.cfn_lint import findings
from tests.support.templates import Resources

IMAGE = ecs.ContainerImage.from_registry("registry.example/shop:1")


def _vpc(stack: Stack, name: str, *types: ec2.SubnetType) -> ec2.Vpc:
    return ec2.Vpc(
        stack,
        name,
        max_azs=2,
        restrict_default_security_group=False,
        subnet_configuration=[ec2.SubnetConfiguration(name=kind.name.lower(), subnet_type=kind) for kind in types],
    )


class Services:
    """One stack with a service in a network of each kind."""

    def __init__(self, app: App) -> None:
        self.stack = Stack(app, "Services")
        Tags.of(self.stack).add("team", "films")
        kind = ec2.SubnetType
        self.vpcs = {
            "public": _vpc(self.stack, "Public", kind.PUBLIC),
            "both": _vpc(self.stack, "Both", kind.PUBLIC, kind.PRIVATE_WITH_EGRESS),
            "isolated": private_network(self.stack),
        }
        self.alarm = cloudwatch.Alarm.from_alarm_arn(
            self.stack, "Own", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:checkout"
        )
        for name, vpc in self.vpcs.items():
            self._worker(name, vpc=vpc, image=IMAGE)
        self._worker(
            "front",
            cluster=ecs.Cluster(
                self.stack, "Cluster", vpc=self.vpcs["both"], container_insights_v2=ecs.ContainerInsights.ENABLED
            ),
            vpc_subnets=ec2.SubnetSelection(subnet_type=kind.PUBLIC),
            bundle=PythonBundle(source=Path(__file__).parents[1] / "e2e", packages=["deployed_tasks"]),
            deployment_alarms=[self.alarm],
        )
        self.resources = Resources(self.stack)

    def _worker(self, name: str, **settings: Any) -> None:
        queue = TaskQueue(self.stack, name, tasks=[ManifestTask(name="render", timeout_seconds=60, max_attempts=2)])
        FargateWorker(self.stack, f"{name}-worker", task_queues=[queue], app="shop.tasks:env", **settings)

    def of(self, name: str, kind: str) -> dict[str, Any]:
        (found,) = [
            value["Properties"]
            for key, value in self.resources.of_type(kind).items()
            if key.startswith(f"{name}worker")
        ]
        return found

    def place(self, name: str) -> tuple[str, set[str]]:
        """Whether tasks have a public address, and the subnets they run in."""
        network = self.of(name, "ECS::Service")["NetworkConfiguration"]["AwsvpcConfiguration"]
        return network["AssignPublicIp"], {subnet["Ref"].partition("Subnet")[0] for subnet in network["Subnets"]}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return Services(App(outdir=str(tmp_path_factory.mktemp("cdk") / "cdk.out"), analytics_reporting=False))


def test_tasks_reach_sqs_from_each_kind_of_network(services: Services) -> None:
    """A public address where that is the only way out, a route where there is one, endpoints where there is neither."""
    assert services.place("public") == ("ENABLED", {"Publicpublic"})
    assert services.place("both") == ("DISABLED", {"Bothprivatewithegress"})
    assert services.place("isolated") == ("DISABLED", {"Privateisolated"})
    assert services.place("front") == ("ENABLED", {"Bothpublic"})


def test_private_example_has_the_endpoints_that_a_worker_needs(services: Services) -> None:
    """Without a way out the worker still finds its queues, its image and its logs."""
    named = {
        str(value["Properties"]["ServiceName"]) for value in services.resources.of_type("EC2::VPCEndpoint").values()
    }

    for service in (".sqs", ".ecr.api", ".ecr.dkr", ".logs", ".s3"):
        assert any(service in name for name in named), service
    assert services.resources.of_type("EC2::NatGateway").keys() == {
        key for key in services.resources.of_type("EC2::NatGateway") if key.startswith("Both")
    }


def test_tags_reach_the_tasks(services: Services) -> None:
    """What a task costs is found by the tags of its service."""
    service = services.of("both", "ECS::Service")

    assert (service["PropagateTags"], service["EnableECSManagedTags"]) == ("SERVICE", True)
    assert {"Key": "team", "Value": "films"} in service["Tags"]


def test_container_of_ours_may_do_little(services: Services) -> None:
    """An image that is built here gets a read-only root, ``/tmp``, no capabilities and a user; yours stays as it is."""
    (ours,) = services.of("front", "ECS::TaskDefinition")["ContainerDefinitions"]
    (theirs,) = services.of("both", "ECS::TaskDefinition")["ContainerDefinitions"]

    assert (ours["ReadonlyRootFilesystem"], ours["User"]) == (True, "1000")
    assert ours["LinuxParameters"] == {"Capabilities": {"Drop": ["ALL"]}, "InitProcessEnabled": True}
    assert ours["MountPoints"] == [{"ContainerPath": "/tmp", "ReadOnly": False, "SourceVolume": "tmp"}]
    assert services.of("front", "ECS::TaskDefinition")["Volumes"] == [{"Name": "tmp"}]
    assert theirs.keys().isdisjoint({"ReadonlyRootFilesystem", "User", "MountPoints"})


def test_alarm_ends_a_deployment(services: Services) -> None:
    """An alarm takes a deployment back, besides the circuit breaker: the user's and ours for a queue without progress."""
    deployment = services.of("front", "ECS::Service")["DeploymentConfiguration"]
    ((ours, alarm),) = services.resources.of_type("CloudWatch::Alarm").items()

    assert deployment["Alarms"] == {"AlarmNames": [{"Ref": ours}, "checkout"], "Enable": True, "Rollback": True}
    received = [one["MetricStat"]["Metric"] for one in alarm["Properties"]["Metrics"] if "MetricStat" in one]
    assert {one["MetricName"] for one in received} == {"NumberOfMessagesReceived", "NumberOfMessagesDeleted"}
    # On the queue alone: an alarm on the service would need it, and ECS needs the alarm first.
    assert {one["Dimensions"][0]["Name"] for one in received} == {"QueueName"}
    assert (alarm["Properties"]["EvaluationPeriods"], alarm["Properties"]["Threshold"]) == (3, 1)
    assert services.of("both", "ECS::Service")["DeploymentConfiguration"]["Alarms"]["Enable"] is False


def test_cfn_lint_takes_these_services(services: Services) -> None:
    """Nothing to find in what a platform team sets."""
    assert findings(services.resources.template) == ""
