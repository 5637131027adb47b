"""The lineage in the trace header, by which Lambda finds functions that feed themselves (S36)."""

from __future__ import annotations

import hashlib
import random
import re

#: Invocations of one function in one chain of requests, after which Lambda stops the chain.
MAX_LINEAGE = 16

_FIELDS = re.compile(r"\s*;\s*")


def lineage_count(trace_header: str | None, function_arn: str) -> int:
    """How often this function was already invoked in the chain of requests that led to a message.

    0 without a header, or when the sender did not pass its header on.
    """
    return _lineage(trace_header).get(_function_hash(function_arn), 0)


def next_trace_header(trace_header: str | None, function_arn: str, *, now: float, rng: random.Random) -> str:
    """The X-Ray header of the next invocation: the same root, a new parent, and this function counted once more."""
    lineage = _lineage(trace_header)
    key = _function_hash(function_arn)
    lineage[key] = lineage.get(key, 0) + 1
    root = _fields(trace_header).get("Root") or f"1-{int(now):08x}-{rng.getrandbits(96):024x}"
    counts = "|".join(f"{name}:{count}" for name, count in lineage.items())
    return f"Root={root};Parent={rng.getrandbits(64):016x};Sampled=0;Lineage={counts}"


def _function_hash(function_arn: str) -> str:
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]


def _fields(trace_header: str | None) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in _FIELDS.split(trace_header or ""))
    return {name: value for name, separator, value in pairs if separator}


def _lineage(trace_header: str | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in _fields(trace_header).get("Lineage", "").split("|"):
        name, _, count = entry.rpartition(":")
        if name and count.isdigit():
            counts[name] = int(count)
    return counts
