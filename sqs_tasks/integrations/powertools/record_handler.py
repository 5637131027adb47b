"""Our tasks as the ``record_handler`` of a Powertools BatchProcessor, for functions that have one already.

::

    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    record_handler = TaskRecordHandler(env)

    def handler(event, context):
        return process_partial_response(event, record_handler, processor, context)

Each record is worked for itself, so what needs the whole batch is not there: batch processors get lists of one, a FIFO
group is stopped by Powertools' own SqsFifoPartialProcessor, and a visibility costs a request for each failed job. A new
function is better served by :class:`~sqs_tasks.aws_lambda.SQSEventHandler`.
"""

from __future__ import annotations

from typing import Any

from sqs_tasks.aws_lambda import JobReport, SQSEventHandler
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import SQSTasksError


class JobNotDoneError(SQSTasksError):
    """A job whose message stays in its queue; raised for Powertools, which then lists it as failed."""


class TaskRecordHandler:
    """Runs the job of one record, by the rules of the registry.

    Backoff, rejection and dead letters are as everywhere; only the listing is left to Powertools.

    Args:
        env: The environment with its queues and tasks.
        **options: See :class:`~sqs_tasks.aws_lambda.SQSEventHandler`.
    """

    def __init__(self, env: SQSEnv, **options: Any) -> None:
        self.handler = SQSEventHandler(env, **options)
        self.handler.on_settled(self._remember)
        self._reason = ""

    def __call__(self, record: Any, lambda_context: Any = None) -> None:
        """Run the job of a record.

        Args:
            record: Powertools' SQSRecord, or the record itself.
            lambda_context: Lambda's context, which Powertools hands on to those who name it so.

        Raises:
            JobNotDoneError: Its message stays in the queue.
            ConfigurationError: It is no record of SQS.
        """
        raw = getattr(record, "raw_event", record)
        self._reason = ""
        answer = self.handler({"Records": [raw]}, lambda_context)
        if answer["batchItemFailures"]:
            raise JobNotDoneError(self._reason or f"message {raw['messageId']} stays in its queue; the log says why")

    def _remember(self, report: JobReport) -> None:
        outcome = report.outcome
        reason = getattr(outcome, "reason", type(outcome).__name__)
        self._reason = f"job {report.task_name} of queue {report.queue_name}: {reason}"
