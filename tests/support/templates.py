"""What the tests of constructs read out of a synthesised template."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import Stack
from aws_cdk.assertions import Annotations, Match, Template


class Resources:
    """The resources of a stack, by type and by the path they were made at."""

    def __init__(self, stack: Stack) -> None:
        self.template = Template.from_stack(stack).to_json()
        self.by_id: dict[str, dict[str, Any]] = self.template.get("Resources", {})

    def of_type(self, name: str) -> dict[str, dict[str, Any]]:
        """The resources of a type, as in ``"SQS::Queue"``, by logical id."""
        return {key: value for key, value in self.by_id.items() if value["Type"] == f"AWS::{name}"}

    def only(self, name: str) -> dict[str, Any]:
        """The properties of the one resource of a type."""
        found = self.of_type(name)
        assert len(found) == 1, f"{len(found)} resources of type {name}: {sorted(found)}"
        return next(iter(found.values())).get("Properties", {})

    def queue(self, queue_name: str) -> dict[str, Any]:
        """The properties of the queue of that name in SQS."""
        found = [
            value["Properties"]
            for value in self.of_type("SQS::Queue").values()
            if value.get("Properties", {}).get("QueueName") == queue_name
        ]
        assert len(found) == 1, f"{len(found)} queues named {queue_name}"
        return found[0]

    def statements(self) -> list[dict[str, Any]]:
        """Every statement of every role's policies, those included that did not fit in the first or stand in the role."""
        policies = [*self.of_type("IAM::Policy").values(), *self.of_type("IAM::ManagedPolicy").values()]
        documents = [
            *(policy["Properties"]["PolicyDocument"] for policy in policies),
            *(
                policy["PolicyDocument"]
                for role in self.of_type("IAM::Role").values()
                for policy in role["Properties"].get("Policies", ())
            ),
        ]
        return [statement for document in documents for statement in document["Statement"]]

    def actions_on(self, logical_id_part: str) -> set[str]:
        """The actions that roles may take on resources whose logical id contains a text."""
        actions: set[str] = set()
        for statement in self.statements():
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            if statement["Effect"] == "Allow" and any(logical_id_part in json.dumps(item) for item in resources):
                given = statement["Action"]
                actions.update([given] if isinstance(given, str) else given)
        return actions


def warnings(stack: Stack) -> list[str]:
    """The texts of the warnings that a synth of the stack shows."""
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    return [str(message.entry.data) for message in found]


def infos(stack: Stack) -> list[str]:
    """The texts that a synth of the stack shows for information."""
    found = Annotations.from_stack(stack).find_info("*", Match.any_value())
    return [str(message.entry.data) for message in found]


def joined(value: Any) -> str:
    """A value with its intrinsic functions flattened to text: ``${Id}`` for a reference, ``${Id.Att}`` for attributes."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref":
            return f"${{{argument}}}"
        if name == "Fn::GetAtt":
            return f"${{{'.'.join(argument)}}}"
        if name == "Fn::Join":
            return str(argument[0]).join(joined(part) for part in argument[1])
    raise AssertionError(f"not a text: {value!r}")
