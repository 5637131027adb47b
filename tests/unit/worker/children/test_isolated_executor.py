"""What becomes of jobs whose process died, did not start, or was ended by the stop of the worker."""

from __future__ import annotations

import contextlib

import pytest

from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.errors import JobCrashedError
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import SUCCEEDED, NotStarted, Rejected, Retried
from sqs_tasks.worker.children.child import ChildNotStartedError, Loss, LostJob
from sqs_tasks.worker.children.isolated_executor import IsolatedExecutor
from sqs_tasks.worker.memory_limit import warn_of_unlimited


class Children:
    """Children in name alone: each run gives the next of the results."""

    pid, is_stopping = 17, False

    def __init__(self, *results):
        self.results, self.runs, self.limits = list(results), [], []

    @contextlib.contextmanager
    def child(self, memory_mib=None):
        self.limits.append(memory_mib)
        yield self

    def run(self, queue_name, messages, *, is_batch, lease, memory_mib_of):
        self.runs.append((len(messages), is_batch))
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result if isinstance(result, LostJob) else [result] * len(messages)


def lost(loss=Loss.CRASH, *names, cause="SIGSEGV"):
    return LostJob(loss=loss, cause=cause, seconds=1.0, names=names, limit=5)


def message(name="go", message_id="m", **attributes):
    given = {} if name is None else {"JobName": string_attribute(name)}
    return ReceivedMessage(message_id, "r", "{}", attributes, given)


@pytest.fixture
def env():
    return SQSEnv(backoff_policy=ConstantBackoff(9))


@pytest.fixture
def queue(env):
    made = env.queue("work")
    made.processor("go", memory_mib=100)(lambda: None)
    return made


def executor(queue, *results):
    counted = []
    children = Children(*results)
    return IsolatedExecutor.of(queue.executor(), children, lambda *what: counted.append(what)), children, counted


def test_a_lost_job_has_failed_and_is_counted(env, queue, caplog):
    """By its task's rules, with a record that names the signal, and the hook that could not be called in the child."""
    seen = []
    env.post_task(lambda job, outcome: seen.append((job.job_name, type(outcome))))
    run, children, counted = executor(queue, lost())

    outcome = run.execute(message())

    assert outcome == Retried(
        delay_seconds=9, reason="JobCrashedError: its process ended: SIGSEGV", error=outcome.error
    )
    assert (counted, children.limits) == ([("work", "go", "crash")], [100])
    assert seen == [("go", Retried)]
    ended = next(record for record in caplog.records if record.action == "job_process_ended")
    assert (ended.cause, ended.job_name, ended.attempt) == ("SIGSEGV", "go", 1)


@pytest.mark.parametrize("name", [None, "nobody's"])
def test_a_job_that_died_before_its_task_was_known_comes_back(queue, name):
    """By the queue's backoff; the redrive policy ends it."""
    run, _, counted = executor(queue, lost())

    outcome = run.execute(message(name))

    assert (type(outcome), outcome.delay_seconds) == (Retried, 9)
    assert counted == [("work", "(unknown)", "crash")]


def test_a_job_of_another_library_is_known_by_what_the_child_has_read(queue):
    """Its name is in its body."""
    run, _, counted = executor(queue, lost(Loss.CRASH, ("go", "their-id")))
    foreign = message(None)

    assert run.execute(foreign).delay_seconds == 9
    assert counted == [("work", "go", "crash")]
    assert (foreign.job_name, foreign.job_id) == ("go", "their-id")


def test_a_task_may_say_that_a_crash_is_final(queue):
    """As of any other exception."""
    queue.processor("once", no_retry_on=(JobCrashedError,))(lambda: None)
    run, _, _ = executor(queue, lost(cause="SIGKILL"))

    outcome = run.execute(message("once"))

    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith("its process ended: SIGKILL, which the system sends when it has no memory left")


def test_what_did_not_run_has_not_failed(queue):
    """It goes back: at once at a stop, a moment later where no child could be started."""
    run, _, counted = executor(queue, ChildNotStartedError("exit code 1"), lost(Loss.STOP, cause="SIGKILL"))

    assert run.execute(message()) == NotStarted(
        reason="its process could not be started (exit code 1)", delay_seconds=5
    )
    assert run.execute(message()) == NotStarted(reason="the worker is stopping")
    assert counted == []


def test_a_batch_that_crashed_runs_one_by_one_where_the_task_wants_that(queue):
    """One that ran out of time or memory does not: it would use up more."""
    queue.batch_processor("many", isolate_failures=True)(lambda items: None)
    queue.batch_processor("all")(lambda items: None)
    batch = [message("many", "a"), message("many", "b")]

    run, children, _ = executor(queue, lost(), SUCCEEDED, lost())
    assert [type(one) for one in run.execute_batch(batch)] == [type(SUCCEEDED), Retried]
    assert children.runs == [(2, True), (1, True), (1, True)]
    for loss in (Loss.TIMEOUT, Loss.MEMORY):
        run, children, _ = executor(queue, lost(loss))
        assert [type(one) for one in run.execute_batch(batch)] == [Retried, Retried]
    run, children, _ = executor(queue, lost())
    assert len(run.execute_batch([message("all", "a"), message("all", "b")])) == len(children.runs) + 1 == 2


def test_a_memory_limit_that_nothing_enforces_is_a_warning(queue, caplog):
    """With the names of its tasks; where jobs have processes there is none."""
    warn_of_unlimited([queue], is_isolated=True)
    assert caplog.records == []
    warn_of_unlimited([queue], is_isolated=False)
    assert "memory_mib of work.go is not enforced here; work their queues with --isolate process" in caplog.text
