"""The books: what was sent, against what became of it.

Nothing here is assumed. What was sent is what SQS accepted, by the producer's outbox; what succeeded are tasks that
returned, by the journal the runs wrote; what died lies in the dead-letter queues, by the id of each message there;
what is left is what SQS counts in the queues. What is in none of these is lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqs_tasks import JobQueue, SQSEnv
from sqs_tasks.protocols import SQSClient

from . import journal
from .journal import Run
from .produce import Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One queue's books."""

    queue: str
    sent: int
    succeeded: int
    #: Jobs whose tasks ran more than once; they are among the succeeded and the dead.
    retried: int
    dead_lettered: int
    left: int
    lost: int
    #: Seconds from the first run's start to the last one's end.
    seconds: float
    processes: int
    #: What does not add up, or went otherwise than planned.
    problems: tuple[str, ...]


def close(env: SQSEnv, outbox: Path, journal_path: Path) -> list[Account]:
    """The accounts of all queues."""
    sent = [Sent(**json.loads(line)) for line in outbox.read_text(encoding="utf-8").splitlines()]
    runs = journal.read(journal_path)
    return [
        _account(
            queue,
            [one for one in sent if one.queue == queue.name],
            [run for run in runs if run.queue == queue.name],
        )
        for queue in env.queues.values()
        if isinstance(queue, JobQueue)
    ]


def waiting(queue: JobQueue) -> int:
    """Messages that are ready, in flight or delayed."""
    return queue.statistics().total


def _account(queue: JobQueue, sent: Sequence[Sent], runs: Sequence[Run]) -> Account:
    runs_of: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        runs_of[run.job_id].append(run)
    succeeded = {run.job_id for run in runs if run.error is None}
    dead, problems = _dead_letters(queue)
    left = waiting(queue)
    missing = {one.job_id for one in sent} - succeeded - set(dead)
    lost = max(len(missing) - left, 0)
    if len(sent) != len(succeeded) + len(dead) or left or lost:
        problems.append(
            f"{len(sent)} sent are not {len(succeeded)} succeeded + {len(dead)} dead-lettered, with none left or lost"
        )
    problems += _check(sent, runs_of, succeeded, dead)
    return Account(
        queue=queue.name,
        sent=len(sent),
        succeeded=len(succeeded),
        retried=sum(len(some) > 1 for some in runs_of.values()),
        dead_lettered=len(dead),
        left=left,
        lost=lost,
        seconds=max((run.ended_at for run in runs), default=0) - min((run.started_at for run in runs), default=0),
        processes=len({run.process_id for run in runs}),
        problems=tuple(problems),
    )


def _check(sent: Sequence[Sent], runs_of: dict[str, list[Run]], succeeded: set[str], dead: Sequence[str]) -> list[str]:
    """What became of each job, against the plan."""
    problems = [f"job {job_id} is in the dead-letter queue, and succeeded" for job_id in succeeded & set(dead)]
    strangers = (set(runs_of) | set(dead)) - {one.job_id for one in sent}
    problems += [f"job {job_id} was never sent" for job_id in strangers]
    for one in sent:
        became = "succeeded" if one.job_id in succeeded else "died" if one.job_id in dead else "stayed"
        planned = "succeeded" if one.succeeds else "died"
        if became != planned or len(runs_of[one.job_id]) != one.runs:
            problems.append(
                f"job {one.job_id} ({one.kind}) {became} after {len(runs_of[one.job_id])} runs; "
                f"it should have {planned} after {one.runs}"
            )
    return problems


def _dead_letters(queue: JobQueue) -> tuple[list[str], list[str]]:
    """The job ids in a queue's dead-letter queue, and what is wrong there."""
    name = queue.settings.dead_letter_queue
    if name is None:
        return [], []
    client, url = queue.env.client(), queue.env.get_queue_url(name)
    count = queue.statistics().dead_letters
    ids = [message["MessageAttributes"]["JobId"]["StringValue"] for message in _receive_all(client, url)]
    problems = [] if count == len(ids) == len(set(ids)) else [f"{name} has {count} messages of {len(set(ids))} jobs"]
    return ids, problems


def _receive_all(client: SQSClient, queue_url: str) -> Iterator[dict[str, Any]]:
    """Every message of a queue; they come back when their visibility ends."""
    while answer := client.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["JobId"]
    ).get("Messages"):
        yield from answer
