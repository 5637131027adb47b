"""Dead letters on their way back: all that are there are counted, and what dies again meanwhile is not taken again."""

from __future__ import annotations

import pytest

from sqs_tasks import DeadLetterQueue, MemorySession, SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.queue import JobQueue


@pytest.fixture
def session() -> MemorySession:
    return MemorySession(ManualClock())


@pytest.fixture
def env(session: MemorySession) -> SQSEnv:
    return SQSEnv(session)


@pytest.fixture
def jobs(env: SQSEnv) -> JobQueue:
    return env.queue("jobs")


@pytest.fixture
def dead(env: SQSEnv, jobs: JobQueue) -> DeadLetterQueue:
    dead = env.queue("jobs_dead", DeadLetterQueue.maker(jobs))
    env.create_queues()
    return dead


def test_dead_letters_in_flight_and_delayed_are_counted(jobs: JobQueue, dead: DeadLetterQueue) -> None:
    """Somebody looks at one in the console: it is a dead letter all the same."""
    for delay in (0, 0, 60):
        dead.add_raw_job("{}", delay_seconds=delay)
    dead.get_raw_messages(max_messages=1)

    statistics = dead.statistics()

    assert (statistics.available, statistics.in_flight, statistics.delayed) == (1, 1, 1)
    assert jobs.statistics().dead_letters == 3


def test_pushing_back_ends_while_jobs_die_again_as_fast(
    session: MemorySession, jobs: JobQueue, dead: DeadLetterQueue
) -> None:
    """Without a limit it takes those that are there when it starts."""
    for n in range(25):
        dead.add_raw_job(str(n))
    rounds: list[float] = []

    def die_again(seconds: float) -> None:
        rounds.append(seconds)
        assert len(rounds) < 10, "it goes on for ever"
        session.advance(2)  # past the delay of what is pushed back
        while messages := jobs.get_raw_messages():
            for message in messages:
                dead.add_raw_job(message.body)
            jobs.settlement().delete(messages)

    assert dead.push_back(messages_per_second=1000, sleep=die_again) == 25
    assert dead.statistics().total == 25
