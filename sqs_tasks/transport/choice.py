"""Which client makes the requests: boto3's, or the lean one where it can serve."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.protocols import SQSClient, SQSSession

if TYPE_CHECKING:
    from sqs_tasks.transport.lean_settings import LeanSettings

logger = logging.getLogger(__name__)

#: Says which client makes the requests, where the code does not.
CLIENT_VARIABLE = "SQS_TASKS_CLIENT"

ClientKind: TypeAlias = Literal["boto3", "lean", "auto"]

_KINDS = ("boto3", "lean", "auto")


def chosen_client(
    kind: str | None,
    session: SQSSession | None,
    config: Mapping[str, Any],
    region_of: Callable[[str], str | None],
    making: AbstractContextManager[Any],
    **options: Any,
) -> SQSClient:
    """A client of SQS, each of whose requests goes to the region that its queue's URL names.

    Args:
        kind: ``"boto3"``, ``"lean"``, ``"auto"`` for the lean one where it can serve, or None for what the variable
            SQS_TASKS_CLIENT says: ``auto`` unless it is set.
        session: The ``boto3`` module or a ``boto3.Session``; None for the module.
        config: Keyword arguments of ``botocore.config.Config`` over the library's own.
        region_of: The region that a queue's URL names, or None.
        making: Held while a client is made later; a fork waits until it is free.
        **options: ``endpoint_url`` and ``region_name``, where they were given.

    Raises:
        ConfigurationError: There is no such kind, or the lean client was asked for and cannot serve.
    """
    kind = kind or os.environ.get(CLIENT_VARIABLE) or "auto"
    if kind not in _KINDS:
        raise ConfigurationError(
            f"client={kind!r} must be 'boto3', 'lean' or 'auto'; leave it out, or correct {CLIENT_VARIABLE}"
        )

    def of_boto3() -> SQSClient:
        from sqs_tasks.transport.boto3_client import follow_regions, make_client

        client = make_client(session, config, **options)
        follow_regions(client, region_of)
        return client

    if kind == "boto3":
        return of_boto3()
    settings = lean_settings_or_reason(session, config, **options)
    if not isinstance(settings, str):
        from sqs_tasks.transport.credentials import credentials_here
        from sqs_tasks.transport.lean_client import LeanClient

        return LeanClient(settings, credentials_here(), region_of, of_boto3, making)
    if kind == "lean":
        raise ConfigurationError(
            f"client='lean' cannot serve here: {settings}; use client='auto', which takes boto3 then"
        )
    logger.debug("boto3 makes the requests: %s", settings)
    return of_boto3()


def lean_settings_or_reason(
    session: SQSSession | None, config: Mapping[str, Any], **options: Any
) -> LeanSettings | str:
    """The settings of the lean client; as a text, why it cannot serve.

    Args:
        session: The session that was given, if any.
        config: Keyword arguments of ``botocore.config.Config``.
        **options: ``endpoint_url`` and ``region_name``, where they were given.
    """
    if session is not None and not hasattr(session, "Session"):  # the module stands for a new session, as None does
        return "a session was given"
    from sqs_tasks.transport.lean_settings import lean_settings

    return lean_settings(
        config,
        endpoint_url=options.get("endpoint_url"),
        region_name=options.get("region_name"),
        variables=os.environ,
    )
