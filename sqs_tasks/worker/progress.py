"""How far the jobs of one queue are: the pools report it, the polling thread reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sqs_tasks.execution.lanes import Lane
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import BatchProcessingResult


class Progress:
    """Counts the lanes of one queue that are in progress, and collects the jobs that are over.

    ===========  ================================================================  ================================
    a lane is    from                                                              until
    ===========  ================================================================  ================================
    in progress  :meth:`started`, called by the polling thread                     its thread calls :attr:`lane_over`
    over         then; each of its jobs was reported by :attr:`job_over` before    the polling thread calls
                                                                                   :meth:`taken`
    forgotten    then
    ===========  ================================================================  ================================

    The pools append to deques, which takes no lock.

    Args:
        queue_name: The queue's name in code.
    """

    def __init__(self, queue_name: str) -> None:
        self._queue_name = queue_name
        #: Lanes that were handed to a pool, less those that are known to be over.
        self.lanes_in_progress = 0
        self._lanes_over: deque[Lane] = deque()
        self._jobs_over: deque[tuple[ReceivedMessage, bool]] = deque()
        #: Called with a message that has its verdict, and whether its job succeeded.
        self.job_over: Callable[[tuple[ReceivedMessage, bool]], None] = self._jobs_over.append
        #: Called with a lane that has ended, in whichever way.
        self.lane_over: Callable[[Lane], None] = self._lanes_over.append

    def started(self, lanes: int) -> None:
        """So many lanes are about to be handed to a pool."""
        self.lanes_in_progress += lanes

    def taken(self) -> BatchProcessingResult:
        """The jobs that ended since the last call; :attr:`lanes_in_progress` is up to date afterwards."""
        # Lanes first: a lane reports its end last, so the jobs of each lane that is over are among those read now.
        lanes, jobs, result = self._lanes_over, self._jobs_over, BatchProcessingResult(self._queue_name)
        while lanes:
            lanes.popleft()
            self.lanes_in_progress -= 1
        while jobs:
            result.update_with_message(*jobs.popleft())
        return result
