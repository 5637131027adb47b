"""Delays as SQS takes them: whole seconds, none of them shorter than what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from sqs_tasks import ConstantBackoff, ExponentialBackoff, MemorySession, Retry, SQSEnv
from sqs_tasks.backoff_policies import BackoffPolicy, LinearBackoff, TableBackoff, clamp_visibility
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.outcome import Retried
from sqs_tasks.testing import drain


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [(0, 0), (0.001, 1), (0.4, 1), (0.5, 1), (1, 1), (1.2, 1), (1.6, 2), (-3, 0), (43_200, 43_200), (1e9, 43_200)],
)
def test_a_part_of_a_second_is_rounded_up(seconds: float, whole: int) -> None:
    """It is not nothing, or the job would be back at once until its attempts are used up."""
    assert clamp_visibility(seconds) == whole


@pytest.mark.parametrize(("seconds", "whole"), [(0, 0), (0.001, 1), (1.2, 2), (-0.3, 0), (float("inf"), 43_200)])
def test_a_moment_that_was_named_is_not_missed_by_a_part_of_a_second(seconds: float, whole: int) -> None:
    """``Retry(after=...)`` and ``Postpone`` must not come too early."""
    assert clamp_visibility(seconds, round_up=True) == whole


@pytest.mark.parametrize(
    "policy",
    [
        ConstantBackoff(0.3),
        LinearBackoff(0.01),
        TableBackoff((0.2,)),
        ExponentialBackoff(multiplier=0.1, jitter=0),
        ExponentialBackoff(base=0.1, multiplier=0.4),
        Retry(delay_seconds=0.4),
    ],
)
def test_a_delay_below_a_second_burns_no_attempts(policy: Any) -> None:
    """The job waits for the next second, whoever asked for the delay."""
    env = SQSEnv(MemorySession(ManualClock()))
    queue = env.queue("guarded", backoff_policy=policy if isinstance(policy, BackoffPolicy) else None)
    runs = []

    @queue.processor("guarded", max_attempts=5)
    def guarded() -> None:
        runs.append(1)
        raise policy if isinstance(policy, Retry) else ValueError("not my turn")

    env.create_queues()
    guarded.delay()

    result = drain(queue, raise_errors=False)

    assert len(runs) == 1
    assert [outcome.delay_seconds for _, outcome in result.runs if isinstance(outcome, Retried)] == [1]


def test_a_send_delayed_by_a_part_of_a_second_is_delayed() -> None:
    """The same on the way in."""
    env = SQSEnv(MemorySession(ManualClock()))
    queue = env.queue("later")
    task = queue.processor("later")(lambda: None)
    env.create_queues()

    task.options(delay_seconds=0.2).delay()  # type: ignore[typeddict-item]

    assert queue.statistics().delayed == 1


def test_a_base_below_one_is_taken() -> None:
    """Users of sqs-workers write it, for delays that get shorter."""
    policy = ExponentialBackoff(base=0.1, jitter=0)

    assert [policy.delay_seconds(attempt) for attempt in (1, 2, 3)] == pytest.approx([1, 0.1, 0.01])


def test_the_sum_of_all_backoffs_is_that_of_the_rounded_ones() -> None:
    """The stack holds the retention against it."""
    env = SQSEnv()
    env.queue("q").processor("t", max_attempts=4, backoff_policy=ConstantBackoff(1.5))(print)

    assert env.manifest()["queues"][0]["tasks"][0]["total_backoff_seconds"] == 6
