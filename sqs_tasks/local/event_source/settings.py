"""The settings of an event source mapping, refused where AWS refuses them (S17-S19, S30, S32, S34, S35, S42)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.event_source.filter import EventFilter
from sqs_tasks.local.event_source.scaling import BATCHES_OF_A_POLLER
from sqs_tasks.local.event_source.source_queue import SourceQueue

logger = logging.getLogger(__name__)

#: Seconds added to window and function timeout when a window makes Lambda set the visibility itself (S17).
WINDOW_VISIBILITY_MARGIN_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceSettings:
    """The settings, under the names of :class:`~sqs_tasks.local.event_source.mapping.EventSourceMapping`."""

    batch_size: int = 10
    batching_window_seconds: float = 0
    maximum_concurrency: int | None = None
    provisioned_pollers: tuple[int, int] | None = None
    reserved_concurrency: int | None = None
    report_batch_item_failures: bool = True
    allow_recursive_loop: bool = False
    filters: tuple[EventFilter, ...] = ()

    @property
    def most_batches(self) -> int | None:
        """Batches in flight at a time, at most; None when the settings do not say."""
        if self.provisioned_pollers is not None:
            return self.provisioned_pollers[1] * BATCHES_OF_A_POLLER
        return self.maximum_concurrency

    def visibility_timeout_seconds(self, queue: SourceQueue, function_timeout_seconds: float) -> int:
        """Seconds that received messages are invisible.

        The queue's own, unless there is a window and it makes, together with the function's timeout, more than that:
        then both and thirty seconds more (S17).
        """
        longest = self.batching_window_seconds + function_timeout_seconds
        if self.batching_window_seconds > 0 and longest > queue.visibility_timeout_seconds:
            return min(int(longest) + WINDOW_VISIBILITY_MARGIN_SECONDS, limits.MAX_VISIBILITY_SECONDS)
        return queue.visibility_timeout_seconds

    def check(self, queue: SourceQueue, function_timeout_seconds: float) -> None:
        """Refuse what AWS refuses, and log what it advises against.

        Raises:
            ConfigurationError: The settings fit neither each other nor the queue.
        """
        self._check_batches(queue)
        self._check_concurrency()
        visibility = queue.visibility_timeout_seconds
        if visibility < function_timeout_seconds:
            raise ConfigurationError(
                f"Queue visibility timeout: {visibility} seconds is less than Function timeout: "
                f"{function_timeout_seconds:g} seconds; raise the one of {queue.name} or lower the other"
            )
        recommended = limits.VISIBILITY_FACTOR * function_timeout_seconds + self.batching_window_seconds
        if visibility < recommended:
            logger.info(
                "the visibility timeout of %s is %s seconds; AWS recommends %g: "
                "six times the function's timeout, and the batching window",
                queue.name,
                visibility,
                recommended,
            )
        if queue.max_receive_count is not None and queue.max_receive_count < limits.MIN_LAMBDA_RECEIVE_COUNT:
            logger.info(
                "the maxReceiveCount of %s is %s; AWS recommends %s or more, since throttled deliveries count",
                queue.name,
                queue.max_receive_count,
                limits.MIN_LAMBDA_RECEIVE_COUNT,
            )

    def _check_batches(self, queue: SourceQueue) -> None:
        window = self.batching_window_seconds
        if queue.fifo and window:
            raise ConfigurationError(
                f"batching_window_seconds={window}: a FIFO queue has no batching window; leave it out"
            )
        if not 0 <= window <= limits.MAX_BATCHING_WINDOW_SECONDS:
            raise ConfigurationError(
                f"batching_window_seconds={window} is out of range; give 0 to {limits.MAX_BATCHING_WINDOW_SECONDS}"
            )
        largest = limits.MAX_UNWINDOWED_BATCH if queue.fifo else limits.MAX_WINDOWED_BATCH
        if not 1 <= self.batch_size <= largest:
            raise ConfigurationError(f"batch_size={self.batch_size} is out of range; give 1 to {largest}")
        if self.batch_size > limits.MAX_UNWINDOWED_BATCH and window < 1:
            raise ConfigurationError(
                f"batch_size={self.batch_size} is above {limits.MAX_UNWINDOWED_BATCH} and so needs a window; "
                "give batching_window_seconds=1 or more"
            )

    def _check_concurrency(self) -> None:
        maximum, reserved = self.maximum_concurrency, self.reserved_concurrency
        if maximum is not None and not limits.MIN_MAPPING_CONCURRENCY <= maximum <= limits.MAX_MAPPING_CONCURRENCY:
            raise ConfigurationError(
                f"maximum_concurrency={maximum} is out of range; give {limits.MIN_MAPPING_CONCURRENCY} to "
                f"{limits.MAX_MAPPING_CONCURRENCY}. For one at a time use reserved_concurrency=1, or one FIFO group"
            )
        if self.provisioned_pollers is not None:
            if maximum is not None:
                raise ConfigurationError(
                    f"provisioned_pollers={self.provisioned_pollers} and maximum_concurrency={maximum} exclude each "
                    "other; give one of the two"
                )
            least, most = self.provisioned_pollers
            if not (limits.MIN_POLLERS <= least <= limits.MAX_MINIMUM_POLLERS and least <= most <= limits.MAX_POLLERS):
                raise ConfigurationError(
                    f"provisioned_pollers={least}, {most} is out of range; the first is {limits.MIN_POLLERS} to "
                    f"{limits.MAX_MINIMUM_POLLERS}, the second from there to {limits.MAX_POLLERS}"
                )
        if reserved is not None and reserved < 1:
            raise ConfigurationError(f"reserved_concurrency={reserved} is out of range; give 1 or more")
