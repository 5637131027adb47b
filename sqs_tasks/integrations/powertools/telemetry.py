"""Logs, metrics and traces of the jobs of a Lambda function, by Powertools."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from aws_lambda_powertools import Logger

from sqs_tasks.aws_lambda import BatchResponse, SQSEventHandler
from sqs_tasks.integrations.powertools.job_logs import JobLogs
from sqs_tasks.integrations.powertools.job_metrics import DEFAULT_NAMESPACE, JobMetrics
from sqs_tasks.integrations.powertools.job_traces import JobTraces

_logger = logging.getLogger(__name__)

#: Whether jobs are counted by ``task``, as when it is not set, or by ``queue``.
METRICS_VARIABLE: Final = "SQS_TASKS_METRICS"


class InstrumentedHandler:
    """A Lambda handler with telemetry; whatever telemetry does, the handler's answer stays what it was.

    Args:
        handler: The handler; its hooks are used.
        logs: Or None.
        metrics: Or None.
        traces: Or None.
    """

    def __init__(
        self,
        handler: SQSEventHandler,
        *,
        logs: JobLogs | None,
        metrics: JobMetrics | None,
        traces: JobTraces | None,
    ) -> None:
        self.handler = handler
        self.logs = logs
        self.metrics = metrics
        self.traces = traces
        # Hooks are guarded one by one: what one of the three does wrong, the others do not miss.
        if logs is not None:
            handler.on_start(logs.start)
            handler.on_settled(lambda _: logs.end())
            handler.on_finished(logs.end)
        if traces is not None:
            handler.on_start(traces.start)
            handler.on_settled(traces.end)
        if metrics is not None:
            handler.on_settled(metrics.add)
            handler.on_responses_ignored(metrics.add_ignored)
            handler.on_finished(metrics.flush)

    def __call__(self, event: Any, context: Any = None) -> BatchResponse:
        """As the handler."""
        if self.logs is not None:
            try:
                self.logs.begin(context)
            except (Exception, SystemExit):  # telemetry never fails a batch
                _logger.exception("cannot prepare the logger", extra={"action": "telemetry_failed"})
        return self.handler(event, context)


def instrument(
    handler: SQSEventHandler,
    *,
    logger: Logger | None = None,
    namespace: str | None = None,
    service: str | None = None,
    tracer: Any = None,
    logs: bool = True,
    metrics: bool = True,
    traces: bool = True,
) -> InstrumentedHandler:
    """A handler with Powertools' logs, metrics and traces.

    Powertools' own environment variables hold: POWERTOOLS_SERVICE_NAME, POWERTOOLS_LOG_LEVEL,
    POWERTOOLS_METRICS_NAMESPACE, POWERTOOLS_METRICS_DISABLED, POWERTOOLS_TRACE_DISABLED … With
    ``SQS_TASKS_METRICS=queue`` jobs are counted by queue and not by task.

    Args:
        handler: The handler.
        logger: A Powertools Logger of your own.
        namespace: Of the metrics; None takes the environment's, or ``SqsTasks``.
        service: For all three; None takes the environment's.
        tracer: A Powertools Tracer of your own.
        logs: Whether lines carry the job they belong to, in Powertools' format.
        metrics: Whether metrics are written.
        traces: Whether jobs get subsegments, in traces that are recorded.
    """
    return InstrumentedHandler(
        handler,
        logs=JobLogs(logger or Logger(service=service)) if logs else None,
        metrics=JobMetrics(
            namespace=namespace or os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or DEFAULT_NAMESPACE,
            service=service,
            by_queue=os.environ.get(METRICS_VARIABLE) == "queue",
        )
        if metrics
        else None,
        traces=JobTraces(tracer, service=service) if traces else None,
    )
