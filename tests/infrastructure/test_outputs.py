"""Outputs: the addresses of queues and workers, under names that scripts can rely on."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.outputs import TaskOutputs
from sqs_tasks_cdk.stack import SqsTasks
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.manifests import manifest, queue
from tests.support.templates import Resources

SETTINGS: dict[str, Any] = {
    "lambda_defaults": {"code": lambda_.Code.from_inline("def handler(event, context): ...")},
    "fargate_defaults": {"image": ecs.ContainerImage.from_registry("shop")},
}


def test_outputs_have_the_names_of_queues(stack: Stack) -> None:
    """A script after the deploy finds a queue and its worker by the queue's name."""
    tasks = SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(queue("bulk_emails"), queue("films", runs_on="fargate", dead_letter_queue=None)),
        **SETTINGS,
    )

    outputs = tasks.add_outputs()

    resources = Resources(stack)
    written = resources.template["Outputs"]
    assert set(written) == set(outputs.by_name)
    assert set(written) == {
        *("BulkEmailsQueueUrl", "BulkEmailsQueueArn", "BulkEmailsDeadLetterQueueUrl", "BulkEmailsFunctionName"),
        *("FilmsQueueUrl", "FilmsQueueArn", "FilmsServiceName", "FilmsClusterName"),
    }
    (function_id,) = [
        key
        for key, value in resources.of_type("Lambda::Function").items()
        if value["Properties"]["Description"] == "Works the queue bulk_emails"
    ]
    assert written["BulkEmailsFunctionName"]["Value"] == {"Ref": function_id}
    assert written["FilmsQueueUrl"]["Value"] == {
        "Ref": next(
            key
            for key, value in resources.of_type("SQS::Queue").items()
            if value["Properties"]["QueueName"] == "shop-films"
        )
    }


def test_outputs_that_do_not_fit_are_refused(stack: Stack) -> None:
    """Two queues with one name for outputs, and more outputs than CloudFormation takes."""
    with pytest.raises(StackError, match="two queues would have the output 'AbQueueUrl'"):
        TaskOutputs(stack, "Same", queues=[TaskQueue(stack, "ab"), TaskQueue(stack, "Ab")])
    with pytest.raises(StackError, match="201 outputs in stack 'Test'; CloudFormation allows 200"):
        TaskOutputs(stack, "Many", queues=[TaskQueue(stack, f"q{number}") for number in range(67)])
