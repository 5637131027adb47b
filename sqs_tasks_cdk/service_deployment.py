"""What ends the deployment of a service that runs and does nothing: the circuit breaker sees only tasks that stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from sqs_tasks_cdk.task_queue import TaskQueue

#: Periods in a row; one long job shows up in two of them.
_PERIODS: Final = 3


def failing_queue_alarms(scope: Construct, queues: Sequence[TaskQueue]) -> list[cloudwatch.Alarm]:
    """An alarm for each queue, for messages that are received while none is done.

    They are on metrics of queues alone. An alarm on a metric of the service would need the service, which needs its
    alarms first. ECS waits after a deployment as long as the slowest of its alarms needs to go off.
    """
    return [
        cloudwatch.Alarm(
            scope,
            f"Deployment-{queue.logical_name}",
            metric=queue.metric_nothing_finished(),
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=_PERIODS,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"Messages of queue {queue.logical_name} are received and none is deleted; a deployment "
            "in progress is rolled back",
        )
        for queue in queues
    ]
