"""Answers to cdk-nag for what is ours and cannot be otherwise, and for nothing that users add beside it (C10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

import jsii
from aws_cdk import Acknowledgment, Aspects, IAspect, Stack, Validations
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import IConstruct

#: The finding of a statement that is for all resources.
ALL_RESOURCES: Final = "AwsSolutions::AwsSolutions-IAM5[Resource::*]"

#: The finding of variables whose values stand in a task definition.
PLAIN_VARIABLES: Final = "AwsSolutions::AwsSolutions-ECS2"


def acknowledge(construct: IConstruct, *ids: str, reason: str) -> None:
    """Say why a finding on a construct, or on what lies below it, is as it should be."""
    Validations.of(construct).acknowledge(*(Acknowledgment(id=one, reason=reason) for one in ids))


def allow_on_all_resources(
    role: iam.IRole,
    actions: Sequence[str],
    *,
    conditions: Mapping[str, Any] | None = None,
    is_ours: bool = True,
    reason: str,
) -> None:
    """Let a role of this app do what names no resource.

    The statement stands in the role itself and the finding is acknowledged there. In the role's policy, where grants
    go, the acknowledgement would cover what users add. A role of the user has its own inline policies, which are left
    alone: there it goes to the policy, and the user answers for it.
    """
    statement = iam.PolicyStatement(actions=list(actions), resources=["*"], conditions=conditions)
    if not is_ours:
        role.add_to_principal_policy(statement)
        return
    resource = cast("iam.CfnRole", role.node.default_child)
    resource.policies = [
        iam.CfnRole.PolicyProperty(
            policy_name="AllResources", policy_document=iam.PolicyDocument(statements=[statement])
        )
    ]
    acknowledge(resource, ALL_RESOURCES, "Serverless::Serverless-LambdaStarPermissions", reason=reason)


def acknowledge_actions(scope: IConstruct, actions: Collection[str], *, reason: str) -> None:
    """Acknowledge policies below ``scope`` that in the end allow these actions on all resources, and no others."""
    Aspects.of(scope).add(cast("IAspect", _AnswerPolicies(actions, reason)))


def acknowledge_variables(scope: IConstruct, names: Collection[str], *, reason: str) -> None:
    """Acknowledge task definitions below ``scope`` that in the end have these variables, and no others.

    Variables that begin with ``SQS_TASKS_`` are ours: grants and schedules add some.
    """
    Aspects.of(scope).add(cast("IAspect", _AnswerTaskDefinitions(names, reason)))


@jsii.implements(IAspect)
class _AnswerPolicies:
    def __init__(self, actions: Collection[str], reason: str) -> None:
        self._actions = actions
        self._reason = reason

    def visit(self, node: IConstruct) -> None:
        """Look at one construct of the tree."""
        if isinstance(node, iam.CfnPolicy):
            document: Mapping[str, Any] = Stack.of(node).resolve(node.policy_document)
            for_all = [statement for statement in document["Statement"] if "*" in statement["Resource"]]
            if {action for statement in for_all for action in _listed(statement["Action"])} <= set(self._actions):
                acknowledge(node, ALL_RESOURCES, reason=self._reason)


@jsii.implements(IAspect)
class _AnswerTaskDefinitions:
    def __init__(self, names: Collection[str], reason: str) -> None:
        self._names = names
        self._reason = reason

    def visit(self, node: IConstruct) -> None:
        """Look at one construct of the tree."""
        if isinstance(node, ecs.CfnTaskDefinition):
            containers: list[Mapping[str, Any]] = Stack.of(node).resolve(node.container_definitions)
            names = {variable["name"] for one in containers for variable in one.get("environment", ())}
            if {name for name in names if not name.startswith("SQS_TASKS_")} <= set(self._names):
                acknowledge(node, PLAIN_VARIABLES, reason=self._reason)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
