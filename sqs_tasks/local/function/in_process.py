"""A Lambda function in this process: a handler that the event source calls directly."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.clock import Clock, SystemClock
from sqs_tasks.local.function.context import LambdaContext
from sqs_tasks.local.function.fault_injection import Fault
from sqs_tasks.local.function.function import (
    MAX_PAYLOAD_BYTES,
    FunctionConfiguration,
    Handler,
    InvokeRequest,
    InvokeResult,
    lost_result,
)
from sqs_tasks.local.function.invocation import FunctionError, InvocationStatus


class InProcessFunction:
    """A handler called in this process, in the thread that invokes it.

    Fast and easy to step through. It cannot stop a handler that runs too long. The timeout is reported afterwards,
    from the clock, and the late answer is dropped as Lambda would; for hanging handlers use a subprocess.

    Args:
        handler: Called with the event (a fresh copy, through JSON) and a :class:`LambdaContext`.
        configuration: The function's settings.
        clock: The time for deadline and durations; give the queue's :class:`ManualClock` in tests.
        environments: How many invocations may run at once, each in its own thread. A real environment runs one at a
            time in a process of its own, so more than 1 asks for a handler that is safe for threads.
        handler_maker: Called at each cold start to make the handler, instead of ``handler``; its time is the init
            duration. Only with one environment.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        configuration: FunctionConfiguration | None = None,
        *,
        clock: Clock | None = None,
        environments: int = 1,
        handler_maker: Callable[[], Handler] | None = None,
    ) -> None:
        if (handler is None) == (handler_maker is None):
            raise ConfigurationError("give an in-process function either a handler or a handler_maker")
        if handler_maker is not None and environments != 1:
            raise ConfigurationError(f"a handler_maker serves one environment, not {environments}")
        self.configuration = configuration or FunctionConfiguration()
        self.environments = environments
        self._clock = clock or SystemClock()
        self._handler = handler
        self._handler_maker = handler_maker
        self._log_stream_name = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{'0' * 32}"

    def invoke(self, request: InvokeRequest) -> InvokeResult:
        """Run one invocation in this thread.

        ``SystemExit`` is a crash, as in Lambda's runtime; ``KeyboardInterrupt`` passes through to the caller.
        """
        init_duration_ms: float | None = None
        handler = self._handler if not request.cold_start or self._handler_maker is None else None
        if handler is None and self._handler_maker is not None:
            init_started = time.perf_counter()
            handler = self._handler = self._handler_maker()
            init_duration_ms = (time.perf_counter() - init_started) * 1000
        elif request.cold_start:
            init_duration_ms = 0.0
        assert handler is not None  # noqa: S101 - the constructor saw to it
        started = self._clock.now()
        if request.fault is not None and request.fault_early:
            result = self._lost(request.fault, 0.0)
        else:
            result = self._call(handler, request, started)
            if request.fault is not None:
                result = self._lost(request.fault, result.duration_ms)
        return InvokeResult(
            status=result.status,
            duration_ms=result.duration_ms,
            payload=result.payload,
            error=result.error,
            init_duration_ms=init_duration_ms,
            max_memory_used_mb=_max_memory_used_mb(),
        )

    def close(self) -> None:
        """Nothing to end: the handler belongs to the caller."""

    def _call(self, handler: Handler, request: InvokeRequest, started: float) -> InvokeResult:
        timeout = self.configuration.timeout_seconds
        context = LambdaContext(
            aws_request_id=request.request_id,
            function_name=self.configuration.name,
            invoked_function_arn=self.configuration.arn,
            memory_limit_in_mb=str(self.configuration.memory_mb),
            deadline=started + timeout,
            log_group_name=self.configuration.log_group_name,
            log_stream_name=self._log_stream_name,
            clock=self._clock,
        )
        payload: bytes | None = None
        error: FunctionError | None = None
        try:
            payload = marshal_response(handler(json.loads(request.payload), context))
        except SystemExit as exit_request:
            return self._lost(Fault.CRASH, self._since_ms(started), exit_code=exit_request.code)
        except Exception as raised:  # noqa: BLE001 - whatever the user's handler raises is a function error (S11)
            error = _function_error(raised)
        duration_ms = self._since_ms(started)
        if duration_ms > timeout * 1000:
            return self._lost(Fault.TIMEOUT, duration_ms)
        if error is not None:
            return InvokeResult(status=InvocationStatus.ERROR, duration_ms=duration_ms, error=error)
        return InvokeResult(status=InvocationStatus.SUCCEEDED, duration_ms=duration_ms, payload=payload)

    def _lost(self, fault: Fault, duration_ms: float, *, exit_code: Any = 1) -> InvokeResult:
        return lost_result(fault, self.configuration, duration_ms, exit_code=exit_code)

    def _since_ms(self, started: float) -> float:
        return max(0.0, (self._clock.now() - started) * 1000)


class ResponseError(Exception):
    """A response that Lambda does not take; becomes the function error of the type it names."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def marshal_response(value: Any) -> bytes:
    """The response's bytes, as AWS's runtime client makes them: bytes as they are, anything else as JSON.

    Raises:
        ResponseError: JSON cannot carry the value, or it exceeds 6 MB.
    """
    if isinstance(value, bytes):
        payload = value
    else:
        try:
            payload = json.dumps(value, default=_json_default).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ResponseError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ResponseError(
            "Function.ResponseSizeTooLarge",
            f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes).",
        )
    return payload


def _function_error(error: Exception) -> FunctionError:
    if isinstance(error, ResponseError):
        return FunctionError(type=error.error_type, message=str(error))
    # The first frame is this module's call; the user's handler begins below it.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return FunctionError(
        type=type(error).__name__, message=str(error), stack_trace=tuple(traceback.format_list(frames))
    )


def _json_default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _max_memory_used_mb() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak // (1024 * 1024 if sys.platform == "darwin" else 1024))
