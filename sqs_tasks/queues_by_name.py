"""What an environment does with a queue that is given by its name, as in sqs-workers; the queue itself does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.queue import JobQueue

if TYPE_CHECKING:
    from sqs_tasks.generic_queue import GenericQueue
    from sqs_tasks.outcome import BatchProcessingResult
    from sqs_tasks.priorities.priority_queues import PriorityQueues
    from sqs_tasks.provisioning import ProvisioningEnvironment, RedrivePolicy
    from sqs_tasks.receipts import Receipt
    from sqs_tasks.settings import QueueOptions
    from sqs_tasks.task import AsyncTask


class QueuesByName:
    """Registering, sending, working and creating by the names of queues."""

    def queue(self, queue_name: str, /, *args: Any, **options: Any) -> Any:
        """The queue of that name."""
        raise NotImplementedError

    def priority_queues(
        self, name: str, /, *, default: str | None = None, options: QueueOptions | None = None, **weights: float
    ) -> PriorityQueues:
        """Register a queue for each class of jobs, ``<name>_<class>``: ``env.priority_queues("jobs", high=8, low=1)``.

        Args:
            name: What their names begin with.
            default: The class of jobs that name none; None takes the middle one, of two the lower.
            options: Further options of all the queues, as for :meth:`queue`.
            **weights: The weight of each class: how much of a worker it gets while the others have jobs too.

        Raises:
            ConfigurationError: A FIFO queue, fewer than two classes, or a weight or default that cannot be.
        """
        from sqs_tasks.priorities.priority_queues import priority_queues  # most applications have none

        return priority_queues(self.queue, name, weights, default=default, options=options)

    def processor(
        self, queue_name: str, job_name: str, **options: Any
    ) -> Callable[[Callable[..., Any]], AsyncTask[..., Any]]:
        """Register a task on a queue by the queue's name; ``env.queue(name).processor(...)`` keeps the types."""
        return self._job_queue(queue_name).processor(job_name, **options)

    def batch_processor(
        self, queue_name: str, job_name: str, **options: Any
    ) -> Callable[[Callable[..., Any]], AsyncTask[..., Any]]:
        """Register a batch processor on a queue by the queue's name."""
        return self._job_queue(queue_name).batch_processor(job_name, **options)

    def connect_processor(
        self, queue_name: str, job_name: str, processor: Callable[..., Any], **options: Any
    ) -> AsyncTask[..., Any]:
        """Register a function as a task without a decorator."""
        return self._job_queue(queue_name).connect_processor(job_name, processor, **options)

    def raw_processor(self, queue_name: str, **options: Any) -> Callable[[Any], Any]:
        """Make a function the processor of a raw queue, by the queue's name."""
        from sqs_tasks.raw_queue import RawQueue

        queue: RawQueue = self.queue(queue_name, RawQueue)
        return queue.raw_processor(**options)

    def add_job(self, queue_name: str, job_name: str, /, **job_kwargs: Any) -> Receipt:
        """Add a job to a queue by both names; see :meth:`~sqs_tasks.queue.JobQueue.add_job`."""
        return self._job_queue(queue_name).add_job(job_name, **job_kwargs)

    def process_batch(self, queue_name: str, wait_seconds: int = 0) -> BatchProcessingResult:
        """Receive from a queue once and run what came; see ``queue.process_batch``."""
        queue: GenericQueue = self.queue(queue_name)
        return queue.process_batch(wait_seconds)

    def process_queue(self, queue_name: str, **options: Any) -> None:
        """Work a queue by its name; see ``queue.process_queue``."""
        self.queue(queue_name).process_queue(**options)

    def create_standard_queue(self: ProvisioningEnvironment, queue_name: str, **options: Any) -> str:
        """As :func:`~sqs_tasks.provisioning.create_standard_queue`, for this environment."""
        from sqs_tasks.provisioning import create_standard_queue  # no worker and no function creates queues

        return create_standard_queue(self, queue_name, **options)

    def create_fifo_queue(self: ProvisioningEnvironment, queue_name: str, **options: Any) -> str:
        """As :func:`~sqs_tasks.provisioning.create_fifo_queue`, for this environment."""
        from sqs_tasks.provisioning import create_fifo_queue

        return create_fifo_queue(self, queue_name, **options)

    def delete_queue(self: ProvisioningEnvironment, queue_name: str) -> None:
        """As :func:`~sqs_tasks.provisioning.delete_queue`, for this environment."""
        from sqs_tasks.provisioning import delete_queue

        delete_queue(self, queue_name)

    def redrive_policy(
        self: ProvisioningEnvironment, dead_letter_queue_name: str, max_receive_count: int
    ) -> RedrivePolicy:
        """Where SQS moves a message after so many deliveries; for :func:`~sqs_tasks.create_standard_queue`."""
        from sqs_tasks.provisioning import RedrivePolicy

        return RedrivePolicy(self, dead_letter_queue_name, max_receive_count)

    def _job_queue(self, queue_name: str) -> JobQueue:
        queue = self.queue(queue_name)
        if not isinstance(queue, JobQueue):
            raise ConfigurationError(f"queue {queue_name!r} is a {type(queue).__name__} and has no tasks by name")
        return queue
