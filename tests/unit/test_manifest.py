"""The registry as data: what it computes."""

from __future__ import annotations

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.backoff_policies import (
    DEFAULT_BACKOFF,
    LEAVE_TO_QUEUE,
    BackoffPolicy,
    ConstantBackoff,
    ExponentialBackoff,
    LinearBackoff,
    TableBackoff,
)


class _Mine(BackoffPolicy):
    def delay_seconds(self, attempt: int) -> float:
        return attempt


def _total(policy: BackoffPolicy, attempts: int | None, *, on_queue: bool = False) -> object:
    env = SQSEnv(MemorySession())
    queue = env.queue("emails", backoff_policy=policy if on_queue else None)
    queue.processor("send", max_attempts=attempts, backoff_policy=None if on_queue else policy)(lambda: None)
    (told,) = env.manifest()["queues"]
    return told["tasks"][0]["total_backoff_seconds"]


@pytest.mark.parametrize(
    ("policy", "attempts", "seconds"),
    [
        (ConstantBackoff(60), 1, 0),
        (ConstantBackoff(60), 5, 240),
        (LinearBackoff(10), 4, 60),
        (TableBackoff((5, 60)), 4, 125),
        (DEFAULT_BACKOFF, 4, 8),  # 1 + 2 + 4, and a tenth of jitter
        (ExponentialBackoff(max_visibility_timeout=3), 4, 7),  # 1.1 + 2.2 + 3: jitter stays below the bound
        (DEFAULT_BACKOFF, None, None),
        (LEAVE_TO_QUEUE, 3, None),
        (_Mine(), 3, None),
    ],
)
def test_waits_between_attempts_are_added_up(policy: BackoffPolicy, attempts: int | None, seconds: int | None) -> None:
    """At their longest, and not for attempts without end or policies that only their author knows."""
    assert _total(policy, attempts) == _total(policy, attempts, on_queue=True) == seconds
