"""What ``sqs-tasks render`` writes is what the CDK stack makes of the same registry, so that the two cannot drift."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_

from examples.stack.tasks import env as studio
from sqs_tasks.deployment.plan import plan
from sqs_tasks.deployment.rendering.render import render
from sqs_tasks.deployment.rendering.settings import RenderSettings
from sqs_tasks.deployment.template_file import read_template
from sqs_tasks_cdk.stack import SqsTasks
from tests.support.deployed_facts import Facts, Template
from tests.support.registry_of_everything import manifest_of_everything
from tests.support.templates import Resources

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def of_stack(manifest: dict[str, Any], *, key: str | None = None) -> Facts:
    """What the CDK makes with nothing set by hand but where the code and the image are, and the concurrency."""
    stack = Stack(App(), "S")
    queues = {} if key is None else {"encryption_master_key": kms.Key.from_key_arn(stack, "Key", key)}
    SqsTasks(
        stack,
        "T",
        manifest=manifest,
        queue_defaults=queues,
        schedule_settings=queues,
        lambda_defaults={
            "code": lambda_.Code.from_inline("x"),
            "handler": "sqs_tasks.lambda_handler.handler",
            "max_concurrency": 5,
            "reserved_concurrent_executions": 6,
        },
        fargate_defaults={"image": ecs.ContainerImage.from_registry("x")},
    )
    return Template(Resources(stack).template).facts()


def of_rendering(manifest: dict[str, Any], directory: Path, *, key: str | None = None) -> Facts:
    """What the rendered template makes."""
    made = plan(manifest, kms_key_arn=key)
    names = [one["queue"] for one in made["workers"] if one["runs_on"] == "lambda"]
    settings = RenderSettings(
        form="cloudformation",
        max_concurrency=dict.fromkeys(names, 5),
        reserved_concurrency=dict.fromkeys(names, 6),
    )
    path = directory / "template.yaml"
    path.write_text(render(made, settings, now=datetime.now(UTC)).text)
    return Template(read_template(path)).facts()


#: Rights of a container that the stack grants, and a template without the service cannot: they name the cluster.
OF_THE_CLUSTER = ("ecs:GetTaskProtection", "ecs:UpdateTaskProtection")

#: Who takes roles of services, which are not rendered.
OF_SERVICES = ("ecs-tasks.amazonaws.com", "application-autoscaling.amazonaws.com")


def without_services(facts: Facts) -> Facts:
    """What the stack makes, but for what belongs to services of containers."""
    return {
        **facts,
        "rights": {
            queue: {one for one in held if one[0] not in OF_THE_CLUSTER} for queue, held in facts["rights"].items()
        },
        "trust": {text: {} for text in facts["trust"] if not any(service in text for service in OF_SERVICES)},
    }


@pytest.mark.parametrize("key", [None, KEY])
def test_a_rendering_is_what_the_stack_makes(key: str | None, tmp_path: Path) -> None:
    """Numbers, policies, variables, mappings, roles and schedules, in the example and in a queue of every kind."""
    for manifest in (studio.manifest(app="examples.stack.tasks:env"), manifest_of_everything(existing=False)):
        stack, ours = without_services(of_stack(manifest, key=key)), of_rendering(manifest, tmp_path, key=key)

        # The stack makes nothing for workers elsewhere; here they get a policy, as containers do.
        ours["rights"].pop("shop-tapes", None)
        for kind in stack.keys() | ours.keys():
            assert ours[kind] == stack[kind], kind
        assert stack["functions"]
        assert stack["rights"].keys() > stack["functions"].keys()
