"""Values of a CloudFormation template: references, texts with references, policy documents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqs_tasks.deployment.rendering.placeholders import Words


def value(words: Words, text: str, *, references: bool = True) -> Any:
    """A text of the plan; see :meth:`Words.fill`."""
    return function_of(words.fill(text, references=references))


def function_of(text: str) -> Any:
    """A text with ``${...}`` as the shortest function that gives it."""
    one = re.fullmatch(r"\$\{(\w+)(?:\.(\w+))?\}", text)
    if one is not None:
        return {"Ref": one[1]} if one[2] is None else attribute(one[1], one[2])
    return {"Fn::Sub": text} if re.search(r"\$\{(?!!)", text) else text.replace("${!", "${")


def attribute(logical_id: str, name: str) -> dict[str, Any]:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [logical_id, name]}


def document(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust(service: str, condition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document that lets a service of AWS take a role."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return document([statement if condition is None else {**statement, "Condition": condition}])
