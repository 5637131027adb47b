"""Jobs that are due later, by boto3 over HTTP: the client of EventBridge Scheduler that belongs to an environment."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.scheduling.eventbridge import Scheduler

SCHEDULER = Scheduler(group="shop", role_arn="arn:aws:iam::000000000000:role/shop")


@pytest.fixture
def server() -> Iterator[LocalSQSServer]:
    with LocalSQSServer() as running:
        yield running


@pytest.fixture(autouse=True)
def _credentials(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def scheduler(server):
    """boto3's client, with the group made."""
    client = boto3.client("scheduler", endpoint_url=server.endpoint_url, region_name="eu-west-1")
    client.create_schedule_group(Name="shop")
    yield client
    client.close()


def listed(scheduler) -> set[str]:
    """The names of all schedules of the group."""
    pages = scheduler.get_paginator("list_schedules").paginate(GroupName="shop")
    return {one["Name"] for page in pages for one in page["Schedules"]}


@pytest.mark.parametrize("how", ["endpoint_url", "variable", "client"])
def test_scheduler_is_where_sqs_is(server, scheduler, monkeypatch, how) -> None:
    """By argument, by environment variable, and beside a client of SQS that was given."""
    options = {"scheduler": SCHEDULER, "region_name": "eu-west-1"}
    if how == "endpoint_url":
        options["endpoint_url"] = server.endpoint_url
    elif how == "variable":
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.endpoint_url)
    else:
        given = boto3.client("sqs", endpoint_url=server.endpoint_url, region_name="eu-west-1")
        options = {"scheduler": SCHEDULER, "sqs_client": given}
    env = SQSEnv(**options)
    task = env.queue("reminders").processor("remind")(lambda user: None)
    env.create_queues()
    due = datetime.now(UTC) + timedelta(days=3)

    receipt = task.options(run_at=due).delay(user=7)

    schedule = scheduler.get_schedule(Name=f"job-{receipt.job_id}", GroupName="shop")
    sent = json.loads(schedule["Target"]["Input"])
    assert (sent["QueueUrl"], sent["MessageBody"]) == (env.get_queue_url("reminders"), '{"user": 7}')
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert receipt.cancel() is True
    assert listed(scheduler) == set()


def test_many_are_made_side_by_side_and_a_tenth_cancelled(server, scheduler) -> None:
    """Threads share one client; each job has its own schedule."""
    env = SQSEnv(endpoint_url=server.endpoint_url, region_name="eu-west-1", scheduler=SCHEDULER)
    task = env.queue("reminders").processor("remind")(lambda user: None)
    env.create_queues()
    ids: list[str] = []
    env.post_send(lambda message, receipt: ids.append(receipt.job_id))

    assert task.map(({"user": user} for user in range(300)), delay_seconds=86_400) == 300
    cancelled = {job_id for job_id in ids[::10] if env.cancel(job_id)}

    assert len(set(ids)) == 300
    assert len(cancelled) == 30
    assert listed(scheduler) == {f"job-{job_id}" for job_id in set(ids) - cancelled}


def test_none_is_lost_none_is_early_each_runs_once() -> None:
    """Hundreds of jobs for later, a tenth cancelled: nothing comes before its time, then each that is left, once."""
    with LocalSQSServer(clock=ManualClock(int(time.time()))) as server:
        env = SQSEnv(endpoint_url=server.endpoint_url, region_name="eu-west-1", scheduler=SCHEDULER)
        env.client.of_service("scheduler", endpoint_url=server.endpoint_url).create_schedule_group(Name="shop")
        queue = env.queue("reminders")
        task = queue.processor("remind")(lambda hours: None)
        env.create_queues()
        sent: list[str] = []
        ran: Counter[str] = Counter()
        env.post_send(lambda message, receipt: sent.append(receipt.job_id))
        env.pre_task(lambda job: ran.update([job.job_id]))

        for hours in (1, 2, 3):
            task.map(({"hours": hours} for _ in range(100)), delay_seconds=3_600 * hours)
        cancelled = {job_id for job_id in sent[::10] if env.cancel(job_id)}
        found = []
        for seconds in (3_570, 120, 3_480, 120, 3_480, 120):  # half a minute before each hour, and one and a half after
            server.advance(seconds)
            while queue.process_batch().succeeded:
                pass
            found.append(ran.total())

        assert len(cancelled) == 30
        assert found == [0, 90, 90, 180, 180, 270]
        assert ran == dict.fromkeys(set(sent) - cancelled, 1)
