"""What a template deploys, in words that all forms share: to compare a form with another, or with the CDK's.

References become the addresses that they stand for; names that are generated become what they are of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ACCOUNT = {"partition": "aws", "region": "us-east-1", "account": "123456789012", "url_suffix": "amazonaws.com"}

_PSEUDO = {"Partition": "partition", "Region": "region", "AccountId": "account", "URLSuffix": "url_suffix"}
Facts = dict[str, dict[str, Any]]


def arn_of(queue_name: str) -> str:
    """The ARN of a queue of the account."""
    return f"arn:aws:sqs:us-east-1:123456789012:{queue_name}"


def url_of(queue_name: str) -> str:
    """The URL of a queue of the account."""
    return f"https://sqs.us-east-1.amazonaws.com/123456789012/{queue_name}"


class Template:
    """A template of CloudFormation, whoever wrote it."""

    def __init__(self, template: Mapping[str, Any]) -> None:
        self.resources: Mapping[str, Any] = template["Resources"]
        self.outputs: Mapping[str, Any] = template.get("Outputs", {})

    def facts(self) -> Facts:
        """Queues by their names; functions, mappings and rights by the queue that is worked; schedules by their names."""
        return {
            "queues": {self._name(key): self._queue(key, body) for key, body in self._of("SQS::Queue")},
            **self._workers(),
            "buckets": {
                self._plain(body["BucketName"]): self._bucket(key, body) for key, body in self._of("S3::Bucket")
            },
            "schedules": {body["Name"]: self._plain(body) for _, body in self._of("Scheduler::Schedule")},
            "trust": {
                json.dumps(self._plain(body["AssumeRolePolicyDocument"]["Statement"]), sort_keys=True): {}
                for _, body in self._of("IAM::Role")
            },
        }

    def _of(self, kind: str) -> list[tuple[str, Mapping[str, Any]]]:
        found = self.resources.items()
        return [(key, body.get("Properties", {})) for key, body in found if body["Type"] == f"AWS::{kind}"]

    def _name(self, logical_id: str) -> str:
        return str(self.resources[logical_id]["Properties"].get("QueueName", "<generated>"))

    def _queue(self, logical_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        (policy,) = [one for _, one in self._of("SQS::QueuePolicy") if one["Queues"] == [{"Ref": logical_id}]]
        resource = self.resources[logical_id]
        return {
            **self._plain(body),
            "policy": list(rights(self._plain(policy["PolicyDocument"]["Statement"]))),
            "kept": (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]),
        }

    def _bucket(self, logical_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        (policy,) = [one for _, one in self._of("S3::BucketPolicy") if one["Bucket"] == {"Ref": logical_id}]
        resource = self.resources[logical_id]
        return {
            **self._plain(body),
            "policy": list(rights(self._plain(policy["PolicyDocument"]["Statement"]))),
            "kept": (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]),
        }

    def _workers(self) -> Facts:
        functions, mappings, allowed = {}, {}, {}
        for _, mapping in self._of("Lambda::EventSourceMapping"):
            plain = self._plain(mapping)
            queue = plain.pop("EventSourceArn").rpartition(":")[2]
            function = self.resources[plain.pop("FunctionName").strip("<>")]["Properties"]
            group = self.resources[function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
            functions[queue] = {
                **self._plain({name: value for name, value in function.items() if name not in _CODE}),
                "LogRetention": group["RetentionInDays"],
            }
            mappings[queue] = plain
        for held in self._held():
            consumed = {resource for action, resource, *_ in held if action == "sqs:ReceiveMessage"}
            for arn in consumed:
                allowed[arn.rpartition(":")[2]] = held
            if not consumed and any(action == "sqs:SendMessage" for action, *_ in held):
                allowed["<schedules>"] = held
        return {"functions": functions, "mappings": mappings, "rights": allowed}

    def _held(self) -> Iterator[set[tuple[str, ...]]]:
        """The rights of each role, and of each role that is made elsewhere with the policies of our outputs."""
        managed = {key: body["PolicyDocument"] for key, body in self._of("IAM::ManagedPolicy")}

        def flat(documents: Iterable[Mapping[str, Any]]) -> set[tuple[str, ...]]:
            return {one for document in documents for one in rights(self._plain(document["Statement"]))}

        for key, role in self._of("IAM::Role"):
            names = [one["Ref"] for one in role.get("ManagedPolicyArns", ()) if isinstance(one, dict) and "Ref" in one]
            yield flat(
                [
                    *(one["PolicyDocument"] for one in role.get("Policies", ())),
                    *(body["PolicyDocument"] for _, body in self._of("IAM::Policy") if {"Ref": key} in body["Roles"]),
                    *(managed[name] for name in names),
                ]
            )
        for key in managed:
            names = [one["Value"]["Ref"] for name, one in self.outputs.items() if name.rstrip("0123456789") == key]
            yield flat(managed[name] for name in names)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1:
                ((name, argument),) = value.items()
                if name == "Ref":
                    return self._reference(argument, None)
                if name == "Fn::GetAtt":
                    return self._reference(*argument)
                if name == "Fn::Sub":
                    text = re.sub(r"\$\{([\w:]+)(?:\.(\w+))?\}", lambda one: self._reference(one[1], one[2]), argument)
                    return text.replace("${!", "${")
                if name == "Fn::Join":
                    return argument[0].join(self._plain(part) for part in argument[1])
            return {name: self._plain(one) for name, one in value.items()}
        return [self._plain(one) for one in value] if isinstance(value, list) else value

    def _reference(self, logical_id: str, attribute: str | None) -> str:
        if logical_id.startswith("AWS::"):
            return ACCOUNT[_PSEUDO[logical_id.removeprefix("AWS::")]]
        if logical_id not in self.resources:
            return f"<{logical_id}>"
        kind = self.resources[logical_id]["Type"]
        if kind == "AWS::SQS::Queue":
            return arn_of(self._name(logical_id)) if attribute == "Arn" else url_of(self._name(logical_id))
        if kind == "AWS::Lambda::Function":
            return f"<{logical_id}>"
        # The ARN of a log group has a wildcard for its streams here, and in no other form.
        is_group_arn = kind == "AWS::Logs::LogGroup" and attribute == "Arn"
        return f"<{kind.rpartition(':')[2]}>{':*' if is_group_arn else ''}"


#: Of a function, what the form decides.
_CODE = ("Code", "LoggingConfig", "Role", "Tags")


def rights(statements: Any) -> Iterator[tuple[str, ...]]:
    """Each action on each resource, with whether and when it is allowed."""
    for statement in statements:
        rest = {name: statement[name] for name in ("Effect", "Principal", "Condition") if name in statement}
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, resource, json.dumps(rest, sort_keys=True)


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else [value]
