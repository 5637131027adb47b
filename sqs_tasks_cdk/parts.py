"""Nested stacks for a registry that does not fit in one stack.

A stack holds 500 resources. Queues stay in the stack itself in any case: a queue that moved to another stack would be
deleted there and made here, and its name is taken meanwhile. Workers and alarms have nothing to lose, so they go to
nested stacks when there is no room. Which of them is decided by the name of the queue alone, so that a queue that is
added or removed moves no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from aws_cdk import Annotations, CfnResource, NestedStack, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sqs_tasks_cdk.manifest import ManifestQueue

#: Resources of a stack at most.
MAX_RESOURCES: Final = 500

#: Resources from which on it is said that there is not much room.
_NEARLY_FULL: Final = 450

#: Resources of a queue: itself and its policy.
RESOURCES_OF_A_QUEUE: Final = 2

#: Resources of a function and of a service at least.
RESOURCES_OF_A_FUNCTION, RESOURCES_OF_A_SERVICE = 5, 14

#: Nested stacks that workers are spread over: with 120 queues, which is what fits into the stack itself, some 15 each.
PARTS: Final = 8


class Parts:
    """Nested stacks, made when they are needed.

    Args:
        scope: The parent.
        stem: What their ids begin with.
    """

    def __init__(self, scope: Construct, stem: str) -> None:
        self._scope = scope
        self._stem = stem
        self._made: dict[int, NestedStack] = {}
        self._codes: dict[tuple[str, int], lambda_.Code] = {}
        self._assets: dict[int, tuple[lambda_.Code, lambda_.CodeConfig]] = {}

    def of(self, queue_name: str) -> NestedStack:
        """Where what belongs to a queue of that logical name goes."""
        number = hashlib.sha256(queue_name.encode()).digest()[0] % PARTS + 1
        if number not in self._made:
            self._made[number] = NestedStack(self._scope, f"{self._stem}{number}")
        return self._made[number]

    def code(self, part: Construct, code: lambda_.Code) -> lambda_.Code:
        """The same code for functions in a nested stack: the CDK lets uploaded code be used in one stack only."""
        if not isinstance(code, lambda_.AssetCode):
            return code
        if id(code) not in self._assets:
            holder = Construct(self._scope, f"Code{len(self._assets) + 1}")
            self._assets[id(code)] = (code, code.bind(holder))
        location = self._assets[id(code)][1].s3_location
        if location is None:
            return code
        key = (part.node.path, id(code))
        if key not in self._codes:
            bucket = s3.Bucket.from_bucket_name(part, f"Bucket{len(self._codes) + 1}", location.bucket_name)
            # The key is a hash of the code, so other code is another key.
            Annotations.of(bucket).acknowledge_warning(
                "@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified", "The key of the code is its hash"
            )
            self._codes[key] = lambda_.Code.from_bucket_v2(bucket, location.object_key)
        return self._codes[key]


def depend_on(part: NestedStack, resource: CfnResource | None) -> None:
    """Make a nested stack wait for a resource that it knows by name only."""
    nested = part.nested_stack_resource
    if resource is not None and nested is not None:
        nested.add_resource_dependency(resource)


def are_needed(
    scope: Construct, worked: Sequence[ManifestQueue], *, existing_functions: int, split: bool | None
) -> bool:
    """Whether the workers of a registry need nested stacks, because they do not fit in their stack otherwise.

    Args:
        scope: The workers.
        worked: The queues that get a worker.
        existing_functions: Queues whose function is there already.
        split: What the user says; None to decide by the numbers.
    """
    if split is not None:
        return split
    services = sum(queue.runs_on == "fargate" for queue in worked)
    functions = sum(queue.runs_on == "lambda" for queue in worked) - existing_functions
    least = services * RESOURCES_OF_A_SERVICE + functions * RESOURCES_OF_A_FUNCTION + existing_functions
    stack = Stack.of(scope)
    if len(worked) * 4 + least <= _NEARLY_FULL / 2:
        return False
    total = least + sum(isinstance(one, CfnResource) and Stack.of(one) is stack for one in stack.node.find_all())
    if total <= MAX_RESOURCES:
        if total > _NEARLY_FULL:
            Annotations.of(scope).add_info(
                f"This stack has {total} of {MAX_RESOURCES} resources. When they are more, workers go to nested "
                "stacks: functions, roles and log groups are then made anew there, and queues stay where they are."
            )
        return False
    Annotations.of(scope).add_warning_v2(
        "sqs-tasks:split",
        f"Workers and queues of this registry are {total} resources, and a stack holds {MAX_RESOURCES}: the workers "
        "are in nested stacks. Queues and messages stay where they are. If the stack was deployed when all of it "
        "fitted, this deployment makes its functions, services, roles and log groups anew in the nested stacks and "
        "removes the former ones. Say split=True to confirm it.",
    )
    return True
