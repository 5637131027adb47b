"""What a stack knows of another one without an export: an order of deploys, and the ARN of a customer's key.

An export ties two stacks together: CloudFormation changes nothing that is exported and in use (R9). Names need no
export. A key has no name, so its ARN goes through Parameter Store, where each deploy of the other stack looks it up.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import Stack, Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from sqs_tasks_cdk.errors import RuleError


def are_apart(one: Construct, other: Construct) -> bool:
    """Whether two constructs are deployed by different stacks, between which a reference would be an export."""
    return _root(one) is not _root(other)


def deploy_after(later: Construct, earlier: Construct) -> None:
    """Have the stack of ``later`` deployed after that of ``earlier``, unless it is already the other way round."""
    first, then = _root(earlier), _root(later)
    if first is not then and not _depends(first, on=then):
        then.add_stack_dependency(first)


def key_arn_in(scope: Construct, key: kms.IKey, *, home: Construct) -> str:
    """The ARN of a key as the stack of ``scope`` may use it, by a parameter in the stack of ``home`` if need be.

    Raises:
        RuleError: R9; the stacks are in different accounts or regions, and the key has no ARN that is known at synth.
    """
    arn = key.key_arn
    if not Token.is_unresolved(arn) or not isinstance(key, kms.Key) or not are_apart(scope, key):
        return arn
    stack, there = _root(home), Stack.of(scope)
    if (stack.account, stack.region) != (there.account, there.region):
        raise RuleError(
            "R9",
            f"the key {key.node.path!r} is made in this app, and a stack of another account or region can know it by "
            "its ARN alone; give the queue kms.Key.from_key_arn(...)",
        )
    name = f"/sqs-tasks/{stack.stack_name}/{key.node.addr}"
    construct_id = f"SqsTasksKey-{key.node.addr}"
    if stack.node.try_find_child(construct_id) is None:
        ssm.StringParameter(
            stack,
            construct_id,
            parameter_name=name,
            string_value=arn,
            description=f"The ARN of {key.node.path}, for stacks whose workers and producers use its queues",
        )
    return ssm.StringParameter.value_for_string_parameter(there, name)


def _root(construct: Construct) -> Stack:
    """The stack that deploys a construct; nested stacks are deployed by the one around them."""
    stack: Any = Stack.of(construct)
    while stack.nested_stack_parent is not None:
        stack = stack.nested_stack_parent
    return stack  # type: ignore[no-any-return]  # what Stack.of() gives


def _depends(stack: Stack, *, on: Stack) -> bool:
    waiting, seen = [stack], []
    while waiting:
        one = waiting.pop()
        if one is on:
            return True
        if one not in seen:
            seen.append(one)
            waiting.extend(one.dependencies)
    return False
