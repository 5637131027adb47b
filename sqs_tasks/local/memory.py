"""SQS in this process, for tests: ``MemorySession`` stands where a boto3 session would.

    from sqs_tasks.local.clock import ManualClock
    from sqs_tasks.local.memory import MemorySession

    session = MemorySession(clock=ManualClock())
    sqs = session.client("sqs")
    url = sqs.create_queue(QueueName="emails")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hi", DelaySeconds=900)
    session.advance(900)
    sqs.receive_message(QueueUrl=url)["Messages"]

It is the model that ``sqs-tasks local-sqs`` serves, without the network: a call costs microseconds, and no sleep is
needed anywhere, because the clock can be moved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Literal, cast, overload

from sqs_tasks.local.clock import Clock, ManualClock, SystemClock
from sqs_tasks.local.model import shapes
from sqs_tasks.local.model.account import DEFAULT_REGION, Caller
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.queue import MAX_IN_FLIGHT
from sqs_tasks.local.model.service import ACTIONS, Service
from sqs_tasks.local.objects import MemoryObjects
from sqs_tasks.local.scheduler.client import MemorySchedulerClient
from sqs_tasks.local.scheduler.service import SchedulerService

#: What queue URLs of a MemorySession begin with. No such host exists, so a URL that strays to a real client fails.
BASE_URL = "http://sqs.memory.invalid"


class MemorySession:
    """An SQS, an EventBridge Scheduler and an S3 of its own, in the shape of a ``boto3.Session``.

    All clients of one session see the same queues, schedules and objects, from any thread. Schedules send to the
    queues of the session; a clock that is moved fires what becomes due on the way.

    Args:
        clock: A :class:`~sqs_tasks.local.clock.ManualClock` to advance time by hand; real time when left out.
        region_name: The region in queue ARNs.
        enforce_waits: Refuse a second purge within 60 seconds, and a queue named like one deleted within 60 seconds, as
            AWS does.
        max_in_flight: The quota of messages in flight per queue, and how far a FIFO queue looks for groups (S37).
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        region_name: str = DEFAULT_REGION,
        enforce_waits: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.clock = clock or SystemClock()
        self.region_name = region_name
        self._service = Service(self.clock, enforce_waits=enforce_waits, max_in_flight=max_in_flight)
        self._scheduler: SchedulerService | None = None
        self._objects = MemoryObjects()
        # One lock around the models; threads in a long poll wait on it for any other call to change something.
        self._changed = threading.Condition()

    #: For those who must know whether the queues are in this process.
    is_in_memory = True

    @overload
    def client(self, service_name: Literal["sqs"] = "sqs", /, **_options: Any) -> MemoryClient: ...

    @overload
    def client(self, service_name: Literal["scheduler"], /, **_options: Any) -> MemorySchedulerClient: ...

    @overload
    def client(self, service_name: Literal["s3"], /, **_options: Any) -> MemoryObjects: ...

    @overload
    def client(self, service_name: str, /, **_options: Any) -> Any: ...

    def client(self, service_name: str = "sqs", /, **_options: Any) -> Any:
        """A client for SQS, EventBridge Scheduler or S3; that for S3 has what the bodies of messages need.

        Options such as ``endpoint_url`` or ``config`` are accepted and have no meaning here.
        """
        if service_name == "sqs":
            return MemoryClient(self)
        if service_name == "scheduler":
            return MemorySchedulerClient(self.call_scheduler, region_name=self.region_name, endpoint_url=BASE_URL)
        if service_name == "s3":
            return self._objects
        raise ValueError(
            f"service_name={service_name!r}: a MemorySession has 'sqs', 'scheduler' and 's3'; use boto3 for "
            "other services"
        )

    def advance(self, seconds: float) -> None:
        """Move the clock on, and let everything happen that was due on the way, at its own moment."""
        clock = self._manual_clock()
        with self._changed:
            target = clock.now() + seconds
            while (moment := self._service.next_moment()) is not None and moment <= target:
                clock.advance_to(moment)
                self._service.run_due()
            clock.advance_to(target)
            self._service.run_due()
            self._changed.notify_all()

    def call(self, action: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Perform an action of the SQS API, waiting as a long poll does."""
        caller = Caller(BASE_URL, self.region_name)
        with self._changed:
            answer = self._service.call(action, params, caller)
            self._changed.notify_all()
            return self._wait(answer) if isinstance(answer, Poll) else answer

    def call_scheduler(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Perform an operation of EventBridge Scheduler's API."""
        with self._changed:
            if self._scheduler is None:
                self._scheduler = SchedulerService(self._service)
            answer = self._scheduler.call(operation, params, self.region_name)
            self._changed.notify_all()
            return answer

    def _wait(self, poll: Poll) -> dict[str, Any]:
        """Wait for a poll's answer: for real, or by moving a manual clock from one event to the next."""
        try:
            while not poll.done:
                moment = self._service.next_moment()
                if isinstance(self.clock, ManualClock):
                    if moment is not None:
                        self.clock.advance_to(moment)
                else:
                    self._changed.wait(None if moment is None else max(0.0, moment - self.clock.now()))
                self._service.run_due()
                self._changed.notify_all()
        except BaseException:
            poll.abandon()
            raise
        if isinstance(poll.answer, SQSFault):
            raise poll.answer
        return poll.answer

    def _manual_clock(self) -> ManualClock:
        if not isinstance(self.clock, ManualClock):
            raise TypeError(
                "only a ManualClock can be advanced; make the session with MemorySession(clock=ManualClock())"
            )
        return self.clock


class MemoryClient:
    """``boto3.client("sqs")`` over a :class:`MemorySession`: the same methods, arguments, answers and errors."""

    def __init__(self, session: MemorySession) -> None:
        self._session = session
        self.meta = SimpleNamespace(
            endpoint_url=BASE_URL,
            region_name=session.region_name,
            service_model=SimpleNamespace(service_name="sqs"),
            method_to_api_mapping={method: action for action, method in ACTIONS.items()},
        )

    @property
    def exceptions(self) -> Any:
        """The exception classes of this client, as ``client.exceptions.QueueDoesNotExist``."""
        return _exceptions()

    def can_paginate(self, operation_name: str) -> bool:
        """Whether :meth:`get_paginator` knows the operation."""
        return operation_name in _PAGINATED

    def get_paginator(self, operation_name: str) -> _Paginator:
        """Pages of ``list_queues`` or ``list_dead_letter_source_queues``."""
        if operation_name not in _PAGINATED:
            raise ValueError(f"{operation_name!r} has no pages; those that have: {', '.join(_PAGINATED)}")
        return _Paginator(getattr(self, operation_name))

    def close(self) -> None:
        """Nothing to close; the session keeps its queues."""

    #: For those who must know whether the queues are in this process.
    is_in_memory = True

    def of_service(self, *, service_name: str) -> Any:
        """The client of another service of the same session."""
        return self._session.client(service_name)

    def now(self) -> float:
        """The time of the session's clock."""
        return self._session.clock.now()

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        action = _ACTION_OF_METHOD.get(name)
        if action is None:
            raise AttributeError(f"'SQS' object has no attribute {name!r}")
        method = partial(self._call, action)
        setattr(self, name, method)
        return method

    def _call(self, action: str, /, **params: Any) -> dict[str, Any]:
        shape = shapes.INPUTS[action]
        # The model keeps what it is given, so what the caller may change later is copied.
        params = cast("dict[str, Any]", _plain(shape, params)) if shape.fits(params) else _checked(shape, params)
        try:
            answer = self._session.call(action, params)
        except SQSFault as fault:
            raise _client_error(fault, action) from None
        if "Messages" in answer:
            answer = cast("dict[str, Any]", _plain(shapes.OUTPUTS[action], answer))
        answer["ResponseMetadata"] = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}
        return answer


class _Paginator:
    def __init__(self, method: Callable[..., dict[str, Any]]) -> None:
        self._method = method

    def paginate(self, *, PaginationConfig: Mapping[str, Any] | None = None, **params: Any) -> Iterator[dict[str, Any]]:  # noqa: N803  boto3's name
        config = PaginationConfig or {}
        if "PageSize" in config:
            params["MaxResults"] = config["PageSize"]
        while True:
            page = self._method(**params)
            yield page
            if "NextToken" not in page:
                return
            params["NextToken"] = page["NextToken"]


_ACTION_OF_METHOD = {method: action for action, method in ACTIONS.items()}
_PAGINATED = ("list_queues", "list_dead_letter_source_queues")


def _checked(shape: shapes.Structure, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters in the exact types of the model, or botocore's error about them."""
    found = shapes.problems(shape, params)
    if found:
        from botocore.exceptions import ParamValidationError

        raise ParamValidationError(report="\n".join(found))
    return cast("dict[str, Any]", _plain(shape, params))


def _plain(shape: shapes.Shape, value: Any) -> Any:
    if isinstance(shape, shapes.Structure):
        return {name: _plain(shape.members[name], item) for name, item in value.items()}
    if isinstance(shape, shapes.MapOf):
        return {key: _plain(shape.value, item) for key, item in value.items()}
    if isinstance(shape, shapes.ListOf):
        return [_plain(shape.item, item) for item in value]
    if shape.python is bytes:
        if hasattr(value, "read"):
            value = value.read()
        return value.encode() if isinstance(value, str) else bytes(value)
    return shape.python(value)


@cache
def _exceptions() -> Any:
    """Botocore's own classes for SQS's errors; made once, on the first error, so that tests without one stay light."""
    from botocore.errorfactory import ClientExceptionsFactory
    from botocore.session import get_session

    return ClientExceptionsFactory().create_client_exceptions(get_session().get_service_model("sqs"))


def _client_error(fault: SQSFault, action: str) -> Exception:
    error = {
        "Message": fault.message,
        "Code": fault.query_code,
        "QueryErrorCode": fault.code,
        "Type": "Sender" if fault.sender else "Receiver",
    }
    metadata = {"HTTPStatusCode": fault.status, "HTTPHeaders": {}, "RetryAttempts": 0}
    response: dict[str, Any] = {"Error": error, "ResponseMetadata": metadata}
    known = _exceptions().from_code(fault.code)
    if fault.code == fault.query_code and known is not _exceptions().ClientError:
        # boto3 adds an error's own members when it finds its shape, and looks for that by the query protocol's code.
        response["message"] = fault.message
    return cast("Exception", known(response, action))
