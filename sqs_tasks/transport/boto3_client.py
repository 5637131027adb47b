"""boto3's SQS client as this library wants it: its settings, who is asking, and each request in its queue's region."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - the first request would import it, and a fork may meet it half imported
import os
import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import boto3
from botocore.config import Config

from sqs_tasks.__version__ import __version__
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.protocols import SQSClient, SQSSession

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


def make_client(
    session: SQSSession | None, config: Mapping[str, Any], *, service: str = "sqs", **options: Any
) -> SQSClient:
    """A client of boto3, typed as the one that nearly all are.

    Args:
        session: The ``boto3`` module or a ``boto3.Session``; None for the module.
        config: Keyword arguments of ``botocore.config.Config`` over the library's own.
        service: The service.
        **options: Further ones of ``session.client``.

    Raises:
        ConfigurationError: Nobody says which region.
    """
    options["config"] = Config(**{**_DEFAULT_CONFIG, "user_agent": _user_agent(config), **config})
    # Not the module's default session: making clients of one session is not thread-safe.
    made_of: Any = boto3.Session() if session is None or session is boto3 else session
    if "region_name" not in options and getattr(made_of, "region_name", None) is None:
        # boto3 reads AWS_DEFAULT_REGION alone; containers and other SDKs set AWS_REGION.
        options["region_name"] = os.environ.get("AWS_REGION") or None
        if options["region_name"] is None:
            raise ConfigurationError(
                "no AWS region is set; set AWS_REGION, pass SQSEnv(region_name=...), or choose one with 'aws configure'"
            )
    client: SQSClient = made_of.client(service, **options)
    return client


def follow_regions(client: Any, region_of: Callable[[str], str | None]) -> None:
    """Have a client of boto3 send each request to the region that its queue's URL names, signed for it.

    botocore would send it to the client's own region, where SQS knows no such queue. What is no client of boto3, or was
    given an endpoint, is left alone.

    Args:
        client: The client.
        region_of: The region that a queue's URL names, or None.
    """
    events = getattr(getattr(client, "meta", None), "events", None)
    if events is not None:
        handler = partial(_to_region_of_queue, region_of)
        events.register("before-endpoint-resolution.sqs", handler, unique_id="sqs-tasks-region-of-queue")


def _to_region_of_queue(
    region_of: Callable[[str], str | None],
    *,
    builtins: dict[str, Any],
    params: Mapping[str, Any],
    context: dict[str, Any],
    **_: Any,
) -> None:
    url = params.get("QueueUrl")
    region = region_of(url) if isinstance(url, str) else None
    if region is None or builtins.get("SDK::Endpoint") is not None or builtins.get("AWS::Region") == region:
        return
    builtins["AWS::Region"] = region
    context.setdefault("signing", {})["region"] = region


def _user_agent(config: Mapping[str, Any]) -> str:
    """Who is asking, as a text: botocore would put it together anew for each request, a quarter of what one costs."""
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
