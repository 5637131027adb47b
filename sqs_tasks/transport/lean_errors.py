"""What the lean client raises: botocore's exceptions, by its own parser, imported when there is one to raise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqs_tasks.transport.connections import NotConnectedError, Response


def service_error(operation: str, response: Response, *, retries: int, was_last: bool) -> Exception:
    """The exception for an answer that says no: ``QueueDoesNotExist`` and the like, all of them ``ClientError``.

    Args:
        operation: As SQS calls it: ``SendMessage``.
        response: The answer.
        retries: How often the request was sent again.
        was_last: Whether it was the last try that is made of any request.
    """
    from botocore.exceptions import ClientError
    from botocore.parsers import create_parser

    model, exceptions = _model()
    answer = {
        "status_code": response.status,
        "headers": _Headers(response.headers),
        "body": response.body,
        "context": {"operation_name": operation},
    }
    shape = model.operation_model(operation).output_shape
    parsed: dict[str, Any] = create_parser("json").parse(answer, shape)
    metadata = parsed.setdefault("ResponseMetadata", {})
    metadata["RetryAttempts"] = retries
    if was_last:
        metadata["MaxAttemptsReached"] = True
    error = parsed.get("Error", {})
    code = error.get("QueryErrorCode") or error.get("Code")
    made: type[Exception] = exceptions.from_code(code) if code else ClientError
    raised: Exception = made(parsed, operation)
    return raised


def network_error(error: Exception, endpoint_url: str) -> Exception:
    """The exception for an answer that did not come.

    Args:
        error: What the connection raised; its cause says why.
        endpoint_url: Where the request was sent.
    """
    import ssl

    from botocore import exceptions

    cause = error.__cause__
    late = isinstance(cause, TimeoutError)
    kind: type[exceptions.BotoCoreError]
    if isinstance(cause, ssl.SSLError):
        kind = exceptions.SSLError
    elif isinstance(error, NotConnectedError):
        kind = exceptions.ConnectTimeoutError if late else exceptions.EndpointConnectionError
    else:
        kind = exceptions.ReadTimeoutError if late else exceptions.ConnectionClosedError
    made: Exception = kind(endpoint_url=endpoint_url, error=cause)
    return made


def exceptions() -> Any:
    """What boto3's client has as ``client.exceptions``."""
    return _model()[1]


@lru_cache(maxsize=1)
def _model() -> tuple[Any, Any]:
    from botocore.errorfactory import ClientExceptionsFactory
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    model = ServiceModel(create_loader().load_service_model("sqs", "service-2"), "sqs")
    return model, ClientExceptionsFactory().create_client_exceptions(model)


class _Headers(dict[str, str]):
    """Headers as botocore's parser looks for them, in any case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)
