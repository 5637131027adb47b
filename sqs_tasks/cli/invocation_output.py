"""What ``sqs-tasks invoke`` prints: a report of each invocation, beside what the function itself writes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from sqs_tasks.local.event_source.statistics import EventSourceStatistics
from sqs_tasks.local.function.invocation import Invocation, InvocationStatus

#: How the counters that are nouns are called when they count one.
_SINGULAR = {
    "throttles": "throttle",
    "invocations": "invocation",
    "cold_starts": "cold start",
    "errors": "error",
    "timeouts": "timeout",
    "crashes": "crash",
    "records": "record",
    "duplicates": "duplicate",
}

_STANDARD_OUTPUT = 1


class InvocationOutput:
    """Prints reports on standard output, and the function's own lines there too, or beside it.

    Lines and reports are each written in one piece, whoever writes them. With JSON, standard output holds one object a
    line and nothing else: the function writes to standard error.

    Args:
        as_json: Print JSON, and not what CloudWatch's log would show.
        show_errors: Print the error of a function that failed; one in a process of its own has printed it itself.
    """

    def __init__(self, *, as_json: bool, show_errors: bool) -> None:
        self._as_json = as_json
        self._show_errors = show_errors
        self._lock = threading.Lock()
        self._reports: TextIO = sys.stdout
        self._written: _Written | None = None

    def __call__(self, invocation: Invocation) -> None:
        """Print the report of an invocation."""
        text = _as_json(invocation) if self._as_json else self._as_text(invocation)
        with self._lock:
            if self._written is not None:
                self._written.end_line()
            if text:
                click.echo(text, file=self._reports)

    def function_wrote(self, lines: bytes) -> None:
        """Print whole lines of the function."""
        with self._lock:
            stream = sys.stderr if self._as_json else self._reports
            click.echo(lines.decode("utf-8", errors="replace"), nl=False, file=stream)

    @contextmanager
    def of_this_process(self) -> Iterator[None]:
        """While the block runs, treat what this process writes as the function's: a handler may run in it."""
        with contextlib.ExitStack() as stack:
            if self._as_json:
                self._reports = stack.enter_context(_standard_output_apart())
            self._written = _Written(sys.stderr if self._as_json else sys.stdout)
            stack.enter_context(contextlib.redirect_stdout(self._written))
            stack.callback(self._written.end_line)
            yield

    def _as_text(self, invocation: Invocation) -> str:
        """An invocation as CloudWatch's log would show it, and what became of the records."""
        lines = []
        if invocation.error and (self._show_errors or invocation.status is not InvocationStatus.ERROR):
            lines.append(str(invocation.error))
        if invocation.status is not InvocationStatus.THROTTLED:
            lines.append(str(invocation.report))
            lines.append(
                f"{_counted(len(invocation.records), 'record')}: "
                f"{len(invocation.deleted)} deleted, {len(invocation.failed)} left"
                + "".join(f"\n  {message_id}" for message_id in sorted(invocation.failed))
            )
        return "\n".join(lines)


class _Written(io.TextIOBase):
    """A stream that knows whether its last line is complete."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._complete = True

    def write(self, text: str) -> int:
        """Write the text."""
        if text:
            self._complete = text.endswith("\n")
        return self.stream.write(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        self.stream.flush()

    def end_line(self) -> None:
        """Complete the last line."""
        if not self._complete:
            self.write("\n")
        self.flush()


@contextmanager
def _standard_output_apart() -> Iterator[TextIO]:
    """The standard output, which from now on nobody else writes to: also not C code, nor what a handler starts."""
    if not _is_descriptor(sys.stdout, _STANDARD_OUTPUT):
        yield sys.stdout  # something that is not the process's own, as in a test
        return
    sys.stdout.flush()
    ours = os.dup(_STANDARD_OUTPUT)
    os.dup2(sys.stderr.fileno(), _STANDARD_OUTPUT)
    try:
        with os.fdopen(os.dup(ours), "w", encoding="utf-8") as stream:
            yield stream
    finally:
        os.dup2(ours, _STANDARD_OUTPUT)
        os.close(ours)


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False


def summary(statistics: EventSourceStatistics) -> str:
    """A line that says how much was polled, invoked, deleted and left."""
    counts = {name: getattr(statistics, name) for name in EventSourceStatistics.__dataclass_fields__}
    always = ("invocations", "records", "deleted", "failed")
    shown = {name: count for name, count in counts.items() if name in always or (count and name != "polls")}
    named = (f"{count} {_SINGULAR.get(name, name) if count == 1 else name}" for name, count in shown.items())
    return ", ".join(named).replace("_", " ")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _as_json(invocation: Invocation) -> str:
    report = invocation.report
    fields: dict[str, Any] = {
        "requestId": invocation.request_id,
        "status": invocation.status.value,
        "attempt": invocation.attempt,
        "records": list(invocation.message_ids),
        "deleted": sorted(invocation.deleted),
        "failed": sorted(invocation.failed),
        "durationMs": round(report.duration_ms, 3),
        "billedDurationMs": report.billed_duration_ms,
        "memorySizeMB": report.memory_size_mb,
    }
    if report.max_memory_used_mb is not None:
        fields["maxMemoryUsedMB"] = report.max_memory_used_mb
    if report.init_duration_ms is not None:
        fields["initDurationMs"] = round(report.init_duration_ms, 3)
    if invocation.error is not None:
        fields["error"] = {"type": invocation.error.type, "message": invocation.error.message}
    if invocation.complete_failure is not None:
        fields["completeFailure"] = invocation.complete_failure
    return json.dumps(fields)
