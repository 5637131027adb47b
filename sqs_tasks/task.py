"""A task as a producer uses it: ``send_email.delay(...)``."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import Receipt
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.sending.send_options import Enqueuer, OptionsOfCall, SendOptions, SendOptionsDict
from sqs_tasks.wire.signature import RESERVED_NAMES

if TYPE_CHECKING:
    from sqs_tasks.scheduling.expressions import Expression
    from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
    from sqs_tasks.scheduling.schedule import ScheduleOptions

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class AsyncTask(Generic[P, R_co]):
    """A registered function: ``delay`` adds a job to its queue, ``run`` runs the function at once.

    Attributes:
        queue: The queue it was registered on.
        name: Its name on the wire.
        settings: The options of the registration.
        fn: The function itself.
    """

    def __init__(
        self,
        queue: Enqueuer,
        registered: RegisteredTask,
        fn: Callable[P, R_co],
        *,
        callable_directly: bool = False,
    ) -> None:
        self.queue = queue
        self.name = registered.name
        self.settings = registered.settings
        self.fn = fn
        self._callable_directly = callable_directly
        self._registered = registered
        self.__name__ = getattr(fn, "__name__", registered.name)
        self.__qualname__ = getattr(fn, "__qualname__", registered.name)
        self.__module__ = getattr(fn, "__module__", __name__)
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn

    @property
    def job_name(self) -> str:
        """sqs-workers' name for :attr:`name`."""
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse, unless the environment has ``direct_calls=True``: then a call is the function's own.

        Type checkers take every call for one that never returns, so that they find it; where calls are allowed,
        ``task.fn(...)`` has the function's type.

        Raises:
            RuntimeError: Whether to run the function or to queue a job must be said.
        """
        if self._callable_directly:
            return self.fn(*args, **kwargs)  # type: ignore[misc]  # for those who asked for it
        raise RuntimeError(
            f"Task {self.queue.name}.{self.name} called synchronously, probably by mistake: that neither runs it nor "
            "adds a job. Use .delay(...) to add a job to the queue, or .run(...) to run the function here and now."
        )

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function at once, without queue, retries or context, and return what it returns.

        The function of a batch processor gets a list of one item, the arguments.
        """
        if self._registered.batch_size and not args:
            return cast("Callable[[list[Any]], R_co]", self.fn)([self._registered.processor.item_of(kwargs)])
        return self.fn(*args, **kwargs)

    # A type checker cannot add options to the signature of a function. A call with one of sqs-workers' underscored
    # options is taken with any arguments, and checked when it is made.
    @overload
    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Receipt: ...
    @overload
    def delay(
        self,
        *args: Any,
        _delay_seconds: float | None,
        _group_id: str | None = None,
        _deduplication_id: str | None = None,
        _content_type: str | None = None,
        **kwargs: Any,
    ) -> Receipt: ...
    @overload
    def delay(
        self,
        *args: Any,
        _group_id: str | None,
        _deduplication_id: str | None = None,
        _content_type: str | None = None,
        **kwargs: Any,
    ) -> Receipt: ...
    @overload
    def delay(
        self, *args: Any, _deduplication_id: str | None, _content_type: str | None = None, **kwargs: Any
    ) -> Receipt: ...
    @overload
    def delay(self, *args: Any, _content_type: str | None, **kwargs: Any) -> Receipt: ...
    def delay(self, *args: Any, **kwargs: Any) -> Receipt:
        """Add a job to the queue and return the message id that SQS gave it, a string.

        Inside ``batch()`` the id is not known yet; the returned receipt has it as ``.message_id`` after the flush.
        ``_delay_seconds``, ``_group_id``, ``_deduplication_id`` and ``_content_type`` are options and no arguments.

        Raises:
            TypeError: The arguments do not fit the task's signature; the text names what is wrong.
            SerializationError: An argument cannot travel; the text names it.
            MessageTooLargeError: The job exceeds the size limit of a message.
        """
        send_options, arguments = split_reserved(kwargs)
        return self.send_bound(self._bind(args, arguments), send_options)

    def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`delay`, for coroutines: ``await task.adelay(...)`` returns when SQS has the job.

        The event loop goes on meanwhile, and jobs that coroutines add at the same time leave in requests of ten. The
        arguments, the context and the trace are taken at the call. A caller that is cancelled while it waits does not
        learn whether the job was sent.

        Raises:
            TypeError: As for :meth:`delay`, at the call; so are the other errors about the job itself.
            BatchSendError: The job left with others, and SQS did not accept it after retries.
        """
        send_options, arguments = split_reserved(kwargs)
        return self.send_bound_async(self._bind(args, arguments), send_options)

    def options(self, **options: Unpack[SendOptionsDict]) -> TaskWithOptions[P]:
        """This task with options for its next jobs: ``task.options(delay_seconds=60).delay(...)``."""
        return TaskWithOptions(self, self._bind, self.send_options(options))

    def send_options(self, options: Mapping[str, Any]) -> SendOptions:
        """The keywords of :meth:`options` as an object.

        Raises:
            ConfigurationError: They name a priority, and the task is on one queue alone.
        """
        if options.get("priority") is not None:
            raise ConfigurationError(
                f"task {self.name!r} on queue {self.queue.name!r}: priority={options['priority']!r}, and its queue has "
                "no classes; register it on env.priority_queues(...), or leave priority= out"
            )
        return SendOptions(**options)

    @overload
    def bake(self, *args: P.args, **kwargs: P.kwargs) -> BakedAsyncTask: ...
    @overload
    def bake(
        self,
        *args: Any,
        _delay_seconds: float | None,
        _group_id: str | None = None,
        _deduplication_id: str | None = None,
        _content_type: str | None = None,
        **kwargs: Any,
    ) -> BakedAsyncTask: ...
    @overload
    def bake(
        self,
        *args: Any,
        _group_id: str | None,
        _deduplication_id: str | None = None,
        _content_type: str | None = None,
        **kwargs: Any,
    ) -> BakedAsyncTask: ...
    @overload
    def bake(
        self, *args: Any, _deduplication_id: str | None, _content_type: str | None = None, **kwargs: Any
    ) -> BakedAsyncTask: ...
    @overload
    def bake(self, *args: Any, _content_type: str | None, **kwargs: Any) -> BakedAsyncTask: ...
    def bake(self, *args: Any, **kwargs: Any) -> BakedAsyncTask:
        """The task with its arguments, checked now and sent by ``delay()`` later.

        Raises:
            TypeError: The arguments do not fit the task's signature.
        """
        send_options, arguments = split_reserved(kwargs)
        return BakedAsyncTask(self, self._bind(args, arguments), send_options)

    def batch(self) -> AbstractContextManager[None]:
        """Send what is added in the ``with`` block in tens; see ``queue.add_batch``."""
        return self.queue.add_batch()

    def abatch(self) -> AbstractAsyncContextManager[None]:
        """As :meth:`batch`, for coroutines: ``async with task.abatch():``; ``delay()`` does not block in it."""
        return self.queue.add_batch_async()

    def map(
        self,
        calls: Iterable[Mapping[str, Any]],
        *,
        max_in_flight: int = 1,
        spread_seconds: float | None = None,
        delay_seconds: float | Callable[[Mapping[str, Any]], float | None] | None = None,
        **options: Any,
    ) -> int:
        """Add a job for each mapping of arguments, in requests of ten, and return how many were sent.

        There can be any number of jobs: the iterable is read while requests are sent.

        Args:
            calls: The arguments of each job by name.
            max_in_flight: Requests under way at once. More than one helps against a distant endpoint.
            spread_seconds: Spread the jobs evenly over this time, 0 to 900, by delays that are added to
                ``delay_seconds``; standard queues only.
            delay_seconds: As for :meth:`options`; or a function that gives the delay of each job by its arguments.
            **options: As for :meth:`options`.

        Raises:
            BatchSendError: Some jobs were not accepted; it carries those of the requests under way, and reading stops.
            TypeError: Arguments that do not fit the signature; the jobs before them have been sent.
        """
        queue, send_options = self._for_calls(calls, spread_seconds, delay_seconds, options)
        jobs = ((self.name, self._bind((), call)) for call in calls)
        return queue.enqueue_many(jobs, send_options, self.settings, max_in_flight=max_in_flight)

    async def amap(
        self,
        calls: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        max_in_flight: int = 1,
        spread_seconds: float | None = None,
        delay_seconds: float | Callable[[Mapping[str, Any]], float | None] | None = None,
        **options: Any,
    ) -> int:
        """As :meth:`map`, for coroutines. The calls are read on the event loop; those of an async iterable too.

        Args:
            calls: The arguments of each job by name.
            max_in_flight: Requests under way at once.
            spread_seconds: As for :meth:`map`.
            delay_seconds: As for :meth:`map`.
            **options: As for :meth:`options`.

        Raises:
            BatchSendError: As for :meth:`map`.
            TypeError: The same.
        """
        from sqs_tasks.sending.async_stream import each  # most producers are no coroutines

        queue, send_options = self._for_calls(calls, spread_seconds, delay_seconds, options)
        jobs = ((self.name, self._bind((), call)) async for call in each(calls))
        return await queue.enqueue_many_async(jobs, send_options, self.settings, max_in_flight=max_in_flight)

    def _for_calls(
        self,
        calls: object,
        spread_seconds: float | None,
        delay_seconds: float | Callable[[Mapping[str, Any]], float | None] | None,
        options: Mapping[str, Any],
    ) -> tuple[Enqueuer, SendOptions | OptionsOfCall]:
        """The queue and the options of jobs that are sent together."""
        if spread_seconds is None and not callable(delay_seconds):
            common = self.send_options({**options, "delay_seconds": delay_seconds})
            return common.queue or self.queue, common
        from sqs_tasks.sending.call_options import options_of_calls  # most jobs have one delay

        is_each = callable(delay_seconds)
        common = self.send_options({**options, "delay_seconds": None if is_each else delay_seconds})
        queue = common.queue or self.queue
        return queue, options_of_calls(
            common,
            calls,
            spread_seconds=spread_seconds,
            delay_of=delay_seconds if callable(delay_seconds) else None,
            is_fifo=queue.name.endswith(".fifo"),
            own_delay_seconds=self.settings.delay_seconds,
        )

    def schedule(self, name: str, expression: Expression, **options: Unpack[ScheduleOptions]) -> AsyncTask[P, R_co]:
        """Register a schedule: at these times EventBridge Scheduler adds a job of this task.

        Args:
            name: What it is called among the schedules of this task; it goes into the name on AWS, which lasts.
            expression: When it runs: ``Cron(...)``, ``Every(...)`` or ``At(...)``.
            **options: See :class:`~sqs_tasks.scheduling.schedule.Schedule`.

        Returns:
            The task, so that schedules can be added one after the other.

        Raises:
            ConfigurationError: An option that cannot work, arguments that do not fit the signature, or a taken name.
        """
        from sqs_tasks.scheduling.registered_schedule import check_label
        from sqs_tasks.scheduling.schedule import Schedule  # most tasks have none

        check_label(name, self.name, self._registered.schedules)
        self.queue.add_schedule(self._registered, name, Schedule(expression, **options))
        return self

    @property
    def schedules(self) -> Mapping[str, RegisteredSchedule]:
        """The task's schedules by name; the name of the one that its registration has is empty."""
        return dict(self._registered.schedules)

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if self._registered.batch_size:
            return self._registered.processor.bind_item(args, kwargs)
        return self._registered.processor.signature.bind(args, kwargs)

    def send_bound(self, job_kwargs: Mapping[str, Any], options: SendOptions) -> Receipt:
        """Send a job whose arguments are bound already; ``delay`` and baked tasks end here."""
        return (options.queue or self.queue).enqueue(self.name, job_kwargs, options, self.settings)

    def send_bound_async(self, job_kwargs: Mapping[str, Any], options: SendOptions) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`send_bound`; ``adelay`` ends here."""
        return (options.queue or self.queue).enqueue_async(self.name, job_kwargs, options, self.settings)

    def __repr__(self) -> str:
        return f"<AsyncTask {self.queue.name}.{self.name}>"


class TaskWithOptions(Generic[P]):
    """A task with options for the jobs it sends; no argument of the task can collide with them."""

    def __init__(
        self,
        task: AsyncTask[P, Any],
        bind: Callable[[tuple[Any, ...], Mapping[str, Any]], dict[str, Any]],
        options: SendOptions,
    ) -> None:
        self._task = task
        self._bind = bind
        self._options = options

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Receipt:
        """As :meth:`AsyncTask.delay`, with the options."""
        return self._task.send_bound(self._bind(args, kwargs), self._options)

    def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`AsyncTask.adelay`, with the options."""
        return self._task.send_bound_async(self._bind(args, kwargs), self._options)

    def bake(self, *args: P.args, **kwargs: P.kwargs) -> BakedAsyncTask:
        """As :meth:`AsyncTask.bake`, with the options."""
        return BakedAsyncTask(self._task, self._bind(args, kwargs), self._options)


class BakedAsyncTask:
    """A task with its arguments: ``delay()``, or a plain call, adds the job and returns its message id."""

    def __init__(self, task: AsyncTask[..., Any], job_kwargs: Mapping[str, Any], options: SendOptions) -> None:
        self.task = task
        self.job_kwargs = dict(job_kwargs)
        self._options = options

    def delay(self) -> Receipt:
        """Add the job to its queue and return its message id."""
        return self.task.send_bound(self.job_kwargs, self._options)

    __call__ = delay

    def adelay(self) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`delay`, for coroutines."""
        return self.task.send_bound_async(self.job_kwargs, self._options)

    @property
    def queue(self) -> Enqueuer:
        """The queue it goes to."""
        return self._options.queue or self.task.queue

    @property
    def options(self) -> SendOptions:
        """How it is sent."""
        return self._options

    def message(self) -> OutgoingMessage:
        """The message that ``delay()`` would send now."""
        return self.queue.message(self.task.name, self.job_kwargs, self._options, self.task.settings)

    def __repr__(self) -> str:
        return f"<BakedAsyncTask {self.task.queue.name}.{self.task.name}>"


def split_reserved(kwargs: Mapping[str, Any]) -> tuple[SendOptions, dict[str, Any]]:
    """sqs-workers' ``_delay_seconds`` and the like as options, and the arguments without them."""
    if RESERVED_NAMES.isdisjoint(kwargs):
        return _NO_OPTIONS, dict(kwargs)
    options = {name[1:]: kwargs[name] for name in RESERVED_NAMES & kwargs.keys()}
    return replace(_NO_OPTIONS, **options), {k: v for k, v in kwargs.items() if k not in RESERVED_NAMES}


_NO_OPTIONS = SendOptions()
