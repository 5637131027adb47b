"""A subsegment of the X-Ray trace for each job."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqs_tasks.aws_lambda import JobReport
from sqs_tasks.errors import one_line
from sqs_tasks.message import ReceivedMessage

logger = logging.getLogger(__name__)

#: Where Lambda says which trace an invocation belongs to, and whether it is recorded.
TRACE_VARIABLE = "_X_AMZN_TRACE_ID"


class JobTraces:
    """Opens a subsegment when a job starts and closes it with what became of it.

    Importing the X-Ray SDK costs more than all the rest of a cold start, so that is done with the first invocation
    that is recorded; outside Lambda, and without the SDK, nothing is done at all.

    Args:
        tracer: A Powertools Tracer of your own; None makes one, which patches no libraries.
        service: Its service; None takes POWERTOOLS_SERVICE_NAME.
    """

    def __init__(self, tracer: Any = None, *, service: str | None = None) -> None:
        self._tracer = tracer
        self._service = service
        self._is_off = False
        # The SDK keeps what is open by thread, and each job runs from a thread of its own.
        self._open = threading.local()

    def start(self, messages: Sequence[ReceivedMessage], queue_name: str) -> None:
        """Open the subsegment of a job, or of a batch processor's call."""
        self._open.subsegment = None
        tracer = self._recording_tracer()
        if tracer is None:
            return
        first = messages[0]
        manager: AbstractContextManager[Any] = tracer.provider.in_subsegment(name=f"## {first.job_name or queue_name}")
        subsegment = manager.__enter__()
        self._open.manager, self._open.subsegment = manager, subsegment
        subsegment.put_annotation(key="queue", value=queue_name)
        subsegment.put_annotation(key="attempt", value=first.receive_count)
        if len(messages) == 1:
            subsegment.put_annotation(key="job_id", value=one_line(first.job_id))
        producer = first.attributes.get("AWSTraceHeader")
        if producer:
            # The trace that the job was sent in; Lambda's own may be another, since it serves many at once.
            subsegment.put_metadata(key="sent_in", value=producer)

    def end(self, report: JobReport | None) -> None:
        """Close what is open in this thread; with a batch processor at the first of its jobs."""
        subsegment = getattr(self._open, "subsegment", None)
        if subsegment is None:
            return
        manager, self._open.subsegment = self._open.manager, None
        try:
            if report is not None:
                subsegment.put_annotation(key="outcome", value=type(report.outcome).__name__)
                error = getattr(report.outcome, "error", None)
                if error is not None:
                    subsegment.add_exception(error, traceback.extract_tb(error.__traceback__))
        finally:
            manager.__exit__(None, None, None)

    def _recording_tracer(self) -> Any:
        if self._is_off or "Sampled=1" not in os.environ.get(TRACE_VARIABLE, ""):
            return None
        if self._tracer is None:
            try:
                from aws_lambda_powertools.tracing import Tracer

                self._tracer = Tracer(service=self._service, auto_patch=False)
                self._is_off = bool(self._tracer.disabled)
            except ImportError:
                self._is_off = True
                logger.warning(
                    "the X-Ray SDK is not installed, so jobs have no subsegments; "
                    "add aws-lambda-powertools[tracer] or switch the function's tracing off",
                    extra={"action": "tracer_missing"},
                )
        return None if self._is_off else self._tracer
