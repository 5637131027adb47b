"""The guards of a task, made at its registration from what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.guards.guard import Guard, RememberingEnvironment
from sqs_tasks.settings import QueueSettings, TaskSettings

#: Seconds for which a record is kept, and for which a job that is done is remembered: as long as SQS keeps a message.
DEFAULT_SECONDS = 14 * 86_400.0


def guards_of(
    env: RememberingEnvironment,
    queue: QueueSettings,
    task: TaskSettings,
    *,
    batch_size: int,
    check_parameter: Callable[[str, str], None],
) -> tuple[Guard, ...]:
    """The guards of a task, in the order in which they are asked.

    Raises:
        ConfigurationError: The environment has no store, or the task is a batch processor.
    """
    asked = next(
        text
        for text, is_asked in (
            ("debounce", task.debounce),
            ("unique", task.unique),
            ("limits", task.limits),
            ("record=True", task.record),
            ("idempotent=True", task.idempotent),
        )
        if is_asked
    )
    label = f"task {task.name!r} on queue {queue.name!r}: {asked}"
    if env.store is None:
        raise ConfigurationError(
            f"{label} needs a store, and the environment has none; try SQSEnv(store=SQLiteStore('jobs.db')) of "
            "sqs_tasks.store, or DynamoDBStore('jobs')"
        )
    if batch_size:
        raise ConfigurationError(
            f"{label} is for tasks that run one job at a time, and this is a batch processor of {batch_size}; "
            "leave it out, or register the task with queue.processor"
        )
    guards: list[Guard] = []
    if task.idempotent:
        from sqs_tasks.guards.once import Once

        guards.append(Once(env, once_seconds=task.once_seconds or DEFAULT_SECONDS))
    if task.debounce:
        guards.append(_debounce(env, queue, task, label, check_parameter))
    if task.unique:
        guards.append(_unique(env, queue, task, label, check_parameter))
    if task.limits:
        guards.append(_limits(env, queue, task, label, check_parameter))
    if task.record:
        from sqs_tasks.guards.records import Records
        from sqs_tasks.guards.sends import recorded_sends

        records = Records(
            env,
            queue_name=queue.name,
            task_name=task.name,
            content_type=queue.codec or env.codec,
            record_seconds=task.record_seconds or DEFAULT_SECONDS,
            has_dead_letters=queue.dead_letter_queue is not None,
            max_receive_count=queue.max_receive_count,
        )
        guards.append(records)
        recorded_sends(env)[queue.name, task.name] = records
    return tuple(guards)


def _limits(
    env: RememberingEnvironment,
    queue: QueueSettings,
    task: TaskSettings,
    label: str,
    check_parameter: Callable[[str, str], None],
) -> Guard:
    from sqs_tasks.guards.limiting import Limits, ScopedLimit
    from sqs_tasks.guards.named_limit import NamedLimit
    from sqs_tasks.store.limits import ConcurrencyLimit, RateLimit

    scoped: list[ScopedLimit] = []
    if not isinstance(task.limits, Sequence):
        raise ConfigurationError(f"{label}={task.limits!r} must be a list; try limits=[RateLimit(10, per_seconds=1)]")
    for number, one in enumerate(task.limits):
        limit = one.limit if isinstance(one, NamedLimit) else one
        if not isinstance(limit, (RateLimit, ConcurrencyLimit)):
            raise ConfigurationError(
                f"{label}: {limit!r} is no limit; try RateLimit(100, per_seconds=60), ConcurrencyLimit(3), or "
                "env.limit('crm', RateLimit(10))"
            )
        if limit.by is not None:
            check_parameter(limit.by, "limits")
        scope = one.name if isinstance(one, NamedLimit) else f"{queue.name}.{task.name}.{number}"
        scoped.append(ScopedLimit(scope, limit))
    return Limits(env, scoped)


def _unique(
    env: RememberingEnvironment,
    queue: QueueSettings,
    task: TaskSettings,
    label: str,
    check_parameter: Callable[[str, str], None],
) -> Guard:
    from sqs_tasks.guards.uniqueness import Uniqueness
    from sqs_tasks.store.coalescing import Unique

    if not isinstance(task.unique, Unique):
        raise ConfigurationError(f"{label}={task.unique!r} must be a Unique; try unique=Unique(by='customer_id')")
    if task.unique.by is not None:
        check_parameter(task.unique.by, "unique")
    return Uniqueness(env, task.unique, scope=f"{queue.name}.{task.name}")


def _debounce(
    env: RememberingEnvironment,
    queue: QueueSettings,
    task: TaskSettings,
    label: str,
    check_parameter: Callable[[str, str], None],
) -> Guard:
    from sqs_tasks.guards.debounced_sends import debounced_sends
    from sqs_tasks.guards.debouncing import Debouncing
    from sqs_tasks.store.coalescing import Debounce

    debounce = task.debounce
    if not isinstance(debounce, Debounce):
        raise ConfigurationError(f"{label}={debounce!r} must be a Debounce; try debounce=Debounce(by='customer_id')")
    if task.delay_seconds is None or task.delay_seconds < debounce.quiet_seconds:
        raise ConfigurationError(
            f"{label}: delay_seconds={task.delay_seconds!r} is less than quiet_seconds={debounce.quiet_seconds}, for "
            "which SQS must hold each job back; leave delay_seconds out"
        )
    if debounce.by is not None:
        check_parameter(debounce.by, "debounce")
    debouncing = Debouncing(env, debounce, scope=f"{queue.name}.{task.name}")
    debounced_sends(env)[queue.name, task.name] = debouncing
    return debouncing
