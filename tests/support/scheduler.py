"""EventBridge Scheduler's API over a dictionary: what it stores, in boto3's words, with boto3's own check of requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

MODEL = botocore.session.get_session().get_service_model("scheduler")


class StoredSchedules:
    """A client whose schedules can be looked at.

    Attributes:
        groups: The names of the groups.
        schedules: What GetSchedule answers, by group and name.
        calls: The operations asked for, in their order.
        now: The time.
    """

    def __init__(self, *, now: datetime | None = None, page_size: int = 2) -> None:
        self.groups = {"default"}
        self.schedules: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.now = now or datetime.now(UTC)
        self.page_size = page_size

    def changed(self) -> list[str]:
        """The calls that change something; the list of calls starts anew."""
        calls, self.calls = self.calls, []
        return [call for call in calls if not call.startswith(("Get", "List"))]

    def create_schedule_group(self, **request: Any) -> Any:
        self._check("CreateScheduleGroup", request)
        if request["Name"] in self.groups:
            raise self._error("ConflictException", "CreateScheduleGroup")
        self.groups.add(request["Name"])
        return {}

    def create_schedule(self, **request: Any) -> Any:
        key = self._stored_at("CreateSchedule", request)
        if key in self.schedules:
            raise self._error("ConflictException", "CreateSchedule")
        self._store(key, request)
        return {"ScheduleArn": f"arn:aws:scheduler:us-east-1:000000000000:schedule/{key[0]}/{key[1]}"}

    def update_schedule(self, **request: Any) -> Any:
        key = self._stored_at("UpdateSchedule", request)
        self._there("UpdateSchedule", key)
        self._store(key, request)
        return {}

    def get_schedule(self, **request: Any) -> Any:
        self._check("GetSchedule", request)
        return dict(self._there("GetSchedule", (request.get("GroupName", "default"), request["Name"])))

    def delete_schedule(self, **request: Any) -> Any:
        self._check("DeleteSchedule", request)
        key = (request.get("GroupName", "default"), request["Name"])
        self._there("DeleteSchedule", key)
        del self.schedules[key]
        return {}

    def list_schedules(self, **request: Any) -> Any:
        self._check("ListSchedules", request)
        group, start = request["GroupName"], int(request.get("NextToken", 0))
        if group not in self.groups:
            raise self._error("ResourceNotFoundException", "ListSchedules")
        names = sorted(name for where, name in self.schedules if where == group)
        end = start + self.page_size
        page = [
            {"Name": name, "GroupName": group, "Target": {"Arn": self.schedules[group, name]["Target"]["Arn"]}}
            for name in names[start:end]
        ]
        return {"Schedules": page, **({"NextToken": str(end)} if end < len(names) else {})}

    def _check(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append(operation)
        report = ParamValidator().validate(request, MODEL.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()

    def _stored_at(self, operation: str, request: dict[str, Any]) -> tuple[str, str]:
        self._check(operation, request)
        group = request.get("GroupName", "default")
        if group not in self.groups:
            raise self._error("ResourceNotFoundException", operation)
        start = request.get("StartDate")
        if start is not None and start < self.now - timedelta(minutes=5):
            raise self._error("ValidationException", operation)
        return group, request["Name"]

    def _store(self, key: tuple[str, str], request: dict[str, Any]) -> None:
        defaults = {"State": "ENABLED", "ScheduleExpressionTimezone": "UTC", "ActionAfterCompletion": "NONE"}
        self.schedules[key] = {**defaults, **request, "CreationDate": self.now, "Arn": f"arn:{key}"}

    def _there(self, operation: str, key: tuple[str, str]) -> dict[str, Any]:
        if key not in self.schedules:
            raise self._error("ResourceNotFoundException", operation)
        return self.schedules[key]

    @staticmethod
    def _error(code: str, operation: str) -> ClientError:
        return ClientError({"Error": {"Code": code, "Message": code}}, operation)
