"""Options that tasks have by default: of the environment, of a queue, of the task."""

from __future__ import annotations

import pytest

from sqs_tasks import ConstantBackoff, RawQueue, SQSEnv
from sqs_tasks.errors import ConfigurationError


def test_a_task_goes_before_its_queue_and_a_queue_before_the_environment():
    """An option that is given counts, None included; what is effective is in the manifest."""
    env = SQSEnv(task_defaults={"timeout": 60, "max_attempts": 4, "backoff_policy": ConstantBackoff(7)})
    queue = env.queue("q", task_defaults={"max_attempts": 6})

    queue.processor("plain")(lambda: None)
    queue.processor("own", timeout=5, max_attempts=None)(lambda: None)
    queue.batch_processor("batch")(lambda jobs: None)
    env.queue("other").processor("of_env")(lambda: None)
    env.queue("raw", RawQueue).raw_processor()(lambda message: None)

    found = {
        task["name"]: (task["timeout_seconds"], task["max_attempts"])
        for one in env.manifest()["queues"]
        for task in one["tasks"]
    }
    assert found == {
        "plain": (60, 6),
        "own": (5, None),
        "batch": (60, 6),
        "of_env": (60, 4),
        "<lambda>": (60, 4),
    }
    assert queue.task("plain").settings.backoff_policy == ConstantBackoff(7)
    assert {one["name"]: one["max_receive_count"] for one in env.manifest()["queues"]} == {"q": 9, "other": 7, "raw": 7}


@pytest.mark.parametrize(
    ("defaults", "why"),
    [
        ({"time_out": 5}, "has 'time_out', which is no option of tasks; it may have backoff_policy, "),
        ({"aliases": ["a"]}, "has 'aliases', which belongs to one task"),
        ({"name": "a"}, "has 'name', which is no option of tasks"),
        ({"timeout": -1}, "timeout"),
    ],
)
def test_defaults_that_no_task_could_have_are_refused_where_they_are_written(defaults, why):
    """By the environment and by the queue, which is named."""
    with pytest.raises(ConfigurationError, match=rf"SQSEnv: .*{why}"):
        SQSEnv(task_defaults=defaults)
    with pytest.raises(ConfigurationError, match=rf"queue 'q': .*{why}"):
        SQSEnv().queue("q", task_defaults=defaults)
