"""Which queue an ARN means, and at which URL it is (S4, S5, T8)."""

from __future__ import annotations

import pytest

from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.lambda_runtime.queue_arn import QueueArn
from tests.support.lambda_events import FakeContext, event, failures, record

PARTITIONS = [
    ("aws", "us-east-1"),
    ("aws-cn", "cn-north-1"),
    ("aws-us-gov", "us-gov-west-1"),
    ("aws-iso", "us-iso-east-1"),
    ("aws-iso-b", "us-isob-east-1"),
    ("aws-eusc", "eusc-de-east-1"),
]

NAMES = ["emails", "emails2", "2emails", "e-mails_3", "42", "emails.fifo", "e2-4_.fifo", "a" * 80]


@pytest.mark.parametrize(("partition", "region"), PARTITIONS)
@pytest.mark.parametrize("name", NAMES)
def test_arn_is_read_in_every_partition(partition, region, name):
    """One library's pattern knew neither digits nor other partitions, and failed every such record."""
    arn = QueueArn.parse(f"arn:{partition}:sqs:{region}:123456789012:{name}")

    assert (arn.partition, arn.region, arn.account_id, arn.queue_name) == (partition, region, "123456789012", name)
    assert arn.fifo is name.endswith(".fifo")
    assert str(arn) == f"arn:{partition}:sqs:{region}:123456789012:{name}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "emails",
        "arn:aws:sqs:us-east-1:123456789012",
        "arn:aws:sqs:us-east-1:123456789012:",
        "arn:aws:sns:us-east-1:123456789012:emails",
        "urn:aws:sqs:us-east-1:123456789012:emails",
        "arn:aws:sqs:us-east-1:123456789012:emails:more",
        "https://sqs.us-east-1.amazonaws.com/123456789012/emails",
        None,
        7,
    ],
)
def test_what_is_no_arn_of_a_queue_is_refused(text):
    """Only complete ARNs of SQS queues are read."""
    with pytest.raises(ConfigurationError, match="is not the ARN of an SQS queue"):
        QueueArn.parse(text)


@pytest.mark.parametrize(("partition", "region"), PARTITIONS)
@pytest.mark.parametrize("name", ["emails", "e2-4_", "emails.fifo"])
def test_queue_is_found_by_its_arn(partition, region, name):
    """The prefix is part of the name in the ARN, in every partition and region."""
    env = SQSEnv(queue_prefix="shop-2-")
    queue = env.queue(name)
    handler = SQSEventHandler(env)

    assert handler.queue_for(f"arn:{partition}:sqs:{region}:1:shop-2-{name}") is queue
    assert handler.queue_for(f"arn:{partition}:sqs:{region}:1:{name}") is None
    assert handler.queue_for("no arn") is None


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://sqs.us-east-1.amazonaws.com/123456789012/Shop-Emails-1A2B", "aws:sqs:us-east-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/Shop-Emails-1A2B", "aws-cn:sqs:cn-north-1"),
        ("http://localhost:4566/000000000000/Shop-Emails-1A2B", "aws:sqs:us-east-1"),
        ("http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/Shop-Emails-1A2B", "aws:sqs:us-east-1"),
        ("http://127.0.0.1:9324/queue/Shop-Emails-1A2B/", "aws:sqs:us-east-1"),
        ("https://vpce-1.sqs.us-east-1.vpce.amazonaws.com/123456789012/Shop-Emails-1A2B", "aws:sqs:us-east-1"),
    ],
)
@pytest.mark.parametrize("given", ["registration", "variable"])
def test_queue_whose_name_the_stack_chose_is_found_by_its_url(monkeypatch, url, place, given):
    """Names of CloudFormation have nothing to do with those in code (C6)."""
    if given == "variable":
        monkeypatch.setenv("SQS_TASKS_QUEUE_URLS", f'{{"emails": "{url}"}}')
    env = SQSEnv(queue_prefix="shop-")
    queue = env.queue("emails", queue_url=url if given == "registration" else None)
    handler = SQSEventHandler(env)

    assert handler.queue_for(f"arn:{place}:123456789012:Shop-Emails-1A2B") is queue
    assert handler.queue_for(f"arn:{place}:123456789012:shop-emails") is None


def test_queues_of_one_name_in_two_accounts_and_regions_are_told_apart():
    """A name is one queue within one account and region alone; nothing of one is settled in the other."""
    env = SQSEnv()
    own = env.queue("orders")
    other = env.queue("orders-2", queue_url="https://sqs.us-east-1.amazonaws.com/222222222222/orders")
    west = env.queue("orders-w", queue_url="https://sqs.us-west-2.amazonaws.com/222222222222/orders")
    handler = SQSEventHandler(env)

    assert handler.queue_for("arn:aws:sqs:us-east-1:111111111111:orders") is own
    assert handler.queue_for("arn:aws:sqs:us-east-1:222222222222:orders") is other
    assert handler.queue_for("arn:aws:sqs:us-west-2:222222222222:orders") is west


def test_queue_that_is_registered_by_its_url_is_no_other_of_its_name():
    """A message of another account's queue stays there, rather than be settled in the one that is registered."""
    env = SQSEnv()
    env.queue("https://sqs.us-east-1.amazonaws.com/222222222222/orders")

    assert SQSEventHandler(env).queue_for("arn:aws:sqs:us-east-1:333333333333:orders") is None


def test_queue_that_is_registered_after_the_handler_is_found():
    """An unknown ARN is not remembered as unknown."""
    env = SQSEnv()
    handler = SQSEventHandler(env)
    assert handler.queue_for("arn:aws:sqs:us-east-1:1:late") is None

    assert handler.queue_for("arn:aws:sqs:us-east-1:1:late") is None
    queue = env.queue("late")

    assert handler.queue_for("arn:aws:sqs:us-east-1:1:late") is queue


class Client:
    """Knows every queue and remembers how it was asked."""

    def __init__(self):
        self.asked, self.urls = [], []

    def get_queue_url(self, **request):
        self.asked.append(request)
        return {"QueueUrl": f"https://sqs/{request.get('QueueOwnerAWSAccountId', 'own')}/{request['QueueName']}"}

    def change_message_visibility_batch(self, *, QueueUrl, Entries):
        self.urls.append(QueueUrl)
        return {}


def run(client, *, arn, **queue):
    env = SQSEnv(sqs_client=client, backoff_policy=ConstantBackoff(5))
    env.queue("emails", **queue).processor("work")(lambda: 1 / 0)
    handler = SQSEventHandler(env)
    for _ in range(2):
        assert failures(handler(event(record("a", arn=arn)), FakeContext())) == ["a"]


def test_url_is_asked_for_once():
    """The queue's URL costs one request in the life of the environment."""
    client = Client()
    run(client, arn="arn:aws:sqs:us-east-1:123456789012:emails")

    assert client.asked == [{"QueueName": "emails"}]
    assert client.urls == ["https://sqs/own/emails"] * 2


def test_url_of_another_accounts_queue_is_asked_for_with_the_account_s5():
    """The function's own account is 123456789012."""
    client = Client()
    run(client, arn="arn:aws:sqs:us-east-1:999999999999:emails")

    assert client.asked == [{"QueueName": "emails", "QueueOwnerAWSAccountId": "999999999999"}]
    assert client.urls == ["https://sqs/999999999999/emails"] * 2


def test_url_that_is_given_is_not_asked_for(monkeypatch):
    """``SQS_TASKS_QUEUE_URLS`` saves that request."""
    client = Client()
    monkeypatch.setenv("SQS_TASKS_QUEUE_URLS", '{"emails": "https://elsewhere/1/emails"}')
    run(client, arn="arn:aws:sqs:us-east-1:999999999999:emails")

    assert client.asked == []
    assert client.urls == ["https://elsewhere/1/emails"] * 2
