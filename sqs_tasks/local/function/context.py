"""The context object of an invocation, as AWS's Python runtime hands it to a handler."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqs_tasks.local.clock import Clock, SystemClock


@dataclass(slots=True, kw_only=True)
class CognitoIdentity:
    """Always empty for an event source."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@dataclass(slots=True, kw_only=True)
class LambdaContext:
    """What a handler may ask about its invocation; names and types are those of AWS's runtime client.

    Attributes:
        aws_request_id: The invocation's id, the same in the log and in the report.
        function_name: The function's name.
        function_version: ``$LATEST`` unless an alias or version was invoked.
        invoked_function_arn: The ARN, with the alias if there is one.
        memory_limit_in_mb: Megabytes as text, as the runtime client takes it from the environment.
        deadline: Seconds since the epoch at which the invocation times out.
    """

    aws_request_id: str
    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: str
    deadline: float
    function_version: str = "$LATEST"
    log_group_name: str
    log_stream_name: str
    client_context: None = None
    identity: CognitoIdentity = field(default_factory=CognitoIdentity)
    tenant_id: str | None = None
    clock: Clock = field(default_factory=SystemClock, repr=False)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation times out; 0 once it has."""
        return max(0, int(self.deadline * 1000) - int(self.clock.now() * 1000))

    def log(self, message: Any) -> None:
        """Write to standard output, where Lambda's log is."""
        sys.stdout.write(str(message))

    def w3c(self) -> Mapping[str, str]:
        """The W3C trace context: an event source has none."""
        return {}
