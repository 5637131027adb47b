"""A function whose event loop was lost: what is done is not done again, and Lambda starts a new environment."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function.function import FunctionConfiguration
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.local.server import LocalSQSServer
from tests.support.worker_processes import CREDENTIALS

pytest.importorskip("awslambdaric", reason="AWS's runtime client runs the function")

APP = """
import asyncio, os, time
from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler

env = SQSEnv()
jobs = env.queue("jobs", backoff_policy=ConstantBackoff(0), max_receive_count=10)

def note(word):
    with open(os.environ["LEDGER"], "a") as file:
        file.write(f"{word} {os.getpid()}\\n")

@jobs.processor("quick")
async def quick(n):
    note(f"quick{n}")

@jobs.processor("blocks", timeout=0.3)
async def blocks():
    note("blocks")
    if not os.path.exists("blocked"):
        open("blocked", "w").close()
        time.sleep(120)  # the mistake: no coroutine may do this

handler = SQSEventHandler(env)
"""


def test_a_lost_loop_ends_its_environment_and_repeats_nothing_that_is_done(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other jobs of the batch ran once; the one that blocked runs again, in another process."""
    (tmp_path / "app.py").write_text(APP)
    ledger = tmp_path / "ledger"
    with LocalSQSServer() as server, (tmp_path / "log").open("wb") as log:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL_SQS": server.endpoint_url}.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("sqs")
        env = SQSEnv(sqs_client=client)
        jobs = env.queue("jobs", max_receive_count=10, visibility_timeout_seconds=6)
        env.create_queues()
        with jobs.add_batch():
            for number in range(3):
                jobs.add_job("quick", n=number)
            jobs.add_job("blocks")
        function = SubprocessFunction(
            "app.handler",
            FunctionConfiguration(name="worker", timeout_seconds=5),
            directory=tmp_path,
            variables={"LEDGER": str(ledger), "PYTHONPATH": str(Path.cwd())},
            output=log,
        )
        try:
            EventSourceMapping(client, jobs.queue_url, function, batch_size=10).drain()
        finally:
            function.close()
            client.close()
        assert jobs.statistics().total == 0

    lines = ledger.read_text().split("\n")[:-1]
    words = sorted(line.split()[0] for line in lines)
    processes = [line.split()[1] for line in lines if line.startswith("blocks")]
    assert words == ["blocks", "blocks", "quick0", "quick1", "quick2"]
    assert len(set(processes)) == 2
    assert "environment ends" in (tmp_path / "log").read_text()
