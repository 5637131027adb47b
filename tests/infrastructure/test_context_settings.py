"""The settings of a stack without a line of CDK code: by context, and by a function of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from sqs_tasks_cdk import __main__ as main
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.stack import TaskStack
from tests.support.manifests import manifest, queue
from tests.support.templates import Resources, warnings

#: Nothing is bundled.
UNBUNDLED: dict[str, Any] = {"aws:cdk:bundling-stacks": []}

HOOK = """
from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns


def production(stack, manifest):
    return {
        "lambda_defaults": {"code": lambda_.Code.from_inline("x"), "memory_size": 2048},
        "fargate_defaults": {"image": ecs.ContainerImage.from_registry("shop")},
        "queue_settings": {manifest.queues[0].name: {"delivery_delay": Duration.seconds(7)}},
        "monitoring": {"alarm_topic": sns.Topic(stack, "Ops"), "with_dashboard": False},
    }


number = 7
nothing = lambda stack, manifest: None
"""


def _stack(context: Mapping[str, Any], **changes: Any) -> TaskStack:
    registry = Manifest.read(manifest(queue(), queue("films", runs_on="fargate"), **changes))
    return main.make_stack(App(context={**UNBUNDLED, **context}), registry)


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module with a settings function, beside the application."""
    path = tmp_path_factory.mktemp("hook") / "deploy_settings.py"
    path.write_text(HOOK)
    return str(path)


@pytest.fixture(scope="module")
def configured(hook: str) -> TaskStack:
    """A stack with all that the context can say, and a function that says the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(hook).parent))
        return _stack(
            {
                "settings": "deploy_settings:production",
                "environment": '{"MODE": "live"}',
                "secrets": {"DB_PASSWORD": "shop/db"},
                "memory": "1024",
                "runtime": "3.12",
                "removal_policy": "destroy",
                "account": "123456789012",
                "region": "eu-west-1",
                "vpc": "vpc-12345",
            }
        )


def test_context_reaches_the_workers(configured: TaskStack) -> None:
    """Runtime, environment, network and secrets are those of the context; a function's setting wins over it."""
    resources = Resources(configured)
    function = resources.only("Lambda::Function")
    (container,) = resources.only("ECS::TaskDefinition")["ContainerDefinitions"]

    assert (function["Runtime"], function["MemorySize"]) == ("python3.12", 2_048)
    assert function["Environment"]["Variables"]["MODE"] == "live"
    assert {"Name": "MODE", "Value": "live"} in container["Environment"]
    assert function["VpcConfig"]["SubnetIds"] == ["p-12345", "p-67890"]
    assert configured.account == "123456789012"


def test_secrets_are_read_where_they_are_needed(configured: TaskStack) -> None:
    """ECS puts the value into a service's variable; a function gets the ARN and the right to read it."""
    resources = Resources(configured)
    (container,) = resources.only("ECS::TaskDefinition")["ContainerDefinitions"]
    variables = resources.only("Lambda::Function")["Environment"]["Variables"]

    assert [one["Name"] for one in container["Secrets"]] == ["DB_PASSWORD"]
    assert "shop/db" in json.dumps(variables["DB_PASSWORD_ARN"])
    policies = {key: json.dumps(one) for key, one in resources.of_type("IAM::Policy").items()}
    assert any("Workersemails" in key and "secretsmanager:GetSecretValue" in one for key, one in policies.items())


def test_function_says_settings_and_alarms(configured: TaskStack) -> None:
    """What the context has no key for: settings of one queue, and alarms with a topic of the stack."""
    resources = Resources(configured)

    assert resources.queue("shop-emails")["DelaySeconds"] == 7
    assert resources.of_type("CloudWatch::Alarm")
    assert not resources.of_type("CloudWatch::Dashboard")


def test_deleting_queues_is_said(configured: TaskStack) -> None:
    """Queues that go with the stack are asked for, and are still warned of."""
    queues = Resources(configured).of_type("SQS::Queue")

    assert {one["DeletionPolicy"] for key, one in queues.items() if "Queues" in key} == {"Delete"}
    assert [text for text in warnings(configured) if "deleted with the stack" in text]


def test_what_the_context_leaves_open_is_said() -> None:
    """No word about alarms: nobody is notified, and that is a warning with what to say."""
    registry = Manifest.read(manifest(app="examples.shop.tasks:env"))
    quiet = main.make_stack(App(context=UNBUNDLED), registry)

    (warning,) = warnings(quiet)
    assert "there are no alarms and no dashboard. Say -c alarm_email=..." in warning
    declined = main.make_stack(App(context={**UNBUNDLED, "alarms_declined_because": "a sandbox"}), registry)
    assert warnings(declined) == []


def test_registry_without_tasks_is_allowed_by_a_word() -> None:
    """Without the word it is a task module that was forgotten; with it a stack of queues, watched as others are."""
    idle = Manifest.read(manifest(queue(tasks=[]), app="examples.shop.tasks:env"))
    context = {**UNBUNDLED, "alarms_declined_because": "a sandbox"}

    with pytest.raises(StackError, match=r"no task on any queue.*-c without_tasks=true"):
        main.make_stack(App(context=context), idle)
    stack = main.make_stack(App(context={**context, "without_tasks": "true"}), idle)

    assert len(Resources(stack).of_type("SQS::Queue")) == 2
    assert not Resources(stack).of_type("Lambda::Function")
    assert any("a deploy removes the workers" in text for text in warnings(stack))


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"without_tasks": "perhaps"}, "-c without_tasks=perhaps: allowed is true or false"),
        ({"memory": "much"}, "-c memory=much: the memory of functions is a number of megabytes"),
        ({"runtime": "2.7"}, "-c runtime=2.7: allowed is python3.11, python3.12"),
        ({"removal_policy": "keep"}, "-c removal_policy=keep: allowed is retain or destroy"),
        ({"environment": "MODE=live"}, "-c environment=... is no JSON; write it like"),
        ({"environment": {"MODE": 1}}, "it must be an object of texts"),
        ({"vpc": "vpc-1"}, "-c vpc=vpc-1 is looked up in an account and region that are not known"),
        ({"settings": "deploy_settings"}, "it must read 'module:function'"),
        ({"settings": "deploy_settings:missing"}, "cannot be imported (module 'deploy_settings' has no attribute"),
        ({"settings": "deploy_settings:number"}, "-c settings=deploy_settings:number is no function"),
        ({"settings": "deploy_settings:nothing"}, "the settings function returned None; return a dictionary"),
    ],
)
def test_wrong_values_are_refused(
    context: dict[str, Any], says: str, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the value, and with what is allowed."""
    monkeypatch.syspath_prepend(str(Path(hook).parent))
    monkeypatch.delenv("CDK_DEFAULT_ACCOUNT", raising=False)

    with pytest.raises(StackError) as caught:
        _stack(context)

    assert says in str(caught.value)
