"""How long a failed job waits before it is tried again.

A policy takes the number of the failed attempt (1 for the first) and returns whole seconds, or None to leave the
message to its queue's visibility timeout. The container worker and Lambda apply it in the same way: as the visibility
timeout of the message, so that the receive count and the redrive policy stay correct.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import MAX_VISIBILITY_SECONDS, check_number

logger = logging.getLogger(__name__)


class CountedMessage(Protocol):
    """What a policy may ask of a message."""

    @property
    def receive_count(self) -> int:
        """How many times SQS has delivered the message, this time included."""


class BackoffPolicy:
    """Base of all policies; subclasses override :meth:`delay_seconds`, or sqs-workers' ``get_visibility_timeout``."""

    def delay_seconds(self, attempt: int) -> float | None:
        """Seconds to wait after this attempt, or None to leave it to the queue.

        Args:
            attempt: The attempt that failed; 1 for the first.
        """
        raise NotImplementedError

    def get_visibility_timeout(self, message: CountedMessage) -> float | None:
        """sqs-workers' form of :meth:`delay_seconds`, for a message."""
        return self.delay_seconds(message.receive_count)


def _check_seconds(policy: str, name: str, value: float) -> None:
    check_number(value, f"{policy}: {name}", 0, MAX_VISIBILITY_SECONDS, unit="seconds", whole=False)


@dataclass(frozen=True)
class ConstantBackoff(BackoffPolicy):
    """Always the same delay.

    Args:
        backoff_value: Seconds; 0 returns the message at once.
    """

    backoff_value: float = 0

    def __post_init__(self) -> None:
        _check_seconds("ConstantBackoff", "backoff_value", self.backoff_value)

    def delay_seconds(self, attempt: int) -> float:  # noqa: ARG002 - the same for each
        """The same seconds, whatever the attempt."""
        return self.backoff_value


@dataclass(frozen=True)
class ExponentialBackoff(BackoffPolicy):
    """A delay that multiplies with each attempt: ``min + multiplier * base ** (attempt - 1)``, with jitter.

    Args:
        base: The factor from one attempt to the next, above 0; below 1 the delays get shorter.
        min_visibility_timeout: Seconds added to each delay and its lower bound.
        max_visibility_timeout: The upper bound in seconds, up to 43,200.
        multiplier: Seconds of the first step.
        jitter: The share of the delay by which it may differ either way, 0 to 1, so that jobs that failed together
            do not return together.
        max_visbility_timeout: sqs-workers' spelling of ``max_visibility_timeout``.
    """

    base: float = 2
    min_visibility_timeout: float = 0
    max_visibility_timeout: float = 1800
    multiplier: float = 1
    jitter: float = 0.1
    max_visbility_timeout: InitVar[float | None] = None

    def __post_init__(self, max_visbility_timeout: float | None) -> None:
        if max_visbility_timeout is not None:
            object.__setattr__(self, "max_visibility_timeout", max_visbility_timeout)
        _check_seconds("ExponentialBackoff", "min_visibility_timeout", self.min_visibility_timeout)
        _check_seconds("ExponentialBackoff", "max_visibility_timeout", self.max_visibility_timeout)
        check_number(self.base, "ExponentialBackoff: base", 0, whole=False, above=True)
        check_number(self.multiplier, "ExponentialBackoff: multiplier", 0, whole=False)
        check_number(self.jitter, "ExponentialBackoff: jitter", 0, 1, whole=False)
        if self.min_visibility_timeout > self.max_visibility_timeout:
            raise ConfigurationError(
                f"ExponentialBackoff: min_visibility_timeout={self.min_visibility_timeout!r} is above "
                f"max_visibility_timeout={self.max_visibility_timeout!r}"
            )

    def delay_seconds(self, attempt: int) -> float:
        """Seconds for the attempt, between the two bounds; safe at any receive count."""
        try:
            # As floats: a whole base to the power of a large count would be computed digit by digit, for minutes.
            step = self.multiplier * float(self.base) ** max(attempt - 1, 0)
        except OverflowError:  # a receive count of a thousand at base 2 is past any float
            step = float(MAX_VISIBILITY_SECONDS)
        mean = min(self.min_visibility_timeout + step, self.max_visibility_timeout)
        if self.jitter:
            import random  # only a failed job pays for it

            mean *= random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreads load, guards nothing
        return min(max(mean, self.min_visibility_timeout), self.max_visibility_timeout)


@dataclass(frozen=True)
class LinearBackoff(BackoffPolicy):
    """A delay that grows by the same step: ``step_seconds * attempt``, at most ``max_seconds``."""

    step_seconds: float
    max_seconds: float = 1800

    def __post_init__(self) -> None:
        _check_seconds("LinearBackoff", "step_seconds", self.step_seconds)
        _check_seconds("LinearBackoff", "max_seconds", self.max_seconds)

    def delay_seconds(self, attempt: int) -> float:
        """Seconds for the attempt, never above the bound."""
        return min(self.step_seconds * max(attempt, 1), self.max_seconds)


@dataclass(frozen=True)
class TableBackoff(BackoffPolicy):
    """A delay from a table by attempt; after the end of the table the last entry counts.

    Args:
        seconds: One delay for each attempt, for example ``(5, 60, 600)``.
    """

    seconds: Sequence[float] = field(default=(1,))

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ConfigurationError("TableBackoff(seconds=()): needs at least one delay")
        for value in self.seconds:
            _check_seconds("TableBackoff", "seconds", value)
        object.__setattr__(self, "seconds", tuple(self.seconds))

    def delay_seconds(self, attempt: int) -> float:
        """The entry for the attempt."""
        return self.seconds[min(max(attempt, 1), len(self.seconds)) - 1]


@dataclass(frozen=True)
class QueueBackoff(BackoffPolicy):
    """Does not change a failed message: it comes back when the visibility timeout of its receive ends."""

    def delay_seconds(self, attempt: int) -> None:  # noqa: ARG002 - the queue decides
        """None: the queue decides."""
        return


DEFAULT_BACKOFF: BackoffPolicy = ExponentialBackoff()
IMMEDIATE_RETURN: BackoffPolicy = ConstantBackoff()
LEAVE_TO_QUEUE: BackoffPolicy = QueueBackoff()


def first_delay_seconds(policy: BackoffPolicy) -> float | None:
    """The seconds before a second attempt, as far as they are known: a user's policy may read the clock."""
    if type(policy) is ExponentialBackoff:
        return replace(policy, jitter=0).delay_seconds(1)
    if type(policy) in {ConstantBackoff, LinearBackoff, TableBackoff}:
        return policy.delay_seconds(1)
    return None


def visibility_seconds(policy: BackoffPolicy, message: CountedMessage) -> int | None:
    """A policy's delay for a message as a visibility timeout that SQS accepts: an integer from 0 to 43,200, or None.

    Never raises, as :func:`policy_seconds`.
    """
    seconds = policy_seconds(policy, message)
    return None if seconds is None else clamp_visibility(seconds)


def policy_seconds(policy: BackoffPolicy, message: CountedMessage) -> float | None:
    """A policy's delay for a message in seconds, however long; None leaves it to the queue.

    Never raises: a policy that fails must not take the worker with it, so its error is logged and the message is left
    to the queue.
    """
    try:
        seconds = policy.get_visibility_timeout(message)
        return None if seconds is None else float(seconds)
    except Exception:  # policies are user code
        logger.exception("backoff policy %r failed; the queue's visibility timeout decides", policy)
        return None


def clamp_visibility(seconds: float, *, longest: int = MAX_VISIBILITY_SECONDS, round_up: bool = False) -> int:
    """The nearest whole number of seconds that SQS accepts (S20).

    Half a second becomes a whole one, and so does any part of the first: with none the message would be received again
    at once, until its attempts are used up.

    Args:
        seconds: The delay; what is negative or no number is none.
        longest: What SQS still allows for this receive.
        round_up: Whether the message must not be back a moment too early.
    """
    if seconds != seconds:  # noqa: PLR0124 - NaN is the only value that differs from itself
        return 0
    allowed = min(max(seconds, 0), max(longest, 0))
    return math.ceil(allowed) if round_up or allowed < 1 else math.floor(allowed + 0.5)
