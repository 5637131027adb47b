"""What a configuration of Terraform deploys, in the words of :mod:`tests.support.deployed_facts`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.deployed_facts import ACCOUNT, Facts, arn_of, rights, url_of

_DATA = {
    "data.aws_partition.current.partition": "partition",
    "data.aws_region.current.region": "region",
    "data.aws_caller_identity.current.account_id": "account",
    "data.aws_partition.current.dns_suffix": "url_suffix",
}

#: CloudFormation's names where they are not Terraform's in another spelling.
_NAMES = {
    "name": "QueueName",
    "visibility_timeout_seconds": "VisibilityTimeout",
    "message_retention_seconds": "MessageRetentionPeriod",
    "batch_size": "BatchSize",
    "maximum_event_age_in_seconds": "MaximumEventAgeInSeconds",
    "kms_master_key_id": "KmsMasterKeyId",
}

#: What only one of the forms has.
_OF_TERRAFORM = (
    "//",
    "lifecycle",
    "depends_on",
    "filename",
    "source_code_hash",
    "function_name",
    "role",
    "logging_config",
)


class Configuration:
    """A configuration in JSON."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self.resources: Mapping[str, Any] = configuration["resource"]
        self.documents: Mapping[str, Any] = configuration["data"]["aws_iam_policy_document"]
        self.outputs: Mapping[str, Any] = configuration.get("output", {})

    def facts(self) -> Facts:
        """The same as of a template of CloudFormation."""
        return {
            "queues": {self._queue_name(name): self._queue(name, body) for name, body in self._of("sqs_queue")},
            **self._workers(),
            "buckets": {self._plain(body["bucket"]): self._bucket(name, body) for name, body in self._of("s3_bucket")},
            "schedules": {body["name"]: self._schedule(body) for _, body in self._of("scheduler_schedule")},
            "trust": {
                json.dumps(self._trust(body["assume_role_policy"]), sort_keys=True): {}
                for _, body in self._of("iam_role")
            },
        }

    def _of(self, kind: str) -> list[tuple[str, Mapping[str, Any]]]:
        return list(self.resources.get(f"aws_{kind}", {}).items())

    def _queue_name(self, name: str) -> str:
        return str(self.resources["aws_sqs_queue"][name].get("name", "<generated>"))

    def _queue(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        made = self._camel({key: value for key, value in body.items() if key != "name_prefix"})
        for policy in ("RedrivePolicy", "RedriveAllowPolicy"):
            if policy in made:
                made[policy] = json.loads(made[policy])
        assert body["lifecycle"] == {"prevent_destroy": True}
        policy = self.resources["aws_sqs_queue_policy"][name]
        assert policy["queue_url"] == f"${{aws_sqs_queue.{name}.url}}"
        return {**made, "policy": list(rights(self._statements(policy["policy"]))), "kept": _KEPT}

    def _bucket(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert body["lifecycle"] == {"prevent_destroy": True}
        of = {kind: self.resources[f"aws_s3_bucket_{kind}"][name] for kind in _OF_BUCKETS}
        assert {one["bucket"] for one in of.values()} == {f"${{aws_s3_bucket.{name}.id}}"}
        (rule,) = of["lifecycle_configuration"]["rule"]
        encryption = of["server_side_encryption_configuration"]["rule"]
        by_default = encryption["apply_server_side_encryption_by_default"]
        blocked = {key: value for key, value in of["public_access_block"].items() if key != "bucket"}
        return {
            "BucketName": self._plain(body["bucket"]),
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {
                        "ServerSideEncryptionByDefault": {
                            "SSEAlgorithm": by_default["sse_algorithm"],
                            **({"KMSMasterKeyID": by_default["kms_master_key_id"]} if len(by_default) > 1 else {}),
                        },
                        **({"BucketKeyEnabled": True} if encryption.get("bucket_key_enabled") else {}),
                    }
                ]
            },
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Id": rule["id"],
                        "Status": rule["status"],
                        "ExpirationInDays": rule["expiration"]["days"],
                        "AbortIncompleteMultipartUpload": self._camel(rule["abort_incomplete_multipart_upload"]),
                    }
                ]
            },
            "OwnershipControls": {"Rules": [self._camel(of["ownership_controls"]["rule"])]},
            "PublicAccessBlockConfiguration": self._camel(blocked),
            "policy": list(rights(self._statements(of["policy"]["policy"]))),
            "kept": _KEPT,
        }

    def _workers(self) -> Facts:
        functions, mappings = {}, {}
        for name, mapping in self._of("lambda_event_source_mapping"):
            plain = self._camel(mapping)
            queue = plain.pop("EventSourceArn").rpartition(":")[2]
            plain.pop("FunctionName", None)
            function = self.resources["aws_lambda_function"][name]
            group = self.resources["aws_cloudwatch_log_group"][name]
            assert group["name"] == f"/aws/lambda/{function['function_name']}"
            functions[queue] = {**self._camel(function), "LogRetention": group["retention_in_days"]}
            if name in self.resources.get("aws_lambda_function_recursion_config", {}):
                functions[queue]["RecursiveLoop"] = "Allow"
            mappings[queue] = plain
        return {"functions": functions, "mappings": mappings, "rights": self._rights()}

    def _rights(self) -> dict[str, Any]:
        held = []
        for name, policy in self._of("iam_role_policy"):
            attached = [
                self.resources["aws_iam_policy"][one["policy_arn"].split(".")[1]]["policy"]
                for _, one in self._of("iam_role_policy_attachment")
                if one["role"] == f"${{aws_iam_role.{name}.name}}"
            ]
            held.append([policy["policy"], *attached])
        for output in self.outputs.values():
            if isinstance(output["value"], dict):
                names = [arn.split(".")[1] for arn in output["value"]["policy_arns"]]
                held.append([self.resources["aws_iam_policy"][name]["policy"] for name in names])
        allowed = {}
        for documents in held:
            found = {one for document in documents for one in rights(self._statements(document))}
            consumed = [one[1].rpartition(":")[2] for one in found if one[0] == "sqs:ReceiveMessage"]
            allowed[consumed[0] if consumed else "<schedules>"] = found
        return allowed

    def _schedule(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._camel({name: value for name, value in body.items() if name != "name"}) | {"Name": body["name"]}

    def _trust(self, reference: str) -> list[dict[str, Any]]:
        (statement,) = self.documents[reference.split(".")[2]]["statement"]
        (service,) = statement["principals"]["identifiers"]
        conditions = {one["variable"]: self._plain(*one["values"]) for one in statement.get("condition", [])}
        return [
            {
                "Action": "sts:AssumeRole",
                **({"Condition": {"StringEquals": conditions}} if conditions else {}),
                "Effect": "Allow",
                "Principal": {"Service": service},
            }
        ]

    def _statements(self, reference: str) -> list[dict[str, Any]]:
        return [
            {
                "Effect": one.get("effect", "Allow"),
                **(
                    {"Principal": {one["principals"]["type"]: one["principals"]["identifiers"][0]}}
                    if "principals" in one
                    else {}
                ),
                **(
                    {
                        "Condition": {
                            one["condition"]["test"]: {one["condition"]["variable"]: one["condition"]["values"][0]}
                        }
                    }
                    if "condition" in one
                    else {}
                ),
                "Action": one["actions"],
                "Resource": [self._plain(resource) for resource in one["resources"]],
            }
            for one in self.documents[reference.split(".")[2]]["statement"]
        ]

    def _camel(self, body: Any) -> Any:
        """Names in CloudFormation's spelling, references as addresses."""
        if isinstance(body, dict):
            return {
                _NAMES.get(name) or "".join(part.title() for part in name.split("_")): (
                    {key: self._plain(one) for key, one in value.items()} if name == "variables" else self._camel(value)
                )
                for name, value in body.items()
                if name not in _OF_TERRAFORM
            }
        return [self._camel(one) for one in body] if isinstance(body, list) else self._plain(body)

    def _plain(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = re.sub(r"(?<!\$)\$\{([^}]+)\}", lambda one: self._reference(one[1]), value)
        return text.replace("$${", "${").replace("%%{", "%{")

    def _reference(self, text: str) -> str:
        if text in _DATA:
            return ACCOUNT[_DATA[text]]
        kind, name, attribute = text.split(".")
        if kind == "aws_sqs_queue":
            return (arn_of if attribute == "arn" else url_of)(self._queue_name(name))
        return f"<{_KINDS[kind]}>"


_OF_BUCKETS = (
    "lifecycle_configuration",
    "ownership_controls",
    "policy",
    "public_access_block",
    "server_side_encryption_configuration",
)

_KEPT = ("RetainExceptOnCreate", "Retain")

_KINDS = {
    "aws_cloudwatch_log_group": "LogGroup",
    "aws_iam_role": "Role",
    "aws_scheduler_schedule_group": "ScheduleGroup",
    "aws_lambda_function": "Function",
    "aws_s3_bucket": "Bucket",
}
