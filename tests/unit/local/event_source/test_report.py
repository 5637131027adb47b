"""The REPORT line, and the header that carries a chain's lineage (S36)."""

from __future__ import annotations

import random

import pytest

from sqs_tasks.local.event_source.lineage import lineage_count, next_trace_header
from sqs_tasks.local.function.invocation import FunctionError, InvocationReport, InvocationStatus

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


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
    assert str(report(status=status, error_type=error_type)).endswith(f"\t{ending}")


def test_unknown_memory_is_left_out():
    assert "Max Memory Used" not in str(report(max_memory_used_mb=None))


def test_function_error_reads_like_the_log():
    error = FunctionError(type="ValueError", message="no", stack_trace=('  File "a.py", line 1, in f\n    g()\n',))

    assert str(error) == (
        '[ERROR] ValueError: no\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    g()'
    )


def test_lineage_grows_by_one_with_each_invocation_s36():
    """The root stays, the parent changes, and this function's count grows."""
    rng = random.Random(1)
    first = next_trace_header(None, ARN, now=0, rng=rng)
    second = next_trace_header(first, ARN, now=0, rng=rng)

    assert (lineage_count(first, ARN), lineage_count(second, ARN)) == (1, 2)
    assert first.split(";")[0] == second.split(";")[0]
    assert first.split(";")[1] != second.split(";")[1]


def test_lineage_counts_each_function_for_itself_s36():
    header = next_trace_header(None, ARN, now=0, rng=random.Random(1))
    header = next_trace_header(header, ARN + "-other", now=0, rng=random.Random(1))

    assert lineage_count(header, ARN) == 1
    assert lineage_count(header, ARN + "-other") == 1


@pytest.mark.parametrize("header", [None, "", "Root=1-a-b", "Lineage=", "Lineage=x", "nonsense", "Lineage=a:b|:3"])
def test_header_without_a_lineage_counts_nothing_s36(header):
    assert lineage_count(header, ARN) == 0
