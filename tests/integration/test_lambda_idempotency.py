"""Jobs done once, by Powertools' DynamoDB layer against a local DynamoDB that is not ours."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

pytest.importorskip("aws_lambda_powertools", reason="an optional integration")

import boto3
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.integrations.powertools.idempotency import IdempotentJobs
from sqs_tasks.local.function.function import InvokeRequest
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.outcome import Postponed
from tests.support import ministack
from tests.support.accepting_client import AcceptingClient
from tests.support.lambda_events import FakeContext, event, failures, record

pytestmark = [
    pytest.mark.skipif(not ministack.is_installed(), reason="MiniStack is not installed (.venv-ministack)"),
    # botocore's own, on some versions of Python.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def dynamodb():
    with ministack.ministack() as server:
        client = boto3.client(
            "dynamodb",
            endpoint_url=server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_table(
            TableName="jobs",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client
        client.close()


class Function:
    """A handler with the table behind it; ``does`` is what its task does."""

    def __init__(self, dynamodb, **options):
        store = DynamoDBPersistenceLayer(table_name="jobs", boto3_client=dynamodb)
        self.client = AcceptingClient()
        self.ran, self.outcomes = [], []
        self.env = SQSEnv(
            sqs_client=self.client, backoff_policy=ConstantBackoff(5), middleware=[IdempotentJobs(store, **options)]
        )
        self.does = lambda: None

        @self.env.queue("work").processor("work", max_attempts=3)
        def work(x=0):
            self.ran.append(x)
            self.does()

        self.handler = SQSEventHandler(self.env)
        self.handler.on_settled(lambda report: self.outcomes.append(report.outcome))

    def __call__(self, *records):
        return failures(self.handler(event(*records), FakeContext()))


def test_job_is_done_once(dynamodb):
    """Two environments and a repeated delivery run a job once."""
    function = Function(dynamodb)

    assert function(record("once")) == []
    assert Function(dynamodb)(record("once")) == []
    assert function(record("once")) == []
    assert function.ran == [0]


def test_job_that_failed_is_tried_again(dynamodb):
    """A failed attempt leaves no record that would keep the next one from running."""
    function = Function(dynamodb)
    function.does = lambda: 1 / 0
    assert function(record("fails")) == ["fails"]
    function.does = lambda: None

    assert function(record("fails", count=2)) == []
    assert len(function.ran) == 2


def test_job_at_work_elsewhere_waits_and_loses_no_attempt(dynamodb):
    """Two invocations at a time, the second one on its last attempt."""
    working, go_on = threading.Event(), threading.Event()
    first, second = Function(dynamodb, lease_seconds=60), Function(dynamodb, lease_seconds=60)

    def hold():
        working.set()
        go_on.wait(10)

    first.does = hold
    answers = []
    thread = threading.Thread(target=lambda: answers.append(first(record("held"))))
    thread.start()
    assert working.wait(10)
    try:
        assert second(record("held", count=3)) == []
    finally:
        go_on.set()
        thread.join(10)

    assert isinstance(second.outcomes[0], Postponed)
    (copy,) = second.client.sent
    assert 50 <= copy["DelaySeconds"] <= 61
    assert copy["MessageAttributes"]["Attempt"]["StringValue"] == "2"
    assert answers == [[]]
    assert second(record("held", count=4)) == []
    assert (first.ran, second.ran) == ([0], [])


def test_job_is_done_once_by_deployed_functions(dynamodb, tmp_path):
    """Two environments of AWS's runtime client, and a message that SQS delivers to both (S56)."""
    (tmp_path / "function.py").write_text(
        """
import os
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from sqs_tasks import SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.integrations.powertools.idempotency import IdempotentJobs

env = SQSEnv(middleware=[IdempotentJobs(DynamoDBPersistenceLayer(table_name="jobs"))])

@env.queue("work").processor("work", timeout=5)
def work(x=0):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{x} ")

handler = SQSEventHandler(env)
"""
    )
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LEDGER": str(tmp_path / "ledger"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    for n in range(2):
        function = SubprocessFunction("function.handler", directory=tmp_path, variables=variables)
        try:
            payload = json.dumps(event(record("shared", arguments={"x": 1}), record(f"own-{n}"))).encode()
            result = function.invoke(InvokeRequest(request_id=f"r-{n}", payload=payload))
        finally:
            function.close()
        assert json.loads(result.payload) == {"batchItemFailures": []}

    assert (tmp_path / "ledger").read_text() == "1 0 0 "


def test_lease_of_a_worker_that_died_ends(dynamodb):
    """A record whose lease is over is taken over."""
    dead = Function(dynamodb, lease_seconds=-1)
    dead.handler.env.middleware[0]._begin(type("Job", (), {"job_id": "job-of-dead"})())

    function = Function(dynamodb)

    assert function(record("dead", count=2)) == []
    assert function.ran == [0]


def test_many_deliveries_at_once_run_a_job_once(dynamodb):
    """Of six simultaneous deliveries one runs the job."""
    functions = [Function(dynamodb, lease_seconds=30) for _ in range(6)]
    threads = [threading.Thread(target=function, args=(record("raced"),)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sum(len(function.ran) for function in functions) == 1
