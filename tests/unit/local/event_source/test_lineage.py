"""The trace header that carries a chain's lineage (S36)."""

from __future__ import annotations

import random

import pytest

from sqs_tasks.local.event_source.lineage import lineage_count, next_trace_header

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


def test_lineage_grows_by_one_with_each_invocation_s36():
    """The root stays, the parent changes, and this function's count grows."""
    rng = random.Random(1)
    first = next_trace_header(None, ARN, now=0, rng=rng)
    second = next_trace_header(first, ARN, now=0, rng=rng)

    assert (lineage_count(first, ARN), lineage_count(second, ARN)) == (1, 2)
    assert first.split(";")[0] == second.split(";")[0]
    assert first.split(";")[1] != second.split(";")[1]


def test_lineage_counts_each_function_for_itself_s36():
    """Two functions in one chain have a count each."""
    header = next_trace_header(None, ARN, now=0, rng=random.Random(1))
    header = next_trace_header(header, ARN + "-other", now=0, rng=random.Random(1))

    assert lineage_count(header, ARN) == 1
    assert lineage_count(header, ARN + "-other") == 1


@pytest.mark.parametrize("header", [None, "", "Root=1-a-b", "Lineage=", "Lineage=x", "nonsense", "Lineage=a:b|:3"])
def test_header_without_a_lineage_counts_nothing_s36(header):
    """A foreign or broken header counts as no invocation."""
    assert lineage_count(header, ARN) == 0
