"""A processor runs one job of one task. Subclass it, as in sqs-workers, to do something around every task.

::

    class Logged(Processor):
        def process(self, job_kwargs, job_context):
            with log_context(job_context):
                return super().process(job_kwargs, job_context)

    env = SQSEnv(processor_maker=Logged)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from sqs_tasks.context import SQSContext
from sqs_tasks.message import Job
from sqs_tasks.wire.signature import TaskSignature

if TYPE_CHECKING:
    from sqs_tasks.outcome import RetryJob as RetryJob  # noqa: PLC0414 - found by __getattr__ below
    from sqs_tasks.wire.batch_item import BatchItem

AnyProcessor = TypeVar("AnyProcessor", bound="Processor")


class ProcessorQueue(Protocol):
    """What a processor uses of its queue."""

    @property
    def name(self) -> str:
        """The queue's name in code."""

    @property
    def context(self) -> SQSContext:
        """The environment's context."""


class Processor:
    """Calls a task's function with a job's arguments.

    Args:
        queue: The queue the task is registered on.
        fn: The task's function.
        job_name: The task's name.
        pass_context: Whether the function takes the job's context.
        context_var: The parameter that takes it.

    Attributes:
        ignore_unknown_arguments: Drop arguments the function does not take instead of failing the job.
        signature: What the function takes of a job.
    """

    def __init__(
        self,
        queue: ProcessorQueue,
        fn: Callable[..., Any],
        job_name: str = "",
        pass_context: bool = False,
        context_var: str = "context",
    ) -> None:
        self.queue = queue
        self.fn = fn
        self.job_name = job_name
        self.pass_context = pass_context
        self.context_var = context_var
        self.ignore_unknown_arguments = False
        self.signature = TaskSignature(fn, label=job_name or queue.name, injected=context_var if pass_context else None)
        # sqs-workers' README documents an override with the arguments alone; its later version passes the context too.
        self._process_takes_context = _takes_two(self.process)

    @classmethod
    def maker(cls, **kwargs: Any) -> Callable[..., Self]:
        """A ``processor_maker`` with some arguments of the constructor given."""
        return partial(cls, **kwargs)

    @property
    def queue_name(self) -> str:
        """The name of the queue the task is registered on."""
        return self.queue.name

    def process(self, job_kwargs: Mapping[str, Any], job_context: Mapping[str, Any] | None = None) -> Any:
        """Run the task once and return what it returns: for an ``async def`` task, the coroutine.

        Override it to do something before or after, and return what ``super().process(...)`` returns.

        Raises:
            SignatureMismatchError: The arguments do not fit the task.
        """
        args, kwargs = self.signature.arguments(job_kwargs, ignore_unknown=self.ignore_unknown_arguments)
        if self.pass_context:
            kwargs[self.context_var] = self._context(job_context)
        return self.fn(*args, **kwargs)

    def process_batch(self, jobs: Sequence[Job]) -> Any:
        """Run the task once with a list of all the jobs' arguments, and return what it returns."""
        return self.fn([self._batch_item(job) for job in jobs])

    @cached_property
    def batch_item(self) -> BatchItem | None:
        """What one job of a batch processor holds, where the function's annotation says so.

        It is looked at when the first job is sent or received, and all types exist.
        """
        from sqs_tasks.wire.batch_item import BatchItem  # most tasks are no batch processors

        injected = self.context_var if self.pass_context else None
        return BatchItem.of(self.fn, label=self.job_name or self.queue.name, injected=injected)

    def bind_item(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call as those of one job of a batch processor.

        Raises:
            TypeError: They are not all given by keyword, or do not fit the annotation of the function's list.
        """
        if args:
            raise TypeError(f"{self.job_name}: a batch processor's jobs take their arguments by keyword")
        if self.batch_item is not None:
            self.batch_item.check(kwargs)
        return dict(sorted(kwargs.items()))  # without a signature the names have no other order

    def item_arguments(self, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a job that was received, for a batch processor.

        Raises:
            SignatureMismatchError: They do not fit the annotation of the function's list.
        """
        item = self.batch_item
        return kwargs if item is None else item.arguments(kwargs, ignore_unknown=self.ignore_unknown_arguments)

    def call(self, job_kwargs: Mapping[str, Any], job_context: Mapping[str, Any]) -> Any:
        """Call :meth:`process` in whichever of its two documented forms a subclass has it."""
        if self._process_takes_context:
            return self.process(job_kwargs, job_context)
        return self.process(job_kwargs)

    def copy(self, **changes: Any) -> Self:
        """The same processor with some attributes changed, for another queue."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, **changes)
        twin._process_takes_context = _takes_two(twin.process)
        return twin

    def item_of(self, kwargs: Mapping[str, Any]) -> Any:
        """What a batch processor's function gets of one job: an instance of its list's class, or the arguments."""
        item = self.batch_item
        return dict(kwargs) if item is None else item.item(kwargs)

    def _batch_item(self, job: Job) -> Any:
        item = self.batch_item
        if not self.pass_context or (item is not None and item.record is not None and item.injected is None):
            return self.item_of(job.kwargs)
        return self.item_of({**job.kwargs, self.context_var: job.context})

    def _context(self, job_context: Mapping[str, Any] | None) -> Mapping[str, Any]:
        # An override of the older shape passes no context on; while a job runs, the environment's is the job's.
        return self.queue.context.to_dict() if job_context is None else job_context


class RawProcessor(Processor):
    """Calls the function of a raw queue with the message itself."""

    #: Its list is one of messages.
    batch_item = None

    def bind_item(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The message, by the name of the function's parameter."""
        return self.signature.bind(args, kwargs)

    def process_batch(self, jobs: Sequence[Job]) -> Any:
        """Run the function once with a list of all the messages, and return what it returns."""
        return self.fn([job.message for job in jobs])


def _takes_two(process: Callable[..., Any]) -> bool:
    parameters = inspect.signature(process).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def __getattr__(name: str) -> Any:
    if name == "RetryJob":  # where sqs-workers has it; who only sends needs no outcomes
        from sqs_tasks.outcome import RetryJob

        return RetryJob
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
