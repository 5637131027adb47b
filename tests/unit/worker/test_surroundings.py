"""What surrounds a consumer in production: health, metrics, scale-in protection, recycling, signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import urllib.error
import urllib.request

import pytest

from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.readers import ForeignJob
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.worker import health as health_module
from sqs_tasks.worker.busy_watch import watching_busy
from sqs_tasks.worker.consumer import Consumer
from sqs_tasks.worker.fleet_health import FleetHealth
from sqs_tasks.worker.health import WorkerHealth, serving_health
from sqs_tasks.worker.memory_limit import MaxRSSShutdown, resident_bytes
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.poll_state import FAILING_SECONDS, STUCK_SECONDS, PollState
from sqs_tasks.worker.scale_in import ScaleInProtection
from sqs_tasks.worker.signals import SignalWatch
from sqs_tasks.worker.stop import Stop


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


# --- health ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def state(clock):
    return PollState("jobs", clock=clock)


def test_a_poll_that_lasts_longer_than_any_can_is_stuck(state, clock):
    """Live notices it; a worker that sits in its tasks lives (celery/celery#8243)."""
    health = WorkerHealth(lambda: [state], lambda: False, str)
    state.receiving()
    clock.now += STUCK_SECONDS
    assert health.live() == {}

    clock.now += 1
    assert health.live() == {"jobs": "its poll is stuck"}

    state.received()
    clock.now += 10 * STUCK_SECONDS
    assert health.live() == {}


def test_ready_needs_an_answer_of_sqs_now_and_then(state, clock):
    """Before the first answer, after a minute of errors, and while stopping it is not."""
    stopping = []
    health = WorkerHealth(lambda: [state], lambda: bool(stopping), str)
    assert health.ready() == {"jobs": "not polled yet"}

    state.receiving()
    state.received()
    assert health.ready() == {}

    state.receiving()
    state.failed("ThrottlingException")
    clock.now += FAILING_SECONDS + 1
    state.failed("ThrottlingException")
    assert health.ready() == {"jobs": "SQS answers ThrottlingException"}
    assert health.live() == {}

    state.received()
    stopping.append(1)
    assert health.ready() == {"worker": "stopping"}


def test_a_coroutine_that_blocks_the_event_loop_is_noticed(env, monkeypatch):
    """All async tasks and their timeouts stand still; the second probe sees it."""
    monkeypatch.setattr(health_module, "LOOP_STUCK_SECONDS", 0.01)
    queue = env.queue("jobs")
    blocking, go_on = threading.Event(), threading.Event()

    @queue.processor("blocks")
    async def blocks() -> None:
        blocking.set()
        go_on.wait(30)

    env.create_queues()
    consumer = Consumer([queue], concurrency=2, wait_seconds=0)
    health = WorkerHealth(list, lambda: False, str, consumer.loop_seconds_stuck)
    assert health.live() == {}
    blocks.delay()
    thread = threading.Thread(target=consumer.run, args=(MaxTasksShutdown(1),))
    thread.start()
    assert blocking.wait(10)

    assert health.live() == {}
    threading.Event().wait(0.02)
    assert health.live() == {"event loop": "an async task blocks it"}

    go_on.set()
    thread.join(10)
    assert health.live() == {}


def test_health_is_answered_over_http(state, clock):
    """200 or 503, with the reason."""
    with serving_health(WorkerHealth(lambda: [state], lambda: False, lambda: "x 1\n"), 0, host="127.0.0.1") as port:
        assert get(port, "/live") == (200, '{"status": "ok"}')
        status, body = get(port, "/ready")
        assert (status, json.loads(body)["because"]) == (503, {"jobs": "not polled yet"})
        assert get(port, "/metrics") == (200, "x 1\n")
        assert get(port, "/else")[0] == 404


def test_a_web_page_cannot_read_the_health_by_a_name_of_its_own(state):
    """DNS rebinding: the browser sends the page's name; probes use addresses, private names, or one that was given."""

    def status(port, host):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.putrequest("GET", "/metrics", skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    health = WorkerHealth(lambda: [state], lambda: False, lambda: "x 1\n")
    with serving_health(health, 0, host="127.0.0.1", allowed_hosts=["Probe.Example.com"]) as port:
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "[", ""):
            code, text = status(port, host)
            assert (code, "x 1" in text) == (403, False), host
        assert "--health-host NAME" in status(port, "evil.example")[1]
        for host in (
            None,
            f"127.0.0.1:{port}",
            "10.1.2.3:8080",
            "[::1]:8080",
            "localhost:8080",
            "worker:8080",
            "worker.default.svc.cluster.local:8080",
            "ip-10-1-2-3.eu-west-1.compute.internal",
            "probe.example.com:80",
        ):
            assert status(port, host) == (200, "x 1\n"), host


def test_the_workers_of_a_supervisor_are_summed_up(state, clock):
    """Metrics are added, reasons say whose they are, one that does not answer makes it not ready but alive."""
    texts = []
    for count in (1, 2):
        metrics = Metrics()
        metrics.count("sqs_tasks_received_total", count, queue="jobs")
        metrics.job("jobs", "work", "succeeded", 0.02)
        texts.append(metrics.render())
    health = [WorkerHealth(lambda: [state], lambda: False, text.__str__) for text in texts]
    with (
        serving_health(health[0], 0, host="127.0.0.1") as one,
        serving_health(health[1], 0, host="127.0.0.1") as two,
    ):
        fleet = FleetHealth(0, 2)
        fleet._ports = [one, two]

        assert 'sqs_tasks_received_total{queue="jobs"} 3' in fleet.metrics().splitlines()
        assert 'sqs_tasks_job_seconds_bucket{queue="jobs",task="work",le="0.025"} 2' in fleet.metrics().splitlines()
        assert fleet.metrics().count("# TYPE sqs_tasks_received_total counter") == 1
        assert fleet.ready() == {"worker 0, jobs": "not polled yet", "worker 1, jobs": "not polled yet"}
        assert fleet.live() == {}

    assert fleet.live() == {}
    assert fleet.ready() == {"worker 0": "does not answer", "worker 1": "does not answer"}


def test_metrics_of_a_worker(env):
    """What was received, what became of it and how long it took, by queue and task."""
    queue = env.queue("jobs")

    @queue.processor("quick")
    def quick() -> None: ...

    @queue.processor("fails")
    def fails() -> None:
        raise ValueError

    env.create_queues()
    quick.delay()
    quick.delay()
    fails.delay()
    metrics = Metrics()

    Consumer([queue], concurrency=2, wait_seconds=0, metrics=metrics).run(MaxTasksShutdown(3))

    text = metrics.render().splitlines()
    assert 'sqs_tasks_jobs_total{queue="jobs",task="quick",outcome="succeeded"} 2' in text
    assert 'sqs_tasks_jobs_total{queue="jobs",task="fails",outcome="retried"} 1' in text
    assert 'sqs_tasks_received_total{queue="jobs"} 3' in text
    assert 'sqs_tasks_job_seconds_count{queue="jobs",task="quick"} 2' in text
    assert 'sqs_tasks_jobs_in_progress{queue="jobs"} 0' in text
    assert "# TYPE sqs_tasks_leases_lost_total counter" in text
    assert metrics.value("sqs_tasks_received_total", queue="jobs") == 3


def test_senders_cannot_make_new_series(env):
    """Each would stay in the worker's memory and in every scrape."""
    queue = env.queue("jobs")
    queue.processor("quick", aliases=["fast"])(lambda: None)
    env.create_queues()
    for name in ("nobody", "nobody else", "fast"):
        queue.add_job(name)
    metrics = Metrics()

    Consumer([queue], concurrency=2, wait_seconds=0, metrics=metrics).run(MaxTasksShutdown(3))

    series = [line for line in metrics.render().splitlines() if line.startswith("sqs_tasks_jobs_total")]
    assert series == [
        'sqs_tasks_jobs_total{queue="jobs",task="(unknown)",outcome="unknown_task"} 2',
        'sqs_tasks_jobs_total{queue="jobs",task="quick",outcome="succeeded"} 1',
    ]
    assert 'sqs_tasks_job_seconds_count{queue="jobs",task="(unknown)"}' not in metrics.render()


def test_jobs_of_other_libraries_count_for_their_tasks(env):
    """A reader says which task a message is for; one that it cannot read belongs to no task."""

    def cron(body, _attributes, *, accept):
        if body != "tick":
            return None
        return ForeignJob(job_name="nightly", args=(), kwargs={}, context={}, job_id=None, content_type="json")

    queue = env.queue("jobs", readers=[cron])
    queue.processor("nightly")(lambda: None)
    env.create_queues()
    for body in ("tick", "tock"):
        env.client().send_message(QueueUrl=queue.queue_url, MessageBody=body)
    metrics = Metrics()

    Consumer([queue], concurrency=2, wait_seconds=0, metrics=metrics).run(MaxTasksShutdown(2))

    series = {line for line in metrics.render().splitlines() if line.startswith("sqs_tasks_jobs_total")}
    assert series == {
        'sqs_tasks_jobs_total{queue="jobs",task="nightly",outcome="succeeded"} 1',
        'sqs_tasks_jobs_total{queue="jobs",task="(unknown)",outcome="rejected"} 1',
    }


def test_labels_are_escaped():
    """A task may be called anything."""
    metrics = Metrics()

    metrics.count("sqs_tasks_jobs_total", task='a"b\\c\nd')

    assert 'sqs_tasks_jobs_total{task="a\\"b\\\\c\\nd"} 1' in metrics.render()


# --- scale-in protection --------------------------------------------------------------------------------------------


class Agent:
    def __init__(self):
        self.calls = []
        self.errors = []
        self.called = threading.Condition()

    def __call__(self, url, body):
        with self.called:
            self.calls.append((url, json.loads(body)))
            self.called.notify_all()
            if self.errors:
                raise self.errors.pop()

    def wait_for(self, count):
        with self.called:
            assert self.called.wait_for(lambda: len(self.calls) >= count, 10), self.calls


def test_protection_follows_busy_and_idle():
    """One call for each change, none for what is so already."""
    agent = Agent()
    protection = ScaleInProtection("http://agent/", put=agent)

    protection.set_busy(True)
    agent.wait_for(1)
    protection.set_busy(True)
    protection.set_busy(False)
    agent.wait_for(2)
    protection.close()

    assert agent.calls == [
        ("http://agent/task-protection/v1/state", {"ProtectionEnabled": True, "ExpiresInMinutes": 60}),
        ("http://agent/task-protection/v1/state", {"ProtectionEnabled": False}),
    ]


def test_a_failed_call_is_made_again(caplog):
    """One failure must not leave the task unprotected for ever."""
    agent = Agent()
    agent.errors = [OSError("no agent")]
    protection = ScaleInProtection("http://agent", put=agent, retry_seconds=0.01)

    protection.set_busy(True)

    agent.wait_for(2)
    protection.close()
    assert any(r.__dict__.get("action") == "scale_in_protection_failed" for r in caplog.records)


def test_protection_is_renewed_before_it_expires():
    """For jobs that take longer than it lasts."""
    agent = Agent()
    protection = ScaleInProtection("http://agent", put=agent, expires_minutes=0.001)

    protection.set_busy(True)

    agent.wait_for(3)
    protection.close()


def test_closing_lets_the_task_go():
    """A worker that ends is not protected for another hour."""
    agent = Agent()
    protection = ScaleInProtection("http://agent", put=agent)
    protection.set_busy(True)
    agent.wait_for(1)

    protection.close()

    assert agent.calls[-1][1] == {"ProtectionEnabled": False}


def test_no_agent_no_protection():
    """Outside ECS nothing is asked of anybody."""
    assert ScaleInProtection.from_environment({}) is None


def test_busy_is_told_at_once_and_idle_after_a_while():
    """Between two jobs a worker is not idle; at the end it is."""
    running, told, changed = [0], [], threading.Condition()

    def on_change(busy):
        with changed:
            told.append(busy)
            changed.notify_all()

    with watching_busy(lambda: running[0], on_change, look_seconds=0.005, idle_seconds=0.02):
        running[0] = 1
        with changed:
            assert changed.wait_for(lambda: told == [True], 10)
        running[0] = 0
        with changed:
            assert changed.wait_for(lambda: told == [True, False], 10)
        running[0] = 3
        with changed:
            assert changed.wait_for(lambda: told == [True, False, True], 10)

    assert told == [True, False, True, False]


# --- recycling ------------------------------------------------------------------------------------------------------


def test_a_process_that_has_grown_wants_to_be_replaced(clock):
    """Looked at once a second and not at every job; once over, over."""
    rss = [100]
    policy = MaxRSSShutdown(1000, rss=lambda: rss[0], clock=clock)
    policy.update_state(BatchProcessingResult("jobs"))
    assert not policy.need_shutdown()

    rss[0] = 2000
    assert not policy.need_shutdown()
    clock.now += 1
    assert policy.need_shutdown()
    rss[0] = 0
    clock.now += 1
    assert policy.need_shutdown()


def test_resident_bytes_are_those_of_this_process():
    """Some tens of megabytes of Python, and not pages or kilobytes."""
    assert 10_000_000 < resident_bytes() < 4_000_000_000


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_second_signal_a_second_later_exits_at_once(clock):
    """With the code a shell expects."""
    heard, exits, stopping, done = [], [], threading.Event(), threading.Event()

    def stop(reason):
        heard.append(reason)
        stopping.set()

    def exit_now(code):
        exits.append(code)
        done.set()

    watch = SignalWatch(stop, exit_now=exit_now, clock=clock)
    with watch.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(10)
        clock.now += 1
        os.kill(os.getpid(), signal.SIGINT)
        assert done.wait(10)

    assert heard == ["SIGTERM"]
    assert exits == [128 + signal.SIGINT]


def test_signals_within_a_second_are_one_wish(clock):
    """A process group and a wrapper both pass the platform's on, be it the same signal or another."""
    heard, ours = [], threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: ours.set())
    watch = SignalWatch(heard.append, exit_now=heard.append, clock=clock)
    try:
        with watch.watching():
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
                clock.now += 0.3
            os.kill(os.getpid(), signal.SIGUSR1)
            assert ours.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert heard == ["SIGTERM"]


def test_a_signal_counts_although_the_wake_up_buffer_is_full():
    """Other signals that nobody reads in time must not make the one go unheard."""
    heard, stopping, held, let_go = [], threading.Event(), threading.Event(), threading.Event()

    def stop(reason):
        if reason == "stop()":
            held.set()
            let_go.wait(10)
        else:
            heard.append(reason)
            stopping.set()

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    watch = SignalWatch(stop)
    try:
        with watch.watching():
            watch.wake()
            assert held.wait(10)
            for _ in range(1000):  # the thread does not read meanwhile
                os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)
            let_go.set()
            assert stopping.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert heard == ["SIGTERM"]


def test_handlers_and_the_wakeup_descriptor_are_put_back():
    """An application's own handlers work again afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    watch = SignalWatch(lambda _: None)

    with watch.watching():
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_of_somebody_else_does_not_stop_the_worker():
    """SIGUSR1, SIGCHLD and SIGALRM come through the same descriptor."""
    heard, ours = [], threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: ours.set())
    watch = SignalWatch(heard.append)
    try:
        with watch.watching():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert ours.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert heard == []


def test_only_the_first_request_counts():
    """The grace period does not begin anew."""
    stop = Stop(10)
    told = []
    stop.on_request(lambda: told.append(1))
    assert stop.seconds_left() is None

    stop.request("a")
    stop.request("b")
    stop.on_request(lambda: told.append(2))

    assert told == [1, 2]
    assert 0 < stop.seconds_left() <= 10
