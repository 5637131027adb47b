"""What a plan asks for, part by part: the queues that are made, the functions, the rights, and what is left to others.

ARNs and URLs have the plan's placeholders; each form puts its own words in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqs_tasks.deployment.iam_policy import queue_arn
from sqs_tasks.deployment.rendering.settings import RenderSettings
from sqs_tasks.settings import PREFIX_VARIABLE, STAGE_VARIABLE

#: What a function does with its logs, on its own log group.
LOG_ACTIONS: Final = ("logs:CreateLogStream", "logs:PutLogEvents")

#: What a function does to be traced; X-Ray knows no resource for it.
TRACE_ACTIONS: Final = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")

#: Characters of the ARNs in one managed policy, which may have 6,144 in all.
_MAX_ARN_CHARS: Final = 5_500

#: Characters that an ARN is longer in an account than with placeholders, at most.
_PLACEHOLDER_GROWTH: Final = 20

#: The name of the rule that empties the bucket for large bodies.
REMOVE_BODIES: Final = "remove-bodies"

#: The statement of a worker's policy that names the queues which its tasks add jobs to.
_SEND_FURTHER: Final = "SendFurther"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePart:
    """A queue that is made.

    Attributes:
        name: Its name in code.
        queue_name: Its name in SQS.
        arn: Its ARN.
        fifo: Whether it is a FIFO queue.
        content_based_deduplication: Whether SQS derives deduplication ids from bodies.
        delay_seconds: How long SQS holds a new message back.
        visibility_timeout_seconds: None for a dead-letter queue that nobody works.
        message_retention_seconds: How long a message stays.
        max_receive_count: Deliveries before a message is dead-lettered; None without a dead-letter queue.
        dead_letter_arn: The dead-letter queue's ARN, or None.
        sources: The ARNs of the queues that may use it as their dead-letter queue; None for any.
    """

    name: str
    queue_name: str
    arn: str
    fifo: bool
    content_based_deduplication: bool = False
    delay_seconds: int = 0
    visibility_timeout_seconds: int | None = None
    message_retention_seconds: int
    max_receive_count: int | None = None
    dead_letter_arn: str | None = None
    sources: tuple[str, ...] | None = ()

    @property
    def description(self) -> str:
        """What it does, in a sentence."""
        if self.visibility_timeout_seconds is None:
            return f"Dead letters: {self.queue_name!r} keeps them for {self.message_retention_seconds // 86_400} days."
        text = f"Queue {self.name!r} hides a message for {self.visibility_timeout_seconds:,} s while it is worked"
        if self.max_receive_count is None:
            return f"{text}, and has no dead-letter queue."
        return f"{text}, and dead-letters it after {self.max_receive_count} deliveries."


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPart:
    """The bucket for bodies that are too large for messages.

    Attributes:
        name: Its name.
        expire_days: Days after which its objects are removed.
    """

    name: str
    expire_days: int

    @property
    def description(self) -> str:
        """What it does, in a sentence."""
        return f"Bodies that are too large for messages: a rule removes them after {self.expire_days} days."


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPart:
    """A worker of a queue.

    Attributes:
        queue: The name of its queue in code.
        queue_name: The name of its queue in SQS.
        queue_arn: The ARN of its queue.
        plan: What the plan says of it, but for what was set by hand.
        variables: Variables that it has besides those of the plan, with values as they stand.
        statements: The statements of its own policy.
        shared: The names of the managed policies that it has besides.
    """

    queue: str
    queue_name: str
    queue_arn: str
    plan: Mapping[str, Any]
    variables: Mapping[str, str]
    statements: tuple[Mapping[str, Any], ...]
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a rendering has.

    Attributes:
        app: Where workers find the registry, as ``module:attribute``.
        version: The release of sqs_tasks.
        queue_prefix: What the names of queues begin with; may be empty.
        stage: The variables of the stage that it was planned for; empty for none.
        queues: The queues that are made, each with its dead-letter queue before it.
        bucket: The bucket for large bodies; None if none is to be made.
        functions: The workers that are functions.
        containers: The workers that are not: their rights are made, their services are not.
        policies: Managed policies by name, each with the ARNs that may be sent to.
        schedules: What the plan says of schedules.
        schedule_targets: The ARNs of the queues that have schedules.
        queue_urls: The URLs of queues by their names in code.
        kms_key_arn: The key of the queues, or None.
        notes: What is not made, and what to do about it.
    """

    app: str
    version: str
    queue_prefix: str
    stage: Mapping[str, str]
    queues: tuple[QueuePart, ...]
    bucket: BucketPart | None
    functions: tuple[WorkerPart, ...]
    containers: tuple[WorkerPart, ...]
    policies: Mapping[str, tuple[str, ...]]
    schedules: tuple[Mapping[str, Any], ...]
    schedule_targets: tuple[str, ...]
    queue_urls: Mapping[str, str]
    kms_key_arn: str | None
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, plan: Mapping[str, Any], settings: RenderSettings) -> Parts:
        """The parts of a plan.

        Raises:
            ConfigurationError: The settings do not fit the plan.
        """
        settings.check(plan)
        arns = {one["name"]: _arn(one) for one in plan["queues"]}
        policies: dict[str, tuple[str, ...]] = {}
        workers = [_worker(one, arns, policies, settings) for one in plan["workers"]]
        scheduled = dict.fromkeys(arns[one["queue"]] for one in plan["schedule_definitions"])
        containers = tuple(one for one in workers if one.plan["runs_on"] != "lambda")
        return cls(
            app=plan["app"],
            version=plan["sqs_tasks_version"],
            queue_prefix=plan["queue_prefix"],
            stage={
                name: value
                for one in plan["workers"]
                for name, value in one["environment"].items()
                if name in (STAGE_VARIABLE, PREFIX_VARIABLE)
            },
            queues=tuple(_queues(plan)),
            bucket=_bucket(plan),
            functions=tuple(one for one in workers if one.plan["runs_on"] == "lambda"),
            containers=containers,
            policies=policies,
            schedules=tuple(plan["schedule_definitions"]),
            schedule_targets=tuple(scheduled),
            queue_urls={one["name"]: one["queue_url"] or _url(one["queue_name"]) for one in plan["queues"]},
            kms_key_arn=plan["kms_key_arn"],
            notes=tuple(_notes(plan, containers)),
        )


def _queues(plan: Mapping[str, Any]) -> Iterator[QueuePart]:
    """The queues that are not there already, dead-letter queues before their sources."""
    sources: dict[str, list[str]] = {}
    for queue in plan["queues"]:
        if queue["dead_letter_queue"] is not None:
            sources.setdefault(queue["dead_letter_queue"]["queue_name"], []).append(_arn(queue))
    listed = {queue["queue_name"]: queue for queue in plan["queues"]}
    done: set[str] = set()

    def one(queue: Mapping[str, Any]) -> Iterator[QueuePart]:
        if queue["queue_name"] in done or queue["queue_url"] is not None:
            return
        done.add(queue["queue_name"])
        dead = queue["dead_letter_queue"]
        if dead is not None and dead["queue_name"] in listed:
            yield from one(listed[dead["queue_name"]])
        elif dead is not None and dead["queue_url"] is None and dead["queue_name"] not in done:
            done.add(dead["queue_name"])
            yield QueuePart(
                name=dead["name"],
                queue_name=dead["queue_name"],
                arn=_arn(dead),
                fifo=queue["fifo"],
                message_retention_seconds=dead["message_retention_seconds"],
                sources=_admitted(sources[dead["queue_name"]]),
            )
        yield QueuePart(
            name=queue["name"],
            queue_name=queue["queue_name"],
            arn=_arn(queue),
            fifo=queue["fifo"],
            content_based_deduplication=queue["content_based_deduplication"],
            delay_seconds=queue["delay_seconds"],
            visibility_timeout_seconds=queue["visibility_timeout_seconds"],
            message_retention_seconds=queue["message_retention_seconds"],
            max_receive_count=queue["max_receive_count"],
            dead_letter_arn=None if dead is None else _arn(dead),
            sources=_admitted(sources.get(queue["queue_name"], ())),
        )

    for queue in plan["queues"]:
        yield from one(queue)


def _bucket(plan: Mapping[str, Any]) -> BucketPart | None:
    """One for all queues: where two rules are for one key S3 takes the shorter, and a body must outlast its message."""
    made = [one["offload"] for one in plan["queues"] if one.get("offload", {}).get("must_be_made")]
    return BucketPart(name=made[0]["bucket"], expire_days=max(one["expire_days"] for one in made)) if made else None


def _admitted(sources: Sequence[str]) -> tuple[str, ...] | None:
    from sqs_tasks_cdk.limits import MAX_REDRIVE_SOURCES

    return tuple(sources) if len(sources) <= MAX_REDRIVE_SOURCES else None


def _worker(
    plan: Mapping[str, Any],
    arns: Mapping[str, str],
    policies: dict[str, tuple[str, ...]],
    settings: RenderSettings,
) -> WorkerPart:
    """A worker, with the long lists of queues that it may send to in managed policies, which workers share."""
    statements: list[Mapping[str, Any]] = []
    shared: list[str] = []
    for statement in plan["policy"]["Statement"]:
        resources = list(statement["Resource"])
        if statement["Sid"] == _SEND_FURTHER:
            if plan["adds_jobs_anywhere"]:
                everywhere = list(arns.values())
                shared += _managed("anywhere", everywhere, policies)
                resources = [arn for arn in resources if arn not in everywhere]
            elif sum(map(_chars, resources)) > _MAX_ARN_CHARS:
                shared += _managed(f"{plan['queue']}-targets", resources, policies)
                resources = []
        if resources:
            statements.append({**statement, "Resource": resources})
    return WorkerPart(
        queue=plan["queue"],
        queue_name=arns[plan["queue"]].rpartition(":")[2],
        queue_arn=arns[plan["queue"]],
        plan={**plan, "memory_mb": settings.memory.get(plan["queue"], plan.get("memory_mb"))},
        variables=settings.variables,
        statements=tuple(statements),
        shared=tuple(shared),
    )


def _managed(name: str, arns: Sequence[str], policies: dict[str, tuple[str, ...]]) -> list[str]:
    """The names of the managed policies that allow to send to these queues; made when they are not there yet."""
    groups: list[list[str]] = [[]]
    for arn in arns:
        if groups[-1] and sum(map(_chars, [*groups[-1], arn])) > _MAX_ARN_CHARS:
            groups.append([])
        groups[-1].append(arn)
    names = [f"{name}{number}" for number in range(1, len(groups) + 1)]
    policies.update(dict(zip(names, map(tuple, groups), strict=True)))
    return names


def _chars(arn: str) -> int:
    return len(arn) + _PLACEHOLDER_GROWTH


def _arn(queue: Mapping[str, Any]) -> str:
    return queue_arn(
        queue["queue_name"],
        queue["queue_url"],
        partition="${partition}",
        region="${region}",
        account="${account}",
    )


def _url(queue_name: str) -> str:
    from sqs_tasks.deployment.plan import QUEUE_URL

    return f"{QUEUE_URL}{queue_name}"


def _notes(plan: Mapping[str, Any], containers: Sequence[WorkerPart]) -> Iterator[str]:
    polled = {one["queue"] for one in plan["workers"] if one["runs_on"] == "lambda"}
    for one in containers:
        where = "by containers" if one.plan["runs_on"] == "fargate" else "elsewhere"
        yield (
            f"Queue {one.queue!r} is worked {where}: the policy for that role is rendered, the service is not. Run "
            f"'{' '.join(one.plan['command'])}' with a stop timeout of {one.plan['stop_timeout_seconds']} s and the "
            f"variables that 'sqs-tasks plan {plan['app']} --json' prints."
        )
    for queue in plan["queues"]:
        if queue["queue_url"] is not None:
            yield _note_of_existing(queue, is_polled_by_lambda=queue["name"] in polled)
    for queue in plan["queues"]:
        offload = queue.get("offload")
        if offload is not None and not offload["must_be_made"]:
            yield (
                f"Large bodies of queue {queue['name']!r} go to the bucket {offload['bucket']!r}, which is there "
                f"already and is not made or changed. It needs a rule that removes {offload['prefix'] + '*'!r} after "
                f"{offload['expire_days']} days."
            )
    undeclared = [repr(one["queue"]) for one in plan["workers"] if one["adds_jobs_anywhere"]]
    if undeclared:
        yield (
            f"Tasks on {', '.join(undeclared)} do not say to which queues they add jobs, so that these workers may add "
            "jobs to every queue. Lambda stops a function whose jobs come back to it. Declare enqueues=['...'], which "
            "allows that, or enqueues=[] for none."
        )
    yield "Alarms and a dashboard are not rendered; docs/alarms.md says what to watch."


def _note_of_existing(queue: Mapping[str, Any], *, is_polled_by_lambda: bool) -> str:
    dead = queue["dead_letter_queue"]
    return (
        f"Queue {queue['name']!r} is there already ({queue['queue_url']}) and is not made or changed. It needs a "
        f"visibility timeout of {queue['visibility_timeout_seconds']} s or more"
        + ("." if dead is None else f", and a dead-letter queue {dead['queue_name']!r} beside it.")
        + (" Lambda polls it in its own Region only: deploy there." if is_polled_by_lambda else "")
    )
