"""The variables of a function or container that are set here, beside those that its author set.

A value of the author's is never replaced: what was set before is refused here, and what is set later when the app is
synthesised.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import jsii
from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IValidation

from sqs_tasks_cdk.errors import StackError

#: jsii keeps no Python object alive by itself, and what is found again in the tree must be this object, not a proxy.
_ALIVE: list[TargetVariables] = []


@runtime_checkable
class HasEnvironment(Protocol):
    """What can be given environment variables: a Lambda function, an ECS container."""

    @property
    def node(self) -> Any:
        """The construct's place in the tree."""

    def add_environment(self, name: str, value: str, /) -> Any:
        """Set a variable, replacing its former value."""


@jsii.implements(IValidation)
class TargetVariables(Construct):
    """The variables that one function or container gets from here; a child of it.

    Use :meth:`of`, never the constructor.
    """

    def __init__(self, scope: Construct, construct_id: str, *, target: HasEnvironment) -> None:
        super().__init__(scope, construct_id)
        self._target = target
        self._ours: dict[str, tuple[str, str]] = {}
        self.node.add_validation(self)
        _ALIVE.append(self)

    @staticmethod
    def of(target: HasEnvironment) -> TargetVariables:
        """Those of this function or container, none at first."""
        found = target.node.try_find_child("SqsTasksVariables")
        if isinstance(found, TargetVariables):
            return found
        scope: Any = target  # every jsii construct with a node is one
        return TargetVariables(scope, "SqsTasksVariables", target=target)

    def set(self, name: str, value: str, *, instead: str) -> None:
        """Set a variable.

        Args:
            name: Its name.
            value: Its value, in place of one that was set here before.
            instead: What decides the value, for the error.

        Raises:
            StackError: The function or container has another value, which was not set here.
        """
        if name not in self._ours:
            theirs, ours = variables_of(self._target).get(name), Stack.of(self).resolve(value)
            if theirs not in (None, ours):
                raise StackError(self._text(name, theirs, ours, instead))
        self._ours[name] = (value, instead)
        self._target.add_environment(name, value)

    def validate(self) -> list[str]:
        """What of ours was replaced after it was set, for the CDK to refuse."""
        stack, there = Stack.of(self), variables_of(self._target)
        return [
            self._text(name, there[name], ours, instead)
            for name, (value, instead) in self._ours.items()
            if name in there and there[name] != (ours := stack.resolve(value))
        ]

    def _text(self, name: str, theirs: Any, ours: Any, instead: str) -> str:
        path = str(self.node.path).rpartition("/")[0]
        return (
            f"{path!r} has the variable {name} with {theirs!r}, and its queues need {ours!r}; leave the variable out "
            f"of its environment, because it is set by {instead}"
        )


def variables_of(target: Any) -> dict[str, Any]:
    """The variables of a function or container of this app, as far as the CDK shows them; values may be intrinsic."""
    if isinstance(target, lambda_.Function):
        resource = target.node.default_child
        if not isinstance(resource, lambda_.CfnFunction):
            return {}
        # The property itself arrives empty when it is not known yet, as those of a function are until the synth.
        lazy = resource._cfn_properties.get("environment")  # noqa: SLF001  # it has no public name
        resolved = Stack.of(target).resolve(lazy)
        return dict(resolved.get("variables") or {}) if isinstance(resolved, dict) else {}
    if isinstance(target, ecs.ContainerDefinition):
        pairs = Stack.of(target).resolve(target.render_container_definition().environment) or []
        return {pair["name"]: pair.get("value") for pair in pairs}
    return {}
