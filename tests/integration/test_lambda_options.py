"""Each option of the handler in a function of its own: SQS over HTTP, the event source, AWS's runtime client."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import boto3
import pytest

from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.function import FunctionConfiguration
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.local.server import LocalSQSServer

pytest.importorskip("awslambdaric", reason="AWS's runtime client runs the function")

ROOT = Path(__file__).parents[2]

#: The beginning of each function; its ledger takes one line a note, written in one piece.
BEGIN = """
import asyncio, os, threading
from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler

env = SQSEnv(queue_prefix="shop-", backoff_policy=ConstantBackoff(0))
jobs = env.queue("jobs", max_receive_count=100, visibility_timeout_seconds=VISIBILITY)

def note(*words):
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\\n").encode())
    os.close(fd)

def once(name):
    try:
        os.close(os.open(os.environ["LEDGER"] + name, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False

"""


class Function:
    """A function of some code, behind the queue ``jobs``."""

    def __init__(self, directory, server, monkeypatch):
        self.directory, self.ledger = directory, directory / "ledger"
        self.variables = {
            "AWS_ENDPOINT_URL_SQS": server.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)
        self.client = boto3.client("sqs")
        self.log = directory / "log"

    def deploy(self, code, *, visibility_seconds=20):
        """Write the code and make its queues."""
        code = BEGIN.replace("VISIBILITY", str(visibility_seconds)) + code
        (self.directory / "function.py").write_text(code)
        names = {}
        exec(code, names)
        names["env"].create_queues()
        self.jobs = names["jobs"]

    def run(self, *, timeout_seconds=10, variables=None, **source):
        """Work the queue until nothing is left in it."""
        with self.log.open("ab") as log:
            function = SubprocessFunction(
                "function.handler",
                FunctionConfiguration(name="worker", timeout_seconds=timeout_seconds),
                environments=1,
                directory=self.directory,
                variables={"LEDGER": str(self.ledger), "PYTHONPATH": str(ROOT), **(variables or {})},
                output=log,
            )
            mapping = EventSourceMapping(self.client, self.jobs.queue_url, function, seed=7, **source)
            try:
                mapping.run(until=lambda: mapping.idle and self.left() == 0)
            finally:
                mapping.close()
        return mapping.statistics

    def left(self):
        answer = self.client.get_queue_attributes(QueueUrl=self.jobs.queue_url, AttributeNames=["All"])
        return sum(int(v) for k, v in answer["Attributes"].items() if k.startswith("ApproximateNumberOfMessages"))

    def send(self, *names):
        with self.jobs.add_batch():
            for n, name in enumerate(names):
                self.jobs.add_job(name, n=n)

    @property
    def notes(self):
        return Counter(self.ledger.read_text().splitlines())


@pytest.fixture
def function(tmp_path, monkeypatch):
    with LocalSQSServer() as server:
        made = Function(tmp_path, server, monkeypatch)
        yield made
        made.client.close()


@pytest.mark.parametrize(("options", "runs"), [("", 2), ("eager_acknowledgement=True", 1)], ids=["plain", "eager"])
def test_s15_crash_runs_finished_jobs_again_unless_they_were_acknowledged(function, options, runs):
    """Lambda deletes after the invocation; a function that dies in it has answered nothing."""
    function.deploy(
        f"""
@jobs.processor("work", timeout=0.5)
def work(n):
    note("work", n)
    if n == 1 and once("crash"):
        os._exit(1)

handler = SQSEventHandler(env, {options})
""",
        visibility_seconds=1,
    )
    function.send("work", "work")
    statistics = function.run(timeout_seconds=1)

    assert statistics.crashes == 1
    assert function.notes == {"work 0": runs, "work 1": 2}


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_jobs_of_one_invocation_run_side_by_side_s54(function, kind):
    """Three jobs that wait for each other: in threads, or on the one event loop of the process."""
    function.deploy(
        """
threads, together, loops = threading.Barrier(3), asyncio.Barrier(3), set()

@jobs.processor("plain", timeout=5)
def plain(n):
    threads.wait(5)
    note("done", n)

@jobs.processor("async", timeout=5)
async def concurrent(n):
    await together.wait()
    loops.add(asyncio.get_running_loop())
    assert len(loops) == 1
    note("done", n)

handler = SQSEventHandler(env, concurrency=3)
"""
    )
    function.send(kind, kind, kind)
    statistics = function.run()

    assert function.notes == {"done 0": 1, "done 1": 1, "done 2": 1}
    assert statistics.invocations == 1


def test_s51_job_that_would_not_end_in_time_waits_for_the_next_invocation(function):
    """None is begun that Lambda would cut off, and each is done once."""
    function.deploy(
        """
@jobs.processor("slow", timeout=0.6)
def slow(n):
    threading.Event().wait(0.4)
    note("slow", n)

handler = SQSEventHandler(env)
handler.on_settled(lambda report: note(type(report.outcome).__name__))
""",
        visibility_seconds=3,
    )
    function.send("slow", "slow")
    statistics = function.run(timeout_seconds=1)

    assert function.notes == {"slow 0": 1, "slow 1": 1, "Succeeded": 2, "NotStarted": 1}
    assert statistics.timeouts == 0


def test_s9_answers_that_are_ignored_are_told(function):
    """The mapping does not report batch item failures: what failed is deleted, and the function can find that out."""
    function.deploy(
        """
@jobs.processor("fails", timeout=0.5, backoff_policy=ConstantBackoff(30))
def fails(n):
    raise ValueError("no")

handler = SQSEventHandler(env)
handler.on_responses_ignored(lambda queue: note("ignored", queue))
"""
    )
    function.send("fails", "fails")
    function.run(batch_size=1, report_batch_item_failures=False)

    assert function.notes == {"ignored jobs": 1}
    assert "ReportBatchItemFailures" in function.log.read_text()


def test_tasks_are_the_record_handler_of_a_batch_processor(function):
    """For a function that has Powertools' processor already."""
    pytest.importorskip("aws_lambda_powertools", reason="an optional integration")
    function.deploy(
        """
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from sqs_tasks.integrations.powertools.record_handler import TaskRecordHandler

@jobs.processor("work", timeout=0.5)
def work(n):
    note("work", n)
    if n == 1 and once("fail"):
        raise ValueError("not yet")

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
record_handler = TaskRecordHandler(env)

def handler(event, context):
    return process_partial_response(event, record_handler, processor, context)
"""
    )
    function.send("work", "work", "work")
    statistics = function.run()

    assert function.notes == {"work 0": 1, "work 1": 2, "work 2": 1}
    assert statistics.errors == 0


def test_p7_function_of_a_snapshot_connects_anew_and_draws_other_numbers(function):
    """AWS's runtime client calls the hooks when the snapshot is made and when an environment wakes from it."""
    function.deploy(
        """
import random

handler = SQSEventHandler(env)
env.client()
made, state = env.client._client, random.getstate()

@jobs.processor("work", timeout=5)
def work(n):
    note("anew" if random.getstate() != state and env.client() is not made else "as it was")
"""
    )
    function.send("work")
    function.run(variables={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})

    assert function.notes == {"anew": 1}
