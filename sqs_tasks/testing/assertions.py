"""Assertions about what is in queues in memory, which are looked into and not received from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqs_tasks.errors import UndecodableMessageError
from sqs_tasks.local import peek
from sqs_tasks.message import Job
from sqs_tasks.priorities.priority_task import PriorityTask
from sqs_tasks.queue import JobQueue
from sqs_tasks.settings import queue_name_in
from sqs_tasks.task import AsyncTask


def assert_enqueued(task: AsyncTask[..., Any], /, **kwargs: Any) -> list[Job]:
    """The jobs of a task in its queue that have these arguments, among others maybe; there is at least one.

    The queue is looked into, not received from. Jobs that are delayed or wait for a retry are found too.

    Raises:
        AssertionError: There is none; the text lists what the queue has instead.
        TypeError: The task has no such parameter, or the queue is not in memory.
    """
    return _assert_in(_places(task), task, kwargs)


def refute_enqueued(task: AsyncTask[..., Any], /, **kwargs: Any) -> None:
    """Make sure that no job of the task in its queue has these arguments.

    Raises:
        AssertionError: There is one.
        TypeError: The task has no such parameter, or the queue is not in memory: the jobs could not be found.
    """
    _refute_in(_places(task), task, kwargs)


def assert_dead_lettered(task: AsyncTask[..., Any], /, **kwargs: Any) -> list[Job]:
    """The jobs of a task in the dead-letter queue of its queue that have these arguments, among others maybe.

    Why a job was rejected is in ``job.message.attribute("FailureReason")``; one that SQS moved has none.

    Raises:
        AssertionError: There is none; the text lists what the dead-letter queue has instead.
        TypeError: The task has no such parameter, the queue is not in memory, or has no dead-letter queue.
    """
    return _assert_in(_dead_letter_places(task), task, kwargs)


def refute_dead_lettered(task: AsyncTask[..., Any], /, **kwargs: Any) -> None:
    """Make sure that no job of the task with these arguments is in the dead-letter queue of its queue.

    Raises:
        AssertionError: There is one.
        TypeError: As for :func:`assert_dead_lettered`.
    """
    _refute_in(_dead_letter_places(task), task, kwargs)


def enqueued(queue: JobQueue) -> list[Job]:
    """All jobs in a queue in memory, in the order of their arrival, whether they can be received now or not."""
    return [queue.job(one.message) for one in peek.stored_messages(queue.env.client(), queue.queue_url)]


class _Place(NamedTuple):
    """Where jobs of a queue may be."""

    #: The queue that they were sent to.
    queue: JobQueue
    #: The URL of that queue, or of its dead-letter queue.
    url: str
    #: What to call it in a sentence.
    name: str


def _assert_in(places: Sequence[_Place], task: AsyncTask[..., Any], kwargs: Mapping[str, Any]) -> list[Job]:
    found = [job for place in places for job in _matching(place.url, place.queue, task, kwargs)]
    if not found:
        raise AssertionError(
            f"no job {task.name!r} with {_shown(kwargs)} in "
            + ", nor in ".join(f"{place.name}; {_contents(place.url, place.queue)}" for place in places)
        )
    return found


def _refute_in(places: Sequence[_Place], task: AsyncTask[..., Any], kwargs: Mapping[str, Any]) -> None:
    for place in places:
        found = _matching(place.url, place.queue, task, kwargs)
        if found:
            raise AssertionError(f"{len(found)} jobs {task.name!r} with {_shown(kwargs)} in {place.name}")


def _matching(url: str, queue: JobQueue, task: AsyncTask[..., Any], kwargs: Mapping[str, Any]) -> list[Job]:
    _check_names(queue, task, kwargs)
    # As they look after their journey: a tuple arrives as a list.
    codec = queue.env.codecs.get(queue.env.codec)
    expected = codec.deserialize(codec.serialize(kwargs))
    names = {task.name, *task.settings.aliases}
    return [
        job
        for job in _readable(url, queue)
        if job.job_name in names and all(n in job.kwargs and job.kwargs[n] == v for n, v in expected.items())
    ]


def _check_names(queue: JobQueue, task: AsyncTask[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse what no job of the task can have: the assertion could never fail, or never hold."""
    if queue.env.deliver is not None:
        raise TypeError(
            f"jobs of {task.name!r} are not queued here, since the environment is eager and runs each where it is "
            "sent; look into eager(env).outcomes, or leave eager out"
        )
    registered = queue.registry.get(task.name)
    if registered is None or registered.batch_size:
        return  # what a job of a batch processor holds is not in its signature
    unknown = registered.processor.signature.unknown(kwargs)
    if unknown:
        raise TypeError(
            f"task {task.name!r} has no parameter {', '.join(map(repr, unknown))}, so none of its jobs can have it; "
            f"it is {registered.processor.signature}"
        )


def _places(task: AsyncTask[..., Any]) -> list[_Place]:
    """The queue of a task, or those of all classes."""
    return [_Place(queue, queue.queue_url, f"queue {queue.name!r}") for queue in _job_queues(task)]


def _dead_letter_places(task: AsyncTask[..., Any]) -> list[_Place]:
    """The dead-letter queue of a task's queue, or of those of all classes."""
    places = []
    for queue in _job_queues(task):
        dead = queue.settings.dead_letter_queue
        if dead is None:
            raise TypeError(
                f"queue {queue.name!r} has no dead-letter queue, so none of its jobs can be in it; "
                "give it one with dead_letter_queue="
            )
        name = queue_name_in(dead) if "://" in dead else dead
        places.append(_Place(queue, queue.dead_letter_queue_url(), f"dead-letter queue {name!r}"))
    return places


def _readable(url: str, queue: JobQueue) -> Iterator[Job]:
    for one in peek.stored_messages(queue.env.client(), url):
        try:
            yield queue.job(one.message)
        except UndecodableMessageError:
            continue


def _job_queue(task: AsyncTask[..., Any]) -> JobQueue:
    if not isinstance(task.queue, JobQueue):
        raise TypeError(f"task {task.name!r} is on {task.queue!r}, which holds no jobs")
    return task.queue


def _job_queues(task: AsyncTask[..., Any]) -> list[JobQueue]:
    """The queues that hold jobs of a task: one for each class, where it has classes."""
    if not isinstance(task, PriorityTask):
        return [_job_queue(task)]
    return [queue for queue in task.queues.values() if isinstance(queue, JobQueue)]


def _shown(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in kwargs.items()) or "any arguments"


def _contents(url: str, queue: JobQueue) -> str:
    jobs = [f"{job.job_name}({_shown(job.kwargs) if job.kwargs else ''})" for job in _readable(url, queue)]
    return f"it has {len(jobs)}: {'; '.join(jobs[:10])}" if jobs else "it is empty"
