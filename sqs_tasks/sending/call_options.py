"""``task.map(..., spread_seconds=300)``, and a delay that each call has for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import MAX_DELAY_SECONDS, check_number
from sqs_tasks.sending.send_options import OptionsOfCall, SendOptions

#: Its multiples fall evenly between two whole numbers, however many there are (the golden ratio).
_GOLDEN = 0.618_033_988_749_895


def options_of_calls(
    options: SendOptions,
    calls: object,
    *,
    spread_seconds: float | None,
    delay_of: Callable[[Mapping[str, Any]], float | None] | None,
    is_fifo: bool,
    own_delay_seconds: float | None,
) -> SendOptions | OptionsOfCall:
    """The options of jobs that are sent together: the same ones, or what gives those of each.

    Args:
        options: What all have in common.
        calls: What the jobs are made from; its length is used where it has one.
        spread_seconds: The time over which their delays are spread; None for no time.
        delay_of: Gives the delay of each by its arguments; None for one delay.
        is_fifo: Whether their queue is FIFO.
        own_delay_seconds: The delay of the task, for jobs that say none.

    Raises:
        ConfigurationError: A spread that cannot be.
    """
    if spread_seconds is None and delay_of is None:
        return options
    if spread_seconds is not None:
        check_number(
            spread_seconds,
            "map: spread_seconds",
            0,
            MAX_DELAY_SECONDS,
            unit="seconds",
            whole=False,
            fix="for more time give delay_seconds=lambda call: ...; such jobs are held by EventBridge Scheduler",
        )
        if is_fifo:
            raise ConfigurationError(
                f"map: spread_seconds={spread_seconds:g} on a FIFO queue: SQS delays only all its messages alike; "
                "standard queues allow it; send to one, or leave spread_seconds out"
            )
        if options.run_at is not None:
            raise ConfigurationError(
                f"map: spread_seconds={spread_seconds:g} with run_at={options.run_at!r}: delays count from the send; "
                "give one of the two, or delay_seconds= with the spread"
            )
    share = _shares(calls)

    def options_of(call: Mapping[str, Any]) -> SendOptions:
        delay = options.delay_seconds if delay_of is None else delay_of(call)
        if spread_seconds is None:
            return replace(options, delay_seconds=delay)
        base = delay if delay is not None else (own_delay_seconds or 0)
        return replace(options, delay_seconds=base + int(spread_seconds * share()))

    return _Each(options_of, options.outbox)


@dataclass(frozen=True, slots=True)
class _Each:
    """OptionsOfCall."""

    of: Callable[[Mapping[str, Any]], SendOptions]
    outbox: object

    def __call__(self, call: Mapping[str, Any], /) -> SendOptions:
        return self.of(call)


def _shares(calls: object) -> Callable[[], float]:
    """Gives the share of the time for one job after the other, from 0 up to but not including 1, evenly.

    In order where it is known how many there are; otherwise so that any number of them is spread.
    """
    numbers = count()
    if isinstance(calls, Sized):
        total = max(len(calls), 1)
        return lambda: min(next(numbers) / total, 1)
    return lambda: next(numbers) * _GOLDEN % 1
