"""A registry's schedules deployed to the embedded scheduler: the jobs that run are those that the expressions have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from sqs_tasks import Cron, Every, Schedule, SQSEnv
from sqs_tasks.deployment.schedules import DeployedSchedules
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.scheduling.eventbridge import Scheduler
from sqs_tasks.scheduling.expressions import runs
from sqs_tasks.testing import drain

BEGIN = datetime(2030, 10, 25, 12, 0, tzinfo=UTC)  # two days before the clocks of Berlin go back
PLACE = Scheduler(group="shop", role_arn="arn:aws:iam::000000000000:role/shop")


@contextmanager
def in_memory() -> Iterator[tuple[Any, Any, Any]]:
    """SQS, scheduler, and how time passes: in this process."""
    session = MemorySession(ManualClock(BEGIN.timestamp()))
    yield session.client("sqs"), session.client("scheduler"), session.advance


@contextmanager
def over_http() -> Iterator[tuple[Any, Any, Any]]:
    """The same over HTTP, by boto3."""
    with LocalSQSServer(clock=ManualClock(BEGIN.timestamp())) as server:
        options = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        clients = [boto3.client(name, endpoint_url=server.endpoint_url, **options) for name in ("sqs", "scheduler")]
        yield clients[0], clients[1], server.advance
        for client in clients:
            client.close()


@pytest.mark.parametrize("door", [in_memory, over_http])
def test_the_jobs_of_a_registrys_schedules_run_when_they_are_due(door: Any) -> None:
    """Each slot once, under its own job id, with its arguments, on standard and FIFO queues."""
    with door() as (sqs, scheduler, advance):
        env = SQSEnv(sqs_client=sqs, queue_prefix="shop-")
        reports, orders = env.queue("reports"), env.queue("orders.fifo")
        seen: list[tuple[str, Any]] = []
        nightly = Schedule(Cron("30 2 * * ? *", timezone="Europe/Berlin"), arguments={"text": 'ü "quoted" <b>'})
        reports.processor("nightly", schedule=nightly)(lambda text: seen.append(("nightly", text)))
        start = BEGIN + timedelta(minutes=7)
        orders.processor("close", schedule=Schedule(Every(hours=6), start=start))(lambda: seen.append(("close", None)))
        ids: list[str] = []
        env.pre_task(lambda job: ids.append(job.job_id))
        env.create_queues()
        place = DeployedSchedules(
            client=scheduler,
            scheduler=PLACE,
            app="shop.tasks:env",
            queue_prefix="shop-",
            queue_url=env.get_queue_url,
            now=lambda: BEGIN,
        )
        list(place.apply(place.plan(env.schedules.values())))

        for _ in range(4 * 24):
            advance(3_600)
            drain(env, raise_errors=True)

    end = BEGIN + timedelta(days=4)
    expected = [
        f"{name}@{run:%Y-%m-%dT%H:%M:%S}Z"
        for name, expression, first in (
            ("reports.nightly", Cron("30 2 * * ? *", timezone="Europe/Berlin"), None),
            ("orders.fifo.close", Every(hours=6), start),
        )
        for run in runs(expression, BEGIN, start=first, end=end)
    ]
    assert sorted(ids) == sorted(expected)
    assert [argument for name, argument in seen if name == "nightly"] == ['ü "quoted" <b>'] * 4
    assert sum(name == "close" for name, _ in seen) == 16
