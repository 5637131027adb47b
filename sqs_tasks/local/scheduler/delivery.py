"""Invoking a target: tried again as the retry policy says, and sent to the dead-letter queue when nothing helps."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.scheduler import target as targets
from sqs_tasks.local.scheduler.faults import SchedulerFault
from sqs_tasks.local.scheduler.target import Occasion

logger = logging.getLogger(__name__)

#: Seconds before the second attempt, and at most between two; it doubles. AWS does not publish its own; these make a
#: day of about as many attempts as AWS allows.
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 480.0

#: The error of a target that is no queue of this machine.
_NOT_HERE = "Scheduler.TargetNotOnThisMachine"


class Delivery:
    """One slot of one schedule on its way to the target. It goes on when the schedule is changed or deleted.

    Args:
        service: The SQS.
        schedule_arn: The schedule.
        target: Its target, as it was when the slot was due.
        slot: Seconds since the epoch at which it was due.
    """

    def __init__(self, service: Service, *, schedule_arn: str, target: Mapping[str, Any], slot: float) -> None:
        self._service = service
        self._schedule_arn = schedule_arn
        self._target = target
        self._slot = slot
        self._attempts = 0
        self._began_at = 0.0

    def attempt(self, now: float) -> None:
        """Invoke the target; on an error, put the next attempt on the agenda."""
        if not self._attempts:
            self._began_at = now
        self._attempts += 1
        occasion = Occasion(
            schedule_arn=self._schedule_arn,
            scheduled_time=self._slot,
            attempt_number=self._attempts,
            execution_id=os.urandom(8).hex(),
        )
        try:
            request = targets.message(self._target, occasion, self._service.queue_url(self._target["Arn"]))
            if request is None:
                self._failed(occasion, _NOT_HERE, f"nothing on this machine has the ARN {self._target['Arn']}", now)
                return
            self._service.send_at(request, now)
        except SQSFault as fault:
            self._failed(occasion, fault.query_code, fault.message, now)
        except SchedulerFault as fault:
            self._failed(occasion, fault.code, fault.message, now)

    def _failed(self, occasion: Occasion, code: str, text: str, now: float) -> None:
        logger.warning(
            "schedule %s could not be delivered, attempt %d: %s: %s",
            self._schedule_arn,
            self._attempts,
            code,
            text,
            extra={"action": "schedule_not_delivered", "schedule_arn": self._schedule_arn, "error_code": code},
        )
        policy = self._target["RetryPolicy"]
        if self._attempts > policy["MaximumRetryAttempts"]:
            self._give_up(occasion, code, text, "MaximumRetryAttempts", now)
            return
        wait = min(FIRST_RETRY_SECONDS * 2 ** min(self._attempts - 1, 16), MAX_RETRY_SECONDS)
        ends_at = self._began_at + policy["MaximumEventAgeInSeconds"]
        again = now + wait
        if again < ends_at:
            self._service.agenda.at(again, self.attempt, again)
            return
        give_up = partial(self._give_up, occasion, code, text, "MaximumEventAgeInSeconds")
        self._service.agenda.at(ends_at, give_up, ends_at)

    def _give_up(self, occasion: Occasion, code: str, text: str, exhausted: str, now: float) -> None:
        """Send the dead-letter event to the queue for it, if there is one.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
        """
        arn = self._target.get("DeadLetterConfig", {}).get("Arn")
        if arn is None:
            logger.error("schedule %s: the run of %s is dropped", self._schedule_arn, occasion.scheduled_text)
            return
        details = {
            "ERROR_CODE": code,
            "ERROR_MESSAGE": text,
            "EXECUTION_ID": occasion.execution_id,
            "EXHAUSTED_RETRY_CONDITION": exhausted,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(self._attempts - 1),
            "SCHEDULED_TIME": occasion.scheduled_text,
            "SCHEDULE_ARN": self._schedule_arn,
            "TARGET_ARN": self._target["Arn"],
        }
        request = {
            "QueueUrl": self._service.queue_url(arn) or "",
            "MessageBody": targets.payload(self._target, occasion),
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in details.items()
            },
        }
        try:
            self._service.send_at(request, now)
        except SQSFault as fault:
            logger.error(  # noqa: TRY400 - the fault is SQS's answer, not a mistake of ours
                "schedule %s: the run of %s is dropped, because its dead-letter queue %s does not take it: %s",
                self._schedule_arn,
                occasion.scheduled_text,
                arn,
                fault,
            )
