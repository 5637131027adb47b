"""Stages of a registry: the same queues under other names, beside each other in one account.

The names are those that the runtime makes of the two variables below, so that a worker finds its queues by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.manifest import Manifest, ManifestDeadLetterQueue, ManifestQueue

#: The stage that a process belongs to, and the prefix in place of the one in its code.
STAGE_VARIABLE: Final = "SQS_TASKS_STAGE"
PREFIX_VARIABLE: Final = "SQS_TASKS_QUEUE_PREFIX"

_STAGE: Final = re.compile(r"[A-Za-z0-9_-]+")


def staged(manifest: Manifest, *, stage: str | None, queue_prefix: str | None) -> Manifest:
    """The registry in a stage: ``shop-emails`` becomes ``shop-dev-emails``.

    Queues that are registered by their URLs keep their names: they are there already.

    Args:
        manifest: The registry, as it was written.
        stage: The stage; None or empty for none, or for the one that the manifest was written for.
        queue_prefix: What names begin with in place of the registry's own prefix; None for that.

    Raises:
        StackError: The manifest is of another stage, or the stage cannot be part of a name.
        RuleError: R7; a name becomes too long.
    """
    stage = stage or manifest.stage
    if stage is not None and _STAGE.fullmatch(stage) is None:
        raise StackError(
            f"stage {stage!r} cannot be part of a queue's name; use letters, digits, '-' and '_', as in 'dev'"
        )
    if manifest.stage not in (None, stage):
        raise StackError(
            f"stage {stage!r} for a manifest that was written for stage {manifest.stage!r}; leave one of them out, or "
            f"write the manifest without {STAGE_VARIABLE}"
        )
    before, given_prefix = manifest.queue_prefix, queue_prefix if queue_prefix is not None else manifest.given_prefix
    own = before if manifest.stage is None else before.removesuffix(f"{stage}-")
    prefix = f"{own if given_prefix is None else given_prefix}{'' if stage is None else f'{stage}-'}"
    return replace(
        manifest,
        stage=stage,
        queue_prefix=prefix,
        given_prefix=given_prefix,
        queues=tuple(_renamed(queue, before, prefix) for queue in manifest.queues),
    )


def stage_variables(manifest: Manifest) -> dict[str, str]:
    """What a process must have in its environment to call the queues as the stack does."""
    variables = {STAGE_VARIABLE: manifest.stage, PREFIX_VARIABLE: manifest.given_prefix}
    return {name: value for name, value in variables.items() if value}


def check_same_stage(manifest: Manifest, *, stage: str | None, queue_prefix: str | None) -> None:
    """Refuse workers of another stage than their queues, which would look for queues that are not there.

    Raises:
        StackError: The queues say another stage or prefix, or none.
    """
    said = (("stage", stage, manifest.stage), ("queue_prefix", queue_prefix, manifest.given_prefix))
    for name, of_workers, of_queues in said:
        if of_workers is not None and of_workers != of_queues:
            raise StackError(
                f"{name}={of_workers!r} for workers whose queues have {name}={of_queues!r}; workers find queues by "
                f"their names: give {name}= to the TaskQueues, and leave it out here"
            )


def check_environment(environment: Mapping[str, str] | None) -> None:
    """Refuse a worker's environment that says another stage than the stack.

    Raises:
        StackError: It sets one of the two variables.
    """
    for name, instead in ((STAGE_VARIABLE, "stage="), (PREFIX_VARIABLE, "queue_prefix=")):
        if name in (environment or {}):
            raise StackError(f"environment sets {name}, which must agree with the names in the stack; use {instead}")


def _renamed(queue: ManifestQueue, before: str, prefix: str) -> ManifestQueue:
    dead = queue.dead_letter_queue
    if dead is not None and dead.queue_url is None and queue.queue_url is None:
        dead = replace(dead, queue_name=_name(dead, before, prefix))
    if queue.queue_url is not None:
        return queue
    return replace(queue, queue_name=_name(queue, before, prefix), dead_letter_queue=dead)


def _name(queue: ManifestQueue | ManifestDeadLetterQueue, before: str, prefix: str) -> str:
    name = prefix + queue.queue_name.removeprefix(before)
    if len(name) > limits.MAX_QUEUE_NAME_CHARS:
        raise RuleError(
            "R7",
            f"queue {queue.name!r} would be named {name!r}, which has {len(name)} characters; SQS allows "
            f"{limits.MAX_QUEUE_NAME_CHARS}, '.fifo' included; shorten the stage, the prefix or the name",
        )
    return name
