"""A queue of jobs: tasks are registered on it, producers add jobs to it, workers process it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack

from sqs_tasks import limits
from sqs_tasks.client import making
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.message import Job, OutgoingMessage, ReceivedMessage, new_job_id, string_attribute
from sqs_tasks.processors import Processor
from sqs_tasks.receipts import Receipt
from sqs_tasks.registry import RegisteredTask, TaskRegistry, guards_asked_for, keep_apart
from sqs_tasks.sending.send_options import OptionsOfCall, SendOptions
from sqs_tasks.settings import QueueSettings, TaskOptions, TaskSettings, check_task
from sqs_tasks.task import AsyncTask, split_reserved
from sqs_tasks.wire.signature import check_function, is_coroutine_function

if TYPE_CHECKING:
    from sqs_tasks.execution.intake import Decode, JobReader, TaskLookup
    from sqs_tasks.queue_environment import Environment
    from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
    from sqs_tasks.scheduling.schedule import Schedule
    from sqs_tasks.sending.job_writer import JobWriter

P = ParamSpec("P")
R = TypeVar("R")

_NO_OPTIONS = SendOptions()


class JobQueue(GenericQueue):
    """A queue whose messages are jobs of registered tasks."""

    def __init__(self, env: Environment, settings: QueueSettings, **options: Any) -> None:
        super().__init__(env, settings, **options)
        self.registry = TaskRegistry(settings.name)
        self._writer: JobWriter | None = None
        self._async_tasks: dict[str, AsyncTask[..., Any]] = {}
        self._accept = env.accept if settings.accept is None else frozenset(settings.accept)
        for content_type in (settings.codec or env.codec, *self._accept):
            env.codecs.get(content_type)

    @cached_property
    def _reader(self) -> JobReader:
        from sqs_tasks.execution.intake import JobReader  # nobody who only sends needs what reads jobs

        return JobReader(
            queue_name=self.settings.name,
            codecs=self.env.codecs,
            accept=self._accept,
            readers=self.settings.readers,
            function_of=self._function_of,
        )

    def _make_writer(self) -> JobWriter:
        with making:
            from sqs_tasks.sending.job_writer import JobWriter  # a consumer that enqueues nothing needs none

            self._writer = JobWriter(
                codecs=self.env.codecs,
                content_type=self.settings.codec or self.env.codec,
                compress_above_bytes=self.settings.compress_above_bytes,
                max_message_bytes=None if self.payloads is not None else self.settings.max_message_bytes,
                queue_name=self.settings.name,
            )
            return self._writer

    @property
    def tasks(self) -> Sequence[RegisteredTask]:
        """The registered tasks, in their order."""
        return self.registry.all()

    def processor(
        self, job_name: str | None = None, /, *names: str, replace: bool = False, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], AsyncTask[P, R]]:
        """Register a function as a task of this queue: ``@queue.processor("send_email")``.

        Args:
            job_name: The name on the wire. Without one it is ``module.function``; when the function moves, no worker
                knows the jobs that are queued under it.
            *names: sqs-workers' README passes the queue's name first, which is allowed.
            replace: Replace the task that has the name, as tests do.
            **options: See :class:`~sqs_tasks.settings.TaskSettings`.

        Raises:
            ConfigurationError: An option that cannot work, or a name that is taken.
        """
        if callable(job_name):
            raise ConfigurationError("write @queue.processor('name'), with parentheses and a name")
        if names:
            if len(names) != 1 or job_name != self.name:
                raise ConfigurationError(f"queue.processor takes one name, not {(job_name, *names)!r}")
            job_name = names[0]
        return lambda fn: self._register(fn, job_name, 0, options, replace=replace)

    def batch_processor(
        self,
        job_name: str | None = None,
        /,
        *,
        batch_size: int = limits.MAX_BATCH_ENTRIES,
        replace: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Callable[[Callable[..., Any]], AsyncTask[..., Any]]:
        """Register a function that gets a list of jobs at once, each a dict of arguments.

        When it raises, all jobs fail. When it returns a list with an exception (``Retry`` and ``Reject`` included) for
        each failed job and None for each other one, only those fail.

        Args:
            job_name: As for :meth:`processor`.
            batch_size: The longest list.
            replace: As for :meth:`processor`.
            **options: As for :meth:`processor`.
        """
        from sqs_tasks.batching import BatchMessages  # most tasks take one job

        BatchMessages(batch_size)  # refuses what is no number of jobs
        return lambda fn: self._register(fn, job_name, batch_size, options, replace=replace)

    def connect_processor(
        self,
        job_name: str,
        processor: Callable[P, R],
        pass_context: bool = False,
        context_var: str = "context",
        *,
        replace: bool = False,
    ) -> AsyncTask[P, R]:
        """Register a function without a decorator and return its task."""
        options = TaskOptions(pass_context=pass_context, context_var=context_var)
        return self._register(processor, job_name, 0, options, replace=replace)

    def get_processor(self, job_name: str) -> Processor | None:
        """The processor of a task, or None."""
        task = self.registry.get(job_name)
        return None if task is None else task.processor

    def task(self, job_name: str) -> AsyncTask[..., Any]:
        """The task of that name.

        Raises:
            KeyError: It is not registered here.
        """
        return self._async_tasks[job_name]

    def copy_processors(self, dst_queue: JobQueue) -> None:
        """Register all tasks of this queue on another, for example to run dead letters where they are."""
        self.registry.copy_to(dst_queue.registry, queue=dst_queue)
        for task in self._async_tasks.values():
            if dst_queue.registry.get(task.name) is not None:
                dst_queue.adopt(task.fn, task.name)

    def adopt(
        self, fn: Callable[..., Any], job_name: str, make: Callable[..., AsyncTask[..., Any]] = AsyncTask
    ) -> AsyncTask[..., Any]:
        """Make the task object of a registration that is here, in place of the one that there may be.

        Raises:
            KeyError: It is not registered here.
        """
        registered = self.registry.get(job_name)
        if registered is None:
            raise KeyError(job_name)
        task = make(self, registered, fn, callable_directly=self.env.direct_calls)
        self._async_tasks[job_name] = task
        return task

    def add_job(self, job_name: str, /, **job_kwargs: Any) -> Receipt:
        """Add a job by its task's name, which need not be registered in this process, and return its message id.

        ``_delay_seconds``, ``_group_id``, ``_deduplication_id`` and ``_content_type`` are options, not arguments.

        Raises:
            TypeError: The task is registered here and the arguments do not fit its signature.
        """
        options, arguments = split_reserved(job_kwargs)
        return self.enqueue(job_name, self._bound(job_name, arguments), options, self._settings(job_name))

    def add_jobs(self, jobs: Iterable[tuple[str, Mapping[str, Any]]], *, max_in_flight: int = 1) -> int:
        """Add jobs given as (name, arguments), any number of them, in requests of ten; return how many were sent.

        Args:
            jobs: Read while requests are sent, so that memory stays bounded.
            max_in_flight: Requests under way at once.

        Raises:
            BatchSendError: Some jobs were not accepted; it carries those of the requests under way, and reading stops.
            TypeError: Arguments that do not fit a task that is registered here; what was read before has been sent.
        """
        bound = ((name, self._bound(name, kwargs)) for name, kwargs in jobs)
        return self.enqueue_many(bound, _NO_OPTIONS, None, max_in_flight=max_in_flight)

    def add_job_async(self, job_name: str, /, **job_kwargs: Any) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`add_job`, for coroutines: ``await queue.add_job_async(...)``; see :meth:`AsyncTask.adelay`."""
        options, arguments = split_reserved(job_kwargs)
        return self.enqueue_async(job_name, self._bound(job_name, arguments), options, self._settings(job_name))

    def enqueue(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> Receipt:
        """Send a job whose arguments are bound already; every way of sending ends here."""
        message = self.message(job_name, job_kwargs, options, settings)
        if options.outbox is None:
            return self.outbox.send(message)
        from sqs_tasks.transactions.outbox.writing import write  # most jobs are sent at once

        return write(self.outbox, message, options.outbox)

    def enqueue_async(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`enqueue`, for coroutines: the message is made now, and sent while the event loop goes on."""
        if self.outbox.must_ask:
            return self._enqueue_once_known(job_name, job_kwargs, options, settings)
        return self._send_async(self.message(job_name, job_kwargs, options, settings), options)

    def _send_async(self, message: OutgoingMessage, options: SendOptions) -> Coroutine[Any, Any, Receipt]:
        if options.outbox is None:
            return self.outbox.send_async(message)
        from sqs_tasks.transactions.outbox.writing import write_async

        return write_async(self.outbox, message, options.outbox)

    async def _enqueue_once_known(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> Receipt:
        import asyncio

        await asyncio.to_thread(self.outbox.learn_deduplication)
        return await self._send_async(self.message(job_name, job_kwargs, options, settings), options)

    async def enqueue_many_async(
        self,
        jobs: AsyncIterator[tuple[str, Mapping[str, Any]]],
        options: SendOptions | OptionsOfCall,
        settings: TaskSettings | None,
        *,
        max_in_flight: int,
    ) -> int:
        """As :meth:`enqueue_many`, for coroutines."""
        self._check_in_flight(max_in_flight)
        if self.outbox.must_ask:
            import asyncio

            await asyncio.to_thread(self.outbox.learn_deduplication)
        of = options if callable(options) else lambda _: options
        messages = (
            self.message(name, kwargs, of(kwargs), settings or self._settings(name)) async for name, kwargs in jobs
        )
        if options.outbox is not None:
            from sqs_tasks.transactions.outbox.writing import write_many_async

            return await write_many_async(self.outbox, messages, options.outbox)
        return await self.outbox.send_all_async(messages, max_in_flight=max_in_flight)

    def enqueue_many(
        self,
        jobs: Iterable[tuple[str, Mapping[str, Any]]],
        options: SendOptions | OptionsOfCall,
        settings: TaskSettings | None,
        *,
        max_in_flight: int,
    ) -> int:
        """Send any number of jobs whose arguments are bound already; see :meth:`add_jobs`."""
        of = options if callable(options) else lambda _: options
        messages = (self.message(name, kwargs, of(kwargs), settings or self._settings(name)) for name, kwargs in jobs)
        self._check_in_flight(max_in_flight)
        if options.outbox is not None:
            from sqs_tasks.transactions.outbox.writing import write_many

            return write_many(self.outbox, messages, options.outbox)
        return self.outbox.send_all(messages, max_in_flight=max_in_flight)

    def _check_in_flight(self, max_in_flight: int) -> None:
        limits.check_number(max_in_flight, "max_in_flight", 1)
        if self.fifo and max_in_flight > 1:
            raise ConfigurationError(
                f"queue {self.name!r} is FIFO: with max_in_flight={max_in_flight} requests would overtake each other "
                "and the order be lost; leave it at 1"
            )

    def message(
        self, job_name: str, job_kwargs: Mapping[str, Any], options: SendOptions, settings: TaskSettings | None
    ) -> OutgoingMessage:
        """The message that carries a job whose arguments are bound already; nothing is sent."""
        delay, run_at = options.delay_seconds, options.run_at
        group_id = options.group_id
        if settings is not None:
            delay = settings.delay_seconds if delay is None and run_at is None else delay
            by = settings.group_by if self.fifo else settings.fair_by
            if settings.max_age is not None and delay is not None and delay >= settings.max_age:
                raise ConfigurationError(
                    f"task {job_name!r}: a job with delay_seconds={delay!r} would be older than max_age="
                    f"{settings.max_age:g} when it comes; give a shorter delay, or raise max_age"
                )
            if group_id is None and by is not None and job_kwargs.get(by) is not None:
                group_id = self.outbox.group_of(job_kwargs[by])
        is_written = options.outbox is not None
        outbox, job_id, deduplication_id = self.outbox, new_job_id(), options.deduplication_id
        if delay is not None or run_at is not None:
            delay, run_at = outbox.when(delay, run_at, is_kept=is_written)
        if self.fifo or deduplication_id is not None:
            deduplication_id = outbox.deduplication_id(deduplication_id, lambda: job_id)
        more_attributes = options.message_attributes
        if options.then is not None or options.on_failure is not None:
            from sqs_tasks.sending.followers import with_followers  # few jobs have one

            more_attributes = with_followers(more_attributes, options, settings, self, self.env.queues.get)
        message = (self._writer or self._make_writer()).write(
            job_name,
            job_kwargs,
            self.env.context.to_dict(),
            # SQS may drop it as a duplicate, and answers with the id of the message that counts: that is the job's id,
            # since nobody may be given an id that no job has.
            # EventBridge Scheduler's jobs are held under their own, and those of a database may be sent again.
            job_id=None if self.fifo and deduplication_id != job_id and run_at is None and not is_written else job_id,
            content_type=options.content_type,
            message_attributes={
                name: string_attribute(value) if isinstance(value, str) else value
                for name, value in more_attributes.items()
            }
            if more_attributes
            else None,
            delay_seconds=None if delay is None else outbox.delay_seconds(delay),
            group_id=outbox.group_id(group_id) if self.fifo or group_id is not None else None,
            deduplication_id=deduplication_id,
        )
        if self.fifo and message.deduplication_id is None:
            # SQS's own content-based id is of the body alone (S31): two tasks called with equal arguments would be one
            # message, and the second job lost without a word. Ours is of the task's name too.
            from sqs_tasks.sending.content_id import content_id  # a producer's for queues that deduplicate by content

            own = content_id(job_name, job_kwargs, message.body, self.env.codecs)
            message = dataclasses.replace(message, deduplication_id=own)
        message = message if run_at is None else dataclasses.replace(message, run_at=run_at)
        return message if self.payloads is None else self.offloaded(message)

    def add_schedule(self, task: RegisteredTask, label: str, schedule: Schedule) -> RegisteredSchedule:
        """Register a schedule of a task: its arguments are checked, and its message is made.

        Raises:
            ConfigurationError: The arguments do not fit the signature, or the time for late runs is too short.
            SerializationError: An argument cannot travel; the text names it.
        """
        from sqs_tasks.scheduling.registered_schedule import registered

        settings, name = task.settings, f"{task.name}.{label}" if label else task.name
        arguments: Mapping[str, Any] = {} if schedule.arguments is None else schedule.arguments
        bind = task.processor.bind_item if task.batch_size else task.processor.signature.bind
        try:
            arguments = bind((), arguments)
        except TypeError as error:
            raise ConfigurationError(
                f"schedule {name!r} on queue {self.name!r}: its arguments {sorted(arguments)} do not fit the task: "
                f"{error}; give all that have no default, as in Schedule(..., arguments={{...}})"
            ) from error
        delay = self.settings.delay_seconds if settings.delay_seconds is None else settings.delay_seconds
        schedule.check_delay(delay, name)
        by = settings.group_by if self.fifo else settings.fair_by
        group_id = self.settings.default_group_id if self.fifo else None
        if by is not None and arguments.get(by) is not None:
            group_id = self.outbox.group_of(arguments[by])
        message = (self._writer or self._make_writer()).write(
            task.name, arguments, {}, delay_seconds=settings.delay_seconds or None, group_id=group_id
        )
        made = registered(schedule, message, queue_name=self.name, job_name=task.name, label=label, fifo=self.fifo)
        task.schedules[label] = made
        keep_apart(self.env, task, schedule, made.name)
        return made

    def _bound(self, job_name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arguments against the signature of the task, where it is known: senders need not have the code."""
        task = self.registry.get(job_name)
        if task is None:
            return dict(sorted(arguments.items()))  # without a signature the names have no other order
        bind = task.processor.bind_item if task.batch_size else task.processor.signature.bind
        return bind((), arguments)

    def _function_of(self, job_name: str) -> Callable[..., Any] | None:
        task = self.registry.get(job_name)
        return None if task is None or task.batch_size else task.processor.fn

    def _settings(self, job_name: str) -> TaskSettings | None:
        task = self.registry.get(job_name)
        return None if task is None else task.settings

    def _register(
        self, fn: Callable[P, R], job_name: str | None, batch_size: int, options: TaskOptions, *, replace: bool
    ) -> AsyncTask[P, R]:
        if not job_name:
            from sqs_tasks.registration.automatic_name import automatic_name  # most tasks are named

            job_name = automatic_name(fn)
        settings = TaskSettings(name=job_name, **self.task_options(options))
        label = f"task {settings.name!r} on queue {self.name!r}"
        check_function(fn, label)
        check_task(settings, self.settings, self.backoff_policy)
        is_async = is_coroutine_function(fn)
        if not batch_size:
            # A queue-wide batching policy makes every task a batch processor, as sqs-workers has it.
            batch_size = self.batch_size
        self._check_middleware(settings.name, is_async=is_async)
        processor = self.env.processor_maker(
            queue=self,
            fn=fn,
            job_name=settings.name,
            pass_context=settings.pass_context and not batch_size,
            context_var=settings.context_var,
        )
        # Set and not passed: a maker takes what sqs-workers passes to its own, and no more.
        processor.ignore_unknown_arguments = settings.ignore_unknown_arguments
        processor.pass_context = settings.pass_context
        by = settings.fair_by or settings.group_by
        if by is not None and not batch_size:
            processor.signature.check_parameter(by, "fair_by" if settings.fair_by else "group_by")
        guards = guards_asked_for(self.env, self.settings, settings, processor, batch_size)
        registered = RegisteredTask(
            settings=settings, processor=processor, is_async=is_async, batch_size=batch_size, guards=guards
        )
        self.env.codecs.collect_types_of(fn)
        if settings.schedule is not None:
            from sqs_tasks.scheduling.schedule import Schedule  # most tasks have none

            self.add_schedule(registered, "", Schedule.of(settings.schedule))
        self.registry.add(registered, replace=replace)
        task = AsyncTask(self, registered, fn, callable_directly=self.env.direct_calls)
        self._async_tasks[settings.name] = task
        return task

    def _lookup(self) -> TaskLookup:
        return self.registry

    def job(self, message: ReceivedMessage) -> Job:
        """The job that a message of this queue carries.

        Raises:
            UndecodableMessageError: It carries none that this queue reads.
        """
        return self._decode(message)

    @property
    def _decode(self) -> Decode:
        return self._reader.read if self.payloads is None else self.payloads.resolving(self._reader.read)
