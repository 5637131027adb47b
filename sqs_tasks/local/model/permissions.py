"""The policy document that AddPermission and RemovePermission edit.

Policies are stored and shown, never enforced: an embedded SQS cannot tell one caller from another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqs_tasks.local.model import faults

#: Actions in one statement of a queue policy.
MAX_ACTIONS = 7


def add(policy: str, *, arn: str, label: str, accounts: Sequence[str], actions: Sequence[str]) -> str:
    """The policy with a statement more."""
    if len(actions) > MAX_ACTIONS:
        text = f"{len(actions)} Actions were found, maximum allowed is {MAX_ACTIONS}."
        raise faults.SQSFault("OverLimit", text, status=403)
    document: dict[str, Any] = (
        json.loads(policy) if policy else {"Version": "2008-10-17", "Id": f"{arn}/SQSDefaultPolicy", "Statement": []}
    )
    statements = _statements(document)
    if any(statement.get("Sid") == label for statement in statements):
        raise faults.invalid_value("Label", label, "Already exists.")
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    statements.append(
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _one_or_all(principals)},
            "Action": _one_or_all([f"SQS:{action}" for action in actions]),
            "Resource": arn,
        }
    )
    return json.dumps({**document, "Statement": statements}, separators=(",", ":"))


def remove(policy: str, label: str) -> str:
    """The policy without the statement of that label; an empty string when none is left."""
    document = json.loads(policy) if policy else {}
    statements = _statements(document)
    kept = [statement for statement in statements if statement.get("Sid") != label]
    if len(kept) == len(statements):
        raise faults.invalid_value("Label", label, "can't find label.")
    return json.dumps({**document, "Statement": kept}, separators=(",", ":")) if kept else ""


def _statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    statements = document.get("Statement", [])
    return list(statements) if isinstance(statements, list) else [statements]


def _one_or_all(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
