"""The rights that ``sqs-tasks iam`` prints, against those that the library's calls need.

The constructs of the stack grant the same; ``tests/infrastructure/test_twins.py`` compares them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sqs_tasks import ConstantBackoff, DeadLetterQueue, MemorySession, Reject, Retry, SQSEnv
from sqs_tasks.deployment.iam_policy import Role, iam_policy
from sqs_tasks.errors import BatchSendError
from sqs_tasks.outcome import Postpone
from sqs_tasks.shutdown_policies import IdleShutdown
from tests.support.recorded_rights import RightsRecorder

#: What an operator may do to watch and stop a move that SQS makes; the library does neither.
BY_HAND = {"sqs:CancelMessageMoveTask", "sqs:ListMessageMoveTasks"}


@pytest.fixture(params=["emails", "emails.fifo"])
def shop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An application on a standard and on a FIFO queue, whose calls are recorded from now on."""
    monkeypatch.setattr("sqs_tasks.shutdown_policies.SHORTEST_LONG_POLL_SECONDS", 0)
    client = MemorySession().client("sqs")
    recorder = RightsRecorder(client)
    env = SQSEnv(sqs_client=recorder, queue_prefix="shop-")
    queue = env.queue(request.param, backoff_policy=ConstantBackoff(0))
    further = env.queue(f"further{request.param.removeprefix('emails')}")
    tried: list[str] = []

    @queue.processor("send", max_attempts=3, enqueues=[further.name])
    def send(how: str) -> None:
        tried.append(how)
        if how == "retry" and tried.count(how) < 2:
            raise Retry(delay_seconds=0)
        if how == "postpone" and tried.count(how) < 2:
            raise Postpone(0)
        if how == "reject":
            raise Reject
        if how == "fail":
            raise ValueError
        further.add_job("done")

    env.create_queues()
    env.urls.forget(queue.get_sqs_queue_name())
    for name in ("emails", "emails_dead", "further"):
        env.urls.forget(f"shop-{name}{request.param.removeprefix('emails')}")
    recorder.needed.clear()
    return SimpleNamespace(env=env, queue=queue, send=send, recorder=recorder, client=client, further=further)


def allowed(shop: SimpleNamespace, role: Role) -> dict[str, set[str]]:
    """The actions by the name of their queue."""
    found: dict[str, set[str]] = {}
    for statement in iam_policy(shop.env.manifest(), role=role, queues=[shop.queue.name])["Statement"]:
        for arn in statement["Resource"]:
            found.setdefault(arn.rpartition(":")[2], set()).update(statement["Action"])
    return found


def excess(granted: dict[str, set[str]], needed: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is granted and was not needed."""
    left = {name: actions - needed.get(name, set()) for name, actions in granted.items()}
    return {name: actions for name, actions in left.items() if actions}


def test_producers_need_what_they_are_granted(shop: SimpleNamespace) -> None:
    """One by one, in batches and in streams; a FIFO queue is asked how it deduplicates, unless that is known."""
    shop.send.delay("ok")
    with shop.send.batch():
        shop.send.delay("ok")
    shop.send.map([{"how": "ok"}])
    shop.queue.statistics()

    needed = {
        name: actions for name, actions in shop.recorder.needed.items() if not name.startswith("shop-emails_dead")
    }
    assert needed == allowed(shop, "producer")


def test_workers_need_what_they_are_granted(shop: SimpleNamespace) -> None:
    """Whatever becomes of a job, with the numbers that the hook reports, and with what its tasks send further."""
    shop.env.report_queue_stats(lambda *_: None)
    for how in ("ok", "retry", "postpone", "fail", "reject"):
        shop.client.send_message(**_raw(shop, how))

    shop.queue.process_queue(IdleShutdown(0.2), report_interval_seconds=0.01)
    granted = allowed(shop, "worker")

    assert excess(shop.recorder.needed, granted) == {}
    assert excess(granted, shop.recorder.needed) == {
        # A FIFO queue's way to deduplicate is asked for; a standard queue is sent to without a question.
        **({} if shop.further.settings.fifo else {shop.further.get_sqs_queue_name(): {"sqs:GetQueueAttributes"}}),
    }


def test_operators_who_redrive_need_what_they_are_granted(shop: SimpleNamespace) -> None:
    """By messages that are pushed back, one of which is refused, and by SQS's own move."""
    dead_name = shop.queue.settings.dead_letter_queue
    dead = shop.env.queue(dead_name, DeadLetterQueue.maker(shop.queue))
    shop.recorder.needed.clear()
    url = shop.client.get_queue_url(QueueName=f"shop-{dead_name}")["QueueUrl"]
    for number in range(3):
        shop.client.send_message(**{**_raw(shop, "ok", number), "QueueUrl": url})

    dead.push_back(dry_run=True)
    dead.push_back(limit=1)
    with pytest.MonkeyPatch.context() as refusing:
        refusing.setattr(
            dead, "_push_back_all", lambda messages: [BatchSendError("refused", unsent=[])] * len(messages)
        )
        with pytest.raises(BatchSendError):
            dead.push_back(limit=1)
    shop.queue.statistics()
    dead.move_all()
    granted = allowed(shop, "redrive")

    assert excess(shop.recorder.needed, granted) == {}
    assert excess(granted, shop.recorder.needed) == {f"shop-{dead_name}": BY_HAND}


def _raw(shop: SimpleNamespace, how: str, number: int = 0) -> dict[str, Any]:
    """A message as a producer elsewhere would have sent it, so that it is no call of this one."""
    request = shop.send.bake(how).message().as_request()
    if shop.queue.settings.fifo:
        request |= {"MessageGroupId": how, "MessageDeduplicationId": f"{how}-{number}"}
    return {**request, "QueueUrl": shop.client.get_queue_url(QueueName=shop.queue.get_sqs_queue_name())["QueueUrl"]}
