"""A client for the requests that a queue is made of: what boto3's does, at a fraction of its processor time.

boto3 looks up, checks, signs and parses what could be any request of any service; three quarters of what a no-op job
costs is spent there. Requests that this client does not have are made by boto3's.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from sqs_tasks.__version__ import __version__
from sqs_tasks.transport.connections import Connections, NoAnswerError, NotConnectedError, Response
from sqs_tasks.transport.json_protocol import decoded, encoded, error_code_in
from sqs_tasks.transport.lean_settings import LeanSettings
from sqs_tasks.transport.retries import RetryQuota, is_throttled, may_pass, wait_seconds
from sqs_tasks.transport.signature import Credentials, Signer, Timestamps

#: Each method of the client, and the operation of SQS that it is.
OPERATIONS: Mapping[str, str] = {
    "send_message": "SendMessage",
    "send_message_batch": "SendMessageBatch",
    "receive_message": "ReceiveMessage",
    "delete_message": "DeleteMessage",
    "delete_message_batch": "DeleteMessageBatch",
    "change_message_visibility": "ChangeMessageVisibility",
    "change_message_visibility_batch": "ChangeMessageVisibilityBatch",
    "get_queue_url": "GetQueueUrl",
    "get_queue_attributes": "GetQueueAttributes",
}

_SUCCESS = 200
#: Answers to a signature that is too old or too new.
_WRONG_TIME_CODES = frozenset(
    {"RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch"}
)
#: The clock is only taken for wrong when it is so by more than this; requests are valid for 15 minutes.
_LEAST_SKEW_SECONDS = 240.0
_TRACE_SAFE = "-=;:+&[]{}\"',"


class LeanClient:
    """The hot part of boto3's SQS client; ``getattr`` finds the rest on boto3's own, made when it is first asked for.

    Args:
        settings: Where SQS is, and how long to wait for it.
        credentials: Gives who signs the next request.
        region_of: The region that a queue's URL names, or None.
        boto3_client: Makes boto3's client.
        making: Held while it is made; a fork waits until it is free.
    """

    def __init__(
        self,
        settings: LeanSettings,
        credentials: Callable[[], Credentials],
        region_of: Callable[[str], str | None],
        boto3_client: Callable[[], Any],
        making: AbstractContextManager[Any],
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._region_of = region_of
        self._make_boto3_client = boto3_client
        self._boto3_client: Any = None
        self._is_looked_into = False
        self._making = making
        self._quota = RetryQuota()
        self._timestamps = Timestamps()
        self._endpoints: dict[str, _Endpoint] = {}
        self._fixed = {"x-amzn-query-mode": "true", "User-Agent": _user_agent(settings.app_id)}
        self.meta = _Meta(settings, self._looked_into)
        for method, operation in OPERATIONS.items():
            setattr(self, method, partial(self._call, operation, method))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of one that is being copied
            raise AttributeError(name)
        if name == "exceptions":
            from sqs_tasks.transport.lean_errors import exceptions

            return exceptions()
        return getattr(self._of_boto3(), name)

    def _looked_into(self) -> Any:
        self._is_looked_into = True
        return self._of_boto3().meta

    def _of_boto3(self) -> Any:
        with self._making:
            if self._boto3_client is None:
                self._boto3_client = self._make_boto3_client()
            return self._boto3_client

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for endpoint in list(self._endpoints.values()):
            endpoint.connections.close()

    def _call(self, operation: str, method: str, /, **parameters: Any) -> dict[str, Any]:
        if self._is_looked_into:
            answer: dict[str, Any] = getattr(self._of_boto3(), method)(**parameters)
            return answer
        endpoint = self._endpoint(parameters.get("QueueUrl"))
        target = f"AmazonSQS.{operation}"
        body = encoded(parameters)
        attempt, cost = 0, 1
        corrected = False
        while True:
            attempt += 1
            try:
                response = endpoint.connections.post(self._headers(endpoint, target, body), body)
            except (NotConnectedError, NoAnswerError) as error:
                taken = self._quota.takes(throttled=False) if attempt < self._settings.max_attempts else None
                if taken is None:
                    from sqs_tasks.transport.lean_errors import network_error

                    raise network_error(error, endpoint.url) from error
                cost = taken
                time.sleep(wait_seconds(attempt, throttled=False))
                continue
            if response.status == _SUCCESS:
                self._quota.gives(cost)
                return self._answer(response, attempt)
            code = error_code_in(response.headers, response.body)
            if code in _WRONG_TIME_CODES and not corrected and self._corrects_clock(response):
                corrected = True
                continue
            throttled = is_throttled(response.status, code)
            again = attempt < self._settings.max_attempts and may_pass(response.status, code)
            taken = self._quota.takes(throttled=throttled) if again else None
            if taken is None:
                from sqs_tasks.transport.lean_errors import service_error

                was_last = attempt >= self._settings.max_attempts
                raise service_error(operation, response, retries=attempt - 1, was_last=was_last)
            cost = taken
            time.sleep(wait_seconds(attempt, throttled=throttled, headers=response.headers))

    def _headers(self, endpoint: _Endpoint, target: str, body: bytes) -> dict[str, str]:
        credentials = self._credentials()
        timestamp = self._timestamps.now()
        signed = [("content-type", "application/x-amz-json-1.0"), ("host", endpoint.host), ("x-amz-date", timestamp)]
        if credentials.token:
            signed.append(("x-amz-security-token", credentials.token))
        signed += (("x-amz-target", target), ("x-amzn-query-mode", "true"))
        headers = dict(signed)
        headers["Authorization"] = endpoint.signer.authorization(credentials, timestamp, signed, body)
        headers.update(self._fixed)
        trace_id = os.environ.get("_X_AMZN_TRACE_ID")
        if trace_id and "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            # By it Lambda finds functions that feed themselves (S36); not signed, as botocore has it.
            headers["X-Amzn-Trace-Id"] = quote(trace_id, safe=_TRACE_SAFE)
        return headers

    def _endpoint(self, queue_url: object) -> _Endpoint:
        region = self._settings.region
        if isinstance(queue_url, str) and self._settings.endpoint_url is None:
            region = self._region_of(queue_url) or region
        endpoint = self._endpoints.get(region)
        if endpoint is None:
            endpoint = self._endpoints.setdefault(region, _Endpoint(self._settings, region))
        return endpoint

    def _corrects_clock(self, response: Response) -> bool:
        """Whether this machine's clock is wrong; signatures have the endpoint's time from now on."""
        from email.utils import parsedate_to_datetime  # nearly all clocks are right

        try:
            there = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
        except ValueError:
            return False
        skew = there - time.time()
        if abs(skew - self._timestamps.skew_seconds) < _LEAST_SKEW_SECONDS:
            return False
        self._timestamps.skew_seconds = skew
        return True

    @staticmethod
    def _answer(response: Response, attempt: int) -> dict[str, Any]:
        try:
            answer = decoded(response.body)
        except ValueError as error:
            from botocore.parsers import ResponseParserError

            raise ResponseParserError("the endpoint's answer is not one of SQS: no JSON object") from error
        answer["ResponseMetadata"] = {
            "RequestId": response.headers.get("x-amzn-requestid", ""),
            "HTTPStatusCode": response.status,
            "HTTPHeaders": response.headers,
            "RetryAttempts": attempt - 1,
        }
        return answer


class _Meta:
    """``client.meta``: whoever looks for more than the place may listen to requests, so then all are boto3's."""

    def __init__(self, settings: LeanSettings, of_boto3: Callable[[], Any]) -> None:
        self.region_name = settings.region
        self.endpoint_url = settings.endpoint_of(settings.region)
        self._of_boto3 = of_boto3

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of one that is being copied
            raise AttributeError(name)
        return getattr(self._of_boto3(), name)


class _Endpoint:
    """SQS in one region."""

    def __init__(self, settings: LeanSettings, region: str) -> None:
        self.url = settings.endpoint_of(region)
        parts = urlsplit(self.url)
        self.host = parts.netloc
        self.signer = Signer("sqs", region)
        self.connections = Connections(
            parts.scheme,
            parts.hostname or "",
            parts.port,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            most_idle=settings.max_pool_connections,
            ca_bundle=settings.ca_bundle,
        )


def _user_agent(app_id: str | None) -> str:
    words = [
        f"sqs-tasks/{__version__}",
        f"os/{sys.platform}",
        "lang/python#" + ".".join(map(str, sys.version_info[:3])),
    ]
    runtime = os.environ.get("AWS_EXECUTION_ENV")
    if runtime:
        words.append(f"exec-env/{runtime}")
    if app_id:
        words.append(f"app/{app_id}")
    return " ".join(words)
