"""The child's side of the connection: what it answers, what it hears meanwhile, and when it ends."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from sqs_tasks import SQSEnv, current_job
from sqs_tasks.execution import event_loop
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Retried, Succeeded
from sqs_tasks.worker.children.forms import message_form, outcome_of_form
from sqs_tasks.worker.children.frames import ConnectionOverError, Frames
from sqs_tasks.worker.children.serving import ORPHANED_EXIT_CODE, JobServer


@pytest.fixture(autouse=True)
def healthy_loop(monkeypatch):
    """A child is a process of its own; here others' tests have lost loops in this one."""
    monkeypatch.setattr(event_loop, "_lost_in", 0)
    if event_loop.is_lost():
        monkeypatch.setattr(event_loop, "_shared", None)


class Link:
    """The worker's end, and a child that serves in a thread."""

    def __init__(self, env):
        ours, theirs = socket.socketpair()
        self.frames, self.theirs, self.exits = Frames(ours), Frames(theirs), []
        server = JobServer(self.theirs, env.queues, exit_now=self.exits.append)
        self.thread = threading.Thread(target=server.serve)
        self.thread.start()
        assert "ready" in self.frames.receive(10)

    def send(self, job_name, *, token=1, queue="work", count=1, is_batch=False):
        messages = [
            message_form(
                ReceivedMessage(f"m{n}", "r", "{}", message_attributes={"JobName": string_attribute(job_name)})
            )
            for n in range(count)
        ]
        self.frames.send(
            {
                "run": token,
                "queue": queue,
                "batch": is_batch,
                "messages": messages,
                "lease_until": 5.0 if count == 1 else None,
            }
        )

    def answer(self):
        """The first frame that is an answer, and those before it."""
        before = []
        while "attempt" in (frame := self.frames.receive(10)):
            before.append(frame)
        return frame, before

    def stop(self):
        self.frames.send({"stop": True})
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.close()

    def close(self):
        self.frames.close()
        for thread in threading.enumerate():
            if thread.name == "sqs-tasks-worker-link":
                thread.join(10)
        self.theirs.close()


@pytest.fixture
def env():
    return SQSEnv()


@pytest.fixture
def work(env):
    return env.queue("work")


def test_each_attempt_is_announced_with_its_jobs_and_its_timeout(env, work):
    """And its end, so that what hooks do afterwards is not limited."""
    work.processor("good", timeout=30)(lambda: None)
    work.processor("bad")(lambda: 1 / 0)
    work.batch_processor("many", batch_size=5, isolate_failures=True)(lambda items: 1 / len(items[1:]))
    link = Link(env)

    link.send("good")
    frame, before = link.answer()
    assert [outcome_of_form(form) for form in frame["outcomes"]] == [Succeeded()]
    assert before == [{"attempt": 30, "jobs": [["good", "m0"]]}, {"attempt": None}]
    link.send("bad", token=2)
    (outcome,) = map(outcome_of_form, link.answer()[0]["outcomes"])
    assert isinstance(outcome, Retried)
    link.send("many", token=3, count=2, is_batch=True)
    frame, before = link.answer()
    assert [type(outcome_of_form(form)) for form in frame["outcomes"]] == [Succeeded, Succeeded]
    assert before == [{"attempt": None, "jobs": [["many", "m0"], ["many", "m1"]]}]
    assert frame["spent"] is False
    link.send("good", token=4, queue="elsewhere")
    assert "ConfigurationError" in link.answer()[0]["escaped"]
    link.stop()
    assert link.exits == []


def test_child_whose_coroutine_was_given_up_takes_no_other_job(env, work):
    """It may go on, whatever it was told."""

    @work.processor("slow", timeout=0.01)
    async def slow() -> None:
        await asyncio.sleep(60)

    work.processor("quick")(lambda: None)
    link = Link(env)

    link.send("quick")
    assert link.answer()[0]["spent"] is False
    link.send("slow", token=2)
    frame, before = link.answer()
    assert (frame["spent"], before[0]["attempt"]) == (True, 0.01)
    assert isinstance(outcome_of_form(frame["outcomes"][0]), Retried)
    link.stop()


def test_loss_of_the_lease_reaches_the_task(env, work):
    """That of its own job, and of no other."""
    begun, seen = threading.Event(), []

    @work.processor("long")
    def long() -> None:
        lease = current_job().lease
        begun.set()
        seen.append((lease.wait_lost(10), lease.reason))

    link = Link(env)
    link.send("long", token=7)
    assert begun.wait(10)
    link.frames.send({"lost": 6, "reason": "another"})
    link.frames.send({"lost": 7, "reason": "refused"})

    link.answer()
    assert seen == [(True, "refused")]
    link.stop()


def test_child_without_a_worker_ends_at_once_while_a_job_runs(env, work):
    """Nobody would settle it; an idle one ends in order."""
    begun, over = threading.Event(), threading.Event()

    @work.processor("long")
    def long() -> None:
        begun.set()
        assert over.wait(10)

    link = Link(env)
    link.send("long")
    assert begun.wait(10)
    link.frames.close()
    over_by_then = until_any(link.exits)
    over.set()
    link.thread.join(10)
    assert over_by_then == [ORPHANED_EXIT_CODE]
    link.close()

    idle = Link(env)
    idle.frames.close()
    idle.thread.join(10)
    assert (idle.thread.is_alive(), idle.exits) == (False, [])
    with pytest.raises(ConnectionOverError):
        idle.frames.send({})
    idle.close()


def until_any(exits):
    """The exits, once there is one."""
    waited = threading.Event()
    for _ in range(1000):
        if exits:
            break
        waited.wait(0.01)
    return list(exits)
