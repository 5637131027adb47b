"""Manifests as ``env.manifest()`` writes them, with what a test needs changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def task(name: str = "send_email", **changes: Any) -> dict[str, Any]:
    """A task."""
    return {
        "name": name,
        "aliases": [],
        "timeout_seconds": 30,
        "max_attempts": 5,
        "max_age_seconds": None,
        "enqueues": [],
        **changes,
    }


def schedule(name: str = "emails.send_email", **changes: Any) -> dict[str, Any]:
    """A schedule: every night at two."""
    job_id = {"DataType": "String", "StringValue": f"{name}@<aws.scheduler.scheduled-time>"}
    return {
        "name": name,
        "expression": "cron(0 2 * * ? *)",
        "timezone": "Europe/Berlin",
        "enabled": True,
        "start": None,
        "end": None,
        "flexible_minutes": None,
        "late_seconds": None,
        "overlap": "allow",
        "period_seconds": 86_400,
        "request": {"MessageBody": "{}", "MessageAttributes": {"JobId": job_id}},
        **changes,
    }


def queue(name: str = "emails", *, prefix: str = "shop-", **changes: Any) -> dict[str, Any]:
    """A standard queue with a task and a dead-letter queue; FIFO when the name ends so."""
    fifo = name.endswith(".fifo")
    stem = name.removesuffix(".fifo")
    suffix = ".fifo" if fifo else ""
    return {
        "name": name,
        "queue_name": f"{prefix}{name}",
        "kind": "job",
        "fifo": fifo,
        "content_based_deduplication": False,
        "delay_seconds": 0,
        "visibility_timeout_seconds": None,
        "message_retention_seconds": 345_600,
        "max_receive_count": 8,
        "dead_letter_queue": {"name": f"{stem}_dead{suffix}", "queue_name": f"{prefix}{stem}_dead{suffix}"},
        "runs_on": "lambda",
        "tasks": [task()],
        **changes,
    }


def manifest(*queues: dict[str, Any], prefix: str = "shop-", app: str | None = "shop.tasks:env") -> dict[str, Any]:
    """A registry of these queues, or of one."""
    found: Sequence[dict[str, Any]] = queues or (queue(prefix=prefix),)
    return {
        "schema_version": 1,
        "sqs_tasks_version": "0.1.0",
        "app": app,
        "queue_prefix": prefix,
        "queues": list(found),
    }
