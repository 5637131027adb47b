"""A plan as a template of CloudFormation, or of AWS SAM, which differs in how functions are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqs_tasks.deployment.rendering.cloudformation_bucket import bucket_entries
from sqs_tasks.deployment.rendering.cloudformation_queues import queue_entries
from sqs_tasks.deployment.rendering.cloudformation_schedules import schedule_entries
from sqs_tasks.deployment.rendering.cloudformation_values import attribute, document, function_of, trust, value
from sqs_tasks.deployment.rendering.ids import camel, ids
from sqs_tasks.deployment.rendering.parts import LOG_ACTIONS, TRACE_ACTIONS, Parts, WorkerPart
from sqs_tasks.deployment.rendering.placeholders import Words
from sqs_tasks.deployment.rendering.settings import RenderSettings
from sqs_tasks.deployment.rendering.yaml_text import Entry, template_text
from sqs_tasks.errors import ConfigurationError

#: CloudFormation's names for what a plan leaves open.
_NAMES: Final = {
    "partition": "${AWS::Partition}",
    "region": "${AWS::Region}",
    "account": "${AWS::AccountId}",
    "url_suffix": "${AWS::URLSuffix}",
}

#: What one template may have.
_MAX_RESOURCES, _MAX_BYTES = 500, 1_000_000

#: Logs go with the stack.
_DELETED: Final = {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}


@dataclass(kw_only=True)
class CloudFormation:
    """The template of a plan.

    Attributes:
        parts: What it has.
        settings: How it is rendered.
        now: When it is rendered: a rate whose start has passed begins with its next step.
        resources: The resources, in the order of the template.
        outputs: The outputs.
    """

    parts: Parts
    settings: RenderSettings
    now: datetime
    resources: dict[str, Entry] = field(init=False, default_factory=dict)
    outputs: list[Entry] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        workers = [*self.parts.functions, *self.parts.containers]
        self._ids = ids(
            [*(one.name for one in self.parts.queues), *(one.queue for one in workers)], camel, what="queues"
        )
        stems = {one.queue_name: self._ids[one.name] for one in self.parts.queues}
        self._words = Words(
            names=_NAMES,
            url=lambda name: f"${{{stems[name]}Queue}}",
            arn=lambda name: f"${{{stems[name]}Queue.Arn}}",
            escape=lambda text: text.replace("${", "${!"),
            made=frozenset(stems),
        )
        for queue in self.parts.queues:
            self._add_all(
                queue_entries(queue, stems[queue.queue_name], self._words, kms_key_arn=self.parts.kms_key_arn)
            )
        if self.parts.bucket is not None:
            self._add_all(bucket_entries(self.parts.bucket, self._words, kms_key_arn=self.parts.kms_key_arn))
        for name, arns in self.parts.policies.items():
            self._add_shared_policy(name, arns)
        for worker in self.parts.functions:
            self._add_function(worker)
        for worker in self.parts.containers:
            self._add_container(worker)
        if self.parts.schedules:
            self._add_all(schedule_entries(self.parts, self._words, now=self.now))
            group = {"Description": "For sqs-tasks schedules --group", "Value": {"Ref": "ScheduleGroup"}}
            self.outputs.append(Entry(id="ScheduleGroupName", body=group))

    @property
    def is_sam(self) -> bool:
        """Whether it is a template of AWS SAM."""
        return self.settings.form == "sam"

    def text(self, head: Sequence[str]) -> str:
        """The template as YAML.

        Args:
            head: The lines of the comment at its top.

        Raises:
            ConfigurationError: It has more than CloudFormation takes.
        """
        # Of AWS SAM's function a mapping is made besides.
        resources = len(self.resources) + (len(self.parts.functions) if self.is_sam else 0)
        sections: dict[str, Any] = {
            "AWSTemplateFormatVersion": "2010-09-09",
            **({"Transform": "AWS::Serverless-2016-10-31"} if self.is_sam else {}),
            "Description": f"Queues and workers of {self.parts.app}",
            "Parameters": self._parameters(),
            "Resources": list(self.resources.values()),
            "Outputs": self.outputs,
        }
        text = template_text(head, sections)
        if resources > _MAX_RESOURCES or len(text.encode()) > _MAX_BYTES:
            raise ConfigurationError(
                f"the template would have {resources} resources and {len(text.encode()):,} bytes; CloudFormation takes "
                f"{_MAX_RESOURCES} and {_MAX_BYTES:,}; deploy with the CDK, which makes several stacks of it, or "
                "render the form terraform"
            )
        return text

    def _parameters(self) -> list[Entry]:
        if not self.parts.functions or self.settings.code is not None:
            return []
        return [
            Entry(
                id=name,
                body={"Type": "String", "Description": description},
                comment="CloudFormation sees new code by its key: give each build another."
                if name == "CodeKey"
                else "",
            )
            for name, description in (
                ("CodeBucket", "The S3 bucket with the zip file of 'sqs-tasks bundle'"),
                ("CodeKey", "The key of that file in the bucket"),
            )
        ]

    # --- workers ----------------------------------------------------------------------------------------------------

    def _add_shared_policy(self, name: str, arns: Sequence[str]) -> None:
        from sqs_tasks.deployment.iam_policy import SEND_ACTIONS

        statement = {"Sid": "SendFurther", "Effect": "Allow", "Action": list(SEND_ACTIONS)}
        self._add(
            f"{camel(name)}SendPolicy",
            {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "PolicyDocument": document([{**statement, "Resource": [self._value(arn) for arn in arns]}])
                },
            },
            "For workers whose tasks do not say to which queues they add jobs, or say many.",
        )

    def _add_function(self, worker: WorkerPart) -> None:
        stem, plan = self._ids[worker.queue], worker.plan
        self._add(
            f"{stem}Logs",
            {
                "Type": "AWS::Logs::LogGroup",
                **_DELETED,
                "Properties": {"RetentionInDays": plan["log_retention_days"]},
            },
            f"The function of queue {worker.queue!r} runs for up to {plan['timeout_seconds']:,} s, with batches of "
            f"up to {plan['event_source']['batch_size']}.",
        )
        own: list[Mapping[str, Any]] = [
            {
                "Sid": "WriteLogs",
                "Effect": "Allow",
                "Action": list(LOG_ACTIONS),
                "Resource": attribute(f"{stem}Logs", "Arn"),
            },
            {"Sid": "Trace", "Effect": "Allow", "Action": list(TRACE_ACTIONS), "Resource": "*"},
        ]
        statements = [*own, *self._statements(worker)]
        self._add(
            f"{stem}Role",
            {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": trust("lambda.amazonaws.com"),
                    **self._managed(worker),
                    "Policies": [{"PolicyName": "Worker", "PolicyDocument": document(statements)}],
                },
            },
        )
        if self.is_sam:
            self._add(f"{stem}Function", self._sam_function(worker))
            return
        self._add(f"{stem}Function", self._function(worker))
        self._add(
            f"{stem}Mapping",
            {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "FunctionName": {"Ref": f"{stem}Function"},
                    "EventSourceArn": self._value(worker.queue_arn),
                    **self._feed(worker),
                },
            },
        )

    def _function(self, worker: WorkerPart) -> dict[str, Any]:
        common = self._common(worker)
        return {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                **common,
                "Code": {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
                "TracingConfig": {"Mode": "Active"},
            },
        }

    def _sam_function(self, worker: WorkerPart) -> dict[str, Any]:
        code: Any = {"Bucket": {"Ref": "CodeBucket"}, "Key": {"Ref": "CodeKey"}}
        return {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                **self._common(worker),
                "CodeUri": self.settings.code or code,
                "Tracing": "Active",
                "Events": {
                    "Jobs": {
                        "Type": "SQS",
                        "Properties": {"Queue": self._value(worker.queue_arn), **self._feed(worker)},
                    }
                },
            },
        }

    def _common(self, worker: WorkerPart) -> dict[str, Any]:
        """What both forms say of a function in the same words."""
        stem, plan = self._ids[worker.queue], worker.plan
        reserved = self.settings.reserved_concurrency.get(worker.queue)
        variables = self._words.environment(plan["environment"], worker.variables)
        return {
            "Description": f"Works the queue {worker.queue}",
            "Handler": plan["handler"],
            "Runtime": f"python{self.settings.python}",
            "Architectures": [self.settings.architecture],
            "Timeout": plan["timeout_seconds"],
            "MemorySize": plan["memory_mb"],
            **({} if reserved is None else {"ReservedConcurrentExecutions": reserved}),
            **({"RecursiveLoop": "Allow"} if plan["allow_recursive_loop"] else {}),
            "Role": attribute(f"{stem}Role", "Arn"),
            "LoggingConfig": {"LogGroup": {"Ref": f"{stem}Logs"}},
            "Environment": {"Variables": {name: function_of(text) for name, text in variables.items()}},
        }

    def _feed(self, worker: WorkerPart) -> dict[str, Any]:
        """What both forms say of an event source mapping in the same words."""
        source, most = worker.plan["event_source"], self.settings.max_concurrency.get(worker.queue)
        window = source["batching_window_seconds"]
        return {
            "Enabled": True,
            "BatchSize": source["batch_size"],
            **({"MaximumBatchingWindowInSeconds": window} if window else {}),
            **({} if most is None else {"ScalingConfig": {"MaximumConcurrency": most}}),
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }

    def _add_container(self, worker: WorkerPart) -> None:
        policy = f"{self._ids[worker.queue]}WorkerPolicy"
        self._add(
            policy,
            {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {"PolicyDocument": document(self._statements(worker))},
            },
            f"What the containers of queue {worker.queue!r} may do. Their service is not here: see the top.",
        )
        for number, arn in enumerate([{"Ref": policy}, *self._managed(worker).get("ManagedPolicyArns", [])]):
            self.outputs.append(
                Entry(
                    id=policy if number == 0 else f"{policy}{number + 1}",
                    body={"Description": f"For the role of the containers of queue {worker.queue}", "Value": arn},
                )
            )

    def _statements(self, worker: WorkerPart) -> list[dict[str, Any]]:
        return [
            {**statement, "Resource": [self._value(arn) for arn in statement["Resource"]]}
            for statement in worker.statements
        ]

    def _managed(self, worker: WorkerPart) -> dict[str, Any]:
        if not worker.shared:
            return {}
        return {"ManagedPolicyArns": [{"Ref": f"{camel(name)}SendPolicy"} for name in worker.shared]}

    # --- the template -----------------------------------------------------------------------------------------------

    def _value(self, text: str) -> Any:
        return value(self._words, text)

    def _add(self, logical_id: str, body: Mapping[str, Any], comment: str = "") -> None:
        self._add_all([Entry(id=logical_id, body=body, comment=comment)])

    def _add_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.id in self.resources:
                raise ConfigurationError(
                    f"two resources would both be {entry.id!r} in the template, because of a queue of that name; ids "
                    "must differ: give the queue another name, or deploy with the CDK"
                )
            self.resources[entry.id] = entry
