"""The rules as a mixin: for a part of an app, whose findings are shown at the construct they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import jsii
from aws_cdk import Aspects, CfnResource, IAspect, Mixin, Stack, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from sqs_tasks_cdk.template_rules.checks import check
from sqs_tasks_cdk.template_rules.plugin import PLUGIN_NAME

#: After every aspect that changes something.
_LAST: Final = 1_000


class TaskRulesMixin(Mixin):
    """Checks the queues, event source mappings and functions that it is applied to, whoever made them.

    It changes nothing. Findings become warnings and errors of the construct when the app is synthesised, after all that
    is changed later. Acknowledgements are those of the plugin, ``SqsTasks::R2-visibility``, for errors too::

        Mixins.of(stack).apply(TaskRulesMixin())
    """

    def __init__(self) -> None:
        super().__init__()
        self._aspect = _Check()

    def supports(self, construct: IConstruct) -> bool:
        """Whether the rules have something to say of it."""
        return isinstance(construct, sqs.CfnQueue | lambda_.CfnEventSourceMapping | lambda_.CfnFunction)

    def apply_to(self, construct: IConstruct) -> None:
        """Have it checked."""
        Aspects.of(construct).add(cast("IAspect", self._aspect), priority=_LAST)


@jsii.implements(IAspect)
class _Check:
    def __init__(self) -> None:
        self._templates: dict[str, Mapping[str, Any]] = {}

    def visit(self, node: IConstruct) -> None:
        """Say what the rules say of one construct."""
        if not isinstance(node, CfnResource):
            return
        stack = Stack.of(node)
        template = self._templates.setdefault(stack.node.path, {}) or self._read(stack)
        logical_id = str(stack.resolve(node.logical_id))
        for one in check(template):
            if one.resource == logical_id and not _is_acknowledged(node, f"{PLUGIN_NAME}::{one.id}"):
                validations = Validations.of(node)
                say = validations.add_error if one.severity == "error" else validations.add_warning
                say(f"sqs-tasks:{one.id}", f"{node.node.path}: {one.text}")

    def _read(self, stack: Stack) -> Mapping[str, Any]:
        """The resources of a stack as its template has them in the end."""
        resources = {
            str(stack.resolve(one.logical_id)): {
                "Type": one.cfn_resource_type,
                # What the CDK itself makes the template of; it has no public name.
                "Properties": stack.resolve(one._render_properties(one._cfn_properties)),  # noqa: SLF001
            }
            for one in stack.node.find_all()
            if isinstance(one, CfnResource) and Stack.of(one).node.path == stack.node.path
        }
        self._templates[stack.node.path] = template = {"Resources": resources}
        return template


def _is_acknowledged(node: IConstruct, finding: str) -> bool:
    key = Validations.ACKNOWLEDGED_RULES_METADATA_KEY
    return any(
        finding in _ids(entry.data) for scope in node.node.scopes for entry in scope.node.metadata if entry.type == key
    )


def _ids(data: Any) -> set[str]:
    """The ids in the metadata of acknowledgements, whose form is the CDK's own: an object of ids and reasons."""
    return set(data) if isinstance(data, Mapping) else set()
