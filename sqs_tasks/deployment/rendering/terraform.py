"""A plan as a configuration of Terraform or OpenTofu, in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqs_tasks.deployment.rendering.ids import ids, snake
from sqs_tasks.deployment.rendering.parts import LOG_ACTIONS, TRACE_ACTIONS, Parts, QueuePart, WorkerPart
from sqs_tasks.deployment.rendering.placeholders import Words
from sqs_tasks.deployment.rendering.settings import RenderSettings
from sqs_tasks.deployment.rendering.terraform_blocks import (
    NAMES,
    Blocks,
    document_of,
    function_name,
    prefix,
    statement_of,
    trust,
)
from sqs_tasks.deployment.rendering.terraform_bucket import add_bucket
from sqs_tasks.deployment.rendering.terraform_schedules import add_schedules

#: From where on the provider has the names that are used here.
_PROVIDER_VERSION: Final = ">= 6.25"


@dataclass(kw_only=True)
class Terraform:
    """The configuration of a plan.

    Attributes:
        parts: What it has.
        settings: How it is rendered.
        now: When it is rendered: a rate whose start has passed begins with its next step.
        blocks: The configuration's blocks.
    """

    parts: Parts
    settings: RenderSettings
    now: datetime
    blocks: Blocks = field(init=False)

    def __post_init__(self) -> None:
        workers = [*self.parts.functions, *self.parts.containers]
        self._ids = ids(
            [*(one.name for one in self.parts.queues), *(one.queue for one in workers)], snake, what="queues"
        )
        stems = {one.queue_name: self._ids[one.name] for one in self.parts.queues}
        self._names = ids([one.queue_name for one in self.parts.functions], function_name, what="queues")
        words = Words(
            names=NAMES,
            url=lambda name: f"${{aws_sqs_queue.{stems[name]}.url}}",
            arn=lambda name: f"${{aws_sqs_queue.{stems[name]}.arn}}",
            escape=lambda text: text.replace("${", "$${").replace("%{", "%%{"),
            made=frozenset(stems),
        )
        self.blocks = Blocks(words=words, kms_key_arn=self.parts.kms_key_arn)
        for queue in self.parts.queues:
            self._add_queue(queue)
        if self.parts.bucket is not None:
            add_bucket(self.blocks, self.parts.bucket)
        for name, arns in self.parts.policies.items():
            self._add_shared_policy(name, arns)
        if self.parts.functions:
            self.blocks.documents["functions_trust"] = trust("lambda.amazonaws.com")
        for worker in self.parts.functions:
            self._add_function(worker)
        for worker in self.parts.containers:
            self._add_container(worker)
        if self.parts.schedules:
            add_schedules(self.blocks, self.parts, now=self.now)

    def text(self, head: Sequence[str]) -> str:
        """The configuration as JSON.

        Args:
            head: The lines of the comment at its top.
        """
        code = {
            "type": "string",
            "description": "The path of the zip file of 'sqs-tasks bundle'",
            **({} if self.settings.code is None else {"default": self.settings.code}),
        }
        document = {
            "//": list(head),
            "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": _PROVIDER_VERSION}}},
            **({"variable": {"code_zip": code}} if self.parts.functions else {}),
            "data": {
                "aws_partition": {"current": {}},
                "aws_region": {"current": {}},
                "aws_caller_identity": {"current": {}},
                "aws_iam_policy_document": self.blocks.documents,
            },
            "resource": self.blocks.resources,
            **({"output": self.blocks.outputs} if self.blocks.outputs else {}),
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _add_queue(self, queue: QueuePart) -> None:
        body: dict[str, Any] = {
            "name": queue.queue_name,
            **({"fifo_queue": True} if queue.fifo else {}),
            **({"content_based_deduplication": True} if queue.content_based_deduplication else {}),
            **({"delay_seconds": queue.delay_seconds} if queue.delay_seconds else {}),
        }
        if queue.visibility_timeout_seconds is not None:
            body["visibility_timeout_seconds"] = queue.visibility_timeout_seconds
        body["message_retention_seconds"] = queue.message_retention_seconds
        if queue.dead_letter_arn is not None:
            target, receives = json.dumps(queue.dead_letter_arn), queue.max_receive_count
            body["redrive_policy"] = self.blocks.words.fill(
                f'{{"deadLetterTargetArn":{target},"maxReceiveCount":{receives}}}'
            )
        allowed: dict[str, Any] = {"redrivePermission": "denyAll"}
        if queue.sources is None:
            allowed = {"redrivePermission": "allowAll"}
        elif queue.sources:
            allowed = {"redrivePermission": "byQueue", "sourceQueueArns": list(queue.sources)}
        # By name and not by reference: the source refers to this queue already, and circles are refused (S45).
        body["redrive_allow_policy"] = self.blocks.words.fill(
            json.dumps(allowed, separators=(",", ":")), references=False
        )
        self.blocks.add_locked_queue(self._ids[queue.name], body, queue.description)

    def _add_shared_policy(self, name: str, arns: Sequence[str]) -> None:
        from sqs_tasks.deployment.iam_policy import SEND_ACTIONS

        statement = {"Sid": "SendFurther", "Action": list(SEND_ACTIONS), "Resource": arns}
        made = f"{snake(name)}_send"
        self.blocks.documents[made] = {"statement": [self._statement(statement)]}
        self.blocks.add(
            "aws_iam_policy",
            made,
            {"name_prefix": f"{self.parts.queue_prefix}{snake(name)}-", "policy": document_of(made)},
            "For workers whose tasks do not say to which queues they add jobs, or say many.",
        )

    def _add_function(self, worker: WorkerPart) -> None:
        stem, plan = self._ids[worker.queue], worker.plan
        name = self._names[worker.queue_name]
        reserved = self.settings.reserved_concurrency.get(worker.queue)
        self.blocks.add(
            "aws_cloudwatch_log_group",
            stem,
            {"name": f"/aws/lambda/{name}", "retention_in_days": plan["log_retention_days"]},
        )
        logs = {"Sid": "WriteLogs", "Action": LOG_ACTIONS, "Resource": [f"${{aws_cloudwatch_log_group.{stem}.arn}}:*"]}
        trace = {"Sid": "Trace", "Action": TRACE_ACTIONS, "Resource": ["*"]}
        own = [statement_of(logs), statement_of(trace)]
        self.blocks.documents[f"{stem}_worker"] = {"statement": [*own, *map(self._statement, worker.statements)]}
        self.blocks.add(
            "aws_iam_role", stem, {"name_prefix": prefix(name), "assume_role_policy": document_of("functions_trust")}
        )
        self.blocks.add(
            "aws_iam_role_policy",
            stem,
            {"name": "Worker", "role": f"${{aws_iam_role.{stem}.id}}", "policy": document_of(f"{stem}_worker")},
        )
        for shared in worker.shared:
            self.blocks.add(
                "aws_iam_role_policy_attachment",
                f"{stem}_{snake(shared)}",
                {
                    "role": f"${{aws_iam_role.{stem}.name}}",
                    "policy_arn": f"${{aws_iam_policy.{snake(shared)}_send.arn}}",
                },
            )
        self.blocks.add(
            "aws_lambda_function",
            stem,
            {
                "function_name": name,
                "description": f"Works the queue {worker.queue}",
                "filename": "${var.code_zip}",
                "source_code_hash": "${filebase64sha256(var.code_zip)}",
                "handler": plan["handler"],
                "runtime": f"python{self.settings.python}",
                "architectures": [self.settings.architecture],
                "timeout": plan["timeout_seconds"],
                "memory_size": plan["memory_mb"],
                **({} if reserved is None else {"reserved_concurrent_executions": reserved}),
                "role": f"${{aws_iam_role.{stem}.arn}}",
                "logging_config": {
                    "log_format": "Text",
                    "log_group": f"${{aws_cloudwatch_log_group.{stem}.name}}",
                },
                "tracing_config": {"mode": "Active"},
                "environment": {"variables": self._variables(worker)},
                "depends_on": [f"aws_iam_role_policy.{stem}"],
            },
            f"The function of queue {worker.queue!r} runs for up to {plan['timeout_seconds']:,} s, with batches of up "
            f"to {plan['event_source']['batch_size']}.",
        )
        if plan["allow_recursive_loop"]:
            self.blocks.add(
                "aws_lambda_function_recursion_config",
                stem,
                {"function_name": f"${{aws_lambda_function.{stem}.function_name}}", "recursive_loop": "Allow"},
            )
        self._add_mapping(worker, stem)

    def _add_mapping(self, worker: WorkerPart, stem: str) -> None:
        source, most = worker.plan["event_source"], self.settings.max_concurrency.get(worker.queue)
        window = source["batching_window_seconds"]
        self.blocks.add(
            "aws_lambda_event_source_mapping",
            stem,
            {
                "event_source_arn": self.blocks.words.fill(worker.queue_arn),
                "function_name": f"${{aws_lambda_function.{stem}.arn}}",
                "enabled": True,
                "batch_size": source["batch_size"],
                **({"maximum_batching_window_in_seconds": window} if window else {}),
                **({} if most is None else {"scaling_config": {"maximum_concurrency": most}}),
                "function_response_types": ["ReportBatchItemFailures"],
                # Lambda tries the rights when the mapping is made: they must be there first.
                "depends_on": [
                    f"aws_iam_role_policy.{stem}",
                    *(f"aws_iam_role_policy_attachment.{stem}_{snake(shared)}" for shared in worker.shared),
                ],
            },
        )

    def _add_container(self, worker: WorkerPart) -> None:
        stem = self._ids[worker.queue]
        self.blocks.documents[f"{stem}_worker"] = {"statement": [self._statement(one) for one in worker.statements]}
        self.blocks.add(
            "aws_iam_policy",
            f"{stem}_worker",
            {"name_prefix": prefix(function_name(worker.queue_name)), "policy": document_of(f"{stem}_worker")},
            f"What the containers of queue {worker.queue!r} may do. Their service is not here: see the top.",
        )
        shared = [f"${{aws_iam_policy.{snake(name)}_send.arn}}" for name in worker.shared]
        self.blocks.outputs[f"{stem}_worker"] = {
            "description": f"For the service that works queue {worker.queue}",
            "value": {
                "policy_arns": [f"${{aws_iam_policy.{stem}_worker.arn}}", *shared],
                "command": worker.plan["command"],
                "stop_timeout_seconds": worker.plan["stop_timeout_seconds"],
                "environment": self._variables(worker),
            },
        }

    def _variables(self, worker: WorkerPart) -> dict[str, str]:
        return self.blocks.words.environment(worker.plan["environment"], worker.variables)

    def _statement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        return statement_of({**statement, "Resource": [self.blocks.words.fill(arn) for arn in statement["Resource"]]})
