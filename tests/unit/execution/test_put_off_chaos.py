"""Jobs that are put off, tried again days later, fail and succeed, while SQS loses answers: the books balance."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sqs_tasks import ConstantBackoff, MemorySession, Postpone, Retry, SQSEnv, current_job
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.testing import drain

JOBS = 120

#: What a job does at each of its runs, and how many attempts it has then made.
PLANS = {
    "succeeds": ["ok"],
    "waits": ["postpone", "postpone", "ok"],
    "waits for days": ["postpone days", "ok"],
    "comes back in days": ["retry days", "ok"],
    "all of it": ["postpone", "retry days", "postpone days", "fail", "postpone", "ok"],
    "never works": ["retry days", "postpone", "fail", "fail"],
}
ATTEMPTS = {"succeeds": 1, "waits": 1, "waits for days": 1, "comes back in days": 2, "all of it": 3, "never works": 3}


class Losing:
    """A client that loses answers to deletes: the message is gone or is not, and its caller cannot know."""

    def __init__(self, client: Any, dice: random.Random) -> None:
        self._delete = client.delete_message_batch
        self._dice = dice
        self.may_repeat: set[str] = set()

    def delete_message_batch(self, **request: Any) -> Any:
        """DeleteMessageBatch."""
        if self._dice.random() < 0.1:
            self.may_repeat.update(entry["ReceiptHandle"] for entry in request["Entries"])
            raise ClientError({"Error": {"Code": "ReceiptHandleIsInvalid", "Message": "lost"}}, "DeleteMessageBatch")
        return self._delete(**request)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_books_balance(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job ends once as done or dead, after its attempts; only those whose delete was lost run more often."""
    dice = random.Random(seed)
    session = MemorySession(ManualClock())
    client = session.client("sqs")
    losing = Losing(client, dice)
    monkeypatch.setattr(client, "delete_message_batch", losing.delete_message_batch, raising=False)
    env = SQSEnv(backoff_policy=ConstantBackoff(30))
    queue = env.queue("jobs", max_receive_count=6)
    runs: Counter[str] = Counter()
    done: dict[str, list[int]] = {}
    began: dict[str, float] = {}
    early: list[str] = []

    @queue.processor("job", max_attempts=3)
    def job(number: int, plan: str) -> None:
        current = current_job()
        assert current is not None
        now = session.clock.now()
        if now < began.get(current.job_id, 0) - 1:
            early.append(current.job_id)
        step = PLANS[plan][min(runs[current.job_id], len(PLANS[plan]) - 1)]
        runs[current.job_id] += 1
        if step == "ok":
            done.setdefault(current.job_id, []).append(current.attempt)
            return
        seconds = 3 * 86_400 + number if step.endswith("days") else 40
        if step != "fail":
            began[current.job_id] = now + seconds
        if step.startswith("postpone"):
            raise Postpone(seconds)
        if step.startswith("retry"):
            raise Retry(delay_seconds=seconds)
        raise ValueError(number)

    with env.connected_to(client):
        env.create_queues()
        plans = {
            job.delay(number=number, plan=plan).job_id: plan
            for number, plan in enumerate(dice.choices(list(PLANS), k=JOBS))
        }
        result = drain(queue, wait=True, raise_errors=False, max_jobs=100_000)
        dead = _letters(client, env.get_queue_url("jobs_dead"))

    repeated = {message.job_id for message, _ in result.runs if message.receipt_handle in losing.may_repeat}
    assert losing.may_repeat, "nothing was lost, so nothing was shown"
    assert {str(one) for one in done} | dead == {str(one) for one in plans}, "jobs that ended nowhere"
    for job_id, plan in plans.items():
        if job_id in repeated:
            continue
        assert runs[str(job_id)] == len(PLANS[plan]), plan
        assert done.get(str(job_id), []) == ([] if plan == "never works" else [ATTEMPTS[plan]]), plan
        assert (job_id in dead) == (plan == "never works"), plan
        assert job_id not in early, plan


def _letters(client: Any, url: str) -> set[str]:
    """The job ids of all dead letters."""
    found: set[str] = set()
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
        "Messages"
    ):
        found.update(one["MessageAttributes"]["JobId"]["StringValue"] for one in messages)
    return found
