"""The run of one of Django's tasks: what is registered for it, with its context and its signals."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from traceback import format_exception
from typing import Any

from django.conf import settings
from django.utils import timezone

from sqs_tasks.integrations.django import framework
from sqs_tasks.outcome import Postpone, Reject
from sqs_tasks.running import current_job

#: Where a function that is registered keeps the function of Django's task.
_ATTRIBUTE = "django_function"


def new_result(task: Any, alias: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The TaskResult of a job that is about to be sent, or to run.

    Raises:
        TypeError: An argument is not JSON.
    """
    base = framework.part("base")
    return base.TaskResult(
        task=task,
        id="",
        status=base.TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=alias,
        errors=[],
        worker_ids=[],
    )


def function_of(registered: Callable[..., Any]) -> Any:
    """The function of Django's task that a registered one runs; None if it runs none."""
    return getattr(registered, _ATTRIBUTE, None)


def plain_run(task: Any, alias: str) -> Callable[..., Any]:
    """What is registered for a plain function."""
    signals = framework.part("signals")

    def run(args: list[Any], kwargs: dict[str, Any]) -> Any:
        attempt = _Attempt(task, alias, args, kwargs)
        signals.task_started.send_robust(attempt.sender, task_result=attempt.result)
        try:
            value = task.func(*attempt.args, **kwargs)
        except BaseException as error:
            if attempt.failed(error):
                signals.task_finished.send_robust(attempt.sender, task_result=attempt.result)
            raise
        attempt.succeeded(value)
        signals.task_finished.send_robust(attempt.sender, task_result=attempt.result)
        return value

    return _named(run, task)


def async_run(task: Any, alias: str) -> Callable[..., Any]:
    """What is registered for an ``async def`` function."""
    signals = framework.part("signals")

    async def run(args: list[Any], kwargs: dict[str, Any]) -> Any:
        attempt = _Attempt(task, alias, args, kwargs)
        await signals.task_started.asend_robust(attempt.sender, task_result=attempt.result)
        try:
            value = await task.func(*attempt.args, **kwargs)
        except BaseException as error:
            if attempt.failed(error):
                await signals.task_finished.asend_robust(attempt.sender, task_result=attempt.result)
            raise
        attempt.succeeded(value)
        await signals.task_finished.asend_robust(attempt.sender, task_result=attempt.result)
        return value

    return _named(run, task)


def _named(run: Callable[..., Any], task: Any) -> Callable[..., Any]:
    run.__name__, run.__qualname__, run.__module__ = task.func.__name__, task.func.__qualname__, task.func.__module__
    run.__doc__ = task.func.__doc__
    setattr(run, _ATTRIBUTE, task.func)
    return run


class _Attempt:
    """One run of a job.

    Attributes:
        sender: The class of the backend, which sends the signals.
        result: Its TaskResult: what is known of the job here, since no store keeps it.
        args: What the function gets by position: the context first, if it takes one.
    """

    def __init__(self, task: Any, alias: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._base = base = framework.part("base")
        self._backend = framework.part().task_backends[alias]
        self.sender = type(self._backend)
        self._job = job = current_job()
        if job is not None and job.queue_name != task.queue_name:
            task = dataclasses.replace(task, queue_name=job.queue_name)
        self.result = new_result(task, alias, args, kwargs)
        now = timezone.now()
        self._set(status=self._base.TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
        if job is not None:
            # Which workers made the attempts before this one, nobody has noted; how many there were counts.
            self._set(id=job.job_id, enqueued_at=_as_configured(job.sent_at))
            self._set(worker_ids=[*([""] * (job.attempt - 1)), f"{socket.gethostname()}-{os.getpid()}"])
        context = (base.TaskContext(task_result=self.result),) if task.takes_context else ()
        self.args = (*context, *self.result.args)

    def failed(self, error: BaseException) -> bool:
        """Note why it failed; whether the job has failed with it, and no further attempt follows."""
        if not self._is_final(error):
            self._set(status=self._base.TaskResultStatus.READY)
            return False
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        errors = [self._base.TaskError(exception_class_path=name, traceback="".join(format_exception(error)))]
        self._set(status=self._base.TaskResultStatus.FAILED, finished_at=timezone.now(), errors=errors)
        return True

    def succeeded(self, value: Any) -> None:
        """Note that it is done."""
        self._set(status=self._base.TaskResultStatus.SUCCESSFUL, finished_at=timezone.now(), _return_value=value)

    def _is_final(self, error: BaseException) -> bool:
        job = self._job
        if job is None or isinstance(error, Reject):
            return True
        if isinstance(error, Postpone):
            return False
        given_up: tuple[type[BaseException], ...] = self._backend.settings_of(job.queue_name, job.task).no_retry_on
        return job.is_last_attempt or isinstance(error, given_up)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self.result, name, value)  # frozen, as Django's own backends know


def _as_configured(moment: datetime | None) -> datetime | None:
    """A moment as the project has them: aware, or naive in its time zone."""
    return moment if moment is None or settings.USE_TZ else timezone.make_naive(moment)
