"""The REPORT line of an invocation, and the text of a function's error."""

from __future__ import annotations

import pytest

from sqs_tasks.local.function.invocation import FunctionError, InvocationReport, InvocationStatus


def report(**changes):
    return InvocationReport(
        **{
            "request_id": "r-1",
            "status": InvocationStatus.SUCCEEDED,
            "duration_ms": 12.345,
            "memory_size_mb": 128,
            "max_memory_used_mb": 40,
            **changes,
        }
    )


def test_report_of_a_warm_invocation_reads_like_cloudwatch():
    """The line has Lambda's fields, in its order."""
    assert str(report()) == (
        "REPORT RequestId: r-1\tDuration: 12.35 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB"
    )


def test_cold_start_is_reported_and_billed():
    """Since August 2025 the init duration is part of the billed duration."""
    line = str(report(init_duration_ms=100.5))

    assert "Billed Duration: 113 ms" in line
    assert line.endswith("\tInit Duration: 100.50 ms")


@pytest.mark.parametrize(
    ("status", "error_type", "ending"),
    [
        (InvocationStatus.TIMED_OUT, "Sandbox.Timedout", "Status: timeout"),
        (InvocationStatus.CRASHED, "Runtime.ExitError", "Status: error\tError Type: Runtime.ExitError"),
        (InvocationStatus.OUT_OF_MEMORY, "Runtime.OutOfMemory", "Status: error\tError Type: Runtime.OutOfMemory"),
    ],
)
def test_lost_invocation_says_how_it_was_lost(status, error_type, ending):
    """Timeout, crash and memory stand at the end of the line."""
    assert str(report(status=status, error_type=error_type)).endswith(f"\t{ending}")


def test_unknown_memory_is_left_out():
    """What was not measured is not reported."""
    assert "Max Memory Used" not in str(report(max_memory_used_mb=None))


def test_function_error_reads_like_the_log():
    """An error prints as it does in CloudWatch."""
    error = FunctionError(type="ValueError", message="no", stack_trace=('  File "a.py", line 1, in f\n    g()\n',))

    assert str(error) == (
        '[ERROR] ValueError: no\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    g()'
    )
