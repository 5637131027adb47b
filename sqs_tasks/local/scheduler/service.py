"""The API of EventBridge Scheduler: operations by name, dictionaries in and out as boto3 has them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from sqs_tasks.local.model.account import ACCOUNT_ID
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.scheduler import faults, service_model
from sqs_tasks.local.scheduler.groups import DEFAULT_GROUP, Groups
from sqs_tasks.local.scheduler.pages import page
from sqs_tasks.local.scheduler.schedule import Schedule
from sqs_tasks.local.scheduler.timetable import Timetable

Params = Mapping[str, Any]
Answer = dict[str, Any]

#: Client tokens that are remembered with their answers, so that a request can be sent again whose answer was lost.
_REMEMBERED_TOKENS = 10_000


class SchedulerService:
    """An EventBridge Scheduler of one account, over one SQS. One call at a time, as for the SQS.

    Schedules are found from every region, as queues are; the region is in their ARNs.

    Args:
        service: The SQS that schedules send to.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._timetable = Timetable(service, self._completed)
        self._schedules: dict[tuple[str, str], Schedule] = {}
        self._groups = Groups()
        self._answers: OrderedDict[str, tuple[bytes, Answer | None]] = OrderedDict()
        self._operations: dict[str, Callable[[Params, str], Answer]] = {
            "CreateSchedule": self._create_schedule,
            "CreateScheduleGroup": self._create_group,
            "DeleteSchedule": self._delete_schedule,
            "DeleteScheduleGroup": self._delete_group,
            "GetSchedule": self._get_schedule,
            "GetScheduleGroup": self._get_group,
            "ListScheduleGroups": self._list_groups,
            "ListSchedules": self._list_schedules,
            "ListTagsForResource": self._list_tags,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateSchedule": self._update_schedule,
        }

    def call(self, operation: str, params: Params, region: str) -> Answer:
        """Perform an operation; times in the answer are seconds since the epoch.

        Raises:
            SchedulerFault: What EventBridge Scheduler answers in place of a result.
        """
        perform = self._operations.get(operation)
        if perform is None:
            raise faults.invalid(f"There is no operation {operation}.")
        self._service.run_due()
        try:
            return self._once(operation, service_model.checked(operation, params), region, perform)
        finally:
            # A rate is due as soon as it is made.
            self._service.run_due()

    def _once(self, operation: str, params: Params, region: str, perform: Callable[[Params, str], Answer]) -> Answer:
        """Perform an operation, but for one whose client token was seen before: that gets its answer again."""
        token = params.get("ClientToken")
        if token is None:
            return perform(params, region)
        request = hashlib.sha256(repr((operation, params)).encode()).digest()
        seen, answer = self._answers.get(token, (request, None))
        if seen != request:
            raise faults.conflict("The client token was used for another request.")
        if answer is not None:
            return dict(answer)
        answer = perform(params, region)
        self._answers[token] = (request, dict(answer))
        if len(self._answers) > _REMEMBERED_TOKENS:
            self._answers.popitem(last=False)
        return answer

    # -- schedules

    def _create_schedule(self, params: Params, region: str) -> Answer:
        key = self._key(params)
        self._groups.find(key[0])
        if key in self._schedules:
            raise faults.conflict(f"Schedule {key[1]} already exists.")
        arn = f"arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule/{key[0]}/{key[1]}"
        schedule = Schedule(params, arn=arn, now=self._timetable.now())
        self._schedules[key] = schedule
        self._timetable.arm(schedule)
        return {"ScheduleArn": arn}

    def _update_schedule(self, params: Params, _region: str) -> Answer:
        schedule = self._find(params)
        schedule.update(params, self._timetable.now())
        self._timetable.arm(schedule)
        return {"ScheduleArn": schedule.arn}

    def _get_schedule(self, params: Params, _region: str) -> Answer:
        return self._find(params).described()

    def _delete_schedule(self, params: Params, _region: str) -> Answer:
        self._remove(self._find(params))
        return {}

    def _list_schedules(self, params: Params, _region: str) -> Answer:
        group, prefix, state = params.get("GroupName"), params.get("NamePrefix", ""), params.get("State")
        if group is not None:
            self._groups.find(group)
        found = {
            f"{schedule.group}/{schedule.name}": schedule.summary()
            for schedule in self._schedules.values()
            if schedule.name.startswith(prefix)
            and group in (None, schedule.group)
            and state in (None, schedule.fields["State"])
        }
        return page("Schedules", found, params)

    def _find(self, params: Params) -> Schedule:
        key = self._key(params)
        schedule = self._schedules.get(key)
        if schedule is None:
            self._groups.find(key[0])
            raise faults.not_found(f"Schedule {key[1]} does not exist.")
        return schedule

    @staticmethod
    def _key(params: Params) -> tuple[str, str]:
        return params.get("GroupName", DEFAULT_GROUP), params["Name"]

    def _completed(self, schedule: Schedule) -> None:
        if schedule.is_deleted_after_completion:
            self._remove(schedule)

    def _remove(self, schedule: Schedule) -> None:
        self._timetable.disarm(schedule)
        del self._schedules[schedule.group, schedule.name]

    # -- groups

    def _create_group(self, params: Params, region: str) -> Answer:
        return {"ScheduleGroupArn": self._groups.create(params, region, self._timetable.now())}

    def _get_group(self, params: Params, region: str) -> Answer:
        return self._groups.find(params["Name"]).described(region)

    def _delete_group(self, params: Params, _region: str) -> Answer:
        self._groups.delete(params["Name"])
        for schedule in [one for one in self._schedules.values() if one.group == params["Name"]]:
            self._remove(schedule)
        return {}

    def _list_groups(self, params: Params, region: str) -> Answer:
        prefix = params.get("NamePrefix", "")
        found = {name: group.described(region) for name, group in self._groups.items() if name.startswith(prefix)}
        return page("ScheduleGroups", found, params)

    # -- tags, which only groups have

    def _tag(self, params: Params, _region: str) -> Answer:
        self._groups.of_arn(params["ResourceArn"]).tag(params["Tags"])
        return {}

    def _untag(self, params: Params, _region: str) -> Answer:
        self._groups.of_arn(params["ResourceArn"]).untag(params["TagKeys"])
        return {}

    def _list_tags(self, params: Params, _region: str) -> Answer:
        tags = self._groups.of_arn(params["ResourceArn"]).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
