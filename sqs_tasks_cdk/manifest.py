"""The registry as plain data: what ``env.manifest()`` and ``sqs-tasks manifest`` write and the constructs read.

``docs/manifest.md`` describes every field and ``manifest.schema.json``, beside this file, is its JSON Schema. This
reader checks what the schema cannot say as well: unique names, dead-letter queues of the same type, known targets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.errors import ManifestError
from sqs_tasks_cdk.manifest_fields import Fields, nearest, type_name
from sqs_tasks_cdk.manifest_schedules import ManifestSchedule
from sqs_tasks_cdk.store_names import ManifestStore

#: The version of the format that this reader understands.
SCHEMA_VERSION = 1

#: Where the JSON Schema of the format lies.
SCHEMA_PATH = Path(__file__).parent / "manifest.schema.json"

QueueKind = Literal["job", "raw"]
RunsOn = Literal["lambda", "fargate", "external"]

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.fifo)?")
_APP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestTask:
    """One registered task, as far as the stack needs to know it.

    Attributes:
        name: The name that messages carry.
        aliases: Older names that messages may still carry.
        timeout_seconds: How long one run may take; None when the task does not say.
        max_attempts: Runs before the task is given up; None leaves it to the queue's redrive policy.
        max_age_seconds: How old a job may be when it starts; None for any age.
        total_backoff_seconds: Seconds that the backoffs of all attempts add up to at most; None when unknown.
        enqueues: The logical names of the queues it adds jobs to; None when the task does not say.
        fair: Whether its jobs have tenants that SQS serves fairly: a standard queue's message groups.
        postpones: Whether its jobs go on by copies, which its worker sends to its own queue.
        schedules: When EventBridge Scheduler adds jobs of it.
    """

    name: str
    aliases: tuple[str, ...] = ()
    timeout_seconds: int | float | None = None
    max_attempts: int | None = None
    max_age_seconds: int | float | None = None
    total_backoff_seconds: int | float | None = None
    enqueues: tuple[str, ...] | None = None
    fair: bool = False
    postpones: bool = False
    schedules: tuple[ManifestSchedule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDeadLetterQueue:
    """Where messages go that could not be done.

    Attributes:
        name: The logical name, as in ``env.queue(name)``.
        queue_name: The name in SQS.
        queue_url: Where it is, when the registration says so: a queue that is there already. None when it does not.
    """

    name: str
    queue_name: str
    queue_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOffload:
    """Where the bodies of a queue go that are too large for messages.

    Attributes:
        bucket: A bucket that is there already; None for the one of the stack.
        prefix: What the keys of objects begin with.
        expire_days: Days after which an object is removed.
        removes: Whether workers remove it with its job.
    """

    bucket: str | None = None
    prefix: str = ""
    expire_days: int = 30
    removes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestQueue:
    """One queue of the registry with the tasks on it.

    Attributes:
        name: The logical name, as in ``env.queue(name)``.
        queue_name: The name in SQS: prefix, name, and ``.fifo`` for a FIFO queue.
        queue_url: Where it is, when the registration says so: a queue that is there already. None when it does not.
        kind: ``"job"`` for tasks, ``"raw"`` for messages that other services put there.
        fifo: Whether it is a FIFO queue. Can't be changed once the queue exists.
        content_based_deduplication: Whether SQS derives deduplication ids from the body; FIFO only.
        delay_seconds: How long SQS holds a new message back.
        visibility_timeout_seconds: As registered; None lets the consumers' timeouts decide (R2).
        message_retention_seconds: How long SQS keeps a message that nobody deletes.
        max_receive_count: Deliveries before the redrive policy moves a message; headroom included (R3).
        dead_letter_queue: None when the registration declined one.
        runs_on: What works the queue.
        weight: How much of a worker's concurrency it gets while other queues want it too.
        priority_group: Queues of one group have one service, whose jobs they share by weight; None for no group.
        offload: Where large bodies go; None keeps them in their messages.
        store: What its tasks are remembered in; None if they ask for nothing.
        tasks: In the order of registration.
    """

    name: str
    queue_name: str
    queue_url: str | None = None
    kind: QueueKind = "job"
    fifo: bool = False
    content_based_deduplication: bool = False
    delay_seconds: int = 0
    visibility_timeout_seconds: int | None = None
    message_retention_seconds: int = limits.DEFAULT_RETENTION_SECONDS
    max_receive_count: int = limits.MIN_LAMBDA_RECEIVE_COUNT
    dead_letter_queue: ManifestDeadLetterQueue | None
    runs_on: RunsOn = "lambda"
    weight: float = 1
    priority_group: str | None = None
    offload: ManifestOffload | None = None
    store: ManifestStore | None = None
    tasks: tuple[ManifestTask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole registry.

    Attributes:
        schema_version: Always 1.
        sqs_tasks_version: The version of sqs_tasks that wrote it.
        app: ``module:attribute`` of the environment, or None when it was written without one.
        queue_prefix: What every queue's name in SQS begins with; may be empty.
        stage: The stage that the prefix ends with, or None.
        given_prefix: What took the place of the registry's own prefix, without the stage; or None.
        queues: In the order of registration.
    """

    schema_version: int = SCHEMA_VERSION
    sqs_tasks_version: str
    app: str | None
    queue_prefix: str
    stage: str | None = None
    given_prefix: str | None = None
    queues: tuple[ManifestQueue, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``env.manifest()`` returned.

        Raises:
            ManifestError: A field is missing, unknown, of the wrong type or out of its range, or the queues do not fit
                together.
        """
        fields = Fields(data, path="")
        version = fields.integer("schema_version", low=1)
        if version != SCHEMA_VERSION:
            raise ManifestError(
                f"{version} is not a version this sqs_tasks_cdk reads, only {SCHEMA_VERSION} is; "
                "install the sqs-tasks release that wrote the manifest",
                path="schema_version",
            )
        manifest = cls(
            schema_version=version,
            sqs_tasks_version=fields.text("sqs_tasks_version"),
            app=_app(fields),
            queue_prefix=fields.text("queue_prefix", empty=True),
            stage=fields.optional_text("stage", absent=True),
            given_prefix=fields.optional_text("given_prefix", absent=True),
            queues=tuple(_queue(item) for item in fields.items("queues")),
        )
        fields.close()
        _check_together(manifest)
        return manifest

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the JSON text that ``sqs-tasks manifest`` prints.

        Raises:
            ManifestError: The text is not JSON, or :meth:`from_dict` refuses it.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ManifestError(f"not JSON ({error}); write it with 'sqs-tasks manifest module:env'") from error
        if not isinstance(data, dict):
            raise ManifestError(f"{type_name(data)} where an object is expected")
        return cls.from_dict(data)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a manifest file.

        Raises:
            ManifestError: There is no such file, or :meth:`from_json` refuses it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ManifestError(
                f"cannot read {str(path)!r} ({error.strerror}); write it with 'sqs-tasks manifest module:env > {path}'"
            ) from error
        return cls.from_json(text)

    @classmethod
    def read(cls, source: Manifest | Mapping[str, Any] | str | Path) -> Manifest:
        """Read a manifest from whatever holds it: itself, a mapping, or the path of a file."""
        if isinstance(source, Manifest):
            return source
        if isinstance(source, Mapping):
            return cls.from_dict(source)
        return cls.from_file(source)

    def queue(self, name: str) -> ManifestQueue:
        """The queue of that logical name.

        Raises:
            ManifestError: There is none; the text names the nearest.
        """
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise ManifestError(f"no queue is named {name!r}{nearest(name, [queue.name for queue in self.queues])}")


def _check_together(manifest: Manifest) -> None:
    """Refuse queues that contradict one another."""
    by_name: dict[str, int] = {}
    by_queue_name: dict[str, int] = {}
    for index, queue in enumerate(manifest.queues):
        path = f"queues[{index}]"
        for seen, value, field in ((by_name, queue.name, "name"), (by_queue_name, queue.queue_name, "queue_name")):
            if value in seen:
                raise ManifestError(
                    f"{value!r} is already the {field} of queues[{seen[value]}]; each queue needs its own",
                    path=f"{path}.{field}",
                )
            seen[value] = index
        if queue.queue_url is None and not queue.queue_name.startswith(manifest.queue_prefix):
            raise ManifestError(
                f"{queue.queue_name!r} does not begin with the queue_prefix {manifest.queue_prefix!r}",
                path=f"{path}.queue_name",
            )

    scheduled: set[str] = set()
    for index, queue in enumerate(manifest.queues):
        path = f"queues[{index}]"
        dead = queue.dead_letter_queue
        if dead is not None:
            _check_dead_letter_queue(manifest, queue, dead, path=f"{path}.dead_letter_queue")
        for number, task in enumerate(queue.tasks):
            for target in task.enqueues or ():
                if target not in by_name:
                    raise ManifestError(
                        f"{target!r} is not a queue of this registry{nearest(target, list(by_name))}",
                        path=f"{path}.tasks[{number}].enqueues",
                    )
            for place, schedule in enumerate(task.schedules):
                if schedule.name in scheduled:
                    raise ManifestError(
                        f"{schedule.name!r} is the name of another schedule already; each needs its own",
                        path=f"{path}.tasks[{number}].schedules[{place}].name",
                    )
                scheduled.add(schedule.name)


def _check_dead_letter_queue(
    manifest: Manifest, queue: ManifestQueue, dead: ManifestDeadLetterQueue, *, path: str
) -> None:
    seen = [queue.queue_name]
    following: ManifestDeadLetterQueue | None = dead
    while following is not None:
        if following.queue_name in seen:
            loop = " -> ".join([*seen, following.queue_name])
            raise ManifestError(f"dead letters would go in a circle ({loop}); give one of them another", path=path)
        seen.append(following.queue_name)
        target = next((other for other in manifest.queues if other.queue_name == following.queue_name), None)
        if target is not None and target.name != following.name:
            raise ManifestError(
                f"{following.queue_name!r} is the queue registered as {target.name!r}, not {following.name!r}",
                path=f"{path}.name",
            )
        following = target.dead_letter_queue if target is not None else None

    for other in manifest.queues:
        rival = other.dead_letter_queue
        if rival is None or (rival.name == dead.name) == (rival.queue_name == dead.queue_name):
            continue
        raise ManifestError(
            f"{dead.name!r} is {dead.queue_name!r} here and {rival.name!r} is {rival.queue_name!r} for queue "
            f"{other.name!r}; one logical name stands for one queue",
            path=path,
        )


def _app(fields: Fields) -> str | None:
    app = fields.optional_text("app")
    if app is not None and _APP.fullmatch(app) is None:
        raise ManifestError(
            f"{app!r} does not name an environment; it must read 'module:attribute', as in 'myapp.tasks:env'",
            path="app",
        )
    return app


def _queue(fields: Fields) -> ManifestQueue:
    fifo = fields.boolean("fifo")
    queue = ManifestQueue(
        name=fields.text("name"),
        queue_name=_queue_name(fields, fifo=fifo),
        queue_url=fields.optional_text("queue_url", absent=True),
        kind=cast("QueueKind", fields.choice("kind", get_args(QueueKind))),
        fifo=fifo,
        content_based_deduplication=fields.boolean("content_based_deduplication"),
        delay_seconds=fields.integer("delay_seconds", low=0, high=limits.MAX_DELAY_SECONDS),
        visibility_timeout_seconds=fields.optional_integer(
            "visibility_timeout_seconds", low=0, high=limits.MAX_VISIBILITY_SECONDS
        ),
        message_retention_seconds=fields.integer(
            "message_retention_seconds", low=limits.MIN_RETENTION_SECONDS, high=limits.MAX_RETENTION_SECONDS
        ),
        max_receive_count=fields.integer("max_receive_count", low=1, high=limits.MAX_RECEIVE_COUNT),
        dead_letter_queue=_dead_letter_queue(fields, fifo=fifo),
        runs_on=cast("RunsOn", fields.choice("runs_on", get_args(RunsOn))),
        weight=fields.positive_number("weight", absent=1),
        priority_group=fields.optional_text("priority_group", absent=True),
        offload=_offload(fields),
        store=ManifestStore.read(fields),
        tasks=tuple(_task(item) for item in fields.items("tasks")),
    )
    fields.close()
    if queue.content_based_deduplication and not fifo:
        raise ManifestError(
            f"queue {queue.name!r} is a standard queue, and only FIFO queues deduplicate; set it to false or fifo to "
            "true",
            path=f"{fields.path}.content_based_deduplication",
        )
    names: dict[str, str] = {}
    for task in queue.tasks:
        for name in (task.name, *task.aliases):
            if name in names:
                raise ManifestError(
                    f"{name!r} already names task {names[name]!r} on queue {queue.name!r}; a name or alias stands for "
                    "one",
                    path=f"{fields.path}.tasks",
                )
            names[name] = task.name
    return queue


def _queue_name(fields: Fields, *, fifo: bool) -> str:
    name = fields.text("queue_name")
    path = f"{fields.path}.queue_name"
    if len(name) > limits.MAX_QUEUE_NAME_CHARS:
        raise ManifestError(
            f"{name!r} has {len(name)} characters; SQS allows {limits.MAX_QUEUE_NAME_CHARS}, '.fifo' included; "
            "shorten the name or the queue_prefix",
            path=path,
        )
    if _QUEUE_NAME.fullmatch(name) is None:
        raise ManifestError(f"{name!r} has characters other than letters, digits, '-' and '_'", path=path)
    if fifo and not name.endswith(".fifo"):
        raise ManifestError(f"{name!r} must end with '.fifo' for a FIFO queue; try '{name}.fifo'", path=path)
    if not fifo and name.endswith(".fifo"):
        raise ManifestError(
            f"{name!r} ends with '.fifo' but fifo is false; set fifo to true or try {name.removesuffix('.fifo')!r}",
            path=path,
        )
    return name


def _dead_letter_queue(fields: Fields, *, fifo: bool) -> ManifestDeadLetterQueue | None:
    dead = fields.optional_object("dead_letter_queue")
    if dead is None:
        return None
    # The DLQ of a FIFO queue must be FIFO, and of a standard queue standard (S30); the suffix tells.
    queue = ManifestDeadLetterQueue(
        name=dead.text("name"),
        queue_name=_queue_name(dead, fifo=fifo),
        queue_url=dead.optional_text("queue_url", absent=True),
    )
    dead.close()
    return queue


def _offload(fields: Fields) -> ManifestOffload | None:
    offload = fields.optional_object("offload", absent=True)
    if offload is None:
        return None
    read = ManifestOffload(
        bucket=offload.optional_text("bucket"),
        prefix=offload.text("prefix", empty=True),
        expire_days=offload.integer("expire_days", low=1),
        removes=offload.boolean("removes"),
    )
    offload.close()
    return read


def _task(fields: Fields) -> ManifestTask:
    task = ManifestTask(
        name=fields.text("name"),
        aliases=fields.texts("aliases"),
        timeout_seconds=fields.optional_seconds("timeout_seconds"),
        max_attempts=fields.optional_integer("max_attempts", low=1, high=limits.MAX_RECEIVE_COUNT),
        max_age_seconds=fields.optional_seconds("max_age_seconds"),
        total_backoff_seconds=fields.optional_seconds("total_backoff_seconds", zero=True, absent=True),
        enqueues=fields.optional_texts("enqueues"),
        fair=fields.boolean("fair", absent=True),
        postpones=fields.boolean("postpones", absent=True),
        schedules=tuple(ManifestSchedule.read(item) for item in fields.items("schedules", absent=True)),
    )
    fields.close()
    return task
