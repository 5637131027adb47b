"""A plan as a configuration of Terraform: by the provider's schema, and beside the template of CloudFormation."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.deployment.plan import plan
from sqs_tasks.deployment.rendering.render import render
from sqs_tasks.deployment.rendering.settings import RenderSettings
from sqs_tasks.deployment.template_file import read_template
from sqs_tasks.errors import ConfigurationError
from tests.support.deployed_facts import Template
from tests.support.registry_of_everything import APP, manifest_of_everything
from tests.support.terraform_facts import Configuration
from tests.support.terraform_schema import SCHEMA_PATH, problems

NOW = datetime(2030, 1, 31, 12, 7, tzinfo=UTC)
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SIZES: dict[str, Any] = {
    "memory": {"emails": 2_048},
    "max_concurrency": {"emails": 5},
    "reserved_concurrency": {"emails": 6},
}


def configuration(manifest: dict[str, Any], *, kms_key_arn: str | None = None, **settings: Any) -> dict[str, Any]:
    """A registry as Terraform reads it."""
    made = plan(manifest, kms_key_arn=kms_key_arn)
    document: dict[str, Any] = json.loads(render(made, RenderSettings(form="terraform", **settings), now=NOW).text)
    return document


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    return configuration(manifest_of_everything(), kms_key_arn=KEY, **SIZES)


def test_the_provider_has_every_name_that_is_used(everything: dict[str, Any]) -> None:
    """Types of resources, attributes and blocks with their types, those that are required, and every reference."""
    assert problems(everything) == []


def test_the_schema_finds_what_terraform_would(everything: dict[str, Any]) -> None:
    """A name that is wrong, one that is missing, a value of another type, a reference to nothing."""
    broken = copy.deepcopy(everything)
    resources = broken["resource"]
    resources["aws_sqs_queue"]["emails"]["visibility_timeout"] = 30
    resources["aws_lambda_function"]["emails"]["timeout"] = "long"
    del resources["aws_lambda_function"]["emails"]["logging_config"]["log_format"]
    resources["aws_lambda_event_source_mapping"]["emails"]["event_source_arn"] = "${aws_sqs_queue.mails.arn}"
    resources["aws_iam_role_policy"]["emails"]["role"] = "${aws_iam_role.emails.key}"
    resources["aws_lambda_event_source_mapping"]["emails"]["depends_on"] = ["aws_iam_role_policy.mails"]
    resources["aws_sqs_topic"] = {"emails": {}}

    assert set(problems(broken)) == {
        "resource.aws_sqs_queue.emails: visibility_timeout is unknown",
        "resource.aws_lambda_function.emails: timeout is 'long', and not a number",
        "resource.aws_lambda_function.emails.logging_config: log_format is missing",
        "aws_sqs_queue.mails.arn: there is no such resource",
        "aws_iam_role.emails.key: there is no such attribute",
        "aws_iam_role_policy.mails: there is no such resource",
        "resource.aws_sqs_topic.emails: the provider has no such type",
    }


def test_the_provider_that_is_asked_for_is_the_one_of_the_schema(everything: dict[str, Any]) -> None:
    """An older one may lack a name that the newer has."""
    version = everything["terraform"]["required_providers"]["aws"]["version"].removeprefix(">= ")

    assert json.loads(SCHEMA_PATH.read_text())["provider"].startswith(f"hashicorp/aws {version}.")


@pytest.mark.parametrize("key", [None, KEY])
def test_it_deploys_what_cloudformation_does(key: str | None, tmp_path: Path) -> None:
    """Queues with their policies, functions with their variables, mappings, rights, trust and schedules."""
    manifest = manifest_of_everything()
    path = tmp_path / "template.yaml"
    settings = RenderSettings(form="cloudformation", **SIZES)
    path.write_text(render(plan(manifest, kms_key_arn=key), settings, now=NOW).text)
    theirs = Template(read_template(path)).facts()
    ours = Configuration(configuration(manifest, kms_key_arn=key, **SIZES)).facts()

    for kind in theirs.keys() | ours.keys():
        assert ours[kind] == theirs[kind], kind
    assert ours["functions"]["shop-emails"]["RecursiveLoop"] == "Allow"


def test_what_the_application_wrote_is_no_expression(everything: dict[str, Any]) -> None:
    """Terraform would read ``${...}`` in the arguments of a schedule."""
    target = everything["resource"]["aws_scheduler_schedule"]["emails_send_nightly"]["target"]

    assert '$${region} \\\\\\"all\\\\\\"' in target["input"]
    assert target["input"].startswith('{"QueueUrl":"${aws_sqs_queue.emails.url}",')


def test_variables_of_ones_own_are_no_expressions() -> None:
    """They stand as they were given, in functions and for containers."""
    made = configuration(manifest_of_everything(), variables={"DATABASE": "${var.x} %{if}"})
    function = made["resource"]["aws_lambda_function"]["emails"]["environment"]["variables"]

    assert function["DATABASE"] == "$${var.x} %%{if}"
    assert made["output"]["films_worker"]["value"]["environment"]["DATABASE"] == "$${var.x} %%{if}"
    assert problems(made) == []


def test_the_zip_is_a_variable(everything: dict[str, Any]) -> None:
    """Its hash is what tells Terraform of new code; with a path there is a default."""
    function = everything["resource"]["aws_lambda_function"]["emails"]

    assert (function["filename"], function["source_code_hash"]) == (
        "${var.code_zip}",
        "${filebase64sha256(var.code_zip)}",
    )
    assert "default" not in everything["variable"]["code_zip"]
    given = configuration(manifest_of_everything(), code="build/function.zip")
    assert given["variable"]["code_zip"]["default"] == "build/function.zip"


def test_containers_get_what_their_service_needs(everything: dict[str, Any]) -> None:
    """An output with policies, command and variables, for whoever writes the service."""
    value = everything["output"]["films_worker"]["value"]

    assert value["command"] == ["python", "-m", "sqs_tasks", "worker", APP, "films"]
    assert value["policy_arns"] == ["${aws_iam_policy.films_worker.arn}", "${aws_iam_policy.anywhere1_send.arn}"]
    assert json.loads(value["environment"]["SQS_TASKS_QUEUE_URLS"])["films"] == "${aws_sqs_queue.films.url}"
    assert any("Queue 'films' is worked by containers" in line for line in everything["//"])


def test_names_are_short_enough_and_differ() -> None:
    """A function's name is made of its queue's, which may be longer; two of one name are refused."""
    long = "a-queue-with-a-name-that-is-longer-than-that-of-a-function-may-be"
    env = SQSEnv(region_name="us-east-1")
    env.queue(f"{long}-1").processor("a")(print)
    env.queue(f"{long}-2").processor("a")(print)
    made = configuration(env.manifest(app=APP))
    names = [one["function_name"] for one in made["resource"]["aws_lambda_function"].values()]
    env.queue("mail-fifo").processor("a")(print)
    env.queue("mail.fifo").processor("a")(print)

    assert [len(name) for name in names] == [64, 64]
    assert len(set(names)) == 2
    assert problems(made) == []
    with pytest.raises(ConfigurationError, match="would both be"):
        configuration(env.manifest(app=APP))
