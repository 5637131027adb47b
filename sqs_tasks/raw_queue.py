"""A queue of messages that are not jobs, from EventBridge, S3, SNS or any other sender; one function takes them all."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError, DuplicateTaskError, MessageTooLargeError
from sqs_tasks.execution.intake import Decode, TaskLookup
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.message import Job, MessageAttribute, OutgoingMessage, ReceivedMessage, new_job_id, string_attribute
from sqs_tasks.processors import RawProcessor
from sqs_tasks.receipts import Receipt
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import QueueSettings, TaskOptions, TaskSettings, check_task
from sqs_tasks.wire.signature import check_function, is_coroutine_function

if TYPE_CHECKING:
    from sqs_tasks.queue_environment import Environment

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class RawQueue(GenericQueue):
    """A queue whose one function takes each :class:`~sqs_tasks.message.ReceivedMessage` as it is.

    With a batching policy the function takes a list of messages.
    """

    def __init__(self, env: Environment, settings: QueueSettings, **options: Any) -> None:
        super().__init__(env, settings, **options)
        self._registered: RegisteredTask | None = None

    @property
    def tasks(self) -> Sequence[RegisteredTask]:
        """The one function, if there is one."""
        return () if self._registered is None else (self._registered,)

    @property
    def processor(self) -> Callable[..., Any] | None:
        """The function, or None."""
        return None if self._registered is None else self._registered.processor.fn

    def raw_processor(
        self, *, replace: bool = False, **options: Unpack[TaskOptions]
    ) -> Callable[[AnyFunction], AnyFunction]:
        """Make a function the processor of this queue; the function stays as it is.

        Args:
            replace: Take the place of the processor that the queue has: for tests.
            **options: See :class:`~sqs_tasks.settings.TaskSettings`; those about arguments have no effect here.

        Raises:
            DuplicateTaskError: The queue already has a processor.
        """

        def register(fn: AnyFunction) -> AnyFunction:
            self.connect_raw_processor(fn, replace=replace, **options)
            return fn

        return register

    def connect_raw_processor(
        self, processor: Callable[..., Any], *, replace: bool = False, **options: Unpack[TaskOptions]
    ) -> None:
        """As :meth:`raw_processor`, without a decorator."""
        if self._registered is not None and not replace:
            raise DuplicateTaskError(
                f"queue {self.name!r} already has a processor ({self.processor!r}); a raw queue takes one"
            )
        settings = TaskSettings(name=getattr(processor, "__name__", "raw"), **self.task_options(options))
        check_function(processor, f"queue {self.name!r}: the processor")
        check_task(settings, self.settings, self.backoff_policy)
        is_async = is_coroutine_function(processor)
        self._check_middleware(settings.name, is_async=is_async)
        self._registered = RegisteredTask(
            settings=settings,
            processor=RawProcessor(self, processor, settings.name),
            is_async=is_async,
            batch_size=self.batch_size,
        )

    def add_raw_job(
        self,
        message_body: str,
        delay_seconds: float | None = None,
        deduplication_id: str | None = None,
        group_id: str | None = None,
        *,
        message_attributes: Mapping[str, str | MessageAttribute] | None = None,
    ) -> Receipt:
        """Send a message as it is, and return its message id.

        Raises:
            MessageTooLargeError: Body and attributes exceed the size limit.
            ConfigurationError: An option the queue cannot honour.
        """
        return self.outbox.send(
            self._message(message_body, delay_seconds, deduplication_id, group_id, message_attributes)
        )

    def add_raw_job_async(
        self,
        message_body: str,
        delay_seconds: float | None = None,
        deduplication_id: str | None = None,
        group_id: str | None = None,
        *,
        message_attributes: Mapping[str, str | MessageAttribute] | None = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """As :meth:`add_raw_job`, for coroutines: ``await queue.add_raw_job_async(...)``; the event loop goes on.

        The message is made at the call, with its errors, and leaves with what other coroutines send.
        """
        make = partial(self._message, message_body, delay_seconds, deduplication_id, group_id, message_attributes)
        return self._send_once_known(make) if self.outbox.must_ask else self.outbox.send_async(make())

    async def _send_once_known(self, make: Callable[[], OutgoingMessage]) -> Receipt:
        import asyncio

        await asyncio.to_thread(self.outbox.learn_deduplication)
        return await self.outbox.send_async(make())

    def _message(
        self,
        message_body: str,
        delay_seconds: float | None,
        deduplication_id: str | None,
        group_id: str | None,
        message_attributes: Mapping[str, str | MessageAttribute] | None,
    ) -> OutgoingMessage:
        if not isinstance(message_body, str) or not message_body:
            raise ConfigurationError(
                f"queue {self.name!r}: the body must be a string that is not empty, not "
                f"{type(message_body).__name__}; try json.dumps(...)"
            )
        attributes = {
            name: string_attribute(value) if isinstance(value, str) else value
            for name, value in (message_attributes or {}).items()
        }
        if len(attributes) > limits.MAX_MESSAGE_ATTRIBUTES:
            raise ConfigurationError(
                f"queue {self.name!r}: {len(attributes)} message attributes; SQS allows {limits.MAX_MESSAGE_ATTRIBUTES}"
            )
        outbox = self.outbox
        message = OutgoingMessage(
            body=message_body,
            attributes=attributes,
            delay_seconds=outbox.delay_seconds(delay_seconds),
            deduplication_id=outbox.deduplication_id(deduplication_id, new_job_id),
            group_id=outbox.group_id(group_id),
            queue_name=self.name,
        )
        message = self.offloaded(message)
        if message.size_bytes > self.settings.max_message_bytes:
            raise MessageTooLargeError(
                f"queue {self.name!r}: the message is {message.size_bytes} bytes with its attributes, at most "
                f"{self.settings.max_message_bytes} are allowed"
            )
        return message

    def _lookup(self) -> TaskLookup:
        return _OnlyOne(lambda: self._registered)

    @property
    def _decode(self) -> Decode:
        return self._job if self.payloads is None else self.payloads.resolving(self._job)

    def _job(self, message: ReceivedMessage) -> Job:
        name = "" if self._registered is None else self._registered.name
        return Job(
            job_name=name,
            kwargs={},
            args=(message,),
            context={},
            queue_name=self.name,
            message=message,
            job_id=message.first_message_id,
            not_before=message.not_before,
        )


class _OnlyOne:
    """Every message of a raw queue is for its one function, whatever its attributes say."""

    def __init__(self, task: Callable[[], RegisteredTask | None]) -> None:
        self._task = task

    def get(self, name: str, /) -> RegisteredTask | None:  # noqa: ARG002 - there is one answer
        return self._task()
