"""What a worker has done, in numbers, and the same as Prometheus text."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

#: Upper bounds in seconds of the duration histogram: from no-ops to tasks of a quarter of an hour.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)

#: What Prometheus expects as the type of the text.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HELP = {
    "sqs_tasks_jobs_total": "Jobs by what became of them.",
    "sqs_tasks_received_total": "Messages received.",
    "sqs_tasks_receives_total": "Receive requests.",
    "sqs_tasks_receive_errors_total": "Receive requests that failed, by error code.",
    "sqs_tasks_unsettled_total": "Messages that could not be deleted or hidden, by error code.",
    "sqs_tasks_job_seconds": "How long jobs ran.",
    "sqs_tasks_jobs_in_progress": "Messages received and not settled.",
    "sqs_tasks_jobs_over_timeout": "Jobs that still run after the timeout of their task.",
    "sqs_tasks_lost_processes_total": "Child processes that ended before their job did, by cause.",
    "sqs_tasks_unsettled_jobs": "Jobs that are over and wait to be settled.",
    "sqs_tasks_oldest_age_seconds": "Age of the oldest message of the last receive.",
    "sqs_tasks_heartbeats_total": "Leases extended.",
    "sqs_tasks_leases_lost_total": "Leases lost while their jobs ran.",
    "sqs_tasks_resident_bytes": "Resident memory of the worker processes.",
    "sqs_tasks_queue_messages": "Messages of a queue, as SQS counts them.",
    "sqs_tasks_outbox_sent_total": "Jobs of the outbox that SQS has accepted.",
    "sqs_tasks_outbox_failed_total": "Jobs of the outbox that were not accepted, and are tried again.",
    "sqs_tasks_outbox_refused_total": "Jobs of the outbox that SQS has refused for good.",
    "sqs_tasks_outbox_rows": "Jobs in the outbox, by state.",
    "sqs_tasks_outbox_oldest_age_seconds": "For how long the oldest job of the outbox could have been sent.",
}

_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters, gauges and one histogram of a process. Any thread may count and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, _Labels], float] = {}
        self._seconds: dict[_Labels, list[float]] = {}
        self._read: dict[str, Callable[[], Mapping[_Labels, float]]] = {}

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(labels.items()))
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + amount

    def job(self, queue: str, task: str, outcome: str, seconds: float | None) -> None:
        """Count a job and how long it ran; None when it did not."""
        self.count("sqs_tasks_jobs_total", queue=queue, task=task, outcome=outcome)
        if seconds is None:
            return
        labels = (("queue", queue), ("task", task))
        with self._lock:
            # The buckets, then the sum; cumulated when they are read.
            buckets = self._seconds.setdefault(labels, [0.0] * (len(DURATION_BUCKETS) + 2))
            buckets[bisect_left(DURATION_BUCKETS, seconds)] += 1
            buckets[-1] += seconds

    def read(self, name: str, read: Callable[[], Mapping[_Labels, float]]) -> None:
        """Have numbers read whenever somebody asks.

        Args:
            name: The metric's name; a counter when it ends in ``_total``, else a gauge.
            read: Gives the numbers by their labels; called in the thread that renders.
        """
        self._read[name] = read

    def value(self, name: str, **labels: str) -> float:
        """A counter's value, for tests and for curious people."""
        with self._lock:
            return self._counters.get((name, tuple(labels.items())), 0)

    def render(self) -> str:
        """All of it as Prometheus text."""
        with self._lock:
            counters = dict(self._counters)
            seconds = {labels: list(buckets) for labels, buckets in self._seconds.items()}
        lines: list[str] = []
        for name in sorted({name for name, _ in counters}):
            lines += _header(name, "counter", _HELP.get(name, ""))
            lines += [_line(name, labels, value) for (one, labels), value in counters.items() if one == name]
        if seconds:
            lines += _header("sqs_tasks_job_seconds", "histogram", _HELP["sqs_tasks_job_seconds"])
            for labels, buckets in seconds.items():
                lines += _histogram("sqs_tasks_job_seconds", labels, buckets)
        for name, read in self._read.items():
            lines += _header(name, "counter" if name.endswith("_total") else "gauge", _HELP.get(name, ""))
            lines += [_line(name, labels, value) for labels, value in read().items()]
        return "\n".join(lines) + "\n"


def _header(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _histogram(name: str, labels: _Labels, buckets: list[float]) -> Iterator[str]:
    total = 0.0
    for bound, count in zip((*map(str, DURATION_BUCKETS), "+Inf"), buckets[:-1], strict=True):
        total += count
        yield _line(f"{name}_bucket", (*labels, ("le", bound)), total)
    yield _line(f"{name}_sum", labels, buckets[-1])
    yield _line(f"{name}_count", labels, total)


def _line(name: str, labels: _Labels, value: float) -> str:
    named = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{named}}} {value:g}" if named else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
