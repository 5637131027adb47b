"""The deduplication id of a job by its content: one id for one task with one set of arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqs_tasks.codecs import CodecRegistry
from sqs_tasks.errors import SerializationError


def content_id(job_name: str, job_kwargs: Mapping[str, Any], body: str, codecs: CodecRegistry) -> str:
    """The id of a job.

    Equal arguments have one id, in whatever order they were given, and whether or not the sender has the task: it is
    made of their JSON with all names sorted. Only arguments that JSON cannot carry are known by their body.

    Args:
        job_name: The task's name; two tasks with equal arguments are two jobs.
        job_kwargs: The arguments.
        body: The body of the message.
        codecs: The environment's codecs.
    """
    try:
        text = json.dumps(_sorted(json.loads(codecs.get("json").serialize(job_kwargs))), sort_keys=True)
    except SerializationError:
        text = body
    return hashlib.sha256(f"{job_name}\0{text}".encode()).hexdigest()


def _sorted(value: Any) -> Any:
    """The value with the pairs of its ``$dict`` tags in an order of their own; that of an equal dict may differ."""
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if not isinstance(value, dict):
        return value
    items = {name: _sorted(item) for name, item in value.items()}
    if items.keys() == {"$dict"} and isinstance(items["$dict"], list):
        items["$dict"].sort(key=lambda pair: json.dumps(pair, sort_keys=True))
    return items
