"""What the role of a function may do on queues, as far as a template says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from sqs_tasks_cdk.template_rules import values
from sqs_tasks_cdk.template_rules.template import Function, Queue, Template

#: Managed policies of AWS that say nothing of SQS.
_WITHOUT_SQS: Final = (
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaVPCAccessExecutionRole",
    "AWSXRayDaemonWriteAccess",
    "CloudWatchLambdaInsightsExecutionRolePolicy",
)

_POLICIES: Final = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")


def missing_actions(template: Template, function: Function, queue: Queue, actions: tuple[str, ...]) -> list[str]:
    """The actions that a function's role does not have on a queue; none where the template does not say it all.

    A statement for a resource that is not known counts: it may be the queue.
    """
    statements = _statements(template, function)
    if statements is None:
        return []
    allowing = [
        one for one in statements if one.get("Effect") == "Allow" and _may_mean(template, one.get("Resource"), queue)
    ]
    granted = [str(action) for one in allowing for action in _listed(one.get("Action", "*"))]
    return [
        action for action in actions if not any(fnmatchcase(action.lower(), pattern.lower()) for pattern in granted)
    ]


def _statements(template: Template, function: Function) -> list[Mapping[str, Any]] | None:
    """Every statement of a function's role; None when some of them are not in the template."""
    role_id = values.referenced(function.properties.get("Role"))
    roles = {logical_id: properties for logical_id, _, properties in template.resources("AWS::IAM::Role")}
    role = roles.get(role_id or "")
    if role is None:
        return None
    documents = [one.get("PolicyDocument") for one in _listed(role.get("Policies", ())) if isinstance(one, Mapping)]
    attached = _listed(role.get("ManagedPolicyArns", ()))
    for logical_id, _, properties in template.resources(*_POLICIES):
        names = [*_listed(properties.get("Roles", ())), properties.get("RoleName")]
        if role_id in {values.referenced(name) for name in names} or logical_id in map(values.referenced, attached):
            documents.append(properties.get("PolicyDocument"))
    known = {logical_id for logical_id, _, _ in template.resources(*_POLICIES)}
    for policy in attached:
        if values.referenced(policy) not in known and not _is_without_sqs(policy):
            return None
    found: list[Mapping[str, Any]] = []
    for document in documents:
        if not isinstance(document, Mapping) or "Statement" not in document:
            return None
        found += _flat(document["Statement"])
    if any(values.is_function(one) or "NotAction" in one for one in found):
        return None
    return found


def _is_without_sqs(policy: Any) -> bool:
    name = policy if isinstance(policy, str) else str(list(_flat_texts(policy))[-1:])
    return any(one in name for one in _WITHOUT_SQS)


def _may_mean(template: Template, resources: Any, queue: Queue) -> bool:
    others = {logical_id for logical_id, _, _ in template.resources()} - {queue.id}
    for resource in _listed(resources):
        named = template.queue(resource)
        if named is queue or (named is None and values.referenced(resource) not in others):
            return True
    return False


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _flat(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in _listed(value) if isinstance(one, Mapping)]


def _flat_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _flat_texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _flat_texts(one)
