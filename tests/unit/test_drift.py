"""What is deployed against what is registered, where an emulator does not reach: aliases, pages, refusals.

The kinds of drift themselves are made by hand in ``tests/e2e/test_deploy_drift.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from sqs_tasks import MemorySession
from sqs_tasks.drift import Difference, differences
from tests.support.manifests import manifest, queue

ARN = "arn:aws:lambda:us-east-1:123456789012:function:worker"


class FakeLambda:
    """Functions by ARN and the mappings of every queue, two to a page."""

    def __init__(self, *targets: str, functions: dict[str, dict[str, Any]] | None = None) -> None:
        self.mappings = [
            {"FunctionArn": target, "FunctionResponseTypes": ["ReportBatchItemFailures"], "State": "Enabled"}
            for target in targets
        ]
        self.functions = functions or {}

    def list_event_source_mappings(self, **kwargs: Any) -> Any:
        start = int(kwargs.get("Marker", 0))
        page: dict[str, Any] = {"EventSourceMappings": self.mappings[start : start + 2]}
        if start + 2 < len(self.mappings):
            page["NextMarker"] = str(start + 2)
        return page

    def get_function_configuration(self, **kwargs: Any) -> Any:
        return {
            "FunctionName": "worker",
            "Timeout": 35,
            "CodeSha256": "new",
            "Environment": {"Variables": {"SQS_TASKS_APP": "shop.tasks:env"}},
            **self.functions.get(kwargs["FunctionName"], {}),
        }


def _deployed(**attributes: str) -> Any:
    """An SQS with the queues of the registry."""
    client: Any = MemorySession().client("sqs")
    dead = client.create_queue(QueueName="shop-emails_dead", Attributes={"MessageRetentionPeriod": "1209600"})
    dead_arn = client.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])["Attributes"]
    redrive = f'{{"deadLetterTargetArn": "{dead_arn["QueueArn"]}", "maxReceiveCount": 8}}'
    client.create_queue(
        QueueName="shop-emails", Attributes={"VisibilityTimeout": "210", "RedrivePolicy": redrive, **attributes}
    )
    return client


def test_what_is_as_registered_is_silent() -> None:
    """Nothing is told of a deployment that is right."""
    assert differences(manifest(), sqs=_deployed(), lambda_client=FakeLambda(ARN)) == []


def test_missing_queue_is_told_once() -> None:
    """Of a queue that is not there, nothing else is told."""
    client: Any = MemorySession().client("sqs")

    assert differences(manifest(), sqs=client, lambda_client=FakeLambda()) == [
        Difference(resource="queue shop-emails", field="exists", registered=True, deployed=False)
    ]


def test_old_code_behind_an_alias_is_told() -> None:
    """An alias that means an older version than the function's newest code."""
    fake = FakeLambda(f"{ARN}:live", functions={f"{ARN}:live": {"CodeSha256": "old"}})

    assert differences(manifest(), sqs=_deployed(), lambda_client=fake) == [
        Difference(resource="function worker", field="code of live", registered="new", deployed="old")
    ]


def test_every_page_of_mappings_is_read() -> None:
    """A fourth function on the second page is compared too."""
    fake = FakeLambda(*(f"{ARN}{number}" for number in range(4)), functions={f"{ARN}3": {"Timeout": 36}})

    (found,) = differences(manifest(), sqs=_deployed(), lambda_client=fake)

    assert (found.field, found.registered, found.deployed) == ("VisibilityTimeout", "at least 216 (6 x 36 + 0)", 210)


def test_visibility_set_by_hand_need_only_hold_one_run() -> None:
    """R2: what the registration sets is compared as it is, and against the function timeout alone."""
    registry = manifest(queue(visibility_timeout_seconds=40))

    assert differences(registry, sqs=_deployed(VisibilityTimeout="40"), lambda_client=FakeLambda(ARN)) == []
    fields = {
        one.field for one in differences(registry, sqs=_deployed(VisibilityTimeout="30"), lambda_client=FakeLambda(ARN))
    }
    assert fields == {"VisibilityTimeout"}


def test_queue_on_fargate_needs_no_mapping() -> None:
    """A queue that containers work has no function to compare."""
    registry = manifest(queue(runs_on="fargate"))

    assert differences(registry, sqs=_deployed(), lambda_client=FakeLambda()) == []


def test_refusals_are_not_missing_queues() -> None:
    """An error of another kind is raised: no rights is not the same as no queue."""

    class Refusing:
        def get_queue_url(self, **_kwargs: Any) -> Any:
            raise PermissionError("no")

    with pytest.raises(PermissionError):
        differences(manifest(), sqs=Refusing(), lambda_client=FakeLambda())  # type: ignore[arg-type]
