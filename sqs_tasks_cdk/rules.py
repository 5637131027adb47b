"""The arithmetic that keeps a queue and its worker together: rules R1 to R4 as functions of numbers.

Nothing here knows the CDK, so the rules can be read, tested and used (``sqs-tasks diff``) without it. Every number of
time is in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.errors import RuleError
from sqs_tasks_cdk.manifest import ManifestTask

#: What a task without a timeout is taken to need.
ASSUMED_TASK_SECONDS = 30

#: What the handler keeps for settling and flushing once tasks are done: visibility calls, metrics, the response (S51).
FUNCTION_MARGIN_SECONDS = 5

#: Function timeouts that fit in one visibility timeout: room for Lambda to retry a throttled batch (S19).
VISIBILITY_FACTOR = 6

#: What a batch may take when nobody says: as long as ten tasks without a timeout. It bounds what a crash costs, which
#: is how long the queue hides the messages of the batch (S19).
MAX_BATCH_SECONDS = 10 * ASSUMED_TASK_SECONDS + FUNCTION_MARGIN_SECONDS

#: What a crash costs at most unless one task alone takes longer: half an hour.
MAX_CRASH_SECONDS = VISIBILITY_FACTOR * MAX_BATCH_SECONDS

#: The least visibility for a container worker; its heartbeat extends it while a task runs.
MIN_POLLER_VISIBILITY_SECONDS = 60


def task_seconds(task: ManifestTask) -> int:
    """How long one run of the task may take, rounded up."""
    return math.ceil(task.timeout_seconds if task.timeout_seconds is not None else ASSUMED_TASK_SECONDS)


def slowest_task_seconds(tasks: Sequence[ManifestTask]) -> int:
    """How long one run of the slowest of these tasks may take."""
    return max((task_seconds(task) for task in tasks), default=ASSUMED_TASK_SECONDS)


def longest_timeout_seconds(tasks: Sequence[ManifestTask]) -> int:
    """The longest timeout that a task declares, rounded up; 0 when none does."""
    return max((math.ceil(task.timeout_seconds) for task in tasks if task.timeout_seconds is not None), default=0)


def check_tasks_fit_a_function(
    tasks: Sequence[ManifestTask], *, queue: str, limit_seconds: int = limits.MAX_FUNCTION_SECONDS
) -> None:
    """Refuse a task that no Lambda function can finish in the time that it gets when nobody says (R1).

    Raises:
        RuleError: R1; the text names the task.
    """
    for task in tasks:
        needed = task_seconds(task) + FUNCTION_MARGIN_SECONDS
        if needed > limit_seconds:
            longer = (
                f"; or give the function timeout= (up to {limits.MAX_EXTENDED_FUNCTION_SECONDS} s) or a "
                f"capacity_provider= (up to {limits.MAX_MANAGED_FUNCTION_SECONDS} s)"
                if limit_seconds == limits.MAX_FUNCTION_SECONDS
                else ""
            )
            raise RuleError(
                "R1",
                f"task {task.name!r} on queue {queue!r} needs {needed} s ({task_seconds(task)} s timeout + "
                f"{FUNCTION_MARGIN_SECONDS} s to settle), and a Lambda function runs for {limit_seconds} "
                "s at most; register its queue with runs_on='fargate', use a FargateWorker, or lower the timeout"
                f"{longer}",
            )


def check_function_timeout(
    tasks: Sequence[ManifestTask],
    *,
    queue: str,
    seconds: int,
    limit_seconds: int = limits.MAX_EXTENDED_FUNCTION_SECONDS,
) -> None:
    """Refuse a function timeout that Lambda does not have, or in which a task cannot finish (R1).

    Raises:
        RuleError: R1; the text names the task.
    """
    if not 1 <= seconds <= limit_seconds:
        raise RuleError(
            "R1",
            f"timeout of {seconds} s for queue {queue!r}; a Lambda function runs for 1 to "
            f"{limit_seconds} s; use a FargateWorker for longer tasks",
        )
    for task in tasks:
        needed = task_seconds(task) + FUNCTION_MARGIN_SECONDS
        if task.timeout_seconds is not None and needed > seconds:
            raise RuleError(
                "R1",
                f"timeout of {seconds} s for queue {queue!r}, but task {task.name!r} may take {task_seconds(task)} s "
                f"and settling {FUNCTION_MARGIN_SECONDS} s; set it to {needed} s or more, or leave it out",
            )


def function_budget_seconds(
    *, slowest_seconds: int, visibility_seconds: int | None, limit_seconds: int = limits.MAX_FUNCTION_SECONDS
) -> int:
    """How long a function may be given when nobody says: Lambda's limit, or what the queue's visibility leaves.

    That is a sixth of a visibility set by hand if one run of the slowest task fits (S19), otherwise all of it (S18).
    """
    if visibility_seconds is None:
        return limit_seconds
    sixth = visibility_seconds // VISIBILITY_FACTOR
    enough = sixth if sixth >= slowest_seconds + FUNCTION_MARGIN_SECONDS else visibility_seconds
    return min(limit_seconds, enough)


def batch_budget_seconds(*, function_seconds: int, visibility_seconds: int | None) -> int:
    """How long the records of a batch may take together when nobody says how many there are.

    With a visibility set by hand, what a crash costs is decided, and a batch may use the function's whole budget.
    """
    return function_seconds if visibility_seconds is not None else min(function_seconds, MAX_BATCH_SECONDS)


def default_batch_size(*, slowest_seconds: int, fifo: bool, function_seconds: int = limits.MAX_FUNCTION_SECONDS) -> int:
    """The largest batch, up to ten, whose records can all run at their slowest inside one invocation.

    Records that an invocation returns unstarted cost a receive each, and receives are what the redrive policy counts
    (S23). A FIFO queue gets one, because a failure would return its whole group unstarted (S23).
    """
    if fifo:
        return 1
    fitting = (function_seconds - FUNCTION_MARGIN_SECONDS) // max(1, slowest_seconds)
    return max(1, min(limits.MAX_UNWINDOWED_BATCH, fitting))


def function_timeout_seconds(
    tasks: Sequence[ManifestTask], *, batch_size: int, budget_seconds: int = limits.MAX_FUNCTION_SECONDS
) -> int:
    """A function timeout in which a whole batch can run one record after another (R1).

    It stays within the budget, but never below what one run of the task with the longest timeout needs.
    """
    batch = slowest_task_seconds(tasks) * batch_size + FUNCTION_MARGIN_SECONDS
    return max(min(budget_seconds, batch), longest_timeout_seconds(tasks) + FUNCTION_MARGIN_SECONDS)


def lambda_visibility_seconds(*, function_seconds: int, window_seconds: int) -> int:
    """The visibility timeout for a queue with an event source mapping (R2, S19).

    Raises:
        RuleError: R2; more than SQS allows, with the arithmetic.
    """
    seconds = VISIBILITY_FACTOR * function_seconds + window_seconds
    if seconds > limits.MAX_VISIBILITY_SECONDS:
        raise RuleError(
            "R2",
            f"a visibility timeout of {VISIBILITY_FACTOR} x {function_seconds} s function timeout + {window_seconds} s "
            f"batching window = {seconds} s, and SQS allows {limits.MAX_VISIBILITY_SECONDS} s; lower the timeout or "
            "give visibility_timeout= yourself",
        )
    return seconds


def poller_visibility_seconds(*, slowest_seconds: int, queue: str) -> int:
    """The visibility timeout for a queue that container workers poll (R2).

    The heartbeat extends visibility while a task runs, so this is what a crash costs. One run of the slowest task fits
    in it all the same: a worker that loses its heartbeat must not have its work done twice.

    Raises:
        RuleError: R2; a task that can outlast the 12 hours that SQS keeps a message invisible.
    """
    seconds = max(MIN_POLLER_VISIBILITY_SECONDS, slowest_seconds + FUNCTION_MARGIN_SECONDS)
    if seconds > limits.MAX_VISIBILITY_SECONDS:
        raise RuleError(
            "R2",
            f"the slowest task on queue {queue!r} may run {slowest_seconds} s, and SQS keeps a message invisible for "
            f"{limits.MAX_VISIBILITY_SECONDS} s from its receive, heartbeat or not; split the task",
        )
    return seconds


def default_max_receive_count(tasks: Sequence[ManifestTask]) -> int:
    """Deliveries that let every attempt happen, throttled and returned deliveries included (R3, S42)."""
    attempts = max((task.max_attempts for task in tasks if task.max_attempts is not None), default=0)
    return min(limits.MAX_RECEIVE_COUNT, max(limits.MIN_LAMBDA_RECEIVE_COUNT, attempts + limits.RECEIVE_HEADROOM))


def check_redrive(
    tasks: Sequence[ManifestTask],
    *,
    queue: str,
    max_receive_count: int | None,
    retention_seconds: int | None,
    dead_letter: bool,
) -> None:
    """Refuse a queue that gives messages up before their tasks do (R3). What is None is unknown, and not checked.

    Raises:
        RuleError: R3; SQS would dead-letter a message with attempts left, or drop it while it waits for the next.
    """
    for task in tasks:
        most = max_receive_count
        if dead_letter and task.max_attempts is not None and most is not None and most < task.max_attempts:
            raise RuleError(
                "R3",
                f"queue {queue!r} dead-letters after {most} receives, but task {task.name!r} has "
                f"{task.max_attempts} attempts, so its last ones would never run; set max_receive_count to at least "
                f"{task.max_attempts + limits.RECEIVE_HEADROOM} (attempts + {limits.RECEIVE_HEADROOM} for throttled or "
                "returned deliveries)",
            )
        waits = task.total_backoff_seconds
        if waits is not None and retention_seconds is not None and waits > retention_seconds:
            raise RuleError(
                "R3",
                f"the backoffs of task {task.name!r} on queue {queue!r} add up to {math.ceil(waits)} s, but the queue "
                f"keeps a message for {retention_seconds} s, after which SQS deletes it without a trace; lower "
                f"max_attempts or the backoff, or raise retention_period (at most {limits.MAX_RETENTION_SECONDS} s)",
            )


def check_mapping(
    *,
    queue: str,
    fifo: bool,
    batch_size: int,
    window_seconds: int,
    max_concurrency: int | None,
    provisioned_pollers: bool,
    reserved_concurrency: int | None,
) -> None:
    """Refuse an event source mapping that Lambda would refuse, or that would dead-letter healthy messages (R4).

    Raises:
        RuleError: R4; with the fix.
    """
    if batch_size < 1:
        raise RuleError("R4", f"batch_size {batch_size} on queue {queue!r} is out of range; allowed is 1 or more")
    if not 0 <= window_seconds <= limits.MAX_BATCHING_WINDOW_SECONDS:
        raise RuleError(
            "R4",
            f"max_batching_window of {window_seconds} s on queue {queue!r} is out of range; allowed is 0 to "
            f"{limits.MAX_BATCHING_WINDOW_SECONDS} s",
        )
    if fifo and window_seconds:
        raise RuleError(
            "R4",
            f"max_batching_window of {window_seconds} s on FIFO queue {queue!r}: Lambda has no batching window for "
            "FIFO queues; leave it out",
        )
    if fifo and batch_size > limits.MAX_FIFO_BATCH:
        raise RuleError(
            "R4",
            f"batch_size {batch_size} on FIFO queue {queue!r}; Lambda allows {limits.MAX_FIFO_BATCH} for FIFO queues",
        )
    if batch_size > limits.MAX_WINDOWED_BATCH:
        raise RuleError(
            "R4", f"batch_size {batch_size} on queue {queue!r}; Lambda allows {limits.MAX_WINDOWED_BATCH} at most"
        )
    if batch_size > limits.MAX_UNWINDOWED_BATCH and window_seconds < 1:
        raise RuleError(
            "R4",
            f"batch_size {batch_size} on queue {queue!r} needs a batching window of a second or more (without one "
            f"Lambda allows {limits.MAX_UNWINDOWED_BATCH}); set max_batching_window=Duration.seconds(1) or batch_size="
            f"{limits.MAX_UNWINDOWED_BATCH}",
        )
    _check_concurrency(
        queue=queue,
        max_concurrency=max_concurrency,
        provisioned_pollers=provisioned_pollers,
        reserved_concurrency=reserved_concurrency,
    )


def _check_concurrency(
    *, queue: str, max_concurrency: int | None, provisioned_pollers: bool, reserved_concurrency: int | None
) -> None:
    both = "provisioned_pollers and reserved_concurrent_executions"
    if max_concurrency is not None:
        both = "max_concurrency and provisioned_pollers"
    if provisioned_pollers and (max_concurrency is not None or reserved_concurrency is not None):
        # Pollers and maximum concurrency exclude each other in Lambda (S35). Each poller makes ten invocations at once
        # whatever the function has reserved, and those that are throttled count as receives (S34).
        raise RuleError(
            "R4",
            f"{both} together on queue {queue!r}; Lambda takes one of them, or throttles "
            "messages into the dead-letter queue: give max_concurrency to limit, or provisioned_pollers to scale fast",
        )
    if max_concurrency is not None and not (
        limits.MIN_MAPPING_CONCURRENCY <= max_concurrency <= limits.MAX_MAPPING_CONCURRENCY
    ):
        raise RuleError(
            "R4",
            f"max_concurrency {max_concurrency} on queue {queue!r}; Lambda allows {limits.MIN_MAPPING_CONCURRENCY} to "
            f"{limits.MAX_MAPPING_CONCURRENCY}; for one at a time use a FIFO queue with one message "
            "group, or a container worker with concurrency=1",
        )


def check_reserved(*, queues: Sequence[str], maxima: Sequence[int | None], reserved: int) -> None:
    """Refuse a function whose queues may start more of it than it has reserved (R4, Z3).

    Lambda ignores reserved concurrency when it receives: what is beyond is throttled, and each throttled batch is a
    delivery of messages that have not run.

    Args:
        queues: The logical names of the queues that feed the function.
        maxima: The maximum concurrency of each mapping; None for one that has none, which is not counted.
        reserved: The function's reserved concurrency.

    Raises:
        RuleError: R4; with the sum.
    """
    total = sum(maximum for maximum in maxima if maximum is not None)
    if reserved < total:
        names = ", ".join(repr(name) for name in queues)
        raise RuleError(
            "R4",
            f"reserved_concurrent_executions of {reserved} for a function with a max_concurrency of {total} (queue "
            f"{names}); what is beyond is throttled, and each time counts as a delivery: reserve {total} or more, or "
            "lower max_concurrency",
        )


def check_dead_letter_retention(
    *, queue: str, dead_letter_queue: str, source_seconds: int, dead_letter_seconds: int
) -> None:
    """Refuse a standard dead-letter queue that keeps messages for less time than its source (R3, S44).

    There the clock runs from the first send. A message that was in the source for longer than the dead-letter queue
    keeps one is deleted as it arrives.

    Raises:
        RuleError: R3; with both numbers.
    """
    if dead_letter_seconds < source_seconds:
        raise RuleError(
            "R3",
            f"dead-letter queue {dead_letter_queue!r} keeps messages for {dead_letter_seconds} s and queue {queue!r} "
            f"for {source_seconds} s, both from the first send, so a message could be deleted as it is dead-lettered; "
            f"raise the retention_period of the dead-letter queue (at most {limits.MAX_RETENTION_SECONDS} s), or lower "
            "the queue's",
        )


def check_pollers(*, queue: str, minimum: int, maximum: int) -> None:
    """Refuse a number of provisioned pollers that AWS does not allow (R4, S35).

    Raises:
        RuleError: R4; with the range.
    """
    if not limits.MIN_POLLERS <= minimum <= limits.MAX_MINIMUM_POLLERS:
        raise RuleError(
            "R4",
            f"provisioned_pollers with a minimum of {minimum} on queue {queue!r}; allowed is {limits.MIN_POLLERS} to "
            f"{limits.MAX_MINIMUM_POLLERS}",
        )
    if not max(minimum, limits.MIN_POLLERS) <= maximum <= limits.MAX_POLLERS:
        raise RuleError(
            "R4",
            f"provisioned_pollers with a maximum of {maximum} on queue {queue!r}; allowed is the minimum ({minimum}) "
            f"to {limits.MAX_POLLERS}",
        )


def check_recursion(tasks: Sequence[ManifestTask], *, queue: str) -> None:
    """Refuse to allow a loop that no task makes (R6): the switch then hides a loop that somebody makes by mistake.

    Raises:
        RuleError: R6; every task says what it enqueues, and it is nothing.
    """
    if tasks and all(task.enqueues == () and not task.postpones for task in tasks):
        raise RuleError(
            "R6",
            f"recursive_loop=ALLOW for queue {queue!r}, but none of its tasks enqueues anything (enqueues=[]) or "
            "says postpones=True, so a loop could only be a mistake, which Lambda would otherwise stop after 16 "
            "rounds; leave it out",
        )
