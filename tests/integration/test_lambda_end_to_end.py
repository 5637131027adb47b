"""The road to Lambda end to end: a producer, SQS over HTTP, the event source, AWS's runtime client, the entry point."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import boto3
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.function import FunctionConfiguration
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.local.server import LocalSQSServer

pytest.importorskip("awslambdaric", reason="AWS's runtime client runs the function")

ROOT = Path(__file__).parents[2]

#: Keeps a ledger of what was done, one line a run, written in one piece: processes append to it side by side.
TASKS = """
import asyncio, os
from sqs_tasks import ConstantBackoff, Reject, SQSEnv

env = SQSEnv(queue_prefix="shop-", backoff_policy=ConstantBackoff(0))
jobs = env.queue("jobs", max_receive_count=100, visibility_timeout_seconds=20)
ordered = env.queue("ordered.fifo", max_receive_count=100, visibility_timeout_seconds=20)

def note(*words):
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\\n").encode())
    os.close(fd)

@jobs.processor("good")
def good(n):
    note("good", n)

@jobs.processor("concurrent", timeout=5)
async def concurrent(n):
    await asyncio.sleep(0)
    note("good", n)

@jobs.processor("flaky", pass_context=True)
def flaky(n, fails, context):
    marker = f"{os.environ['LEDGER']}.{n}"
    tries = os.path.getsize(marker) if os.path.exists(marker) else 0
    with open(marker, "ab") as file:
        file.write(b".")
    if tries < fails:
        raise ValueError("not yet")
    note("good", n)

@jobs.processor("exits")
def exits(n):
    marker = f"{os.environ['LEDGER']}.{n}"
    if not os.path.exists(marker):
        open(marker, "w").close()
        raise SystemExit(1)
    note("good", n)

@jobs.processor("rejects")
def rejects(n):
    raise Reject("never")

@jobs.processor("hopeless", max_attempts=3)
def hopeless(n):
    raise ValueError("always")

@ordered.processor("step", group_by="group")
def step(group, n, fails=0):
    marker = f"{os.environ['LEDGER']}.{group}.{n}"
    tries = os.path.getsize(marker) if os.path.exists(marker) else 0
    with open(marker, "ab") as file:
        file.write(b".")
    if tries < fails:
        raise ValueError("not yet")
    note("step", group, n)
"""


@pytest.fixture
def sqs(monkeypatch):
    """A server, and the environment in which everything finds it."""
    with LocalSQSServer() as server:
        for name, value in {
            "AWS_ENDPOINT_URL_SQS": server.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield boto3.client("sqs")


class Deployment:
    """The application of this test, its queues, and a function for each of them."""

    def __init__(self, directory, client):
        self.client = client
        self.ledger = directory / "ledger"
        (directory / "tasks.py").write_text(TASKS)
        names = {}
        exec(TASKS, names)
        self.env: SQSEnv = names["env"]
        self.env.create_queues()
        self.directory = directory
        self.log = (directory / "log").open("wb")

    def run(self, name, **source):
        """Work a queue until nothing is left in it."""
        function = SubprocessFunction(
            "app.handler",
            FunctionConfiguration(name="worker", timeout_seconds=10),
            environments=2,
            directory=ROOT / "lambda_handler",
            variables={
                "SQS_TASKS_APP": "tasks:env",
                "LEDGER": str(self.ledger),
                "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
                "POWERTOOLS_LOG_LEVEL": "ERROR",
            },
            output=self.log,
        )
        mapping = EventSourceMapping(self.client, self.env.get_queue_url(name), function, seed=7, **source)
        try:
            mapping.run(until=lambda: mapping.idle and self.left(name) == 0)
        finally:
            mapping.close()
        return mapping.statistics

    def left(self, name):
        answer = self.client.get_queue_attributes(QueueUrl=self.env.get_queue_url(name), AttributeNames=["All"])
        return sum(int(v) for k, v in answer["Attributes"].items() if k.startswith("ApproximateNumberOfMessages"))

    def letters(self, name):
        found = []
        url = self.env.get_queue_url(name)
        while messages := self.client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages"):
            found += messages
        return found

    def done(self):
        return Counter(self.ledger.read_text().splitlines()) if self.ledger.exists() else Counter()


@pytest.fixture
def deployment(tmp_path, sqs):
    made = Deployment(tmp_path, sqs)
    yield made
    made.log.close()


def test_main_job_through_lambda(deployment):
    """Successes gone, failures retried, poison in the dead-letter queue, nothing lost and nothing too much."""
    jobs = deployment.env.queue("jobs")
    with jobs.add_batch():
        for n in range(120):
            jobs.add_job(["good", "concurrent", "good", "exits"][n % 4], n=n)
        for n in range(120, 150):
            jobs.add_job("flaky", n=n, fails=1 + n % 3)
        for n in range(10):
            jobs.add_job("rejects", n=n)
            jobs.add_job("hopeless", n=n)
    for body in ("no json", "[]"):
        deployment.client.send_message(
            QueueUrl=jobs.queue_url,
            MessageBody=body,
            MessageAttributes={"JobName": {"DataType": "String", "StringValue": "good"}},
        )
    deployment.client.send_message(QueueUrl=jobs.queue_url, MessageBody="from somebody else")

    statistics = deployment.run("jobs")

    assert deployment.done() == Counter({f"good {n}": 1 for n in range(150)})
    reasons = Counter(
        letter["MessageAttributes"]["FailureReason"]["StringValue"].split(":")[0]
        for letter in deployment.letters("jobs_dead")
    )
    assert reasons == {"Reject": 10, "3 attempts used up": 10, "UndecodableMessageError": 3}
    assert statistics.errors == statistics.crashes == statistics.timeouts == 0


def test_nothing_is_lost_when_lambda_fails(deployment):
    """Throttles, crashes and duplicates: every job is done at least once, and the queue ends empty."""
    jobs = deployment.env.queue("jobs")
    with jobs.add_batch():
        for n in range(60):
            jobs.add_job("good", n=n)
    url = jobs.queue_url
    deployment.client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "10"})

    statistics = deployment.run("jobs", faults={"throttle": 0.1, "duplicate": 0.2, "cold_start": 0.2})

    assert set(deployment.done()) == {f"good {n}" for n in range(60)}
    assert deployment.letters("jobs_dead") == []
    assert statistics.duplicates > 0


def test_order_of_fifo_groups_through_lambda(deployment):
    """Each group in order, one at a time, whatever fails in it on the way."""
    ordered = deployment.env.queue("ordered.fifo")
    for n in range(6):
        for group in "abc":
            ordered.add_job("step", group=group, n=n, fails=int(n == 2), _group_id=group)

    deployment.run("ordered.fifo")

    steps = [line.split() for line in deployment.ledger.read_text().splitlines()]
    for group in "abc":
        assert [int(n) for _, of, n in steps if of == group] == list(range(6))
    assert deployment.letters("ordered_dead.fifo") == []


def test_response_and_telemetry_of_the_deployed_function(deployment, tmp_path):
    """Metrics count both jobs, and the dead letter names the request whose logs tell of it."""
    jobs = deployment.env.queue("jobs")
    jobs.add_job("good", n=1)
    jobs.add_job("rejects", n=2)
    deployment.run("jobs")

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    metrics = {line["task"]: line for line in lines if "_aws" in line}
    assert metrics["good"]["JobsSucceeded"] == [1.0]
    assert metrics["rejects"]["JobsDeadLettered"] == [1.0]
    (letter,) = deployment.letters("jobs_dead")
    request_id = letter["MessageAttributes"]["FailureRequestId"]["StringValue"]
    assert [line["function_request_id"] for line in lines if line.get("action") == "job_rejected"] == [request_id]
