"""The backend for Django's own tasks: what ``django.tasks.task`` decorates runs in a worker or function of an SQSEnv.

::

    TASKS = {
        "default": {
            "BACKEND": "sqs_tasks.integrations.django.task_backend.SQSBackend",
            "QUEUES": ["default", "emails"],
            "OPTIONS": {"APP": "shop.sqs:env"},
        }
    }
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.core.checks import CheckMessage, Error
from django.utils import timezone

from sqs_tasks.app_path import find_app
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError, SQSTasksError
from sqs_tasks.integrations.django import framework, task_runs
from sqs_tasks.integrations.django.project import app_of_settings
from sqs_tasks.queue import JobQueue
from sqs_tasks.receipts import PendingMessage, Receipt
from sqs_tasks.settings import TaskSettings
from sqs_tasks.task import AsyncTask, TaskWithOptions

_Base: Any = framework.backend_class()

_registering = threading.RLock()


class SQSBackend(_Base):  # type: ignore[misc]  # Django has no types
    """Sends jobs of Django's tasks to SQS, and has their workers run them.

    Each task is registered, under its module and name, on all queues of QUEUES when it is decorated. So a worker knows
    it if it imports the module, which ``include=autodiscover()`` sees to, and what a message says chooses no code. With
    ``QUEUES: []`` any queue may be named, and a task is registered on its own queue alone.

    OPTIONS:
        APP: The environment, as ``module:attribute``; that of the setting SQS_TASKS unless given.
    """

    supports_defer = True
    supports_async_task = True
    #: SQS keeps no results.
    supports_get_result = False
    #: SQS gives nothing precedence within a queue.
    supports_priority = False

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._queue_names = tuple(params.get("QUEUES", ("default",)))

    @cached_property
    def app(self) -> str:
        """Where the environment is.

        Raises:
            ConfigurationError: Neither OPTIONS nor the setting SQS_TASKS say.
        """
        return self.options.get("APP") or app_of_settings()

    @cached_property
    def env(self) -> SQSEnv:
        """The environment; the modules with its tasks may be in the middle of being imported."""
        return find_app(self.app)

    def validate_task(self, task: Any) -> None:
        """Refuse what cannot run here, and register the task where its jobs may go.

        Raises:
            InvalidTask: The task cannot run here.
            ConfigurationError: The environment cannot be found, or a queue of QUEUES takes no jobs.
        """
        super().validate_task(task)
        for name in self._queue_names or (task.queue_name,):
            self._register(task, name)

    def _register(self, task: Any, queue_name: str) -> None:
        queue = self._queue(queue_name)
        with _registering:
            known = queue.registry.get(task.module_path)
            if known is None or task_runs.function_of(known.processor.fn) is not task.func:
                run = task_runs.async_run if inspect.iscoroutinefunction(task.func) else task_runs.plain_run
                queue.processor(task.module_path, replace=True)(run(task, self.alias))

    def _queue(self, name: str) -> JobQueue:
        queue = self.env.queue(name)
        if not isinstance(queue, JobQueue):
            raise ConfigurationError(
                f"TASKS[{self.alias!r}]: queue {name!r} of {self.app} is a {type(queue).__name__}, which takes no "
                "jobs; leave it out of QUEUES"
            )
        return queue

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Send a job and return its TaskResult, whose id is the job's.

        Raises:
            InvalidTask: The task cannot run here.
            TypeError: The arguments do not fit the task, or are not JSON.
            SQSTasksError: As for ``delay()``.
        """
        prepared, result = self._prepared(task, args, kwargs)
        _enqueued(result, prepared.delay(result.args, result.kwargs))
        framework.part("signals").task_enqueued.send_robust(type(self), task_result=result)
        return result

    async def aenqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """As :meth:`enqueue`; the event loop goes on meanwhile."""
        if self.env.hold is not None:
            # The transaction that the job has to wait for is one of the thread in which Django runs the ORM.
            return await super().aenqueue(task, args, kwargs)
        prepared, result = self._prepared(task, args, kwargs)
        _enqueued(result, await prepared.adelay(result.args, result.kwargs))
        await framework.part("signals").task_enqueued.asend_robust(type(self), task_result=result)
        return result

    def _prepared(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[AsyncTask[..., Any] | TaskWithOptions[...], Any]:
        """What sends the job, and its TaskResult, which has no id yet."""
        self.validate_task(task)
        injected = (None,) if task.takes_context else ()
        try:
            inspect.signature(task.func).bind(*injected, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"task {task.module_path}: {error}") from None
        result = task_runs.new_result(task, self.alias, args, kwargs)
        registered = self._queue(task.queue_name).task(task.module_path)
        due = task.run_after
        if due is None:
            return registered, result
        return registered.options(run_at=timezone.make_aware(due) if timezone.is_naive(due) else due), result

    def settings_of(self, queue_name: str, name: str) -> TaskSettings:
        """The options that a task is registered with."""
        return self._queue(queue_name).task(name).settings

    def check(self, **_options: Any) -> Iterable[CheckMessage]:
        """What Django's checks show: the environment and its queues."""
        try:
            for name in self._queue_names:
                self._queue(name)
        except SQSTasksError as error:
            yield Error(f"TASKS[{self.alias!r}]: {error}", hint=_HINT, id="sqs_tasks.E003")


_HINT = 'Name the environment: TASKS = {"default": {..., "OPTIONS": {"APP": "shop.sqs:env"}}}'


def _enqueued(result: Any, receipt: Receipt) -> None:
    """Fill in what the send has brought. A job that waits for a commit is not enqueued yet."""
    object.__setattr__(result, "id", receipt.job_id or str(receipt))
    if not isinstance(receipt, PendingMessage) or receipt.message_id is not None:
        object.__setattr__(result, "enqueued_at", timezone.now())
