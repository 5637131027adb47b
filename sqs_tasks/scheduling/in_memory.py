"""The schedules of a registry in the EventBridge Scheduler of queues in memory, for tests that move their clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqs_tasks.scheduling.eventbridge import Scheduler, SchedulerClient, schedule_request
from sqs_tasks.scheduling.intervals import Every
from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule

#: Where schedules are made in memory, where nobody asks for a group or a role.
IN_MEMORY = Scheduler(group="default", role_arn="arn:aws:iam::000000000000:role/memory")


def schedule_in_memory(
    schedules: Iterable[RegisteredSchedule],
    client: SchedulerClient,
    *,
    queue_url: Callable[[str], str],
    now: datetime,
) -> None:
    """Make schedules that nobody has made yet.

    A rate without a start runs first after one period. On AWS it runs as soon as it is made, and a test would find jobs
    that it did not ask for.

    Args:
        schedules: The schedules.
        client: The client of EventBridge Scheduler in memory.
        queue_url: Gives the URL of a queue by its name in code.
        now: The time of the clock there.
    """
    for one in schedules:
        request = schedule_request(
            one, IN_MEMORY, queue_url=queue_url(one.queue_name), description="a schedule of the registry", now=now
        )
        if isinstance(one.schedule.expression, Every) and one.schedule.start is None:
            request["StartDate"] = now + timedelta(seconds=one.schedule.expression.period_seconds())
        client.create_schedule(**request)
