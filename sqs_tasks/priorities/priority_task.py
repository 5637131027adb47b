"""A task that is registered on the queues of several classes: ``task.options(priority="high").delay(...)``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any, ParamSpec, TypeVar

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.sending.send_options import Enqueuer, SendOptions
from sqs_tasks.task import AsyncTask

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class PriorityTask(AsyncTask[P, R_co]):
    """A task whose jobs go to the queue of their class.

    Args:
        queue: The queue of the default class.
        registered: The registration there.
        fn: The function.
        callable_directly: Whether a call is the function's own.
        queues: The queue of each class.
    """

    def __init__(
        self,
        queue: Enqueuer,
        registered: RegisteredTask,
        fn: Callable[P, R_co],
        *,
        callable_directly: bool = False,
        queues: Mapping[str, Enqueuer],
    ) -> None:
        super().__init__(queue, registered, fn, callable_directly=callable_directly)
        self._queues = queues

    @property
    def queues(self) -> Mapping[str, Enqueuer]:
        """The queue of each class."""
        return self._queues

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Send what is added in the ``with`` block in tens, of all classes."""
        with ExitStack() as batches:
            for queue in self._queues.values():
                batches.enter_context(queue.add_batch())
            yield

    @asynccontextmanager
    async def abatch(self) -> AsyncIterator[None]:
        """As :meth:`batch`, for coroutines."""
        async with AsyncExitStack() as batches:
            for queue in self._queues.values():
                await batches.enter_async_context(queue.add_batch_async())
            yield

    def send_options(self, options: Mapping[str, Any]) -> SendOptions:
        """The options of a send, with the queue of its class.

        Raises:
            ConfigurationError: There is no such class, or a queue is given too.
        """
        priority = options.get("priority")
        if priority is None:
            return SendOptions(**options)
        if options.get("queue") is not None:
            raise ConfigurationError(
                f"task {self.name!r}: priority={priority!r} and queue={options['queue']!r} both say where a job goes; "
                "give one of the two"
            )
        return SendOptions(**{**options, "queue": self._queues[priority]})
