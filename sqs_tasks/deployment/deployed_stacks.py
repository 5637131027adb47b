"""CloudFormation stacks as they were deployed: their resources, and the code that they gave to functions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqs_tasks.deployment.template_file import parse_template

#: Bytes of a bundle that are hashed at a time.
_CHUNK_BYTES = 1 << 20


class CloudFormationClient(Protocol):
    """What is asked of CloudFormation."""

    def list_stack_resources(self, **kwargs: Any) -> Any:
        """The resources of a stack, a page of them."""

    def get_template(self, **kwargs: Any) -> Any:
        """The template that a stack was last deployed from."""


class S3Client(Protocol):
    """What is asked of S3."""

    def get_object(self, **kwargs: Any) -> Any:
        """An object, such as a bundle that a function was deployed from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackResource:
    """One resource of a stack.

    Attributes:
        stack: The stack's name or, for a nested one, its ARN.
        logical_id: Its name in the template.
        physical_id: Its name, URL or ARN.
    """

    stack: str
    logical_id: str
    physical_id: str


@dataclass(slots=True, kw_only=True)
class DeployedStacks:
    """Some stacks with those nested in them.

    Attributes:
        names: The stacks.
        cloudformation: A client of CloudFormation.
        s3: A client of S3, where the bundles of functions lie.
    """

    names: Sequence[str]
    cloudformation: CloudFormationClient
    s3: S3Client
    _summaries: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict, init=False)
    _templates: dict[str, Mapping[str, Any]] = field(default_factory=dict, init=False)
    _hashes: dict[tuple[str, str, str | None], str] = field(default_factory=dict, init=False)

    def resources(self, resource_type: str) -> Iterator[StackResource]:
        """The resources of a type, as in ``AWS::SQS::Queue``."""
        waiting = list(self.names)
        while waiting:
            stack = waiting.pop()
            for summary in self._resources_of(stack):
                physical_id = summary.get("PhysicalResourceId")
                if not physical_id or summary.get("ResourceStatus") == "DELETE_COMPLETE":
                    continue
                if summary["ResourceType"] == "AWS::CloudFormation::Stack":
                    waiting.append(physical_id)
                if summary["ResourceType"] == resource_type:
                    yield StackResource(stack=stack, logical_id=summary["LogicalResourceId"], physical_id=physical_id)

    def code_sha256(self, function_arn: str) -> str | None:
        """The hash of the bundle that a function was deployed from, as Lambda gives it in ``CodeSha256``.

        Args:
            function_arn: The function's ARN, or that of one of its versions or aliases.

        Returns:
            None when no function of the stacks has that ARN, or its code is not a bundle in S3 whose place the
            template contains.
        """
        _, partition, _, region, account, _, name, *_ = function_arn.split(":")
        found = next((one for one in self.resources("AWS::Lambda::Function") if one.physical_id == name), None)
        if found is None:
            return None
        resource = self._template(found.stack).get("Resources", {}).get(found.logical_id, {})
        code = resource.get("Properties", {}).get("Code", {})
        pseudo = {"${AWS::AccountId}": account, "${AWS::Region}": region, "${AWS::Partition}": partition}
        bucket, key = _text(code.get("S3Bucket"), pseudo), _text(code.get("S3Key"), pseudo)
        return None if bucket is None or key is None else self._hash(bucket, key, code.get("S3ObjectVersion"))

    def _resources_of(self, stack: str) -> list[Mapping[str, Any]]:
        if stack not in self._summaries:
            self._summaries[stack] = list(self._pages(stack))
        return self._summaries[stack]

    def _pages(self, stack: str) -> Iterator[Mapping[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = self.cloudformation.list_stack_resources(StackName=stack, **token)
            yield from page["StackResourceSummaries"]
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _template(self, stack: str) -> Mapping[str, Any]:
        if stack not in self._templates:
            body = self.cloudformation.get_template(StackName=stack)["TemplateBody"]
            # In a stack of JSON boto3 has read it already; one that came as YAML stays YAML.
            self._templates[stack] = parse_template(body, f"stack {stack}") if isinstance(body, str) else body
        return self._templates[stack]

    def _hash(self, bucket: str, key: str, version: str | None) -> str:
        place = (bucket, key, version)
        if place not in self._hashes:
            # Not the checksum that S3 keeps: that of a large object is one of its parts' checksums.
            found = self.s3.get_object(Bucket=bucket, Key=key, **({} if version is None else {"VersionId": version}))
            digest = hashlib.sha256()
            for chunk in iter(lambda: found["Body"].read(_CHUNK_BYTES), b""):
                digest.update(chunk)
            self._hashes[place] = base64.b64encode(digest.digest()).decode()
        return self._hashes[place]


def _text(value: Any, pseudo: Mapping[str, str]) -> str | None:
    """A template's value as text if it takes no more than the account, region and partition to know it."""
    if isinstance(value, Mapping) and isinstance(value.get("Fn::Sub"), str):
        value = value["Fn::Sub"]
        for name, meaning in pseudo.items():
            value = value.replace(name, meaning)
    return value if isinstance(value, str) and "${" not in value else None
