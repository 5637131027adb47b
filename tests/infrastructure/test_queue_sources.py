"""Buckets, topics, rules and APIs that feed a raw queue, each with a permission for itself alone."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.cfn_lint import findings
from tests.support.templates import Resources, warnings

ACCOUNT = {"Ref": "AWS::AccountId"}


class Fed:
    """Queues with every source, one of them with a key, synthesised once."""

    def __init__(self, app: App) -> None:
        self.stack = stack = Stack(app, "Fed")
        self.key = kms.Key(stack, "Key", enable_key_rotation=True)
        uploads = TaskQueue(stack, "uploads", queue_name="uploads", encryption_master_key=self.key)
        self.bucket = s3.Bucket(stack, "Bucket")
        uploads.from_bucket(self.bucket, s3.NotificationKeyFilter(prefix="in/"))
        uploads.from_topic(sns.Topic(stack, "Topic"), raw=True)
        orders = TaskQueue(stack, "orders", queue_name="orders.fifo", fifo=True, content_based_deduplication=True)
        orders.from_rule(
            events.Rule(stack, "Rule", event_pattern=events.EventPattern(source=["shop"])), message_group_id="events"
        )
        api = apigateway.HttpApi(stack, "Api")
        uploads.from_api(api, "/hooks")
        uploads.from_api(api, "/more")
        self.resources = Resources(stack)

    def admitted(self, service: str) -> dict[str, Any]:
        """The one statement of a queue's policy for a service."""
        (found,) = [
            statement
            for policy in self.resources.of_type("SQS::QueuePolicy").values()
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if statement["Principal"] == {"Service": service}
        ]
        return dict(found)

    def id_of(self, kind: str) -> str:
        (found,) = self.resources.of_type(kind)
        return found


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Fed:
    return Fed(App(outdir=str(tmp_path_factory.mktemp("cdk") / "cdk.out"), analytics_reporting=False))


def test_bucket_may_send_from_its_account_alone(fed: Fed) -> None:
    """The bucket, in this account: its name could be another account's one day."""
    statement = fed.admitted("s3.amazonaws.com")

    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"] == {
        "ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [fed.id_of("S3::Bucket"), "Arn"]}},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }


def test_bucket_is_configured_after_the_policy(fed: Fed) -> None:
    """S3 sends a test message when it is configured, and the deploy fails when it may not."""
    (configured,) = [
        value for value in fed.resources.by_id.values() if value["Type"] == "Custom::S3BucketNotifications"
    ]

    (queue,) = configured["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    assert queue["Events"] == ["s3:ObjectCreated:*"]
    assert queue["Filter"] == {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}
    policies = {key for key in fed.resources.of_type("SQS::QueuePolicy") if key.startswith("uploadsQueue")}
    assert policies & set(configured["DependsOn"])


def test_topic_is_subscribed(fed: Fed) -> None:
    """The topic alone may send, and messages come as they were published if that is asked for."""
    topic = {"Ref": fed.id_of("SNS::Topic")}
    subscription = fed.resources.only("SNS::Subscription")

    assert fed.admitted("sns.amazonaws.com")["Condition"]["ArnEquals"] == {"aws:SourceArn": topic}
    assert (subscription["TopicArn"], subscription["Protocol"]) == (topic, "sqs")
    assert subscription["RawMessageDelivery"] is True


def test_rule_sends_to_a_fifo_queue(fed: Fed) -> None:
    """The rule alone, in this account, and in the group that was named."""
    rule = fed.resources.only("Events::Rule")

    assert fed.admitted("events.amazonaws.com")["Condition"] == {
        "ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [fed.id_of("Events::Rule"), "Arn"]}},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }
    (target,) = rule["Targets"]
    assert target["SqsParameters"] == {"MessageGroupId": "events"}


def test_api_sends_bodies_with_a_role_of_one_action(fed: Fed) -> None:
    """Two routes share a role, which may send to this queue and use its key."""
    integrations = [value["Properties"] for value in fed.resources.of_type("ApiGatewayV2::Integration").values()]
    routes = {value["Properties"]["RouteKey"] for value in fed.resources.of_type("ApiGatewayV2::Route").values()}
    (role_id,) = [
        key
        for key, value in fed.resources.of_type("IAM::Role").items()
        if "apigateway" in str(value["Properties"]["AssumeRolePolicyDocument"])
    ]

    assert routes == {"POST /hooks", "POST /more"}
    for integration in integrations:
        assert integration["IntegrationSubtype"] == "SQS-SendMessage"
        assert integration["RequestParameters"]["MessageBody"] == "$request.body"
        assert integration["CredentialsArn"] == {"Fn::GetAtt": [role_id, "Arn"]}
    assert fed.resources.actions_on("uploadsQueue") == {"sqs:SendMessage"}


def test_what_cannot_be_delivered_goes_to_a_queue_that_admits_it(stack: Stack) -> None:
    """A topic and a rule with a queue for what they give up name it, and it takes messages of these two alone."""
    queue, dead = TaskQueue(stack, "uploads", queue_name="shop-uploads"), sqs.Queue(stack, "Undelivered")
    queue.from_topic(sns.Topic(stack, "Topic"), dead_letter_queue=dead)
    rule = events.Rule(stack, "Rule", event_pattern=events.EventPattern(source=["shop"]))
    queue.from_rule(rule, dead_letter_queue=dead)

    resources = Resources(stack)
    (dead_id,) = (key for key in resources.of_type("SQS::Queue") if key.startswith("Undelivered"))
    arn = {"Fn::GetAtt": [dead_id, "Arn"]}
    assert resources.only("SNS::Subscription")["RedrivePolicy"] == {"deadLetterTargetArn": arn}
    assert resources.only("Events::Rule")["Targets"][0]["DeadLetterConfig"] == {"Arn": arn}
    (policy,) = (
        one["Properties"] for key, one in resources.of_type("SQS::QueuePolicy").items() if key.startswith("Undelivered")
    )
    senders = {
        statement["Principal"]["Service"]: next(iter(statement["Condition"]["ArnEquals"]["aws:SourceArn"].values()))
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Condition"].get("ArnEquals", {}).get("aws:SourceArn")
    }
    assert senders.keys() == {"sns.amazonaws.com", "events.amazonaws.com"}


def test_services_may_use_the_key_of_the_queue(fed: Fed) -> None:
    """A queue with a key is silent until the key admits who sends; the account is the condition, to avoid a circle."""
    statements = fed.resources.only("KMS::Key")["KeyPolicy"]["Statement"]
    by_service = {item["Principal"]["Service"]: item for item in statements if "Service" in item["Principal"]}

    assert by_service["s3.amazonaws.com"]["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]
    assert by_service["s3.amazonaws.com"]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert "sns.amazonaws.com" in by_service


def test_cfn_lint_takes_all_sources(fed: Fed) -> None:
    """What is made for sources is valid CloudFormation, and has no circle."""
    assert findings(fed.resources.template) == ""


def test_sources_that_fifo_queues_cannot_have_are_refused(stack: Stack) -> None:
    """S3 and standard topics do not send to FIFO queues; rules and APIs need a group."""
    queue = TaskQueue(stack, "orders", queue_name="orders.fifo", fifo=True)

    with pytest.raises(StackError, match="S3 sends to standard queues only"):
        queue.from_bucket(s3.Bucket(stack, "Bucket"))
    with pytest.raises(StackError, match="a standard topic cannot send to it"):
        queue.from_topic(sns.Topic(stack, "Topic"))
    with pytest.raises(StackError, match="give message_group_id="):
        queue.from_rule(events.Rule(stack, "Rule", event_pattern=events.EventPattern(source=["shop"])))
    with pytest.raises(StackError, match="give message_group_id="):
        queue.from_api(apigateway.HttpApi(stack, "Api"), "/hooks")


def test_existing_queue_says_what_its_policy_needs(stack: Stack) -> None:
    """The policy of a queue from elsewhere cannot be changed here, and nothing would arrive without a word."""
    existing = sqs.Queue.from_queue_arn(stack, "Existing", "arn:aws:sqs:us-east-1:123456789012:uploads")
    queue = TaskQueue(stack, "uploads", queue=existing, max_receive_count=5)

    queue.from_topic(sns.Topic(stack, "Topic"))

    assert any("must allow sns.amazonaws.com the action sqs:SendMessage" in text for text in warnings(stack))
