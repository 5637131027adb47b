"""A Lambda function to invoke: what the event source asks of one, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import MAX_MANAGED_FUNCTION_SECONDS
from sqs_tasks.local.function.fault_injection import Fault
from sqs_tasks.local.function.invocation import FunctionError, InvocationStatus
from sqs_tasks.local.model.account import ACCOUNT_ID, DEFAULT_REGION

#: What a handler is: called with the event and the context, it returns something that JSON can carry.
Handler = Callable[[Any, Any], Any]

#: Megabytes that a function may have.
MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240

#: Bytes of an invocation's event, and of its response: 6 MB (S7).
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024

#: The error that Lambda reports for each fault.
FAULT_ERRORS = {
    Fault.TIMEOUT: "Sandbox.Timedout",
    Fault.CRASH: "Runtime.ExitError",
    Fault.OUT_OF_MEMORY: "Runtime.OutOfMemory",
}

_FAULT_STATUS = {
    Fault.TIMEOUT: InvocationStatus.TIMED_OUT,
    Fault.CRASH: InvocationStatus.CRASHED,
    Fault.OUT_OF_MEMORY: InvocationStatus.OUT_OF_MEMORY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionConfiguration:
    """The settings of a function that its handler can see.

    Attributes:
        name: The function's name.
        timeout_seconds: Seconds after which an invocation is killed, above 0 and at most 5,400: 1,800 where Lambda has
            the machines, the rest on managed instances. Lambda's own default is 3; it is 30
            here, as much as a new queue's visibility timeout allows (S18).
        memory_mb: Megabytes, 128 to 10,240. A function in processes of its own is killed above it, on systems that show
            how much a process uses (Linux); one in this process is not.
        region: The region in the function's ARN.
        account_id: The account in the function's ARN.
    """

    name: str = "local-function"
    timeout_seconds: float = 30.0
    memory_mb: int = 128
    region: str = DEFAULT_REGION
    account_id: str = ACCOUNT_ID

    def __post_init__(self) -> None:
        if not 0 < self.timeout_seconds <= MAX_MANAGED_FUNCTION_SECONDS:
            raise ConfigurationError(
                f"a function timeout of {self.timeout_seconds} seconds is not possible; "
                f"give more than 0 and at most {MAX_MANAGED_FUNCTION_SECONDS}"
            )
        if not MIN_MEMORY_MB <= self.memory_mb <= MAX_MEMORY_MB:
            raise ConfigurationError(
                f"a function memory of {self.memory_mb} MB is not possible; give {MIN_MEMORY_MB} to {MAX_MEMORY_MB}"
            )

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.name}"

    @property
    def log_group_name(self) -> str:
        """Where CloudWatch would keep the log."""
        return f"/aws/lambda/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeRequest:
    """What a function is invoked with.

    Attributes:
        request_id: The invocation's id.
        payload: The event, as JSON.
        trace_header: The X-Ray header of the invocation, with its lineage (S36).
        fault: The fault to bring about, or None.
        fault_early: Whether the fault strikes before the handler runs, or after it, when its work is done and only
            the answer is lost.
        cold_start: Replace a warm environment first.
    """

    request_id: str
    payload: bytes
    trace_header: str = ""
    fault: Fault | None = None
    fault_early: bool = True
    cold_start: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeResult:
    """How an invocation ended, before its response was read.

    Attributes:
        status: SUCCEEDED when the handler returned, whatever it returned.
        payload: The response's bytes, or None.
        error: What the function left when it failed, or None.
        duration_ms: Milliseconds in the handler.
        init_duration_ms: Milliseconds of the cold start, or None.
        max_memory_used_mb: The environment's highest resident megabytes, or None where it cannot be known.
    """

    status: InvocationStatus
    duration_ms: float
    payload: bytes | None = None
    error: FunctionError | None = None
    init_duration_ms: float | None = None
    max_memory_used_mb: int | None = None


class LambdaFunction(Protocol):
    """Something an event source can invoke."""

    @property
    def configuration(self) -> FunctionConfiguration:
        """The function's settings."""
        ...

    @property
    def environments(self) -> int:
        """How many invocations can run at once."""
        ...

    def invoke(self, request: InvokeRequest) -> InvokeResult:
        """Run one invocation to its end; every failure of the function is in the result."""
        ...

    def close(self) -> None:
        """End every environment."""
        ...


def lost_result(
    fault: Fault, configuration: FunctionConfiguration, duration_ms: float, *, exit_code: Any = 1
) -> InvokeResult:
    """The result of an invocation that ended without an answer, in Lambda's words; a timeout took its whole time."""
    if fault is Fault.TIMEOUT:
        message = f"Task timed out after {configuration.timeout_seconds:.2f} seconds"
        duration_ms = configuration.timeout_seconds * 1000
    elif fault is Fault.OUT_OF_MEMORY or (isinstance(exit_code, int) and exit_code < 0):
        message = "Runtime exited with error: signal: killed"
    elif exit_code in (0, None):
        message = "Runtime exited without providing a reason"
    else:
        message = f"Runtime exited with error: exit status {exit_code if isinstance(exit_code, int) else 1}"
    return InvokeResult(
        status=_FAULT_STATUS[fault],
        duration_ms=duration_ms,
        error=FunctionError(type=FAULT_ERRORS[fault], message=message),
    )
