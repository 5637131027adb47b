"""A Lambda function in processes of its own, each behind the Runtime API as on AWS."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.function.fault_injection import Fault
from sqs_tasks.local.function.function import FunctionConfiguration, InvokeRequest, InvokeResult, lost_result
from sqs_tasks.local.function.invocation import FunctionError, InvocationStatus
from sqs_tasks.local.function.line_output import LineOutput, LineSink
from sqs_tasks.local.function.runtime_api import RuntimeApi, RuntimeEvent, RuntimeExitedError
from sqs_tasks.local.process_guard import end_group, guard

logger = logging.getLogger(__name__)

#: Environments that a function may have at once by default: as many batches as Lambda starts with (S33).
DEFAULT_ENVIRONMENTS = 5

#: Seconds in which an environment must have loaded its handler; after that Lambda starts it once more and counts the
#: time as the invocation's.
INIT_TIMEOUT_SECONDS = 10.0


class SubprocessFunction:
    """A handler in subprocesses: one process for each invocation that runs at the same time, reused while warm.

    A timeout kills the process, a crash ends it, and the next invocation starts a new one, as Lambda does. Each
    process is AWS's own runtime client for Python (the package ``awslambdaric``), or any other Lambda runtime.

    Args:
        handler: ``module.function`` as in Lambda's settings.
        configuration: The function's settings.
        environments: Processes at the same time, at most; they start when they are needed.
        variables: Environment variables for the function, over those of this process.
        directory: Where the code is; the working directory and ``LAMBDA_TASK_ROOT``. The current one if left out.
        command: The runtime to start instead of ``awslambdaric``, such as ``["./bootstrap"]``.
        output: Where standard output and error of the function go: a file, or a function that takes whole lines; to
            this process's own if left out.

    Raises:
        ConfigurationError: ``awslambdaric`` is not installed, or the handler is not ``module.function``.
    """

    def __init__(
        self,
        handler: str,
        configuration: FunctionConfiguration | None = None,
        *,
        environments: int = DEFAULT_ENVIRONMENTS,
        variables: Mapping[str, str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        command: Sequence[str] | None = None,
        output: int | IO[bytes] | LineSink | None = None,
    ) -> None:
        if command is None:
            if "." not in handler:
                raise ConfigurationError(f"handler {handler!r} must be 'module.function', such as 'app.handler'")
            if importlib.util.find_spec("awslambdaric") is None:
                raise ConfigurationError(
                    "a Python function in a subprocess needs AWS's runtime client: pip install 'sqs-tasks[invoke]'"
                )
            command = [sys.executable, "-m", "awslambdaric", handler]
        self.configuration = configuration or FunctionConfiguration()
        self.environments = environments
        self._handler = handler
        self._command = tuple(command)
        self._variables = dict(variables or {})
        self._directory = Path(directory or Path.cwd()).resolve()
        self._output = output
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(environments)
        self._warm: list[_Environment] = []
        self._busy: set[_Environment] = set()

    def invoke(self, request: InvokeRequest) -> InvokeResult:
        """Run one invocation in a warm process, or in a new one; waits if all are busy."""
        with self._slots:
            try:
                return self._invoke(request)
            except RuntimeExitedError:
                # It ended between two invocations: this one never began, and begins in a new environment.
                return self._invoke(replace(request, cold_start=True))

    def warm_up(self) -> FunctionError | None:
        """Start an environment before there is anything to do; its first invocation reports the cold start.

        Returns:
            Why the handler cannot be loaded, or None.
        """
        with self._slots:
            environment = self._acquire(cold=False)
            try:
                return environment.begin()
            finally:
                self._give_back(environment)

    def close(self) -> None:
        """Kill every process, busy ones too."""
        with self._lock:
            environments = [*self._warm, *self._busy]
            self._warm.clear()
        for environment in environments:
            environment.end()

    def _invoke(self, request: InvokeRequest) -> InvokeResult:
        environment = self._acquire(cold=request.cold_start)
        try:
            return environment.invoke(request)
        finally:
            self._give_back(environment)

    def _acquire(self, *, cold: bool) -> _Environment:
        with self._lock:
            # The one used last is the warmest, and the others may age, as on Lambda.
            environment = self._warm.pop() if self._warm else None
        if environment is not None and (cold or not environment.alive):
            environment.end()
            environment = None
        if environment is None:
            environment = _Environment(
                self.configuration,
                command=self._command,
                handler=self._handler,
                variables=self._variables,
                directory=self._directory,
                output=self._output,
            )
        with self._lock:
            self._busy.add(environment)
        return environment

    def _give_back(self, environment: _Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
            if environment.alive:
                self._warm.append(environment)
                return
        environment.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begin:
    """A cold start that no invocation has reported yet; the late seconds are the invocation's own."""

    failure: InvokeResult | None
    late_seconds: float
    duration_ms: float


class _Environment:
    """One execution environment: a process, and the Runtime API that it talks to.

    Used by one thread at a time. A second thread waits for the process to end, and says so to whoever waits for it.
    """

    def __init__(
        self,
        configuration: FunctionConfiguration,
        *,
        command: Sequence[str],
        handler: str,
        variables: Mapping[str, str],
        directory: Path,
        output: int | IO[bytes] | LineSink | None,
    ) -> None:
        self._configuration = configuration
        self._command = command
        self._handler = handler
        self._variables = variables
        self._directory = directory
        self._sink = output if callable(output) else None
        self._output = None if callable(output) else output
        self._api: RuntimeApi | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: LineOutput | None = None
        self._peak_memory_mb: int | None = None
        self._began: _Begin | None = None

    @property
    def alive(self) -> bool:
        """Whether the process can take an invocation."""
        return self._process is not None and self._process.poll() is None

    def invoke(self, request: InvokeRequest) -> InvokeResult:
        """Run one invocation, after a cold start if this is the first.

        Raises:
            RuntimeExitedError: The process ended before it took the event.
        """
        if self._api is None:
            self.begin()
        init_duration_ms: float | None = None
        timeout_seconds = self._configuration.timeout_seconds
        began, self._began = self._began, None
        if began is not None:
            if began.failure is not None:
                return began.failure
            timeout_seconds -= began.late_seconds
            init_duration_ms = began.duration_ms
        if request.fault is not None and request.fault_early:
            result = self._lost(request.fault, 0.0)
        else:
            result = self._run(request, timeout_seconds)
            if request.fault is not None:
                result = self._lost(request.fault, result.duration_ms)
        return InvokeResult(
            status=result.status,
            duration_ms=result.duration_ms,
            payload=result.payload,
            error=result.error,
            init_duration_ms=init_duration_ms,
            max_memory_used_mb=self._peak_memory_mb,
        )

    def begin(self) -> FunctionError | None:
        """The cold start, whose cost the first invocation reports; gives what went wrong."""
        started = time.perf_counter()
        failure, late_seconds = self._init()
        duration_ms = (time.perf_counter() - started - late_seconds) * 1000
        self._began = _Begin(failure=failure, late_seconds=late_seconds, duration_ms=duration_ms)
        return None if failure is None else failure.error

    def end(self) -> None:
        """Kill the process, and all that it started."""
        process, api = self._process, self._api
        if process is not None and process.poll() is None:
            if hasattr(os, "killpg"):
                end_group(process.pid)
            else:
                process.kill()
            process.wait()
        if api is not None:
            api.close()

    def _init(self) -> tuple[InvokeResult | None, float]:
        """Start the process; returns the failure, if any, and the seconds that count as the invocation's.

        An init of more than ten seconds is cut off and done again inside the invocation.
        """
        try:
            state = self._start(INIT_TIMEOUT_SECONDS)
        except OSError as error:
            return self._not_started(error), 0.0
        late_seconds = 0.0
        if state == "late":
            self.end()
            started = time.perf_counter()
            state = self._start(self._configuration.timeout_seconds)
            late_seconds = time.perf_counter() - started
        match state:
            case "ready":
                return None, late_seconds
            case "ended":
                return self._init_failure(), late_seconds
            case "late":
                return self._lost(Fault.TIMEOUT, 0.0), late_seconds

    def _not_started(self, error: OSError) -> InvokeResult:
        """The command cannot be run; in Lambda's words for a bootstrap that is missing or not executable."""
        message = f"Error: fork/exec {self._command[0]}: {(error.strerror or str(error)).lower()}"
        return InvokeResult(
            status=InvocationStatus.CRASHED,
            duration_ms=0.0,
            error=FunctionError(type="Runtime.InvalidEntrypoint", message=message),
        )

    def _start(self, timeout_seconds: float) -> Literal["ready", "late", "ended"]:
        """Start the process and wait until it asks for work."""
        api = RuntimeApi()
        lines = None if self._sink is None else LineOutput(self._sink)
        output = self._output if lines is None else lines.descriptor
        try:
            process = subprocess.Popen(  # noqa: S603 - the developer's own handler
                self._command,
                cwd=self._directory,
                env=self._environ(api),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for the event source, which ends its invocations first; and a kill takes grandchildren
                # along.
                start_new_session=True,
            )
        except OSError:
            api.close()
            if lines is not None:
                lines.close()
            raise
        guard().add(process.pid)
        if lines is not None:
            lines.started()
        self._api, self._process, self._lines = api, process, lines
        threading.Thread(target=_watch, args=(process, api, lines), name="lambda-process-watch", daemon=True).start()
        try:
            return "ready" if api.wait_ready(timeout_seconds) else "late"
        except RuntimeExitedError:
            return "ended"

    def _run(self, request: InvokeRequest, timeout_seconds: float) -> InvokeResult:
        api, process = self._api, self._process
        assert api is not None  # noqa: S101 - _init ran
        assert process is not None  # noqa: S101 - _init ran
        event = RuntimeEvent(
            request_id=request.request_id,
            payload=request.payload,
            deadline_ms=int((time.time() + timeout_seconds) * 1000),
            function_arn=self._configuration.arn,
            trace_header=request.trace_header,
        )
        started = time.perf_counter()
        try:
            answer = api.invoke(event, timeout_seconds, is_lost=self._is_over_its_memory)
        except RuntimeExitedError as exited:
            if not exited.took_event:
                raise
            return self._lost(Fault.CRASH, (time.perf_counter() - started) * 1000, exit_code=process.wait())
        duration_ms = (time.perf_counter() - started) * 1000
        if self._lines is not None:
            self._lines.flush()  # before whoever invoked it reports that it is over
        # Asked after an answer too: the kernel remembers a peak that was over between two looks.
        if self._is_over_its_memory():
            logger.warning(
                "%s used more than its %d MB and was killed; give it more, or let it hold less",
                self._configuration.name,
                self._configuration.memory_mb,
                extra={"action": "lambda_out_of_memory", "function_name": self._configuration.name},
            )
            return self._lost(Fault.OUT_OF_MEMORY, duration_ms)
        if answer is None:
            return self._lost(Fault.TIMEOUT, duration_ms)
        if answer.error is not None:
            return InvokeResult(status=InvocationStatus.ERROR, duration_ms=duration_ms, error=answer.error)
        return InvokeResult(status=InvocationStatus.SUCCEEDED, duration_ms=duration_ms, payload=answer.payload)

    def _is_over_its_memory(self) -> bool:
        """Whether the process used more than the function has. What it started itself is not counted."""
        assert self._process is not None  # noqa: S101 - _init ran
        peak = _peak_memory_mb(self._process.pid)
        if peak is None:
            return False
        # On Lambda there is never more to be seen than there is.
        self._peak_memory_mb = min(peak, self._configuration.memory_mb)
        return peak > self._configuration.memory_mb

    def _lost(self, fault: Fault, duration_ms: float, *, exit_code: int = 1) -> InvokeResult:
        self.end()
        return lost_result(fault, self._configuration, duration_ms, exit_code=exit_code)

    def _init_failure(self) -> InvokeResult:
        api, process = self._api, self._process
        assert api is not None  # noqa: S101 - _start ran
        assert process is not None  # noqa: S101 - _start ran
        if api.init_error is not None:
            return InvokeResult(status=InvocationStatus.ERROR, duration_ms=0.0, error=api.init_error)
        return self._lost(Fault.CRASH, 0.0, exit_code=process.wait())

    def _environ(self, api: RuntimeApi) -> dict[str, str]:
        """The environment variables that Lambda sets, and the user's over them."""
        configuration = self._configuration
        major, minor = sys.version_info[:2]
        return {
            **os.environ,
            "_HANDLER": self._handler,
            "AWS_REGION": configuration.region,
            "AWS_DEFAULT_REGION": configuration.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{major}.{minor}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": configuration.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": configuration.log_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d')}/[$LATEST]{secrets.token_hex(16)}",
            "LAMBDA_TASK_ROOT": str(self._directory),
            "TZ": ":UTC",
            **self._variables,
            "AWS_LAMBDA_RUNTIME_API": api.address,
        }


def _watch(process: subprocess.Popen[bytes], api: RuntimeApi, lines: LineOutput | None) -> None:
    process.wait()
    # What it started ends with it, as an execution environment ends on Lambda.
    if hasattr(os, "killpg"):
        end_group(process.pid)
    guard().discard(process.pid)
    if lines is not None:
        lines.close()
    api.process_ended()


def _peak_memory_mb(pid: int) -> int | None:
    """The process's highest resident megabytes, where the system shows it without a tool (Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return None
