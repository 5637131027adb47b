"""What the tests of applications use: queues in memory, drain, eager, assertions, events, and the pytest plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sqs_tasks import ConstantBackoff, MemorySession, RawQueue, Reject, Retry, SQSEnv
from sqs_tasks.errors import UnknownTaskError
from sqs_tasks.execution.eager import EagerDelivery
from sqs_tasks.outcome import Rejected, Retried, Succeeded
from sqs_tasks.testing import (
    assert_enqueued,
    drain,
    eager,
    enqueued,
    in_memory,
    lambda_context,
    lambda_event,
    refute_enqueued,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def env() -> SQSEnv:
    """An environment that would talk to AWS."""
    return SQSEnv(queue_prefix="app-")


def test_in_memory_has_every_registered_queue_and_goes_away_again(env: SQSEnv) -> None:
    """Dead-letter queues, FIFO queues and queues known by their URL included; each block starts empty."""
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/theirs.fifo"
    for name in ("emails", "orders.fifo", url):
        env.queue(name)

    for _ in range(2):
        with in_memory(env):
            for queue in env.queues.values():
                queue.add_job("x")
                assert queue.statistics().total == 1
            assert env.queue("emails").statistics().dead_letters == 0

    assert env.client._given is None


def test_drain_runs_jobs_that_tasks_add(env: SQSEnv) -> None:
    """A chain of jobs is run to its end."""
    queue, seen = env.queue("emails"), []

    @queue.processor("count")
    def count(n: int) -> None:
        seen.append(n)
        if n:
            count.delay(n - 1)

    with in_memory(env):
        count.delay(3)
        result = drain(queue)

    assert seen == [3, 2, 1, 0]
    assert (result.succeeded, result.failed) == (4, 0)
    assert repr(result) == "DrainResult(succeeded=4, failed=0)"


def test_drain_raises_what_a_task_raised_after_settling_it(env: SQSEnv) -> None:
    """The error is the test's to see, and the job waits for its next attempt as it would have."""
    queue = env.queue("emails")
    queue.processor("bad")(lambda: 1 / 0)
    with in_memory(env):
        queue.add_job("bad")
        with pytest.raises(ZeroDivisionError):
            drain(queue)

        assert queue.statistics().in_flight == 1
        assert drain(queue).runs == []


def test_drain_takes_a_retry_for_no_error(env: SQSEnv) -> None:
    """Retry is what the task wants; with wait=True its time is waited for."""
    queue, moments = env.queue("emails"), []

    @queue.processor("poll", max_attempts=5)
    def poll() -> None:
        moments.append(session.clock.now())
        if len(moments) < 3:
            raise Retry(delay_seconds=3600)

    with in_memory(env) as session:
        poll.delay()
        result = drain(queue, wait=True)

    assert [later - moments[0] for later in moments] == [0, 3600, 7200]
    assert result.succeeded == 1


def test_drain_stops_at_a_task_that_never_ends(env: SQSEnv) -> None:
    """A task that adds itself again is an error of the test and no endless loop."""
    queue = env.queue("emails")

    @queue.processor("again")
    def again() -> None:
        again.delay()

    with in_memory(env):
        again.delay()
        with pytest.raises(AssertionError, match="not empty after 20 runs"):
            drain(queue, max_jobs=20)


def test_drain_moves_max_age_and_redrive_by_the_clock(env: SQSEnv) -> None:
    """A job that got too old on the queues' clock is in the dead-letter queue, like one that failed too often."""
    queue = env.queue("emails", max_receive_count=2)
    queue.processor("old", max_age=60)(lambda: None)
    queue.processor("bad", backoff_policy=ConstantBackoff(1))(lambda: 1 / 0)
    with in_memory(env) as session:
        queue.add_job("old")
        session.advance(61)
        queue.add_job("bad")
        result = drain(queue, raise_errors=False, wait=True)

        assert [type(outcome) for _, outcome in result.runs] == [Rejected, Retried, Retried]
        assert queue.statistics().dead_letters == 2


def test_drain_keeps_the_order_of_fifo_groups(env: SQSEnv) -> None:
    """As a worker does: a failed job holds up its group, not the others."""
    queue, seen = env.queue("emails.fifo"), []

    @queue.processor("send", group_by="tenant", backoff_policy=ConstantBackoff(5))
    def send(tenant: str, n: int) -> None:
        seen.append((tenant, n))
        if seen == [("a", 0)]:
            raise ValueError

    with in_memory(env):
        for n in range(2):
            for tenant in "ab":
                send.delay(tenant, n)
        drain(queue, raise_errors=False)
        assert seen == [("a", 0), ("b", 0), ("b", 1)]
        drain(queue, wait=True)

    assert seen[3:] == [("a", 0), ("a", 1)]


def test_drain_works_raw_queues_and_batches(env: SQSEnv) -> None:
    """Everything that a worker would run."""
    raw, queue, seen = env.queue("events", RawQueue), env.queue("emails"), []
    raw.raw_processor()(lambda message: seen.append(message.body))
    queue.batch_processor("many", batch_size=25)(lambda messages: seen.append(len(messages)))
    with in_memory(env):
        raw.add_raw_job("hello")
        queue.task("many").map({"n": n} for n in range(30))
        drain(raw)
        drain(queue)

    assert seen == ["hello", 25, 5]


def test_assert_enqueued_finds_delayed_and_retried_jobs_by_some_of_their_arguments(env: SQSEnv) -> None:
    """And compares values as they arrive: a dataclass or a tuple as its sender wrote it."""
    queue = env.queue("emails")
    send = queue.processor("send", aliases=["old_send"])(lambda to, tags=(): 1 / 0)
    with in_memory(env):
        send.options(delay_seconds=60).delay("late")
        send.delay("now", tags=("a", "b"))
        queue.add_job("old_send", to="alias")
        drain(queue, raise_errors=False)

        assert [job.kwargs["to"] for job in assert_enqueued(send)] == ["late", "now", "alias"]
        assert len(assert_enqueued(send, tags=("a", "b"))) == 1
        refute_enqueued(send, to="never")
        with pytest.raises(AssertionError, match=r"no job 'send' with to='never'.*it has 3: send\(to='late'\)"):
            assert_enqueued(send, to="never")
        with pytest.raises(AssertionError, match="1 jobs 'send' with to='late'"):
            refute_enqueued(send, to="late")
        assert len(enqueued(queue)) == 3


def test_looking_into_a_real_queue_is_refused() -> None:
    """The error says how to get queues in memory."""
    env = SQSEnv(sqs_client=object())
    send = env.queue("https://sqs.eu-west-1.amazonaws.com/1/q").processor("send")(lambda: None)

    with pytest.raises(TypeError, match="in_memory"):
        assert_enqueued(send)


def test_eager_runs_jobs_through_codec_hooks_and_middleware(env: SQSEnv) -> None:
    """A job is what a worker would get; ids are given, batches and map work, SQS is not asked."""
    seen = []
    env = SQSEnv(middleware=[lambda job, call_next: (seen.append(job.job_name), call_next())[1]])
    queue = env.queue("emails")

    @queue.processor("send", pass_context=True)
    def send(values: object, context: object = None) -> None:
        seen.append((values, context))

    with eager(env) as delivery, env.context(user=1):
        assert isinstance(send.delay((1, {2})), str)
        with send.batch():
            send.delay("b")
        assert send.map([{"values": "m"}]) == 1

    assert seen == ["send", ((1, {2}), {"user": 1}), "send", ("b", {"user": 1}), "send", ("m", {"user": 1})]
    assert [type(outcome) for _, outcome in delivery.outcomes] == [Succeeded] * 3
    assert env.deliver is None


def test_eager_gives_the_sender_the_tasks_error(env: SQSEnv) -> None:
    """Or keeps it, when asked to; an unknown task is an error too."""
    queue = env.queue("emails")
    queue.processor("bad")(lambda: 1 / 0)
    queue.processor("no")(lambda: (_ for _ in ()).throw(Reject("no")))
    with eager(env):
        with pytest.raises(ZeroDivisionError):
            queue.add_job("bad")
        with pytest.raises(Reject):
            queue.add_job("no")
        with pytest.raises(UnknownTaskError, match="not registered on queue 'emails'"):
            queue.add_job("gone")
    with eager(env, raise_errors=False) as delivery:
        queue.add_job("bad")
    assert [type(outcome) for _, outcome in delivery.outcomes] == [Retried]


def test_eager_runs_async_tasks_and_batches() -> None:
    """An async task runs on the process's loop, a batch processor gets a list of one."""
    env, seen = SQSEnv(eager=True), []
    queue = env.queue("emails")

    @queue.processor("wait")
    async def wait(n: int) -> None:
        seen.append(n)

    queue.batch_processor("many")(lambda messages: seen.append(messages))  # noqa: PLW0108 - the argument has a name
    wait.delay(1)
    queue.add_job("many", n=2)

    assert seen == [1, [{"n": 2}]]
    assert isinstance(env.deliver, EagerDelivery)


def test_lambda_event_is_lambdas(env: SQSEnv) -> None:
    """Baked tasks and queues become records of the right queue, with the receive count asked for."""
    queue = env.queue("emails")
    send = queue.processor("send")(lambda to: None)
    with in_memory(env):
        send.delay("queued")
        event = lambda_event(send.bake("baked"), queue, receive_count=3)

    baked, queued = event["Records"]
    assert baked["eventSourceARN"].endswith(":app-emails")
    assert queued["eventSourceARN"].endswith(":app-emails")
    assert baked.keys() == queued.keys() - {"md5OfMessageAttributes"}
    assert [one["body"] for one in (baked, queued)] == ['{"to": "baked"}', '{"to": "queued"}']
    assert baked["attributes"]["ApproximateReceiveCount"] == "3"
    assert lambda_context(5).get_remaining_time_in_millis() == 5000


def test_memory_session_advances_with_its_own_clock() -> None:
    """A session on real time says why it cannot be advanced."""
    with pytest.raises(TypeError, match="ManualClock"):
        MemorySession().advance(1)


def test_the_example_project_passes() -> None:
    """examples/testing with the plugin, as a project of its own would run it."""
    result = _pytest(ROOT, "examples/testing", "-q")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "6 passed" in result.stdout


def test_the_plugin_finds_the_application_by_its_setting(tmp_path: Path) -> None:
    """And says what to set when it is missing."""
    (tmp_path / "shop.py").write_text(
        "from sqs_tasks import SQSEnv\nenv = SQSEnv()\ntask = env.queue('q').processor('t')(lambda: None)\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "def test_it(sqs):\n    from shop import task\n    from sqs_tasks.testing import assert_enqueued\n"
        "    task.delay()\n    assert_enqueued(task)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nsqs_tasks_app = shop:env\npythonpath = .\n")
    found = _pytest(tmp_path, "-q")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    missing = _pytest(tmp_path, "-q")

    assert "1 passed" in found.stdout, found.stdout + found.stderr
    assert "set sqs_tasks_app" in missing.stdout


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    """Where it is installed and not used it must not slow pytest down, nor hide lines from coverage."""
    code = (
        "import sys, sqs_tasks.pytest_plugin as p; "
        "print([m for m in sys.modules if m.startswith(('sqs_tasks.', 'boto')) and m != p.__name__])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert result.stdout.strip() == "[]"


def _pytest(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    installed = any(one.value == "sqs_tasks.pytest_plugin" for one in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "sqs_tasks.pytest_plugin"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
