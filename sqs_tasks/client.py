"""The SQS client of an environment, made on the first call and not before, and the URLs of its queues.

Importing boto3 costs more than most tasks, and a function whose jobs succeed does not need it (architecture,
decision 4).
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sqs_tasks.errors import ConfigurationError, QueueNotFoundError
from sqs_tasks.protocols import SQSClient, SQSSession

if TYPE_CHECKING:
    from sqs_tasks.transport.choice import ClientKind

logger = logging.getLogger(__name__)

#: URLs by name in code, as JSON: what the stack injects, so that a function needs no right to ask for them (S5).
QUEUE_URLS_VARIABLE = "SQS_TASKS_QUEUE_URLS"

#: Its key for every queue that it does not name: ``{"*": "https://sqs.../shop-*"}``.
ANY_QUEUE = "*"

#: Error codes with which endpoints say that a queue is not there: JSON protocol, query protocol, older emulators.
QUEUE_NOT_FOUND_CODES = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "com.amazonaws.sqs#QueueDoesNotExist",
    }
)


#: What the codes of errors about credentials have in common, and the names of botocore's own exceptions: the codes
#: differ between the protocols of SQS, between endpoints, and between the ways in which credentials are obtained.
_ABOUT_CREDENTIALS = re.compile(
    "Token|Credential|AccessKey|Signature|InvalidSecurity|UnrecognizedClient|MissingAuthentication|AuthFailure|SSO"
)

_LONGEST_MESSAGE = re.compile(r"must be shorter than (\d+) bytes")

#: Seconds between two clients that are made for their credentials: nobody renews them more often.
RENEWAL_SECONDS = 1.0

#: Held while a thread makes what the process shares and keeps, with the imports that this needs. A forked child has the
#: memory of its parent and one thread: a lock that another thread held, or a module that it was importing, would stay
#: locked there for ever. So a fork waits until nobody holds this; whoever holds it waits for no other thread.
making = threading.RLock()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=making.release)


def error_code(error: BaseException) -> str:
    """The AWS error code of a client's exception, or the empty string for others (network errors, for example)."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def is_queue_missing(error: BaseException) -> bool:
    """Whether a client's exception says that the queue does not exist."""
    return error_code(error) in QUEUE_NOT_FOUND_CODES


def size_limit_in(error: BaseException) -> int | None:
    """The most bytes that a queue takes, from SQS's refusal of a longer message; None for any other error."""
    response = getattr(error, "response", None)
    text = str(response.get("Error", {}).get("Message", "")) if isinstance(response, Mapping) else ""
    found = _LONGEST_MESSAGE.search(text)
    return None if found is None else int(found[1])


def is_about_credentials(error: BaseException) -> bool:
    """Whether a client's exception says that its credentials are missing, expired or no longer known."""
    return _ABOUT_CREDENTIALS.search(error_code(error) or type(error).__name__) is not None


class ClientProvider:
    """Gives the one SQS client of an environment; a new one in a forked child, whose sockets must be its own.

    Credentials that come late, or are renewed in their file or environment, reach everybody who uses the client: when
    SQS refuses those of a request, the client is made anew, which reads them again, and the request is made once more.
    A client that was given keeps its own, and so does a session.

    Args:
        session: The ``boto3`` module, a ``boto3.Session`` or a ``MemorySession``; None for boto3's default.
        client: A ready client instead.
        endpoint_url: Where SQS is; None leaves it to boto3, which reads AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL.
        region_name: The region; None leaves it to boto3. A queue whose URL names another region is reached there.
        config: Keyword arguments of ``botocore.config.Config`` over the defaults here.
        kind: ``"boto3"``, ``"lean"``, or None for what SQS_TASKS_CLIENT says.
    """

    def __init__(
        self,
        *,
        session: SQSSession | None = None,
        client: SQSClient | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        config: Mapping[str, Any] | None = None,
        kind: ClientKind | None = None,
    ) -> None:
        self._session = session
        self._kind = kind
        self._given = client
        self._follows_regions = False
        self._endpoint_url = endpoint_url
        self._region_name = region_name
        self._config = dict(config or {})
        self._client: Any = None
        self._others: dict[str, Any] = {}
        self._pid = 0
        self._renewed_at = -RENEWAL_SECONDS

    def __call__(self) -> SQSClient:
        """The client; the first call imports boto3 and makes it."""
        if self._given is not None:
            return self._given if self._follows_regions else self._prepared(self._given)
        client: SQSClient | None = self._client
        if client is not None and self._pid == os.getpid():
            return client
        with making:
            if self._client is None or self._pid != os.getpid():
                self._client = self._make()
                self._pid = os.getpid()
            made: SQSClient = self._client
            return made

    def of_service(self, service: str, *, endpoint_url: str | None = None) -> Any:
        """The client of another service: from the same session, for the same region, with the same settings.

        Args:
            service: As boto3 names it.
            endpoint_url: Where the service is; None leaves it to boto3.
        """
        given = self._given
        if given is not None and self.is_in_memory:
            return getattr(given, "of_service")(service_name=service)  # noqa: B009 - no SQSClient has it
        with making:
            key = f"{os.getpid()} {service} {endpoint_url} {id(given)}"
            if key not in self._others:
                region = self._region_name or getattr(getattr(given, "meta", None), "region_name", None)
                options = {"endpoint_url": endpoint_url, "region_name": region}
                self._others[key] = self._made(service, {k: v for k, v in options.items() if v is not None})
            return self._others[key]

    def without_retries(self) -> SQSClient:
        """A client that makes each request once, for those who must know of an answer that was lost.

        A client that was given is the same as ever, and so is that of another session than boto3's.
        """
        session = self._session
        if self._given is not None or (session is not None and not _is_boto3(session)):
            return self()
        from sqs_tasks.transport.boto3_client import follow_regions, make_client

        with making:
            key = f"{os.getpid()} once"
            if key not in self._others:
                options = {"endpoint_url": self._endpoint_url, "region_name": self._region_name}
                config = {**self._config, "retries": {"total_max_attempts": 1, "mode": "standard"}}
                self._others[key] = make_client(
                    session, config, **{name: value for name, value in options.items() if value is not None}
                )
                follow_regions(self._others[key], region_of)
            return self._others[key]  # type: ignore[no-any-return]

    def _made(self, service: str, options: dict[str, Any]) -> Any:
        session = self._session
        if session is not None and not _is_boto3(session):
            return session.client(service, **options)
        from sqs_tasks.transport.boto3_client import make_client

        return make_client(session, self._config, service=service, **options)

    @property
    def is_in_memory(self) -> bool:
        """Whether the queues are in this process: a MemorySession's. Makes no client of boto3 for the answer."""
        return hasattr(self._session if self._given is None else self._given, "is_in_memory")

    def now(self) -> float:
        """The time: that of the queues in memory, whose clock can be moved, or the present."""
        return float(getattr(self(), "now")()) if self.is_in_memory else time.time()  # noqa: B009 - no SQSClient has it

    @property
    def endpoint_url(self) -> str | None:
        """Where SQS is, as far as the environment was told; None leaves it to boto3."""
        return self._endpoint_url or getattr(getattr(self._given, "meta", None), "endpoint_url", None)

    def reset(self) -> None:
        """Forget the client, so that the next call makes a new one with new connections (after a SnapStart restore)."""
        with making:
            self._client = None
            self._others.clear()

    def renew(self, refused: SQSClient) -> SQSClient | None:
        """A client with other credentials than one that SQS refused; None when one was made a moment ago."""
        with making:
            if self._client is refused and self._pid == os.getpid():
                if time.monotonic() - self._renewed_at < RENEWAL_SECONDS:
                    return None
                self._renewed_at = time.monotonic()
                self._client = None
                logger.info("SQS refused the credentials; reading them again", extra={"action": "credentials_renewed"})
            return self()

    @contextmanager
    def replaced_by(self, client: SQSClient) -> Iterator[None]:
        """Give this client instead, for the length of a block: what tests put in the place of AWS."""
        before = self._given, self._follows_regions
        self._given, self._follows_regions = client, False
        try:
            yield
        finally:
            self._given, self._follows_regions = before

    def _make(self) -> Any:
        options: dict[str, Any] = {}
        if self._endpoint_url is not None:
            options["endpoint_url"] = self._endpoint_url
        if self._region_name is not None:
            options["region_name"] = self._region_name
        session = self._session
        if session is not None and not _is_boto3(session):
            client = session.client("sqs", **options)
            return client if type(client).__module__.startswith("sqs_tasks.") else _RenewingClient(client, self.renew)
        from sqs_tasks.transport.choice import chosen_client

        made = chosen_client(self._kind, session, self._config, region_of, making, **options)
        return _RenewingClient(made, self.renew)

    def _prepared(self, given: SQSClient) -> SQSClient:
        """A client that was given: one of boto3's reaches queues of other regions too."""
        if hasattr(given, "meta"):
            from sqs_tasks.transport.boto3_client import follow_regions

            follow_regions(given, region_of)
        self._follows_regions = True
        return given


class _RenewingClient:
    """A client whose calls are made once more, by a client made anew, when SQS refuses the credentials."""

    def __init__(self, client: SQSClient, renew: Callable[[Any], SQSClient | None]) -> None:
        self._client = client
        self._renew = renew

    def __getattr__(self, name: str) -> Any:
        if name == "_client":  # of one that is being copied
            raise AttributeError(name)
        value = getattr(self._client, name)
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            return value
        return partial(self._call, name, value)

    def _call(self, name: str, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if not is_about_credentials(error):
                raise
            renewed = self._renew(self)
            if renewed is None or renewed is self:
                raise
            # For those who keep this one: its next call must not fail first.
            self._client = getattr(renewed, "_client", renewed)
            return getattr(self._client, name)(*args, **kwargs)


def _is_boto3(session: SQSSession) -> bool:
    name = getattr(session, "__name__", None) or type(session).__module__
    return str(name).partition(".")[0] == "boto3"


def region_of(queue_url: str) -> str | None:
    """The region that a queue's URL names, in any partition; None for URLs of other endpoints."""
    host = queue_url.partition("://")[2].partition("/")[0].partition(":")[0]
    if host == "queue.amazonaws.com":
        return "us-east-1"
    found = _REGION_IN_HOST.search(host)
    return None if found is None else found[1] or found[2]


def account_of(queue_url: str) -> str | None:
    """The account in a queue's URL; None where an endpoint has none."""
    found = _ACCOUNT_IN_PATH.search(queue_url)
    return None if found is None else found[1]


def neighbour_of(queue_url: str, queue_name: str) -> str:
    """The URL of another queue of the same account and region."""
    return f"{queue_url.rstrip('/').rpartition('/')[0]}/{queue_name}"


#: ``sqs.eu-west-1.``, ``sqs-fips.us-gov-west-1.``, ``vpce-1.sqs.eu-west-1.vpce.``, and the older ``eu-west-1.queue.``.
_REGION_IN_HOST = re.compile(r"(?:^|\.)sqs(?:-fips)?\.([a-z]+(?:-[a-z]+)+-\d)\.|^([a-z]+(?:-[a-z]+)+-\d)\.queue\.")

_ACCOUNT_IN_PATH = re.compile(r"://[^/]+(?:/[^/]+)*?/(\d{12})/[^/]+/?$")


class QueueUrls:
    """Queue URLs by account and SQS name, each asked for once.

    Args:
        client: Gives the client when SQS has to be asked.
    """

    def __init__(self, client: ClientProvider) -> None:
        self._client = client
        self._urls: dict[tuple[str | None, str], str] = {}

    def get(self, queue_name: str, *, account_id: str | None = None) -> str:
        """The URL of a queue.

        Args:
            queue_name: Its name in SQS, which says which queue it is within one account alone.
            account_id: The account; None for the caller's own.

        Raises:
            QueueNotFoundError: The endpoint has no such queue.
        """
        url = self._urls.get((account_id, queue_name))
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
            self._urls[account_id, queue_name] = url
        return url

    def forget(self, queue_name: str) -> None:
        """Ask again next time: the queue of the caller's own account was deleted, or made anew."""
        self._urls.pop((None, queue_name), None)


def urls_from_environment(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Queue URLs by name in code from SQS_TASKS_QUEUE_URLS; under ``*`` the pattern of all others, if there is one.

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


def receive_request(
    queue_url: str, count: int, *, wait_seconds: int | None = None, visibility_timeout_seconds: int | None = None
) -> dict[str, Any]:
    """The keyword arguments of ``receive_message``, with all attributes asked for.

    Args:
        queue_url: The queue.
        count: How many messages at most, 1 to 10.
        wait_seconds: How long to wait for a first message, 0 to 20 seconds; None takes the queue's own setting.
        visibility_timeout_seconds: How long the messages are invisible to others; None takes the queue's own setting.
    """
    request: dict[str, Any] = {
        "QueueUrl": queue_url,
        "MaxNumberOfMessages": count,
        "MessageAttributeNames": ["All"],
        # The name that every endpoint knows; MessageSystemAttributeNames is its newer one.
        "AttributeNames": ["All"],
    }
    if wait_seconds is not None:
        request["WaitTimeSeconds"] = wait_seconds
    if visibility_timeout_seconds is not None:
        request["VisibilityTimeout"] = visibility_timeout_seconds
    return request


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, and nobody else's: what listens there is reached by its own programs alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress  # no function and no producer asks

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
