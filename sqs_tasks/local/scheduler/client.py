"""``boto3.client("scheduler")`` over a scheduler in this process: the same methods, arguments, answers and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, cast

from sqs_tasks.local.scheduler import service_model
from sqs_tasks.local.scheduler.faults import SchedulerFault

_PAGINATED = {"list_schedule_groups": "ScheduleGroups", "list_schedules": "Schedules"}

#: Performs an operation: its name and its parameters.
Call = Callable[[str, Mapping[str, Any]], dict[str, Any]]


class MemorySchedulerClient:
    """A client of EventBridge Scheduler.

    Args:
        call: Performs an operation.
        region_name: The region, for whoever asks the client for it.
        endpoint_url: The endpoint, for whoever asks the client for it.
    """

    def __init__(self, call: Call, *, region_name: str, endpoint_url: str) -> None:
        self._call = call
        self._methods = service_model.operation_of_method()
        self.meta = SimpleNamespace(
            endpoint_url=endpoint_url,
            region_name=region_name,
            service_model=SimpleNamespace(service_name=service_model.SERVICE),
            method_to_api_mapping=dict(self._methods),
        )

    @property
    def exceptions(self) -> Any:
        """The exception classes of this client, as ``client.exceptions.ConflictException``."""
        return _exceptions()

    def can_paginate(self, operation_name: str) -> bool:
        """Whether :meth:`get_paginator` knows the operation."""
        return operation_name in _PAGINATED

    def get_paginator(self, operation_name: str) -> _Paginator:
        """Pages of ``list_schedules`` or ``list_schedule_groups``."""
        if operation_name not in _PAGINATED:
            raise ValueError(f"{operation_name!r} has no pages; those that have: {', '.join(_PAGINATED)}")
        return _Paginator(getattr(self, operation_name))

    def close(self) -> None:
        """Nothing to close; the session keeps its schedules."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        operation = None if name.startswith("_") else self._methods.get(name)
        if operation is None:
            raise AttributeError(f"'EventBridgeScheduler' object has no attribute {name!r}")
        method = partial(self._perform, operation)
        setattr(self, name, method)
        return method

    def _perform(self, operation: str, /, **params: Any) -> dict[str, Any]:
        _check(operation, params)
        try:
            answer = self._call(operation, params)
        except SchedulerFault as fault:
            raise _client_error(fault, operation) from None
        answer = _with_times(answer)
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
            found = self._method(**params)
            yield found
            if "NextToken" not in found:
                return
            params["NextToken"] = found["NextToken"]


def _check(operation: str, params: Mapping[str, Any]) -> None:
    """Refuse parameters as boto3 does, before anything is asked."""
    from botocore.exceptions import ParamValidationError
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(params, service_model.input_shape(operation))
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())


def _with_times(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with its times as boto3 has them; copied all through, because the caller may change it."""
    from botocore.utils import parse_timestamp

    def copied(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: copied(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [copied(name, item) for item in value]
        return parse_timestamp(value) if name.endswith("Date") else value

    return cast("dict[str, Any]", copied("", answer))


@cache
def _exceptions() -> Any:
    from botocore.errorfactory import ClientExceptionsFactory

    return ClientExceptionsFactory().create_client_exceptions(service_model.service_model())


def _client_error(fault: SchedulerFault, operation: str) -> Exception:
    response = {
        "Error": {"Message": fault.message, "Code": fault.code},
        "ResponseMetadata": {"HTTPStatusCode": fault.status, "HTTPHeaders": {}, "RetryAttempts": 0},
        "Message": fault.message,
    }
    return cast("Exception", _exceptions().from_code(fault.code)(response, operation))
