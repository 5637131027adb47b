"""The blocks of a configuration of Terraform, as they are added."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqs_tasks.deployment.rendering.placeholders import Words
from sqs_tasks.errors import ConfigurationError

#: Terraform's names for what a plan leaves open.
NAMES: Final = {
    "partition": "${data.aws_partition.current.partition}",
    "region": "${data.aws_region.current.region}",
    "account": "${data.aws_caller_identity.current.account_id}",
    "url_suffix": "${data.aws_partition.current.dns_suffix}",
}

#: Characters of a function's name, and of what a generated name of a role begins with.
_MAX_NAME, _MAX_PREFIX = 64, 38

_HASH_CHARS: Final = 8


@dataclass(kw_only=True)
class Blocks:
    """What a configuration has.

    Attributes:
        words: What it says for the placeholders of a plan.
        kms_key_arn: The key of its queues, or None.
        resources: The resources, by type and name.
        documents: The policy documents by name, which are data of Terraform.
        outputs: The outputs by name.
    """

    words: Words
    kms_key_arn: str | None
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, name: str, body: Mapping[str, Any], comment: str = "") -> None:
        """Add a resource.

        Raises:
            ConfigurationError: There is one of that type and name already.
        """
        made = self.resources.setdefault(kind, {})
        if name in made:
            raise ConfigurationError(
                f"two resources would both be {kind}.{name}, because of a queue of that name; names must differ: give "
                "the queue another name, or deploy with the CDK"
            )
        made[name] = {**({"//": comment} if comment else {}), **body}

    def add_locked_queue(self, name: str, body: Mapping[str, Any], comment: str = "") -> None:
        """Add a queue that is encrypted, takes requests over TLS alone, and is not destroyed with its messages."""
        key = self.kms_key_arn
        encrypted = {"sqs_managed_sse_enabled": True} if key is None else {"kms_master_key_id": key}
        kept = {"lifecycle": {"prevent_destroy": True}}
        self.add("aws_sqs_queue", name, {**body, **encrypted, **kept}, comment)
        self.documents[f"{name}_tls"] = tls_only("sqs:*", f"${{aws_sqs_queue.{name}.arn}}")
        self.add(
            "aws_sqs_queue_policy",
            name,
            {"queue_url": f"${{aws_sqs_queue.{name}.url}}", "policy": document_of(f"{name}_tls")},
        )


def statement_of(statement: Mapping[str, Any]) -> dict[str, Any]:
    """A statement that allows something, as a block of Terraform."""
    return {"sid": statement["Sid"], "actions": list(statement["Action"]), "resources": list(statement["Resource"])}


def document_of(name: str) -> str:
    """The reference to a policy document."""
    return f"${{data.aws_iam_policy_document.{name}.json}}"


def tls_only(action: str, *resources: str) -> dict[str, Any]:
    """The document that denies requests in plain text."""
    return {
        "statement": [
            {
                "sid": "TlsOnly",
                "effect": "Deny",
                "principals": {"type": "AWS", "identifiers": ["*"]},
                "actions": [action],
                "resources": list(resources),
                "condition": {"test": "Bool", "variable": "aws:SecureTransport", "values": ["false"]},
            }
        ]
    }


def trust(service: str, *conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The document that lets a service of AWS take a role."""
    statement = {
        "actions": ["sts:AssumeRole"],
        "principals": {"type": "Service", "identifiers": [service]},
        **({"condition": list(conditions)} if conditions else {}),
    }
    return {"statement": [statement]}


def function_name(queue_name: str) -> str:
    """The name of a queue's function: Terraform does not generate one."""
    name = queue_name.replace(".", "-")
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - _HASH_CHARS - 1]}-{hashlib.sha256(name.encode()).hexdigest()[:_HASH_CHARS]}"


def prefix(name: str) -> str:
    """What a generated name begins with: roles are the account's, and a Region more has roles of its own."""
    return f"{name[: _MAX_PREFIX - 1]}-"
