"""The SQS client, made at the first call: importing boto3 costs more than most tasks (architecture, decision 4)."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqs_tasks.__version__ import __version__
from sqs_tasks.errors import ConfigurationError, QueueNotFoundError
from sqs_tasks.protocols import SQSClient, SQSSession

#: URLs by name in code, as JSON: what the stack injects, so that a function needs no right to ask for them (S5).
QUEUE_URLS_VARIABLE = "SQS_TASKS_QUEUE_URLS"

#: Error codes with which endpoints say that a queue is not there: JSON protocol, query protocol, older emulators.
QUEUE_NOT_FOUND_CODES = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "com.amazonaws.sqs#QueueDoesNotExist",
    }
)


def error_code(error: BaseException) -> str:
    """The AWS error code of a client's exception, or the empty string for others (network errors, for example)."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def is_queue_missing(error: BaseException) -> bool:
    """Whether a client's exception says that the queue does not exist."""
    return error_code(error) in QUEUE_NOT_FOUND_CODES


class ClientProvider:
    """Gives the one SQS client of an environment; a new one in a forked child, whose sockets must be its own.

    Args:
        session: The ``boto3`` module, a ``boto3.Session`` or a ``MemorySession``; None for boto3's default.
        client: A ready client instead.
        endpoint_url: Where SQS is; None leaves it to boto3, which reads AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL.
        region_name: The region; None leaves it to boto3.
        config: Keyword arguments of ``botocore.config.Config`` over the defaults here.
    """

    def __init__(
        self,
        *,
        session: SQSSession | None = None,
        client: SQSClient | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._session = session
        self._given = client
        self._endpoint_url = endpoint_url
        self._region_name = region_name
        self._config = dict(config or {})
        self._lock = threading.Lock()
        self._client: SQSClient | None = None
        self._pid = 0

    def __call__(self) -> SQSClient:
        """The client; the first call imports boto3 and makes it."""
        if self._given is not None:
            return self._given
        client = self._client
        if client is not None and self._pid == os.getpid():
            return client
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client = self._make()
                self._pid = os.getpid()
            return self._client

    def reset(self) -> None:
        """Forget the client, so that the next call makes a new one with new connections (after a SnapStart restore)."""
        with self._lock:
            self._client = None

    @contextmanager
    def replaced_by(self, client: SQSClient) -> Iterator[None]:
        """Give this client instead, for the length of a block: what tests put in the place of AWS."""
        before, self._given = self._given, client
        try:
            yield
        finally:
            self._given = before

    def _make(self) -> SQSClient:
        kwargs: dict[str, Any] = {}
        if self._endpoint_url is not None:
            kwargs["endpoint_url"] = self._endpoint_url
        if self._region_name is not None:
            kwargs["region_name"] = self._region_name
        session = self._session
        if session is None or _is_boto3(session):
            import boto3
            from botocore.config import Config

            kwargs["config"] = Config(**{**_DEFAULT_CONFIG, "user_agent": _user_agent(self._config), **self._config})
            # Not the module's default session: making clients of one session is not thread-safe.
            session = boto3.Session() if session is None or session is boto3 else session
            if "region_name" not in kwargs and getattr(session, "region_name", None) is None:
                # boto3 reads AWS_DEFAULT_REGION alone; containers and other SDKs set AWS_REGION.
                kwargs["region_name"] = os.environ.get("AWS_REGION") or None
                if kwargs["region_name"] is None:
                    raise ConfigurationError(
                        "no AWS region is set; set AWS_REGION, pass SQSEnv(region_name=...), or choose one with "
                        "'aws configure'"
                    )
        client: SQSClient = session.client("sqs", **kwargs)
        return client


#: What this library's own calls need. They are checked here before they are made, so botocore need not check them
#: again; a long poll lasts 20 s at most; three threads of a worker and any number of producers share the connections.
_DEFAULT_CONFIG: Mapping[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 30,
    "retries": {"max_attempts": 3, "mode": "standard"},
    "max_pool_connections": 50,
    "parameter_validation": False,
    "tcp_keepalive": True,
}


def _user_agent(config: Mapping[str, Any]) -> str:
    """Who is asking, as a text: botocore would put it together anew for each request, a quarter of what one costs."""
    import platform

    import boto3

    words = [
        f"sqs-tasks/{__version__}",
        f"Boto3/{boto3.__version__}",
        f"os/{platform.system().lower()}#{platform.release()}",
        f"lang/python#{platform.python_version()}",
    ]
    runtime = os.environ.get("AWS_EXECUTION_ENV")
    if runtime:
        words.append(f"exec-env/{runtime}")
    # botocore adds its own version and what it finds in user_agent_extra, but not the id of the application.
    app_id = config.get("user_agent_appid") or os.environ.get("AWS_SDK_UA_APP_ID")
    if app_id:
        words.append(f"app/{app_id}")
    return " ".join(words)


def _is_boto3(session: SQSSession) -> bool:
    name = getattr(session, "__name__", None) or type(session).__module__
    return str(name).partition(".")[0] == "boto3"


class QueueUrls:
    """Queue URLs by SQS name, each asked for once.

    Args:
        client: Gives the client when SQS has to be asked.
        known: URLs that need no asking, by SQS name.
    """

    def __init__(self, client: ClientProvider, known: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._urls: dict[str, str] = dict(known or {})

    def get(self, queue_name: str, *, account_id: str | None = None) -> str:
        """The URL of a queue.

        Raises:
            QueueNotFoundError: The endpoint has no such queue.
        """
        url = self._urls.get(queue_name)
        if url is None:
            request = {"QueueName": queue_name}
            if account_id is not None:
                request["QueueOwnerAWSAccountId"] = account_id
            try:
                url = str(self._client().get_queue_url(**request)["QueueUrl"])
            except Exception as error:
                if not is_queue_missing(error):
                    raise
                raise QueueNotFoundError(
                    f"there is no queue {queue_name!r} at this endpoint; create it with "
                    "'sqs-tasks queues create', create_standard_queue() or the stack"
                ) from error
            self._urls[queue_name] = url
        return url

    def forget(self, queue_name: str) -> None:
        """Ask again next time: the queue was deleted, or made anew."""
        self._urls.pop(queue_name, None)


def urls_from_environment(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Queue URLs by name in code from SQS_TASKS_QUEUE_URLS.

    Raises:
        ConfigurationError: The variable is not a JSON object of strings.
    """
    text = variables.get(QUEUE_URLS_VARIABLE)
    if not text:
        return {}
    try:
        urls = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{QUEUE_URLS_VARIABLE} is not JSON: {error}") from error
    if not isinstance(urls, dict) or not all(isinstance(url, str) for url in urls.values()):
        raise ConfigurationError(f'{QUEUE_URLS_VARIABLE} must be like {{"emails": "https://sqs.../emails"}}')
    return urls


def with_retries(
    given: Mapping[str, Any] | None, max_attempts: int | None, mode: str | None
) -> Mapping[str, Any] | None:
    """The settings of botocore with the two that sqs-workers has as arguments."""
    retries = {name: value for name, value in (("max_attempts", max_attempts), ("mode", mode)) if value is not None}
    if not retries:
        return given
    return {**(given or {}), "retries": {"max_attempts": 3, "mode": "standard", **retries}}
