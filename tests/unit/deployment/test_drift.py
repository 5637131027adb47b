"""What is deployed against what is registered, where an emulator does not reach: aliases, pages, refusals.

The kinds of drift themselves are made by hand in ``tests/e2e/test_deploy_drift.py``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import Any

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.deployment.drift import Difference, differences, tasks_hash
from tests.support.manifests import manifest, queue, task

ARN = "arn:aws:lambda:us-east-1:123456789012:function:worker"


class _NotThere(Exception):
    """How botocore says that there is no such function."""

    def __init__(self) -> None:
        super().__init__()
        self.response = {"Error": {"Code": "ResourceNotFoundException"}}


class FakeStacks:
    """A stack with the function in a nested stack, and the bucket of its bundle; counts what is asked."""

    def __init__(self, code: dict[str, Any], *, bundle: bytes = b"deployed") -> None:
        self.code = code
        self.bundle = bundle
        self.asked: list[dict[str, Any]] = []

    def list_stack_resources(self, **kwargs: Any) -> Any:
        pages = {
            "Shop": [("AWS::CloudFormation::Stack", "Nested", "Shop-Nested"), ("AWS::SQS::Queue", "Unmade", "")],
            "Shop-Nested": [("AWS::Lambda::Function", "Worker", "worker")],
        }[kwargs["StackName"]]
        start = int(kwargs.get("NextToken", 0))
        summaries = [
            {"ResourceType": kind, "LogicalResourceId": logical, "PhysicalResourceId": physical}
            for kind, logical, physical in pages[start : start + 1]
        ]
        more = {"NextToken": str(start + 1)} if start + 1 < len(pages) else {}
        return {"StackResourceSummaries": summaries, **more}

    def get_template(self, **kwargs: Any) -> Any:
        assert kwargs == {"StackName": "Shop-Nested"}
        return {"TemplateBody": {"Resources": {"Worker": {"Properties": {"Code": self.code}}}}}

    def get_object(self, **kwargs: Any) -> Any:
        self.asked.append(kwargs)
        return {"Body": io.BytesIO(self.bundle)}

    @property
    def stacks(self) -> DeployedStacks:
        return DeployedStacks(names=["Shop"], cloudformation=self, s3=self)


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
        if self.functions.get(kwargs["FunctionName"], {}).get("Gone"):
            raise _NotThere
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


def test_queues_registered_by_url_are_compared_where_they_are() -> None:
    """A queue and a dead-letter queue of any name, which the prefix and the name in code do not give away."""
    client = _deployed()
    env = SQSEnv(queue_prefix="other-")
    url, dead = (client.get_queue_url(QueueName=name)["QueueUrl"] for name in ("shop-emails", "shop-emails_dead"))
    mail = env.queue("mail", queue_url=url, dead_letter_queue=dead, max_receive_count=8)
    mail.processor("send_email", timeout=30)(print)
    lambda_client = FakeLambda(ARN)

    assert differences(env.manifest(app="shop.tasks:env"), sqs=client, lambda_client=lambda_client) == []

    redrive = json.dumps(
        {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:shop-emails", "maxReceiveCount": 8}
    )
    client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": redrive})
    (found,) = differences(env.manifest(app="shop.tasks:env"), sqs=client, lambda_client=lambda_client)
    assert (found.field, found.registered, found.deployed) == (
        "RedrivePolicy.deadLetterTargetArn",
        "shop-emails_dead",
        "shop-emails",
    )


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


CDK_CODE = {"S3Bucket": {"Fn::Sub": "assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": "hash.zip"}


def test_code_that_did_not_come_with_the_stack_is_told() -> None:
    """The bundle that the template names is hashed once, however many queues its functions work."""
    fake = FakeStacks(CDK_CODE)
    bundle = base64.b64encode(hashlib.sha256(b"deployed").digest()).decode()
    changed, same = FakeLambda(ARN), FakeLambda(ARN, ARN, functions={ARN: {"CodeSha256": bundle}})

    found = differences(manifest(), sqs=_deployed(), lambda_client=changed, stacks=fake.stacks)

    assert found == [Difference(resource="function worker", field="CodeSha256", registered=bundle, deployed="new")]
    assert fake.asked == [{"Bucket": "assets-123456789012-us-east-1", "Key": "hash.zip"}]
    fake.asked.clear()
    assert differences(manifest(), sqs=_deployed(), lambda_client=same, stacks=fake.stacks) == []
    assert len(fake.asked) == 1


def test_a_template_that_was_deployed_as_yaml_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 gives it as text, with short forms of functions."""
    yaml = """
        Resources:
          Worker:
            Properties:
              Code: {S3Bucket: !Sub "assets-${AWS::AccountId}-${AWS::Region}", S3Key: hash.zip}
    """
    fake = FakeStacks({})
    monkeypatch.setattr(fake, "get_template", lambda **_: {"TemplateBody": yaml})

    (found,) = differences(manifest(), sqs=_deployed(), lambda_client=FakeLambda(ARN), stacks=fake.stacks)

    assert found.field == "CodeSha256"


@pytest.mark.parametrize(
    "code",
    [{"ZipFile": "def handler(): ..."}, {"S3Bucket": {"Ref": "Bucket"}, "S3Key": "x"}, {"ImageUri": "account/image"}],
)
def test_code_of_which_the_template_does_not_tell_the_place_is_not_compared(code: dict[str, Any]) -> None:
    """Inline code, a bucket that is a parameter, an image: no hash, and no difference made up."""
    fake = FakeStacks(code)

    assert differences(manifest(), sqs=_deployed(), lambda_client=FakeLambda(ARN), stacks=fake.stacks) == []


def test_function_of_another_stack_is_not_compared() -> None:
    """A function that the stack does not have."""
    fake = FakeStacks(CDK_CODE)
    other = FakeLambda(ARN.replace("worker", "other"))

    assert differences(manifest(), sqs=_deployed(), lambda_client=other, stacks=fake.stacks) == []


def test_function_that_is_gone_is_told() -> None:
    """A mapping outlives its function."""
    fake = FakeLambda(ARN, functions={ARN: {"Gone": True}})

    assert differences(manifest(), sqs=_deployed(), lambda_client=fake) == [
        Difference(resource="function worker", field="exists", registered=True, deployed=False)
    ]


def test_registry_that_is_not_deployed_is_told() -> None:
    """A function that the stack made for other tasks: their jobs would be unknown to it."""
    names = [{"name": "send_email", "aliases": []}]
    variables = {"SQS_TASKS_APP": "shop.tasks:env", "SQS_TASKS_TASKS_HASH": tasks_hash(names)}
    fake = FakeLambda(ARN, functions={ARN: {"Environment": {"Variables": variables}}})

    assert differences(manifest(), sqs=_deployed(), lambda_client=fake) == []
    registry = manifest(queue(tasks=[task(), task("send_letter")]))
    assert differences(registry, sqs=_deployed(), lambda_client=fake) == [
        Difference(
            resource="function worker",
            field="tasks",
            registered="send_email, send_letter",
            deployed="others; this registry is not deployed",
        )
    ]
