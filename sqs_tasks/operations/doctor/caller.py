"""Who asks, where, and at what time: credentials, region, endpoint, clock."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from sqs_tasks.client import error_code, is_about_credentials, is_queue_missing
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations.doctor.finding import Finding

#: Seconds by which clocks may differ; AWS refuses signatures that are off by more than 300.
MOST_SKEW_SECONDS, REFUSED_SKEW_SECONDS = 60, 300

#: Errors of botocore that mean that there was no answer.
_NO_ANSWER = ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "ReadTimeoutError")


def caller_findings(env: SQSEnv, sts: Any) -> Iterator[Finding]:
    """What is wrong with the credentials, the region, the endpoint and the clock.

    Args:
        env: The environment.
        sts: A client of STS; None where SQS is not AWS.
    """
    try:
        answer = _answer(env)
        if sts is not None:
            answer = sts.get_caller_identity()
    except ConfigurationError as error:
        yield Finding(
            kind="no-region",
            severity="error",
            subject="region",
            what=str(error),
            why="queues belong to a region, so no request can be made",
            fix="export AWS_REGION=eu-west-1",
        )
        return
    except Exception as error:
        finding = _of_error(error)
        if finding is None:
            raise
        yield finding
        return
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    seconds = _skew(headers.get("date"), env.client.now())
    if seconds is not None and abs(seconds) > MOST_SKEW_SECONDS:
        yield _clock(seconds)


def _answer(env: SQSEnv) -> dict[str, Any]:
    """The answer to a harmless request, to a queue that need not exist."""
    name = next(iter(env.queues), "sqs-tasks-doctor")
    try:
        return env.client().get_queue_url(QueueName=env.get_sqs_queue_name(name))
    except Exception as error:
        if is_queue_missing(error) or "AccessDenied" in error_code(error):
            return dict(getattr(error, "response", {}))
        raise


def _of_error(error: Exception) -> Finding | None:
    name = type(error).__name__
    if name in _NO_ANSWER:
        return Finding(
            kind="no-endpoint",
            severity="error",
            subject="endpoint",
            what=f"SQS does not answer: {error}",
            why="neither producers nor workers can do anything from here",
            fix="check AWS_ENDPOINT_URL_SQS, the region, the network and, in a VPC, the endpoint of SQS",
        )
    if name in ("NoCredentialsError", "PartialCredentialsError"):
        return Finding(
            kind="no-credentials",
            severity="error",
            subject="credentials",
            what="there are no credentials of AWS",
            why="no request can be signed",
            fix="aws sso login, export AWS_PROFILE=..., or give the container or function its role",
        )
    if is_about_credentials(error):
        if error_code(error) == "SignatureDoesNotMatch" or "RequestExpired" in error_code(error):
            return _clock(None)
        return Finding(
            kind="credentials-refused",
            severity="error",
            subject="credentials",
            what=f"AWS refuses the credentials: {error_code(error) or name}",
            why="they are expired, or belong to another account, so every request fails",
            fix="aws sso login, or renew the credentials",
        )
    return None


def _skew(date: str | None, now: float) -> float | None:
    """Seconds by which this machine's clock is ahead of AWS's; None where AWS does not say."""
    try:
        return None if date is None else now - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


def _clock(seconds: float | None) -> Finding:
    off = "" if seconds is None else f" by {abs(seconds):.0f} s ({'ahead' if seconds > 0 else 'behind'})"
    is_refused = seconds is None or abs(seconds) > REFUSED_SKEW_SECONDS
    return Finding(
        kind="clock-skew",
        severity="error" if is_refused else "warning",
        subject="clock",
        what=f"the clock of this machine differs from that of AWS{off}",
        why=f"AWS refuses requests that are off by more than {REFUSED_SKEW_SECONDS} s, and max_age is wrong by it",
        fix="sudo timedatectl set-ntp true",
    )
