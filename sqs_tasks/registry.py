"""The tasks of one queue by name: the only place a name on the wire is resolved (architecture, decision 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqs_tasks.errors import ConfigurationError, DuplicateTaskError
from sqs_tasks.processors import Processor
from sqs_tasks.settings import QueueSettings, TaskSettings

if TYPE_CHECKING:
    from sqs_tasks.guards.guard import Guard, RememberingEnvironment
    from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule
    from sqs_tasks.scheduling.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTask:
    """One registration: which function to call, and how."""

    settings: TaskSettings
    processor: Processor
    is_async: bool = False
    #: How many jobs one call takes, as a list; 0 calls the function once for each job.
    batch_size: int = 0
    #: Its schedules by label; the empty label is the one of the registration itself.
    schedules: dict[str, RegisteredSchedule] = field(default_factory=dict)
    #: What the store is asked around its jobs, in this order; nothing for tasks that ask for nothing.
    guards: tuple[Guard, ...] = ()

    @property
    def name(self) -> str:
        """The task's name on the wire."""
        return self.settings.name


class TaskRegistry:
    """Tasks by name and alias, in the order of registration. A name means one function, unless it is replaced."""

    def __init__(self, queue_name: str) -> None:
        self.queue_name = queue_name
        self._tasks: dict[str, RegisteredTask] = {}
        self._by_alias: dict[str, RegisteredTask] = {}

    def add(self, task: RegisteredTask, *, replace: bool = False) -> None:
        """Register a task.

        Args:
            task: The task.
            replace: Let it take the place of the tasks that have its name or its aliases.

        Raises:
            DuplicateTaskError: Its name or one of its aliases is taken.
        """
        for name in (task.name, *task.settings.aliases):
            taken = self.get(name)
            if taken is not None and not replace:
                raise DuplicateTaskError(
                    f"queue {self.queue_name!r} already has a task {name!r} ({taken.processor.fn!r}); "
                    f"give {task.processor.fn!r} another name, or pass replace=True to replace the other"
                )
            self._forget(name)
        self._tasks[task.name] = task
        for alias in task.settings.aliases:
            self._by_alias[alias] = task

    def _forget(self, name: str) -> None:
        """Free a name; a task that has it as its own goes with all its aliases."""
        self._by_alias.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            self._by_alias = {alias: one for alias, one in self._by_alias.items() if one is not task}

    def get(self, name: str) -> RegisteredTask | None:
        """The task of that name or alias, or None."""
        return self._tasks.get(name) or self._by_alias.get(name)

    def copy_to(self, registry: TaskRegistry, **changes: Any) -> None:
        """Register all tasks there too, their processors with these attributes changed; schedules stay here."""
        for task in self:
            registry.add(dataclasses.replace(task, processor=task.processor.copy(**changes), schedules={}))

    def all(self) -> tuple[RegisteredTask, ...]:
        """The tasks, in their order."""
        return tuple(self._tasks.values())

    def __iter__(self) -> Iterator[RegisteredTask]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self._tasks)


def guards_asked_for(
    env: RememberingEnvironment, queue: QueueSettings, task: TaskSettings, processor: Processor, batch_size: int
) -> tuple[Guard, ...]:
    """The guards of a task, from what it asks of the store; nothing is imported for one that asks for nothing.

    Raises:
        ConfigurationError: The environment has no store, or the task is a batch processor.
    """
    if not (task.record or task.idempotent or task.limits or task.unique or task.debounce):
        return ()
    from sqs_tasks.guards.resolved import guards_of

    check = processor.signature.check_parameter
    return guards_of(env, queue, task, batch_size=batch_size, check_parameter=check)


def keep_apart(env: RememberingEnvironment, task: RegisteredTask, schedule: Schedule, name: str) -> None:
    """Guard a task one of whose schedules says that its runs must not overlap.

    Raises:
        ConfigurationError: The environment has no store, or the task is a batch processor.
    """
    if schedule.overlap == "allow":
        return
    schedule.check_store(env.store)
    if task.batch_size:
        raise ConfigurationError(
            f"schedule {name!r}: overlap={schedule.overlap!r} is for tasks that run one job at a time, and this is a "
            f"batch processor of {task.batch_size}; leave it out, or register the task with queue.processor"
        )
    from sqs_tasks.guards.overlaps import Overlaps

    if not any(isinstance(guard, Overlaps) for guard in task.guards):
        # The one thing of a registration that is known only after it: schedules are added to it.
        object.__setattr__(task, "guards", (Overlaps(env, task.schedules), *task.guards))
