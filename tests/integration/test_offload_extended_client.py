"""Large bodies between this library and Amazon's extended client for Python, over HTTP, with MiniStack's S3."""

from __future__ import annotations

import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config

from sqs_tasks import S3Offload, SQSEnv, testing
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.local.server import LocalSQSServer
from tests.support.extended_client import SQSExtendedClientSession
from tests.support.lambda_events import FakeContext
from tests.support.ministack import REGION, is_installed, ministack

BUCKET = "payloads"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
LARGE = "".join(chr(33 + (index * 7919) % 89) for index in range(300_000))

pytestmark = pytest.mark.skipif(not is_installed(), reason="make test installs MiniStack")


@pytest.fixture(scope="module")
def aws():
    with ministack() as running:
        s3 = boto3.client("s3", endpoint_url=running.endpoint_url, **CREDENTIALS)
        s3.create_bucket(Bucket=BUCKET)
        yield SimpleNamespace(url=running.endpoint_url, s3=s3)


@pytest.fixture(params=["embedded", "ministack"])
def sqs_url(request, aws):
    """Both queues: ours, and one that shares no code with it."""
    if request.param == "ministack":
        yield aws.url
        return
    with LocalSQSServer() as server:
        yield server.endpoint_url


@pytest.fixture
def env(aws, sqs_url):
    session = boto3.Session(**CREDENTIALS)
    offload = S3Offload(bucket=BUCKET, endpoint_url=aws.url, remove_with_job=True)
    env = SQSEnv(session, queue_prefix=f"to{sqs_url.rpartition(':')[2]}-", endpoint_url=sqs_url, offload=offload)
    env.queue("reports", compress_above_bytes=None)
    env.create_queues()
    return env


@pytest.fixture
def extended(aws, sqs_url, monkeypatch):
    """Amazon's client, whose S3 client takes its endpoint from the environment alone."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws.url)
    client = SQSExtendedClientSession(**CREDENTIALS).client(
        "sqs", endpoint_url=sqs_url, config=Config(retries={"max_attempts": 0})
    )
    client.large_payload_support = BUCKET
    return client


@pytest.fixture
def objects(aws):
    def listed():
        return {one["Key"] for one in aws.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())}

    before = listed()
    return lambda: listed() - before


def test_what_we_send_amazons_client_receives(env, extended, objects):
    """It finds the object, gives the whole body, and removes both by its own means."""
    write = env.queue("reports").processor("write")(lambda text: None)
    write.delay(text=LARGE)
    assert len(objects()) == 1
    url = env.queue("reports").queue_url
    extended.delete_payload_from_s3 = True

    (message,) = extended.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]

    assert json.loads(message["Body"]) == {"text": LARGE}
    assert message["MessageAttributes"]["JobName"]["StringValue"] == "write"
    assert "ExtendedPayloadSize" not in message["MessageAttributes"]
    if "-" in message["ReceiptHandle"].rpartition("-..s3Key..-")[2]:
        return  # MiniStack's: Amazon's client takes what follows the last hyphen for the handle
    extended.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert objects() == set()


@pytest.mark.parametrize("legacy", [False, True])
def test_what_amazons_client_sends_our_worker_runs(env, extended, objects, legacy):
    """By its present attribute and by the older one; the object goes with the job."""
    seen = []
    queue = env.queue("reports")

    @queue.processor("write")
    def write(text):
        seen.append(text)

    extended.use_legacy_attribute = legacy
    extended.send_message(
        QueueUrl=queue.queue_url,
        MessageBody=json.dumps({"text": LARGE}),
        MessageAttributes={"JobName": {"DataType": "String", "StringValue": "write"}},
    )
    assert len(objects()) == 1

    queue.process_batch(1)

    assert seen == [LARGE]
    assert objects() == set()


def test_function_fetches_it_and_a_missing_object_is_rejected(env, objects, aws):
    """S3's own answers to a consumer: the body, and that there is none."""
    seen = []
    queue = env.queue("reports")

    @queue.processor("write")
    def write(text):
        seen.append(text)

    write.delay(text=LARGE)
    event = testing.lambda_event(queue)
    handler = SQSEventHandler(env)

    assert handler(event, FakeContext()) == {"batchItemFailures": []}
    assert seen == [LARGE]

    (key,) = objects()
    aws.s3.delete_object(Bucket=BUCKET, Key=key)
    assert handler(event, FakeContext()) == {"batchItemFailures": []}
    dead = env.client().receive_message(
        QueueUrl=queue.dead_letter_queue_url(), MessageAttributeNames=["All"], WaitTimeSeconds=1
    )
    assert "is not there" in dead["Messages"][0]["MessageAttributes"]["FailureReason"]["StringValue"]
