"""Tasks of Django's own framework, and one of the library's."""

from __future__ import annotations

from typing import Any

from sqs_tasks import Reject
from sqs_tasks.integrations.django import framework

from .sqs import env

task: Any = framework.part().task

#: What tasks were called with.
calls: list[Any] = []


@task
def greet(name, *, greeting="Hello"):
    """Say something."""
    calls.append(f"{greeting}, {name}")
    return len(name)


@task()
async def greet_async(name):
    calls.append(f"async {name}")
    return calls[-1]


@task(takes_context=True)
def with_context(context, number):
    calls.append((context.task_result, context.attempt, number))
    if number < 0:
        raise ValueError("negative")


@task
def failing(what="failed"):
    raise {"exit": SystemExit, "key": KeyError}.get(what, ValueError)(what)


@task
def rejecting():
    raise Reject("no")


@task
def opaque():
    return lambda: True


@task(queue_name="anything", backend="anywhere")
def wanderer():
    calls.append("wanderer")


@env.processor("emails", "send_email")
def send_email(to: str) -> None:
    calls.append(to)
