"""How a registry is doing: a row for each queue, one for its worker, one for its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from sqs_tasks_cdk.alarms import Objectives, is_fair
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.job_metrics import UNKNOWN_TASK, JobCount, JobTime, job_count, job_time
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.task_queue import TaskQueue

#: Columns of a dashboard.
_WIDTH = 24

#: Metrics that CloudWatch shows on one dashboard.
MAX_METRICS: Final = 2_500

#: Metrics in the rows of a queue with a function, of a task, and at most of a service.
_METRICS_OF_A_QUEUE, _METRICS_OF_A_TASK, _METRICS_OF_A_SERVICE = 17, 5, 20

#: What is known of the times of jobs, and the titles of their graphs: of functions, and of services.
_TIMES_OF_FUNCTIONS: Final[Mapping[JobTime, str]] = {
    "Duration": "Run time, 95 of 100 (ms)",
    "QueueDelay": "Waited before, 95 of 100 (ms)",
}
_TIMES_OF_SERVICES: Final[Mapping[JobTime, str]] = {"DurationSeconds": "Run time, 95 of 100 (s)"}

#: Grid units that a graph is high.
_HEIGHT = 6


class TaskDashboard(Construct):
    """A dashboard with a row for each queue, its worker and its tasks; a second one where the first is full.

    Args:
        scope: The parent.
        construct_id: The id in ``scope``.
        queues: The queues.
        workers: Their workers.
        objectives: What is promised of a queue.
        dashboard_name: Generated when left out.

    Attributes:
        dashboards: The dashboards, one unless there are some 400 tasks or more.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Sequence[TaskQueue],
        workers: Sequence[LambdaWorker | FargateWorker],
        objectives: Callable[[str], Objectives],
        dashboard_name: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._name = dashboard_name
        self._metrics = 0
        self.dashboards: list[cloudwatch.Dashboard] = []
        self._page = self._next_dashboard()
        for queue in queues:
            working = [worker for worker in workers if queue.logical_name in _names(worker)]
            is_by_queue = bool(working) and all(worker.metrics_by == "queue" for worker in working)
            self._make_room(_METRICS_OF_A_QUEUE + _METRICS_OF_A_TASK * (1 if is_by_queue else len(queue.tasks)))
            self._add_queue(queue, objectives(queue.logical_name))
            for worker in working:
                if isinstance(worker, LambdaWorker):
                    self._add_function(worker)
                    self._add_tasks(worker.task_queue, worker, times=_TIMES_OF_FUNCTIONS)
                else:
                    self._add_tasks(queue, worker, times=_TIMES_OF_SERVICES)
        for worker in workers:
            if isinstance(worker, FargateWorker):
                self._make_room(_METRICS_OF_A_SERVICE)
                self._add_service(worker)

    def _make_room(self, metrics: int) -> None:
        """Begin another dashboard if this one cannot show so many more."""
        if self._metrics + metrics > MAX_METRICS:
            self._metrics = 0
            self._page = self._next_dashboard()
        self._metrics += metrics

    def _next_dashboard(self) -> cloudwatch.Dashboard:
        number = len(self.dashboards) + 1
        suffix = "" if number == 1 else str(number)
        made = cloudwatch.Dashboard(
            self,
            f"Dashboard{suffix}",
            dashboard_name=f"{self._name}-{number}" if self._name is not None and suffix else self._name,
            default_interval=Duration.hours(6),
        )
        self.dashboards.append(made)
        return made

    def _add_queue(self, queue: TaskQueue, objectives: Objectives) -> None:
        self._page.add_widgets(cloudwatch.TextWidget(markdown=f"## {queue.logical_name}", width=_WIDTH, height=1))
        age = cloudwatch.HorizontalAnnotation(value=objectives.age_seconds(queue), label="Objective")
        graphs = [
            _graph(
                "Messages",
                [
                    queue.metric_visible(label="Ready"),
                    queue.metric_in_flight(label="In flight"),
                    queue.metric_delayed(label="Held back"),
                ],
                stacked=True,
            ),
            _graph(
                "Age of the oldest (s)",
                [
                    queue.metric_age_of_oldest(label="Age"),
                    *([queue.metric_age_of_oldest_in_quiet_groups(label="Quiet tenants")] if is_fair(queue) else []),
                ],
                annotation=age,
            ),
            _graph(
                "Flow",
                [
                    queue.metric_sent(label="Sent"),
                    queue.metric_received(label="Received"),
                    queue.metric_deleted(label="Finished"),
                ],
            ),
        ]
        if queue.dead_letter_queue is not None:
            graphs.append(_graph("Dead letters", [queue.metric_dead_letters(label="Dead letters")]))
        self._page.add_widgets(*graphs)

    def _add_function(self, worker: LambdaWorker) -> None:
        function = worker.function
        limit = None
        if not worker.timeout.is_unresolved():
            limit = cloudwatch.HorizontalAnnotation(value=worker.timeout.to_milliseconds(), label="Timeout")
        minute = Duration.minutes(1)
        self._page.add_widgets(
            *[
                _graph(
                    "Invocations",
                    [
                        function.metric_invocations(period=minute, label="Invocations"),
                        function.metric_errors(period=minute, label="Errors"),
                        function.metric_throttles(period=minute, label="Throttles"),
                    ],
                ),
                _graph(
                    "Duration (ms)",
                    [
                        function.metric_duration(period=minute, statistic="p50", label="Half of them"),
                        function.metric_duration(period=minute, statistic="p95", label="95 of 100"),
                    ],
                    annotation=limit,
                ),
                _graph(
                    "At once",
                    [function.metric("ConcurrentExecutions", period=minute, statistic="Maximum", label="At once")],
                ),
            ]
        )

    def _add_tasks(
        self, queue: TaskQueue, worker: LambdaWorker | FargateWorker, *, times: Mapping[JobTime, str]
    ) -> None:
        if not queue.tasks:
            return
        service, is_by_task = worker.service_name, worker.metrics_by == "task"
        names: list[str | None] = [task.name for task in queue.tasks] if is_by_task else [None]

        def counts(*ends: JobCount) -> list[cloudwatch.IMetric]:
            return [
                job_count(end, service=service, queue=queue.logical_name, task=task) for end in ends for task in names
            ]

        # A message that cannot be read, or whose name is not registered, belongs to no task.
        of_no_task: tuple[JobCount, ...] = ("JobsDeadLettered", "JobsUnknown") if is_by_task else ("JobsUnknown",)
        unknown: list[cloudwatch.IMetric] = [
            job_count(end, service=service, queue=queue.logical_name, task=UNKNOWN_TASK if is_by_task else None)
            for end in of_no_task
        ]
        self._page.add_widgets(
            _graph("Jobs done", counts("JobsSucceeded")),
            _graph("Jobs not done", [*counts("JobsRetried", "JobsDeadLettered"), *unknown]),
            *(
                _graph(title, [job_time(name, service=service, queue=queue.logical_name, task=task) for task in names])
                for name, title in times.items()
            ),
        )

    def _add_service(self, worker: FargateWorker) -> None:
        names = ", ".join(queue.logical_name for queue in worker.task_queues)
        self._page.add_widgets(cloudwatch.TextWidget(markdown=f"## Service for {names}", width=_WIDTH, height=1))
        backlog = cloudwatch.HorizontalAnnotation(value=worker.scaling.backlog_per_task, label="Target")
        self._page.add_widgets(
            *[
                _graph("Tasks", [worker.scaling.metric_running_tasks()]),
                _graph("Backlog per task", [worker.scaling.metric_backlog_per_task()], annotation=backlog),
                _graph(
                    "Load (%)",
                    [
                        worker.service.metric_cpu_utilization(label="CPU"),
                        worker.service.metric_memory_utilization(label="Memory"),
                    ],
                ),
            ]
        )


def _names(worker: LambdaWorker | FargateWorker) -> set[str]:
    """The logical names of the queues of a worker."""
    queues = [worker.task_queue] if isinstance(worker, LambdaWorker) else worker.task_queues
    return {queue.logical_name for queue in queues}


def _graph(
    title: str,
    metrics: Sequence[cloudwatch.IMetric],
    *,
    stacked: bool = False,
    annotation: cloudwatch.HorizontalAnnotation | None = None,
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        stacked=stacked,
        left_annotations=None if annotation is None else [annotation],
        left_y_axis=cloudwatch.YAxisProps(min=0),
        width=_WIDTH // 4,
        height=_HEIGHT,
    )
