"""EventBridge Scheduler on this machine: its API, and schedules that send to the embedded SQS.

:class:`~sqs_tasks.local.scheduler.service.SchedulerService` is the way in. It shares the clock and the agenda of the
SQS beside it, so that a moved clock makes schedules, delays and visibility timeouts happen in one order.
"""

from __future__ import annotations
