"""A registry with a queue of every kind, for whoever renders or deploys one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqs_tasks import Cron, Every, S3Offload, Schedule, SQSEnv

#: Where a worker would find it.
APP = "shop.tasks:env"

#: A queue that is there already, in another account.
OLD_URL = "https://sqs.eu-west-1.amazonaws.com/210987654321/old"


def registry_of_everything(*, existing: bool = True) -> SQSEnv:
    """Functions that add jobs to themselves, anywhere and nowhere, a FIFO queue, containers, schedules.

    Args:
        existing: Whether a queue is among them that is there already.
    """
    env = SQSEnv(region_name="us-east-1", queue_prefix="shop-")
    emails = env.queue("emails", message_retention_seconds=100_000, delay_seconds=3)
    send = emails.processor("send", timeout=20, max_attempts=9, enqueues=["emails"])(_send)
    send.schedule("nightly", Cron("0 2 * * ? *", timezone="Europe/Berlin"), arguments={"to": '${region} "all"'})
    rate = Schedule(Every(minutes=15), start=datetime(2024, 1, 1, tzinfo=UTC), flexible_minutes=5, enabled=False)
    emails.processor("sweep", timeout=5, enqueues=[], schedule=rate)(_nothing)
    env.queue("orders.fifo", content_based_deduplication=True).processor("place", timeout=10, enqueues=["emails"])(
        _send
    )
    env.queue(
        "reports", visibility_timeout_seconds=900, offload=S3Offload(prefix="reports/", expire_days=40)
    ).processor("write")(_nothing)
    env.queue("films", runs_on="fargate", offload=S3Offload(prefix="films/", remove_with_job=True)).processor(
        "cut", timeout=7_200
    )(_nothing)
    env.queue("tapes", runs_on="external", offload=S3Offload(bucket="archive", prefix="tapes/")).processor(
        "copy", timeout=60, enqueues=[]
    )(_nothing)
    env.queue("loose", dead_letter_queue=None)
    if existing:
        env.queue("old", queue_url=OLD_URL).processor("x", timeout=5, enqueues=[])(_nothing)
    return env


def manifest_of_everything(**options: Any) -> dict[str, Any]:
    """Its manifest."""
    return registry_of_everything(**options).manifest(app=APP)


def _send(to: str) -> None: ...


def _nothing() -> None: ...
