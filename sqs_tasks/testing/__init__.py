"""For the tests of applications: queues in memory, jobs run to the end, and assertions about what was enqueued.

::

    def test_signing_up_sends_a_welcome() -> None:
        with in_memory(env) as session:
            sign_up("a@example.com")

            assert_enqueued(send_email, to="a@example.com")
            drain(env.queue("emails"))

Nothing here sleeps: delays and retries are waited for by moving the clock of the queues in memory. The pytest plugin
:mod:`sqs_tasks.pytest_plugin` has the same as fixtures.
"""

from __future__ import annotations

from sqs_tasks.execution.eager import EagerDelivery
from sqs_tasks.execution.life import started
from sqs_tasks.testing.assertions import (
    assert_dead_lettered,
    assert_enqueued,
    enqueued,
    refute_dead_lettered,
    refute_enqueued,
)
from sqs_tasks.testing.lambda_events import lambda_context, lambda_event
from sqs_tasks.testing.queue_drain import MAX_JOBS, DrainResult, adrain, drain
from sqs_tasks.testing.single_runs import arun, run
from sqs_tasks.testing.substitutes import eager, in_memory

__all__ = [
    "MAX_JOBS",
    "DrainResult",
    "EagerDelivery",
    "adrain",
    "arun",
    "assert_dead_lettered",
    "assert_enqueued",
    "drain",
    "eager",
    "enqueued",
    "in_memory",
    "lambda_context",
    "lambda_event",
    "refute_dead_lettered",
    "refute_enqueued",
    "run",
    "started",
]
