"""What workers may add jobs to, and that a queue more changes no worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.stack import TaskStack
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")


def _registry(*names: str, enqueues: list[str] | None = None) -> dict[str, Any]:
    return manifest(*(queue(name, tasks=[task(enqueues=enqueues)]) for name in names))


def _stack(registry: dict[str, Any], **settings: Any) -> TaskStack:
    return TaskStack(App(), "Shop", manifest=registry, lambda_defaults={"code": CODE}, **settings)


@pytest.fixture(scope="module")
def undeclared() -> TaskStack:
    """Three queues whose tasks do not say where they add jobs."""
    return _stack(_registry("emails", "images", "orders.fifo"))


def test_r5_queue_more_changes_no_worker(undeclared: TaskStack) -> None:
    """R5: one policy changes, and the queue comes with its worker; every other resource is as it was."""
    before = Resources(undeclared).by_id
    after = Resources(_stack(_registry("emails", "images", "orders.fifo", "letters"))).by_id

    changed = {key for key in before if before[key] != after[key]}
    assert [before[key]["Type"] for key in changed] == ["AWS::IAM::ManagedPolicy"]
    assert {key for key in after if key not in before and "letters" not in key} == set()


def test_r5_one_entry_stands_for_all_queues(undeclared: TaskStack) -> None:
    """R5: a worker knows its own queue by its URL, and the others by the pattern of their names."""
    for function in Resources(undeclared).of_type("Lambda::Function").values():
        urls = json.loads(joined(function["Properties"]["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"]))

        assert urls.pop("*") == "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/shop-*"
        assert len(urls) == 2, "its own and its dead-letter queue"


def test_undeclared_enqueues_are_warned_of_once(undeclared: TaskStack) -> None:
    """R5, R6: with the tasks' names, and what Lambda does to one that feeds itself."""
    (warning,) = warnings(undeclared)

    assert warning.startswith("3 tasks do not say to which queues they add jobs (emails.send_email, images.send_email")
    assert "is stopped by Lambda after some 16 rounds. Declare enqueues=['...']" in warning


def test_declared_enqueues_are_one_statement() -> None:
    """R5: a worker that adds jobs to many queues has one statement for it, and nobody is warned."""
    names = ["emails", *(f"queue-{number}" for number in range(5))]
    stack = _stack(manifest(*(queue(name, tasks=[task(enqueues=names if name == "emails" else [])]) for name in names)))

    (policy,) = [value for key, value in Resources(stack).of_type("IAM::Policy").items() if "emails" in key]
    sends = [
        statement
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
        and isinstance(statement["Resource"], list)
    ]
    assert [len(statement["Resource"]) for statement in sends] == [len(names)]
    assert warnings(stack) == []


def test_queues_of_other_names_are_told_by_their_urls() -> None:
    """The pattern is for the registry's own: a queue that is elsewhere has its entry, and its key is granted."""
    app = App()
    stack = Stack(app, "Shop")
    registry = manifest(
        queue("emails", tasks=[task(enqueues=None)]),
        queue(
            "legacy", queue_name="legacy", queue_url="https://sqs.eu-west-1.amazonaws.com/123456789012/legacy", tasks=[]
        ),
    )
    queues = TaskQueues(
        stack, "Queues", manifest=registry, settings={"emails": {"encryption_master_key": kms.Key(stack, "Key")}}
    )
    TaskWorkers(stack, "Workers", queues=queues, lambda_defaults={"code": CODE})

    resources = Resources(stack)
    function = resources.only("Lambda::Function")
    urls = json.loads(joined(function["Environment"]["Variables"]["SQS_TASKS_QUEUE_URLS"]))
    assert set(urls) == {"emails", "emails_dead", "legacy", "*"}
    assert {"kms:GenerateDataKey", "kms:Decrypt"} <= resources.actions_on("Key")


def test_names_that_do_not_fit_in_one_policy_are_in_two() -> None:
    """A managed policy has 6,144 characters, and a queue's name up to 80."""
    stack = _stack(_registry(*(f"{'queue' * 13}{number}" for number in range(50))))

    policies = Resources(stack).of_type("IAM::ManagedPolicy").values()
    assert len(policies) == 2
    longest = "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:shop-" + "queue" * 13 + "00"
    for policy in policies:
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        assert len(json.dumps([longest] * len(statement["Resource"]), separators=(",", ":"))) < 5_900
