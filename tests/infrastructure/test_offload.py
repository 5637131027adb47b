"""The bucket for bodies that are too large for messages: its protection, its rule, and who may use which objects."""

from __future__ import annotations

import json
from typing import Any

import cdk_nag
import jsonschema
import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from sqs_tasks import S3Offload, SQSEnv
from sqs_tasks.deployment.iam_policy import iam_policy
from sqs_tasks.deployment.plan import SCHEMA_PATH, plan
from sqs_tasks.offload import s3_offload
from sqs_tasks_cdk import payload_names
from sqs_tasks_cdk.manifest import SCHEMA_PATH as MANIFEST_SCHEMA
from sqs_tasks_cdk.task_queues import TaskQueues
from sqs_tasks_cdk.task_workers import TaskWorkers
from tests.support.templates import Resources, joined

CODE = {"code": lambda_.Code.from_inline("def handler(event, context): ...")}
OWN = "shop-payloads-${AWS::AccountId}-${AWS::Region}"


def registry() -> dict[str, Any]:
    """Two queues with bodies in the stack's bucket, one with a bucket that is there, and one without."""
    env = SQSEnv(queue_prefix="shop-", region_name="us-east-1")
    offload = S3Offload(prefix="reports/", expire_days=40, remove_with_job=True)
    env.queue("reports", offload=offload).processor("write", enqueues=["exports"])(print)
    env.queue("exports", offload=S3Offload(prefix="exports/")).processor("export", enqueues=[])(print)
    given = S3Offload(bucket="archive", prefix="films/")
    env.queue("films", offload=given).processor("cut", enqueues=[])(print)
    env.queue("emails").processor("send", enqueues=[])(print)
    return env.manifest(app="shop.tasks:env")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, Stack]:
    """Queues and workers in stacks of their own, synthesised against the rules of others."""
    out = tmp_path_factory.mktemp("offload") / "cdk.out"
    app = App(
        outdir=str(out),
        analytics_reporting=False,
        context={"@aws-cdk/core:validateAgainstDefaultRules": True},
    )
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    stateful, stateless = Stack(app, "Queues"), Stack(app, "Workers")
    queues = TaskQueues(stateful, "Tasks", manifest=registry())
    TaskWorkers(stateless, "Tasks", queues=queues, lambda_defaults=CODE)  # type: ignore[arg-type]
    role = iam.Role(stateful, "Web", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    queues["reports"].grant_send(role)
    app.synth()
    return stateful, stateless


def statements(stack: Stack, role: str) -> dict[str, set[str]]:
    """What a role may do in S3: actions by resource."""
    found: dict[str, set[str]] = {}
    for key, policy in Resources(stack).of_type("IAM::Policy").items():
        if role not in key:
            continue
        for one in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
            resources = one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]
            for resource in resources:
                s3 = {action for action in actions if action.startswith("s3:")}
                if s3:
                    found.setdefault(joined(resource), set()).update(s3)
    return found


def test_bucket_is_closed_encrypted_and_emptied_by_a_rule(stacks: tuple[Stack, Stack]) -> None:
    """One for the registry, in the stack of the queues; its one rule is the longest that a queue asks for."""
    resources = Resources(stacks[0])
    (bucket,) = resources.of_type("S3::Bucket").values()
    properties = bucket["Properties"]

    assert joined(properties["BucketName"]) == OWN
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["Status"], rule.get("Prefix")) == (40, "Enabled", None)
    assert bucket["DeletionPolicy"].startswith("Retain")
    (policy,) = resources.of_type("S3::BucketPolicy").values()
    (deny,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert Resources(stacks[1]).of_type("S3::Bucket") == {}


def test_each_may_use_its_own_objects_alone(stacks: tuple[Stack, Stack]) -> None:
    """A worker gets the bodies of its queue and puts those of the queues that it adds jobs to; a producer puts."""
    arn = f"arn:${{AWS::Partition}}:s3:::{OWN}"
    assert statements(stacks[1], "reports") == {
        f"{arn}/reports/*": {"s3:GetObject", "s3:DeleteObject"},
        arn: {"s3:ListBucket"},
        f"{arn}/exports/*": {"s3:PutObject"},
    }
    assert statements(stacks[1], "films") == {
        "arn:${AWS::Partition}:s3:::archive/films/*": {"s3:GetObject"},
        "arn:${AWS::Partition}:s3:::archive": {"s3:ListBucket"},
    }
    assert statements(stacks[1], "emails") == {}
    assert statements(stacks[0], "Web") == {f"{arn}/reports/*": {"s3:PutObject"}}


def test_workers_learn_the_bucket(stacks: tuple[Stack, Stack]) -> None:
    """By the variable that the runtime reads; who needs no bucket of the stack is not given one."""
    assert payload_names.BUCKET_VARIABLE == s3_offload.BUCKET_VARIABLE
    known = {
        name: joined(function["Properties"]["Environment"]["Variables"].get(s3_offload.BUCKET_VARIABLE, ""))
        for key, function in Resources(stacks[1]).of_type("Lambda::Function").items()
        for name in ("reports", "exports", "films", "emails")
        if name in key
    }

    assert known == {"reports": OWN, "exports": OWN, "films": "", "emails": ""}


def test_manifest_plan_and_policies_say_the_same(stacks: tuple[Stack, Stack]) -> None:
    """For those who deploy without the CDK: both documents fit their schemas, and the rights are those of the stack."""
    document = registry()
    jsonschema.validate(document, json.loads(MANIFEST_SCHEMA.read_text()))
    made = plan(document)
    jsonschema.validate(made, json.loads(SCHEMA_PATH.read_text()))

    own = "shop-payloads-${account}-${region}"
    offloads = {one["name"]: one.get("offload") for one in made["queues"]}
    assert offloads["reports"] == {"bucket": own, "must_be_made": True, "prefix": "reports/", "expire_days": 40}
    assert offloads["films"] == {"bucket": "archive", "must_be_made": False, "prefix": "films/", "expire_days": 30}
    assert offloads["emails"] is None
    workers = {one["queue"]: one for one in made["workers"]}
    assert workers["reports"]["environment"][s3_offload.BUCKET_VARIABLE] == own
    assert s3_offload.BUCKET_VARIABLE not in workers["films"]["environment"]

    planned = {
        resource.replace("${partition}", "${AWS::Partition}")
        .replace("${account}", "${AWS::AccountId}")
        .replace("${region}", "${AWS::Region}"): set(one["Action"])
        for one in workers["reports"]["policy"]["Statement"]
        for resource in one["Resource"]
        if one["Action"][0].startswith("s3:")
    }
    assert planned == statements(stacks[1], "reports")
    producer = iam_policy(document, role="producer", queues=["reports"], account="123456789012", region="eu-west-1")
    assert producer["Statement"][-1] == {
        "Sid": "PutBodies",
        "Effect": "Allow",
        "Action": ["s3:PutObject"],
        "Resource": ["arn:aws:s3:::shop-payloads-123456789012-eu-west-1/reports/*"],
    }


@pytest.mark.parametrize("prefix", ["", "shop-", "Shop_Eu-", "a-very-long-prefix-of-an-application-"])
def test_name_fits_a_bucket(prefix: str) -> None:
    """Whatever queues are called, the bucket's name is one that S3 takes."""
    name = payload_names.bucket_name(prefix, account="123456789012", region="ap-southeast-2")

    assert S3Offload(bucket=name).bucket == name
