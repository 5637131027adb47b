"""``env.priority_queues("jobs", high=8, medium=3, low=1)``: a queue for each class, and tasks that are on all of them.

SQS knows no priority of a message. Several queues do, whose jobs get slots of the worker by weight: the low class is
slow while the high one has a backlog, and never stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.priorities.priority_task import PriorityTask
from sqs_tasks.queue import JobQueue
from sqs_tasks.settings import QueueOptions, TaskOptions
from sqs_tasks.task import AsyncTask

P = ParamSpec("P")
R = TypeVar("R")


class PriorityQueues(Mapping[str, JobQueue]):
    """The queues of several classes of jobs, by class, that of the greatest weight first.

    No order is promised between classes: a job of a lower class may run before one of a higher class that was sent
    earlier, and does so when their workers have room for both.

    Attributes:
        name: What the names of the queues begin with; ``jobs`` makes ``jobs_high``.
        default: The class of a job that names none.
    """

    def __init__(self, name: str, queues: Mapping[str, JobQueue], default: str) -> None:
        self.name = name
        self.default = default
        self._queues = queues

    def processor(
        self, job_name: str | None = None, /, *, replace: bool = False, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], AsyncTask[P, R]]:
        """Register a function as a task of all classes; see :meth:`~sqs_tasks.queue.JobQueue.processor`.

        ``task.delay(...)`` sends to the default class, ``task.options(priority="high").delay(...)`` to another. A
        ``schedule=`` adds jobs of the default class.
        """

        def register(fn: Callable[P, R]) -> AsyncTask[P, R]:
            return self._on_all(fn, lambda queue, own: queue.processor(job_name, replace=replace, **own)(fn), options)

        return register

    def batch_processor(
        self,
        job_name: str | None = None,
        /,
        *,
        batch_size: int = limits.MAX_BATCH_ENTRIES,
        replace: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Callable[[Callable[..., Any]], AsyncTask[..., Any]]:
        """The same for a batch processor; the jobs of one call are of one class."""

        def register(fn: Callable[..., Any]) -> AsyncTask[..., Any]:
            def on(queue: JobQueue, own: TaskOptions) -> AsyncTask[..., Any]:
                return queue.batch_processor(job_name, batch_size=batch_size, replace=replace, **own)(fn)

            return self._on_all(fn, on, options)

        return register

    def _on_all(
        self,
        fn: Callable[P, R],
        register: Callable[[JobQueue, TaskOptions], AsyncTask[P, R]],
        options: TaskOptions,
    ) -> AsyncTask[P, R]:
        default, unscheduled = self._queues[self.default], options.copy()
        unscheduled.pop("schedule", None)  # one schedule, and not one for each class
        task = register(default, options)
        for queue in self._queues.values():
            if queue is not default:
                register(queue, unscheduled)
        return cast("AsyncTask[P, R]", default.adopt(fn, task.name, partial(PriorityTask, queues=self)))

    def __getitem__(self, priority: str) -> JobQueue:
        """The queue of a class.

        Raises:
            ConfigurationError: There is no such class.
        """
        try:
            return self._queues[priority]
        except (KeyError, TypeError):
            raise ConfigurationError(
                f"priority={priority!r} is none of the classes of {self.name!r}; they are "
                f"{', '.join(map(repr, self._queues))}; leave it out for {self.default!r}"
            ) from None

    def __contains__(self, priority: object) -> bool:
        return priority in self._queues

    def __iter__(self) -> Iterator[str]:
        return iter(self._queues)

    def __len__(self) -> int:
        return len(self._queues)

    def __repr__(self) -> str:
        return f"<PriorityQueues {self.name} {', '.join(self._queues)}>"


def priority_queues(
    register: Callable[..., JobQueue],
    name: str,
    weights: Mapping[str, float],
    *,
    default: str | None = None,
    options: QueueOptions | None = None,
) -> PriorityQueues:
    """Register a queue for each class.

    Args:
        register: Registers a queue: ``env.queue``.
        name: What their names begin with.
        weights: The weight of each class.
        default: The class of jobs that name none; None takes the middle one, of two the lower.
        options: Further options of all the queues.

    Raises:
        ConfigurationError: A FIFO queue, fewer than two classes, a weight that is not above 0, or a default that is no
            class.
    """
    label = f"priority_queues({name!r})"
    if name.endswith(".fifo"):
        raise ConfigurationError(
            f"{label}: the jobs of one message group would be on several queues, and no order connects those; classes "
            f"have standard queues: leave '.fifo' out, or register FIFO queues by env.queue(..., weight=...)"
        )
    if len(weights) < 2:  # noqa: PLR2004 - one class is before no other
        raise ConfigurationError(
            f"{label}: {len(weights)} classes; there must be two or more, as in "
            f"priority_queues({name!r}, high=8, medium=3, low=1); for a single one use env.queue({name!r})"
        )
    taken = {"weight", "priority_group"} & set(options or ())
    if taken:
        raise ConfigurationError(
            f"{label}: options={options!r} says {min(taken)!r}, which the classes say themselves; options= takes any "
            "other option of env.queue; give the weight as in high=8"
        )
    for one, weight in weights.items():
        limits.check_number(weight, f"{label}: {one}", 0, whole=False, above=True)
    classes = sorted(weights, key=lambda one: -weights[one])
    chosen = classes[len(classes) // 2] if default is None else default
    if chosen not in weights:
        raise ConfigurationError(
            f"{label}: default={default!r} is none of the classes; they are {', '.join(map(repr, classes))}; name one "
            "of them, or leave default= out"
        )
    more: dict[str, Any] = dict(options or {})
    queues = {one: register(f"{name}_{one}", weight=weights[one], priority_group=name, **more) for one in classes}
    return PriorityQueues(name, queues, chosen)
