"""The arithmetic of rules R1 to R4, without the CDK."""

from __future__ import annotations

import pytest

from sqs_tasks_cdk import rules
from sqs_tasks_cdk.errors import RuleError
from sqs_tasks_cdk.manifest import ManifestTask


def _tasks(*timeouts: float | None, attempts: int | None = None) -> list[ManifestTask]:
    return [
        ManifestTask(name=f"task{number}", timeout_seconds=timeout, max_attempts=attempts)
        for number, timeout in enumerate(timeouts)
    ]


@pytest.mark.parametrize(
    ("timeouts", "batch_size", "budget", "seconds"),
    [
        ((30,), 10, 900, 305),
        ((30,), 1, 900, 35),
        ((0.2,), 10, 900, 15),
        ((300,), 10, 900, 900),
        ((895,), 1, 900, 900),
        ((), 1, 900, 35),
        ((None,), 1, 20, 20),
        ((30,), 3, 20, 35),
    ],
)
def test_r1_function_timeout_covers_a_batch(
    timeouts: tuple[float | None, ...], batch_size: int, budget: int, seconds: int
) -> None:
    """R1: a batch of the slowest task fits, within the budget, but one declared timeout always does."""
    assert rules.function_timeout_seconds(_tasks(*timeouts), batch_size=batch_size, budget_seconds=budget) == seconds


def test_r1_task_too_long_for_lambda_is_named() -> None:
    """R1: the longest that fits is 900 s less the margin, and what is longer is sent to Fargate."""
    rules.check_tasks_fit_a_function(_tasks(895), queue="images")

    with pytest.raises(RuleError, match=r"task 'task1' on queue 'images' needs 901 s .*runs_on='fargate'.*\[R1\]"):
        rules.check_tasks_fit_a_function(_tasks(10, 895.5), queue="images")


@pytest.mark.parametrize(
    ("slowest", "fifo", "function_seconds", "size"),
    [
        (30, False, 900, 10),
        (300, False, 900, 2),
        (895, False, 900, 1),
        (1, True, 900, 1),
        (30, False, 100, 3),
        (30, False, 20, 1),
    ],
)
def test_default_batch_fits_the_function(slowest: int, fifo: bool, function_seconds: int, size: int) -> None:
    """Without a batch size, every record can run at its slowest; FIFO gets one (S23)."""
    assert rules.default_batch_size(slowest_seconds=slowest, fifo=fifo, function_seconds=function_seconds) == size


def test_r2_visibility_is_six_timeouts_and_the_window() -> None:
    """R2: 6 x function timeout + batching window, and the arithmetic is told when SQS does not allow it."""
    assert rules.lambda_visibility_seconds(function_seconds=305, window_seconds=20) == 1850

    with pytest.raises(
        RuleError, match=r"6 x 7200 s function timeout \+ 1 s batching window = 43201 s.*43200 s.*\[R2\]"
    ):
        rules.lambda_visibility_seconds(function_seconds=7200, window_seconds=1)


@pytest.mark.parametrize(("slowest", "seconds"), [(5, 60), (600, 605), (43_195, 43_200)])
def test_r2_poller_visibility_holds_one_run(slowest: int, seconds: int) -> None:
    """R2: a container worker's visibility outlasts one run of the slowest task."""
    assert rules.poller_visibility_seconds(slowest_seconds=slowest, queue="films") == seconds


def test_r2_task_longer_than_twelve_hours_is_refused() -> None:
    """R2: no heartbeat keeps a message longer than 12 hours from its receive."""
    with pytest.raises(RuleError, match=r"may run 43200 s.*split the task.*\[R2\]"):
        rules.poller_visibility_seconds(slowest_seconds=43_200, queue="films")


@pytest.mark.parametrize(
    ("visibility", "budget"), [(None, 900), (30, 30), (210, 35), (209, 209), (1_000, 166), (43_200, 900)]
)
def test_r2_visibility_by_hand_bounds_the_function(visibility: int | None, budget: int) -> None:
    """R2: a function of a queue whose visibility was set by hand stays within a sixth of it if it can."""
    assert rules.function_budget_seconds(slowest_seconds=30, visibility_seconds=visibility) == budget


@pytest.mark.parametrize(("attempts", "receives"), [(None, 5), (1, 5), (2, 5), (5, 8), (1_000, 1_000)])
def test_r3_receive_count_leaves_headroom(attempts: int | None, receives: int) -> None:
    """R3: max(5, attempts + 3), within what SQS allows."""
    assert rules.default_max_receive_count(_tasks(1, attempts=attempts)) == receives


def test_r3_fewer_receives_than_attempts_are_refused() -> None:
    """R3: a task whose last attempts could never run is named with the number that would do."""
    with pytest.raises(RuleError, match=r"dead-letters after 4 receives, but task 'task0' has 5.*at least 8.*\[R3\]"):
        rules.check_redrive(
            _tasks(1, attempts=5), queue="emails", max_receive_count=4, retention_seconds=60, dead_letter=True
        )

    rules.check_redrive(
        _tasks(1, attempts=5), queue="emails", max_receive_count=4, retention_seconds=60, dead_letter=False
    )


def test_r3_backoffs_longer_than_the_retention_are_refused() -> None:
    """R3: a job that would expire between two attempts is refused."""
    task = ManifestTask(name="nag", total_backoff_seconds=345_600.5)

    with pytest.raises(RuleError, match=r"backoffs of task 'nag'.*345601 s.*keeps a message for 345600 s.*\[R3\]"):
        rules.check_redrive([task], queue="emails", max_receive_count=8, retention_seconds=345_600, dead_letter=True)

    rules.check_redrive([task], queue="emails", max_receive_count=8, retention_seconds=345_601, dead_letter=True)


_MAPPING = {
    "queue": "emails",
    "fifo": False,
    "batch_size": 10,
    "window_seconds": 0,
    "max_concurrency": None,
    "provisioned_pollers": False,
    "reserved_concurrency": None,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_size": 1},
        {"batch_size": 10_000, "window_seconds": 1},
        {"batch_size": 10, "window_seconds": 300},
        {"fifo": True, "batch_size": 10},
        {"max_concurrency": 2},
        {"max_concurrency": 1_000},
        {"provisioned_pollers": True},
        {"reserved_concurrency": 1},
    ],
)
def test_r4_allowed_mappings_pass(changes: dict[str, int]) -> None:
    """R4: what Lambda accepts is accepted."""
    rules.check_mapping(**{**_MAPPING, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 0}, "batch_size 0 on queue 'emails' is out of range"),
        ({"batch_size": 11}, "set max_batching_window=Duration.seconds(1) or batch_size=10"),
        ({"batch_size": 10_001, "window_seconds": 1}, "Lambda allows 10000 at most"),
        ({"window_seconds": 301}, "allowed is 0 to 300 s"),
        ({"fifo": True, "window_seconds": 1}, "no batching window for FIFO queues; leave it out"),
        ({"fifo": True, "batch_size": 11}, "Lambda allows 10 for FIFO queues"),
        ({"max_concurrency": 1}, "for one at a time use a FIFO queue with one message group"),
        ({"max_concurrency": 1_001}, "Lambda allows 2 to 1000"),
        ({"max_concurrency": 2, "provisioned_pollers": True}, "max_concurrency and provisioned_pollers together"),
        ({"provisioned_pollers": True, "reserved_concurrency": 2}, "provisioned_pollers and reserved_concurrent_exec"),
    ],
)
def test_r4_refused_mappings_say_the_fix(changes: dict[str, int], says: str) -> None:
    """R4: what Lambda refuses, or what dead-letters healthy messages, is refused with what to do."""
    with pytest.raises(RuleError) as caught:
        rules.check_mapping(**{**_MAPPING, **changes})  # type: ignore[arg-type]

    assert caught.value.rule == "R4"
    assert says in str(caught.value)


@pytest.mark.parametrize(("minimum", "maximum"), [(1, 200), (201, 300), (2, 1), (10, 9), (2, 10_001)])
def test_r4_pollers_out_of_range_are_refused(minimum: int, maximum: int) -> None:
    """R4: 2 to 200 pollers can be kept, and up to 10,000 had."""
    with pytest.raises(RuleError, match=r"provisioned_pollers with a m(in|ax)imum of .*allowed is.*\[R4\]"):
        rules.check_pollers(queue="emails", minimum=minimum, maximum=maximum)

    rules.check_pollers(queue="emails", minimum=2, maximum=10_000)


def test_r6_loop_that_no_task_makes_is_refused() -> None:
    """R6: Lambda's guard stays on where every task says that it enqueues nothing."""
    with pytest.raises(RuleError, match=r"recursive_loop=ALLOW for queue 'emails'.*\[R6\]"):
        rules.check_recursion([ManifestTask(name="send", enqueues=())], queue="emails")

    rules.check_recursion([ManifestTask(name="send", enqueues=None)], queue="emails")
    rules.check_recursion([ManifestTask(name="send", enqueues=("emails",))], queue="emails")
    rules.check_recursion([ManifestTask(name="send", enqueues=(), postpones=True)], queue="emails")
