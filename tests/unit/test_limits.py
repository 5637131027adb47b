"""Numbers of SQS, and the one way in which an option out of its range is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from sqs_tasks import BatchMessages, ConstantBackoff, ExponentialBackoff, Retry, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import check_number
from sqs_tasks.outcome import Postpone
from sqs_tasks.provisioning import RedrivePolicy


def env() -> SQSEnv:
    return SQSEnv(region_name="us-east-1")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "queue": (
        lambda: env().queue("q", delay_seconds=1000),
        "queue 'q': delay_seconds=1000 must be a whole number of seconds from 0 to 900; try 900",
    ),
    "task": (
        lambda: env().queue("q").processor("t", max_attempts=0)(print),
        "task 't': max_attempts=0 must be a whole number from 1 to 1000; try 1",
    ),
    "fraction": (
        lambda: env().queue("q", max_receive_count=2.6),  # type: ignore[arg-type]
        "queue 'q': max_receive_count=2.6 must be a whole number from 1 to 1000; try 3",
    ),
    "boolean": (
        lambda: env().queue("q").processor("t", max_attempts=True)(print),
        "task 't': max_attempts=True must be a whole number from 1 to 1000; try 1",
    ),
    "timeout": (
        lambda: env().queue("q").processor("t", timeout=0)(print),
        "task 't': timeout=0 must be a number of seconds above 0, at most 43200; try 1",
    ),
    "redrive": (
        lambda: RedrivePolicy(env(), "dead", 1001),
        "max_receive_count=1001 must be a whole number from 1 to 1000; try 1000",
    ),
    "visibility": (
        lambda: env().create_standard_queue("q", visibility_timeout="30"),
        "visibility_timeout='30' must be a whole number of seconds from 0 to 43200; try 30",
    ),
    "backoff": (
        lambda: ConstantBackoff(-1),
        "ConstantBackoff: backoff_value=-1 must be a number of seconds from 0 to 43200; try 1",
    ),
    "jitter": (
        lambda: ExponentialBackoff(jitter=1.5),
        "ExponentialBackoff: jitter=1.5 must be a number from 0 to 1; try 1",
    ),
    "batch": (
        lambda: BatchMessages(0),
        "BatchMessages: batch_size=0 must be a whole number from 1 to 10000; try 1",
    ),
    "worker": (
        lambda: env().queue("q").process_queue(concurrency=0),
        "concurrency=0 must be a whole number, 1 or more; try 1",
    ),
    "wait": (
        lambda: env().queue("q").process_batch(21),
        "wait_seconds=21 must be a number of seconds from 0 to 20; try 20",
    ),
    "lambda": (
        lambda: SQSEventHandler(env(), concurrency="4"),  # type: ignore[arg-type]
        "concurrency='4' must be a whole number, 1 or more; try 4",
    ),
    "margin": (
        lambda: SQSEventHandler(env(), margin_seconds=float("nan")),
        "margin_seconds=nan must be a number of seconds, 0 or more; try 1",
    ),
    "retry": (
        lambda: Retry(delay_seconds=-0.5),
        "Retry: delay_seconds=-0.5 must be a number of seconds, 0 or more; try 1",
    ),
    "postpone": (
        lambda: Postpone(-1),
        "Postpone: delay_seconds=-1 must be a number of seconds, 0 or more; try 1",
    ),
    "in flight": (
        lambda: env().queue("q").add_jobs([], max_in_flight=0),
        "max_in_flight=0 must be a whole number, 1 or more; try 1",
    ),
}


@pytest.mark.parametrize(("refuse", "text"), REFUSED.values(), ids=REFUSED)
def test_an_option_out_of_its_range_says_the_value_the_range_and_what_to_do(
    refuse: Callable[[], Any], text: str
) -> None:
    """The four parts stand in one order, wherever the option is."""
    with pytest.raises(ConfigurationError) as caught:
        refuse()

    assert str(caught.value) == text


@pytest.mark.parametrize("value", [0, 0.5, 900, Decimal("1.5")])
def test_numbers_of_the_range_are_taken_whatever_their_class(value: Any) -> None:
    """The bounds belong to the range, and a Decimal is a number."""
    check_number(value, "x", 0, 900, whole=False)
