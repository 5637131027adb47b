"""When ``process_queue`` returns by itself. Signals stop it in any case."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from sqs_tasks import limits
from sqs_tasks.outcome import BatchProcessingResult

#: A poll that does not wait asks only some of SQS's servers and may miss messages, so an empty answer to it says
#: nothing; a policy that stops on emptiness waits at least this long.
SHORTEST_LONG_POLL_SECONDS = 1.0


@runtime_checkable
class ShutdownPolicy(Protocol):
    """Any object with these two methods; only the polling thread calls them, between receives."""

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Note what was settled since the last call; it may be nothing."""

    def need_shutdown(self) -> bool:
        """Whether to stop receiving now."""


class NeverShutdown:
    """Runs until a signal comes."""

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Nothing to note."""

    def need_shutdown(self) -> bool:
        """False."""
        return False


class IdleShutdown:
    """Stops when no message was processed for some seconds.

    Args:
        idle_seconds: The seconds; 0 stops at the first receive that brings nothing.
        clock: The monotonic clock, for tests.
    """

    def __init__(self, idle_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.idle_seconds = idle_seconds
        self._clock = clock
        self._last_busy = clock()
        self._idle = False

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Note whether there was anything to do."""
        if batch_processing_result.total_count():
            self._last_busy = self._clock()
            self._idle = False
        else:
            self._idle = True

    def need_shutdown(self) -> bool:
        """Whether the last receive brought nothing and the idle seconds are over."""
        return self._idle and self._clock() - self._last_busy >= self.idle_seconds

    def longest_wait_seconds(self) -> float:
        """How long a poll may wait without outlasting the policy."""
        return max(self._last_busy + self.idle_seconds - self._clock(), SHORTEST_LONG_POLL_SECONDS)


class MaxTasksShutdown:
    """Stops after at least this many jobs, for example to limit a memory leak."""

    def __init__(self, max_tasks: int) -> None:
        self.max_tasks = max_tasks
        self.done = 0

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Count jobs, failed ones too."""
        self.done += batch_processing_result.total_count()

    def need_shutdown(self) -> bool:
        """Whether enough jobs were processed."""
        return self.done >= self.max_tasks


class MaxRuntimeShutdown:
    """Stops after these seconds.

    Args:
        max_seconds: The seconds, counted from the construction of the policy.
        clock: The monotonic clock, for tests.
    """

    def __init__(self, max_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_seconds = max_seconds
        self._clock = clock
        self._started = clock()

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Nothing to note."""

    def need_shutdown(self) -> bool:
        """Whether the time is over."""
        return self._clock() - self._started >= self.max_seconds

    def longest_wait_seconds(self) -> float:
        """How long a poll may wait without outlasting the policy."""
        return max(self._started + self.max_seconds - self._clock(), 0)


class _Combined:
    def __init__(self, *policies: ShutdownPolicy) -> None:
        self.policies = policies

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Pass it on to each policy."""
        for policy in self.policies:
            policy.update_state(batch_processing_result)

    def longest_wait_seconds(self) -> float:
        """How long a poll may wait without outlasting any of the policies."""
        waits = [policy.longest_wait_seconds() for policy in self.policies if hasattr(policy, "longest_wait_seconds")]
        return min(waits, default=float(limits.MAX_WAIT_SECONDS))


class OrShutdown(_Combined):
    """Stops as soon as one of several policies would."""

    def need_shutdown(self) -> bool:
        """Whether any policy wants to stop."""
        return any(policy.need_shutdown() for policy in self.policies)


class AndShutdown(_Combined):
    """Stops when all of several policies would."""

    def need_shutdown(self) -> bool:
        """Whether every policy wants to stop."""
        return all(policy.need_shutdown() for policy in self.policies)


class AsapShutdown:
    """Stops at the first receive that brings nothing. One object serves any number of queues, also at once.

    Each polling thread has its own state, and none is left behind for the next use.
    """

    def __init__(self) -> None:
        self._state = threading.local()

    def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
        """Note whether there was anything to do."""
        self._state.idle = not batch_processing_result.total_count()

    def need_shutdown(self) -> bool:
        """Whether the last receive brought nothing."""
        idle = bool(getattr(self._state, "idle", False))
        self._state.idle = False
        return idle

    def longest_wait_seconds(self) -> float:
        """As short as a poll may be that asks all servers."""
        return SHORTEST_LONG_POLL_SECONDS


NEVER_SHUTDOWN: ShutdownPolicy = NeverShutdown()
ASAP_SHUTDOWN: ShutdownPolicy = AsapShutdown()
